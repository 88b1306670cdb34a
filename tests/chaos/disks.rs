//! Full and read-only disks: an error with the path and the reason, and the next run succeeds once there is room.

use sealift_tests::chaos::{Chance, Tally, orderly, rounds};
use sealift_tests::disks::{bad_then_good, possible};
use sealift_tests::lab::{Ended, Lab};

use super::{BUILD, expected_bundle, is_expected, succeeds};

/// Asserts that the first run failed as it should, or succeeded; and that the second one succeeded.
#[track_caller]
fn judge(what: &str, folder: &str, words: &str, [first, second]: &[Ended; 2], tally: &mut Tally) {
    orderly(what, first);
    orderly(what, second);
    if first.code == Some(0) {
        tally.count("had room enough");
    } else {
        assert_eq!(first.code, Some(1), "{what}: {first:?}");
        assert!(first.stderr.contains(folder), "{what}: the path is missing: {}", first.stderr);
        assert!(first.stderr.contains(words) && first.stderr.contains("hint: "), "{what}: {}", first.stderr);
        tally.count("refused with the path and a hint");
    }
    assert_eq!(second.code, Some(0), "{what}: the next run: {second:?}");
    tally.count("succeeded in the next run");
}

/// A disk of a random size, at most `most` kilobytes.
fn small(chance: &mut Chance, most: usize) -> String {
    format!("size={}k,rw", 4 * (1 + chance.below(most / 4)))
}

const ROOMY: &str = "size=64m,rw";
const READ_ONLY: &str = "ro";

#[test]
fn a_full_or_read_only_disk_for_the_store() {
    let lab = Lab::locked();
    if !possible() {
        return;
    }
    expected_bundle(&lab);
    let (mut chance, mut tally) = (Chance::new("store-disk"), Tally::default());
    let start = std::time::Instant::now();
    for round in 0..rounds(3) {
        let size = small(&mut chance, 800);
        let runs = bad_then_good(&lab, "store", [&size, ROOMY], &lab.command(&BUILD));
        judge(&format!("round {round}, {size}"), "store", "the disk is full", &runs, &mut tally);
        is_expected(&lab, &size);
        fs_err::remove_file(lab.path("out.tar")).unwrap();
    }
    tally.print("a full disk for the store", start);
    let runs = bad_then_good(&lab, "store", [READ_ONLY, ROOMY], &lab.command(&BUILD));
    judge("read-only", "store", "read-only", &runs, &mut tally);
    is_expected(&lab, "read-only");
}

#[test]
fn a_full_or_read_only_disk_for_the_output() {
    let lab = Lab::locked();
    if !possible() {
        return;
    }
    expected_bundle(&lab);
    succeeds(&lab, &BUILD);
    let size = fs_err::metadata(lab.path("out.tar")).unwrap().len() / 1024 + 64;
    let build = lab.command(&["build", "tiny", "--locked", "--output", "disk/out.tar"]);
    let (mut chance, mut tally) = (Chance::new("output-disk"), Tally::default());
    let start = std::time::Instant::now();
    for round in 0..rounds(3) {
        let size = small(&mut chance, usize::try_from(size).unwrap());
        let runs = bad_then_good(&lab, "disk", [&size, ROOMY], &build);
        judge(&format!("round {round}, {size}"), "disk", "the disk is full", &runs, &mut tally);
    }
    tally.print("a full disk for the output", start);
    judge("read-only", "disk", "ead-only", &bad_then_good(&lab, "disk", [READ_ONLY, ROOMY], &build), &mut tally);
}

#[test]
fn a_full_or_read_only_disk_for_a_site() {
    let lab = Lab::locked();
    if !possible() {
        return;
    }
    let new = lab.command(&["site", "new", "disk/site", "--profile", "tiny", "--host", "greeter.example"]);
    let (mut chance, mut tally) = (Chance::new("site-disk"), Tally::default());
    let start = std::time::Instant::now();
    for round in 0..rounds(3) {
        let size = small(&mut chance, 64);
        let runs = bad_then_good(&lab, "disk", [&size, ROOMY], &new);
        judge(&format!("round {round}, {size}"), "disk", "the disk is full", &runs, &mut tally);
    }
    tally.print("a full disk for a site", start);
    judge("read-only", "disk", "ead-only", &bad_then_good(&lab, "disk", [READ_ONLY, ROOMY], &new), &mut tally);
}

#[test]
fn a_full_or_read_only_disk_for_temporary_files() {
    let lab = Lab::locked();
    if !possible() {
        return;
    }
    lab.without_containers();
    succeeds(&lab, &["build", "bare", "--locked", "--output", "bare.tar.gz"]);
    let (mut chance, mut tally) = (Chance::new("tmp-disk"), Tally::default());
    let start = std::time::Instant::now();
    for round in 0..rounds(3) {
        let size = small(&mut chance, 250);
        let mut command = lab.command(&["verify", "bare.tar.gz"]);
        command.env("TMPDIR", lab.path("disk"));
        let runs = bad_then_good(&lab, "disk", [&size, ROOMY], &command);
        judge(&format!("round {round}, {size}"), "disk", "the disk is full", &runs, &mut tally);
    }
    tally.print("a full disk for temporary files", start);
    for arguments in [&["verify", "bare.tar.gz"][..], &["lock", "tiny"]] {
        let mut command = lab.command(arguments);
        command.env("TMPDIR", lab.path("disk"));
        let runs = bad_then_good(&lab, "disk", [READ_ONLY, ROOMY], &command);
        judge(&format!("read-only: {arguments:?}"), "disk", "ead-only", &runs, &mut tally);
    }
}
