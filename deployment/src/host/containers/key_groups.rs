//! Groups of key files, where the engine runs as an ordinary user.
//!
//! There a container's group 1234 is another number on the host: one of the user's subordinate group numbers, which the user
//! can only assign within the mapping. `podman unshare` runs a command in it.

use std::process::Output;

use anyhow::{Context, Result};

use super::context::Containers;
use super::kind::EngineKind;
use crate::failure::Failure;
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

    #[test]
    fn rootless_docker_gets_the_groups_for_chgrp() {
        let failure = rootless_docker(&[
            GroupFile { path: "tls/web.key".to_owned(), group: 1000 },
            GroupFile { path: "secrets/token".to_owned(), group: 999 },
        ]);
        assert!(failure.hint.unwrap().ends_with("minus 1: 1000 site/tls/web.key, 999 site/secrets/token"));
    }
}
