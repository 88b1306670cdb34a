//! Which Debian packages have newer versions in the signed indexes of today.

use anyhow::Result;
use sealift_deployment::bundle::{Manifest, Package};
use sealift_deployment::failure::{self, Failure};
use sealift_deployment::profile::Profile;
use sealift_deployment::profile::model::MAIN_ARCHIVE;
use sealift_deployment::ui::Ui;
use sealift_layers::digest::Digest;
use sealift_layers::image::timestamp;
use serde::Serialize;

use super::components::Images;
use super::finding::{Kind, Outdated};
use crate::debian::index::Index;
use crate::debian::version;
use crate::lock;
use crate::resolve::{self, Archives};
use crate::servers::Servers;

/// The end of the names of suites with security updates: `trixie-security`.
const SECURITY: &str = "-security";

/// An archive whose index was compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Compared {
    /// Its name in the profile.
    pub name: String,
    /// The suite in the profile.
    pub suite: String,
    /// The date of the index that the bundle was locked with (RFC 3339), if the lock has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locked: Option<String>,
    /// The date of the index of now (RFC 3339).
    pub date: Option<String>,
    /// SHA-256 of its `InRelease` file.
    pub release: Digest,
    /// Fingerprint of the primary key that signed it.
    pub signed_by: String,
    /// It has security updates.
    pub security: bool,
}

/// The archives of now, and what is outdated.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    pub(super) archives: Vec<Compared>,
    pub(super) outdated: Vec<Outdated>,
    pub(super) not_checked: Vec<String>,
}

/// An archive with its packages.
struct Indexed<'a> {
    name: &'a str,
    priority: i32,
    is_security: bool,
    index: Index<'a>,
}

/// Compares the packages of a bundle with the indexes of now. The archives are those of the bundle's profile, with the keys
/// that it names, and the security updates and updates of its suite; the machine's configuration says where they are.
///
/// # Errors
/// A server cannot be reached, a signature is bad, or an index is older than the locked one.
pub(super) fn compare(
    (profile, locked): (&Profile, &lock::Platform),
    manifest: &Manifest,
    servers: &Servers<'_>,
    options: resolve::Options,
    ui: &Ui,
) -> Result<Comparison> {
    let archives = Archives::fetch(profile, servers, options, ui)?;
    let (mut updates, mut not_checked) = (Vec::new(), Vec::new());
    for (suite, fetched) in archives.updates(profile, servers, options, ui) {
        match fetched {
            Ok(archive) => updates.push(archive),
            // A mirror need not have it, but what it has is signed.
            Err(error) if failure::Kind::of(&error) == failure::Kind::Verification => {
                return Err(error.context(format!("the suite {suite} with updates cannot be trusted")));
            }
            Err(error) => not_checked.push(format!("the suite {suite}: {}", super::reason(&error))),
        }
    }
    let (mut compared, mut indexed) = (Vec::new(), Vec::new());
    for archive in archives.iter().chain(&updates) {
        let Some(signed) = &archive.signed else { continue };
        let before = locked.archive(Some(&*archive.name).filter(|name| *name != MAIN_ARCHIVE));
        if let Some(before) = before.filter(|before| signed.release.date < before.date) {
            return Err(older(&signed.suite, signed.release.date, before.date).into());
        }
        let names = [&signed.suite, &signed.release.suite, &signed.release.codename];
        let is_security = names.iter().any(|name| name.ends_with(SECURITY));
        compared.push(Compared {
            name: archive.name.clone(),
            suite: signed.suite.clone(),
            locked: before.and_then(|before| timestamp(before.date)),
            date: timestamp(signed.release.date),
            release: Digest::of(&signed.bytes),
            signed_by: signed.release.signed_by.clone(),
            security: is_security,
        });
        let index = archive.index(options.platform)?;
        indexed.push(Indexed { name: &archive.name, priority: archive.priority, is_security, index });
    }
    let mut comparison = Comparison { archives: compared, outdated: Vec::new(), not_checked };
    let images = Images::with(manifest, |image| &image.packages);
    for package in &manifest.packages {
        let is_pinned = profile.model.debian.get_ref().pins.keys().any(|name| *name.get_ref() == package.name);
        match newest(package, is_pinned, &indexed) {
            Ok(None) => {}
            Ok(Some((newest, archive, security))) => comparison.outdated.push(Outdated {
                kind: Kind::Package,
                name: package.name.clone(),
                source: package.source.as_ref().map(|source| source.name.clone()).filter(|name| *name != package.name),
                version: package.version.clone(),
                newest,
                archive: Some(archive),
                security,
                images: images.of(&package.name),
            }),
            Err(why) => comparison.not_checked.push(format!("the package {}: {why}", package.name)),
        }
    }
    Ok(comparison)
}

fn older(suite: &str, date: u64, locked: u64) -> Failure {
    let [date, locked] = [date, locked].map(|time| timestamp(time).unwrap_or_default());
    Failure::verification(format!(
        "the index of {suite} is of {date}, which is before that of the bundle's lock, {locked}"
    ))
    .hint("the mirror is not up to date, or someone replays an old index: name another one with --debian-mirror")
}

/// The newest version of a package that is newer than that in the bundle, its archive, and whether a security archive has a
/// newer one. Looks into the package's own archive; unless it is pinned to it, also into those of the same or a higher
/// priority, and into security archives.
fn newest(package: &Package, is_pinned: bool, all: &[Indexed<'_>]) -> Result<Option<(String, String, bool)>, String> {
    let own = package.archive.as_deref().unwrap_or(MAIN_ARCHIVE);
    let Some(own) = all.iter().find(|indexed| indexed.name == own) else {
        return Err(format!("the archive {own} has no signed index"));
    };
    if own.index.versions(&package.name).is_empty() {
        if let Some(omitted) = own.index.omitted().iter().find(|omitted| omitted.name == package.name) {
            return Err(omitted.reason.clone());
        }
        return Err(format!("the archive {} does not have it any more", own.name));
    }
    let counts = |indexed: &&Indexed<'_>| {
        let by_priority = indexed.priority >= own.priority && indexed.priority >= 0;
        indexed.name == own.name || (!is_pinned && (by_priority || indexed.is_security))
    };
    let newer = all.iter().filter(counts).filter_map(|indexed| {
        let highest = indexed.index.versions(&package.name).first()?.version;
        version::compare(highest, &package.version).is_gt().then_some((highest, indexed))
    });
    let newer: Vec<_> = newer.collect();
    let security = newer.iter().any(|(_, indexed)| indexed.is_security);
    let newest = newer.into_iter().max_by(|(one, _), (other, _)| version::compare(one, other));
    Ok(newest.map(|(version, indexed)| (version.to_owned(), indexed.name.to_owned(), security)))
}
