//! `sealift.lock`: what exactly the images are made of, per platform. It names content, never hosts.

mod diff;
mod file;
pub mod resolve;

use std::collections::BTreeMap;

use sealift_deployment::profile::Profile;
use sealift_layers::digest::Digest;
use serde::{Deserialize, Serialize};

pub use diff::diff;
pub use file::FILE;

use crate::store::Key;

/// A whole lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Lock {
    /// Version of this format: 1.
    pub schema: u32,
    /// Name of the profile.
    pub profile: String,
    /// What each platform's images are made of, by OCI platform (`linux/amd64`).
    pub platforms: BTreeMap<String, Platform>,
}

/// What the images of one platform are made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Platform {
    /// The newest date among the inputs, in seconds since 1970: the epoch of the build.
    pub epoch: u64,
    /// Hash of what the profile asked for when this was resolved ([`wanted`]): another one means that it is stale.
    pub wanted: Digest,
    /// The signed index that the packages were found in.
    pub debian: Debian,
    /// The images, by name: what each holds.
    pub images: BTreeMap<String, Image>,
    /// All packages, sorted by name.
    #[serde(default, rename = "package")]
    pub packages: Vec<Package>,
    /// All wheels, sorted by file name.
    #[serde(default, rename = "wheel")]
    pub wheels: Vec<Wheel>,
    /// All crates that programs are built from, sorted by name and version.
    #[serde(default, rename = "crate", skip_serializing_if = "Vec::is_empty")]
    pub crates: Vec<Crate>,
}

/// A signed Release file and the package indexes that it vouches for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Debian {
    /// The suite asked for.
    pub suite: String,
    /// Its `Date`, in seconds since 1970.
    pub date: u64,
    /// SHA-256 of the `InRelease` file.
    pub release: Digest,
    /// Fingerprint of the primary key that signed it, in upper-case hex.
    pub signed_by: String,
    /// SHA-256 of each `Packages.xz` read, by its path below `dists/SUITE/`.
    pub indexes: BTreeMap<String, Digest>,
}

/// What one image holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Image {
    /// Names of its packages, sorted.
    pub packages: Vec<String>,
    /// File names of its wheels, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wheels: Vec<String>,
}

/// A Debian package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `amd64`, `all` ...
    pub architecture: String,
    /// Path below the archive's root (`pool/...`).
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of the `.deb`.
    pub sha256: Digest,
}

/// A wheel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Wheel {
    /// The distribution's normalised name (PEP 503).
    pub name: String,
    /// Its version.
    pub version: String,
    /// Path below the file host's root; its last component is the wheel's file name (PEP 427).
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of the wheel.
    pub sha256: Digest,
    /// When the index received it, in seconds since 1970: the time of its files.
    pub uploaded: u64,
}

/// The crate of a program, as its registry serves it. It holds a `Cargo.lock`, which pins its dependencies in turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Crate {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Size of its archive in bytes.
    pub size: u64,
    /// SHA-256 of its archive: the checksum in the registry's index.
    pub sha256: Digest,
}

/// The hash of everything in `profile` that decides what is resolved.
#[must_use]
pub fn wanted(profile: &Profile) -> Digest {
    let model = &profile.model;
    let debian = model.debian.get_ref();
    let mut key = Key::builder("wanted/1").field("suite", debian.suite.get_ref());
    for component in &debian.components {
        key = key.field("component", component);
    }
    for name in debian.exclude.keys() {
        key = key.field("exclude", name.get_ref());
    }
    for package in &model.base.packages {
        key = key.field("base", package.get_ref());
    }
    for (name, image) in &model.images {
        key = key.field("image", name.get_ref());
        for package in &image.packages {
            key = key.field("package", package.get_ref());
        }
        if let Some(krate) = &image.krate {
            key = key.field("crate", krate.name.get_ref()).field("crate-version", krate.version.get_ref());
        }
        if let Some(venv) = &image.venv {
            key = key.field("python", venv.python.get_ref());
            for requirement in &venv.requirements {
                key = key.field("requirement", requirement.get_ref());
            }
            for name in venv.exclude.keys() {
                key = key.field("without", name.get_ref());
            }
        }
    }
    key.finish().digest()
}

impl Wheel {
    /// The wheel's file name.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}
