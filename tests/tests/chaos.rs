//! Faults at random moments and in random bytes: kill -9, changed bytes, full and read-only disks, builds at the same time.
//!
//! `cargo test` runs a few of each kind; `tests/chaos/run` runs as many as docs/reliability.md reports, and prints the
//! figures.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "../chaos/disks.rs"]
mod disks;
#[path = "../chaos/flips.rs"]
mod flips;
#[path = "../chaos/kills.rs"]
mod kills;
#[path = "../chaos/servers.rs"]
mod servers;

use std::path::PathBuf;

use sealift_tests::compare::difference;
use sealift_tests::lab::{Ended, Lab};

/// The build that all of these run.
const BUILD: [&str; 5] = ["build", "tiny", "--locked", "--output", "out.tar"];

#[track_caller]
fn succeeds(lab: &Lab, arguments: &[&str]) -> Ended {
    let ended = lab.run(arguments);
    assert_eq!(ended.code, Some(0), "{arguments:?}: {}{}", ended.stdout, ended.stderr);
    ended
}

/// The expected bundle, built with a store of its own.
fn expected_bundle(lab: &Lab) -> PathBuf {
    let mut command = lab.command(&["build", "tiny", "--locked", "--output", "expected.tar"]);
    let ended = lab.ended(&command.env("SEALIFT_STORE", lab.path("expected-store")).output().unwrap());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    lab.path("expected.tar")
}

/// Asserts that the bundle has the expected bytes.
#[track_caller]
fn is_expected(lab: &Lab, what: &str) {
    assert_eq!(difference(&lab.path("expected.tar"), &lab.path("out.tar")), None, "{what}");
}

/// Asserts that `store check` finds nothing.
#[track_caller]
fn store_is_sound(lab: &Lab, what: &str) {
    let check = lab.run(&["store", "check"]);
    assert_eq!(check.code, Some(0), "{what}: {}{}", check.stdout, check.stderr);
}

#[test]
fn four_builds_on_one_store_give_the_same_bytes() {
    let lab = Lab::locked();
    expected_bundle(&lab);
    let mut tally = sealift_tests::chaos::Tally::default();
    let begin = std::time::Instant::now();
    for round in 0..sealift_tests::chaos::rounds(3).div_ceil(10) {
        let outputs = ["one.tar", "two.tar", "three.tar", "four.tar"];
        let start = |output| lab.command(&["build", "tiny", "--locked", "--output", output]).spawn().unwrap();
        let children = outputs.map(start);
        for (mut child, output) in children.into_iter().zip(outputs) {
            assert!(child.wait().unwrap().success(), "round {round}: {output}");
            assert_eq!(difference(&lab.path("expected.tar"), &lab.path(output)), None, "round {round}: {output}");
            tally.count("builds with the expected bytes");
        }
        store_is_sound(&lab, "after four builds");
        fs_err::remove_dir_all(lab.path("store")).unwrap();
    }
    tally.print("four builds at once on an empty store", begin);
}
