//! `[volumes.NAME]`: volumes whose contents belong to one version.

use serde::Deserialize;

/// A volume whose contents belong to one version of a program.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Volume {
    /// Files whose first line is the version that wrote the contents: paths below the volume, `*` matches any name.
    pub version_files: Vec<String>,
    /// The version in the images. A volume without version files counts as empty.
    pub version: String,
    /// How the operator upgrades another version.
    pub upgrade: String,
}
