//! `sealift site new`: creates a site, or brings one up to date.
//!
//! The steps follow each other in [`create`]: the operator's input is checked ([`super::operator_input`]), then
//! certificates, secrets and rendered files are written, then the record of what was done.

mod authority;
mod certificates;
mod rendered;
mod secrets;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::TryLockError;
use std::path::Path;

use anyhow::Result;

use super::files::{self, Access};
use super::ports;
use super::public_host::PublicHost;
use super::record::{self, Record};
use super::report::{Action, SiteReport};
use super::settings::SettingValues;
use super::templates::SiteParameters;
use crate::failure::Failure;
use crate::profile::Sources;
use crate::profile::model::{self, Model};

pub(super) use secrets::secret_text;

/// What [`create`] needs.
#[derive(Clone, Debug)]
pub struct SiteRequest<'a> {
    /// The site's directory; created if it does not exist.
    pub directory: &'a Path,
    /// The profile.
    pub model: &'a Model,
    /// Where the profile's templates are.
    pub sources: &'a Sources,
    /// The public host, a DNS name or an IP address. `None`: the recorded one.
    pub host: Option<&'a str>,
    /// Published ports by name that differ from the recorded ones or, in a new site, from the profile's defaults.
    pub ports: BTreeMap<String, u16>,
    /// Issue certificates again that have fewer days left. `None`: those with less than a fifth of their lifetime left.
    pub days_left: Option<u32>,
    /// Do not set the groups of files: the engine's group numbers are not the host's, and the caller sets them.
    pub leave_groups: bool,
    /// Let the site's authority issue certificates that the operator would have to provide, where there are none.
    pub self_signed: bool,
    /// The time, in seconds since 1970.
    pub now: i64,
}

/// Creates the site, or brings it up to date; valid files stay byte for byte.
///
/// A certificate is issued again when less than a fifth of its lifetime is left or it has expired, when it was not
/// signed by the site's authority or not for its key, or when it lacks a name. Its key stays. The authority's own
/// certificate is issued again, for the same key, only when it has expired: everyone who trusts it needs the new one.
///
/// When the parent directory is an unpacked bundle (it has a `bundle.json`) of containers, its `.env` is written as well.
///
/// The operator's input (`settings.toml`, certificates of the operator's own) is checked first. When something is missing
/// or wrong, one error lists all of it, and only `settings.toml` and the record of host and ports are written.
///
/// # Errors
/// [`Failure::usage`] for a profile, host or port that cannot be used, and for missing or wrong input of the operator;
/// [`Failure::failed`] when a file cannot be read or written, or a certificate is due and the authority's key is missing.
pub fn create(request: &SiteRequest<'_>) -> Result<SiteReport> {
    super::check(request.model)?;
    let directory = request.directory;
    let record = Record::read(directory, request.model.name.get_ref())?;
    let host = public_host(request.host, record.as_ref())?;
    let old = record.unwrap_or_else(|| Record::new(request.model.name.get_ref()));
    let ports = ports::choose(request.model, &old.ports, &request.ports)?;
    files::directory(directory, 0o755)?;
    let _lock = lock(directory)?;

    let report = SiteReport { host: host.to_string(), ports: ports.clone(), ..SiteReport::default() };
    let new = Record { host: host.to_string(), ports: ports.clone(), ..old.clone() };
    let parameters = SiteParameters { host, ports, settings: SettingValues::default(), trusted: BTreeMap::new() };
    let mut update = SiteUpdate { request, parameters, old, new, report, operator_certificates: BTreeSet::new() };
    update.check_operator_input()?;
    update.certificates()?;
    let secrets = update.secrets()?;
    update.rendered_files(&secrets)?;
    // Last, so that it records only what has happened.
    update.write_record()?;
    Ok(update.report)
}

fn public_host(wanted: Option<&str>, record: Option<&Record>) -> Result<PublicHost> {
    match wanted.or(record.map(|record| record.host.as_str())) {
        Some(host) => Ok(host.parse()?),
        None => Err(Failure::usage("a new site needs its public host: the name or address that users connect to")
            .hint("add --host, such as --host parsec.example.com")
            .into()),
    }
}

/// Locks the directory until the file is dropped.
fn lock(directory: &Path) -> Result<fs_err::File> {
    let lock = fs_err::File::open(directory)?;
    // Some file systems have no locks: work without, as two runs at once are rare.
    if let Err(TryLockError::WouldBlock) = lock.file().try_lock() {
        return Err(Failure::failed(format!("{} is in use by another process", directory.display()))
            .hint("wait until it has finished")
            .into());
    }
    Ok(lock)
}

/// A run of [`create`].
pub(super) struct SiteUpdate<'a> {
    pub(super) request: &'a SiteRequest<'a>,
    pub(super) parameters: SiteParameters,
    /// The record of the previous run.
    pub(super) old: Record,
    /// The record of this run.
    pub(super) new: Record,
    pub(super) report: SiteReport,
    /// Names of certificates that the operator provided.
    pub(super) operator_certificates: BTreeSet<String>,
}

impl SiteUpdate<'_> {
    fn access(&self, mode: u32, group: Option<u32>) -> Access {
        Access { mode, group: group.filter(|_| !self.request.leave_groups) }
    }

    fn key_access(&self, wanted: &model::Certificate) -> Access {
        self.access(wanted.key_mode.0, wanted.key_group)
    }

    /// Keeps a file as it is, and corrects its permissions.
    fn keep(&mut self, name: &str, access: Access) -> Result<()> {
        files::settle(self.request.directory, name, access, &mut self.report.warnings)?;
        self.report.add(name, Action::Kept, "");
        Ok(())
    }

    /// Writes a file unless it has these bytes. `reason` is reported when other bytes are replaced.
    pub(super) fn put(&mut self, name: &str, bytes: &[u8], access: Access, reason: &str) -> Result<()> {
        let directory = self.request.directory;
        let action = match files::read(&directory.join(name))? {
            Some(old) if old == bytes => return self.keep(name, access),
            Some(_) => Action::Replaced,
            None => Action::Created,
        };
        files::write(directory, name, bytes, access, &mut self.report.warnings)?;
        self.report.add(name, action, if action == Action::Replaced { reason } else { "" });
        Ok(())
    }

    /// Writes `site.toml`.
    pub(super) fn write_record(&mut self) -> Result<()> {
        let text = self.new.text()?;
        self.put(record::FILE, text.as_bytes(), Access::mode(0o644), "it records what changed")
    }
}
