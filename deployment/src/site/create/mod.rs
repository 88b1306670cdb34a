//! `sealift site new`: creates a site, or brings one up to date.
//!
//! The steps follow each other in [`create`]: the operator's input is checked ([`super::operator_input`]), then
//! certificates, secrets and rendered files are written, then the record of what was done.

mod authority;
mod certificates;
mod rendered;
mod secrets;
mod update;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::TryLockError;
use std::path::Path;

use anyhow::Result;

use super::load::private_directories;
use super::origin::Origin;
use super::public_host::PublicHost;
use super::record::Record;
use super::report::SiteReport;
use super::templates::uses_host;
use super::values::SettingValues;
use super::values::SiteParameters;
use super::{files, layout, ports};
use crate::failure::Failure;

pub(super) use secrets::secret_text;
pub use update::SiteRequest;
pub(super) use update::SiteUpdate;

/// Creates the site, or brings it up to date; valid files stay byte for byte.
///
/// A certificate is issued again when less than a fifth of its lifetime is left or it has expired, when it was not
/// signed by the site's authority or not for its key, or when it lacks a name. Its key stays. The authority's own
/// certificate is issued again, for the same key, only when it has expired: everyone who trusts it needs the new one.
///
/// When the parent directory is an unpacked bundle (it has a `bundle.json`) of containers, its `.env` is written as well.
/// Ports that the operator edited there become those of the site, unless the request has others.
///
/// The operator's input (`settings.toml`, certificates of the operator's own) is checked first. When something is missing
/// or wrong, one error lists all of it, and only `settings.toml` and the record of host and ports are written.
///
/// # Errors
/// [`Failure::usage`] for a profile, host or port that cannot be used, and for missing or wrong input of the operator;
/// [`Failure::failed`] when a file cannot be read or written, or a certificate is due and the authority's key is missing.
pub fn create(request: &SiteRequest<'_>) -> Result<SiteReport> {
    layout::check(request.model)?;
    let directory = request.directory;
    let record = Record::read(directory, request.model.name.get_ref())?;
    let host = public_host(request, record.as_ref())?;
    let old = record.unwrap_or_else(|| Record::new(request.model.name.get_ref()));
    let mut chosen = rendered::edited_ports(request)?;
    chosen.extend(request.ports.iter().map(|(name, number)| (name.clone(), *number)));
    let ports = ports::choose(request.model, &old.ports, &chosen)?;
    files::directory(
        directory,
        "",
        if private_directories(request.model).contains("") { files::PRIVATE } else { 0o755 },
    )?;
    let _lock = Lock::new(directory)?;
    files::remove_unfinished(directory)?;
    let is_new = !files::has_any(directory)? && !rendered::has_variables(request);

    let report = SiteReport { host: host.to_string(), ports: ports.clone(), ..SiteReport::default() };
    let project = request.project.map(str::to_owned).or(old.project.clone());
    let engine = request.engine.map(str::to_owned).or(old.engine.clone());
    let new = Record { host: host.to_string(), project, engine, ports: ports.clone(), ..old.clone() };
    let parameters = SiteParameters {
        host,
        ports,
        settings: SettingValues::default(),
        trusted: BTreeMap::new(),
        files: BTreeMap::new(),
    };
    let is_accepted = request.accept || is_new;
    let origin = if is_accepted { Origin::Here } else { request.known.origin(directory, request.model)? };
    // A secret that was removed is made anew: that is how an operator replaces one.
    let is_trusted = matches!(origin, Origin::Here | Origin::Lost(_));
    let operator_certificates = BTreeSet::new();
    let mut update = SiteUpdate { request, parameters, old, new, report, is_new, is_trusted, operator_certificates };
    update.warn_of_unknown_site(&origin);
    update.begin()?;
    update.close_directories()?;
    update.check_operator_input()?;
    update.certificates()?;
    let secrets = update.secrets()?;
    update.rendered_files(&secrets)?;
    update.copies()?;
    // Last, so that it records only what has happened.
    update.write_record()?;
    Ok(update.report)
}

fn public_host(request: &SiteRequest<'_>, record: Option<&Record>) -> Result<PublicHost> {
    match request.host.or(record.map(|record| record.host.as_str())) {
        Some(host) => Ok(host.parse()?),
        None if !uses_host(request.model, request.sources) => Ok(UNNAMED.parse()?),
        None => Err(Failure::usage("a new site needs its public host: the name or address that users connect to")
            .hint("add --host, such as --host server.example.com")
            .into()),
    }
}

/// The host of a site that needs none, in the addresses that are shown.
const UNNAMED: &str = "localhost";

/// A locked directory.
struct Lock(fs_err::File);

impl Lock {
    fn new(directory: &Path) -> Result<Self> {
        let file = crate::files::open_folder_below(directory, "")?;
        // Some file systems have no locks: work without, as two runs at once are rare.
        if let Err(TryLockError::WouldBlock) = file.file().try_lock() {
            return Err(Failure::failed(format!("{} is in use by another process", directory.display()))
                .hint("wait until it has finished")
                .into());
        }
        Ok(Self(file))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file is not enough: a child process that is just starting may have it open too.
        let _ = self.0.file().unlock();
    }
}
