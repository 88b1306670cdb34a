//! The project's own profiles and their locks.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::path::Path;

use sealift::lock::{self, Lock};
use sealift_deployment::profile::{Profile, Search};

/// A change to a profile may break those that extend it.
#[test]
fn the_projects_own_profiles_load_and_their_locks_fit() {
    let place = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../profiles"));
    let all = Search::new([place.to_owned()]).all().unwrap();
    assert!(all.contains_key("standalone") && all.len() > 2, "{all:?}");
    for (name, directory) in all {
        let profile = Profile::load(&directory).unwrap_or_else(|error| panic!("{error}"));
        let lock = Lock::read(&profile).unwrap().unwrap_or_else(|| panic!("{name} has no lock"));
        for platform in lock.platforms.values() {
            assert_eq!(platform.wanted, lock::wanted(&profile), "the lock of {name} is stale");
        }
    }
}

/// A profile that extends another one asks for the same as its merged text does: the lock fits both.
#[test]
fn a_profile_wants_the_same_when_it_is_written_in_one_file() {
    let bare = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../profiles/testing"));
    let extending = Profile::load(bare).unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs_err::write(folder.path().join("profile.toml"), &extending.text).unwrap();
    for file in extending.files() {
        let target = folder.path().join(&file);
        fs_err::create_dir_all(target.parent().unwrap()).unwrap();
        fs_err::copy(extending.sources.path(&file), target).unwrap();
    }
    let merged = Profile::load(folder.path()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(lock::wanted(&merged), lock::wanted(&extending));
}
