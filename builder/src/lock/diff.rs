//! Differences between two locks, for people.

use std::collections::{BTreeMap, BTreeSet};

use super::Platform;

/// One line for each package, wheel, crate or archive that was added (`+`), removed (`-`) or has another version or digest (`~`).
#[must_use]
pub fn diff(old: &Platform, new: &Platform) -> Vec<String> {
    let versions = |platform: &Platform| -> BTreeMap<(String, String), String> {
        let packages = platform.packages.iter().map(|p| (("package".to_owned(), p.name.clone()), &p.version, p.sha256));
        let wheels = platform.wheels.iter().map(|w| (("wheel".to_owned(), w.name.clone()), &w.version, w.sha256));
        let crates = platform.crates.iter().map(|c| (("crate".to_owned(), c.name.clone()), &c.version, c.sha256));
        let files = platform.archive_files.iter();
        let files = files.map(|file| (("archive".to_owned(), file.name.clone()), &file.version, file.sha256));
        let mut all: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
        for (key, version, digest) in packages.chain(wheels).chain(crates).chain(files) {
            // Two images may have different versions of a distribution.
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

#[cfg(test)]
mod tests {
    use sealift_layers::digest::Digest;

    use super::*;
    use crate::lock::{Crate, Debian, Package, Wheel};

    fn platform(packages: &[(&str, &str)], wheels: &[(&str, &str)], crates: &[(&str, &str)]) -> Platform {
        let digest = |name: &str, version: &str| Digest::of(format!("{name} {version}").as_bytes());
        let package = |&(name, version): &(&str, &str)| Package {
            name: name.into(),
            version: version.into(),
            architecture: "all".into(),
            archive: None,
            path: format!("pool/{name}.deb"),
            size: 1,
            sha256: digest(name, version),
        };
        let wheel = |&(name, version): &(&str, &str)| Wheel {
            name: name.into(),
            version: version.into(),
            path: format!("{name}.whl"),
            size: 1,
            sha256: digest(name, version),
            uploaded: None,
            index: None,
            local: false,
        };
        let krate = |&(name, version): &(&str, &str)| Crate {
            name: name.into(),
            version: version.into(),
            size: 1,
            sha256: digest(name, version),
        };
        Platform {
            epoch: 0,
            wanted: Digest::of(b""),
            debian: Debian {
                suite: "trixie".into(),
                date: 0,
                release: Digest::of(b""),
                signed_by: String::new(),
                origin: None,
                indexes: BTreeMap::new(),
            },
            archives: BTreeMap::new(),
            images: BTreeMap::new(),
            packages: packages.iter().map(package).collect(),
            wheels: wheels.iter().map(wheel).collect(),
            crates: crates.iter().map(krate).collect(),
            archive_files: Vec::new(),
        }
    }

    #[test]
    fn additions_removals_and_changes_are_listed() {
        let old = platform(&[("clock", "1"), ("gone", "1"), ("same", "1")], &[("words", "1")], &[]);
        let new = platform(&[("clock", "2"), ("new", "1"), ("same", "1")], &[("words", "1")], &[("tool", "1")]);
        insta::assert_snapshot!(diff(&old, &new).join("\n"), @"
        + crate tool 1 (ab2134bb897d)
        ~ package clock 1 (40ee0ef6be16) -> 2 (50cbfa2fddc3)
        - package gone 1 (b78e1f78dab4)
        + package new 1 (0dcabf6371e3)
        ");
        assert_eq!(diff(&old, &old), [""; 0]);
    }

    #[test]
    fn other_content_with_the_same_version_is_a_change() {
        let old = platform(&[("clock", "1")], &[], &[]);
        let mut new = old.clone();
        new.packages[0].sha256 = Digest::of(b"rebuilt");
        insta::assert_snapshot!(diff(&old, &new).join("\n"), @"~ package clock 1 (40ee0ef6be16) -> 1 (9ae832844d70)");
    }

    #[test]
    fn versions_of_one_distribution_are_compared_together() {
        let old = platform(&[], &[("words", "1"), ("words", "2")], &[]);
        let new = platform(&[], &[("words", "2"), ("words", "3")], &[]);
        insta::assert_snapshot!(diff(&old, &new).join("\n"), @"~ wheel words 1 (09a1f585ca14), 2 (c69d63c48803) -> 2 (c69d63c48803), 3 (ba925bd93ea5)");
    }
}
