//! `[services.NAME]`: a container or systemd unit.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::depends_on::DependsOn;
use super::health::Health;
use super::limits::{Log, Restart, Size, Ulimit};

/// One service of the deployment.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Service {
    /// Name of its image.
    pub image: Spanned<String>,
    /// One line for the operator.
    #[serde(default)]
    pub title: String,
    /// The program and its fixed arguments, in the place of the image's `entrypoint` and `command`.
    pub entrypoint: Option<Vec<String>>,
    /// Arguments that replace the image's command.
    #[serde(default)]
    pub command: Vec<String>,
    /// The user that the program runs as, in the place of the image's: `UID:GID`, a name, or `0` with `root`.
    pub user: Option<Spanned<String>>,
    /// Numbers of further groups of the program.
    #[serde(default)]
    pub groups: Vec<u32>,
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
    /// Folders of the host: name of a setting of the kind `folder` to container path.
    #[serde(default)]
    pub paths: BTreeMap<Spanned<String>, HostPath>,
    /// Folders of the operator's files, mounted read-only: name in `site.files` to container path.
    #[serde(default)]
    pub site_files: BTreeMap<Spanned<String>, String>,
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
    /// Whether it keeps running.
    #[serde(default)]
    pub run: Running,
    /// When it is started again after its end.
    #[serde(default)]
    pub restart: Restart,
    /// Number of its containers.
    #[serde(default = "one")]
    pub replicas: u32,
    /// How much of its output is kept.
    #[serde(default)]
    pub log: Log,
    /// Most memory.
    pub memory: Option<Size>,
    /// Most time of processors: 1.5 are one and a half.
    pub cpus: Option<f64>,
    /// Most processes and threads.
    pub pids: Option<u32>,
    /// Limits of resources (setrlimit(2)).
    #[serde(default)]
    pub ulimits: BTreeMap<Spanned<String>, Ulimit>,
    /// Size of `/dev/shm`.
    pub shm_size: Option<Size>,
    /// Settings of the kernel for this container.
    #[serde(default)]
    pub sysctls: BTreeMap<Spanned<String>, String>,
    /// Host names that are in no DNS: name to IP address.
    #[serde(default)]
    pub extra_hosts: BTreeMap<Spanned<String>, String>,
    /// Labels of its container, for other programs of the host.
    #[serde(default)]
    pub labels: BTreeMap<Spanned<String>, String>,
    /// Why it runs as root.
    pub root: Option<String>,
    /// Capabilities that it has, without `CAP_`, to reason.
    #[serde(default)]
    pub capabilities: BTreeMap<Spanned<String>, String>,
    /// Devices of the host that it has, to reason.
    #[serde(default)]
    pub devices: BTreeMap<Spanned<String>, String>,
    /// Why it may do everything on the host.
    pub privileged: Option<String>,
    /// Why it uses the host's network instead of one of its own.
    pub host_network: Option<String>,
}

/// Whether a service keeps running.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Running {
    /// It does; when it ends, that is a failure.
    #[default]
    Always,
    /// It does its work and ends.
    Once,
    /// It does its work at these times (the form `{ schedule = "daily" }`): a calendar event of systemd.
    Schedule(Spanned<String>),
}

/// Where a container has a folder of the host.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "a container path, or a table with `path` and `writable`")]
pub enum HostPath {
    /// The container path; it can only be read.
    ReadOnly(String),
    /// With the choice.
    Table(WritablePath),
}

/// The form of a [`HostPath`] as a table.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct WritablePath {
    /// The container path.
    pub path: String,
    /// Whether the service may change it.
    #[serde(default)]
    pub writable: bool,
}

impl HostPath {
    /// The container path.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Self::ReadOnly(path) | Self::Table(WritablePath { path, .. }) => path,
        }
    }

    /// Whether the service may change it.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        matches!(self, Self::Table(WritablePath { writable: true, .. }))
    }
}

impl Service {
    /// Whether it does its work and ends.
    #[must_use]
    pub fn runs_once(&self) -> bool {
        self.run == Running::Once
    }

    /// The times at which it runs, if it does so at times.
    #[must_use]
    pub fn schedule(&self) -> Option<&Spanned<String>> {
        match &self.run {
            Running::Schedule(event) => Some(event),
            Running::Always | Running::Once => None,
        }
    }

    /// Whether it has several containers.
    #[must_use]
    pub fn is_replicated(&self) -> bool {
        self.replicas > 1
    }

    /// When engines start it again after its end.
    #[must_use]
    pub fn restart_policy(&self) -> &'static str {
        if self.run == Running::Always { self.restart.policy() } else { Restart::No.policy() }
    }

    /// What it may do beyond what all services may, each with its reason.
    #[must_use]
    pub fn privileges(&self) -> Vec<(String, &str)> {
        let single = [
            ("everything that the host's root may (privileged)", &self.privileged),
            ("the user root in its container", &self.root),
            ("the host's network", &self.host_network),
        ];
        let single = single.into_iter().filter_map(|(what, why)| Some((what.to_owned(), why.as_deref()?)));
        let capabilities =
            self.capabilities.iter().map(|(name, why)| (format!("CAP_{}", name.get_ref()), why.as_str()));
        let devices = self.devices.iter().map(|(path, why)| (path.get_ref().clone(), why.as_str()));
        single.chain(capabilities).chain(devices).collect()
    }
}

fn one() -> u32 {
    1
}

/// Enough for a database that writes what it has in memory.
fn default_stop_grace() -> u32 {
    30
}
