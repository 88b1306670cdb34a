//! What a container is made from, as one digest: whether it has to be made anew.
//!
//! Engines keep the definition that a container was made from, not what the files said that it reads. The digest stands in
//! a label of the container, so that nothing has to be kept beside it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use sealift_layers::digest::Digest;
use serde_json::Value;

use super::Deployment;
use crate::failure::Failure;
use crate::site::mounted_path;

impl Deployment {
    /// SHA-256 in hex over all that decides about the service's container besides its image: the service's part of
    /// `compose.yaml` with the variables that it names, the folder, and the contents of its env files, keys,
    /// certificates, secrets and configuration. It changes when one of them does.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn made_from(&self, service: &str) -> Result<String> {
        let spec = &self.profile.model.services[service];
        let mounted = spec.secrets.iter().filter_map(|name| mounted_path(&self.profile.model, name.get_ref()));
        let rendered = spec.env_files.iter().chain(spec.config_files.keys()).map(|path| path.get_ref().clone());
        let paths: Vec<String> = mounted.chain(rendered).map(|path| format!("site/{path}")).collect();
        let compose = fs_err::read_to_string(self.folder.join("compose.yaml"))?;
        Ok(digest(&self.folder, service, &compose, &self.variables()?, &paths)?.hex())
    }
}

fn digest(
    folder: &Path,
    service: &str,
    compose: &str,
    variables: &BTreeMap<String, String>,
    paths: &[String],
) -> Result<Digest> {
    let compose: Value = serde_saphyr::from_str(compose)
        .map_err(|error| Failure::verification(format!("compose.yaml cannot be read: {error}")))?;
    let definition = compose["services"][service].to_string();
    let named =
        |name: &str| [format!("${{{name}}}"), format!("${{{name}:")].iter().any(|word| definition.contains(word));
    let used: BTreeMap<&String, &String> = variables.iter().filter(|(name, _)| named(name)).collect();
    let mut files = Vec::new();
    for path in paths {
        let content = match fs_err::read(folder.join(path)) {
            Ok(bytes) => Some(Digest::of(&bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).context("what a service reads"),
        };
        files.push((path, content));
    }
    // The folder is part of it, as the mounts lead there.
    let all = serde_json::to_vec(&(folder, &definition, &used, &files))?;
    Ok(Digest::of(&all))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPOSE: &str =
        "services:\n  web:\n    ports: ['${WEB_ADDRESS:-0.0.0.0}:${WEB_PORT:-80}:8080']\n  db:\n    image: b\n";

    fn of(folder: &Path, compose: &str, variables: &[(&str, &str)]) -> String {
        let variables = variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        digest(folder, "web", compose, &variables, &["site/a.env".to_owned()]).unwrap().hex()
    }

    #[test]
    fn only_what_concerns_the_service_changes_it() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path();
        fs_err::create_dir(folder.join("site")).unwrap();
        fs_err::write(folder.join("site/a.env"), "A=1\n").unwrap();
        fs_err::write(folder.join("site/b.env"), "B=1\n").unwrap();
        let first = of(folder, COMPOSE, &[("WEB_PORT", "80"), ("DB_PORT", "5432"), ("WEB", "x")]);
        fs_err::write(folder.join("site/b.env"), "B=2\n").unwrap();
        let other_service = COMPOSE.replace("image: b", "image: c");
        assert_eq!(first, of(folder, &other_service, &[("DB_PORT", "5433"), ("WEB", "y"), ("WEB_PORT", "80")]));

        assert_ne!(first, of(folder, COMPOSE, &[("WEB_PORT", "81")]));
        assert_ne!(first, of(folder, &COMPOSE.replace("8080", "8081"), &[("WEB_PORT", "80")]));
        fs_err::write(folder.join("site/a.env"), "A=2\n").unwrap();
        let edited = of(folder, COMPOSE, &[("WEB_PORT", "80")]);
        assert_ne!(first, edited);
        fs_err::remove_file(folder.join("site/a.env")).unwrap();
        assert_ne!(edited, of(folder, COMPOSE, &[("WEB_PORT", "80")]));
    }
}
