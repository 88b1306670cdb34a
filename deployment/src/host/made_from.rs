//! What a container is made from, as one digest: whether it has to be made anew.
//!
//! Engines keep the definition that a container was made from, not what the files said that it reads. The digest stands in
//! a label of the container, so that nothing has to be kept beside it.

use std::path::Path;

use anyhow::{Context, Result};
use sealift_layers::digest::Digest;

use super::Deployment;
use crate::profile::names::mounted_path;
use crate::render::container::{self, Place};

impl Deployment {
    /// SHA-256 in hex over all that decides about the service's container besides its image: what the engine is told to
    /// make, and the contents of its env files, keys, certificates, secrets and configuration. It changes when one of them
    /// does.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(super) fn made_from(&self, place: &Place, service: &str) -> Result<String> {
        let spec = &self.profile.model.services[service];
        let mounted = spec.secrets.iter().filter_map(|name| mounted_path(&self.profile.model, name.get_ref()));
        let rendered = spec.env_files.iter().chain(spec.config_files.keys()).map(|path| path.get_ref().clone());
        let paths: Vec<String> = mounted.chain(rendered).map(|path| format!("site/{path}")).collect();
        let arguments = container::create(&self.profile.model, service, place);
        Ok(digest(&self.folder, &arguments, &paths)?.hex())
    }
}

fn digest(folder: &Path, arguments: &[String], paths: &[String]) -> Result<Digest> {
    let mut files = Vec::new();
    for path in paths {
        let content = match fs_err::read(folder.join(path)) {
            Ok(bytes) => Some(Digest::of(&bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).context("what a service reads"),
        };
        files.push((path, content));
    }
    Ok(Digest::of(&serde_json::to_vec(&(arguments, &files))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::sample;

    fn of(folder: &Path, variables: &[(&str, &str)]) -> String {
        let variables = variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let model = sample();
        let arguments = container::create(&model, "shop-web", &Place::new(&model, "/srv/shop", variables));
        digest(folder, &arguments, &["site/a.env".to_owned()]).unwrap().hex()
    }

    #[test]
    fn only_what_concerns_the_service_changes_it() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path();
        fs_err::create_dir(folder.join("site")).unwrap();
        fs_err::write(folder.join("site/a.env"), "A=1\n").unwrap();
        fs_err::write(folder.join("site/b.env"), "B=1\n").unwrap();
        let first = of(folder, &[("SEALIFT_HTTPS_PORT", "443"), ("SEALIFT_DB_PORT", "5432")]);
        fs_err::write(folder.join("site/b.env"), "B=2\n").unwrap();
        assert_eq!(first, of(folder, &[("SEALIFT_DB_PORT", "5433")]));

        assert_ne!(first, of(folder, &[("SEALIFT_HTTPS_PORT", "444")]));
        fs_err::write(folder.join("site/a.env"), "A=2\n").unwrap();
        let edited = of(folder, &[]);
        assert_ne!(first, edited);
        fs_err::remove_file(folder.join("site/a.env")).unwrap();
        assert_ne!(edited, of(folder, &[]));
    }
}
