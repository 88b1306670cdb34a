//! `[services.NAME.health]`: how a service shows that it works.

use serde::Deserialize;

/// Where containers have the program of the bundle, if their health check is made by it.
pub const PROBE: &str = "/run/sealift";

/// A health check: a command inside the container, or a request to one of its ports. Exactly one of `command`, `http` and
/// `tcp` is set.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Health {
    /// The program and its arguments. It exits with 0 when the service is healthy.
    #[serde(default)]
    pub command: Vec<String>,
    /// A request that must be answered.
    pub http: Option<HttpCheck>,
    /// A port that must accept connections.
    pub tcp: Option<TcpCheck>,
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

/// A `GET` request without TLS to the service itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct HttpCheck {
    /// The port that the program listens on.
    pub port: u16,
    /// Path, perhaps with a query.
    #[serde(default = "root")]
    pub path: String,
    /// The status that means healthy. Default: any from 200 to 399.
    pub status: Option<u16>,
}

/// A connection to the service itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TcpCheck {
    /// The port that the program listens on.
    pub port: u16,
}

fn root() -> String {
    "/".into()
}

fn default_interval() -> u32 {
    5
}

fn default_retries() -> u32 {
    12
}

impl Health {
    /// Whether the program of the bundle makes the check, so that the image needs no tool for it.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.http.is_some() || self.tcp.is_some()
    }

    /// The arguments of the bundle's program for the check; empty for a command.
    #[must_use]
    pub fn probe(&self) -> Vec<String> {
        let limit = ["--timeout".to_owned(), self.timeout.to_string()];
        let words = match (&self.http, &self.tcp) {
            (Some(http), _) => {
                let words = ["probe".to_owned(), "http".to_owned(), http.port.to_string(), http.path.clone()];
                let status = http.status.iter().flat_map(|status| ["--status".to_owned(), status.to_string()]);
                words.into_iter().chain(status).collect()
            }
            (None, Some(tcp)) => vec!["probe".to_owned(), "tcp".to_owned(), tcp.port.to_string()],
            (None, None) => return Vec::new(),
        };
        words.into_iter().chain(limit).collect()
    }

    /// The check as a command inside the container.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        if self.is_probe() {
            return std::iter::once(PROBE.to_owned()).chain(self.probe()).collect();
        }
        self.command.clone()
    }
}
