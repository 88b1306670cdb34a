//! Whether services write where their data is kept: what is in no volume is lost with the container.

use anyhow::Result;

use super::context::Containers;
use crate::finding::Findings;
use crate::profile::model::Service;

/// Where programs keep data. Caches, logs and what is made at each start are elsewhere.
const DATA: [&str; 6] = ["/var/lib/", "/var/www/", "/var/opt/", "/srv/", "/data/", "/home/"];
/// The most paths that are looked at.
const LINES: usize = 10_000;

impl Containers<'_> {
    /// Finds running services all of whose volumes are empty, and that have written elsewhere: the program does not use the path that
    /// the volume is at.
    pub(super) fn check_written(&self, findings: &mut Findings) -> Result<()> {
        let model = &self.deployment.profile.model;
        for (instance, container) in self.inspected()? {
            let service = model.service(instance);
            if !container.is_running() || service.read_only || service.volumes.is_empty() || !self.all_empty(service)? {
                continue;
            }
            let name = self.layout()?.resource_name(instance);
            let changes = self.engine.run(&["diff", &name])?;
            let Some(path) = added(&changes, service) else { continue };
            let at: Vec<&str> = service.volumes.values().map(String::as_str).collect();
            let message = format!(
                "it has written to {path}, which is in no volume and is lost with its container; {} is empty",
                at.join(", ")
            );
            let hint = "let the program write to the volume, or give the volume the path that it uses: `volumes` of the service in \
                        profile.toml";
            findings.warn(instance, message, hint);
        }
        Ok(())
    }

    fn all_empty(&self, service: &Service) -> Result<bool> {
        for volume in service.volumes.keys() {
            let found = self.look_into_volume(&self.layout()?.resource_name(volume), &[])?;
            if !matches!(found, Some(Ok(contents)) if contents.is_empty) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The first file or folder with data that a container has and its image has not, of the lines that `diff` prints: `A PATH`.
fn added<'d>(changes: &'d str, service: &Service) -> Option<&'d str> {
    let paths: Vec<&str> = changes.lines().take(LINES).filter_map(|line| line.strip_prefix("A ")).collect();
    let mounts = service.volumes.values().chain(service.tmpfs.iter()).chain(service.site_files.values());
    let mounts: Vec<&String> = mounts.chain(service.config_files.values()).collect();
    // Engines make the folders that they mount to.
    let is_mounted = |path: &str| mounts.iter().any(|mount| within(mount, path) || within(path, mount));
    let is_data = |path: &str| DATA.iter().any(|folder| path.starts_with(folder));
    // Bytecode, and the folders that nginx makes for what it receives, are none.
    let is_other = |path: &str| path.contains("__pycache__") || path.starts_with("/var/lib/nginx/");
    paths.into_iter().find(|path| is_data(path) && !is_other(path) && !is_mounted(path))
}

/// Whether `path` is `folder`, or below it.
fn within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder.trim_end_matches('/')).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::testing::{self, Podman};

    /// slapd wrote to another folder than that of its volume: all was green, and its entries were gone after `down` and `up`.
    #[test]
    fn data_outside_of_an_empty_volume_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut deployment = testing::deployment(folder.path());
        let volume = tempfile::tempdir().unwrap();
        deployment.profile.model.services.get_mut("shop-database").unwrap().read_only = false;
        let found = |changes: &str| {
            let script = format!(
                "case \"$*\" in 'volume inspect'*) echo {}; exit;; diff*database) printf '{changes}'; exit;; diff*) exit 1;; esac",
                volume.path().display()
            );
            let podman = Podman::new(&script);
            let containers = podman.containers(&deployment);
            let names = deployment.instances().into_iter().map(|name| containers.layout().unwrap().resource_name(name));
            for name in names {
                containers.engine.run(&["create", "--name", &name]).unwrap();
                containers.engine.run(&["start", &name]).unwrap();
            }
            let mut findings = Findings::default();
            containers.check_written(&mut findings).unwrap();
            findings.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        let changes = "C /var\\nC /var/lib\\nA /var/lib/directory\\nA /var/lib/directory/data.mdb\\nA /run/x\\n";
        insta::assert_snapshot!(found(changes), @r"
        warning: shop-database: it has written to /var/lib/directory, which is in no volume and is lost with its container; /var/lib/database is empty
          hint: let the program write to the volume, or give the volume the path that it uses: `volumes` of the service in profile.toml
        ");
        assert!(found("C /var/lib/ldap\\nA /var/lib/ldap/data.mdb\\n").contains("written to /var/lib/ldap/data.mdb"));
        assert_eq!(found("A /var/lib/nginx/body\\nA /run/a\\nA /run/a/b\\nC /srv/x\\nA /var/lib/database\\n"), "");
        fs_err::write(volume.path().join("data"), "").unwrap();
        assert_eq!(found(changes), "");
    }
}
