//! `[images.NAME.venv]`: a Python virtual environment.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

/// A Python virtual environment.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Venv {
    /// Its image path.
    pub path: Spanned<String>,
    /// The interpreter: a Debian package such as `python3.14`, among the image's packages.
    pub python: Spanned<String>,
    /// What is wanted, as pip writes it (PEP 508).
    pub requirements: Vec<Spanned<String>>,
    /// Distributions that belong to the application's own layer; all others are third-party.
    #[serde(default)]
    pub application: Vec<Spanned<String>>,
    /// Distributions left out though something requires them, and why.
    #[serde(default)]
    pub exclude: BTreeMap<Spanned<String>, String>,
    /// Compile bytecode for the venv and the standard library.
    #[serde(default = "yes")]
    pub bytecode: bool,
}

fn yes() -> bool {
    true
}
