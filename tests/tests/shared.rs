//! A build in parts: artifacts come from a folder, each image is built with its own store, and the joined bundle has the same
//! bytes as a bundle that is built in one step.

#![allow(clippy::unwrap_used, reason = "a test")]

use sealift_tests::compare::difference;
use sealift_tests::lab::{Lab, without_digests};

/// The locked profile, built in one step into `whole.tar`. Its artifacts are in `fetched`, with meaningless names.
fn lab() -> Lab {
    let lab = Lab::locked();
    ok(&lab, &["build", "tiny", "--locked", "--output", "whole.tar"]);
    fs_err::create_dir_all(lab.path("fetched/deeper")).unwrap();
    for (number, name) in lab.below("store/artifacts").iter().enumerate() {
        fs_err::copy(lab.path("store/artifacts").join(name), lab.path(&format!("fetched/deeper/{number}"))).unwrap();
    }
    let _ = lab.mirror.requests();
    lab
}

fn ok(lab: &Lab, arguments: &[&str]) {
    let ended = lab.run(arguments);
    assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.stderr);
}

fn image(lab: &Lab, name: &str) {
    ok(lab, &["image", "tiny", name, "--offline", "--artifacts", "fetched", "--store", &format!("store-of-{name}")]);
}

#[test]
fn images_from_several_builds_join_to_the_same_bundle() {
    let lab = lab();
    for name in ["clock", "greeter"] {
        image(&lab, name);
    }
    let join = ["build", "tiny", "--offline", "--from", "clock", "--from", "greeter", "--store", "another"];
    ok(&lab, &[&join[..], &["--output", "joined.tar"]].concat());
    assert_eq!(difference(&lab.path("whole.tar"), &lab.path("joined.tar")), None);
    assert_eq!(lab.below("another/artifacts"), [""; 0], "no layer was built again");
    ok(&lab, &["store", "check", "--store", "another"]);

    // Missing layers are built.
    let rest = ["build", "tiny", "--offline", "--from", "clock", "--artifacts", "fetched", "--store", "third"];
    ok(&lab, &[&rest[..], &["--output", "third.tar"]].concat());
    assert_eq!(difference(&lab.path("whole.tar"), &lab.path("third.tar")), None);
    assert_eq!(lab.mirror.requests(), [""; 0], "no server was contacted");
}

#[test]
fn a_plan_shows_what_the_build_with_the_same_options_does() {
    let lab = lab();
    image(&lab, "clock");
    let options = ["--from", "clock", "--artifacts", "fetched", "--store", "another"];
    let plan = lab.run(&[&["plan", "tiny"][..], &options].concat());
    assert_eq!(plan.code, Some(0), "{}", plan.stderr);
    insta::assert_snapshot!("plan", plan.stdout);
    assert_eq!(lab.below("another/artifacts"), [""; 0], "a plan copies nothing");
    let json = lab.run(&[&["plan", "tiny", "--json"][..], &options].concat());
    assert_eq!(json.stdout.matches(r#""action": "import""#).count(), 4, "{}", json.stdout);

    let build = ["build", "tiny", "--offline", "--output", "joined.tar"];
    ok(&lab, &[&build[..], &options].concat());
    let after = lab.run(&[&["plan", "tiny"][..], &options].concat());
    // Layers of others, and what was made on top of them, are not kept for later builds.
    assert_eq!(after.stdout, plan.stdout);
}

#[test]
fn an_image_folder_is_a_reproducible_oci_layout() {
    let lab = lab();
    image(&lab, "clock");
    ok(&lab, &["image", "tiny", "clock", "--output", "again"]);
    let files = lab.below("clock");
    assert_eq!(files, lab.below("again"));
    for file in &files {
        let read = |folder: &str| fs_err::read(lab.path(folder).join(file)).unwrap();
        assert_eq!(read("clock"), read("again"), "{file}");
    }
    insta::assert_snapshot!("index", without_digests(&fs_err::read_to_string(lab.path("clock/index.json")).unwrap()));
    assert_eq!(fs_err::read_to_string(lab.path("clock/oci-layout")).unwrap(), r#"{"imageLayoutVersion":"1.0.0"}"#);
}

#[test]
fn errors_name_the_mistake() {
    let lab = lab();
    image(&lab, "clock");
    let mut transcripts = String::new();
    let mut record = |case: &str, arguments: &[&str]| {
        let text = without_digests(&lab.run(arguments).transcript());
        transcripts.push_str(&format!("--- {case}\n{text}"));
    };
    record("an unknown image", &["image", "tiny", "clocks"]);
    record("a folder that exists", &["image", "tiny", "clock"]);
    record("artifacts that do not exist", &["image", "tiny", "greeter", "--artifacts", "nowhere", "--store", "empty"]);
    record("not an image", &["build", "tiny", "--from", "fetched", "--store", "empty"]);
    let blobs = lab.below("clock/blobs");
    let largest = blobs.iter().max_by_key(|name| lab.path("clock/blobs").join(name).metadata().unwrap().len()).unwrap();
    let path = lab.path("clock/blobs").join(largest);
    let mut bytes = fs_err::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs_err::write(&path, bytes).unwrap();
    record("a damaged blob", &["build", "tiny", "--offline", "--from", "clock", "--store", "empty"]);
    insta::assert_snapshot!("mistakes", transcripts);
}
