//! Checks of the engine and of the host's kernel.

use std::path::Path;

use super::engine::Engine;
use super::information::{EngineInfo, version};
use super::kind::EngineKind;
use crate::finding::Findings;
use crate::machine::Machine;

/// The oldest versions of engines that are tested; older ones may refuse the images.
const OLDEST: [(EngineKind, u32, u32); 2] = [(EngineKind::Podman, 4, 3), (EngineKind::Docker, 20, 10)];
/// User numbers that a rootless engine should have: as many as `useradd` assigns.
const ENOUGH_IDS: u64 = 65536;

/// Checks the engine's version.
pub(super) fn engine(engine: &Engine, findings: &mut Findings) {
    let name = format!("{} {}", engine.program(), engine.version);
    let oldest =
        OLDEST.iter().find(|(kind, ..)| *kind == engine.kind).map_or((0, 0), |&(_, major, minor)| (major, minor));
    match version(&engine.version) {
        Some(found) if found < oldest => {
            let hint = format!("install {} {}.{} or newer", engine.program(), oldest.0, oldest.1);
            findings.error("engine", format!("{name} is too old"), hint);
        }
        Some(_) => findings.ok("engine", name),
        None => findings.warn("engine", format!("{name}: unknown version"), "ignore this if it is a recent version"),
    }
}

/// Compares the bundle's platform (`linux/amd64`) with the engine's.
pub(super) fn architecture(platform: &str, info: &EngineInfo, findings: &mut Findings) {
    let (own, wanted) = (format!("linux/{}", info.architecture), platform);
    if wanted == own || wanted.starts_with(&format!("{own}/")) {
        findings.ok("architecture", own);
    } else {
        let hint = "use the bundle for this host's architecture";
        findings.error("architecture", format!("the bundle is for {wanted}, this host is {own}"), hint);
    }
}

/// Checks the settings of the kernel and of the user that containers need. `highest_id` is the highest user or group number
/// within the images.
pub(super) fn kernel(engine: &Engine, info: &EngineInfo, highest_id: u32, machine: &Machine, findings: &mut Findings) {
    user_numbers(info, highest_id, findings);
    // Under cgroups v1 beside v2, as systemd 246 and older had it.
    let hybrid = machine.path("/sys/fs/cgroup/unified").is_dir();
    if hybrid && engine.kind == EngineKind::Podman && info.runtime == "crun" {
        let hint = "install runc, and write `runtime = \"runc\"` below `[engine]` in /etc/containers/containers.conf";
        findings.error("control groups", "crun does not work with hybrid control groups", hint);
    }
    if info.rootless {
        lingering(machine, findings);
    }
}

/// Checks whether SELinux lets containers read the site in `folder`. New files get the label of their folder.
pub(super) fn selinux(folder: &Path, info: &EngineInfo, machine: &Machine, findings: &mut Findings) {
    let enforcing =
        fs_err::read_to_string(machine.path("/sys/fs/selinux/enforce")).is_ok_and(|text| text.trim() == "1");
    // An engine without SELinux leaves its containers unconfined.
    if !enforcing || !info.selinux {
        return;
    }
    let site = folder.join("site");
    let labelled = if site.exists() { &site } else { folder };
    let mut label = [0; 256];
    let length = rustix::fs::getxattr(labelled, "security.selinux", &mut label[..]).unwrap_or(0);
    if String::from_utf8_lossy(&label[..length]).contains(":container_file_t:") {
        return findings.ok("SELinux", "containers can read the site");
    }
    let message = format!("containers cannot read {}: it does not have the type container_file_t", labelled.display());
    findings.error("SELinux", message, format!("as root: chcon -R -t container_file_t {}", folder.display()));
}

/// Checks whether enough user numbers are mapped for an ordinary user's engine.
fn user_numbers(info: &EngineInfo, highest_id: u32, findings: &mut Findings) {
    if let Some(ids) = info.ids {
        let hint = "as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER, then as that user: \
                    podman system migrate";
        if ids <= highest_id.into() {
            let message = format!("{ids} user numbers are mapped, but the services need those up to {highest_id}");
            findings.error("user numbers", message, hint);
        } else if ids < ENOUGH_IDS {
            findings.warn("user numbers", format!("only {ids} are mapped"), hint);
        } else {
            findings.ok("user numbers", format!("{ids} are mapped"));
        }
    }
}

/// Checks whether an ordinary user's services keep running after that user logs out.
fn lingering(machine: &Machine, findings: &mut Findings) {
    if machine.path("/run/systemd/system").is_dir() {
        let user = machine.var("USER").unwrap_or_default();
        if !user.is_empty() && !machine.path("/var/lib/systemd/linger").join(user).exists() {
            let hint = format!("as root: loginctl enable-linger {user}");
            findings.warn("lingering", format!("the services stop when {user} logs out"), hint);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::containers::information;

    fn lines(findings: &Findings) -> String {
        findings.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn old_engines_are_refused() {
        let mut findings = Findings::default();
        for (kind, version) in [
            (EngineKind::Podman, "4.2.0"),
            (EngineKind::Podman, "4.3.1"),
            (EngineKind::Docker, "20.10.24+dfsg1"),
            (EngineKind::Docker, "19.03"),
        ] {
            engine(&Engine::of(kind, version), &mut findings);
        }
        insta::assert_snapshot!(lines(&findings), @r"
        error: engine: podman 4.2.0 is too old
          hint: install podman 4.3 or newer
        ok: engine: podman 4.3.1
        ok: engine: docker 20.10.24+dfsg1
        error: engine: docker 19.03 is too old
          hint: install docker 20.10 or newer
        ");
    }

    #[test]
    fn a_bundle_for_another_architecture_is_refused() {
        let info = information::podman_info(r#"{"host": {"arch": "arm64"}}"#).unwrap();
        let mut findings = Findings::default();
        architecture("linux/arm64/v8", &info, &mut findings);
        architecture("linux/amd64", &info, &mut findings);
        insta::assert_snapshot!(lines(&findings), @r"
        ok: architecture: linux/arm64
        error: architecture: the bundle is for linux/amd64, this host is linux/arm64
          hint: use the bundle for this host's architecture
        ");
    }

    #[test]
    fn files_that_containers_cannot_read_under_selinux_are_an_error() {
        let place = tempfile::tempdir().unwrap();
        fs_err::create_dir_all(place.path().join("sys/fs/selinux")).unwrap();
        fs_err::write(place.path().join("sys/fs/selinux/enforce"), "1").unwrap();
        let machine = Machine::of(place.path(), &[]);
        let check = |engine: &str| {
            let mut findings = Findings::default();
            selinux(Path::new("/srv/shop"), &information::podman_info(engine).unwrap(), &machine, &mut findings);
            lines(&findings)
        };
        insta::assert_snapshot!(check(r#"{"host": {"security": {"selinuxEnabled": true}}}"#), @r"
        error: SELinux: containers cannot read /srv/shop: it does not have the type container_file_t
          hint: as root: chcon -R -t container_file_t /srv/shop
        ");
        assert_eq!(check("{}"), "");
    }

    #[test]
    fn settings_that_ordinary_users_lack_are_reported() {
        let place = tempfile::tempdir().unwrap();
        for folder in ["sys/fs/cgroup/unified", "run/systemd/system"] {
            fs_err::create_dir_all(place.path().join(folder)).unwrap();
        }
        let info = information::podman_info(
            r#"{"host": {"security": {"rootless": true}, "idMappings": {"uidmap": [{"size": 1}]}, "ociRuntime": {"name": "crun"}}}"#,
        );
        let machine = Machine::of(place.path(), &[("USER", "ada")]);
        let mut findings = Findings::default();
        kernel(&Engine::of(EngineKind::Podman, "4.3.1"), &info.unwrap(), 1236, &machine, &mut findings);
        insta::assert_snapshot!(lines(&findings), @r#"
        error: user numbers: 1 user numbers are mapped, but the services need those up to 1236
          hint: as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER, then as that user: podman system migrate
        error: control groups: crun does not work with hybrid control groups
          hint: install runc, and write `runtime = "runc"` below `[engine]` in /etc/containers/containers.conf
        warning: lingering: the services stop when ada logs out
          hint: as root: loginctl enable-linger ada
        "#);
        let root = information::podman_info("{}").unwrap();
        let mut findings = Findings::default();
        kernel(
            &Engine::of(EngineKind::Podman, "4.3.1"),
            &root,
            1236,
            &Machine::of(Path::new("/nowhere"), &[]),
            &mut findings,
        );
        assert_eq!(findings, Findings::default());
    }
}
