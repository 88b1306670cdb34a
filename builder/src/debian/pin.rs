//! Pins: packages that come from an archive that is not that of their candidate, or have a version that is not the highest.
//!
//! As apt does for `apt install NAME/RELEASE`, a pin takes along what the pinned version needs: where no candidate satisfies
//! one of its dependencies, the version of the same archive that does is pinned, too, and so on.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use sealift_deployment::failure::Failure;

use super::index::{ArchiveId, Field, Index, Package};
use super::relation::{Atom, Group};
use super::version;

/// How many versions a message lists.
const VERSIONS: usize = 8;

/// The pinned version of each pinned package.
#[derive(Clone, Debug, Default)]
pub(super) struct Pins<'a>(BTreeMap<&'a str, Pin<'a>>);

/// A pinned version.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pin<'a> {
    version: &'a str,
    archive: ArchiveId,
}

impl<'a> Pins<'a> {
    fn insert(&mut self, package: &Package<'a>, archive: ArchiveId) {
        self.0.insert(package.name, Pin { version: package.version, archive });
    }

    pub(super) fn get(&self, name: &str) -> Option<Pin<'a>> {
        self.0.get(name).copied()
    }
}

impl Pin<'_> {
    /// Whether `package` is the pinned version.
    pub(super) fn is(self, package: &Package<'_>) -> bool {
        package.version == self.version && package.is_in(self.archive)
    }
}

/// A package that a profile takes from one archive, or in one version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted<'a> {
    /// Name of a real package.
    pub name: &'a str,
    /// Name of the archive. `None`: that of the highest priority that has the version.
    pub archive: Option<&'a str>,
    /// Its version. `None`: the highest one.
    pub version: Option<&'a str>,
}

/// The index with the packages in `wanted` pinned to their archives and versions, and what they need from there. Dependencies
/// that one of `exclude` satisfies are not followed.
///
/// # Errors
/// An archive has no such package.
pub fn pinned<'a>(index: Index<'a>, wanted: &[Wanted<'_>], exclude: &BTreeSet<&str>) -> Result<Index<'a>> {
    let mut index = index;
    let mut ahead = Vec::new();
    for wanted in wanted {
        let (package, archive) = check(&index, *wanted)?;
        index.pins_mut().insert(&package, archive);
        ahead.push((package, archive));
    }
    while let Some((package, archive)) = ahead.pop() {
        for needed in needed(&index, &package, archive, exclude)? {
            index.pins_mut().insert(&needed, archive);
            ahead.push((needed, archive));
        }
    }
    Ok(index)
}

/// The package that is wanted, and its archive.
///
/// # Errors
/// The archive has no such package, or no such version of it.
pub(crate) fn check<'a>(index: &Index<'a>, wanted: Wanted<'_>) -> Result<(Package<'a>, ArchiveId), Failure> {
    let named = wanted.archive.map(|name| index.archive(name));
    let suits = |package: &&Package<'a>| {
        wanted.version.is_none_or(|version| version::compare(package.version, version).is_eq())
            && named.is_none_or(|archive| archive.is_some_and(|archive| package.is_in(archive)))
    };
    let found = index.versions(wanted.name).iter().find(suits);
    let found = found.map(|package| (package.clone(), named.flatten().unwrap_or(package.archive)));
    found.ok_or_else(|| not_there(index, wanted))
}

/// What `package` needs from `archive`, as no version that may be chosen satisfies it.
fn needed<'a>(
    index: &Index<'a>,
    package: &Package<'a>,
    archive: ArchiveId,
    exclude: &BTreeSet<&str>,
) -> Result<Vec<Package<'a>>> {
    let mut needed = Vec::new();
    for field in [Field::PreDepends, Field::Depends] {
        for group in index.relations(package, field)? {
            let is_excluded = group.atoms.iter().any(|atom| exclude.contains(atom.name));
            if is_excluded || is_satisfiable(index, &group) {
                continue;
            }
            needed.extend(group.atoms.iter().find_map(|atom| from_archive(index, atom, archive)).cloned());
        }
    }
    Ok(needed)
}

fn is_satisfiable(index: &Index<'_>, group: &Group<'_>) -> bool {
    group.atoms.iter().filter(|atom| index.architecture_suits(atom)).any(|atom| {
        let mut providers = index.providers(atom.name);
        index.eligible(atom.name).any(|package| atom.accepts(package.version))
            || providers.any(|provider| index.is_eligible(provider.package) && atom.accepts_provided(provider.version))
    })
}

/// The version in `archive` that satisfies `atom`, unless its package has a pin already.
fn from_archive<'i, 'a>(index: &'i Index<'a>, atom: &Atom<'_>, archive: ArchiveId) -> Option<&'i Package<'a>> {
    if !index.architecture_suits(atom) {
        return None;
    }
    let own = newest(index, atom.name, archive, |package| atom.accepts(package.version));
    let mut providers = index.providers(atom.name);
    let provider = || {
        let found = providers.find(|found| found.package.is_in(archive) && atom.accepts_provided(found.version));
        found.map(|found| found.package)
    };
    own.or_else(provider).filter(|package| index.pins().get(package.name).is_none())
}

/// The highest version of a package in `archive` that `suits`.
fn newest<'i, 'a>(
    index: &'i Index<'a>,
    name: &str,
    archive: ArchiveId,
    suits: impl Fn(&Package<'a>) -> bool,
) -> Option<&'i Package<'a>> {
    index.versions(name).iter().find(|package| package.is_in(archive) && suits(package))
}

/// The error for a package that its archive does not have, or not in this version.
fn not_there(index: &Index<'_>, wanted: Wanted<'_>) -> Failure {
    let name = wanted.name;
    let what = wanted.version.map_or_else(|| format!("package {name}"), |version| format!("{name} (= {version})"));
    let failure = Failure::usage(match wanted.archive {
        Some(archive) => format!("the archive {archive} has no {what}"),
        None => format!("no archive has {what}"),
    });
    // The highest one of each archive comes first.
    let mut others: Vec<String> = Vec::new();
    for package in index.versions(name) {
        let archive = index.described(package.archive);
        let other = if wanted.version.is_some() { format!("{} in {archive}", package.version) } else { archive };
        if !others.contains(&other) {
            others.push(other);
        }
    }
    let more = others.len().saturating_sub(VERSIONS);
    others.truncate(VERSIONS);
    if more > 0 {
        others.push(format!("{more} more"));
    }
    match (&others[..], wanted.version) {
        ([], _) => failure.hint("check the name, and the suite and components of the archive in [debian] of the profile"),
        (others, None) => failure.hint(format!("these archives have it: {}", others.join(", "))),
        (others, Some(_)) => failure.hint(format!(
            "there is {}; mirrors keep the newest version of each suite only: an older one is in archives of past times (`sealift lock --at`)",
            others.join(", ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debian::index::Archive;
    use crate::debian::index::tests::packages;
    use crate::debian::resolve::{Root, resolve};

    type Stanzas<'s> = &'s [&'s str];

    /// Resolves `roots` in archives of a name, a priority and stanzas each: package, version and archive of each line.
    fn outcome(archives: &[(&str, i32, Stanzas<'_>)], roots: &[&str], from: &[(&str, &str)]) -> String {
        let from: Vec<Wanted> =
            from.iter().map(|&(name, archive)| Wanted { name, archive: Some(archive), version: None }).collect();
        resolved(archives, roots, &from)
    }

    fn resolved(archives: &[(&str, i32, Stanzas<'_>)], roots: &[&str], wanted: &[Wanted<'_>]) -> String {
        let texts: Vec<String> = archives.iter().map(|(_, _, stanzas)| packages(stanzas)).collect();
        let archives: Vec<Archive> = archives
            .iter()
            .zip(&texts)
            .map(|((name, priority, _), text)| Archive {
                name,
                suite: "",
                priority: *priority,
                files: vec![("P", text)],
            })
            .collect();
        let resolved = pinned(Index::parse(&archives, "amd64").unwrap(), wanted, &BTreeSet::new()).and_then(|index| {
            let roots: Vec<Root> = roots.iter().map(|name| Root { name, by: "image web" }).collect();
            let resolution = resolve(&index, &roots, &BTreeSet::new())?;
            let chosen = resolution.packages.values().map(|chosen| chosen.package);
            let lines = chosen.map(|p| format!("{} {} {}", p.name, p.version, index.archive_name(p.archive)));
            Ok(lines.collect::<Vec<_>>().join("\n"))
        });
        resolved.unwrap_or_else(|error| {
            let hint = Failure::within(&error).and_then(|failure| failure.hint.clone()).unwrap_or_default();
            format!("{error:#}\nhint: {hint}")
        })
    }
    const STABLE: (&str, i32, Stanzas<'static>) =
        ("debian", 500, &["tool 1\nDepends: libtool (>= 1)", "libtool 1", "libc 1", "other 1\nDepends: libtool (= 1)"]);
    const BACKPORTS: (&str, i32, Stanzas<'static>) =
        ("backports", 100, &["tool 2\nDepends: libtool (>= 2), libc", "libtool 2\nDepends: new", "libc 2", "new 1"]);

    #[test]
    fn the_highest_version_of_the_highest_priority_is_chosen() {
        let security = ("security", 500, &["libtool 1.1"][..]);
        insta::assert_snapshot!(outcome(&[STABLE, security, BACKPORTS], &["tool"], &[]), @"
        libtool 1.1 security
        tool 1 debian
        ");
        // A package that only a low archive has is taken from it, as apt does, but not where its priority is negative.
        insta::assert_snapshot!(outcome(&[STABLE, BACKPORTS], &["new"], &[]), @"new 1 backports");
        let never = ("backports", -1, BACKPORTS.2);
        insta::assert_snapshot!(outcome(&[STABLE, never], &["new"], &[]), @"
        image web requests the package new, which no archive with a positive priority has
        hint: it is in backports: take it from there with { name = \"new\", from = \"backports\" }
        ");
        insta::assert_snapshot!(outcome(&[STABLE, never], &["new"], &[("new", "backports")]), @"new 1 backports");
        let vendor = ("vendor", 900, &["tool 0.9"][..]);
        insta::assert_snapshot!(outcome(&[STABLE, vendor], &["tool"], &[]), @"tool 0.9 vendor");
    }

    /// As `apt install tool/bookworm-backports`: `libc` of the suite will do, `libtool` must be newer.
    #[test]
    fn a_pinned_package_takes_along_what_only_its_archive_satisfies() {
        insta::assert_snapshot!(outcome(&[STABLE, BACKPORTS], &["tool"], &[("tool", "backports")]), @"
        libc 1 debian
        libtool 2 backports
        new 1 backports
        tool 2 backports
        ");
        insta::assert_snapshot!(outcome(&[STABLE, BACKPORTS], &["tool", "other"], &[("tool", "backports")]), @"
        no package satisfies `libtool (= 1)`, a dependency of other (image web requests other)
        hint: the index has libtool 2, 1; libtool is pinned to 2 of backports; if the image works without it, add libtool to [debian.exclude]
        ");
    }

    #[test]
    fn a_pin_to_an_archive_without_the_package_is_an_error() {
        insta::assert_snapshot!(outcome(&[STABLE, BACKPORTS], &["other"], &[("other", "backports")]), @"
        the archive backports has no package other
        hint: these archives have it: debian
        ");
    }

    /// Security updates are in the next point release, too: with the same file.
    #[test]
    fn the_same_file_in_two_archives_is_one_version() {
        let security = ("security", 500, &["libtool 1"][..]);
        insta::assert_snapshot!(outcome(&[STABLE, security], &["libtool"], &[("libtool", "security")]), @"libtool 1 debian");
    }

    /// A newer version in another suite, and one of a higher priority, do not matter; nor does how a version is written.
    #[test]
    fn a_version_is_taken_from_whichever_archive_has_it() {
        let exact = |version, archive| [Wanted { name: "tool", archive, version: Some(version) }];
        let security = ("security", 500, &["tool 1.1\nDepends: libtool (>= 1)"][..]);
        let vendor = ("vendor", 900, &["tool 3"][..]);
        let all = [STABLE, security, BACKPORTS, vendor];
        insta::assert_snapshot!(resolved(&all, &["tool"], &exact("0:1", None)), @"
        libtool 1 debian
        tool 1 debian
        ");
        insta::assert_snapshot!(resolved(&all, &["tool"], &exact("1.1", None)), @"
        libtool 1 debian
        tool 1.1 security
        ");
        // As with `from`, what only its archive satisfies comes from there.
        insta::assert_snapshot!(resolved(&all, &["tool"], &exact("2", None)), @"
        libc 1 debian
        libtool 2 backports
        new 1 backports
        tool 2 backports
        ");
        insta::assert_snapshot!(resolved(&all, &["tool"], &exact("4", None)), @"
        no archive has tool (= 4)
        hint: there is 3 in vendor, 2 in backports, 1.1 in security, 1 in debian; mirrors keep the newest version of each suite only: an older one is in archives of past times (`sealift lock --at`)
        ");
        insta::assert_snapshot!(resolved(&all, &["tool"], &exact("1", Some("backports"))), @"
        the archive backports has no tool (= 1)
        hint: there is 3 in vendor, 2 in backports, 1.1 in security, 1 in debian; mirrors keep the newest version of each suite only: an older one is in archives of past times (`sealift lock --at`)
        ");
    }

    #[test]
    fn a_version_holds_for_dependencies_of_others_too() {
        let wanted = [Wanted { name: "libtool", archive: None, version: Some("2") }];
        insta::assert_snapshot!(resolved(&[STABLE, BACKPORTS], &["other"], &wanted), @"
        no package satisfies `libtool (= 1)`, a dependency of other (image web requests other)
        hint: the index has libtool 2, 1; libtool is pinned to 2 of backports; if the image works without it, add libtool to [debian.exclude]
        ");
    }
}
