//! Groups of key files, where the engine runs as an ordinary user.
//!
//! There a container's group 1234 is another number on the host: one of the user's subordinate group numbers, which the user
//! can only assign within the mapping. `podman unshare` runs a command in it.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Output;

use anyhow::{Context, Result};

use super::context::Containers;
use super::information::EngineInfo;
use super::kind::EngineKind;
use crate::failure::Failure;
use crate::finding::Findings;
use crate::host::deployment::Deployment;
use crate::process;
use crate::site::{self, GroupFile};

/// Assigns files to groups. Arguments: a group and a path, any number of times.
const CHGRP: &str = r#"while [ $# -gt 1 ]; do chgrp "$1" "$2" || exit 1; shift 2; done"#;

impl Containers<'_> {
    /// Assigns the key files of the site to the groups of their services, where the engine runs as an ordinary user.
    /// Elsewhere the site has done so: the group numbers are the host's own.
    ///
    /// # Errors
    /// [`Failure`] with the commands that do it by hand.
    pub(super) fn give_key_groups(&self) -> Result<()> {
        if !self.engine.info()?.rootless {
            return Ok(());
        }
        let files = site::groups(&self.deployment.profile.model);
        if files.is_empty() {
            return Ok(());
        }
        if self.engine.kind == EngineKind::Docker {
            let first = first_group(&self.machine.path("/etc/subgid"), self.machine.var("USER"));
            return Ok(rootless_docker(&self.deployment.site(), &files, first)?);
        }
        let pairs = files.into_iter().flat_map(|file| [file.group.to_string(), format!("site/{}", file.path)]);
        let mut command = self.engine.command(&["unshare", "sh", "-c", CHGRP, "sh"]);
        command.current_dir(&self.deployment.folder);
        let Output { status, stderr, .. } =
            process::answer(command.args(pairs)).with_context(|| self.engine.cannot_run())?;
        if status.success() {
            return Ok(());
        }
        let stderr = String::from_utf8_lossy(&stderr);
        let message = format!("cannot set the groups of the keys in site/: {}", stderr.trim());
        Err(Failure::failed(message).hint("the files in site/ must belong to the user who runs podman").into())
    }
}

/// Checks whether this user can assign the key files of the site to the groups of their services: on an engine that runs as
/// root, only root and members of the groups can. Without those groups the services cannot read their keys, and never
/// become healthy. `user` and `groups` are those of this process.
pub(super) fn check(deployment: &Deployment, rootless: bool, user: &User, findings: &mut Findings) {
    if rootless || user.is_root {
        return;
    }
    let missing = |file: &GroupFile| {
        let path = deployment.site().join(&file.path);
        let current = fs_err::metadata(path).ok().map(|metadata| metadata.gid());
        current != Some(file.group) && !user.groups.contains(&file.group)
    };
    let groups: BTreeSet<u32> =
        site::groups(&deployment.profile.model).iter().filter(|file| missing(file)).map(|file| file.group).collect();
    if groups.is_empty() {
        return;
    }
    let groups = groups.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    let message = format!("this user cannot assign key files to the groups {groups}, which the services read them by");
    findings.error("key groups", message, "repeat this command as root, with sudo");
}

/// Checks whether the groups of containers are those of the host: with `userns-remap`, Docker has others for all containers,
/// and nothing here can assign files to them.
pub(super) fn check_remapped(deployment: &Deployment, info: &EngineInfo, findings: &mut Findings) {
    if info.remapped && !site::groups(&deployment.profile.model).is_empty() {
        let message = "Docker maps the groups of containers (userns-remap): the services could not read their keys";
        findings.error("key groups", message, "remove userns-remap from /etc/docker/daemon.json, or use podman");
    }
}

/// The user and the groups of this process.
pub(super) struct User {
    /// Whether it may change everything.
    pub(super) is_root: bool,
    /// Its numeric groups.
    pub(super) groups: BTreeSet<u32>,
}

impl User {
    /// Those of this process.
    pub(super) fn of_process() -> Self {
        let groups = rustix::process::getgroups().unwrap_or_default();
        let groups = groups.into_iter().chain([rustix::process::getegid()]).map(|group| group.as_raw());
        Self { is_root: rustix::process::geteuid().is_root(), groups: groups.collect() }
    }
}

/// The first subordinate group number of a user (subgid(5)).
fn first_group(subgid: &Path, user: Option<&str>) -> Option<u32> {
    let text = crate::files::read_text(subgid).ok()?;
    let number = rustix::process::geteuid().as_raw().to_string();
    let mut lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let line = lines.find(|line| line.len() == 3 && (Some(line[0]) == user || line[0] == number))?;
    line[1].parse().ok()
}

/// Rootless Docker has no command that runs within its mapping: root has to set the groups. On the host a group of a container
/// is `first`, plus its number, minus 1.
fn rootless_docker(site: &Path, files: &[GroupFile], first: Option<u32>) -> Result<(), Failure> {
    let failure = Failure::failed("with rootless Docker, the services cannot read their keys yet");
    let Some(first) = first else {
        return Err(
            failure.hint("give the user of Docker's daemon a range in /etc/subgid, as rootless Docker requires")
        );
    };
    let mapped = |file: &GroupFile| first + file.group - 1;
    let is_set = |file: &&GroupFile| {
        fs_err::metadata(site.join(&file.path)).is_ok_and(|metadata| metadata.gid() == mapped(file))
    };
    let missing: Vec<&GroupFile> = files.iter().filter(|file| !is_set(file)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let commands: Vec<String> =
        missing.iter().map(|file| format!("chgrp {} {}", mapped(file), site.join(&file.path).display())).collect();
    Err(failure.hint(format!("as root: {}; then run this again", commands.join("; "))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::containers::information;
    use crate::profile::model::Groups;

    /// A user of the group `docker` got a warning, and then waited for services that could not read their keys.
    #[test]
    fn an_ordinary_user_of_an_engine_of_root_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut deployment = crate::host::testing::deployment(folder.path());
        let certificate = deployment.profile.model.site.certificates.values_mut().next().unwrap();
        certificate.key_group = Groups(vec![1_234_567]);
        let found = |rootless: bool, is_root: bool, groups: &[u32]| {
            let mut findings = Findings::default();
            check(&deployment, rootless, &User { is_root, groups: groups.iter().copied().collect() }, &mut findings);
            findings.0.iter().map(ToString::to_string).collect::<String>()
        };
        let wanted: Vec<u32> = site::groups(&deployment.profile.model).iter().map(|file| file.group).collect();
        assert!(found(false, false, &[]).starts_with("error: key groups: "));
        assert_eq!((found(false, true, &[]), found(true, false, &[])), (String::new(), String::new()));
        assert_eq!(found(false, false, &wanted), "");
    }

    #[test]
    fn remapped_groups_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut deployment = crate::host::testing::deployment(folder.path());
        let info = information::docker_info(r#"{"SecurityOptions": ["name=userns"]}"#).unwrap();
        let mut findings = Findings::default();
        check_remapped(&deployment, &info, &mut findings);
        assert_eq!(findings, Findings::default());
        deployment.profile.model.site.certificates.values_mut().next().unwrap().key_group = Groups(vec![1234]);
        check_remapped(&deployment, &info, &mut findings);
        assert!(findings.0[0].message.contains("userns-remap"));
    }

    /// `up` failed with this hint for ever, also once the groups were set.
    #[test]
    fn rootless_docker_gets_the_commands_for_root() {
        let place = tempfile::tempdir().unwrap();
        let subgid = place.path().join("subgid");
        fs_err::write(&subgid, "other:1:9\nada:100000:65536\n").unwrap();
        let first = first_group(&subgid, Some("ada"));
        assert_eq!((first, first_group(&subgid, Some("bo"))), (Some(100_000), None));
        let files = [("web.key", 1000), ("token", 999)].map(|(path, group)| GroupFile { path: path.to_owned(), group });
        let hint = rootless_docker(Path::new("/srv"), &files, first).unwrap_err().hint.unwrap();
        assert_eq!(hint, "as root: chgrp 100999 /srv/web.key; chgrp 100998 /srv/token; then run this again");
        // As if root had set it.
        fs_err::write(place.path().join("own"), "").unwrap();
        let own = fs_err::metadata(place.path().join("own")).unwrap().gid();
        let file = GroupFile { path: "own".to_owned(), group: 1 };
        rootless_docker(place.path(), &[file], Some(own)).unwrap();
        assert!(rootless_docker(place.path(), &files, None).unwrap_err().hint.unwrap().contains("/etc/subgid"));
    }
}
