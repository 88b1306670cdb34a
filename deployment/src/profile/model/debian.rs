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
    /// Keyring: a file of the profile. Default: the machine's Debian archive keyring.
    pub keyring: Option<Spanned<String>>,
    /// Accept a Release file after its `Valid-Until`, for mirrors that are outdated or frozen on purpose.
    #[serde(default)]
    pub allow_expired: bool,
    /// Packages that no image has although something depends on them: name to reason.
    #[serde(default)]
    pub exclude: BTreeMap<Spanned<String>, String>,
}

/// The common beginning of all images, put before their own lists, so that they share one base layer.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Base {
    /// Debian packages of every image.
    #[serde(default)]
    pub packages: Vec<Spanned<String>>,
    /// Files and folders of packages that no image has, see [`Image::drop`].
    #[serde(default)]
    pub drop: Vec<Spanned<String>>,
    /// Exceptions from `drop` patterns of the base and the image, such as licenses.
    #[serde(default)]
    pub keep: Vec<Spanned<String>>,
    /// What is missing on purpose in every image, see [`Image::allow_missing`].
    ///
    /// [`Image::allow_missing`]: super::Image::allow_missing
    #[serde(default)]
    pub allow_missing: BTreeMap<Spanned<String>, String>,
    /// Symbolic links of every image, see [`Image::links`].
    #[serde(default)]
    pub links: BTreeMap<String, String>,
}
