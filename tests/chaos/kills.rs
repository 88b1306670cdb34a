//! kill -9 at random moments: the same command succeeds afterwards, with the same bytes, and nothing is lost or left behind.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sealift_tests::chaos::{Chance, Tally, duration, killed, rounds};
use sealift_tests::lab::Lab;

use super::{is_expected, store_is_sound, succeeds};

/// A build whose bundle has the secrets of a site.
const BUILD: [&str; 7] = ["build", "tiny", "--locked", "--site", "owner", "--output", "out.tar"];

/// Names of files that a killed process left, other than in the store, which has a folder for them.
fn leftovers(lab: &Lab) -> Vec<String> {
    let temporary = |path: &String| {
        let name = path.rsplit('/').next().unwrap();
        !path.starts_with("store/") && name.starts_with('.') && name != ".env"
    };
    lab.below("").into_iter().filter(temporary).collect()
}

/// The number of unfinished files in the store.
fn left_in_store(lab: &Lab) -> usize {
    if !lab.path("store").exists() {
        return 0;
    }
    let unfinished = |path: &&String| ["tmp/", "partial/"].iter().any(|folder| path.starts_with(folder));
    lab.below("store").iter().filter(unfinished).count()
}

/// The secrets of a site: keys and tokens, as bytes that occur wherever the secret does.
fn secrets(lab: &Lab, site: &str) -> Vec<Vec<u8>> {
    let secret = |path: &String| path.starts_with("secrets/") || path.ends_with(".key");
    let files = lab.below(site).into_iter().filter(secret).map(|path| fs_err::read(lab.path(site).join(path)).unwrap());
    // In the middle of a key, so that neither the PEM header nor the end of a file matters.
    let part = |bytes: Vec<u8>| bytes[bytes.len() / 3..bytes.len() * 2 / 3].to_vec();
    let secrets: Vec<_> = files.map(part).filter(|part| part.len() >= 8).collect();
    assert!(!secrets.is_empty());
    secrets
}

/// Asserts that no file but those whose paths begin with one of `allowed` has a secret.
#[track_caller]
fn nothing_else_has(lab: &Lab, secrets: &[Vec<u8>], allowed: &[&str], what: &str) {
    let others = lab.below("").into_iter().filter(|path| !allowed.iter().any(|start| path.starts_with(start)));
    for path in others {
        let bytes = fs_err::read(lab.path("").join(Path::new(&path))).unwrap_or_default();
        let found = secrets.iter().any(|secret| memchr::memmem::find(&bytes, secret).is_some());
        assert!(!found, "{what}: {path} has a secret");
    }
}

#[test]
fn a_killed_build() {
    let lab = Lab::locked();
    succeeds(&lab, &["site", "new", "owner", "--profile", "tiny", "--host", "greeter.example"]);
    let secrets = secrets(&lab, "owner");
    let mut elsewhere = lab.command(&BUILD);
    elsewhere.env("SEALIFT_STORE", lab.path("another-store"));
    // With an empty store, and with one that has everything.
    let whole = [duration(&mut elsewhere), duration(&mut elsewhere)];
    fs_err::rename(lab.path("out.tar"), lab.path("expected.tar")).unwrap();
    let (mut chance, mut tally) = (Chance::new("build"), Tally::default());
    let start = std::time::Instant::now();
    for round in 0.. {
        if tally.of("killed") == rounds(6) {
            break;
        }
        let has_store = chance.once_in(2) && lab.path("store").exists();
        if !has_store {
            let _ = fs_err::remove_dir_all(lab.path("store"));
        }
        if chance.once_in(2) {
            let _ = fs_err::remove_file(lab.path("out.tar"));
        }
        let was_there = lab.path("out.tar").exists();
        let moment = chance.moment(whole[usize::from(has_store)]);
        let what = format!("round {round}, after {moment:?}");
        tally.count(if killed(&mut lab.command(&BUILD), moment) { "killed" } else { "had ended" });
        match (lab.path("out.tar").exists(), was_there) {
            (true, _) => is_expected(&lab, &what),
            (false, was_there) => assert!(!was_there, "{what}: the bundle of the build before is lost"),
        }
        tally.add("files left until the next build", left_in_store(&lab) + leftovers(&lab).len());
        nothing_else_has(&lab, &secrets, &["owner/", "out.tar", "expected.tar"], &what);
        // Opening the store removes what is left in it: every second time, the build has to do that.
        if round % 2 == 0 && lab.path("store").exists() {
            store_is_sound(&lab, &what);
        }
        succeeds(&lab, &BUILD);
        is_expected(&lab, &what);
        assert_eq!(leftovers(&lab), [""; 0], "{what}");
        assert_eq!(left_in_store(&lab), 0, "{what}: {:?}", lab.below("store"));
        store_is_sound(&lab, &what);
        tally.count("built again with the same bytes");
    }
    tally.print("build, killed", start);
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

/// Whether a file of the site is made once, and never again. The authority's certificate names the hosts that it may sign
/// for: with another host it is issued again, for the same key.
fn is_lasting(path: &str) -> bool {
    path.starts_with("secrets/") || path.ends_with(".key")
}

#[test]
fn a_killed_site_new() {
    let lab = Lab::locked();
    let new = |host: &str, site: &str| lab.command(&["site", "new", site, "--profile", "tiny", "--host", host]);
    let _ = duration(&mut new("greeter.example", "whole"));
    fs_err::remove_dir_all(lab.path("whole")).unwrap();
    let whole = duration(&mut new("greeter.example", "whole"));
    let complete: Vec<String> = contents(&lab, "whole").into_keys().collect();
    let (mut chance, mut tally) = (Chance::new("site"), Tally::default());
    let start = std::time::Instant::now();
    for round in 0.. {
        if tally.of("killed") == rounds(8) {
            break;
        }
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
        let litter: Vec<&String> = after.keys().filter(|path| !complete.contains(path)).collect();
        tally.add("files left until the next run", litter.len() + leftovers(&lab).len());
        let secrets: Vec<&Vec<u8>> =
            after.iter().filter(|(path, _)| is_lasting(path)).map(|(_, file)| &file.1).collect();
        for path in &litter {
            let (mode, bytes) = &after[*path];
            let is_secret = secrets.iter().any(|secret| memchr::memmem::find(bytes, secret).is_some());
            assert!(!is_secret || mode & 0o077 == 0, "{what}: others can read {path}");
        }
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
    tally.print("site new, killed", start);
}
