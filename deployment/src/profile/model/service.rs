//! `[services.NAME]`: a container or systemd unit, and its health check.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

/// One service of the deployment.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Service {
    /// The image it runs.
    pub image: Spanned<String>,
    /// One line for the operator.
    #[serde(default)]
    pub title: String,
    /// Arguments in the place of the image's command.
    #[serde(default)]
    pub command: Vec<String>,
    /// Environment variables that are not secret.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Site templates whose variables it gets, secret or not: names of `site.templates`.
    #[serde(default)]
    pub env_files: Vec<Spanned<String>>,
    /// Files of the site mounted read-only under `/run/secrets/`: secrets with a file (`site.secrets`), `NAME.key`
    /// and `NAME.crt` of `site.certificates`, `custom-ca.crt`.
    #[serde(default)]
    pub secrets: Vec<Spanned<String>>,
    /// Site templates mounted read-only: name of `site.templates` to container path.
    #[serde(default)]
    pub config_files: BTreeMap<Spanned<String>, String>,
    /// Named volumes: name to container path.
    #[serde(default)]
    pub volumes: BTreeMap<String, String>,
    /// The container's own files cannot be changed: it writes to volumes and `tmpfs` only.
    #[serde(default)]
    pub read_only: bool,
    /// Container paths that are empty and in memory at each start.
    #[serde(default)]
    pub tmpfs: Vec<String>,
    /// Published ports: name of `site.ports` to container port. No others are reachable from outside.
    #[serde(default)]
    pub publish: BTreeMap<Spanned<String>, u16>,
    /// Services started before it.
    #[serde(default)]
    pub depends_on: Vec<Spanned<String>>,
    /// How its health is told.
    pub health: Option<Health>,
}

/// A health check: a command inside the container that exits with 0 when all is well.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Health {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Seconds between two checks.
    #[serde(default = "default_interval")]
    pub interval: u32,
    /// Seconds that one check may take.
    #[serde(default = "default_interval")]
    pub timeout: u32,
    /// Failures in a row that make it unhealthy.
    #[serde(default = "default_retries")]
    pub retries: u32,
    /// Seconds after the start in which failures do not count.
    #[serde(default)]
    pub start_period: u32,
}

fn default_interval() -> u32 {
    5
}

fn default_retries() -> u32 {
    12
}
