//! `[images.NAME.venv]`: a Python virtual environment.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::requirements::Requirements;

/// A Python virtual environment.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Venv {
    /// Path of the environment in the image.
    pub path: Spanned<String>,
    /// The package of the interpreter, such as `python3.14`; one of the image's packages.
    pub python: Spanned<String>,
    /// Requirements in pip's syntax (PEP 508), or a file: a `requirements.txt`, a `pylock.toml` (PEP 751), or the
    /// `pyproject.toml` of a project with a `uv.lock`.
    pub requirements: Spanned<Requirements>,
    /// Optional dependencies of that project.
    #[serde(default)]
    pub extras: Vec<Spanned<String>>,
    /// Dependency groups of that project (PEP 735).
    #[serde(default)]
    pub groups: Vec<Spanned<String>>,
    /// Versions that distributions may have if something requires them.
    #[serde(default)]
    pub constraints: Vec<Spanned<String>>,
    /// Wheels of the user, and folders with some: paths relative to the profile's folder.
    #[serde(default)]
    pub wheels: Vec<Spanned<String>>,
    /// Distributions in the application's own layer; all others are in a layer of third-party distributions.
    #[serde(default)]
    pub application: Vec<Spanned<String>>,
    /// Distributions that are left out although something requires them: name to reason.
    #[serde(default)]
    pub exclude: BTreeMap<Spanned<String>, String>,
    /// Distributions whose wheels are used although `RECORD` does not match them: name to reason.
    #[serde(default)]
    pub accept: BTreeMap<Spanned<String>, String>,
    /// Whether bytecode is compiled for the environment and the standard library.
    #[serde(default = "yes")]
    pub bytecode: bool,
}

fn yes() -> bool {
    true
}
