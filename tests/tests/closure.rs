//! Images of Nix closures, without Nix: the Nix store is a folder, and the output of `nix path-info` a file.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::sync::Arc;

use sealift_layers::digest::Hasher;
use sealift_layers::ingredients::nix_store::nar;
use sealift_layers::tree::{Entry, Tree, TreePath};
use sealift_tests::lab::{Ended, Lab, without_digests};
use serde_json::{Value, json};

/// Store paths with invented hashes: a library, two programs that depend on it, and a script that depends on one of them.
const LIBRARY: &str = "11111111111111111111111111111111-library-2.40";
const ONE: &str = "22222222222222222222222222222222-one-1.0";
const OTHER: &str = "33333333333333333333333333333333-other-1.0";
const SCRIPT: &str = "44444444444444444444444444444444-script";

/// Creates a store path: a folder with one program of `size` bytes. Returns its entry in the closure.
fn create(lab: &Lab, name: &str, size: usize, references: &[&str]) -> Value {
    let folder = lab.path("nix/nix/store").join(name);
    let bytes: Vec<u8> = name.bytes().cycle().take(size).collect();
    fs_err::create_dir_all(folder.join("bin")).unwrap();
    fs_err::write(folder.join("bin/run"), &bytes).unwrap();
    fs_err::set_permissions(folder.join("bin/run"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let (mut tree, origin) = (Tree::new(), Arc::from("test"));
    let root = TreePath::new(name).unwrap();
    tree.insert(root.clone(), Entry::directory(0o555, &origin));
    tree.insert(root.join("bin").unwrap(), Entry::directory(0o555, &origin));
    tree.insert(root.join("bin/run").unwrap(), Entry::file(bytes, 0o555, &origin));
    let mut hasher = Hasher::default();
    nar::write(&tree, &root, &mut hasher).unwrap();
    let references: Vec<String> = references.iter().map(|name| format!("/nix/store/{name}")).collect();
    json!({
        "path": format!("/nix/store/{name}"),
        "narHash": hasher.finish().to_string(),
        "narSize": size + 400,
        "references": references,
    })
}

fn lab() -> (Lab, Vec<Value>) {
    let lab = Lab::new();
    let paths = vec![
        create(&lab, SCRIPT, 50, &[ONE]),
        create(&lab, LIBRARY, 100_000, &[LIBRARY]),
        create(&lab, ONE, 3000, &[LIBRARY]),
        create(&lab, OTHER, 2000, &[LIBRARY]),
    ];
    write(&lab, &paths);
    (lab, paths)
}

fn write(lab: &Lab, paths: &[Value]) {
    fs_err::write(lab.path("closure.json"), json!(paths).to_string()).unwrap();
}

fn run(lab: &Lab, arguments: &[&str]) -> Ended {
    let mut command = lab.command(&["closure", "closure.json", "--output", "image.tar"]);
    lab.ended(&command.args(arguments).env("NIX_REMOTE", lab.path("nix")).output().unwrap())
}

/// Builds the image. Returns the digests of its layers, bottom first.
fn made(lab: &Lab, arguments: &[&str]) -> Vec<String> {
    let ended = run(lab, &[&["--json"], arguments].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let made: Value = serde_json::from_str(&ended.stdout).unwrap();
    made["layers"].as_array().unwrap().iter().map(|layer| layer.as_str().unwrap().to_owned()).collect()
}

/// The files of a layer, as `tar` lists them.
fn listed(lab: &Lab, layer: &str) -> String {
    let hex = layer.strip_prefix("sha256:").unwrap();
    let script = format!("tar xOf image.tar blobs/sha256/{hex} | tar tzvf - --full-time --utc --numeric-owner");
    let output = std::process::Command::new("sh").args(["-c", &script]).current_dir(lab.path(".")).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn layers_contain_the_paths_of_the_closure() {
    let (lab, _) = lab();
    let contents = format!("/nix/store/{ONE}");
    let layers = made(&lab, &["--contents", &contents]);
    let all: Vec<String> = layers.iter().map(|layer| listed(&lab, layer)).collect();
    let words: Vec<String> =
        all.join("--\n").lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    insta::assert_snapshot!("layers", words.join("\n"));
    let ended = lab.run(&["verify", "image.tar"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[test]
fn layers_are_reused_and_a_change_affects_one_layer() {
    let (lab, mut paths) = lab();
    let first = made(&lab, &["--max-layers", "6"]);
    let bytes = fs_err::read(lab.path("image.tar")).unwrap();
    // The paths are not read again.
    fs_err::rename(lab.path("nix"), lab.path("elsewhere")).unwrap();
    assert_eq!(made(&lab, &["--max-layers", "6"]), first);
    assert_eq!(fs_err::read(lab.path("image.tar")).unwrap(), bytes);
    fs_err::rename(lab.path("elsewhere"), lab.path("nix")).unwrap();
    // Another store of Sealift and another order of the paths give the same bytes.
    paths.reverse();
    write(&lab, &paths);
    made(&lab, &["--max-layers", "6", "--store", "another", "--jobs", "3"]);
    assert_eq!(fs_err::read(lab.path("image.tar")).unwrap(), bytes);

    let newer = "55555555555555555555555555555555-other-1.1";
    let changed = create(&lab, newer, 2100, &[LIBRARY]);
    let old = paths.iter().position(|path| path["path"].as_str().unwrap().contains("other")).unwrap();
    paths[old] = changed;
    write(&lab, &paths);
    let second: BTreeSet<String> = made(&lab, &["--max-layers", "6"]).into_iter().collect();
    assert_eq!(second.difference(&first.into_iter().collect()).count(), 1);
}

/// The layer of a path may come from the store and be older than a change on the disk. The links must match that layer.
#[test]
fn links_are_made_from_verified_files_only() {
    let (lab, _) = lab();
    made(&lab, &[]);
    let extra = lab.path("nix/nix/store").join(ONE).join("bin/extra");
    fs_err::write(&extra, "").unwrap();
    let ended = run(&lab, &["--contents", ONE]);
    assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    assert!(ended.stderr.contains("has the wrong content"), "{}", ended.stderr);
    fs_err::remove_file(&extra).unwrap();
    let layers = made(&lab, &["--contents", ONE]);
    // The layer with the links is reused, too.
    fs_err::rename(lab.path("nix"), lab.path("elsewhere")).unwrap();
    assert_eq!(made(&lab, &["--contents", ONE]), layers);
}

#[test]
fn errors_name_the_path_or_the_setting() {
    let (lab, paths) = lab();
    let mut text = String::new();
    let mut record = |case: &str, ended: Ended| {
        text.push_str(&format!("--- {case}\n{}", without_digests(&ended.transcript())));
    };
    let missing = "66666666666666666666666666666666-missing";
    record("contents from elsewhere", run(&lab, &["--contents", &format!("/nix/store/{missing}")]));
    record("contents that are not a store path", run(&lab, &["--contents", "/usr/bin"]));
    let config = |text: &str| fs_err::write(lab.path("config.json"), text).unwrap();
    config(&format!(r#"{{"Cmd": ["/nix/store/{missing}/bin/x"]}}"#));
    record("a config that names another path", run(&lab, &["--config", "config.json"]));
    config(r#"{"Command": ["x"]}"#);
    record("a config with an unknown key", run(&lab, &["--config", "config.json"]));
    config(r#"{"Env": ["PATH"]}"#);
    record("a variable without a value", run(&lab, &["--config", "config.json"]));
    record("two files in one place", run(&lab, &["--contents", ONE, "--contents", OTHER]));
    write(&lab, &paths[..1]);
    record("an incomplete closure", run(&lab, &[]));
    let mut absent = paths.clone();
    absent.push(json!({ "path": format!("/nix/store/{missing}"), "narHash": paths[0]["narHash"], "narSize": 1, "references": [] }));
    write(&lab, &absent);
    record("a path that does not exist", run(&lab, &[]));
    write(&lab, &paths);
    fs_err::write(lab.path("nix/nix/store").join(OTHER).join("bin/more"), "x").unwrap();
    record("a path with other content", run(&lab, &["--store", "empty"]));
    insta::assert_snapshot!("closure-mistakes", text);
}

#[test]
fn a_profile_can_add_a_closure_to_packages_and_wheels() {
    let (lab, paths) = lab();
    fs_err::write(lab.path("tiny/files/closure.json"), json!(paths).to_string()).unwrap();
    let table = "[images.greeter.nix]\nclosure = \"files/closure.json\"\nlayers = 6\n\n[images.greeter.venv]";
    lab.edit("tiny/profile.toml", "[images.greeter.venv]", table);
    lab.lock();
    let build = |arguments: &[&str]| {
        let mut command = lab.command(&[&["build", "tiny", "--offline", "--output", "tiny.tar"], arguments].concat());
        lab.ended(&command.env("NIX_REMOTE", lab.path("nix")).output().unwrap())
    };
    let ended = lab.run(&["build", "tiny"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("is not on this machine"), "{}", ended.stderr);
    let ended = build(&[]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(lab.run(&["verify", "tiny.tar"]).code, Some(0));
    let manifest: Value = serde_json::from_str(&lab.run(&["inspect", "--json", "tiny.tar"]).stdout).unwrap();
    let greeter = manifest["images"].as_array().unwrap().iter().find(|image| image["name"] == "greeter").unwrap();
    let titles: Vec<&str> =
        greeter["layers"].as_array().unwrap().iter().map(|layer| layer["title"].as_str().unwrap()).collect();
    insta::assert_snapshot!("profile-layers", titles.join("\n"));
    assert_eq!(manifest["store-paths"].as_array().unwrap().len(), 4);
    assert_eq!(greeter["store-paths"].as_array().unwrap().len(), 4);

    // Other layers of the store are reused when only the closure changes.
    let before: BTreeSet<String> = lab.below("store/layers").into_iter().collect();
    fs_err::write(lab.path("tiny/files/closure.json"), json!(paths[1..]).to_string()).unwrap();
    assert_eq!(build(&[]).code, Some(0));
    let new = lab.below("store/layers").into_iter().filter(|layer| !before.contains(layer)).count();
    // New layers are those above the closure: wheels, application, certificates, configuration.
    assert!(new <= 6, "{new}");
}
