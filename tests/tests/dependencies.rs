//! The dependencies of the program: their licences, their sources, and that no crate is there twice without a reason. Reads
//! the lists in `deny.toml`, which `cargo deny` reads too where it is installed.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use spdx::{Expression, ParseMode};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn deny() -> toml::Table {
    toml::from_str(&fs_err::read_to_string(Path::new(ROOT).join("deny.toml")).unwrap()).unwrap()
}

/// All packages of the lock, as cargo describes them.
fn packages() -> Vec<Value> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--locked", "--offline", "--all-features", "--format-version", "1"]).current_dir(ROOT);
    let output = cargo.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success());
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

fn texts(value: &toml::Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

#[test]
fn licences_of_all_dependencies_are_allowed() {
    let deny = deny();
    let allowed = texts(&deny["licenses"]["allow"]);
    let exceptions = deny["licenses"]["exceptions"].as_array().unwrap();
    let mut used: BTreeSet<&str> = BTreeSet::new();
    for package in packages() {
        let (name, licence) = (package["name"].as_str().unwrap(), package["license"].as_str().unwrap_or_default());
        let exception = exceptions.iter().find(|exception| exception["crate"].as_str() == Some(name));
        let excepted = exception.map(|exception| texts(&exception["allow"])).unwrap_or_default();
        let expression =
            Expression::parse_mode(licence, ParseMode::LAX).unwrap_or_else(|error| panic!("{name}: {error}"));
        let good = expression.evaluate(|requirement| {
            let id = requirement.license.id().map(|id| id.name).unwrap_or_default();
            let known = allowed.iter().chain(&excepted).find(|allowed| **allowed == id);
            used.extend(known.filter(|_| requirement.addition.is_none()));
            known.is_some() && requirement.addition.is_none()
        });
        assert!(good, "{name}: `{licence}` is not allowed: see deny.toml");
    }
    let unused: Vec<_> = allowed.iter().filter(|licence| !used.contains(**licence)).collect();
    assert!(unused.is_empty(), "no dependency needs {unused:?}: remove them from deny.toml");
}

/// The program says them in bills of materials, and cannot read the crates when it runs.
#[test]
fn the_program_knows_the_licences_of_its_crates() {
    let mut lines: Vec<String> = packages()
        .iter()
        .map(|package| {
            let text = |key: &str| package[key].as_str().unwrap();
            format!("{} {}: {}\n", text("name"), text("version"), text("license"))
        })
        .collect();
    lines.sort_unstable();
    let (expected, file) = (lines.concat(), Path::new(ROOT).join("builder/src/bundle/crate-licenses.txt"));
    if std::env::var_os("UPDATE").is_some() {
        fs_err::write(&file, &expected).unwrap();
    }
    let found = fs_err::read_to_string(&file).unwrap();
    assert!(found == expected, "Cargo.lock has changed: UPDATE=1 cargo nextest run --workspace --test dependencies");
}

#[test]
fn all_dependencies_are_from_one_registry() {
    let packages = packages();
    let sources: BTreeSet<Option<&str>> = packages.iter().map(|package| package["source"].as_str()).collect();
    assert!(sources.iter().flatten().all(|source| source.starts_with("registry+")), "{sources:?}");
    assert_eq!(sources.len(), 2, "the workspace and one registry: {sources:?}");
}

#[test]
fn two_versions_of_a_crate_have_a_reason() {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in packages() {
        let text = |key: &str| package[key].as_str().unwrap().to_owned();
        versions.entry(text("name")).or_default().insert(text("version"));
    }
    let deny = deny();
    let mut skipped: BTreeMap<&str, &str> = BTreeMap::new();
    for skip in deny["bans"]["skip"].as_array().unwrap() {
        assert!(!skip["reason"].as_str().unwrap().is_empty(), "{skip}");
        let (name, version) = skip["crate"].as_str().unwrap().split_once('@').unwrap();
        skipped.insert(name, version);
    }
    for (name, found) in versions.iter().filter(|(_, found)| found.len() > 1) {
        let version = skipped.remove(name.as_str());
        let others =
            found.iter().filter(|found| version.is_none_or(|version| !found.starts_with(&format!("{version}."))));
        assert_eq!(others.count(), 1, "{name} has the versions {found:?}: see deny.toml");
    }
    assert!(skipped.is_empty(), "there is one version only of {skipped:?}: remove them from deny.toml");
}

#[test]
fn cargo_deny_agrees_where_it_is_installed() {
    let deny = |arguments: &[&str]| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.arg("deny").args(arguments).current_dir(ROOT).stdout(Stdio::null()).status()
    };
    if !deny(&["--version"]).is_ok_and(|status| status.success()) {
        eprintln!("skipped: cargo-deny is not installed");
        return;
    }
    let status = deny(&["--offline", "--locked", "check", "licenses", "bans", "sources"]).unwrap();
    assert!(status.success(), "see above");
}
