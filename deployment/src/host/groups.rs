//! Groups of key files, where the engine runs as an ordinary user.
//!
//! There a container's group 1234 is another number on the host: one of the user's subordinate ones, which the user cannot
//! give to a file except within the mapping. `podman unshare` runs a command in it.

use std::process::Stdio;

use anyhow::Result;

use super::answers::Facts;
use super::{Deployment, Engine, Kind};
use crate::failure::Failure;
use crate::site;

/// Gives files to groups: pairs of a group and a path.
const GIVE: &str = r#"while [ $# -gt 1 ]; do chgrp "$1" "$2" || exit 1; shift 2; done"#;

impl Deployment {
    /// Lets the services read their keys and secrets under an ordinary user's podman. Nothing to do elsewhere: there the
    /// groups are the host's own.
    ///
    /// # Errors
    /// [`Failure`] with the way to do it by hand.
    pub(super) fn give_groups(&self, engine: &Engine, facts: &Facts) -> Result<()> {
        if !facts.rootless {
            return Ok(());
        }
        let files = site::groups(&self.profile.model).into_iter();
        let pairs: Vec<String> =
            files.flat_map(|file| [file.group.to_string(), format!("site/{}", file.path)]).collect();
        if pairs.is_empty() {
            return Ok(());
        }
        if engine.kind == Kind::Docker {
            let numbers: Vec<String> = pairs.chunks(2).map(|pair| pair.join(" ")).collect();
            let message = "under a rootless Docker the services cannot read their keys yet";
            let hint = format!(
                "give each file to its group, as the daemon's user has it (first number of /etc/subgid, plus the group, \
                 minus 1), with sudo chgrp: {}",
                numbers.join(", ")
            );
            return Err(Failure::failed(message).hint(hint).into());
        }
        let mut command = engine.command(&["unshare", "sh", "-c", GIVE, "sh"]);
        let output = command.args(&pairs).stdin(Stdio::null()).output()?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let message = format!("the services could not be given their keys: {}", said.trim());
        Err(Failure::failed(message).hint("the files below site/ must belong to the user who runs podman").into())
    }
}
