//! Error messages and exit codes of the release side. A failed command leaves no incomplete output.
//!
//! The snapshots contain the whole standard error, as a user sees it.

#![allow(clippy::unwrap_used, reason = "a test")]

use sealift_tests::archive::{Archive, INDEX, KNOWN_KEY, RELEASE};
use sealift_tests::lab::{Ended, Lab};
use sealift_tests::mirror::Reply;
use sealift_tests::packed::{Member, Package, Wheel};

const BUILD: [&str; 4] = ["build", "tiny", "--output", "out.tar"];
const BUILD_LOCKED: [&str; 5] = ["build", "tiny", "--output", "out.tar", "--locked"];

/// Runs a command that must fail, compares its output with the snapshot `name`, and checks that it leaves no output and an
/// undamaged store.
#[track_caller]
fn fails(lab: &Lab, name: &str, arguments: &[&str]) {
    let ended = lab.run(arguments);
    assert_ne!(ended.code, Some(0), "{}", ended.stderr);
    matches_snapshot(lab, name, &ended);
}

#[track_caller]
fn matches_snapshot(lab: &Lab, name: &str, ended: &Ended) {
    insta::assert_snapshot!(name, ended.transcript());
    leaves_no_output(lab);
}

#[track_caller]
fn leaves_no_output(lab: &Lab) {
    let left = |name: &String| name.starts_with("out.tar") || name.starts_with(".out") || name.starts_with(".sealift");
    let left: Vec<_> = lab.below("").into_iter().filter(left).collect();
    assert_eq!(left, [""; 0], "a failed build leaves no output");
    store_is_undamaged(lab);
}

#[track_caller]
fn store_is_undamaged(lab: &Lab) {
    if !lab.path("store").exists() {
        return;
    }
    let check = lab.run(&["store", "check"]);
    assert_eq!(check.code, Some(0), "{}{}", check.stdout, check.stderr);
}

#[track_caller]
fn succeeds(lab: &Lab, arguments: &[&str]) -> Ended {
    let ended = lab.run(arguments);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    ended
}

fn flipped(mut bytes: Vec<u8>) -> Vec<u8> {
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bytes
}

fn clock() -> String {
    Archive::default().package("clock").path()
}

// --- Servers ------------------------------------------------------------------------------------------------------

#[test]
fn an_unreachable_mirror() {
    let lab = Lab::new();
    let ended = lab.ended(&lab.command(&["lock", "tiny", "--debian-mirror", "http://127.0.0.1:1"]).output().unwrap());
    matches_snapshot(&lab, "mirror-unreachable", &ended);
}

#[test]
fn a_mirror_without_the_suite() {
    let lab = Lab::new();
    lab.mirror.remove(RELEASE);
    fails(&lab, "mirror-without-suite", &["lock", "tiny"]);
}

#[test]
fn a_mirror_without_the_component() {
    let lab = Lab::new();
    lab.edit("tiny/profile.toml", "components = [\"main\"]", "components = [\"main\", \"contrib\"]");
    fails(&lab, "mirror-without-component", &["lock", "tiny"]);
}

#[test]
fn a_package_with_other_content() {
    let lab = Lab::locked();
    lab.mirror.set(&clock(), Reply::Whole(flipped(lab.mirror.file(&clock()))));
    fails(&lab, "deb-wrong-digest", &BUILD_LOCKED);
    fails(&lab, "deb-wrong-digest", &BUILD);
    lab.publish(&Archive::default());
    succeeds(&lab, &BUILD_LOCKED);
}

#[test]
fn an_interrupted_download() {
    let lab = Lab::locked();
    let whole = lab.mirror.file(&clock());
    lab.mirror.set(&clock(), Reply::Cut(whole.clone(), 100));
    fails(&lab, "deb-cut-off", &BUILD_LOCKED);
    // The next run resumes the download.
    lab.mirror.set(&clock(), Reply::Whole(whole));
    succeeds(&lab, &BUILD_LOCKED);
}

#[test]
fn a_wheel_with_other_content() {
    let lab = Lab::locked();
    let path = format!("files/{}", Archive::default().wheel("words").file_name());
    lab.mirror.set(&path, Reply::Whole(flipped(lab.mirror.file(&path))));
    fails(&lab, "wheel-wrong-digest", &BUILD_LOCKED);
}

#[test]
fn a_package_that_was_removed_from_the_archive() {
    let lab = Lab::locked();
    let locked = fs_err::read(lab.path("tiny/sealift.lock")).unwrap();
    let mut archive = Archive::default();
    archive.package("clock").version = "1:4.3-1".into();
    lab.publish(&archive);
    fails(&lab, "deb-gone-locked", &BUILD_LOCKED);
    assert_eq!(locked, fs_err::read(lab.path("tiny/sealift.lock")).unwrap(), "--locked does not change the lock");
    let ended = succeeds(&lab, &BUILD);
    let text = ended.transcript();
    // The digest of the bundle is not part of the snapshot.
    insta::assert_snapshot!("deb-gone-resolved-again", text.rsplit_once("sha256:").unwrap().0);
    succeeds(&lab, &BUILD_LOCKED);
}

#[test]
fn a_package_that_was_removed_but_is_in_the_index() {
    let lab = Lab::locked();
    lab.mirror.remove(&clock());
    fails(&lab, "deb-gone-still-in-index", &BUILD);
}

#[test]
fn a_wheel_that_was_removed_from_the_index() {
    let lab = Lab::locked();
    lab.mirror.remove("simple/words/");
    fails(&lab, "wheel-gone-locked", &BUILD_LOCKED);
}

#[test]
fn an_unreachable_python_index() {
    let lab = Lab::locked();
    let mut command = lab.command(&BUILD_LOCKED);
    let ended = lab.ended(&command.env("PIP_INDEX_URL", "http://127.0.0.1:1/simple").output().unwrap());
    // The wheels are fetched at the same time: either can fail first.
    matches_snapshot(
        &lab,
        "index-unreachable",
        &Ended { stderr: ended.stderr.replace("/greeter/", "/words/"), ..ended },
    );
}

#[test]
fn offline_with_an_empty_store_or_without_a_lock() {
    let lab = Lab::locked();
    fails(&lab, "offline-empty-store", &["build", "tiny", "--output", "out.tar", "--offline"]);
    assert_eq!(lab.mirror.requests(), [""; 0]);
    fs_err::remove_file(lab.path("tiny/sealift.lock")).unwrap();
    fails(&lab, "offline-no-lock", &["build", "tiny", "--output", "out.tar", "--offline"]);
    assert_eq!(lab.mirror.requests(), [""; 0]);
}

// --- Signatures ---------------------------------------------------------------------------------------------------

#[test]
fn a_changed_release_file() {
    let lab = Lab::new();
    let text = String::from_utf8(lab.mirror.file(RELEASE)).unwrap();
    lab.mirror.set(RELEASE, Reply::Whole(text.replace("Origin: Tests", "Origin: Toast").into_bytes()));
    fails(&lab, "release-bad-signature", &["lock", "tiny"]);
    let unsigned: Vec<&str> = text.lines().filter(|line| line.contains(':')).collect();
    lab.mirror.set(RELEASE, Reply::Whole(unsigned.join("\n").into_bytes()));
    fails(&lab, "release-unsigned", &["lock", "tiny"]);
    assert!(!lab.path("tiny/sealift.lock").exists());
}

#[test]
fn a_release_file_signed_by_an_unknown_key() {
    let lab = Lab::with(&Archive { key: KNOWN_KEY + 1, ..Archive::default() });
    fails(&lab, "release-unknown-key", &["lock", "tiny"]);
}

#[test]
fn a_malformed_keyring() {
    let lab = Lab::new();
    fs_err::write(lab.path("tiny/files/archive-key.asc"), "no key\n").unwrap();
    fails(&lab, "keyring-damaged", &["lock", "tiny"]);
}

#[test]
fn an_expired_release_file() {
    let archive = Archive { valid_until: Some("Thu, 08 Jan 2026 00:00:00 UTC".into()), ..Archive::default() };
    let lab = Lab::with(&archive);
    for (name, arguments) in [("release-expired", &["lock", "tiny"][..]), ("release-expired-build", &BUILD)] {
        let ended = lab.run(arguments);
        let text = ended.transcript();
        let (before, rest) = text.split_once("2026-01-08 (").unwrap();
        let (_, after) = rest.split_once(" days ago").unwrap();
        insta::assert_snapshot!(name, format!("{before}2026-01-08 ([N] days ago{after}"));
        leaves_no_output(&lab);
    }
    succeeds(&lab, &["lock", "tiny", "--allow-expired"]);
    fs_err::remove_file(lab.path("tiny/sealift.lock")).unwrap();
    lab.edit("tiny/profile.toml", "suite = \"tiny\"", "suite = \"tiny\"\nallow-expired = true");
    succeeds(&lab, &BUILD);
}

#[test]
fn a_package_index_that_differs_from_the_release_file() {
    let lab = Lab::new();
    lab.mirror.set(INDEX, Reply::Whole(flipped(lab.mirror.file(INDEX))));
    fails(&lab, "packages-wrong-digest", &["lock", "tiny"]);
    lab.mirror.remove(INDEX);
    fails(&lab, "packages-gone", &["lock", "tiny"]);
}

// --- Profiles and locks -------------------------------------------------------------------------------------------

#[test]
fn an_unknown_package() {
    let lab = Lab::new();
    lab.edit("tiny/profile.toml", "packages = [\"clock\"]", "packages = [\"clok\"]");
    fails(&lab, "profile-unknown-package", &["lock", "tiny"]);
    fails(&lab, "profile-unknown-package-build", &BUILD);
}

#[test]
fn an_unknown_dependency() {
    let mut archive = Archive::default();
    archive.package("clock").fields = "Depends: gears (>= 2)\n".into();
    fails(&Lab::with(&archive), "dependency-unknown", &["lock", "tiny"]);
}

#[test]
fn an_unknown_profile_or_platform() {
    let lab = Lab::new();
    fails(&lab, "profile-unknown", &["build", "tinny"]);
    fails(&lab, "profile-unknown-folder", &["build", "./nowhere"]);
    fails(&lab, "platform-unknown", &["build", "tiny", "--platform", "linux/arm64"]);
}

#[test]
fn a_malformed_lock() {
    let lab = Lab::locked();
    let lock = fs_err::read_to_string(lab.path("tiny/sealift.lock")).unwrap();
    let (before, after) = lock.split_once("[[platforms.\"linux/amd64\".package]]").unwrap();
    let cases = [
        ("lock-unknown-field", lock.replacen("[platforms.", "colour = \"red\"\n\n[platforms.", 1)),
        (
            "lock-without-package",
            format!(
                "{before}{}",
                after.split_once("[[").map_or("", |(_, rest)| rest).replacen("platforms", "[[platforms", 1)
            ),
        ),
        ("lock-of-another-profile", lock.replacen("profile = \"tiny\"", "profile = \"huge\"", 1)),
        ("lock-of-the-future", lock.replacen("schema = 1", "schema = 2", 1)),
        ("lock-bad-digest", lock.replacen("sha256 = \"", "sha256 = \"zz", 1)),
        ("lock-merge-conflict", lock.replacen("[platforms.", "<<<<<<< HEAD\n[platforms.", 1)),
        ("lock-path-escapes", lock.replacen("path = \"pool/", "path = \"../../pool/", 1)),
    ];
    for (name, text) in cases {
        assert_ne!(text, lock, "{name}");
        fs_err::write(lab.path("tiny/sealift.lock"), text).unwrap();
        fails(&lab, name, &BUILD_LOCKED);
    }
}

#[test]
fn a_lock_that_is_out_of_date() {
    let lab = Lab::locked();
    lab.edit("tiny/profile.toml", "packages = [\"clock\"]", "packages = [\"clock\", \"python3.14\"]");
    fails(&lab, "lock-stale", &BUILD_LOCKED);
    fs_err::remove_file(lab.path("tiny/sealift.lock")).unwrap();
    fails(&lab, "lock-missing", &BUILD_LOCKED);
}

#[test]
fn a_missing_or_incomplete_site() {
    let lab = Lab::locked();
    fails(&lab, "site-missing", &["build", "tiny", "--output", "out.tar", "--site", "nowhere"]);
    fs_err::create_dir(lab.path("empty")).unwrap();
    fails(&lab, "site-empty", &["build", "tiny", "--output", "out.tar", "--site", "empty"]);
    succeeds(&lab, &["site", "new", "site", "--profile", "tiny", "--host", "greeter.example"]);
    fs_err::remove_file(lab.path("site/tls/greeter.key")).unwrap();
    fs_err::remove_file(lab.path("site/secrets/token")).unwrap();
    fails(&lab, "site-incomplete", &["build", "tiny", "--output", "out.tar", "--site", "site"]);
}

// --- Hostile packages ---------------------------------------------------------------------------------------------

/// Locks and builds with a changed archive.
#[track_caller]
fn refused(name: &str, change: impl FnOnce(&mut Archive)) {
    let mut archive = Archive::default();
    change(&mut archive);
    let lab = Lab::with(&archive);
    lab.lock();
    let ended = lab.run(&["build", "tiny", "--output", "out.tar", "--quiet"]);
    assert_ne!(ended.code, Some(0), "{}", ended.stderr);
    matches_snapshot(&lab, name, &ended);
}

#[test]
fn packages_with_conflicting_paths() {
    refused("deb-conflict", |archive| {
        archive.package("clock").members.push(Member::file("./usr/bin/python3.14", "another snake\n"));
        archive.package("clock").fields = "Depends: python3.14\n".into();
    });
    refused("deb-file-below-a-link", |archive| {
        archive.package("clock").members.push(Member::file("./etc/os-release/x", "below a link\n"));
    });
}

#[test]
fn a_package_with_another_name_in_its_control_file() {
    refused("deb-other-name", |archive| archive.package("clock").stated = "cuckoo".into());
}

#[test]
fn a_package_with_paths_outside_of_the_root() {
    for (name, member) in [
        ("deb-path-escapes", Member::file("./usr/../../etc/passwd", "root\n")),
        ("deb-hardlink-escapes", Member::hardlink("./usr/bin/x", "../../etc/passwd")),
        ("deb-hardlink-nowhere", Member::hardlink("./usr/bin/x", "./usr/bin/nothing")),
    ] {
        refused(name, |archive| archive.package("clock").members.push(member));
    }
}

#[test]
fn a_package_with_a_path_that_occurs_twice() {
    refused("deb-twice", |archive| {
        archive.package("clock").members.push(Member::file("./usr/bin/clock", "tock\n"));
    });
}

#[test]
fn a_wheel_with_a_wrong_record_or_conflicting_paths() {
    refused("wheel-record-lies", |archive| archive.wheel("words").lie = Some("words.py".into()));
    refused("wheel-path-escapes", |archive| {
        archive.wheels[1] = Wheel::new("words", "0.3", &[("../../../etc/passwd", "root\n")]);
    });
    refused("wheels-conflict", |archive| {
        archive.wheels[1] = Wheel::new("words", "0.3", &[("words.py", ""), ("greeter/__init__.py", "")]);
    });
}

#[test]
fn a_malformed_package_is_an_error_only_if_it_is_needed() {
    let mut archive = Archive::default();
    archive.packages.push(Package::new("a/b", "1", "", &[]));
    let locked = Lab::with(&archive).run(&["lock", "tiny"]);
    assert_eq!(locked.code, Some(0), "{}", locked.stderr);
    assert!(
        locked.stderr.contains("warning: a malformed stanza of the package index is left out"),
        "{}",
        locked.stderr
    );
    archive.package("clock").fields = "Depends: a/b\n".into();
    fails(&Lab::with(&archive), "packages-malformed", &["lock", "tiny"]);
}
