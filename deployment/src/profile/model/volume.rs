//! `[volumes.NAME]`: volumes whose contents belong to one version.

use serde::Deserialize;

/// A volume whose contents only one version of a program can read.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Volume {
    /// Files in it whose first line is the version that wrote it: paths below the volume, `*` for any name.
    pub version_files: Vec<String>,
    /// The version that the images have. The volume is as good as empty when there are no such files.
    pub version: String,
    /// What the operator does about another version.
    pub upgrade: String,
}
