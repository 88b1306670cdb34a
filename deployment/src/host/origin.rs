//! The check whether the site in a bundle's folder was made on this host, before it is used.

use std::path::PathBuf;

use anyhow::Result;

use super::deployment::Deployment;
use super::runtime::Runtime;
use crate::failure::Failure;
use crate::finding::Findings;
use crate::site::{KnownSites, Origin};

/// An objection to the site in a bundle's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objection {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: &'static str,
}

/// What to do about a site that nobody knows.
const ACCEPT: &str = "if you put it there yourself, use --accept-site; otherwise remove site/ and .env, and get the bundle \
                      again over a way that you trust";
/// What to do about one whose secrets are others now.
const ACCEPT_CHANGE: &str = "if you changed it yourself, use --accept-site; otherwise restore it from your backup";

/// What to do about lost secrets.
const ACCEPT_LOSS: &str = "restore it from your backup: data may be unreadable with another one; for a new one in its place, use --accept-site";
/// What to do in the folder of an earlier version.
const TAKE_OVER: &str = "to go back to this version, which may not read newer data, use `up --take-over` here";

/// The folder that has taken over the deployment from this one: this is the folder of an earlier version.
///
/// # Errors
/// When a file cannot be read.
pub fn successor(deployment: &Deployment, known: &KnownSites) -> Result<Option<PathBuf>> {
    if !deployment.has_site() {
        return Ok(None);
    }
    known.successor(&deployment.site(), &deployment.profile.model, &deployment.place()?)
}

/// Refuses a command that changes what runs, in the folder of an earlier version.
///
/// # Errors
/// [`Failure::usage`] that names the folder that has taken over.
pub fn refuse_former(deployment: &Deployment, known: &KnownSites) -> Result<()> {
    let Some(owner) = successor(deployment, known)? else { return Ok(()) };
    let owner = owner.display();
    let message = format!("{owner} has taken over this deployment: this is the folder of an earlier version");
    let hint = format!("run the command there: add --directory {owner}; {TAKE_OVER}");
    Err(Failure::usage(message).hint(hint).into())
}

/// Finds out that this is the folder of an earlier version. `accepted` says that the operator wants to go back to it.
///
/// # Errors
/// When a file cannot be read.
pub(super) fn check_successor(
    deployment: &Deployment,
    known: &KnownSites,
    accepted: bool,
    findings: &mut Findings,
) -> Result<()> {
    let Some(owner) = successor(deployment, known)? else { return Ok(()) };
    let owner = owner.display();
    let message = format!("{owner} has taken over this deployment: this is the folder of an earlier version");
    if accepted {
        findings.warn("project", message, "this folder takes it back, as --take-over says");
    } else {
        let hint = format!("run the command there: add --directory {owner}; {TAKE_OVER}");
        findings.error("project", message, hint);
    }
    Ok(())
}

/// Refuses a site that was added to a bundle: neither this host made it, nor does the bundle name it. `accepted` says that
/// the operator takes it.
///
/// # Errors
/// When a check cannot be carried out. A site that is refused is a finding.
pub(super) fn check(
    deployment: &Deployment,
    runtime: &dyn Runtime,
    known: &KnownSites,
    accepted: bool,
    findings: &mut Findings,
) -> Result<()> {
    let Some(Objection { message, hint }) = objection(deployment, Some(runtime), known)? else { return Ok(()) };
    if accepted {
        findings.warn("site", message, "it is used, as --accept-site says");
    } else {
        findings.error("site", message, hint);
    }
    Ok(())
}

/// Why the site of `deployment` is not used without the operator's word. `None` if there is nothing to object to. Without
/// a `runtime`, what runs on the host does not count.
///
/// # Errors
/// When a file cannot be read, or the engine fails.
pub fn objection(
    deployment: &Deployment,
    runtime: Option<&dyn Runtime>,
    known: &KnownSites,
) -> Result<Option<Objection>> {
    let because = |message, hint| Ok(Some(Objection { message, hint }));
    let files: Vec<&str> = deployment.bundle.site_files().collect();
    let Some(first) = files.first() else { return Ok(None) };
    match known.origin(&deployment.site(), &deployment.profile.model)? {
        Origin::Here => return Ok(None),
        Origin::Changed(paths) => {
            return because(format!("site/{} was changed since the last start", paths.join(", site/")), ACCEPT_CHANGE);
        }
        Origin::Lost(paths) => {
            return because(format!("site/{} is not there any more", paths.join(", site/")), ACCEPT_LOSS);
        }
        Origin::Unknown => {}
    }
    match deployment.bundle.verify_site() {
        Some(violations) if violations.is_empty() => return Ok(None),
        Some(violations) => {
            let lines: Vec<String> = violations.iter().map(|violation| format!("\n  {violation}")).collect();
            return because(format!("it is not the one of this bundle:{}", lines.concat()), ACCEPT);
        }
        None => {}
    }
    // Versions before this one remembered no sites.
    if let Some(runtime) = runtime
        && runtime.runs_with_site()?
    {
        return Ok(None);
    }
    let more = match files.len() {
        1 => String::new(),
        count => format!(" and {} more", count - 1),
    };
    because(format!("{first}{more}: neither made on this host nor part of the bundle"), ACCEPT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::testing;
    use sealift_layers::tree::{Entry, TreePath};

    #[test]
    fn files_beside_the_bundle_need_an_origin() {
        let folder = tempfile::tempdir().unwrap();
        let mut deployment = testing::deployment(folder.path());
        let known = KnownSites::at(&folder.path().join("state"));
        let objection =
            |deployment: &Deployment| objection(deployment, None, &known).unwrap().map(|found| found.message);
        assert_eq!(objection(&deployment), None);
        // Folders alone: engines make them in place of files that they have to mount.
        let mut add = |path: &str, entry: Entry| {
            deployment.bundle.files.insert(TreePath::new(path).unwrap(), entry);
            objection(&deployment)
        };
        assert_eq!(add("site", Entry::directory(0o755, &"test".into())), None);
        let message = add(".env", Entry::file("A=1", 0o644, &"test".into())).unwrap();
        assert_eq!(message, ".env: neither made on this host nor part of the bundle");
        let message = add("site/settings.toml", Entry::file("", 0o644, &"test".into())).unwrap();
        assert_eq!(message, ".env and 1 more: neither made on this host nor part of the bundle");
    }
}
