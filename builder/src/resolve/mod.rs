//! Resolution: from a profile to the exact packages, wheels and crates of one platform, which the lock then names.
//!
//! The steps: fetch the signed indexes of the archives ([`archives`]), choose the Debian packages of each image, let uv resolve
//! its Python requirements, and look up the crates.

mod archive_files;
mod archives;
mod environment;
mod images;
mod local;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use sealift_deployment::profile::Profile;
use sealift_deployment::ui::{self, Ui};
use sealift_layers::platform::Platform;

pub(crate) use archives::Archives;
pub use images::changed_wheel;
pub(crate) use images::target_in;

use crate::debian::contents::Wanted;
use crate::debian::index::Index;
use crate::lock::{self, Crate, wanted};
use crate::python;
use crate::servers::Servers;

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

/// Resolves everything that `profile` asks for. `before` is the lock's entry so far: an archive that is not at hand stays as it
/// is there.
///
/// # Errors
/// A server cannot be reached, a signature is bad, or a package, wheel, crate or archive does not exist.
pub fn platform(
    profile: &Profile,
    servers: &Servers<'_>,
    options: Options,
    before: Option<&lock::Platform>,
    ui: &Ui,
) -> Result<Resolved> {
    let platform = options.platform;
    python::local::check(profile)?;
    let archives = Archives::fetch(profile, servers, options, ui)?;
    let index = archives.index(platform)?;
    warn_of_omitted(&index, ui);
    // Before the wheels, which take longer.
    let archive_files = archive_files::resolve(profile, servers, before, ui)?;
    let images = images::resolve(profile, servers, index, platform, ui)?;
    let crates = crates(profile, servers)?;
    let newest_wheel = images.wheels.values().map(|wheel| wheel.time()).max().unwrap_or(0);
    let resolved = lock::Platform {
        epoch: archives.newest().max(newest_wheel),
        wanted: wanted(profile),
        debian: archives.main(),
        archives: archives.others(),
        images: images.entries,
        packages: images.packages.into_values().collect(),
        wheels: images.wheels.into_values().collect(),
        crates,
        archive_files,
    };
    Ok(Resolved { platform: resolved, reasons: images.reasons })
}

/// The packages of the profile's archives that have the `wanted` files, as far as the archives list them.
///
/// # Errors
/// A server cannot be reached, or delivers something else than the archive's signed list names.
pub fn contents(
    profile: &Profile,
    servers: &Servers<'_>,
    options: Options,
    wanted: &BTreeSet<&Wanted>,
) -> Result<BTreeMap<Wanted, BTreeSet<String>>> {
    archives::contents(profile, servers, options, wanted)
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
