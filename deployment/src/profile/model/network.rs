//! `[networks.NAME]`: which services reach each other, and which of them reach more than that.

use serde::Deserialize;

/// A network of the deployment. Without any, all services are on one network that has a way out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Network {
    /// One line for the operator.
    #[serde(default)]
    pub title: String,
    /// Whether its services reach only each other, and no port can be published through it.
    #[serde(default)]
    pub internal: Internal,
}

/// Whether a network is internal.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "`internal` is true, false or a condition")]
pub enum Internal {
    /// Everywhere the same.
    Always(bool),
    /// A Jinja expression of `settings`: the network is internal in installations where it is true.
    When(String),
}

impl Default for Internal {
    fn default() -> Self {
        Self::Always(true)
    }
}

impl Network {
    /// Whether it has a way out in every installation.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.internal == Internal::Always(false)
    }
}
