//! The licences of a bundle, and the texts that have to be passed on with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use sealift_layers::digest::Digest;
use sealift_layers::license;
use serde::Serialize;

use super::manifest::{License, Manifest};
use crate::failure::Failure;

/// What stands for the licence of components that do not say one.
pub const NOT_STATED: &str = "not stated";

/// One licence, and what it is the licence of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Use {
    /// SPDX's identifier, with its exception; or `LicenseRef-…`; or [`NOT_STATED`].
    pub license: String,
    /// Names of Debian packages.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub packages: BTreeSet<String>,
    /// Names of wheels.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub wheels: BTreeSet<String>,
    /// Names of crates that programs in images are built from.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub crates: BTreeSet<String>,
    /// Names of archives.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub archives: BTreeSet<String>,
    /// Names of store paths.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub store_paths: BTreeSet<String>,
    /// Crates of the program in the bundle: name and version.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub program: BTreeSet<String>,
}

/// A list of names in a [`Use`].
type List = fn(&mut Use) -> &mut BTreeSet<String>;

/// Most bytes of the names in the table. Each name is listed with each of its licences.
const TABLE: usize = 32 << 20;

/// The licences of everything in the bundle, sorted: those of SPDX's list, then others. What has several licences is listed
/// with each of them.
///
/// # Errors
/// `bundle.json` is a hostile one, whose table would not fit the memory.
pub fn of(manifest: &Manifest) -> Result<Vec<Use>, Failure> {
    let (mut uses, mut bytes) = (BTreeMap::<(bool, String), Use>::new(), 0);
    let mut add = |expression: Option<&str>, list: List, name: &str| {
        let mut ids = expression.map(license::identifiers).unwrap_or_default();
        if ids.is_empty() {
            ids.insert(NOT_STATED.to_owned());
        }
        for id in ids {
            bytes += size_of::<Use>() + 2 * id.len() + name.len();
            if bytes > TABLE {
                return;
            }
            let is_other = id == NOT_STATED || id.starts_with("LicenseRef-");
            let found = uses.entry((is_other, id.clone())).or_insert_with(|| Use { license: id, ..Use::default() });
            list(found).insert(name.to_owned());
        }
    };
    let expression = |license: &Option<License>| license.as_ref().and_then(|license| license.expression.clone());
    for package in &manifest.packages {
        add(expression(&package.license).as_deref(), |found| &mut found.packages, &package.name);
    }
    for wheel in &manifest.wheels {
        add(expression(&wheel.license).as_deref(), |found| &mut found.wheels, &wheel.name);
    }
    for made in &manifest.crates {
        add(expression(&made.license).as_deref(), |found| &mut found.crates, &made.name);
    }
    for archive in &manifest.archives {
        add(None, |found| &mut found.archives, &archive.name);
    }
    for path in &manifest.store_paths {
        add(None, |found| &mut found.store_paths, &path.name);
    }
    for made in &manifest.program {
        add(made.license.as_deref(), |found| &mut found.program, &format!("{} {}", made.name, made.version));
    }
    if bytes > TABLE {
        let message = format!("the table of licenses has more than {} MiB", TABLE >> 20);
        return Err(Failure::verification(message).hint("no bundle has so many: it is not one that sealift made"));
    }
    Ok(uses.into_values().collect())
}

/// What a text is of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Owners<'m> {
    /// Names of packages, wheels and crates.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub of: BTreeSet<&'m str>,
    /// Crates of the program in the bundle.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub program: BTreeSet<NameVersion<'m>>,
}

/// A crate, as a text `NAME VERSION`. Many texts may be of one: names are not copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NameVersion<'m>(&'m str, &'m str);

impl fmt::Display for NameVersion<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.1)
    }
}

impl Serialize for NameVersion<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The texts that have to be passed on, and what each of them is of.
#[must_use]
pub fn texts(manifest: &Manifest) -> BTreeMap<Digest, Owners<'_>> {
    let packages = manifest.packages.iter().map(|package| (package.name.as_str(), package.license.as_ref()));
    let wheels = manifest.wheels.iter().map(|wheel| (wheel.name.as_str(), wheel.license.as_ref()));
    let crates = manifest.crates.iter().map(|made| (made.name.as_str(), made.license.as_ref()));
    let mut texts: BTreeMap<Digest, Owners<'_>> = BTreeMap::new();
    for (name, license) in packages.chain(wheels).chain(crates) {
        for digest in license.iter().flat_map(|license| &license.texts) {
            texts.entry(*digest).or_default().of.insert(name);
        }
    }
    for made in &manifest.program {
        for digest in made.texts.iter().flatten() {
            texts.entry(*digest).or_default().program.insert(NameVersion(&made.name, &made.version));
        }
    }
    texts
}

/// The crates of the program in the bundle whose packages have no text, by name and version. Programs of earlier versions do not
/// tell.
pub fn without_text(manifest: &Manifest) -> impl Iterator<Item = String> {
    let crates = manifest.program.iter().filter(|made| made.texts.as_ref().is_some_and(BTreeSet::is_empty));
    crates.map(|made| format!("{} {}", made.name, made.version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_has_its_place_in_the_table() {
        let manifest: Manifest = serde_json::from_str(include_str!("sbom/sample.json")).unwrap();
        insta::assert_snapshot!(serde_json::to_string_pretty(&of(&manifest).unwrap()).unwrap());
        let texts = texts(&manifest);
        let found: BTreeSet<String> = texts.into_values().map(|of| serde_json::to_string(&of).unwrap()).collect();
        assert_eq!(Vec::from_iter(found), [r#"{"of":["busybox"]}"#, r#"{"program":["base64 0.22.1"]}"#]);
        assert_eq!(without_text(&manifest).collect::<Vec<_>>(), ["sealift-layers 0.1.0"]);
    }

    /// Each of a million licences had a copy of a name of a megabyte; exceptions of exceptions took hours.
    #[test]
    fn hostile_tables_are_refused() {
        let mut manifest: Manifest = serde_json::from_str(include_str!("sbom/sample.json")).unwrap();
        manifest.packages[0].name = "n".repeat(1 << 16);
        let mut told = |expression: String| {
            manifest.packages[0].license = Some(License { expression: Some(expression), ..License::default() });
            of(&manifest).map(|uses| uses.len()).map_err(|error| error.message)
        };
        assert!(told("a WITH ".repeat(1 << 20)).unwrap() < 20);
        let many = (0..1000).map(|n| format!("a{n} OR ")).collect();
        assert_eq!(told(many), Err("the table of licenses has more than 32 MiB".to_owned()));
    }
}
