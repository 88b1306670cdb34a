//! The archives of a profile: their signed indexes, and the packages in them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use sealift_deployment::failure::Failure;
use sealift_deployment::profile::Profile;
use sealift_deployment::profile::model::{self, MAIN_ARCHIVE, is_flat};
use sealift_deployment::ui::{self, Ui};
use sealift_layers::digest::Digest;
use sealift_layers::platform::Platform;

use super::{Options, local};
use crate::debian::contents::Wanted;
use crate::debian::index::{self, Index};
use crate::lock;
use crate::mirrors::ArchiveName;
use crate::servers::{PackageIndex, ReleaseRequest, Servers, SignedRelease};

/// The priority of an archive of files.
const FILES_PRIORITY: i32 = 500;

/// The archives of a profile, that of `[debian]` first, the others by name.
pub(crate) struct Archives(Vec<Archive>);

/// One archive.
pub(crate) struct Archive {
    /// Its name in the profile.
    pub(crate) name: String,
    /// Its pin priority.
    pub(crate) priority: i32,
    /// `None` for an archive of files.
    pub(crate) signed: Option<SignedRelease>,
    indexes: Vec<PackageIndex>,
}

/// A suite of an archive, with the defaults of `[debian]`.
struct Suite<'a> {
    archive: ArchiveName<'a>,
    components: &'a [String],
    keyring: Option<PathBuf>,
    allow_expired: bool,
    priority: Option<i32>,
}

impl<'a> Suite<'a> {
    fn main(profile: &'a Profile) -> Self {
        let debian = profile.model.debian.get_ref();
        Self {
            archive: ArchiveName { name: MAIN_ARCHIVE, suite: debian.suite.get_ref() },
            components: &debian.components,
            keyring: debian.keyring.as_ref().map(|file| profile.sources.path(file.get_ref())),
            allow_expired: debian.allow_expired,
            priority: debian.priority.as_ref().map(|priority| *priority.get_ref()),
        }
    }

    fn of(profile: &'a Profile, name: &'a str, suite: &'a str, archive: &'a model::Archive) -> Self {
        let main = Self::main(profile);
        let keyring = archive.keyring.as_ref().map(|file| profile.sources.path(file.get_ref()));
        Self {
            archive: ArchiveName { name, suite },
            components: archive.components.as_deref().unwrap_or(main.components),
            keyring: keyring.or(main.keyring),
            allow_expired: archive.allow_expired,
            priority: archive.priority.as_ref().map(|priority| *priority.get_ref()),
        }
    }

    fn release(&self, servers: &Servers<'_>, options: Options) -> Result<SignedRelease> {
        servers.release(&ReleaseRequest {
            archive: self.archive,
            keyring: self.keyring.as_deref(),
            now: options.now,
            allow_expired: options.allow_expired || self.allow_expired,
        })
    }

    /// The components, `None` for a flat repository.
    fn components(&self) -> Vec<Option<&str>> {
        match is_flat(self.archive.suite) {
            true => vec![None],
            false => self.components.iter().map(|component| Some(component.as_str())).collect(),
        }
    }

    fn fetch(&self, servers: &Servers<'_>, options: Options, ui: &Ui) -> Result<Archive> {
        let signed = self.release(servers, options)?;
        let architecture = options.platform.architecture();
        let suite = self.archive.suite;
        let mut indexes = Vec::new();
        for component in self.components() {
            let found = servers.package_indexes(&signed, component, architecture.as_str())?;
            let size = found.iter().map(|index| index.size).sum();
            ui.note(&format!("{suite} {}: index of {}", component.unwrap_or_default(), ui::bytes(size)));
            indexes.extend(found);
        }
        let priority = self.priority.unwrap_or_else(|| signed.release.default_priority());
        Ok(Archive { name: self.archive.name.to_owned(), priority, signed: Some(signed), indexes })
    }
}

/// The packages of the profile's archives that have the `wanted` files, as far as the archives list them.
///
/// # Errors
/// A server cannot be reached, or delivers something else than the archive's signed list names.
pub(super) fn contents(
    profile: &Profile,
    servers: &Servers<'_>,
    options: Options,
    wanted: &BTreeSet<&Wanted>,
) -> Result<BTreeMap<Wanted, BTreeSet<String>>> {
    let debian = profile.model.debian.get_ref();
    let others = debian.archives.iter().filter_map(|(name, archive)| {
        Some(Suite::of(profile, name.get_ref(), archive.suite.as_ref()?.get_ref(), archive))
    });
    let mut found = BTreeMap::new();
    for suite in std::iter::once(Suite::main(profile)).chain(others) {
        if wanted.iter().all(|wanted| found.contains_key(*wanted)) {
            break;
        }
        let signed = suite.release(servers, options)?;
        for component in suite.components() {
            servers.contents(&signed, component, options.platform.architecture().as_str(), wanted, &mut found)?;
        }
    }
    Ok(found)
}

impl Archives {
    /// Fetches and verifies the indexes.
    ///
    /// # Errors
    /// A server cannot be reached, or a signature is bad.
    pub(crate) fn fetch(profile: &Profile, servers: &Servers<'_>, options: Options, ui: &Ui) -> Result<Self> {
        let mut archives = vec![Suite::main(profile).fetch(servers, options, ui)?];
        for (name, archive) in &profile.model.debian.get_ref().archives {
            let name = name.get_ref();
            let fetched = match &archive.suite {
                Some(suite) => Suite::of(profile, name, suite.get_ref(), archive).fetch(servers, options, ui),
                None => local::index(profile, archive).map(|index| Archive {
                    name: name.clone(),
                    priority: archive.priority.as_ref().map_or(FILES_PRIORITY, |priority| *priority.get_ref()),
                    signed: None,
                    indexes: vec![index],
                }),
            };
            archives.push(fetched.with_context(|| format!("cannot read the archive {name}"))?);
        }
        Ok(Self(archives))
    }

    /// Fetches the suites of Debian with security updates and other updates that belong to the suite of `[debian]`, as far as
    /// the profile does not have them: their names, and the archives or why they cannot be read. None for other makers' archives.
    pub(crate) fn updates(
        &self,
        profile: &Profile,
        servers: &Servers<'_>,
        options: Options,
        ui: &Ui,
    ) -> Vec<(String, Result<Archive>)> {
        let main = Suite::main(profile);
        let signed = || self.0.iter().filter_map(|archive| archive.signed.as_ref());
        let Some(release) = signed().next().map(|signed| &signed.release) else { return Vec::new() };
        let base = main.archive.suite;
        // Unstable has no such suites, nor has one that is a service itself (`trixie-backports`).
        let is_base = !is_flat(base) && !base.contains('-') && release.codename != "sid" && !release.not_automatic;
        if !is_base || other_than_debian(&release.origin).is_some() {
            return Vec::new();
        }
        let has = |suite: &str| {
            signed().any(|s| [&s.suite, &s.release.suite, &s.release.codename].contains(&&suite.to_owned()))
        };
        let missing = ["security", "updates"].into_iter().filter(|ending| {
            ![base, release.suite.as_str(), release.codename.as_str()]
                .iter()
                .any(|base| has(&format!("{base}-{ending}")))
        });
        let is_taken = |name: &str| self.0.iter().any(|archive| archive.name == name);
        let fetched = missing.map(|ending| {
            let suite = format!("{base}-{ending}");
            // Mirrors may be set by this name.
            let name = if is_taken(ending) { suite.as_str() } else { ending };
            let archive = ArchiveName { name, suite: &suite };
            let fetched = Suite { archive, ..Suite::main(profile) }.fetch(servers, options, ui);
            (suite.clone(), fetched)
        });
        fetched.collect()
    }

    /// The archives.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Archive> {
        self.0.iter()
    }

    /// The packages of all archives.
    ///
    /// # Errors
    /// There are more than any archive has.
    pub(super) fn index(&self, platform: Platform) -> Result<Index<'_>> {
        let archives: Vec<index::Archive<'_>> = self.0.iter().map(Archive::for_index).collect();
        parse(&archives, platform)
    }

    /// The newest date of a Release file, in seconds since 1970.
    pub(super) fn newest(&self) -> u64 {
        self.0.iter().filter_map(|archive| archive.signed.as_ref()).map(|signed| signed.release.date).max().unwrap_or(0)
    }

    /// The lock's entry for the archive of `[debian]`.
    pub(super) fn main(&self) -> lock::Debian {
        self.0[0].locked().expect("[debian] has a suite")
    }

    /// The lock's entries for the other archives.
    pub(super) fn others(&self) -> BTreeMap<String, lock::Debian> {
        self.0[1..].iter().filter_map(|archive| Some((archive.name.clone(), archive.locked()?))).collect()
    }
}

fn parse<'a>(archives: &[index::Archive<'a>], platform: Platform) -> Result<Index<'a>> {
    Index::parse(archives, platform.architecture().as_str()).map_err(|error| {
        let message = format!("the package indexes of this profile are too large: {error}");
        Failure::failed(message).hint("name fewer `components` or archives in [debian]").into()
    })
}

impl Archive {
    /// The packages of this archive alone.
    ///
    /// # Errors
    /// There are more than any archive has.
    pub(crate) fn index(&self, platform: Platform) -> Result<Index<'_>> {
        parse(&[self.for_index()], platform)
    }

    fn for_index(&self) -> index::Archive<'_> {
        let files = self.indexes.iter().map(|index| (&*index.path, &*index.text)).collect();
        let suite = self.signed.as_ref().map_or("", |signed| signed.suite.as_str());
        index::Archive { name: &self.name, suite, priority: self.priority, files }
    }

    fn locked(&self) -> Option<lock::Debian> {
        let signed = self.signed.as_ref()?;
        Some(lock::Debian {
            suite: signed.suite.clone(),
            date: signed.release.date,
            release: Digest::of(&signed.bytes),
            signed_by: signed.release.signed_by.clone(),
            origin: other_than_debian(&signed.release.origin),
            indexes: self.indexes.iter().map(|index| (index.path.clone(), index.sha256)).collect(),
        })
    }
}

/// The `Origin` of a Release file, unless it is Debian: `Debian` itself, or a service of it such as `Debian Backports`.
fn other_than_debian(origin: &str) -> Option<String> {
    let first = origin.split_whitespace().next()?;
    (!first.eq_ignore_ascii_case("debian")).then(|| origin.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_of_debian_are_debian() {
        let names = ["Debian", "Debian Backports", "debian", "", " "].map(other_than_debian);
        assert_eq!(names, [const { None::<String> }; 5]);
        let others = ["Ubuntu", "Debianish", "apt.example.org PGDG"].map(|name| other_than_debian(name).unwrap());
        assert_eq!(others, ["Ubuntu", "Debianish", "apt.example.org PGDG"]);
    }
}
