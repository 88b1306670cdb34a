//! Making a lock: from signed indexes and a resolver to exactly what the images are made of.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use sealift_deployment::profile::{Profile, model};
use sealift_deployment::ui::{self, Ui};
use sealift_layers::digest::Digest;

use super::{Crate, Debian, Image, Package, Platform, Wheel, wanted};
use crate::debian::index::Index;
use crate::debian::resolve::{Resolution, Root, resolve, unknown_root};
use crate::python::resolve::Request;
use crate::python::tags::Target;
use crate::upstream::Upstream;

/// The package whose version is the images' glibc: it decides which wheels fit.
const LIBC: &str = "libc6";

/// How to resolve.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Platform as OCI writes it.
    pub platform: &'a str,
    /// The time, in seconds since 1970: decides whether signatures and indexes are valid.
    pub now: u64,
    /// Accept an index past its `Valid-Until`, besides what the profile says.
    pub allow_expired: bool,
}

/// A resolved platform, and why each package is there.
#[derive(Debug)]
pub struct Resolved {
    /// What goes into the lock.
    pub platform: Platform,
    /// By image: package to reason.
    pub reasons: BTreeMap<String, BTreeMap<String, String>>,
}

/// Resolves everything that `profile` asks for.
///
/// # Errors
/// When a server cannot be reached, a signature is bad, or something that is asked for cannot be had.
pub fn platform(profile: &Profile, upstream: &Upstream<'_>, options: Options<'_>, ui: &Ui) -> Result<Resolved> {
    let debian = profile.model.debian.get_ref();
    let suite = debian.suite.get_ref();
    let keyring = debian.keyring.as_ref().map(|file| profile.sources.path(file.get_ref()));
    let allow_expired = options.allow_expired || debian.allow_expired;
    let architecture = options.platform.rsplit('/').next().unwrap_or_default();

    let signed = upstream.release(suite, keyring.as_deref(), options.now, allow_expired)?;
    let mut texts = Vec::new();
    let mut indexes = BTreeMap::new();
    for component in &debian.components {
        let (text, path, digest) = upstream.packages(&signed, suite, component, architecture)?;
        ui.note(&format!("{suite} {component}: index of {}", ui::bytes(text.len() as u64)));
        texts.push((path.clone(), text));
        indexes.insert(path, digest);
    }
    let texts: Vec<(&str, &str)> = texts.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let index = Index::parse(&texts, architecture)?;

    let exclude: BTreeSet<&str> = debian.exclude.keys().map(|name| name.get_ref().as_str()).collect();
    let mut unused = exclude.clone();
    let mut packages: BTreeMap<String, Package> = BTreeMap::new();
    let mut wheels: BTreeMap<String, Wheel> = BTreeMap::new();
    let mut images = BTreeMap::new();
    let mut reasons = BTreeMap::new();
    let askers: Vec<String> = profile.model.images.keys().map(|name| format!("the image {}", name.get_ref())).collect();
    for ((name, image), asker) in profile.model.images.iter().zip(&askers) {
        let resolution = resolve_image(profile, &index, image, asker, &exclude)?;
        for used in resolution.excluded.keys() {
            unused.remove(used);
        }
        let mut because = BTreeMap::new();
        for (package, chosen) in &resolution.packages {
            because.insert((*package).to_owned(), chosen.because.to_string());
            packages.insert((*package).to_owned(), locked(chosen.package));
        }
        let found = match &image.venv {
            None => Vec::new(),
            Some(venv) => {
                let glibc = packages.get(LIBC).map_or("", |package| package.version.as_str());
                resolve_venv(upstream, venv, options.platform, glibc).with_context(|| {
                    format!("cannot resolve the Python requirements of the image {}", name.get_ref())
                })?
            }
        };
        let entry = Image {
            packages: because.keys().cloned().collect(),
            wheels: found.iter().map(|wheel| wheel.file_name().to_owned()).collect(),
        };
        ui.note(&format!("{}: {} packages, {} wheels", name.get_ref(), entry.packages.len(), entry.wheels.len()));
        wheels.extend(found.into_iter().map(|wheel| (wheel.file_name().to_owned(), wheel)));
        images.insert(name.get_ref().clone(), entry);
        reasons.insert(name.get_ref().clone(), because);
    }
    for name in unused {
        ui.warn(&format!("nothing asks for `{name}`, which the profile excludes"));
    }

    let mut crates: BTreeMap<(&str, &str), Crate> = BTreeMap::new();
    for (name, krate) in profile.model.images.iter().filter_map(|(name, image)| Some((name, image.krate.as_ref()?))) {
        let (crate_name, version) = (krate.name.get_ref().as_str(), krate.version.get_ref().as_str());
        if let Entry::Vacant(place) = crates.entry((crate_name, version)) {
            let found = upstream.cargo()?.resolve(crate_name, version);
            place.insert(found.with_context(|| format!("cannot lock the crate of the image {}", name.get_ref()))?);
        }
    }

    let newest = wheels.values().map(|wheel| wheel.uploaded).max().unwrap_or(0);
    let platform = Platform {
        epoch: signed.release.date.max(newest),
        wanted: wanted(profile),
        debian: Debian {
            suite: suite.clone(),
            date: signed.release.date,
            release: Digest::of(&signed.bytes),
            signed_by: signed.release.signed_by.clone(),
            indexes,
        },
        images,
        packages: packages.into_values().collect(),
        wheels: wheels.into_values().collect(),
        crates: crates.into_values().collect(),
    };
    Ok(Resolved { platform, reasons })
}

fn resolve_image<'i, 'a>(
    profile: &'i Profile,
    index: &'i Index<'a>,
    image: &'i model::Image,
    asker: &'i str,
    exclude: &BTreeSet<&'i str>,
) -> Result<Resolution<'i, 'a>> {
    let base = profile.model.base.packages.iter().map(|package| (package, "the profile's base"));
    let own = image.packages.iter().map(|package| (package, asker));
    let wanted: Vec<_> = base.chain(own).collect();
    for (package, by) in &wanted {
        // The resolver would tell too, but it does not know where in the profile the name stands.
        if index.versions(package.get_ref()).is_empty() {
            let unknown = unknown_root(index, Root { name: package.get_ref(), by });
            return Err(profile.problem_at(package.span(), unknown.message, unknown.hint.unwrap_or_default()));
        }
    }
    let roots: Vec<Root<'_>> = wanted.iter().map(|(package, by)| Root { name: package.get_ref(), by }).collect();
    resolve(index, &roots, exclude)
}

fn locked(package: &crate::debian::index::Package<'_>) -> Package {
    Package {
        name: package.name.to_owned(),
        version: package.version.to_owned(),
        architecture: package.architecture.to_owned(),
        path: package.path.to_owned(),
        size: package.size,
        sha256: package.sha256,
    }
}

fn resolve_venv(upstream: &Upstream<'_>, venv: &model::Venv, platform: &str, glibc: &str) -> Result<Vec<Wheel>> {
    let target = Target::new(venv.python.get_ref().trim_start_matches("python"), platform, glibc)?;
    let texts = |list: &[toml::Spanned<String>]| list.iter().map(|text| text.get_ref().clone()).collect::<Vec<_>>();
    let exclude: Vec<String> = venv.exclude.keys().map(|name| name.get_ref().clone()).collect();
    let index = upstream.python()?;
    upstream.uv().resolve(&Request {
        requirements: &texts(&venv.requirements),
        exclude: &exclude,
        target: &target,
        index_url: Some(&index.url),
    })
}
