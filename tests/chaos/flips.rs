//! Single bits that are flipped: noticed, with the name of the file, and never a panic.

use std::path::Path;
use std::process::Command;

use base64::Engine as _;

use sealift_tests::chaos::{Chance, Tally, orderly, rounds};
use sealift_tests::compare::difference;
use sealift_tests::lab::Lab;

use super::{BUILD, expected_bundle, is_expected, succeeds};

fn unpack(lab: &Lab, tar: &str, folder: &str) {
    let _ = fs_err::remove_dir_all(lab.path(folder));
    fs_err::create_dir(lab.path(folder)).unwrap();
    let status = Command::new("tar").args(["xpf", tar, "-C", folder]).current_dir(lab.path("")).status();
    assert!(status.unwrap().success());
}

/// The file of a member's content at `offset` in an uncompressed tar, or `None` for its header and padding.
fn member_at(tar: &[u8], offset: usize) -> Option<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next().unwrap()).into_owned();
    let mut at = 0;
    while at < tar.len() && tar[at] != 0 {
        let size = usize::from_str_radix(text(&tar[at + 124..at + 136]).trim(), 8).unwrap();
        if (at + 512..at + 512 + size).contains(&offset) {
            return Some(text(&tar[at..at + 100]));
        }
        at += 512 + size.next_multiple_of(512);
    }
    None
}

#[test]
fn a_flipped_bit_in_a_bundle() {
    let lab = Lab::locked();
    succeeds(&lab, &BUILD);
    let whole = fs_err::read(lab.path("out.tar")).unwrap();
    let (mut chance, mut tally) = (Chance::new("bundle"), Tally::default());
    let start = std::time::Instant::now();
    for round in 0..rounds(8) {
        fs_err::write(lab.path("bad.tar"), &whole).unwrap();
        let at = chance.flip(&lab.path("bad.tar"));
        let ended = lab.run(&["verify", "bad.tar"]);
        let what = format!("round {round}, byte {at}");
        orderly(&what, &ended);
        let member = member_at(&whole, at);
        match (&member, ended.code) {
            (Some(name), code) => {
                assert_eq!(code, Some(4), "{what} of {name}: {ended:?}");
                assert!(format!("{}{}", ended.stdout, ended.stderr).contains(name), "{what} of {name}: {ended:?}");
                tally.count("in a file: noticed and named");
            }
            (None, Some(0)) => {
                // Nothing reads it: what is unpacked is the same.
                unpack(&lab, "bad.tar", "bad");
                unpack(&lab, "out.tar", "good");
                let differ =
                    Command::new("diff").args(["-r", "bad", "good"]).current_dir(lab.path("")).output().unwrap();
                assert!(differ.status.success(), "{what}: {}", String::from_utf8_lossy(&differ.stdout));
                tally.count("in a header or padding: nothing that is unpacked changes");
            }
            (None, code) => {
                assert!(
                    matches!(code, Some(2 | 4)) && ended.stdout.len() + ended.stderr.len() > 0,
                    "{what}: {ended:?}"
                );
                tally.count("in a header or padding: noticed");
            }
        }
    }
    tally.print("flips in a bundle", start);
}

#[test]
fn a_flipped_bit_in_an_unpacked_bundle() {
    let lab = Lab::locked();
    succeeds(&lab, &BUILD);
    unpack(&lab, "out.tar", "folder");
    let files = lab.below("folder");
    let (mut chance, mut tally) = (Chance::new("folder"), Tally::default());
    let start = std::time::Instant::now();
    for round in 0..rounds(8) {
        let file = &files[chance.below(files.len())];
        let path = lab.path("folder").join(file);
        let good = fs_err::read(&path).unwrap();
        if good.is_empty() {
            continue;
        }
        let at = chance.flip(&path);
        let ended = lab.run(&["verify", "folder"]);
        fs_err::write(&path, good).unwrap();
        let what = format!("round {round}, byte {at} of {file}");
        orderly(&what, &ended);
        assert_eq!(ended.code, Some(4), "{what}: {ended:?}");
        assert!(format!("{}{}", ended.stdout, ended.stderr).contains(file), "{what} is not named: {ended:?}");
        tally.count("noticed and named");
    }
    succeeds(&lab, &["verify", "folder"]);
    tally.print("flips in an unpacked bundle", start);
}

/// A build notices the damage, or its result has the expected bytes.
#[test]
fn a_flipped_bit_in_the_store() {
    let lab = Lab::locked();
    expected_bundle(&lab);
    succeeds(&lab, &BUILD);
    let (mut chance, mut tally) = (Chance::new("store"), Tally::default());
    let start = std::time::Instant::now();
    for round in 0..rounds(8) {
        let files: Vec<String> = lab.below("store").into_iter().filter(|file| file != "lock").collect();
        let file = &files[chance.below(files.len())];
        let at = chance.flip(&lab.path("store").join(file));
        let what = format!("round {round}, byte {at} of {file}");
        let check = lab.run(&["store", "check"]);
        orderly(&what, &check);
        assert_eq!(check.code, Some(4), "{what}: {check:?}");
        fs_err::remove_file(lab.path("out.tar")).unwrap();
        let built = lab.run(&BUILD);
        orderly(&what, &built);
        if built.code == Some(0) {
            is_expected(&lab, &what);
            tally.count("not needed or made again: the expected bytes");
        } else {
            assert_eq!(built.code, Some(4), "{what}: {built:?}");
            assert!(
                built.stderr.contains("store check --repair") && !lab.path("out.tar").exists(),
                "{what}: {built:?}"
            );
            tally.count("noticed by the build, with the command that repairs it");
        }
        succeeds(&lab, &["store", "check", "--repair"]);
        succeeds(&lab, &BUILD);
        is_expected(&lab, &what);
    }
    tally.print("flips in the store, all found by store check", start);
}

/// A build with a changed lock fails, or its images and packages are the expected ones.
#[test]
fn a_flipped_bit_in_a_lock() {
    let lab = Lab::locked();
    expected_bundle(&lab);
    succeeds(&lab, &BUILD);
    let lock = lab.path("tiny/sealift.lock");
    let good = fs_err::read(&lock).unwrap();
    let (mut chance, mut tally) = (Chance::new("lock"), Tally::default());
    let start = std::time::Instant::now();
    for round in 0..rounds(8) {
        let at = chance.flip(&lock);
        let line = String::from_utf8_lossy(&good[..at]).matches('\n').count();
        let line =
            String::from_utf8_lossy(&fs_err::read(&lock).unwrap()).lines().nth(line).unwrap_or_default().to_owned();
        let _ = fs_err::remove_file(lab.path("out.tar"));
        let built = lab.run(&BUILD);
        fs_err::write(&lock, &good).unwrap();
        let what = format!("round {round}, byte {at}: `{line}`");
        orderly(&what, &built);
        if built.code == Some(0) {
            // The store has all artifacts: it needs no paths. The bundle has a copy of the lock.
            let changed = difference(&lab.path("expected.tar"), &lab.path("out.tar"));
            let only_the_copy = changed.as_ref().is_none_or(|what| what.starts_with("profile/sealift.lock: "));
            assert!(only_the_copy, "{what}: {changed:?}");
            let described = |bundle| lab.run(&["inspect", bundle, "--json"]).stdout;
            assert_eq!(described("expected.tar"), described("out.tar"), "{what}");
            tally.count("in a comment, or in a path that is not needed: the expected images and packages");
        } else {
            assert!(!built.stderr.is_empty() && !lab.path("out.tar").exists(), "{what}: {built:?}");
            tally.count("noticed");
        }
    }
    succeeds(&lab, &BUILD);
    is_expected(&lab, "with the lock as it was");
    tally.print("flips in a lock", start);
}

/// A changed site is refused, or mended, or the change is one that its operator may make: another value of a setting or a
/// secret, a text in a file that only services read.
#[test]
fn a_flipped_bit_in_a_site() {
    let lab = Lab::locked();
    succeeds(&lab, &["site", "new", "good", "--profile", "tiny", "--host", "greeter.example"]);
    let files = lab.below("good");
    let (mut chance, mut tally) = (Chance::new("site-flip"), Tally::default());
    let start = std::time::Instant::now();
    for round in 0..rounds(8) {
        let _ = fs_err::remove_dir_all(lab.path("site"));
        sealift_tests::lab::copy(&lab.path("good"), &lab.path("site")).unwrap();
        let file = &files[chance.below(files.len())];
        let at = chance.flip(&lab.path("site").join(file));
        let what = format!("round {round}, byte {at} of {file}");
        let renewed = lab.run(&["site", "new", "site", "--profile", "tiny"]);
        orderly(&what, &renewed);
        let built = lab.run(&["build", "tiny", "--locked", "--site", "site", "--output", "site.tar"]);
        orderly(&what, &built);
        let said = format!("{}{}{}{}", renewed.stdout, renewed.stderr, built.stdout, built.stderr);
        let mended =
            fs_err::read(lab.path("site").join(file)).unwrap() == fs_err::read(lab.path("good").join(file)).unwrap();
        let class = match (renewed.code, built.code) {
            (Some(0), Some(0)) if mended => "put right",
            (Some(0), Some(0)) if said.contains(&named(file)) => "reported as edited or replaced",
            (Some(0), Some(0)) if is_free(file) || is_of_another_issuer(&lab, file) => "another value that is as good",
            (Some(0), Some(0)) => panic!("{what}: not noticed: {said}"),
            _ => {
                assert!(said.contains(&named(file)), "{what}: not named: {said}");
                "refused, and named"
            }
        };
        tally.count(class);
    }
    tally.print("flips in a site", start);
}

/// How messages name a file of the site.
fn named(file: &str) -> String {
    Path::new(file).file_name().unwrap().to_string_lossy().into_owned()
}

/// Whether the change is in the issuer of a certificate: then it is one that another authority signed, as operators may have.
/// Its signature cannot be checked without the certificate of that.
fn is_of_another_issuer(lab: &Lab, file: &str) -> bool {
    if !file.ends_with(".crt") {
        return false;
    }
    let [good, bad] = ["good", "site"].map(|site| {
        let pem = fs_err::read_to_string(lab.path(site).join(file)).unwrap_or_default();
        let text: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default()
    });
    let at = good.iter().zip(&bad).position(|(one, other)| one != other);
    // The issuer's name is its only text before the subject's.
    let name = memchr::memmem::find(&good, b"Authority").unwrap();
    at.is_some_and(|at| (name.saturating_sub(20)..name + 32).contains(&at))
}

/// Files whose value only the operator knows, and which the operator edits. A changed secret or authority is told.
fn is_free(file: &str) -> bool {
    file == "settings.toml" || file == "site.toml"
}
