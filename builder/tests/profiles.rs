//! Profiles that are right, and profiles that are wrong with what is said about them.
//!
//! `profiles/valid/NAME/profile.toml` must load. `profiles/invalid/NAME.toml` must not, and the error must be the text in
//! `NAME.stderr` beside it; `UPDATE=1 cargo test -p sealift --test profiles` writes these anew.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::path::{Path, PathBuf};

use sealift::failure::Kind;
use sealift::profile::Profile;

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/profiles");

#[expect(clippy::disallowed_methods, reason = "sorted")]
fn sorted(directory: &str) -> Vec<PathBuf> {
    let directory = Path::new(SAMPLES).join(directory);
    let mut paths: Vec<PathBuf> = fs_err::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn valid_profiles_load() {
    for directory in sorted("valid") {
        let profile = Profile::load(&directory).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(directory.file_name().unwrap().to_str(), Some(profile.model.name.get_ref().as_str()));
    }
}

#[test]
fn invalid_profiles_are_explained() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut wrong = Vec::new();
    for sample in sorted("invalid").iter().filter(|path| path.extension().is_some_and(|e| e == "toml")) {
        let directory = tempfile::tempdir().unwrap();
        fs_err::copy(sample, directory.path().join("profile.toml")).unwrap();
        fs_err::write(directory.path().join("file"), "there\n").unwrap();
        let error = Profile::load(directory.path()).expect_err(&sample.display().to_string());
        assert_eq!(Kind::of(&error), Kind::Usage, "{}", sample.display());
        let said = error.to_string().replace(&directory.path().display().to_string(), "DIR");
        let expected = sample.with_extension("stderr");
        if update {
            fs_err::write(&expected, &said).unwrap();
        } else if fs_err::read_to_string(&expected).unwrap_or_default() != said {
            wrong.push(format!("{}:\n{said}", sample.display()));
        }
    }
    assert!(wrong.is_empty(), "said otherwise (UPDATE=1 accepts):\n{}", wrong.join("\n"));
}
