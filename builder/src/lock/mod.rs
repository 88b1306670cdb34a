//! `sealift.lock`: the exact packages, wheels and crates of each platform. It names content, never hosts.

mod diff;
mod file;

use std::collections::BTreeMap;
use std::path::PathBuf;

use sealift_deployment::files;
use sealift_deployment::profile::Profile;
use sealift_deployment::profile::model::{self, RequirementsFile, Venv};
use sealift_layers::digest::Digest;
use serde::{Deserialize, Serialize};

pub use diff::diff;
pub use file::FILE;

use crate::python::requirements;
use crate::recipe;
use crate::store::{Builder, Key};

/// A whole lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Lock {
    /// Version of this format: 1; 2 if a platform has [`Platform::archives`] or packages from one; 3 if it has
    /// [`Platform::archive_files`].
    pub schema: u32,
    /// Name of the profile.
    pub profile: String,
    /// The platforms, by OCI name (`linux/amd64`).
    pub platforms: BTreeMap<String, Platform>,
}

/// The content of the images for one platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Platform {
    /// The newest date of the index and the wheels, in seconds since 1970: the default epoch of builds.
    pub epoch: u64,
    /// [`wanted`] of the profile when it was resolved. If the profile has another hash now, the entry is out of date.
    pub wanted: Digest,
    /// The signed index of the profile's suite.
    pub debian: Debian,
    /// Those of the other archives, by their names in the profile. Archives of files have none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub archives: BTreeMap<String, Debian>,
    /// The images, by name.
    pub images: BTreeMap<String, Image>,
    /// Packages of all images, sorted by name.
    #[serde(default, rename = "package")]
    pub packages: Vec<Package>,
    /// Wheels of all images, sorted by file name.
    #[serde(default, rename = "wheel")]
    pub wheels: Vec<Wheel>,
    /// Crates of all images, sorted by name and version.
    #[serde(default, rename = "crate", skip_serializing_if = "Vec::is_empty")]
    pub crates: Vec<Crate>,
    /// Archives of all images that no Debian archive has, sorted by file.
    #[serde(default, rename = "archive-file", skip_serializing_if = "Vec::is_empty")]
    pub archive_files: Vec<ArchiveFile>,
}

/// A signed Release file and the package indexes that it lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Debian {
    /// The suite in the profile.
    pub suite: String,
    /// Its `Date`, in seconds since 1970.
    pub date: u64,
    /// SHA-256 of the `InRelease` file; or of the `Release` file, where its signature is in a file of its own.
    pub release: Digest,
    /// Fingerprint of the primary key that signed it, in upper-case hex.
    pub signed_by: String,
    /// `Origin` of the Release file, who makes its packages; `None`: Debian, or the file does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// SHA-256 of each `Packages` file read, compressed as it was fetched, by its path below `dists/SUITE/`.
    pub indexes: BTreeMap<String, Digest>,
}

/// The content of one image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Image {
    /// Names of the packages, sorted.
    pub packages: Vec<String>,
    /// File names of the wheels, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wheels: Vec<String>,
    /// Its archives, by [`ArchiveFile::file`], sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub archives: Vec<String>,
}

/// A Debian package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Package {
    /// Name of the package.
    pub name: String,
    /// Version, with epoch and revision.
    pub version: String,
    /// Debian architecture: `amd64`, or `all`.
    pub architecture: String,
    /// Its archive, by its name in the profile; `None` for the one that `[debian]` itself describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<String>,
    /// Path below the archive's root (`pool/...`); of an archive of files, below the profile's folder.
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
    /// The distribution's version (PEP 440).
    pub version: String,
    /// Path below the file host's root; its last component is the wheel's file name (PEP 427).
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of the wheel.
    pub sha256: Digest,
    /// When the index received it, in seconds since 1970: the time of its files. `None`: the index does not say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uploaded: Option<u64>,
    /// Name of the index that it is from, if the machine's configuration names it (`[[index]]` of uv). Builds look there
    /// first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
    /// It is a file of the user, see `wheels` of the venv in the profile, and on no index. `path` is its name only, and
    /// `uploaded` the time of its newest member.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub local: bool,
}

/// The crate of a program. It contains a `Cargo.lock`, which pins its dependencies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Crate {
    /// Name of the crate.
    pub name: String,
    /// Version of the crate.
    pub version: String,
    /// Size of its archive in bytes.
    pub size: u64,
    /// SHA-256 of its archive: the checksum in the registry's index.
    pub sha256: Digest,
}

/// An archive that is unpacked into an image, or a single file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ArchiveFile {
    /// Its name in the profile.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its path in the profile's folder, or below a folder or server for archives.
    pub file: String,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of the file.
    pub sha256: Digest,
}

/// The hash of everything in `profile` that resolution depends on.
#[must_use]
pub fn wanted(profile: &Profile) -> Digest {
    let model = &profile.model;
    let debian = model.debian.get_ref();
    let mut key = Key::builder(recipe::WANTED).field("suite", debian.suite.get_ref());
    for component in &debian.components {
        key = key.field("component", component);
    }
    key = archives(key, debian);
    for name in debian.exclude.keys() {
        key = key.field("exclude", name.get_ref());
    }
    for package in &model.base.packages {
        key = requested(key, "base", package.get_ref());
    }
    for (name, image) in &model.images {
        key = key.field("image", name.get_ref());
        for package in &image.packages {
            key = requested(key, "package", package.get_ref());
        }
        if model.is_essential(image) {
            key = key.field("essential", "yes");
        }
        if let Some(krate) = &image.krate {
            key = key.field("crate", krate.name.get_ref()).field("crate-version", krate.version.get_ref());
        }
        for (name, archive) in image.archives.iter().filter(|(_, archive)| !archive.optional) {
            key = key.field("archive-file", archive.file.get_ref()).field("archive-name", name.get_ref());
            key = key.field("archive-version", archive.version.get_ref());
            key = archive.pinned().into_iter().fold(key, |key, sha256| key.field("archive-sha256", sha256));
        }
        if let Some(venv) = &image.venv {
            key = key.field("python", venv.python.get_ref());
            for requirement in venv.requirements.get_ref().listed() {
                key = key.field("requirement", requirement.get_ref());
            }
            for file in requirement_files(profile, venv) {
                // A missing file is reported when it is read.
                let content = files::read(&file).unwrap_or_default();
                key = key.field("requirements-file", Digest::of(&content));
            }
            for (name, list) in [
                ("extra", &venv.extras),
                ("group", &venv.groups),
                ("constraint", &venv.constraints),
                ("local", &venv.wheels),
            ] {
                key = list.iter().fold(key, |key, text| key.field(name, text.get_ref()));
            }
            for name in venv.exclude.keys() {
                key = key.field("without", name.get_ref());
            }
        }
    }
    key.finish().digest()
}

/// Adds priorities, archives and pins. Profiles without them have the same hash as before there were any.
fn archives(mut key: Builder, debian: &model::Debian) -> Builder {
    if let Some(priority) = &debian.priority {
        key = key.field("priority", priority.get_ref());
    }
    for (name, archive) in &debian.archives {
        key = key.field("archive", name.get_ref());
        if let Some(suite) = &archive.suite {
            key = key.field("archive-suite", suite.get_ref());
        }
        for component in archive.components.iter().flatten() {
            key = key.field("archive-component", component);
        }
        if let Some(priority) = &archive.priority {
            key = key.field("archive-priority", priority.get_ref());
        }
        for file in &archive.files {
            key = key.field("archive-file", file.get_ref());
        }
    }
    for (package, archive) in &debian.pins {
        key = key.field("pin", package.get_ref()).field("pin-archive", archive.get_ref());
    }
    key
}

fn requested(key: Builder, field: &str, package: &model::Requested) -> Builder {
    let key = key.field(field, &package.name);
    let key = package.version.iter().fold(key, |key, version| key.field("version", version));
    package.from.iter().fold(key, |key, from| key.field("from", from))
}

impl Platform {
    /// Who made a package: the `Origin` of its archive, or the name of its archive of files; `None` for Debian.
    #[must_use]
    pub fn vendor(&self, package: &Package) -> Option<String> {
        let Some(name) = &package.archive else { return self.debian.origin.clone() };
        self.archives.get(name).map_or_else(|| Some(name.clone()), |archive| archive.origin.clone())
    }

    /// The locked index of an archive, by its name in the profile; `None` if the lock has none.
    #[must_use]
    pub fn archive(&self, name: Option<&str>) -> Option<&Debian> {
        name.map_or(Some(&self.debian), |name| self.archives.get(name))
    }

    /// The oldest version of the format that can express it.
    fn schema(&self) -> u32 {
        match () {
            () if !self.archive_files.is_empty() => 3,
            () if !self.archives.is_empty() || self.packages.iter().any(|package| package.archive.is_some()) => 2,
            () => 1,
        }
    }
}

/// The files that the requirements of a virtual environment are read from.
#[must_use]
pub fn requirement_files(profile: &Profile, venv: &Venv) -> Vec<PathBuf> {
    let Some(file) = venv.requirements.get_ref().file() else { return Vec::new() };
    let path = profile.sources.path(file);
    match RequirementsFile::of(file) {
        Some(RequirementsFile::Project) => vec![path.with_file_name("pyproject.toml"), path.with_file_name("uv.lock")],
        Some(RequirementsFile::Text) => requirements::files(&path),
        _ => vec![path],
    }
}

impl ArchiveFile {
    /// The last component of its path.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.file.rsplit('/').next().unwrap_or(&self.file)
    }
}

impl Wheel {
    /// The wheel's file name.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// The time of its files, in seconds since 1970: 0 if nobody knows when it was made.
    #[must_use]
    pub fn time(&self) -> u64 {
        self.uploaded.unwrap_or(0)
    }
}
