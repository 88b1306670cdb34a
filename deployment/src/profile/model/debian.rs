//! `[debian]` and `[base]`: where packages come from, and what all images begin with.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use toml::Spanned;

/// The name of the archive that `[debian]` itself describes.
pub const MAIN_ARCHIVE: &str = "debian";

/// The Debian suite that packages are resolved in, and further archives beside it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Debian {
    /// Suite or codename: the folder below `dists/`. For a flat repository, the folder of its index, with `/` at the end.
    pub suite: Spanned<String>,
    /// Components, such as `main`. A flat repository has none.
    #[serde(default)]
    pub components: Vec<String>,
    /// Keyring: a file of the profile. Default: the machine's Debian archive keyring.
    pub keyring: Option<Spanned<String>>,
    /// Accept a Release file after its `Valid-Until`, for mirrors that are outdated or frozen on purpose.
    #[serde(default)]
    pub allow_expired: bool,
    /// Priority of its packages; see [`Archive::priority`].
    pub priority: Option<Spanned<i32>>,
    /// Archives beside this one, by name.
    #[serde(default)]
    pub archives: BTreeMap<Spanned<String>, Archive>,
    /// Packages that come from one archive wherever an image needs them: package to archive.
    #[serde(default)]
    pub pins: BTreeMap<Spanned<String>, Spanned<String>>,
    /// Packages that no image has although something depends on them: name to reason.
    #[serde(default)]
    pub exclude: BTreeMap<Spanned<String>, String>,
    /// Packages whose maintainer scripts would do something that is not needed: name, with `*` for any characters, to reason.
    #[serde(default)]
    pub allow_unapplied: BTreeMap<Spanned<String>, String>,
}

/// `[debian.archives.NAME]`: a suite of an archive, or `.deb` files of the profile.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Archive {
    /// As in [`Debian::suite`].
    pub suite: Option<Spanned<String>>,
    /// As in [`Debian::components`]. Default: those of `[debian]`.
    pub components: Option<Vec<String>>,
    /// As in [`Debian::keyring`]. Default: that of `[debian]`.
    pub keyring: Option<Spanned<String>>,
    /// As in [`Debian::allow_expired`].
    #[serde(default)]
    pub allow_expired: bool,
    /// As apt's pin priority: of several versions of a package, the highest one of the highest priority is taken.
    /// Default: what the Release file asks for, as for apt: 500, or 100 or 1 for archives that are not automatic.
    pub priority: Option<Spanned<i32>>,
    /// Instead of a suite: `.deb` files of the profile, and folders of them.
    #[serde(default)]
    pub files: Vec<Spanned<String>>,
}

/// A requested package: its name, `NAME (= VERSION)`, or a table with the version and the archive that it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requested {
    /// Its name. A text that has neither form, which the checks report.
    pub name: String,
    /// Its version. Default: as apt chooses it.
    pub version: Option<String>,
    /// The archive that it comes from. Its dependencies do, too, where no other archive satisfies them.
    pub from: Option<String>,
}

impl<'de> Deserialize<'de> for Requested {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RequestedVisitor)
    }
}

/// The form of a [`Requested`] as a table.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RequestedTable {
    name: String,
    version: Option<String>,
    from: Option<String>,
}

struct RequestedVisitor;

impl<'de> Visitor<'de> for RequestedVisitor {
    type Value = Requested;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a package, or a table with `name`, `version` and `from`")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Requested, E> {
        let (name, version) = match exact(text) {
            Some((name, version)) => (name, Some(version.to_owned())),
            None => (text, None),
        };
        Ok(Requested { name: name.to_owned(), version, from: None })
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Requested, M::Error> {
        let RequestedTable { name, version, from } = Deserialize::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Requested { name, version, from })
    }
}

/// The name and the version of `NAME (= VERSION)`, as relations of Debian packages are written.
fn exact(text: &str) -> Option<(&str, &str)> {
    let (name, constraint) = text.strip_suffix(')')?.split_once('(')?;
    Some((name.trim_end(), constraint.trim_start().strip_prefix('=')?.trim()))
}

impl Debian {
    /// The archive of this name; `None` for [`MAIN_ARCHIVE`], which `[debian]` itself describes, and for unknown names.
    #[must_use]
    pub fn archive(&self, name: &str) -> Option<&Archive> {
        self.archives.iter().find_map(|(key, archive)| (key.get_ref() == name).then_some(archive))
    }

    /// Whether the profile has an archive of this name.
    #[must_use]
    pub fn has_archive(&self, name: &str) -> bool {
        name == MAIN_ARCHIVE || self.archive(name).is_some()
    }
}

/// Whether a suite is a flat repository: its index is in the folder `suite` itself, without components.
#[must_use]
pub fn is_flat(suite: &str) -> bool {
    suite.ends_with('/')
}

/// The common beginning of all images, put before their own lists, so that they share one base layer.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Base {
    /// Debian packages of every image.
    #[serde(default)]
    pub packages: Vec<Spanned<Requested>>,
    /// Whether every image has the packages that each Debian system has (policy 3.8), see [`Image::essential`].
    ///
    /// [`Image::essential`]: super::Image::essential
    #[serde(default)]
    pub essential: bool,
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
    /// Private keys that everybody may have, in every image, see [`Image::allow_secrets`].
    ///
    /// [`Image::allow_secrets`]: super::Image::allow_secrets
    #[serde(default)]
    pub allow_secrets: BTreeMap<Spanned<String>, String>,
    /// Symbolic links of every image, see [`Image::links`].
    #[serde(default)]
    pub links: BTreeMap<String, String>,
}
