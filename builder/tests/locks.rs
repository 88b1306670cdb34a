//! The project's own profiles and their locks.

use std::path::Path;

use sealift::lock::{self, Lock};
use sealift_deployment::profile::{Profile, Search};
use sealift_deployment::site::{SiteParameters, render_public};

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

/// What they state is used, and no secret is in them: nobody should learn to pass by the warnings.
#[test]
fn profiles_and_examples_have_no_warnings() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let all = Search::new(["profiles", "examples"].map(|folder| root.join(folder))).all().unwrap();
    assert!(all.contains_key("synapse") && all.contains_key("standalone"), "{all:?}");
    for directory in all.values() {
        let profile = Profile::load(directory).unwrap_or_else(|error| panic!("{error}"));
        let warnings = profile.warnings().map(|warnings| warnings.to_string());
        assert_eq!(warnings, None, "{}", directory.display());
    }
}

/// A profile that extends another one has the same hash as its merged text: the same lock is valid for both.
#[test]
fn an_extending_profile_and_its_merged_text_have_the_same_hash() {
    let bare = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../profiles/testing"));
    let extending = Profile::load(bare).unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs_err::write(folder.path().join("profile.toml"), &extending.text).unwrap();
    for file in extending.files().unwrap() {
        let target = folder.path().join(&file);
        fs_err::create_dir_all(target.parent().unwrap()).unwrap();
        fs_err::copy(extending.sources.path(&file), target).unwrap();
    }
    let merged = Profile::load(folder.path()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(lock::wanted(&merged), lock::wanted(&extending));
}

/// Links and headers named an IPv6 host without brackets, which no client takes.
#[test]
fn an_ipv6_host_is_in_brackets_wherever_a_profile_writes_an_address() {
    let place = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../profiles"));
    for (name, directory) in Search::new([place.to_owned()]).all().unwrap() {
        let profile = Profile::load(&directory).unwrap();
        let mut parameters = SiteParameters::defaults(&profile.model);
        parameters.host = "2001:db8::7".parse().unwrap();
        let rendered = render_public(&profile.model, &profile.sources, &parameters).unwrap();
        assert!(rendered.values().any(|text| text.contains("[2001:db8::7]")), "{name}");
        for (path, text) in rendered {
            let bare = text.replace("[2001:db8::7]", "").contains("2001:db8::7");
            assert!(!bare, "{name}: {path} has the address without brackets:\n{text}");
        }
    }
}
