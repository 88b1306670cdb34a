//! The check whether services can be run from the bundle's folder.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

use crate::finding::Findings;

/// Folders that the sandbox of the units hides from the services, or replaces.
const HIDDEN: [&str; 7] = ["/home", "/root", "/run/user", "/tmp", "/var/tmp", "/dev", "/proc"];

/// Checks whether the services can read the folder: each has a user of its own, and sees neither homes nor `/tmp`.
pub(super) fn check(folder: &Path, findings: &mut Findings) -> Result<()> {
    match unusable(folder)? {
        None => findings.ok("folder", folder.display().to_string()),
        Some(reason) => {
            let hint = "move the folder to a place such as /opt, and run this again there";
            findings.error("folder", format!("services cannot be run from {}: {reason}", folder.display()), hint);
        }
    }
    Ok(())
}

/// Why services cannot be run from a folder.
fn unusable(folder: &Path) -> Result<Option<String>> {
    let text = folder.to_str().unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._+-".contains(c);
    if text.is_empty() || !text.chars().all(plain) {
        return Ok(Some("its path has characters other than letters, digits, `.`, `_`, `+` and `-`".into()));
    }
    let real = folder.canonicalize().with_context(|| format!("cannot find {text}"))?;
    if let Some(hidden) = HIDDEN.iter().find(|hidden| real.starts_with(hidden)) {
        return Ok(Some(format!("{hidden} is hidden from them")));
    }
    for above in real.ancestors() {
        let metadata = above.metadata().with_context(|| format!("cannot look at {}", above.display()))?;
        if metadata.permissions().mode() & 0o001 == 0 {
            return Ok(Some(format!("only its owner may enter {}", above.display())));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_are_hidden_from_services_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(unusable(folder.path()).unwrap().unwrap(), "/tmp is hidden from them");
        assert!(unusable(Path::new("/opt/a b")).unwrap().unwrap().starts_with("its path has characters"));
        assert_eq!(unusable(Path::new("/usr")).unwrap(), None);
    }
}
