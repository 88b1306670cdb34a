//! What ingredients tell `bundle.json` of their contents.

use std::collections::BTreeMap;

use sealift_deployment::bundle::{ArchiveFile, Compiled, Crate, Package, StorePath, System, Wheel};

/// The contents of a whole bundle. Ingredients add to it, layer by layer; what several layers have is added once.
#[derive(Debug, Default)]
pub struct Description {
    /// The image whose layer is described.
    pub image: ImageDescription,
    /// The distribution that the images are of.
    pub system: Option<System>,
    /// Debian packages by name.
    pub packages: BTreeMap<String, Package>,
    /// Wheels by file name.
    pub wheels: BTreeMap<String, Wheel>,
    /// Crates, in the order of the images.
    pub crates: Vec<Crate>,
    /// Archives by their paths in the lock.
    pub archives: BTreeMap<String, ArchiveFile>,
    /// Paths of Nix closures by name.
    pub store_paths: BTreeMap<String, StorePath>,
    /// Packages and distributions that are left out on purpose, and why.
    pub excluded: BTreeMap<String, String>,
    /// Interpreters that compiled bytecode: package to version.
    pub interpreters: BTreeMap<String, String>,
    /// How crates were compiled.
    pub compiled: Option<Compiled>,
}

/// The contents of one image.
#[derive(Debug, Default)]
pub struct ImageDescription {
    /// Names of its packages.
    pub packages: Vec<String>,
    /// File names of its wheels.
    pub wheels: Vec<String>,
    /// Its archives, by their paths in the lock.
    pub archives: Vec<String>,
    /// Names of its store paths.
    pub store_paths: Vec<String>,
}
