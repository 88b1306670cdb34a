//! Where a deployment was looked for, and where else it may be: each engine, and each user's podman, has containers and
//! volumes of its own.

use anyhow::Result;

use super::context::Containers;
use super::engine::Engine;
use super::kind::EngineKind;

impl Containers<'_> {
    /// The engine, whose it is, and the project: `podman of root, project parsec-standalone`.
    pub(super) fn shown_place(&self) -> String {
        let engine = match self.engine.kind {
            EngineKind::Podman => format!("podman of {}", self.user()),
            EngineKind::Docker => {
                let address = self.engine.run(&["context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]);
                let address = address.map(|text| text.trim().to_owned()).unwrap_or_default();
                if address.is_empty() { "docker".to_owned() } else { format!("docker at {address}") }
            }
        };
        match self.layout() {
            Ok(layout) => format!("{engine}, project {}", layout.project),
            Err(_) => engine,
        }
    }

    fn user(&self) -> String {
        match self.machine.var("USER") {
            _ if rustix::process::geteuid().is_root() => "root".to_owned(),
            Some(user) => format!("the user {user}"),
            None => format!("the user {}", rustix::process::geteuid().as_raw()),
        }
    }

    /// What the host's other engine has of this deployment, and the option that looks there.
    pub(super) fn other_engine(&self) -> Option<(String, String)> {
        let kind = match self.engine.kind {
            EngineKind::Podman => EngineKind::Docker,
            EngineKind::Docker => EngineKind::Podman,
        };
        let engine = Engine::find(&self.deployment.folder, Some(kind.program()), self.machine).ok()?;
        let other = Containers { deployment: self.deployment, engine, machine: self.machine };
        let (containers, volumes) = (other.inspected().ok()?.len(), other.existing_volumes().ok()?.len());
        let has = match (containers, volumes) {
            (0, 0) => return None,
            (0, _) => "volumes",
            _ => "containers",
        };
        Some((format!("{} has {has} of this project", kind.program()), format!("--engine {}", kind.program())))
    }

    /// The volumes that exist, by the names that the engine has them under.
    pub(super) fn existing_volumes(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for volume in self.volumes()?.into_values() {
            if self.engine.query(&["volume", "inspect", &volume])?.is_some() {
                found.push(volume);
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;
    use crate::host::testing;
    use crate::machine::Machine;

    #[test]
    fn containers_of_the_other_engine_are_found() {
        let place = tempfile::tempdir().unwrap();
        let program = |name: &str, script: &str| {
            let path = place.path().join(name);
            fs_err::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs_err::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        };
        program("podman", "[ $1 = version ] && echo 4.3.1; [ $2 = inspect ] && echo '[]'; exit 0");
        let container = r#"[{"Name": "/shop-small_shop-web", "State": {"Status": "running"}}]"#;
        program("docker", &format!("[ $1 = version ] && echo 28.1; [ $1 = container ] && echo '{container}'; exit 0"));
        let machine = Machine::of(Path::new("/"), &[("PATH", place.path().to_str().unwrap())]);
        let deployment = testing::deployment(place.path());
        let containers = Containers::find(&deployment, Some("podman"), &machine).unwrap();
        let (found, option) = containers.other_engine().unwrap();
        assert_eq!((found.as_str(), option.as_str()), ("docker has containers of this project", "--engine docker"));
        assert!(containers.shown_place().ends_with(", project shop-small"));
        fs_err::remove_file(place.path().join("docker")).unwrap();
        assert_eq!(containers.other_engine(), None);
    }
}
