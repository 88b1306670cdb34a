//! `bundle.json`: the contents of a bundle, with digests and origins. It contains no secrets and no hosts of mirrors.

use std::collections::{BTreeMap, BTreeSet};

use sealift_layers::digest::Digest;
use serde::{Deserialize, Serialize};

use super::system::System;
use crate::profile::model::{Deployed, Mode};

/// The whole document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Manifest {
    /// Version of this format: 1.
    pub schema: u32,
    /// Version of the program that built the bundle.
    pub sealift: String,
    /// The product, as in file names.
    pub product: String,
    /// The profile.
    pub profile: String,
    /// Version of the product.
    pub version: String,
    /// One line.
    pub title: String,
    /// Platform in the notation of OCI (`linux/amd64`).
    pub platform: String,
    /// How a host runs it. Without containers, the bundle has the files of `images` instead of images.
    #[serde(default, skip_serializing_if = "is_compose")]
    pub deployment: Deployed,
    /// The latest modification time of a file, in seconds since 1970.
    pub epoch: u64,
    /// The public host that env files and configuration in the bundle were rendered for.
    pub host: String,
    /// The images.
    pub images: Vec<BundleImage>,
    /// The distribution that the images are of, if one of them says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<System>,
    /// All Debian packages.
    pub packages: Vec<Package>,
    /// All wheels.
    pub wheels: Vec<Wheel>,
    /// Crates that programs are built from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub crates: Vec<Crate>,
    /// Archives and single files that no package has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub archives: Vec<ArchiveFile>,
    /// Paths of Nix stores.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub store_paths: Vec<StorePath>,
    /// Packages and distributions that were excluded although something depends on them: name to reason.
    pub excluded: BTreeMap<String, String>,
    /// What services may do beyond what all services may: service, right, reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub privileges: BTreeMap<String, BTreeMap<String, String>>,
    /// How layers were written. Earlier versions did not say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<Written>,
    /// How bytecode was compiled, if any was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytecode: Option<Bytecode>,
    /// How crates were compiled, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compiled: Option<Compiled>,
    /// The crates that the program `sealift` in the bundle consists of, itself included. Empty when there is no program,
    /// or one that does not contain this list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub program: Vec<ProgramCrate>,
    /// The site of a bundle for one installation, by path: files (`site/...`, `.env`), whose digests are in `SHA256SUMS`,
    /// and folders, with a `/` at their end. Empty in all other bundles.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub site: BTreeMap<String, SiteMember>,
}

impl Manifest {
    /// The licences of packages, wheels and crates in images.
    pub fn licenses(&self) -> impl Iterator<Item = &License> {
        let packages = self.packages.iter().filter_map(|package| package.license.as_ref());
        let wheels = self.wheels.iter().filter_map(|wheel| wheel.license.as_ref());
        packages.chain(wheels).chain(self.crates.iter().filter_map(|made| made.license.as_ref()))
    }
}

/// A file or a folder of a bundle's site. Its owner is root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SiteMember {
    /// Permission bits, in octal digits: `0640`.
    pub mode: Mode,
    /// Numeric group.
    #[serde(default)]
    pub group: u32,
}

/// One image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BundleImage {
    /// Its name in the profile.
    pub name: String,
    /// Its full name and tag.
    pub reference: String,
    /// Digest of its manifest: the image ID in containerd.
    pub digest: Digest,
    /// Digest of its configuration: the image ID in podman and in Docker's classic store.
    pub config: Digest,
    /// Its layers, bottom first.
    pub layers: Vec<BundleLayer>,
    /// Names of its packages.
    pub packages: Vec<String>,
    /// File names of its wheels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wheels: Vec<String>,
    /// Its archives: their paths in the lock.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub archives: Vec<String>,
    /// Names of its store paths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub store_paths: Vec<String>,
}

/// One layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BundleLayer {
    /// Description of its contents.
    pub title: String,
    /// Digest of its blob.
    pub digest: Digest,
    /// Size of its blob in bytes.
    pub size: u64,
    /// Digest of its tar.
    pub diff_id: Digest,
    /// Size of its tar in bytes.
    pub unpacked: u64,
}

/// One Debian package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture.
    pub architecture: String,
    /// Its archive, by its name in the profile; `None` for the one that `[debian]` itself describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<String>,
    /// Its source package, if that has another name or version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// Who made it, as the archive calls itself (`Origin`), or the profile an archive of files; `None` for Debian.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    /// SHA-256 of the `.deb`.
    pub sha256: Digest,
    /// Its licence, as far as it says one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<License>,
    /// Names of the packages that it depends on, among those that are in an image with it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub depends_on: BTreeSet<String>,
    /// Its maintainer scripts. None of them was run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scripts_not_run: Vec<String>,
    /// What they would have done and the build has done without them: `alternatives: /usr/bin/java`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub applied: BTreeSet<String>,
    /// What they would have done and is not done, by kind: `alternatives`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub not_applied: BTreeSet<String>,
}

/// A licence, as the package with it says it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct License {
    /// SPDX license expression (SPDX specification 2.3, annex D). `LicenseRef-…` stands for a licence that SPDX's list does not
    /// have. `None`: it does not say any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    /// The package says so in a field for machines; otherwise it is concluded from other fields.
    #[serde(default, skip_serializing_if = "std::ops::Not::not", rename = "declared")]
    pub is_declared: bool,
    /// Names of licences in Debian's `/usr/share/common-licenses` that its copyright file refers to.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub common: BTreeSet<String>,
    /// Digests of the texts that have to be passed on with it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub texts: BTreeSet<Digest>,
}

/// A source package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Source {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// One wheel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Wheel {
    /// The distribution.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The wheel's file name.
    pub file: String,
    /// SHA-256 of the wheel.
    pub sha256: Digest,
    /// Its licence, as far as it says one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<License>,
    /// File names of the wheels that it requires, among those that are in an image with it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub depends_on: BTreeSet<String>,
    /// How the wheel's `RECORD` differs from its files, which are installed as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<String>,
    /// Why the profile accepts that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<String>,
}

/// One crate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Crate {
    /// The image with its program.
    pub image: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of its archive.
    pub sha256: Digest,
    /// Its licence, as far as it says one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<License>,
    /// Name of the program.
    pub binary: String,
    /// Features in addition to the default ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
}

/// One archive, or one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ArchiveFile {
    /// Its name in the profile.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its path in the lock.
    pub file: String,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of the file.
    pub sha256: Digest,
}

/// A crate of the program in the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ProgramCrate {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of its archive; `None` for the crates of Sealift itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
    /// For `sealift`: the digest of the source of all crates of Sealift, an in-toto `dirHash` (SHA-256 of the lines that
    /// `sha256sum` prints for its files, sorted by name).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Digest>,
    /// Its licence, as an SPDX expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// The texts of licences and notices in its package: files below `sbom/licenses`. `None` where the program does not have
    /// them, as those of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub texts: Option<BTreeSet<Digest>>,
    /// The crates that it depends on: name and version, with a blank between them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<String>,
}

/// One path of a Nix store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct StorePath {
    /// Its name below `/nix/store`.
    pub name: String,
    /// SHA-256 of its NAR.
    pub nar_hash: Digest,
    /// Size of its NAR in bytes.
    pub nar_size: u64,
    /// Names of the paths that it refers to, other than itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<String>,
}

/// How layers were written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Written {
    /// Identifier of the recipe: how trees become layers.
    pub recipe: String,
    /// Compression, with its version.
    pub codec: String,
}

/// How crates were compiled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Compiled {
    /// Identifier of the build recipe.
    pub recipe: String,
    /// The compilers.
    pub toolchain: Toolchain,
}

/// The compilers of a crate. Other compilers give other bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Toolchain {
    /// Output of `rustc -vV`, in one line.
    pub rustc: String,
    /// First line of the C compiler's `--version`; it also links.
    pub cc: String,
}

/// How bytecode was compiled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Bytecode {
    /// Identifier of the build recipe.
    pub recipe: String,
    /// The interpreters that compiled it: package to version.
    pub interpreters: BTreeMap<String, String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's interface")]
fn is_compose(deployment: &Deployed) -> bool {
    *deployment == Deployed::Compose
}
