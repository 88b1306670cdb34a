//! Results of checks of a host or a site: one [`Finding`] for each thing that was looked at.

use std::fmt::{self, Write};

use serde::Serialize;

use crate::failure::Failure;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// No problem.
    Ok,
    /// A problem that does not stop anything now.
    Warning,
    /// A problem that has to be fixed first.
    Error,
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What was checked, in a word or two: `engine`, `port https`, `site/custom-ca.crt`.
    pub topic: String,
    /// The result, in one line.
    pub message: String,
    /// How to fix it; most warnings and errors have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Details, such as the last lines of a log.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
}

impl fmt::Display for Finding {
    /// `warning: TOPIC: MESSAGE`, then the details, then `  hint: HINT`. There is no newline at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Error => "error",
        };
        write!(f, "{level}: {}: {}", self.topic, self.message)?;
        for line in &self.lines {
            write!(f, "\n    {line}")?;
        }
        self.hint.iter().try_for_each(|hint| write!(f, "\n  hint: {hint}"))
    }
}

/// The results of several checks, in the order of the checks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Findings(pub Vec<Finding>);

impl Findings {
    fn add(&mut self, level: Level, topic: impl Into<String>, message: impl Into<String>, hint: Option<String>) {
        let hint = hint.filter(|hint| !hint.trim().is_empty());
        self.0.push(Finding { level, topic: topic.into(), message: message.into(), hint, lines: Vec::new() });
    }

    /// Adds a check that passed.
    pub fn ok(&mut self, topic: impl Into<String>, message: impl Into<String>) {
        self.add(Level::Ok, topic, message, None);
    }

    /// Adds a warning. An empty `hint` counts as none.
    pub fn warn(&mut self, topic: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) {
        self.add(Level::Warning, topic, message, Some(hint.into()));
    }

    /// Adds an error. An empty `hint` counts as none.
    pub fn error(&mut self, topic: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) {
        self.add(Level::Error, topic, message, Some(hint.into()));
    }

    /// Adds details to the last finding.
    pub fn lines(&mut self, lines: Vec<String>) {
        if let Some(last) = self.0.last_mut() {
            last.lines = lines;
        }
    }

    /// The findings of one level.
    pub fn of(&self, level: Level) -> impl Iterator<Item = &Finding> {
        self.0.iter().filter(move |finding| finding.level == level)
    }

    /// Fails when there are errors. The message is `summary` and, below it, all errors with their hints; `hint` is the
    /// hint of the failure.
    ///
    /// # Errors
    /// [`Failure::failed`] when one of the findings is an error.
    pub fn refuse(&self, summary: &str, hint: &str) -> Result<(), Failure> {
        let mut message = summary.to_owned();
        for finding in self.of(Level::Error) {
            let text = finding.to_string().replace('\n', "\n  ");
            let _ = write!(message, "\n  {}", text.trim_start_matches("error: "));
        }
        if self.of(Level::Error).next().is_none() { Ok(()) } else { Err(Failure::failed(message).hint(hint)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_errors_are_reported_together() {
        let mut findings = Findings::default();
        findings.ok("engine", "podman 4.3.1");
        findings.warn("port http", "80 is taken", "another number");
        assert!(findings.refuse("no", "none").is_ok());
        findings.error("space", "too little", "free some");
        findings.error("server", "is not running", "read its log");
        findings.lines(vec!["first".into(), "second".into()]);
        let failure = findings.refuse("this host is not ready:", "nothing was changed").unwrap_err();
        insta::assert_snapshot!(failure, @r"
        this host is not ready:
          space: too little
            hint: free some
          server: is not running
              first
              second
            hint: read its log
        ");
        insta::assert_snapshot!(findings.0[1], @r"
        warning: port http: 80 is taken
          hint: another number
        ");
    }
}
