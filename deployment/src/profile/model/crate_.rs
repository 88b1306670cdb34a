//! `[images.NAME.crate]`: a program built from its crate.

use serde::Deserialize;
use toml::Spanned;

/// A program that is built from its crate, statically linked, and installed in `/usr/local/bin`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Crate {
    /// The crate's name.
    pub name: Spanned<String>,
    /// Its exact version.
    pub version: Spanned<String>,
    /// Name of the program: one of the crate's binaries.
    pub binary: Spanned<String>,
    /// Features in addition to the default ones.
    #[serde(default)]
    pub features: Vec<String>,
}
