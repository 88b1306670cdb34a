//! `[tasks.NAME]`: commands that operators can run.

use serde::Deserialize;
use toml::Spanned;

/// Something that operators can have done: a command in a service's container.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Task {
    /// One line: its help.
    pub title: String,
    /// The service whose container it is run in.
    pub service: Spanned<String>,
    /// With `run = "exec"` the program and its arguments; with `"once"` arguments in the place of the service's.
    pub command: Vec<String>,
    /// What the operator gives beside the name, in this order; appended to the command.
    #[serde(default)]
    pub arguments: Vec<Spanned<String>>,
    /// Which container.
    #[serde(default)]
    pub run: Run,
    /// When it is run by itself.
    pub on: Option<On>,
}

/// Which container a task is run in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Run {
    /// The service's own, which is running.
    #[default]
    Exec,
    /// One of its own, made as the service's and removed afterwards.
    Once,
}

/// When a task is run by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum On {
    /// By `sealift up`, before it starts the service; not when that runs already.
    Up,
}
