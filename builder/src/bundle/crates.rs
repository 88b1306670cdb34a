//! The crates that this program consists of, from the `Cargo.lock` that it was built with.

use std::collections::{BTreeMap, BTreeSet};

use sealift_deployment::bundle::ProgramCrate;
use sealift_layers::digest::Digest;
use serde::Deserialize;

/// The lock of the workspace.
const LOCK: &str = include_str!("../../../Cargo.lock");

/// The manifests of the crates of the workspace that the program consists of: a lock does not tell dependencies of tests
/// from others.
const MANIFESTS: [(&str, &str); 3] = [
    ("sealift", include_str!("../../Cargo.toml")),
    ("sealift-deployment", include_str!("../../../deployment/Cargo.toml")),
    ("sealift-layers", include_str!("../../../layers/Cargo.toml")),
];

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
}

/// All crates of the program: what its own crates depend on, directly or not, for any platform and to build it. Sorted by
/// name and version; the program itself is among them. Empty if the lock cannot be read, which a test excludes.
pub(super) fn own() -> Vec<ProgramCrate> {
    let Ok(lock) = toml::from_str::<Lock>(LOCK) else { return Vec::new() };
    let mut found: BTreeMap<(&str, &str), ProgramCrate> = BTreeMap::new();
    let mut open: Vec<&Locked> = lock.package.iter().filter(|package| package.name == MANIFESTS[0].0).collect();
    while let Some(package) = open.pop() {
        let needed: Vec<&Locked> = lock.dependencies(package).collect();
        let made = ProgramCrate {
            name: package.name.clone(),
            version: package.version.clone(),
            sha256: package.checksum.as_deref().and_then(|hex| hex.parse::<Digest>().ok()),
            depends_on: needed.iter().map(|package| format!("{} {}", package.name, package.version)).collect(),
        };
        if found.insert((&package.name, &package.version), made).is_none() {
            open.extend(needed);
        }
    }
    found.into_values().collect()
}

impl Lock {
    /// What a package depends on; for crates of the workspace, without the dependencies of tests alone.
    fn dependencies<'l>(&'l self, package: &'l Locked) -> impl Iterator<Item = &'l Locked> {
        let named = MANIFESTS.iter().find(|(name, _)| *name == package.name).map(|(_, text)| declared(text));
        let entries = package.dependencies.iter().filter_map(|entry| {
            // `name`, or `name version` where the lock has several versions.
            let (name, version) = entry.split_once(' ').map_or((entry.as_str(), None), |(name, v)| (name, Some(v)));
            self.package.iter().find(|other| other.name == name && version.is_none_or(|v| other.version == v))
        });
        entries.filter(move |other| named.as_ref().is_none_or(|named| named.contains(&other.name)))
    }
}

/// The names in the table `dependencies` of a manifest.
fn declared(manifest: &str) -> BTreeSet<String> {
    let table: toml::Table = toml::from_str(manifest).unwrap_or_default();
    let names = ["dependencies", "build-dependencies"].map(|key| table.get(key).and_then(toml::Value::as_table));
    names.into_iter().flatten().flat_map(|table| table.keys().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_consists_of_its_crates_and_not_of_those_of_tests() {
        let crates = own();
        let has = |name: &str| crates.iter().any(|made| made.name == name);
        assert!(["sealift", "sealift-deployment", "sealift-layers", "toml", "rustls", "zstd-sys"].into_iter().all(has));
        assert!(!["insta", "proptest", "sealift-tests"].into_iter().any(has));
        let names: BTreeSet<String> = crates.iter().map(|made| format!("{} {}", made.name, made.version)).collect();
        assert!(crates.iter().all(|made| made.depends_on.iter().all(|other| names.contains(other))));
        let local = crates.iter().filter(|made| made.sha256.is_none()).map(|made| made.name.as_str());
        assert_eq!(local.collect::<Vec<_>>(), ["sealift", "sealift-deployment", "sealift-layers"]);
    }
}
