//! What making a site did: for people through `Display`, for machines through serde.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// What was done with one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It was not there.
    Made,
    /// It was there and no longer right.
    Replaced,
    /// It stays byte for byte.
    Kept,
}

/// One file of the site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Path below the site's directory.
    pub path: String,
    /// What was done.
    pub action: Action,
    /// Why it was replaced; empty otherwise.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// Something that the operator should look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// What and where.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// What making a site did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The public host.
    pub host: String,
    /// The published ports by name.
    pub ports: BTreeMap<String, u16>,
    /// The files, in the order they were looked at.
    pub changes: Vec<Change>,
    /// What to look at; the program prints them on its standard error.
    pub warnings: Vec<Warning>,
}

impl Report {
    pub(super) fn add(&mut self, path: &str, action: Action, reason: impl Into<String>) {
        self.changes.push(Change { path: path.to_owned(), action, reason: reason.into() });
    }

    pub(super) fn warn(&mut self, message: impl Into<String>, hint: impl Into<String>) {
        self.warnings.push(Warning { message: message.into(), hint: hint.into() });
    }

    /// The paths with `action`.
    pub fn paths(&self, action: Action) -> impl Iterator<Item = &str> {
        self.changes.iter().filter(move |change| change.action == action).map(|change| change.path.as_str())
    }
}

impl fmt::Display for Report {
    /// One line per file that was made or replaced, and how many were kept. Warnings are not part of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for change in &self.changes {
            match change.action {
                Action::Made => writeln!(f, "made {}", change.path)?,
                Action::Replaced => writeln!(f, "replaced {}: {}", change.path, change.reason)?,
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
