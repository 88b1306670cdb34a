//! Whether the engine and the host's kernel are fit for it.

use super::answers::{Facts, version};
use super::{Engine, Kind};
use crate::finding::Findings;
use crate::machine::Machine;

/// The oldest engines that are tested; older ones may refuse the images.
const OLDEST: [(Kind, u32, u32); 2] = [(Kind::Podman, 4, 3), (Kind::Docker, 20, 10)];
/// User numbers that a rootless engine should have: what `useradd` gives.
const ENOUGH_IDS: u64 = 65536;

/// The engine's version.
pub(super) fn engine(engine: &Engine, findings: &mut Findings) {
    let told = format!("{} {}", engine.program(), engine.version);
    let oldest =
        OLDEST.iter().find(|(kind, ..)| *kind == engine.kind).map_or((0, 0), |&(_, major, minor)| (major, minor));
    match version(&engine.version) {
        Some(found) if found < oldest => {
            let hint = format!("{} {}.{} or newer is known to work", engine.program(), oldest.0, oldest.1);
            findings.error("engine", format!("{told} is too old"), hint);
        }
        Some(_) => findings.ok("engine", told),
        None => findings.warn("engine", format!("{told}: no known version"), "go on if it is a recent one"),
    }
}

/// The bundle's platform (`linux/amd64`) against the engine's.
pub(super) fn architecture(platform: &str, facts: &Facts, findings: &mut Findings) {
    let (own, wanted) = (format!("linux/{}", facts.architecture), platform);
    if wanted == own || wanted.starts_with(&format!("{own}/")) {
        findings.ok("architecture", own);
    } else {
        let hint = "take the bundle that was built for this host's architecture";
        findings.error("architecture", format!("the bundle is for {wanted}, this host is {own}"), hint);
    }
}

/// What ordinary users need to run containers, and what is known to go wrong. `users` is the highest user or group number
/// within the images.
pub(super) fn kernel(engine: &Engine, facts: &Facts, users: u32, machine: &Machine, findings: &mut Findings) {
    if let Some(ids) = facts.ids {
        let hint = "as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER, then as that user: \
                    podman system migrate";
        if ids <= users.into() {
            let message = format!("{ids} user numbers are mapped, and the services run as users up to {users}");
            findings.error("user numbers", message, hint);
        } else if ids < ENOUGH_IDS {
            findings.warn("user numbers", format!("only {ids} are mapped"), hint);
        } else {
            findings.ok("user numbers", format!("{ids} are mapped"));
        }
    }
    // Under cgroups v1 beside v2, as systemd 246 and older had it.
    let hybrid = machine.path("/sys/fs/cgroup/unified").is_dir();
    if hybrid && engine.kind == Kind::Podman && facts.runtime == "crun" {
        let hint = "install runc, and write `runtime = \"runc\"` below `[engine]` in /etc/containers/containers.conf";
        findings.error("control groups", "hybrid ones, which crun refuses", hint);
    }
    let enforcing =
        fs_err::read_to_string(machine.path("/sys/fs/selinux/enforce")).is_ok_and(|text| text.trim() == "1");
    if enforcing {
        let hint = "if a service cannot read its files: chcon -R -t container_file_t site";
        findings.warn("SELinux", "it is enforcing", hint);
    }
    if facts.rootless && machine.path("/run/systemd/system").is_dir() {
        let user = machine.var("USER").unwrap_or_default();
        if !user.is_empty() && !machine.path("/var/lib/systemd/linger").join(user).exists() {
            let hint = format!("as root: loginctl enable-linger {user}");
            findings.warn("lingering", format!("the services end when {user} logs out"), hint);
        }
    }
}

/// The clock (`now`, in seconds since 1970) against the newest thing in the bundle.
pub(super) fn clock(now: i64, epoch: u64, findings: &mut Findings) {
    let date = |seconds: i64| {
        jiff::Timestamp::from_second(seconds).map_or_else(|_| "?".into(), |time| time.strftime("%Y-%m-%d").to_string())
    };
    let epoch = i64::try_from(epoch).unwrap_or(i64::MAX);
    if now < epoch {
        let message = format!("it is {} here, but the bundle's contents are of {}", date(now), date(epoch));
        findings.error("clock", message, "set the clock: certificates made now would not be valid yet, or too long");
    } else {
        findings.ok("clock", date(now));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::host::answers;

    fn told(findings: &Findings) -> String {
        findings.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn old_engines_are_refused() {
        let mut findings = Findings::default();
        for (kind, version) in [
            (Kind::Podman, "4.2.0"),
            (Kind::Podman, "4.3.1"),
            (Kind::Docker, "20.10.24+dfsg1"),
            (Kind::Docker, "19.03"),
        ] {
            engine(&Engine::of(kind, version), &mut findings);
        }
        insta::assert_snapshot!(told(&findings), @r"
        error: engine: podman 4.2.0 is too old
          hint: podman 4.3 or newer is known to work
        ok: engine: podman 4.3.1
        ok: engine: docker 20.10.24+dfsg1
        error: engine: docker 19.03 is too old
          hint: docker 20.10 or newer is known to work
        ");
    }

    #[test]
    fn a_bundle_for_another_architecture() {
        let facts = answers::podman(r#"{"host": {"arch": "arm64"}}"#).unwrap();
        let mut findings = Findings::default();
        architecture("linux/arm64/v8", &facts, &mut findings);
        architecture("linux/amd64", &facts, &mut findings);
        insta::assert_snapshot!(told(&findings), @r"
        ok: architecture: linux/arm64
        error: architecture: the bundle is for linux/amd64, this host is linux/arm64
          hint: take the bundle that was built for this host's architecture
        ");
    }

    #[test]
    fn what_ordinary_users_lack() {
        let place = tempfile::tempdir().unwrap();
        for folder in ["sys/fs/cgroup/unified", "run/systemd/system"] {
            fs_err::create_dir_all(place.path().join(folder)).unwrap();
        }
        let facts = answers::podman(
            r#"{"host": {"security": {"rootless": true}, "idMappings": {"uidmap": [{"size": 1}]}, "ociRuntime": {"name": "crun"}}}"#,
        );
        let machine = Machine::of(place.path(), &[("USER", "ada")]);
        let mut findings = Findings::default();
        kernel(&Engine::of(Kind::Podman, "4.3.1"), &facts.unwrap(), 1236, &machine, &mut findings);
        insta::assert_snapshot!(told(&findings), @r#"
        error: user numbers: 1 user numbers are mapped, and the services run as users up to 1236
          hint: as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER, then as that user: podman system migrate
        error: control groups: hybrid ones, which crun refuses
          hint: install runc, and write `runtime = "runc"` below `[engine]` in /etc/containers/containers.conf
        warning: lingering: the services end when ada logs out
          hint: as root: loginctl enable-linger ada
        "#);
        let root = answers::podman("{}").unwrap();
        let mut findings = Findings::default();
        kernel(
            &Engine::of(Kind::Podman, "4.3.1"),
            &root,
            1236,
            &Machine::of(Path::new("/nowhere"), &[]),
            &mut findings,
        );
        assert_eq!(findings, Findings::default());
    }

    #[test]
    fn a_clock_that_is_behind_the_bundle() {
        let mut findings = Findings::default();
        clock(1_700_000_000, 1_600_000_000, &mut findings);
        clock(0, 1_600_000_000, &mut findings);
        insta::assert_snapshot!(told(&findings), @r"
        ok: clock: 2023-11-14
        error: clock: it is 1970-01-01 here, but the bundle's contents are of 2020-09-13
          hint: set the clock: certificates made now would not be valid yet, or too long
        ");
    }
}
