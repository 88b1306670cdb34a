//! `[tasks.NAME]`: commands that operators can run.

use serde::Deserialize;
use toml::Spanned;

/// A command in a service's container that operators can run.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Task {
    /// One line of help.
    pub title: String,
    /// The service in whose container it runs.
    pub service: Spanned<String>,
    /// With `run = "exec"` the program and its arguments; with `"once"` arguments that replace those of the service.
    pub command: Vec<String>,
    /// Names of the operator's arguments, which are appended to the command in this order.
    #[serde(default)]
    pub arguments: Vec<Spanned<String>>,
    /// The container that it runs in.
    #[serde(default)]
    pub run: Run,
    /// When it runs automatically.
    pub on: Option<On>,
}

/// The container that a task runs in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Run {
    /// The running container of the service.
    #[default]
    Exec,
    /// A new container with the service's options, removed afterwards.
    Once,
}

/// When a task runs automatically.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum On {
    /// In `sealift up`, before the service starts; not if the service is running already.
    Up,
}
