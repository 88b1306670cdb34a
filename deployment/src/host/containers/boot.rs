//! What happens to the services at a reboot of the host.

use std::path::{Path, PathBuf};

use super::context::Containers;
use super::kind::EngineKind;
use crate::files::sorted_dir;
use crate::render::boot::{self, Manager};

impl Containers<'_> {
    /// The commands after which the services start at each boot; `None` where they do, or where systemd does not run.
    ///
    /// Docker starts them itself. podman's `podman-restart` starts only containers with the policy `always`, which would
    /// also start those that an operator has stopped.
    pub(super) fn missing_boot_unit(&self) -> Option<Vec<String>> {
        let is_here = self.machine.path("/run/systemd/system").is_dir();
        if self.engine.kind == EngineKind::Docker || !is_here {
            return None;
        }
        let rootless = self.engine.info().ok()?.rootless;
        let folder = self.deployment.folder.to_str()?;
        let units = if rootless { self.user_units()? } else { self.machine.path("/etc/systemd/system") };
        if mentions(&units, folder) {
            return None;
        }
        let beside = self.deployment.folder.join("sealift");
        let program = if beside.is_file() { beside.as_path() } else { self.machine.program().unwrap_or(&beside) };
        let manager = if rootless { Manager::User } else { Manager::System };
        Some(boot::commands(&self.layout().ok()?.project, &boot::start(program.to_str()?, folder), manager))
    }

    fn user_units(&self) -> Option<PathBuf> {
        Some(self.machine.config_home()?.join("systemd/user"))
    }
}

/// Whether a unit in `directory` names this folder.
fn mentions(directory: &Path, folder: &str) -> bool {
    let escaped = folder.replace('%', "%%");
    let files = sorted_dir(directory).unwrap_or_default().into_iter();
    let mut units = files.filter(|path| path.extension().is_some_and(|extension| extension == "service"));
    // Not a folder whose name only begins like this one's.
    let ends = ['/', '"', ' ', '\n'].map(|end| format!("{escaped}{end}"));
    units.any(|path| crate::files::read_text(&path).is_ok_and(|text| ends.iter().any(|end| text.contains(end))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::testing;
    use crate::machine::Machine;

    #[test]
    fn podman_needs_a_unit_that_names_the_folder() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["run/systemd/system", "etc/systemd/system", "shop"] {
            fs_err::create_dir_all(root.path().join(folder)).unwrap();
        }
        let deployment = testing::deployment(&root.path().join("shop"));
        let podman = testing::Podman::new("");
        let machine = Machine::of(root.path(), &[]);
        let containers = Containers { machine: &machine, ..podman.containers(&deployment) };
        let commands = containers.missing_boot_unit().unwrap();
        assert_eq!(commands[1], "systemctl enable shop-small");
        // The commands, as a shell runs them.
        let unit = root.path().join("etc/systemd/system/shop-small.service");
        let script = commands[0].replace("/etc/systemd/system/shop-small.service", unit.to_str().unwrap());
        assert!(std::process::Command::new("sh").args(["-c", &script]).status().unwrap().success());
        let text = fs_err::read_to_string(&unit).unwrap();
        let folder = deployment.folder.display();
        assert!(text.contains(&format!("\nExecStart=\"{folder}/sealift\" up --directory \"{folder}\"\n")), "{text}");
        assert_eq!(containers.missing_boot_unit(), None);
    }
}
