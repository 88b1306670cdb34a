//! Groups of key files, where the engine runs as an ordinary user.
//!
//! There a container's group 1234 is another number on the host: one of the user's subordinate group numbers, which the user
//! can only assign within the mapping. `podman unshare` runs a command in it.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::process::Output;

use anyhow::{Context, Result};

use super::context::Containers;
use super::kind::EngineKind;
use crate::failure::Failure;
use crate::finding::Findings;
use crate::host::deployment::Deployment;
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
            return Err(rootless_docker(&files).into());
        }
        let pairs = files.into_iter().flat_map(|file| [file.group.to_string(), format!("site/{}", file.path)]);
        let mut command = self.engine.command(&["unshare", "sh", "-c", CHGRP, "sh"]);
        let Output { status, stderr, .. } = command.args(pairs).output().with_context(|| self.engine.cannot_run())?;
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

/// Rootless Docker has no command that runs within its mapping.
fn rootless_docker(files: &[GroupFile]) -> Failure {
    let files: Vec<String> = files.iter().map(|file| format!("{} site/{}", file.group, file.path)).collect();
    Failure::failed("with rootless Docker, the services cannot read their keys yet").hint(format!(
        "set the group of each file with sudo chgrp. On the host it is the first number of the daemon's user in \
         /etc/subgid, plus the group, minus 1: {}",
        files.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A user of the group `docker` got a warning, and then waited for services that could not read their keys.
    #[test]
    fn an_ordinary_user_of_an_engine_of_root_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut deployment = crate::host::testing::deployment(folder.path());
        let certificate = deployment.profile.model.site.certificates.values_mut().next().unwrap();
        certificate.key_group = Some(1_234_567);
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
    fn rootless_docker_gets_the_groups_for_chgrp() {
        let failure = rootless_docker(&[
            GroupFile { path: "tls/web.key".to_owned(), group: 1000 },
            GroupFile { path: "secrets/token".to_owned(), group: 999 },
        ]);
        assert!(failure.hint.unwrap().ends_with("minus 1: 1000 site/tls/web.key, 999 site/secrets/token"));
    }
}
