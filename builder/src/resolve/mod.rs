//! Resolution: from a profile to the exact packages, wheels and crates of one platform, which the lock then names.
//!
//! The steps: fetch the suite's signed indexes ([`Archive`]), choose the Debian packages of each image, let uv resolve
//! its Python requirements, and look up the crates.

mod environment;
mod images;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use anyhow::{Context as _, Result};
use sealift_deployment::profile::Profile;
use sealift_deployment::ui::{self, Ui};
use sealift_layers::digest::Digest;
use sealift_layers::platform::Platform;

pub use images::changed_wheel;

use crate::debian::index::Index;
use crate::lock::{self, Crate, wanted};
use crate::servers::{PackageIndex, ReleaseRequest, Servers, SignedRelease};

/// How to resolve.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The platform of the images.
    pub platform: Platform,
    /// The time in seconds since 1970: decides whether signatures and indexes are valid.
    pub now: u64,
    /// Accept a package index past its `Valid-Until`. The profile can allow it, too.
    pub allow_expired: bool,
}

/// A resolved platform, and why each package is in it.
#[derive(Debug)]
pub struct Resolved {
    /// The lock's entry for the platform.
    pub platform: lock::Platform,
    /// By image: package name to reason.
    pub reasons: BTreeMap<String, BTreeMap<String, String>>,
}

/// Resolves everything that `profile` asks for.
///
/// # Errors
/// A server cannot be reached, a signature is bad, or a package, wheel or crate does not exist.
pub fn platform(profile: &Profile, servers: &Servers<'_>, options: Options, ui: &Ui) -> Result<Resolved> {
    let platform = options.platform;
    let archive = Archive::fetch(profile, servers, options, ui)?;
    let index = archive.index(platform);
    warn_of_omitted(&index, ui);
    let images = images::resolve(profile, servers, &index, platform, ui)?;
    let crates = crates(profile, servers)?;
    let newest_wheel = images.wheels.values().map(|wheel| wheel.time()).max().unwrap_or(0);
    let resolved = lock::Platform {
        epoch: archive.signed.release.date.max(newest_wheel),
        wanted: wanted(profile),
        debian: archive.locked(),
        images: images.entries,
        packages: images.packages.into_values().collect(),
        wheels: images.wheels.into_values().collect(),
        crates,
    };
    Ok(Resolved { platform: resolved, reasons: images.reasons })
}

/// The signed index of the profile's suite, and the package indexes of its components.
struct Archive {
    signed: SignedRelease,
    indexes: Vec<PackageIndex>,
}

impl Archive {
    fn fetch(profile: &Profile, servers: &Servers<'_>, options: Options, ui: &Ui) -> Result<Self> {
        let debian = profile.model.debian.get_ref();
        let suite = debian.suite.get_ref();
        let keyring = debian.keyring.as_ref().map(|file| profile.sources.path(file.get_ref()));
        let signed = servers.release(&ReleaseRequest {
            suite,
            keyring: keyring.as_deref(),
            now: options.now,
            allow_expired: options.allow_expired || debian.allow_expired,
        })?;
        let mut indexes = Vec::new();
        for component in &debian.components {
            let index = servers.package_index(&signed, component, options.platform.architecture().as_str())?;
            ui.note(&format!("{suite} {component}: index of {}", ui::bytes(index.text.len() as u64)));
            indexes.push(index);
        }
        Ok(Self { signed, indexes })
    }

    fn index(&self, platform: Platform) -> Index<'_> {
        let texts: Vec<(&str, &str)> = self.indexes.iter().map(|index| (&*index.path, &*index.text)).collect();
        Index::parse(&texts, platform.architecture().as_str())
    }

    fn locked(&self) -> lock::Debian {
        lock::Debian {
            suite: self.signed.suite.clone(),
            date: self.signed.release.date,
            release: Digest::of(&self.signed.bytes),
            signed_by: self.signed.release.signed_by.clone(),
            indexes: self.indexes.iter().map(|index| (index.path.clone(), index.sha256)).collect(),
        }
    }
}

/// Prints the malformed stanzas of the package indexes, a few of them in full.
fn warn_of_omitted(index: &Index<'_>, ui: &Ui) {
    const SHOWN: usize = 5;
    for omitted in index.omitted().iter().take(SHOWN) {
        ui.warn(&format!("a malformed stanza of the package index is left out: {}", omitted.reason));
    }
    if let Some(more @ 1..) = index.omitted().len().checked_sub(SHOWN) {
        ui.warn(&format!("{} of the package index left out", ui::count(more, "more malformed stanza")));
    }
}

/// The crates of all images, each once, sorted by name and version.
fn crates(profile: &Profile, servers: &Servers<'_>) -> Result<Vec<Crate>> {
    let mut crates: BTreeMap<(&str, &str), Crate> = BTreeMap::new();
    for (image, krate) in profile.model.images.iter().filter_map(|(image, model)| Some((image, model.krate.as_ref()?)))
    {
        let (name, version) = (krate.name.get_ref().as_str(), krate.version.get_ref().as_str());
        if let Entry::Vacant(entry) = crates.entry((name, version)) {
            let found = servers.cargo()?.resolve(name, version);
            entry.insert(found.with_context(|| format!("cannot lock the crate of the image {}", image.get_ref()))?);
        }
    }
    Ok(crates.into_values().collect())
}
