//! `verify --rebuild`: a bundle is built again from what is in it, and compared.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::process::Command;

use sealift_tests::lab::{Ended, Lab, without_digests};

#[track_caller]
fn succeeds(lab: &Lab, arguments: &[&str]) -> Ended {
    let ended = lab.run(arguments);
    assert_eq!(ended.code, Some(0), "{arguments:?}: {}{}", ended.stdout, ended.stderr);
    ended
}

/// Runs a script in the lab.
#[track_caller]
fn shell(lab: &Lab, script: &str) {
    let output = Command::new("sh").args(["-ec", script]).current_dir(lab.path("")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// In an empty store, without a network, from the files of `sealift fetch` alone.
#[test]
fn a_signed_bundle_is_the_same_when_it_is_built_again_from_files() {
    let lab = Lab::locked();
    succeeds(&lab, &["key", "new", "one", "--no-password"]);
    succeeds(&lab, &["build", "tiny", "--output", "out.tar", "--sign", "one.key"]);
    succeeds(&lab, &["fetch", "tiny", "--output", "kept"]);
    fs_err::remove_dir_all(lab.path("store")).unwrap();
    fs_err::rename(lab.path("tiny"), lab.path("gone")).unwrap();
    let rebuild = ["verify", "out.tar", "--key", "one.pub", "--rebuild", "--offline"];
    let ended = lab.run(&rebuild);
    assert_eq!(ended.code, Some(3), "{}", ended.stdout);
    insta::assert_snapshot!("without-artifacts", ended.stderr);
    let ended = succeeds(&lab, &[&rebuild[..], &["--artifacts", "kept"]].concat());
    let told = without_digests(&ended.stdout);
    let told: Vec<&str> = told.lines().filter(|line| !line.starts_with("good signature")).collect();
    insta::assert_snapshot!(told.join("\n"), @"
    out.tar: 41 files, 2 images, no problems
    built again from 7 artifacts: the same bytes, sha256:[DIGEST] without signatures
    ");
    assert_eq!(lab.below("store/blobs"), [""; 0], "layers of the store are neither used nor kept");
}

/// The same for other codecs, for an unpacked bundle and for one without containers.
#[test]
fn every_form_of_bundle_is_built_again() {
    let lab = Lab::locked();
    lab.without_containers();
    for layers in ["none", "zstd"] {
        succeeds(&lab, &["build", "tiny", "--layers", layers, "--output", "out.tar"]);
        succeeds(&lab, &["verify", "out.tar", "--rebuild", "--offline"]);
    }
    shell(&lab, "mkdir out && tar xf out.tar -C out");
    let ended = succeeds(&lab, &["verify", "out", "--rebuild", "--offline", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let digest = sealift_layers::digest::Digest::of_reader(fs_err::File::open(lab.path("out.tar")).unwrap()).unwrap();
    assert_eq!(told["rebuilt"].as_str(), Some(digest.digest.to_string().as_str()));
    for layers in ["gzip", "zstd"] {
        succeeds(&lab, &["build", "bare", "--layers", layers, "--output", "bare.tar"]);
        succeeds(&lab, &["verify", "bare.tar", "--rebuild", "--offline"]);
    }
}

/// All sums are right, but the images were not made of what the bundle says.
#[test]
fn what_a_bundle_hides_is_told_by_layer_and_path() {
    let lab = Lab::locked();
    succeeds(&lab, &["build", "tiny", "--output", "out.tar"]);
    shell(
        &lab,
        "mkdir out && tar xf out.tar -C out && cd out && f=$(ls profile/files/greet) && echo '# other' >>$f && \
         grep -v \" $f\\$\" SHA256SUMS >sums; sha256sum $f >>sums; LC_ALL=C sort -k 2 sums >SHA256SUMS; rm sums",
    );
    succeeds(&lab, &["verify", "out"]);
    let ended = lab.run(&["verify", "out", "--rebuild", "--offline"]);
    assert_eq!(ended.code, Some(4));
    insta::assert_snapshot!("other-file", format!("{}{}", without_digests(&ended.stdout), ended.transcript()));
}

/// A profile may name wheels outside of its folder: on the machine of whoever checks the bundle, these are others' files.
#[test]
fn a_bundle_names_no_files_of_the_machine_that_checks_it() {
    let lab = Lab::locked();
    succeeds(&lab, &["build", "tiny", "--output", "out.tar"]);
    shell(
        &lab,
        "mkdir out own && tar xf out.tar -C out && touch own/own-1-py3-none-any.whl && cd out && f=profile/profile.toml && \
         sed -i 's,^requirements = ,wheels = [\"../../../../own\"]\\n&,' $f && grep -v \" $f\\$\" SHA256SUMS >sums; \
         sha256sum $f >>sums; LC_ALL=C sort -k 2 sums >SHA256SUMS; rm sums",
    );
    let ended = lab.run(&["verify", "out", "--rebuild", "--offline"]);
    assert_eq!(ended.code, Some(4), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stderr.contains("/own, which is not in the bundle"), "{}", ended.stderr);
}
