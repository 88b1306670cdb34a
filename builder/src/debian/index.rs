//! `Packages` files: the packages of an archive (Debian policy 5.3; "DebianRepository/Format" in Debian's wiki).
//!
//! The file of Debian's main component is 60 MB of text, of which a build needs a few hundred stanzas: an index borrows
//! from the text, of which [`needed()`] leaves half, and relations are parsed on demand.
//!
//! An index may be that of several archives. Which of several versions of a package may be chosen is decided as apt does
//! (apt_preferences(5)): the highest version of the highest priority, its *candidate*, unless a pin names another archive.

mod needed;
mod read;
#[cfg(test)]
pub(super) mod tests;

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use sealift_deployment::failure::Failure;
use sealift_layers::digest::Digest;
use sealift_layers::limits::{Exceeded, PACKAGES, PROVIDED, RELATIONS};

pub use self::needed::needed;
use self::read::{Values, package};
use super::pin::Pins;
use super::relation::{self, Atom, Group};
use super::stanza::Stanzas;
use super::version;

/// The priority of a package (policy 2.5), highest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Necessary for the system to work.
    Required,
    /// Expected on any Unix-like system.
    Important,
    /// Part of a standard installation.
    Standard,
    /// All other packages.
    Optional,
}

/// A field with relations between packages (policy 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Required before the package is unpacked.
    PreDepends,
    /// Required before the package is used.
    Depends,
    /// Virtual packages that the package provides.
    Provides,
    /// Packages that must not be unpacked at the same time.
    Conflicts,
    /// Packages that must not be configured at the same time.
    Breaks,
    /// Packages whose files it may overwrite.
    Replaces,
}

impl Field {
    const ALL: [Self; 6] =
        [Self::PreDepends, Self::Depends, Self::Provides, Self::Conflicts, Self::Breaks, Self::Replaces];

    /// The field's name in a stanza.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PreDepends => "Pre-Depends",
            Self::Depends => "Depends",
            Self::Provides => "Provides",
            Self::Conflicts => "Conflicts",
            Self::Breaks => "Breaks",
            Self::Replaces => "Replaces",
        }
    }
}

/// One version of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package<'a> {
    /// Name of the package.
    pub name: &'a str,
    /// Version, with epoch and revision.
    pub version: &'a str,
    /// Debian architecture: `amd64`, or `all`.
    pub architecture: &'a str,
    /// Path of the `.deb` below the archive's root.
    pub path: &'a str,
    /// Size of the `.deb` in bytes.
    pub size: u64,
    /// SHA-256 of the `.deb`.
    pub sha256: Digest,
    /// Estimated size when unpacked, in KiB; 0 if the field is missing.
    pub installed_size: u64,
    /// Priority; `Optional` if the field is missing.
    pub priority: Priority,
    /// Essential packages may be used by others without a dependency (policy 3.8).
    pub essential: bool,
    /// The archive that it is taken from: of those that have it, the one with the highest priority.
    pub archive: ArchiveId,
    /// All archives that have it.
    archives: u64,
    /// Values of the fields in [`Field::ALL`], unparsed. Most packages of an index are not needed: each takes little.
    relations: Option<Box<[&'a str; 6]>>,
}

/// A package that provides a virtual one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider<'i, 'a> {
    /// The real package.
    pub package: &'i Package<'a>,
    /// The provided version, if there is one.
    pub version: Option<&'a str>,
}

/// A provider in the index: package name, position among its versions, provided version.
type ProviderPlace<'a> = (&'a str, usize, Option<&'a str>);

/// An archive by its position among those of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ArchiveId(u8);

/// An archive, and the texts of its `Packages` files.
#[derive(Clone, Debug)]
pub struct Archive<'a> {
    /// Its name in the profile.
    pub name: &'a str,
    /// Its suite, for messages; empty for an archive of files.
    pub suite: &'a str,
    /// Its pin priority, as in apt_preferences(5). Packages of an archive with a negative one are taken only if they are
    /// pinned.
    pub priority: i32,
    /// A label for messages (the path in the archive) and the text of each file.
    pub files: Vec<(&'a str, &'a str)>,
}

/// A malformed stanza, which is not part of the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Omitted<'a> {
    /// Name of the package; empty if the stanza has none.
    pub name: &'a str,
    /// What is malformed, and in which file.
    pub reason: String,
}

/// The packages of one or several archives for one architecture.
#[derive(Clone, Debug)]
pub struct Index<'a> {
    architecture: &'a str,
    /// Name and priority of each archive.
    archives: Vec<(&'a str, i32)>,
    /// The suite of each archive.
    suites: Vec<&'a str>,
    pins: Pins<'a>,
    /// Versions by name, the highest first; no list is empty.
    packages: BTreeMap<&'a str, Vec<Package<'a>>>,
    /// Providers by virtual name, sorted by priority, name and descending version.
    providers: BTreeMap<&'a str, Vec<ProviderPlace<'a>>>,
    omitted: Vec<Omitted<'a>>,
}

impl<'a> Index<'a> {
    /// The names of the essential packages (policy 3.8), sorted: those whose candidate is one.
    pub fn essential(&self) -> impl Iterator<Item = &'a str> {
        self.packages.keys().copied().filter(|name| self.eligible(name).next().is_some_and(|package| package.essential))
    }

    /// Parses the `Packages` files of archives, at most 64. Packages of architectures other than `architecture` and `all`
    /// are skipped; of equal versions in one archive the first one is used. Malformed stanzas are left out, see
    /// [`Self::omitted`].
    ///
    /// # Errors
    /// There are more packages or provided names than [`PACKAGES`] and [`PROVIDED`].
    pub fn parse(archives: &[Archive<'a>], architecture: &'a str) -> Result<Self, Exceeded> {
        Self::parse_within(archives, architecture, PACKAGES, PROVIDED)
    }

    /// As [`Self::parse`], with other limits.
    fn parse_within(
        archives: &[Archive<'a>],
        architecture: &'a str,
        most: usize,
        most_provided: usize,
    ) -> Result<Self, Exceeded> {
        let mut packages: BTreeMap<&str, Vec<Package>> = BTreeMap::new();
        let (mut omitted, mut fields, mut count) = (Vec::new(), Vec::new(), 0);
        let files =
            archives.iter().zip(0..64).flat_map(|(archive, id)| archive.files.iter().map(move |file| (id, file)));
        for (id, (label, text)) in files {
            let mut stanzas = Stanzas::new(text);
            loop {
                let read = stanzas.next(&mut fields);
                if matches!(read, Ok(false)) {
                    break;
                }
                let values = Values::of(&fields);
                if !["", "all", architecture].contains(&values.architecture) {
                    continue;
                }
                count += 1;
                if count > most {
                    return Err(Exceeded::Count(most as u64, "packages"));
                }
                match read.and_then(|_| package(&fields, &values, architecture)) {
                    Ok(package) => entry(&mut packages, package.name).push(package.of(ArchiveId(id))),
                    Err(error) => omitted.push(Omitted { name: values.name, reason: format!("{label}: {error:#}") }),
                }
            }
        }
        let suites = archives.iter().map(|archive| archive.suite).collect();
        let archives: Vec<(&str, i32)> = archives.iter().map(|archive| (archive.name, archive.priority)).collect();
        for versions in packages.values_mut() {
            merge_equal(versions, &archives);
        }
        let (pins, providers) = (Pins::default(), BTreeMap::new());
        let mut index = Self { architecture, archives, suites, pins, packages, providers, omitted };
        index.providers = index.find_providers(most_provided)?;
        Ok(index)
    }

    /// The pins: of a package with a pin, only the pinned version may be chosen.
    pub(super) fn pins(&self) -> &Pins<'a> {
        &self.pins
    }

    pub(super) fn pins_mut(&mut self) -> &mut Pins<'a> {
        &mut self.pins
    }

    /// The archive of this name.
    #[must_use]
    pub fn archive(&self, name: &str) -> Option<ArchiveId> {
        (0..).zip(&self.archives).find_map(|(id, (known, _))| (*known == name).then_some(ArchiveId(id)))
    }

    /// The name of an archive.
    ///
    /// # Panics
    /// When it is not of this index.
    #[must_use]
    pub fn archive_name(&self, archive: ArchiveId) -> &'a str {
        self.archives[usize::from(archive.0)].0
    }

    /// An archive for messages: `security (trixie-security)`.
    pub(super) fn described(&self, archive: ArchiveId) -> String {
        match (self.archive_name(archive), self.suites[usize::from(archive.0)]) {
            (name, "") => name.to_owned(),
            (name, suite) => format!("{name} ({suite})"),
        }
    }

    fn priority(&self, package: &Package<'a>) -> i32 {
        self.archives[usize::from(package.archive.0)].1
    }

    /// The versions of `name` that may be chosen, the highest first: the pinned one, or those of the highest priority.
    pub fn eligible<'i>(&'i self, name: &str) -> impl Iterator<Item = &'i Package<'a>> {
        let versions = self.versions(name);
        let pin = self.pins.get(name);
        let highest = versions.iter().map(|package| self.priority(package)).max().unwrap_or(-1);
        let may = move |package: &Package<'a>| match pin {
            Some(pin) => pin.is(package),
            None => highest >= 0 && self.priority(package) == highest,
        };
        versions.iter().filter(move |package| may(package))
    }

    /// Whether this version of a package may be chosen.
    #[must_use]
    pub fn is_eligible(&self, package: &Package<'a>) -> bool {
        self.eligible(package.name).any(|other| std::ptr::eq(other, package))
    }

    /// Malformed stanzas, in the order of the files. An archive may have them for years: only a package that is needed is
    /// worth an error.
    #[must_use]
    pub fn omitted(&self) -> &[Omitted<'a>] {
        &self.omitted
    }

    fn find_providers(&self, most: usize) -> Result<BTreeMap<&'a str, Vec<ProviderPlace<'a>>>, Exceeded> {
        let mut ranked: BTreeMap<&str, Vec<(Priority, ProviderPlace)>> = BTreeMap::new();
        let mut count = 0;
        for (name, versions) in &self.packages {
            for (place, package) in versions.iter().enumerate() {
                // The field was checked when the package was parsed.
                let provides = self.relations(package, Field::Provides).unwrap_or_default();
                let atoms = provides.into_iter().flat_map(|group| group.atoms);
                // `Provides: NAME:ARCHITECTURE` provides the name for that architecture only.
                for atom in atoms.filter(|atom| self.architecture_suits(atom)) {
                    let version = atom.constraint.map(|constraint| constraint.version);
                    count += 1;
                    if count > most {
                        return Err(Exceeded::Count(most as u64, "provided names"));
                    }
                    entry(&mut ranked, atom.name).push((package.priority, (name, place, version)));
                }
            }
        }
        let sorted = ranked.into_iter().map(|(name, mut providers)| {
            providers.sort();
            (name, providers.into_iter().map(|(_, place)| place).collect())
        });
        Ok(sorted.collect())
    }

    /// The architecture of the packages, besides `all`.
    #[must_use]
    pub fn architecture(&self) -> &'a str {
        self.architecture
    }

    /// Names of all real packages, sorted.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.packages.keys().copied()
    }

    /// All versions of a real package, the highest first; empty if there is no such package.
    #[must_use]
    pub fn versions(&self, name: &str) -> &[Package<'a>] {
        self.packages.get(name).map_or(&[], Vec::as_slice)
    }

    /// Packages that provide `name`, the highest priority first.
    pub fn providers<'i>(&'i self, name: &str) -> impl Iterator<Item = Provider<'i, 'a>> {
        let places = self.providers.get(name).map_or(&[][..], Vec::as_slice);
        places
            .iter()
            .map(|(name, place, version)| Provider { package: &self.packages[name][*place], version: *version })
    }

    /// The parsed relations of `package`; empty if it has no such field.
    ///
    /// # Errors
    /// The field is malformed. The message names field and package.
    pub fn relations(&self, package: &Package<'a>, field: Field) -> Result<Vec<Group<'a>>> {
        relations(package, field, self.architecture)
    }

    /// Whether `package` satisfies `atom`, by its own name or by a name that it provides.
    ///
    /// # Errors
    /// Its `Provides` is malformed.
    pub fn satisfies(&self, package: &Package<'a>, atom: &Atom<'_>) -> Result<bool> {
        if !self.architecture_suits(atom) {
            return Ok(false);
        }
        if package.name == atom.name && atom.accepts(package.version) {
            return Ok(true);
        }
        // The map avoids parsing the field of packages that do not provide the name.
        Ok(self.providers(atom.name).any(|provider| {
            provider.package.name == package.name
                && provider.package.version == package.version
                && atom.accepts_provided(provider.version)
        }))
    }

    /// Whether packages of this index can satisfy the qualifier of `atom`. Images have packages of one architecture.
    #[must_use]
    pub fn architecture_suits(&self, atom: &Atom<'_>) -> bool {
        atom.qualifier.is_none_or(|qualifier| matches!(qualifier, "any" | "native") || qualifier == self.architecture)
    }
}

impl Package<'_> {
    /// The same package as one of `archive`.
    fn of(self, archive: ArchiveId) -> Self {
        Self { archive, archives: 1 << archive.0, ..self }
    }

    /// Whether `archive` has this version.
    #[must_use]
    pub fn is_in(&self, archive: ArchiveId) -> bool {
        self.archives & (1 << archive.0) != 0
    }
}

/// Sorts the versions of a package, the highest first. The same file in several archives becomes one version; so do equal
/// versions of one archive, of which the first counts.
fn merge_equal(versions: &mut Vec<Package<'_>>, archives: &[(&str, i32)]) {
    if versions.len() < 2 {
        return;
    }
    let priority = |package: &Package| archives[usize::from(package.archive.0)].1;
    // The sort is stable: among equal versions, that of the first file stays first.
    versions.sort_by(|left, right| {
        version::compare(right.version, left.version).then_with(|| priority(right).cmp(&priority(left)))
    });
    let mut merged: Vec<Package> = Vec::with_capacity(versions.len());
    for package in versions.drain(..) {
        let equal =
            merged.iter_mut().rev().take_while(|known| version::compare(known.version, package.version).is_eq());
        let mut equal = equal.filter(|known| known.sha256 == package.sha256 || known.is_in(package.archive));
        match equal.next() {
            Some(known) if known.sha256 == package.sha256 => known.archives |= package.archives,
            Some(_) => {}
            None => merged.push(package),
        }
    }
    *versions = merged;
}

/// The list at `name`. Most have one entry: a new one has no room for others.
fn entry<'m, 'a, T>(lists: &'m mut BTreeMap<&'a str, Vec<T>>, name: &'a str) -> &'m mut Vec<T> {
    lists.entry(name).or_insert_with(|| Vec::with_capacity(1))
}

fn relations<'a>(package: &Package<'a>, field: Field, architecture: &str) -> Result<Vec<Group<'a>>> {
    let text = package.relations.as_ref().map_or("", |relations| relations[field as usize]);
    if text.is_empty() {
        return Ok(Vec::new());
    }
    if text.len() > RELATIONS {
        let Package { name, version, .. } = package;
        let message = format!("{} of {name} {version} has more than {} KiB", field.name(), RELATIONS >> 10);
        return Err(Failure::failed(message).into());
    }
    relation::parse(text, architecture)
        .with_context(|| format!("{} of {} {}", field.name(), package.name, package.version))
}

/// Whether `text` is the path of a file below a directory.
pub(super) fn is_path(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
        && text.split('/').all(|component| !matches!(component, "" | "." | ".."))
}
