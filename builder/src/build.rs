//! The pipeline: lock, plan, fetch, assemble, bundle.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::machine::Machine;
use sealift_deployment::profile::Profile;
use sealift_deployment::ui::{self, Ui};

use crate::assemble::{self, Layers};
use crate::cargo::Cargo;
use crate::fetch::{self, Download, Fetched};
use crate::lock::{self, Lock};
use crate::plan::{CA_PACKAGE, Content, Plan};
use crate::resolve;
use crate::servers::Servers;
use crate::store::Store;

/// How many artifacts are fetched at a time: servers and links are idle more than this machine is.
const PARALLEL_DOWNLOADS: usize = 8;

/// The lock to build from: the profile's own if it fits, else one resolved now and written into the profile.
///
/// # Errors
/// With `locked`, when there is none or it is stale; otherwise what resolving gives.
pub fn lock(
    profile: &Profile,
    servers: &Servers<'_>,
    options: resolve::Options<'_>,
    locked: bool,
    ui: &Ui,
) -> Result<Lock> {
    let platform = options.platform;
    let name = profile.model.name.get_ref();
    let found = Lock::read(profile)?;
    let why = match &found {
        Some(lock) => match lock.platforms.get(platform) {
            Some(entry) if entry.wanted == lock::wanted(profile) => return Ok(found.expect("just matched")),
            Some(_) => format!("the lock of {name} is older than what the profile asks for now"),
            None => format!("the lock of {name} has nothing for {platform}"),
        },
        None => format!("{name} has no lock yet"),
    };
    if locked || servers.client().is_offline() {
        let option = if locked { "--locked" } else { "--offline" };
        return Err(Failure::usage(format!("{why}, and {option} allows no new one"))
            .hint(format!("run sealift lock {name} first"))
            .into());
    }
    ui.note(&format!("{why}: resolving"));
    Ok(relock(profile, servers, options, found, ui)?.lock)
}

/// A new lock, and why each package is in it: image to package to reason.
#[derive(Debug)]
pub struct Relocked {
    /// The lock as it was written.
    pub lock: Lock,
    /// Why.
    pub reasons: BTreeMap<String, BTreeMap<String, String>>,
}

/// Resolves anew, says what changed, and writes the lock.
///
/// # Errors
/// What resolving or writing gives.
pub fn relock(
    profile: &Profile,
    servers: &Servers<'_>,
    options: resolve::Options<'_>,
    old: Option<Lock>,
    ui: &Ui,
) -> Result<Relocked> {
    let resolved = resolve::platform(profile, servers, options, ui)?;
    let name = profile.model.name.get_ref();
    let mut lock = old.unwrap_or_else(|| Lock { schema: 1, profile: name.clone(), platforms: Default::default() });
    if let Some(before) = lock.platforms.get(options.platform) {
        for line in lock::diff(before, &resolved.platform) {
            ui.note(&line);
        }
    }
    lock.platforms.insert(options.platform.to_owned(), resolved.platform);
    lock.write(&profile.directory)?;
    Ok(Relocked { lock, reasons: resolved.reasons })
}

/// The packages, and the file names of the wheels, that the layers which the store lacks are made of.
#[must_use]
pub fn needed_names<'p>(plan: &'p Plan<'_>, store: &Store) -> (BTreeSet<&'p str>, BTreeSet<&'p str>) {
    let (mut packages, mut wheels) = (BTreeSet::new(), BTreeSet::new());
    for (image, layer) in assemble::missing(plan, store) {
        let locked = &plan.lock.images[&image.name];
        match &layer.content {
            Content::Packages { packages: own, bytecode, .. } => {
                packages.extend(own.iter().map(String::as_str));
                // Compiling needs the whole interpreter, whichever layer its packages are in.
                for python in bytecode {
                    let owner = assemble::compiling_image(plan, &image.name, python);
                    packages.extend(plan.lock.images[owner].packages.iter().map(String::as_str));
                }
            }
            Content::Wheels { wheels: own, .. } => {
                wheels.extend(own.iter().map(String::as_str));
                if plan.model(&image.name).venv.as_ref().is_some_and(|venv| venv.bytecode) {
                    packages.extend(locked.packages.iter().map(String::as_str));
                }
            }
            Content::Certificates => {
                packages.extend(locked.packages.iter().map(String::as_str).filter(|p| *p == CA_PACKAGE))
            }
            // cargo gets those itself, and Nix has the others.
            Content::Crate | Content::StorePaths { .. } | Content::Env | Content::Configuration => {}
        }
    }
    (packages, wheels)
}

/// What has to be in the store before the layers that it lacks can be made.
///
/// # Errors
/// When the lock contradicts itself, or the machine names no server for something that is not there.
pub fn needed<'a>(plan: &Plan<'a>, store: &Store, servers: &'a Servers<'_>) -> Result<Vec<Download<'a>>> {
    let (packages, wheels) = needed_names(plan, store);
    let mut downloads = Vec::new();
    for name in packages {
        let package = plan.package(name)?;
        if store.artifact(&package.sha256, package.size).is_none() {
            downloads.push(servers.package(package)?);
        }
    }
    for name in wheels {
        let wheel = plan.wheel(name)?;
        if store.artifact(&wheel.sha256, wheel.size).is_none() {
            downloads.push(servers.wheel(wheel));
        }
    }
    Ok(downloads)
}

/// Fetches what is needed; what no server has any more is told, not an error.
///
/// # Errors
/// What fetching gives.
pub fn fetch(downloads: &[Download<'_>], store: &Store, servers: &Servers<'_>, ui: &Ui) -> Result<Fetched> {
    if downloads.is_empty() {
        return Ok(Fetched::default());
    }
    let total = downloads.iter().map(|download| download.size).sum();
    let phase = ui.phase("Fetching", total);
    let fetched = fetch::download(servers.client(), downloads, store, PARALLEL_DOWNLOADS, &phase)?;
    phase.finish(&format!("{}, {}", ui::count(fetched.count, "file"), ui::bytes(fetched.bytes)));
    Ok(fetched)
}

/// Has cargo fetch the crates of layers that are to be made.
///
/// # Errors
/// When cargo cannot get one, or gets another one than the lock's.
pub fn fetch_crates(plan: &Plan<'_>, store: &Store) -> Result<()> {
    for (image, layer) in assemble::missing(plan, store) {
        if matches!(layer.content, Content::Crate) && store.derived(&plan.program_key(&image.name)?).is_none() {
            plan.cargo()?.fetch(plan.program(&image.name)?.locked, store)?;
        }
    }
    Ok(())
}

/// What compiles the crates of `profile`, if it has any.
///
/// # Errors
/// When it has some and the machine has no Rust.
pub fn cargo(profile: &Profile, servers: &Servers<'_>) -> Result<Option<Cargo>> {
    let has = profile.model.images.values().any(|image| image.krate.is_some());
    has.then(|| servers.cargo()).transpose()
}

/// Makes the layers.
///
/// # Errors
/// What assembling gives.
pub fn assemble(plan: &Plan<'_>, store: &Store, jobs: usize, ui: &Ui) -> Result<Layers> {
    let count: usize = plan.images.iter().map(|image| image.layers.len()).sum();
    let phase = ui.steps("Assembling layers", count as u64);
    let layers = assemble::layers(plan, store, jobs, &phase)?;
    phase.finish(&format!("{} layers, {} of them from the store", layers.len(), layers.reused));
    Ok(layers)
}

/// The epoch that the environment asks for (`SOURCE_DATE_EPOCH`, reproducible-builds.org specification), in seconds.
///
/// # Errors
/// When it is set to something else than a number.
pub fn source_date_epoch(machine: &Machine) -> Result<Option<u64>> {
    let parse = |text: &str| {
        text.parse().map_err(|_| {
            Failure::usage(format!("SOURCE_DATE_EPOCH is `{text}`, which is no number of seconds since 1970")).into()
        })
    };
    machine.var("SOURCE_DATE_EPOCH").map(parse).transpose()
}
