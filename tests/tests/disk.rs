//! Disks that are full, read-only or failing, and a program that is killed: no incomplete output, and a store that the next
//! build can use.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use sealift_tests::archive::Archive;
use sealift_tests::compare::difference;
use sealift_tests::disks;
use sealift_tests::lab::{Ended, Lab, without_digests};
use sealift_tests::mirror::Reply;

const BUILD: [&str; 5] = ["build", "tiny", "--locked", "--output", "out.tar"];

#[track_caller]
fn succeeds(lab: &Lab, arguments: &[&str]) -> Ended {
    let ended = lab.run(arguments);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    ended
}

/// The expected bundle, built with another store.
fn expected_bundle(lab: &Lab) -> std::path::PathBuf {
    let mut command = lab.command(&["build", "tiny", "--locked", "--output", "expected.tar"]);
    let ended = lab.ended(&command.env("SEALIFT_STORE", lab.path("expected-store")).output().unwrap());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    lab.path("expected.tar")
}

// --- Places that cannot be written --------------------------------------------------------------------------------

#[test]
fn an_output_that_cannot_be_written() {
    let lab = Lab::locked();
    fs_err::create_dir(lab.path("folder")).unwrap();
    for (name, output) in [("output-nowhere", "no/such/folder/out.tar"), ("output-is-a-folder", "folder")] {
        let ended = lab.run(&["build", "tiny", "--locked", "--output", output]);
        insta::assert_snapshot!(name, ended.transcript());
    }
    assert_eq!(lab.below("folder"), [""; 0]);
}

#[test]
fn a_store_that_cannot_be_created() {
    let lab = Lab::locked();
    fs_err::write(lab.path("file"), "").unwrap();
    let mut command = lab.command(&BUILD);
    let ended = lab.ended(&command.env("SEALIFT_STORE", lab.path("file/store")).output().unwrap());
    insta::assert_snapshot!("store-below-a-file", ended.transcript());
}

/// Runs the program with a file system of its own, with these mount options, in `folder`. Its standard output is followed by
/// a list of the files in `folder`. `None` if this user is not allowed to mount.
fn mounted(lab: &Lab, folder: &str, options: &str, arguments: &[&str]) -> Option<Ended> {
    fs_err::create_dir_all(lab.path(folder)).unwrap();
    if !disks::possible() {
        return None;
    }
    let script = "options=$1 folder=$2; shift 2; mount -t tmpfs -o \"$options\" none \"$folder\" || exit 99
        \"$@\"; code=$?; find \"$folder\" -type f ! -path '*/partial/*' ! -path '*/artifacts/*' ! -name lock; exit $code";
    let folder = lab.path(folder).display().to_string();
    Some(lab.ended(&disks::run(lab, script, &[options, &folder], &lab.command(arguments))))
}

#[test]
fn a_full_disk_for_the_output() {
    let lab = Lab::locked();
    succeeds(&lab, &["build", "tiny", "--locked", "--output", "elsewhere.tar"]);
    let arguments = ["build", "tiny", "--locked", "--output", "disk/out.tar"];
    let Some(ended) = mounted(&lab, "disk", "size=100k", &arguments) else { return };
    insta::assert_snapshot!("output-disk-full", ended.transcript());
    assert_eq!(ended.stdout, "", "no file is left on the full disk");
    let Some(ended) = mounted(&lab, "disk", "ro", &arguments) else { return };
    insta::assert_snapshot!("output-disk-read-only", ended.transcript());
}

/// With a growing disk the build fails with a hint until it succeeds.
#[test]
fn a_full_disk_for_the_store() {
    let lab = Lab::locked();
    let mut last = String::new();
    for kilobytes in (20..2000).step_by(60) {
        let Some(ended) = mounted(&lab, "store", &format!("size={kilobytes}k"), &BUILD) else { return };
        if ended.code == Some(0) {
            assert!(kilobytes > 300 && last.contains("the disk is full"), "{kilobytes}: {last}");
            return;
        }
        assert_eq!(ended.code, Some(1), "{kilobytes}: {}", ended.stderr);
        assert!(ended.stderr.contains("\nhint: the disk is full"), "{kilobytes}: {}", ended.stderr);
        assert!(!lab.path("out.tar").exists());
        last = ended.stderr;
    }
    panic!("a build of 200 kB needs more than 2 MB: {last}");
}

// --- A store that is damaged --------------------------------------------------------------------------------------

fn flip(path: &Path) {
    let mut bytes = fs_err::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs_err::write(path, bytes).unwrap();
}

/// A build detects a damaged file of the store, or does not need the file.
#[test]
fn a_damaged_file_in_the_store_is_found_and_repaired() {
    let lab = Lab::locked();
    let expected = expected_bundle(&lab);
    succeeds(&lab, &BUILD);
    let files = lab.below("store");
    let mut kinds = std::collections::BTreeSet::new();
    for file in files.iter().filter(|file| *file != "lock") {
        let kind = file.split('/').next().unwrap();
        // A repair removed it, and no build has needed it since.
        if !lab.path("store").join(file).exists() {
            continue;
        }
        flip(&lab.path("store").join(file));
        let check = lab.run(&["store", "check"]);
        assert_eq!(check.code, Some(4), "the check does not find the damaged {file}");
        if kinds.insert(kind) {
            let text = without_digests(&format!("{}{}", check.stdout, check.transcript()));
            insta::assert_snapshot!(format!("store-damaged-{kind}"), text);
        }
        fs_err::remove_file(lab.path("out.tar")).unwrap();
        let built = lab.run(&BUILD);
        match built.code {
            // The file is not needed, or was created again.
            Some(0) => assert_eq!(difference(&expected, &lab.path("out.tar")), None, "{file}"),
            code => {
                assert_eq!(code, Some(4), "{file}: {}", built.stderr);
                assert!(built.stderr.contains("store check --repair"), "{file}: {}", built.stderr);
                assert!(!lab.path("out.tar").exists());
            }
        }
        let repaired = lab.run(&["store", "check", "--repair"]);
        assert_eq!(repaired.code, Some(0), "{}", repaired.stderr);
        succeeds(&lab, &BUILD);
        assert_eq!(difference(&expected, &lab.path("out.tar")), None, "{file}");
    }
    assert_eq!(Vec::from_iter(kinds), ["artifacts", "blobs", "derived", "layers"]);
}

/// An artifact was damaged after it was fetched, and layers have to be built from it.
#[test]
fn a_damaged_artifact_is_found_when_a_layer_is_built() {
    let lab = Lab::locked();
    succeeds(&lab, &BUILD);
    fs_err::remove_file(lab.path("out.tar")).unwrap();
    let package = lab.mirror.file(&Archive::default().package("clock").path());
    let wheel = lab.mirror.file(&format!("files/{}", Archive::default().wheel("words").file_name()));
    for (name, bytes) in [("store-damaged-deb", package), ("store-damaged-wheel", wheel)] {
        let digest = sealift_layers::digest::Digest::of(&bytes).hex();
        for folder in ["layers", "derived"] {
            fs_err::remove_dir_all(lab.path("store").join(folder)).unwrap();
        }
        flip(&lab.path("store/artifacts/sha256").join(&digest));
        let ended = lab.run(&BUILD);
        insta::assert_snapshot!(name, without_digests(&ended.transcript()));
        assert!(!lab.path("out.tar").exists());
        assert_eq!(lab.run(&["store", "check", "--repair"]).code, Some(0));
    }
    succeeds(&lab, &BUILD);
    assert_eq!(difference(&expected_bundle(&lab), &lab.path("out.tar")), None);
}

// --- Killed -------------------------------------------------------------------------------------------------------

#[test]
fn a_build_that_was_killed_during_a_download_is_resumed() {
    let lab = Lab::locked();
    let path = Archive::default().package("clock").path();
    let whole = lab.mirror.file(&path);
    lab.mirror.set(&path, Reply::Stuck(whole.clone()));
    let mut child = lab.command(&BUILD).stderr(Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    let halfway = || {
        let partial = lab.path("store/partial");
        partial.exists()
            && sealift_deployment::files::sorted_dir(&partial)
                .unwrap()
                .iter()
                .any(|path| path.metadata().is_ok_and(|found| found.len() >= whole.len() as u64 / 2))
    };
    while !halfway() {
        assert!(started.elapsed() < Duration::from_secs(30), "no download starts");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!lab.path("out.tar").exists());
    assert_eq!(lab.run(&["store", "check"]).code, Some(0));
    lab.mirror.set(&path, Reply::Whole(whole));
    succeeds(&lab, &BUILD);
    assert_eq!(difference(&expected_bundle(&lab), &lab.path("out.tar")), None);
}

/// Kills builds after a growing time, up to the end of the build.
#[test]
fn a_build_that_was_killed_leaves_a_valid_store() {
    let lab = Lab::locked();
    let expected = expected_bundle(&lab);
    let mut killed = 0;
    for moment in (0..).step_by(9) {
        let mut child = lab.command(&BUILD).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(moment));
        let ended_by_itself = child.try_wait().unwrap().is_some();
        child.kill().unwrap();
        child.wait().unwrap();
        if lab.path("store").exists() {
            let check = lab.run(&["store", "check"]);
            assert_eq!(check.code, Some(0), "killed after {moment} ms: {}{}", check.stdout, check.stderr);
        }
        let files = lab.below("");
        let left: Vec<_> = files.iter().filter(|file| file.contains("out.tar") || file.contains("sealift-")).collect();
        if left.is_empty() {
            killed += 1;
        } else {
            assert_eq!(left, ["out.tar"], "killed after {moment} ms");
            assert_eq!(difference(&expected, &lab.path("out.tar")), None, "killed after {moment} ms");
            fs_err::remove_file(lab.path("out.tar")).unwrap();
        }
        if ended_by_itself {
            break;
        }
        // Sometimes with an empty store, so that builds are killed in all steps.
        if killed % 4 == 0 && lab.path("store").exists() {
            fs_err::remove_dir_all(lab.path("store")).unwrap();
        }
    }
    assert!(killed > 3, "the build was too fast to be killed");
    succeeds(&lab, &BUILD);
    assert_eq!(difference(&expected, &lab.path("out.tar")), None);
    assert_eq!(lab.below("store").iter().filter(|file| file.starts_with("tmp/")).count(), 0);
}

#[test]
fn builds_can_run_at_the_same_time() {
    let lab = Lab::locked();
    let start = |output: &str| lab.command(&["build", "tiny", "--locked", "--output", output]).spawn().unwrap();
    let mut both = [start("out.tar"), start("out.tar"), start("other.tar")];
    for child in &mut both {
        assert!(child.wait().unwrap().success());
    }
    let expected = expected_bundle(&lab);
    assert_eq!(difference(&expected, &lab.path("out.tar")), None);
    assert_eq!(difference(&expected, &lab.path("other.tar")), None);
    assert_eq!(lab.run(&["store", "check"]).code, Some(0));
}
