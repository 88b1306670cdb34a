//! The configuration of a service's container as one digest: when it changes, the container has to be recreated.
//!
//! Engines keep the arguments that a container was created with, but not the contents of the files that it reads. The digest
//! is kept in a label of the container, so that no other record is needed.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use sealift_layers::digest::Digest;

use super::context::Containers;
use crate::files;
use crate::profile::names::{mounted_path, path_for};
use crate::render::container::{self, HostLayout, Networks};
use crate::render::network;
use crate::site;

impl Containers<'_> {
    /// SHA-256 in hex over everything that configures the service's container except its image: the arguments of
    /// `create`, whether its networks are internal, and the contents of its env files, keys, certificates, secrets,
    /// configuration files and files of the operator. Whether its networks have IPv6 does not count: that alone stops no service.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(super) fn config_hash(&self, layout: &HostLayout, service: &str) -> Result<String> {
        let model = &self.deployment.profile.model;
        let spec = model.service(service);
        let mounted = spec.secrets.iter().filter_map(|name| mounted_path(model, name.get_ref()));
        let rendered = spec.env_files.iter().chain(spec.config_files.keys()).map(|path| path.get_ref().clone());
        let paths = mounted.chain(rendered).map(|path| format!("site/{}", path_for(model, spec, &path)));
        let paths: Vec<String> = paths.collect();
        let folders = spec.site_files.keys().map(|name| {
            let name = name.get_ref();
            let paths = site::folder_paths(&self.deployment.site(), name)?;
            Ok(paths.into_iter().map(move |path| format!("site/files/{name}/{path}")).collect::<Vec<_>>())
        });
        let folders: Vec<Vec<String>> = folders.collect::<Result<_>>()?;
        let paths = [paths, folders.concat()].concat();
        let without_ipv6 = HostLayout { ipv6: BTreeSet::new(), ..layout.clone() };
        let mut arguments = container::create(model, service, &without_ipv6, Networks::All);
        arguments.extend(container::log_options(spec, layout.dialect, "json-file"));
        // Where the settings of the site open or close a network, its containers move to the new one.
        for name in spec.networks.iter().map(|name| name.get_ref()) {
            arguments.push(format!("internal {name}: {}", network::is_internal(model, name, &layout.variables)));
        }
        Ok(digest(&self.deployment.folder, &arguments, &paths)?.hex())
    }
}

/// Digest of the arguments and of the files at `paths` below `folder`. A file may be missing.
fn digest(folder: &Path, arguments: &[String], paths: &[String]) -> Result<Digest> {
    let mut files = Vec::new();
    for path in paths {
        let content = match files::open_below(folder, path).and_then(|file| files::read_up_to(file, files::FILE_LIMIT))
        {
            Ok(bytes) => Some(Digest::of(&bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).context("cannot read a file of a service"),
        };
        files.push((path, content));
    }
    Ok(Digest::of(&serde_json::to_vec(&(arguments, &files))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::testing;
    use crate::profile::sample;

    fn hash(folder: &Path, variables: &[(&str, &str)]) -> String {
        let variables = variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let model = sample();
        let arguments =
            container::create(&model, "shop-web", &HostLayout::new(&model, "/srv/shop", variables), Networks::All);
        digest(folder, &arguments, &["site/a.env".to_owned()]).unwrap().hex()
    }

    /// Each `up` recreated the containers whose ports were published on IPv6, too.
    #[test]
    fn ipv6_does_not_change_it() {
        let folder = tempfile::tempdir().unwrap();
        let deployment = testing::deployment(folder.path());
        let podman = testing::Podman::new("");
        let containers = podman.containers(&deployment);
        let layout = containers.layout().unwrap();
        let with = HostLayout { ipv6: ["front".to_owned()].into(), ..layout.clone() };
        let hash = |layout: &HostLayout| containers.config_hash(layout, "shop-web").unwrap();
        assert_eq!(hash(&layout), hash(&with));
        let open = [("SEALIFT_OUTSIDE_INTERNAL".to_owned(), "false".to_owned())];
        assert_ne!(hash(&layout), hash(&HostLayout { variables: open.into(), ..layout.clone() }));
    }

    #[test]
    fn only_files_and_ports_of_the_service_change_it() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path();
        fs_err::create_dir(folder.join("site")).unwrap();
        fs_err::write(folder.join("site/a.env"), "A=1\n").unwrap();
        fs_err::write(folder.join("site/b.env"), "B=1\n").unwrap();
        let first = hash(folder, &[("SEALIFT_HTTPS_PORT", "443"), ("SEALIFT_DB_PORT", "5432")]);
        fs_err::write(folder.join("site/b.env"), "B=2\n").unwrap();
        assert_eq!(first, hash(folder, &[("SEALIFT_DB_PORT", "5433")]));

        assert_ne!(first, hash(folder, &[("SEALIFT_HTTPS_PORT", "444")]));
        fs_err::write(folder.join("site/a.env"), "A=2\n").unwrap();
        let edited = hash(folder, &[]);
        assert_ne!(first, edited);
        fs_err::remove_file(folder.join("site/a.env")).unwrap();
        assert_ne!(edited, hash(folder, &[]));
    }
}
