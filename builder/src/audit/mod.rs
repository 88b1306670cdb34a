//! What is outdated in a bundle, and which vulnerabilities are known of what is in it (`sealift audit`).
//!
//! The bundle has its profile and its lock: they name the archives, the keys that sign them, and the index that the packages
//! are from. Everything that is compared with is either signed (Debian's indexes) or brought by the user (snapshots of
//! vulnerabilities); of the latter, the report has the digests.

mod components;
mod cvss;
mod debian;
mod finding;
mod osv;
mod purl;
mod python;
mod ranges;
mod report;
mod snapshot;
#[cfg(test)]
mod tests;
mod tracker;
mod vex;
mod vex_output;
mod vulnerability;

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result};
use sealift_deployment::bundle::{self, Bundle, Manifest};
use sealift_deployment::failure::{Failure, one_line};
use sealift_deployment::files;
use sealift_deployment::profile::Profile;
use sealift_deployment::profile::names::PROGRAM;
use sealift_deployment::ui::{self, Ui};
use sealift_layers::limits::MESSAGES;
use sealift_layers::tree::Kind as Entry;
use serde::Serialize;

pub use debian::Compared;
pub use finding::{FailOn, Kind, Outdated, Severity};
pub use report::text;
pub use snapshot::{Pinned, Used};
pub use vex::{Statement, Status};
pub use vulnerability::Vulnerability;

use components::{Components, Release};
use vex::Statements;
use vulnerability::Joined;

use crate::lock::{self, FILE, Lock};
use crate::resolve;
use crate::servers::Servers;

/// What to audit, and how.
#[derive(Debug)]
pub struct Request<'a> {
    /// The bundle.
    pub bundle: &'a Bundle,
    /// Its file, or the folder that it was unpacked into.
    pub path: &'a Path,
    /// Ask no server.
    pub offline: bool,
    /// The time in seconds since 1970: decides whether signatures and indexes are valid.
    pub now: u64,
    /// Accept a package index past its `Valid-Until`.
    pub allow_expired: bool,
    /// It is an error if the Python index cannot be asked.
    pub require_index: bool,
    /// Advisories in OSV's format.
    pub osv: &'a [Pinned],
    /// The JSON of Debian's security tracker.
    pub tracker: Option<&'a Pinned>,
    /// OpenVEX documents.
    pub vex: &'a [Pinned],
}

/// The result of an audit. Its JSON is what `sealift audit --json` prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Audit {
    /// Version of this format: 1.
    pub schema: u32,
    /// The bundle.
    pub bundle: Subject,
    /// The archives whose indexes were compared.
    pub archives: Vec<Compared>,
    /// Snapshots and documents that the user gave.
    pub snapshots: Vec<Used>,
    /// Components with newer versions.
    pub outdated: Vec<Outdated>,
    /// Known vulnerabilities, the worst first; those that are silenced, too.
    pub vulnerabilities: Vec<Vulnerability>,
    /// What was not checked, and why.
    pub not_checked: Vec<String>,
    /// Whether the wheels were compared with an index.
    #[serde(skip)]
    wheels_compared: bool,
}

/// The bundle that was audited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Subject {
    /// The product.
    pub product: String,
    /// The profile.
    pub profile: String,
    /// Version of the product.
    pub version: String,
    /// Platform of the images.
    pub platform: String,
    /// Numbers of Debian packages, wheels and crates, those of the program in the bundle included.
    pub packages: usize,
    /// Number of wheels.
    pub wheels: usize,
    /// Number of crates, those of the program in the bundle included.
    pub crates: usize,
}

impl Audit {
    /// How many findings let the audit fail.
    #[must_use]
    pub fn reached(&self, fail_on: FailOn) -> usize {
        let outdated = self.outdated.iter().map(Outdated::weight);
        let weights = outdated.chain(self.vulnerabilities.iter().map(Vulnerability::weight));
        weights.filter(|weight| fail_on.includes(*weight)).count()
    }

    /// The OpenVEX document: what is stated of each vulnerability. `time` is that of the document, in seconds since 1970;
    /// without one, it is that of the bundle.
    ///
    /// # Errors
    /// It cannot be written as JSON, which does not happen.
    pub fn vex(&self, manifest: &Manifest, author: &str, time: Option<u64>) -> Result<String> {
        statements(manifest, &self.vulnerabilities, author, time.unwrap_or(manifest.epoch))
    }
}

/// What a bundle's maker states of vulnerabilities, as an OpenVEX document. `time` is in seconds since 1970.
///
/// # Errors
/// It cannot be written as JSON, which does not happen.
pub fn statements(manifest: &Manifest, found: &[Vulnerability], author: &str, time: u64) -> Result<String> {
    vex_output::document(manifest, found, author, time)
}

/// The bytes of snapshots.
#[derive(Clone, Copy, Debug, Default)]
pub struct Snapshots<'a> {
    /// Advisories in OSV's format.
    pub osv: &'a [&'a [u8]],
    /// The JSON of Debian's security tracker.
    pub tracker: Option<&'a [u8]>,
    /// OpenVEX documents.
    pub vex: &'a [&'a [u8]],
}

/// What snapshots say of the bundle that `manifest` describes. [`audit`] reads them one by one from files.
///
/// # Errors
/// One of them is not what it should be, or exceeds a limit.
pub fn findings(manifest: &Manifest, snapshots: Snapshots<'_>) -> Result<Vec<Vulnerability>> {
    let components = Components::of(manifest, None);
    let release = Release::of_bundle(manifest, "");
    let (mut joined, mut statements) = (Joined::default(), Statements::default());
    for bytes in snapshots.vex {
        statements.add(bytes, "")?;
    }
    for bytes in snapshots.osv {
        let found = osv::findings(bytes, &components, release.as_ref(), &mut BTreeSet::new())?;
        found.into_iter().try_for_each(|one| joined.add(one))?;
    }
    if let (Some(bytes), Some(release)) = (snapshots.tracker, &release) {
        tracker::findings(bytes, &components, release)?.found.into_iter().try_for_each(|one| joined.add(one))?;
    }
    let mut found = joined.list();
    statements.apply(&mut found, &vex::product(manifest))?;
    Ok(found)
}

/// The manifest of a bundle.
///
/// # Errors
/// It is none.
pub fn manifest<'b>(bundle: &'b Bundle, path: &Path) -> Result<&'b Manifest> {
    bundle.manifest.as_ref().ok_or_else(|| {
        let message = format!("{} is not a bundle: it has no {}", path.display(), bundle::MANIFEST);
        let hint = "name a file that `sealift build` wrote, or the folder that it was unpacked into";
        Failure::usage(message).hint(hint).into()
    })
}

/// Audits a bundle.
///
/// # Errors
/// It is no bundle, its profile or lock cannot be read, a server cannot be reached, an index is not valid, or a snapshot is
/// not what it should be.
pub fn audit(request: &Request<'_>, servers: &Servers<'_>, ui: &Ui) -> Result<Audit> {
    let manifest = manifest(request.bundle, request.path)?;
    // Before anything is fetched: it takes no time, and mistakes in them are the user's.
    let (mut statements, documents) = Statements::read(request.vex)?;
    let place = files::temporary_directory()?;
    let (profile, locked) = profile(request, manifest, place.path())?;
    let mut audit = Audit {
        schema: 1,
        bundle: subject(manifest),
        archives: Vec::new(),
        snapshots: Vec::new(),
        outdated: Vec::new(),
        vulnerabilities: Vec::new(),
        not_checked: Vec::new(),
        wheels_compared: false,
    };
    let components = Components::of(manifest, request.bundle.sum(PROGRAM));
    let release = Release::of_bundle(manifest, &locked.debian.suite);
    add_vulnerabilities(&mut audit, request, (&components, release.as_ref()), ui)?;
    statements.apply(&mut audit.vulnerabilities, &vex::product(manifest))?;
    audit.snapshots.extend(documents);
    let unused = statements.unused();
    unused.iter().take(MESSAGES).for_each(|unused| ui.warn(unused));
    if let Some(more @ 1..) = unused.len().checked_sub(MESSAGES) {
        ui.warn(&format!("{} more have no effect", ui::count(more, "statement")));
    }
    if request.offline {
        audit.not_checked.push("newer versions: no server was asked (--offline)".to_owned());
    } else {
        add_outdated(&mut audit, request, (manifest, &profile, &locked), servers, ui)?;
    }
    add_unknown(&mut audit, request, manifest);
    Ok(audit)
}

fn subject(manifest: &Manifest) -> Subject {
    Subject {
        product: manifest.product.clone(),
        profile: manifest.profile.clone(),
        version: manifest.version.clone(),
        platform: manifest.platform.clone(),
        packages: manifest.packages.len(),
        wheels: manifest.wheels.len(),
        crates: manifest.crates.len() + manifest.program.len(),
    }
}

/// Adds the vulnerabilities that the snapshots have.
fn add_vulnerabilities(
    audit: &mut Audit,
    request: &Request<'_>,
    (components, release): (&Components, Option<&Release>),
    ui: &Ui,
) -> Result<()> {
    let (mut joined, mut covered) = (Joined::default(), BTreeSet::new());
    for snapshot in request.osv {
        let phase = ui.phase("Checking", 0);
        let used = snapshot.advisories(&phase, |_, bytes| {
            osv::findings(bytes, components, release, &mut covered)?.into_iter().try_for_each(|one| joined.add(one))
        })?;
        phase.finish(&format!("{} of {}", ui::count(used.entries, "document"), used.path));
        audit.snapshots.push(used);
    }
    if let Some(snapshot) = request.tracker {
        let (bytes, mut used) = snapshot.file("debian-tracker")?;
        if let Some(release) = release {
            let context = || snapshot.path.display().to_string();
            let tracked = tracker::findings(&bytes, components, release).with_context(context)?;
            used.entries = tracked.sources;
            tracked.found.into_iter().try_for_each(|one| joined.add(one))?;
            covered.insert(Kind::Package);
            if tracked.undetermined > 0 {
                let what = format!("what the security tracker calls `undetermined`: {} times", tracked.undetermined);
                audit.not_checked.push(what);
            }
        }
        audit.snapshots.push(used);
    }
    add_uncovered(audit, (components, release), &covered);
    audit.vulnerabilities = joined.list();
    Ok(())
}

/// Adds which components no snapshot is about.
fn add_uncovered(audit: &mut Audit, (components, release): (&Components, Option<&Release>), covered: &BTreeSet<Kind>) {
    let (subject, list) = (&audit.bundle, &mut audit.not_checked);
    if audit.snapshots.is_empty() {
        list.push("known vulnerabilities: no snapshot was given (--osv, --debian-tracker)".to_owned());
        return;
    }
    let kinds = [
        (Kind::Package, subject.packages, "package"),
        (Kind::Wheel, subject.wheels, "wheel"),
        (Kind::Crate, subject.crates, "crate"),
    ];
    for (kind, number, noun) in kinds {
        if number > 0 && !covered.contains(&kind) {
            let why = match (kind, release) {
                (Kind::Package, None) => "no image says which release of Debian it is of",
                _ => "no snapshot is about them",
            };
            list.push(format!("vulnerabilities of {}: {why}", ui::count(number, noun)));
        }
    }
    if components.of_others > 0 {
        let packages = ui::count(components.of_others, "package");
        list.push(format!("vulnerabilities of {packages}: others than Debian made them"));
    }
}

/// Adds the components that servers have newer versions of.
fn add_outdated(
    audit: &mut Audit,
    request: &Request<'_>,
    (manifest, profile, locked): (&Manifest, &Profile, &lock::Platform),
    servers: &Servers<'_>,
    ui: &Ui,
) -> Result<()> {
    if !manifest.packages.is_empty() {
        let options = resolve::Options {
            platform: manifest.platform.parse()?,
            now: request.now,
            allow_expired: request.allow_expired,
        };
        let found = debian::compare((profile, locked), manifest, servers, options, ui)?;
        audit.archives = found.archives;
        audit.outdated.extend(found.outdated);
        audit.not_checked.extend(found.not_checked);
    }
    if !manifest.wheels.is_empty() {
        match python::compare((profile, locked), manifest, servers, ui) {
            Ok((outdated, not_checked)) => {
                audit.wheels_compared = true;
                audit.outdated.extend(outdated);
                audit.not_checked.extend(not_checked);
            }
            Err(error) if request.require_index => return Err(error.context("cannot check the wheels")),
            Err(error) => audit.not_checked.push(format!("newer wheels: {}", reason(&error))),
        }
    }
    Ok(())
}

/// Why something was not checked: an error in a line, without the list of servers below it.
fn reason(error: &anyhow::Error) -> String {
    let text = one_line(error.as_ref());
    let line = text.lines().next().unwrap_or_default();
    line.trim_end_matches(':').trim_end_matches("; tried").to_owned()
}

/// Adds what nothing is known about.
fn add_unknown(audit: &mut Audit, request: &Request<'_>, manifest: &Manifest) {
    let list = &mut audit.not_checked;
    if !request.offline && (!manifest.crates.is_empty() || !manifest.program.is_empty()) {
        list.push("newer crates: no registry is asked".to_owned());
    }
    if !request.osv.is_empty() {
        for made in &manifest.crates {
            list.push(format!("vulnerabilities of what the crate {} depends on: bundles do not list it", made.name));
        }
    }
    for archive in &manifest.archives {
        list.push(format!("the archive {} {}: no index lists it", archive.name, archive.version));
    }
    if !manifest.store_paths.is_empty() {
        let paths = ui::count(manifest.store_paths.len(), "path");
        list.push(format!("{paths} of a Nix store: no index lists them"));
    }
}

/// The profile in the bundle, which is written into the folder `place`, and the entry of its lock.
fn profile(request: &Request<'_>, manifest: &Manifest, place: &Path) -> Result<(Profile, lock::Platform)> {
    for (path, entry) in request.bundle.files.iter() {
        let Entry::File(content) = &entry.kind else { continue };
        if !path.as_str().starts_with("profile/") {
            continue;
        }
        let target = place.join(path.as_str());
        fs_err::create_dir_all(target.parent().unwrap_or(place))?;
        content.copy_to(&mut fs_err::File::create(&target)?)?;
    }
    let context = || format!("cannot read the profile in {}", request.path.display());
    let profile = Profile::find(&place.join("profile").display().to_string()).with_context(context)?;
    let lock = Lock::read(&profile).with_context(context)?;
    let entry = lock.and_then(|mut lock| lock.platforms.remove(&manifest.platform));
    let missing = || Failure::verification(format!("its {FILE} has no entry for {}", manifest.platform));
    Ok((profile, entry.ok_or_else(missing).with_context(context)?))
}
