//! kill -9 at random moments: the same command succeeds afterwards, with the same bytes, and nothing is lost or left behind.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use sealift_tests::chaos::{Chance, Tally, duration, killed, rounds};
use sealift_tests::lab::Lab;

use super::{BUILD, expected_bundle, is_expected, store_is_sound, succeeds};

/// Names of files that a killed process left, other than in the store, which has a folder for them.
fn leftovers(lab: &Lab) -> Vec<String> {
    let temporary = |path: &String| {
        let name = path.rsplit('/').next().unwrap();
        !path.starts_with("store/") && name.starts_with('.') && name != ".env"
    };
    lab.below("").into_iter().filter(temporary).collect()
}

#[test]
fn a_killed_build() {
    let lab = Lab::locked();
    expected_bundle(&lab);
    let whole = duration(lab.command(&BUILD).env("SEALIFT_STORE", lab.path("another-store")));
    let (mut chance, mut tally) = (Chance::new("build"), Tally::default());
    for round in 0..rounds(6) {
        if chance.once_in(2) {
            let _ = fs_err::remove_dir_all(lab.path("store"));
        }
        if chance.once_in(2) {
            let _ = fs_err::remove_file(lab.path("out.tar"));
        }
        let was_there = lab.path("out.tar").exists();
        let moment = chance.moment(whole);
        let what = format!("round {round}, after {moment:?}");
        tally.count(if killed(&mut lab.command(&BUILD), moment) { "killed" } else { "had ended" });
        match (lab.path("out.tar").exists(), was_there) {
            (true, _) => is_expected(&lab, &what),
            (false, was_there) => assert!(!was_there, "{what}: the bundle of the build before is lost"),
        }
        store_is_sound(&lab, &what);
        succeeds(&lab, &BUILD);
        is_expected(&lab, &what);
        assert_eq!(leftovers(&lab), [""; 0], "{what}");
        let store = lab.below("store");
        let left: Vec<_> =
            store.iter().filter(|path| ["tmp/", "partial/"].iter().any(|f| path.starts_with(f))).collect();
        assert_eq!(left, [""; 0], "{what}");
        store_is_sound(&lab, &what);
        tally.count("built again with the same bytes");
    }
    tally.print("build, killed");
}

/// The files of a site with their modes.
fn contents(lab: &Lab, site: &str) -> BTreeMap<String, (u32, Vec<u8>)> {
    let read = |path: String| {
        let file = lab.path(site).join(&path);
        let mode = fs_err::metadata(&file).unwrap().permissions().mode() & 0o7777;
        (path, (mode, fs_err::read(file).unwrap()))
    };
    if lab.path(site).exists() { lab.below(site).into_iter().map(read).collect() } else { BTreeMap::new() }
}

/// Whether a file of the site is made once, and never again.
fn is_lasting(path: &str) -> bool {
    path.starts_with("secrets/") || path.ends_with(".key") || path == "custom-ca.crt"
}

#[test]
fn a_killed_site_new() {
    let lab = Lab::locked();
    let new = |host: &str, site: &str| lab.command(&["site", "new", site, "--profile", "tiny", "--host", host]);
    let whole = duration(&mut new("greeter.example", "whole"));
    let complete: Vec<String> = contents(&lab, "whole").into_keys().collect();
    let (mut chance, mut tally) = (Chance::new("site"), Tally::default());
    for round in 0..rounds(8) {
        // A new site, or another host for one: files are rendered and a certificate is issued again.
        if chance.once_in(2) {
            let _ = fs_err::remove_dir_all(lab.path("site"));
        }
        let host = format!("host-{round}.example");
        let before = contents(&lab, "site");
        let moment = chance.moment(whole);
        let what = format!("round {round}, after {moment:?}");
        tally.count(if killed(&mut new(&host, "site"), moment) { "killed" } else { "had ended" });
        let after = contents(&lab, "site");
        for (path, (mode, bytes)) in &after {
            assert!(!bytes.is_empty(), "{what}: {path} is empty");
            assert!(
                mode & 0o007 == 0 || !is_lasting(path) || path.ends_with(".crt"),
                "{what}: {path} has mode {mode:o}"
            );
        }
        let again = lab.ended(&new(&host, "site").output().unwrap());
        assert_eq!(again.code, Some(0), "{what}: {}", again.stderr);
        let made = contents(&lab, "site");
        assert_eq!(made.keys().cloned().collect::<Vec<_>>(), complete, "{what}");
        for (path, content) in before.iter().chain(&after).filter(|(path, _)| is_lasting(path)) {
            assert_eq!(made.get(path), Some(content), "{what}: {path} was made again");
        }
        assert!(fs_err::read_to_string(lab.path("site/env/greeter.env")).unwrap().contains(&host), "{what}");
        // What is complete stays byte for byte.
        succeeds(&lab, &["site", "new", "site", "--profile", "tiny", "--host", &host]);
        assert!(contents(&lab, "site") == made, "{what}: a repeated run changes the site");
        tally.count("completed, nothing lost and nothing left");
    }
    succeeds(&lab, &["build", "tiny", "--locked", "--site", "site", "--output", "with-site.tar"]);
    tally.print("site new, killed");
}
