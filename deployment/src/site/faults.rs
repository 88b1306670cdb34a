//! What the operator has to give or to mend before a site can be made: told all at once.

use std::path::Path;

use crate::failure::Failure;

/// What is missing or wrong, in the order it was found.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<(String, String)>);

impl Faults {
    /// Adds what is wrong (with the file's name first) and what to do about it, in one or more lines.
    pub(super) fn add(&mut self, what: impl Into<String>, hint: impl Into<String>) {
        self.0.push((what.into(), hint.into()));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each in a line, with its hint below; nothing holds a secret.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(what, hint)| match hint.trim() {
            "" => what.clone(),
            hint => format!("{what}\n    {}", hint.replace('\n', "\n    ")),
        })
    }

    /// The error that tells them all.
    pub(super) fn failure(&self, directory: &Path) -> Failure {
        let lines: Vec<String> = self.lines().collect();
        let place = directory.display();
        let message = format!("{place}: these are the operator's to give or to mend:\n  {}", lines.join("\n  "));
        Failure::usage(message)
            .hint(format!("nothing else was changed: edit the files in {place}, then run this again"))
    }
}
