//! `[services.NAME]`: a container or systemd unit, and its health check.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::depends_on::DependsOn;

/// One service of the deployment.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Service {
    /// Name of its image.
    pub image: Spanned<String>,
    /// One line for the operator.
    #[serde(default)]
    pub title: String,
    /// Arguments that replace the image's command.
    #[serde(default)]
    pub command: Vec<String>,
    /// Environment variables that are not secret.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Names of `site.templates`, secret or not, whose variables are in its environment.
    #[serde(default)]
    pub env_files: Vec<Spanned<String>>,
    /// Files of the site mounted read-only under `/run/secrets/`: secrets with a file (`site.secrets`), `NAME.key`
    /// and `NAME.crt` of `site.certificates`, `custom-ca.crt`.
    #[serde(default)]
    pub secrets: Vec<Spanned<String>>,
    /// Templates mounted read-only: name in `site.templates` to container path.
    #[serde(default)]
    pub config_files: BTreeMap<Spanned<String>, String>,
    /// Named volumes: name to container path.
    #[serde(default)]
    pub volumes: BTreeMap<String, String>,
    /// Whether the root file system is read-only: the program can write only to volumes and `tmpfs`.
    #[serde(default)]
    pub read_only: bool,
    /// Container paths in memory, empty at each start.
    #[serde(default)]
    pub tmpfs: Vec<String>,
    /// Published ports: name in `site.ports` to container port. Only these can be reached from outside.
    #[serde(default)]
    pub publish: BTreeMap<Spanned<String>, u16>,
    /// Names of `networks`. Empty exactly when the profile has none.
    #[serde(default)]
    pub networks: Vec<Spanned<String>>,
    /// Services that it waits for before it starts.
    #[serde(default)]
    pub depends_on: DependsOn,
    /// Time to end by itself after the signal that stops it, in seconds.
    #[serde(default = "default_stop_grace")]
    pub stop_grace: u32,
    /// Its health check.
    pub health: Option<Health>,
}

/// A health check: a command inside the container that exits with 0 when the service is healthy.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Health {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Time between two checks in seconds.
    #[serde(default = "default_interval")]
    pub interval: u32,
    /// Timeout of one check in seconds.
    #[serde(default = "default_interval")]
    pub timeout: u32,
    /// Number of consecutive failures after which the service is unhealthy.
    #[serde(default = "default_retries")]
    pub retries: u32,
    /// Time after the start in which failures do not count, in seconds.
    #[serde(default)]
    pub start_period: u32,
}

/// Enough for a database that writes what it has in memory.
fn default_stop_grace() -> u32 {
    30
}

fn default_interval() -> u32 {
    5
}

fn default_retries() -> u32 {
    12
}
