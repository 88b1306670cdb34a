//! A run of `sealift site new`: its request, its state, and how it writes files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;

use crate::failure::one_line;
use crate::profile::Sources;
use crate::profile::model::{self, Groups, Model};
use crate::profile::names::BY_GROUP;
use crate::site::files::{self, Access};
use crate::site::load::{Copy, copies, private_directories};
use crate::site::origin::{KnownSites, Origin, is_id, new_id};
use crate::site::record::{self, Record};
use crate::site::report::{Action, SiteReport};
use crate::site::values::SiteParameters;

/// The input of [`super::create`].
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
    /// Prefix of the names of containers and volumes on the host. `None`: the recorded one or, in a new site, the profile's.
    pub project: Option<&'a str>,
    /// The engine that runs the services: `podman` or `docker`. `None`: the recorded one.
    pub engine: Option<&'a str>,
    /// Issue certificates again that have fewer days left. `None`: those with less than a fifth of their lifetime left.
    pub days_left: Option<u32>,
    /// Do not set the groups of files: the engine's group numbers are not the host's, and the caller sets them.
    pub leave_groups: bool,
    /// Let the site's authority issue certificates that the operator would have to provide, where there are none.
    pub self_signed: bool,
    /// The private key of the authority, where it is not kept in the site. It is created there if it does not exist.
    pub authority_key: Option<&'a Path>,
    /// Issue the authority's certificate again, for the same key and the names that the site has now.
    pub renew_authority: bool,
    /// The sites that this host knows. The site becomes one of them if it is new, known or [`SiteRequest::accept`]ed.
    pub known: &'a KnownSites,
    /// The operator, or a check, accepts a site that this host does not know.
    pub accept: bool,
    /// The time, in seconds since 1970.
    pub now: i64,
}

/// A run of [`super::create`].
pub(in crate::site) struct SiteUpdate<'a> {
    pub(in crate::site) request: &'a SiteRequest<'a>,
    pub(in crate::site) parameters: SiteParameters,
    /// The record of the previous run.
    pub(in crate::site) old: Record,
    /// The record of this run.
    pub(in crate::site) new: Record,
    pub(in crate::site) report: SiteReport,
    /// Whether there was nothing of the site before.
    pub(super) is_new: bool,
    /// Whether the host remembers the site.
    pub(in crate::site) is_trusted: bool,
    /// Names of certificates that the operator provided.
    pub(in crate::site) operator_certificates: BTreeSet<String>,
}

impl SiteUpdate<'_> {
    pub(super) fn access(&self, mode: u32, groups: &Groups) -> Access {
        self.access_of(mode, groups.first())
    }

    fn access_of(&self, mode: u32, group: Option<u32>) -> Access {
        Access { mode, group: group.filter(|_| !self.request.leave_groups) }
    }

    /// Makes the copies of files that several groups read, and removes those that no group reads any more.
    pub(super) fn copies(&mut self) -> Result<()> {
        let SiteRequest { directory, model, .. } = *self.request;
        let copies = copies(model);
        let expected: BTreeSet<_> = copies.iter().map(|copy| directory.join(&copy.path)).collect();
        files::remove_others(&directory.join(BY_GROUP), &expected)?;
        for Copy { of, path, mode, group } in copies {
            let Some(bytes) = files::read(directory, &of)? else { continue };
            let above = path.rsplit_once('/').map_or("", |(above, _)| above);
            files::directory(directory, above, files::PRIVATE)?;
            self.put(&path, &bytes, self.access_of(mode, Some(group)), &format!("{of} changed"))?;
        }
        Ok(())
    }

    /// Warns of secrets and an authority that are others than at the last run. Warns when the site is in an unpacked bundle, and
    /// this host does not know it: it may have been added to the bundle.
    pub(super) fn warn_of_unknown_site(&mut self, origin: &Origin) {
        if let Origin::Changed(paths) = origin {
            for path in paths {
                let hint = "if you changed it yourself, `up` takes it with --accept-site; otherwise restore it from your backup";
                self.report.warnings.warn(path, "was changed since the last run, and is used as it is", hint);
            }
            return;
        }
        if !self.is_trusted && self.request.directory.join("../bundle.json").is_file() {
            let message = "this site was not made on this host";
            let hint = "if it is yours, `up` takes it with --accept-site, or because of the services that it runs with; \
                        otherwise remove it, and get the bundle again";
            self.report.warnings.warn("site", message, hint);
        }
    }

    /// Closes the directories with keys and secrets, which an archive or an older version may have left open.
    pub(super) fn close_directories(&mut self) -> Result<()> {
        for name in private_directories(self.request.model) {
            files::close_directory(self.request.directory, &name, &mut self.report.warnings)?;
        }
        Ok(())
    }

    pub(super) fn key_access(&self, wanted: &model::Certificate) -> Access {
        self.access(wanted.key_mode.0, &wanted.key_group)
    }

    /// Keeps a file as it is, and corrects its permissions.
    pub(super) fn keep(&mut self, name: &str, access: Access) -> Result<()> {
        let corrected = files::settle(self.request.directory, name, access, &mut self.report.warnings)?;
        self.report.keep(name, corrected);
        Ok(())
    }

    /// Writes a file unless it has these bytes. `reason` is reported when other bytes are replaced.
    pub(super) fn put(&mut self, name: &str, bytes: &[u8], access: Access, reason: &str) -> Result<()> {
        let directory = self.request.directory;
        let action = match files::read(directory, name)? {
            Some(old) if old == bytes => return self.keep(name, access),
            Some(_) => Action::Replaced,
            None => Action::Created,
        };
        files::write(directory, name, bytes, access, &mut self.report.warnings)?;
        self.report.add(name, action, if action == Action::Replaced { reason } else { "" });
        Ok(())
    }

    /// Lets the host know of the site before anything of it is made: a run may be killed at any time.
    pub(super) fn begin(&mut self) -> Result<()> {
        if !self.is_trusted {
            return Ok(());
        }
        if self.is_new {
            self.new.id = Some(new_id()?);
            self.write_first_record()?;
        }
        // A host that cannot remember is told of at the end.
        let _ = self.new.id.as_deref().filter(|id| is_id(id)).map(|id| self.request.known.begin(id));
        Ok(())
    }

    fn write_first_record(&mut self) -> Result<()> {
        let (directory, text) = (self.request.directory, self.new.text()?);
        files::write(directory, record::FILE, text.as_bytes(), Access::mode(0o644), &mut self.report.warnings)
    }

    /// Writes `site.toml`, and lets the host remember the site.
    pub(in crate::site) fn write_record(&mut self) -> Result<()> {
        if !self.new.id.as_deref().is_some_and(is_id) {
            self.new.id = Some(new_id()?);
        }
        if self.is_new {
            self.write_first_record()?;
            self.report.add(record::FILE, Action::Created, "");
        } else {
            let text = self.new.text()?;
            self.put(record::FILE, text.as_bytes(), Access::mode(0o644), "it records what changed")?;
        }
        let SiteRequest { directory, model, known, .. } = *self.request;
        let id = self.new.id.as_deref().filter(|_| self.is_trusted);
        if let Some(Err(error)) = id.map(|id| known.remember(id, directory, model)) {
            let message =
                format!("this host cannot remember that the site belongs to it: {}", one_line(error.as_ref()));
            self.report.warnings.warn(record::FILE, message, "the next start may have to be told: --accept-site");
        }
        Ok(())
    }
}
