//! The result of creating a site: for people through `Display`, for programs through serde.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::finding::Findings;

/// What was done with one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// The file did not exist.
    Created,
    /// The file existed and was no longer valid.
    Replaced,
    /// The file stays byte for byte, but its mode or group was not the one that its services need.
    Corrected,
    /// The file stays byte for byte.
    Kept,
}

/// One file of the site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Path below the site's directory.
    pub path: String,
    /// What was done.
    pub action: Action,
    /// Why it was replaced, or what was corrected; empty otherwise.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// The result of [`super::create`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SiteReport {
    /// The public host.
    pub host: String,
    /// The published ports by name.
    pub ports: BTreeMap<String, u16>,
    /// The files, in the order they were checked.
    pub changes: Vec<Change>,
    /// Warnings; the topic of most is a path below the site.
    pub warnings: Findings,
}

impl SiteReport {
    pub(super) fn add(&mut self, path: &str, action: Action, reason: impl Into<String>) {
        self.changes.push(Change { path: path.to_owned(), action, reason: reason.into() });
    }

    /// Adds a file that stays byte for byte; `corrected` is what [`super::files::settle`] returned.
    pub(super) fn keep(&mut self, path: &str, corrected: String) {
        let action = if corrected.is_empty() { Action::Kept } else { Action::Corrected };
        self.add(path, action, corrected);
    }

    /// The paths with `action`.
    pub fn paths(&self, action: Action) -> impl Iterator<Item = &str> {
        self.changes.iter().filter(move |change| change.action == action).map(|change| change.path.as_str())
    }
}

impl fmt::Display for SiteReport {
    /// One line for each file that was created, replaced or corrected, and the number of files kept. Warnings are not part of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for change in &self.changes {
            match change.action {
                Action::Created => writeln!(f, "created {}", change.path)?,
                Action::Replaced => writeln!(f, "replaced {}: {}", change.path, change.reason)?,
                Action::Corrected => writeln!(f, "corrected {}: {}", change.path, change.reason)?,
                Action::Kept => {}
            }
        }
        match self.paths(Action::Kept).count() {
            0 => Ok(()),
            1 => writeln!(f, "kept 1 file"),
            kept => writeln!(f, "kept {kept} files"),
        }
    }
}
