//! What a build is asked for, and what it returns.

use std::path::PathBuf;

use sealift_deployment::profile::Profile;
use sealift_deployment::site::Site;
use sealift_layers::codec::Codec;
use sealift_layers::digest::{Digest, Measured};
use sealift_layers::image::Image;
use sealift_layers::limits::Limits;
use sealift_layers::platform::Platform;

use super::preview::Preview;
use crate::lock::ArchiveFile;
use crate::resolve;
use crate::signing::SigningKey;

/// Everything that a build is asked for.
#[derive(Debug)]
pub struct BuildRequest<'a> {
    /// The profile.
    pub profile: &'a Profile,
    /// Platform of the images; the profile supports it.
    pub platform: Platform,
    /// Compression of the layers.
    pub codec: Codec,
    /// Site of the installation, if the build is for a single one.
    pub site: Option<Site>,
    /// What happens to a lock that does not fit the profile or names files that no server has.
    pub lock: LockPolicy,
    /// Files, and folders of files, that are used instead of fetching.
    pub artifacts: Vec<PathBuf>,
    /// Optional archives that are given to the build: the lock has them in this build only.
    pub with: Vec<ArchiveFile>,
    /// Image layouts whose layers are used instead of making them.
    pub layers_from: Vec<PathBuf>,
    /// The epoch in seconds since 1970; `None` for the lock's.
    pub epoch: Option<u64>,
    /// Folder of the paths of Nix closures.
    pub nix_store: PathBuf,
    /// Limits of what packages, wheels and crates unpack to.
    pub limits: Limits,
    /// The time in seconds since 1970. It decides only whether signatures are valid when a lock is resolved.
    pub now: u64,
    /// Number of threads.
    pub jobs: usize,
    /// What to make: a plan, an image or a bundle.
    pub target: Target,
}

/// What happens to a lock that does not fit the profile, or names files that no server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockPolicy {
    /// It is resolved again, and the changes are printed.
    Update,
    /// It is an error.
    Keep,
}

/// The result that a build is to make.
#[derive(Debug)]
pub enum Target {
    /// Only plan: nothing is fetched or written.
    Plan,
    /// Make one image and write it as an OCI image layout.
    Image {
        /// The image's name in the profile.
        name: String,
        /// Folder to create.
        output: PathBuf,
    },
    /// Make all images and write the bundle.
    Bundle {
        /// File to write; `None` for the bundle's own name in the current directory.
        output: Option<PathBuf>,
        /// Statically linked `sealift` for the host; `None` for `own_program`.
        program: Option<PathBuf>,
        /// This program, which is used if it is statically linked and for the platform.
        own_program: Option<PathBuf>,
        /// The key that signs it.
        key: Option<Box<SigningKey>>,
    },
}

/// The result of a build.
#[derive(Debug)]
pub struct Built {
    /// What was planned.
    pub preview: Preview,
    /// The images; none if the target is a plan.
    pub images: Vec<BuiltImage>,
    /// What was written; `None` if the target is a plan.
    pub output: Option<Output>,
}

/// A file or folder that was written.
#[derive(Clone, Debug)]
pub struct Output {
    /// Path of the file, or of the folder of an image.
    pub path: PathBuf,
    /// Digest and size of a bundle; `None` for the folder of an image.
    pub bundle: Option<Measured>,
}

/// An image that was built.
#[derive(Clone, Debug)]
pub struct BuiltImage {
    /// Full name and tag.
    pub reference: String,
    /// Digest of the manifest.
    pub digest: Digest,
    /// Digest of the configuration: the image's ID on most engines.
    pub id: Digest,
}

impl From<&Image> for BuiltImage {
    fn from(image: &Image) -> Self {
        Self { reference: image.name.clone(), digest: image.digest(), id: image.config_digest() }
    }
}

impl BuildRequest<'_> {
    pub(super) fn resolve_options(&self) -> resolve::Options {
        resolve::Options { platform: self.platform, now: self.now, allow_expired: false }
    }
}
