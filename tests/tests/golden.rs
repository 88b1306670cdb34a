//! Golden digests of a small bundle. A change that gives other bytes for the same inputs has to update them.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test")]

use std::fmt::Write as _;

use sealift_deployment::bundle;
use sealift_layers::digest::Digest;
use sealift_tests::lab::Lab;

/// Explains a failure of the test.
const MEANING: &str = "
The same inputs give other bytes than before. If this is not intended, find the change that causes it: the digests above
are ordered from causes to effects, so start with the first one that differs. If it is intended (a new codec, a change of
layers or documents), increase the version of the recipe in the keys of the store, so that layers from old stores are not
reused, and update the digests:

    UPDATE=1 cargo test -p sealift-tests --test golden
";

/// The replacement of uv in the other tests writes the same pylock.toml as uv.
#[test]
#[ignore = "needs uv: tests/run"]
fn the_lock_is_the_same_with_the_real_uv() {
    let lab = Lab::locked();
    let lock = fs_err::read_to_string(lab.path("tiny/sealift.lock")).unwrap();
    fs_err::remove_file(lab.path("tiny/sealift.lock")).unwrap();
    let mut command = lab.command(&["lock", "tiny"]);
    match std::env::var_os("SEALIFT_UV") {
        Some(uv) => command.env("SEALIFT_UV", uv),
        None => command.env_remove("SEALIFT_UV"),
    };
    let ended = lab.ended(&command.output().unwrap());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(lock, fs_err::read_to_string(lab.path("tiny/sealift.lock")).unwrap());
}

#[test]
fn the_digests_of_a_small_bundle_are_those_in_the_file() {
    let lab = Lab::locked();
    let mut found = String::new();
    let mut line = |what: &str, digest: Digest| writeln!(found, "{} {what}", digest.hex()).unwrap();
    line("sealift.lock", Digest::of(&fs_err::read(lab.path("tiny/sealift.lock")).unwrap()));
    for codec in ["none", "gzip", "zstd"] {
        let output = format!("{codec}.tar");
        let ended = lab.run(&["build", "tiny", "--locked", "--layers", codec, "--output", &output]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let bundle = bundle::open(&lab.path(&output)).unwrap();
        for image in &bundle.manifest.as_ref().unwrap().images {
            for layer in &image.layers {
                if codec == "none" {
                    line(&format!("{} diff ID: {}", image.name, layer.title), layer.diff_id);
                } else {
                    line(&format!("{} {codec} blob: {}", image.name, layer.title), layer.digest);
                }
            }
            line(&format!("{} {codec} config", image.name), image.config);
            line(&format!("{} {codec} manifest", image.name), image.digest);
        }
        line(&format!("{codec} bundle"), Digest::of(&fs_err::read(lab.path(&output)).unwrap()));
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/tiny.txt");
    if std::env::var_os("UPDATE").is_some() {
        fs_err::write(path, &found).unwrap();
    }
    let golden = fs_err::read_to_string(path).unwrap_or_default();
    let mut changed = String::new();
    for (was, now) in golden.lines().zip(found.lines()).filter(|(was, now)| was != now) {
        writeln!(changed, "- {was}\n+ {now}").unwrap();
    }
    assert!(golden == found, "{changed}{MEANING}");
}
