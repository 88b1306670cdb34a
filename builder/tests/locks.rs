//! The project's own profiles and their locks.

use std::path::Path;

use sealift::lock::{self, Lock};
use sealift_deployment::profile::{Profile, Search};

/// A change of a profile can break the profiles that extend it.
#[test]
fn the_projects_profiles_are_valid_and_their_locks_up_to_date() {
    let place = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../profiles"));
    let all = Search::new([place.to_owned()]).all().unwrap();
    assert!(all.contains_key("standalone") && all.len() > 2, "{all:?}");
    for (name, directory) in all {
        let profile = Profile::load(&directory).unwrap_or_else(|error| panic!("{error}"));
        let lock = Lock::read(&profile).unwrap().unwrap_or_else(|| panic!("{name} has no lock"));
        for platform in lock.platforms.values() {
            assert_eq!(platform.wanted, lock::wanted(&profile), "the lock of {name} is out of date");
        }
    }
}

/// A profile that extends another one has the same hash as its merged text: the same lock is valid for both.
#[test]
fn an_extending_profile_and_its_merged_text_have_the_same_hash() {
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
