//! What goes into each image: Debian packages and wheels.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use anyhow::{Context as _, Result};
use sealift_deployment::bundle::Manifest;
use sealift_deployment::failure::Failure;
use sealift_deployment::profile::model::{MAIN_ARCHIVE, Requested};
use sealift_deployment::profile::{Profile, model};
use sealift_deployment::ui::Ui;
use sealift_layers::platform::Platform;

use super::environment;
use crate::debian;
use crate::debian::index::Index;
use crate::debian::pin::{self, Wanted};
use crate::debian::resolve::{Resolution, Root, resolve as resolve_packages, unknown_root};
use crate::lock::{self, Image, Package, Wheel};
use crate::python::local;
use crate::python::tags::Target;
use crate::servers::Servers;

/// The package whose version is that of the image's glibc, which decides the wheels that fit.
/// The C library, which decides the wheels that can be installed.
pub(crate) const LIBC: &str = "libc6";

/// The images of a platform, and everything that any of them has.
#[derive(Debug, Default)]
pub(super) struct Images {
    /// By image name.
    pub(super) entries: BTreeMap<String, Image>,
    /// By package name.
    pub(super) packages: BTreeMap<String, Package>,
    /// By file name.
    pub(super) wheels: BTreeMap<String, Wheel>,
    /// By image name: package name to the reason why it is in the image.
    pub(super) reasons: BTreeMap<String, BTreeMap<String, String>>,
}

/// Resolves every image of `profile`. Prints a warning for each excluded package that no image depends on.
pub(super) fn resolve(
    profile: &Profile,
    servers: &Servers<'_>,
    index: Index<'_>,
    platform: Platform,
    ui: &Ui,
) -> Result<Images> {
    let exclude: BTreeSet<&str> =
        profile.model.debian.get_ref().exclude.keys().map(|name| name.get_ref().as_str()).collect();
    let index = &with_pins(profile, index, &exclude)?;
    let mut unused = exclude.clone();
    let mut all = Images::default();
    for (name, image) in &profile.model.images {
        let name = name.get_ref();
        let requester = format!("the image {name}");
        let resolution = packages(profile, index, image, &requester, &exclude)?;
        for used in resolution.excluded.keys() {
            unused.remove(*used);
        }
        let reasons = all.add_packages(name, index, &resolution)?;
        let wheels = match &image.venv {
            None => Vec::new(),
            Some(venv) => {
                let glibc = all.packages.get(LIBC).map_or("", |package| package.version.as_str());
                let target = target(venv, platform, glibc)?;
                environment::wheels(profile, venv, &target, servers, ui)
                    .with_context(|| format!("cannot resolve the Python requirements of {requester}"))?
            }
        };
        let archives =
            image.archives.values().filter(|archive| !archive.optional).map(|archive| archive.file.get_ref().clone());
        let archives: BTreeSet<String> = archives.collect();
        let entry = Image {
            packages: reasons.keys().cloned().collect(),
            wheels: wheels.iter().map(|wheel| wheel.file_name().to_owned()).collect(),
            archives: archives.into_iter().collect(),
        };
        ui.note(&format!("{name}: {} packages, {} wheels", entry.packages.len(), entry.wheels.len()));
        all.wheels.extend(wheels.into_iter().map(|wheel| (wheel.file_name().to_owned(), wheel)));
        all.entries.insert(name.clone(), entry);
        all.reasons.insert(name.clone(), reasons);
    }
    for name in unused {
        ui.warn(&format!("the profile excludes `{name}`, but no package depends on it"));
    }
    Ok(all)
}

/// How the user's wheels differ from those of the lock; `None` if they do not, or if their files are not here.
///
/// # Errors
/// A wheel cannot be read.
pub fn changed_wheel(profile: &Profile, lock: &lock::Platform, platform: Platform) -> Result<Option<String>> {
    let glibc = lock.packages.iter().find(|package| package.name == LIBC);
    let glibc = glibc.map_or("", |package| package.version.as_str());
    for (name, image) in &profile.model.images {
        let (Some(venv), Some(locked)) = (&image.venv, lock.images.get(name.get_ref())) else { continue };
        let of_image = |wheel: &&Wheel| wheel.local && locked.wheels.iter().any(|file| file == wheel.file_name());
        let wheels: Vec<&Wheel> = lock.wheels.iter().filter(of_image).collect();
        if !wheels.is_empty() {
            let target = target(venv, platform, glibc)?;
            let change =
                local::choose(profile, venv, &target, local::Absent::Ignored).map(|now| local::change(&wheels, &now));
            if let Some(change) = change? {
                return Ok(Some(change));
            }
        }
    }
    Ok(None)
}

/// A version of glibc for images that have none: markers of requirements do not depend on it.
const ANY_GLIBC: &str = "2.17";

/// The Python of a virtual environment in an image of a bundle.
///
/// # Errors
/// The profile and the bundle contradict each other.
pub(crate) fn target_in(venv: &model::Venv, manifest: &Manifest) -> Result<Target> {
    let glibc = manifest.packages.iter().find(|package| package.name == LIBC);
    target(venv, manifest.platform.parse()?, glibc.map_or(ANY_GLIBC, |package| package.version.as_str()))
}

fn target(venv: &model::Venv, platform: Platform, glibc: &str) -> Result<Target> {
    Target::new(venv.python.get_ref().trim_start_matches("python"), platform, glibc)
}

impl Images {
    /// Adds the packages of `image`; returns the reason for each, by package name.
    ///
    /// # Errors
    /// Another image has another version of a package: they share layers, so a package has one version in all of them.
    fn add_packages(
        &mut self,
        image: &str,
        index: &Index<'_>,
        resolution: &Resolution<'_, '_>,
    ) -> Result<BTreeMap<String, String>> {
        let mut reasons = BTreeMap::new();
        for (name, chosen) in &resolution.packages {
            let package = locked(index, chosen.package);
            let from = package.archive.as_ref().map_or(String::new(), |archive| format!(", from {archive}"));
            reasons.insert((*name).to_owned(), format!("{}{from}", chosen.reason));
            let version = package.version.clone();
            match self.packages.insert((*name).to_owned(), package) {
                Some(other) if other.sha256 != chosen.package.sha256 => {
                    let (other, because) = (other.version, chosen.reason.to_string());
                    let message =
                        format!("the image {image} needs {name} {version} ({because}), another image has {other}");
                    let hint = format!("request one version in both: \"{name} (= {other})\"");
                    return Err(Failure::failed(message).hint(hint).into());
                }
                _ => {}
            }
        }
        Ok(reasons)
    }
}

/// The index with the pins of the profile: those of `[debian.pins]`, and of packages that are requested from an archive or in
/// a version.
fn with_pins<'a>(profile: &Profile, index: Index<'a>, exclude: &BTreeSet<&str>) -> Result<Index<'a>> {
    let model = &profile.model;
    let mut wanted: BTreeMap<&str, (Range<usize>, Wanted<'_>)> = BTreeMap::new();
    for (package, archive) in &model.debian.get_ref().pins {
        let pinned = Wanted { name: package.get_ref(), archive: Some(archive.get_ref()), version: None };
        wanted.insert(pinned.name, (package.span(), pinned));
    }
    let own = model.images.values().flat_map(|image| &image.packages);
    for package in model.base.packages.iter().chain(own) {
        let Requested { name, version, from } = package.get_ref();
        if version.is_none() && from.is_none() {
            continue;
        }
        let (span, pinned) =
            wanted.entry(name).or_insert_with(|| (package.span(), Wanted { name, ..Wanted::default() }));
        // The place to change is where the version is.
        if version.is_some() && pinned.version.is_none() {
            *span = package.span();
        }
        pinned.version = pinned.version.or(version.as_deref());
        pinned.archive = pinned.archive.or(from.as_deref());
    }
    for (span, pinned) in wanted.values() {
        if let Err(failure) = pin::check(&index, *pinned) {
            return Err(profile.diagnostic_at(span.clone(), failure.message, failure.hint.unwrap_or_default()));
        }
    }
    let wanted: Vec<Wanted<'_>> = wanted.into_values().map(|(_, pinned)| pinned).collect();
    pin::pinned(index, &wanted, exclude)
}

fn packages<'i, 'a>(
    profile: &'i Profile,
    index: &'i Index<'a>,
    image: &'i model::Image,
    requester: &'i str,
    exclude: &BTreeSet<&'i str>,
) -> Result<Resolution<'i, 'a>> {
    let base = profile.model.base.packages.iter().map(|package| (package, "the profile's base"));
    let own = image.packages.iter().map(|package| (package, requester));
    let mut roots = Vec::new();
    for (package, by) in base.chain(own) {
        let root = Root { name: &package.get_ref().name, by };
        // The resolver checks this, too, but cannot point into the profile.
        if index.eligible(root.name).next().is_none() {
            let unknown = unknown_root(index, root);
            return Err(profile.diagnostic_at(package.span(), unknown.message, unknown.hint.unwrap_or_default()));
        }
        roots.push(root);
    }
    if profile.model.is_essential(image) {
        let wanted = index.essential().filter(|name| !exclude.contains(name));
        roots.extend(wanted.map(|name| Root { name, by: "`essential` in the profile" }));
    }
    resolve_packages(index, &roots, exclude)
}

fn locked(index: &Index<'_>, package: &debian::index::Package<'_>) -> Package {
    let archive = index.archive_name(package.archive);
    Package {
        archive: (archive != MAIN_ARCHIVE).then(|| archive.to_owned()),
        name: package.name.to_owned(),
        version: package.version.to_owned(),
        architecture: package.architecture.to_owned(),
        path: package.path.to_owned(),
        size: package.size,
        sha256: package.sha256,
    }
}
