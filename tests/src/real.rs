//! Builds of real profiles, with the machine's servers or with artifacts from one of its stores.

use std::path::{Path, PathBuf};
use std::process::Command;

use sealift::lock::Lock;
use sealift_deployment::profile::Profile;
use tempfile::TempDir;

use crate::bundle;

/// The folder of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace is above").to_owned()
}

/// A folder for large files, in cargo's target folder: `/tmp` may be small.
///
/// # Panics
/// It cannot be created.
#[must_use]
pub fn place() -> TempDir {
    let program = bundle::program().expect("the program is built");
    let target = program.parent().expect("a program has a folder");
    tempfile::tempdir_in(target).or_else(|_| tempfile::tempdir()).expect("a temporary directory")
}

/// The program with the machine's settings.
#[must_use]
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(bundle::program().expect("the program is built"));
    command.args(arguments).env_remove("SOURCE_DATE_EPOCH");
    command
}

/// Copies the artifacts of a locked profile from this machine's store (`SEALIFT_TEST_STORE`, else the user's) into a store
/// without layers. They are not fetched again, but layers are built again.
///
/// # Panics
/// The profile has no lock, or the disk is full.
pub fn seed(store: &Path, profile: &Path) {
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/sealift"));
    let Some(source) = std::env::var_os("SEALIFT_TEST_STORE").map(PathBuf::from).or(home) else { return };
    let profile = Profile::load(profile).expect("a sound profile");
    let lock = Lock::read(&profile).expect("a sound lock").expect("a lock");
    let folder = store.join("artifacts/sha256");
    fs_err::create_dir_all(&folder).expect("a store");
    for platform in lock.platforms.values() {
        let packages = platform.packages.iter().map(|package| package.sha256);
        for digest in packages.chain(platform.wheels.iter().map(|wheel| wheel.sha256)) {
            let (from, to) = (source.join("artifacts/sha256").join(digest.hex()), folder.join(digest.hex()));
            if from.exists() && !to.exists() && fs_err::hard_link(&from, &to).is_err() {
                fs_err::copy(&from, &to).expect("an artifact can be copied");
            }
        }
    }
}
