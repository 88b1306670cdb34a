//! What changed between two locks, for people.

use std::collections::{BTreeMap, BTreeSet};

use super::Platform;

/// One line per package or wheel that came (`+`), went (`-`) or has another version or content (`~`).
#[must_use]
pub fn diff(old: &Platform, new: &Platform) -> Vec<String> {
    let versions = |platform: &Platform| -> BTreeMap<(String, String), String> {
        let packages = platform.packages.iter().map(|p| (("package".to_owned(), p.name.clone()), &p.version, p.sha256));
        let wheels = platform.wheels.iter().map(|w| (("wheel".to_owned(), w.name.clone()), &w.version, w.sha256));
        let crates = platform.crates.iter().map(|c| (("crate".to_owned(), c.name.clone()), &c.version, c.sha256));
        let mut all: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
        for (key, version, digest) in packages.chain(wheels).chain(crates) {
            // Two environments may have different versions of one distribution.
            all.entry(key).or_default().insert(format!("{version} ({})", &digest.hex()[..12]));
        }
        all.into_iter().map(|(key, set)| (key, set.into_iter().collect::<Vec<_>>().join(", "))).collect()
    };
    let (old, new) = (versions(old), versions(new));
    let keys: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    keys.into_iter()
        .filter_map(|key| {
            let (kind, name) = key;
            match (old.get(key), new.get(key)) {
                (None, Some(now)) => Some(format!("+ {kind} {name} {now}")),
                (Some(was), None) => Some(format!("- {kind} {name} {was}")),
                (Some(was), Some(now)) if was != now => Some(format!("~ {kind} {name} {was} -> {now}")),
                _ => None,
            }
        })
        .collect()
}
