//! `[debian]` and `[base]`: where packages come from, and what all images begin with.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

/// The Debian suite that packages are resolved in.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Debian {
    /// Suite or codename: the folder below `dists/`.
    pub suite: Spanned<String>,
    /// Components, such as `main`.
    pub components: Vec<String>,
    /// Keyring file, relative to the profile; without it the machine's Debian archive keyring.
    pub keyring: Option<Spanned<String>>,
    /// Accept a Release file past its `Valid-Until`: for mirrors that lag or are frozen on purpose.
    #[serde(default)]
    pub allow_expired: bool,
    /// Packages left out of every image though something depends on them, and why.
    #[serde(default)]
    pub exclude: BTreeMap<Spanned<String>, String>,
}

/// What every image begins with: put before the image's own lists, so that all images share one base layer.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Base {
    /// Debian packages of every image.
    #[serde(default)]
    pub packages: Vec<Spanned<String>>,
    /// Files and folders of packages that every image leaves out, as [`Image::drop`].
    #[serde(default)]
    pub drop: Vec<Spanned<String>>,
    /// What stays although a `drop` pattern, the base's or the image's, matches it or a folder above it: licences.
    #[serde(default)]
    pub keep: Vec<Spanned<String>>,
    /// Symbolic links of every image, as [`Image::links`].
    #[serde(default)]
    pub links: BTreeMap<String, String>,
}
