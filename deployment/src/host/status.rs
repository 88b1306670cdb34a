//! The state of a service, whatever runs it.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use sealift_layers::escape::line;
use serde::Serialize;

use crate::finding::Findings;

/// As often as this, a service was started again not by chance.
pub(super) const MANY_RESTARTS: u64 = 3;

/// Whether a service runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceState {
    /// It has no container, or no unit.
    Absent,
    /// It runs.
    Running,
    /// It runs once, and has ended with exit code 0.
    Completed,
    /// It runs at times, and not now.
    Scheduled,
    /// Any other state, in the word of the engine or of systemd: `exited`, `restarting`.
    #[serde(untagged)]
    Other(String),
}

/// The result of a service's health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HealthState {
    /// The check exited with 0. Without a check: the service has been running for some seconds, or has completed; of one that
    /// runs at times, the last run did not fail.
    Healthy,
    /// The service was started so recently that this may be why its check fails; without a check, that it may still end.
    Starting,
    /// The check failed, or took too long. Without a check: the service ends again and again.
    Unhealthy,
    /// The service does not run.
    Down,
}

/// Why a service has to be recreated: what differs from the bundle and the site in this folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outdated {
    /// The container was created from another image.
    Image,
    /// A port, an env file, a certificate, a secret, a configuration file or the folder changed.
    Settings,
    /// The unit file that systemd has differs from the bundle's.
    Unit,
    /// The container was created by hand, with the engine or compose: its settings are not known.
    Unmanaged,
}

/// The last run of a service that runs at times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LastRun {
    /// 0 where it did its work; 125 where it could not be started.
    pub exit_code: i64,
    /// What that exit code means, where it has a meaning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// When it ended, in the words of the engine or of systemd.
    pub ended: String,
    /// Why it could not be started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_started: Option<String>,
}

/// In the place of the exit code of a run that could not be started: engines exit with it then.
pub(super) const NOT_STARTED: i64 = 125;

impl fmt::Display for LastRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.not_started {
            Some(why) => write!(f, "last run was not started ({})", line(why))?,
            None => write!(f, "last run ended with exit code {}", self.exit_code)?,
        }
        // Not the parts of seconds, nor the zone's name after its offset.
        match self.ended.split_once('.') {
            _ if self.ended.is_empty() => {}
            Some((time, _)) => write!(f, ", {time}")?,
            None => write!(f, ", {}", self.ended)?,
        }
        self.cause.iter().try_for_each(|cause| write!(f, ": {cause}"))
    }
}

/// Processes of a service that the kernel ended for memory, while the service itself ran on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct MemoryKills {
    /// How many since its start.
    pub times: u64,
    /// The limit that it reached: `512M`; `None` where the host had too little.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
}

impl MemoryKills {
    /// Tells it in the words of one place.
    pub fn tell(&self, service: &str, findings: &mut Findings) {
        let ended = format!("runs, but the kernel has ended processes of it ({} since its start)", self.times);
        let logs = format!("./sealift logs {service} may show what they did");
        match &self.limit {
            Some(limit) => findings.warn(
                service,
                format!("{ended}, as it needs more memory than its limit of {limit} (`memory` of the service in profile.toml)"),
                format!("raise the limit, or let the program do less at a time, such as with fewer workers; {logs}"),
            ),
            None => findings.warn(
                service,
                format!("{ended}, as the host had too little memory"),
                format!("give the host more memory, or its services limits (`memory` in profile.toml); {logs}"),
            ),
        }
    }
}

/// The state of one service.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ServiceStatus {
    /// Name of the service in the profile.
    pub service: String,
    /// Name of its container or unit.
    pub container: String,
    /// State of the container or unit.
    pub state: ServiceState,
    /// The result of its health check.
    pub health: HealthState,
    /// What a failed health check printed last, line by line.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub check_output: Vec<String>,
    /// How its last run ended, of a service that runs at times; `None` before its first one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run: Option<LastRun>,
    /// How it ended last, of any other service that does not run, or that was started again and again: `exit code 1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_end: Option<String>,
    /// How often the engine started it again after it had ended.
    pub restarts: u64,
    /// Processes of it that the kernel ended for memory since its start; `None` where there were none, or that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_kills: Option<MemoryKills>,
    /// Why it has to be recreated; `None` when it is up to date or absent, or belongs to another folder.
    pub outdated: Option<Outdated>,
    /// The folder of another deployment that its container belongs to: one with another site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<PathBuf>,
    /// Ports of the host that its container publishes.
    pub ports: BTreeSet<u16>,
}

impl ServiceStatus {
    /// A service without a container or unit.
    #[must_use]
    pub fn absent(service: &str, container: String) -> Self {
        Self {
            service: service.to_owned(),
            container,
            state: ServiceState::Absent,
            health: HealthState::Down,
            check_output: Vec::new(),
            last_run: None,
            last_end: None,
            restarts: 0,
            memory_kills: None,
            outdated: None,
            owner: None,
            ports: BTreeSet::new(),
        }
    }

    /// Whether the service runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.state == ServiceState::Running
    }

    /// Whether the service runs once, and has ended as it should.
    #[must_use]
    pub fn is_completed(&self) -> bool {
        self.state == ServiceState::Completed
    }

    /// Whether the service has no container or unit.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.state == ServiceState::Absent
    }
}

impl fmt::Display for ServiceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Absent => "absent",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Scheduled => "scheduled",
            Self::Other(word) => word,
        })
    }
}

impl fmt::Display for HealthState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Healthy => "healthy",
            Self::Starting => "starting",
            Self::Unhealthy => "unhealthy",
            Self::Down => "down",
        })
    }
}

impl fmt::Display for Outdated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Image => "its image changed",
            Self::Settings => "its settings changed",
            Self::Unit => "its unit file changed",
            Self::Unmanaged => "it was not created by `sealift up`",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_read_the_state_as_single_words() {
        let mut status = ServiceStatus::absent("web", "shop_web".into());
        status.state = ServiceState::Other("restarting".into());
        status.outdated = Some(Outdated::Unit);
        let json = serde_json::to_string(&status).unwrap();
        insta::assert_snapshot!(json, @r#"{"service":"web","container":"shop_web","state":"restarting","health":"down","restarts":0,"outdated":"unit","ports":[]}"#);
    }
}
