//! The state of a site, for checks of a host. Nothing is changed.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::files;
use super::layout::{CA_KEY, certificate_path};
use super::load::{ExpectedFile, expected_files, private_directories};
use super::pki::Certificate;
use super::record::Record;
use crate::finding::Findings;
use crate::profile::model::Model;
use crate::profile::names::CA_CERTIFICATE;

const DAY: i64 = 86400;

/// The validity of a certificate of a site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Validity {
    /// Its path below the site.
    pub path: String,
    /// Whole days until it expires; negative when it has expired.
    pub days_left: i64,
    /// Why it is not valid now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invalid: Option<String>,
    /// It is not valid yet: the clock may be wrong.
    pub not_yet_valid: bool,
    /// It is the site's authority, which everyone who connects has to trust.
    pub is_authority: bool,
    /// It is an authority that may sign for any name.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_unconstrained: bool,
}

/// The existing certificates of the site in `directory`, the authority's first, at `now` (seconds since 1970).
///
/// # Errors
/// One of them cannot be read.
pub fn certificates(directory: &Path, model: &Model, now: i64) -> Result<Vec<Validity>> {
    let authority = model.site.authority.iter().map(|_| CA_CERTIFICATE.to_owned());
    let mut found = Vec::new();
    for path in authority.chain(model.site.certificates.keys().map(|name| certificate_path(name))) {
        let Some(pem) = files::read_text(directory, &path)? else { continue };
        let certificate = Certificate::parse(&pem, &path)?;
        found.push(Validity {
            days_left: (certificate.not_after - now).div_euclid(DAY),
            invalid: certificate.invalid_at(now),
            not_yet_valid: now < certificate.not_before,
            is_authority: path == CA_CERTIFICATE,
            is_unconstrained: path == CA_CERTIFICATE && certificate.self_issued && certificate.constraints.is_none(),
            path,
        });
    }
    Ok(found)
}

/// The published ports of the site in `directory`, by name: from `chosen`, else from its record, else the profile's
/// defaults.
///
/// # Errors
/// [`crate::failure::Failure::usage`] for a port that the profile does not have, or two that conflict.
pub fn ports(directory: &Path, model: &Model, chosen: &BTreeMap<String, u16>) -> Result<BTreeMap<String, u16>> {
    let recorded = Record::read(directory, model.name.get_ref())?.map(|record| record.ports).unwrap_or_default();
    super::ports::choose(model, &recorded, chosen)
}

/// The engine that the site in `directory` was started with: `podman` or `docker`. `None` when it was not started yet, or
/// its record cannot be read.
#[must_use]
pub fn recorded_engine(directory: &Path, model: &Model) -> Option<String> {
    // Anybody can edit the file.
    let recorded = Record::read(directory, model.name.get_ref()).ok().flatten()?.engine?;
    ["podman", "docker"].contains(&recorded.as_str()).then_some(recorded)
}

/// The public host of the site in `directory`; `None` when there is no site yet.
///
/// # Errors
/// Its record cannot be read.
pub fn recorded_host(directory: &Path, model: &Model) -> Result<Option<String>> {
    Ok(Record::read(directory, model.name.get_ref())?.map(|record| record.host))
}

/// A file of a site that belongs to a group of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupFile {
    /// Path below the site.
    pub path: String,
    /// Numeric group, as containers see it.
    pub group: u32,
}

/// The files of a site that belong to a group of their own.
#[must_use]
pub fn groups(model: &Model) -> Vec<GroupFile> {
    let files = expected_files(model).into_iter();
    files.filter_map(|file| Some(GroupFile { path: file.path, group: file.group? })).collect()
}

/// Errors about files with secrets, and their directories, that have wrong permissions; the topics are paths below the site. `check_groups`:
/// the group numbers of the host are those of the containers.
///
/// # Errors
/// The metadata of a file cannot be read.
pub fn permissions(directory: &Path, model: &Model, check_groups: bool) -> Result<Findings> {
    let mut findings = Findings::default();
    let own = rustix::process::geteuid().as_raw();
    for name in private_directories(model) {
        let full = if name.is_empty() { directory.to_owned() } else { directory.join(&name) };
        let Ok(metadata) = full.symlink_metadata() else { continue };
        let found = metadata.permissions().mode() & 0o7777;
        if metadata.is_dir() && found & 0o077 != 0 {
            let message = format!("other users can enter it: it has mode {found:04o}");
            findings.error(format!("{name}/"), message, format!("chmod {:o} {}", files::PRIVATE, full.display()));
        }
    }
    let secret = expected_files(model).into_iter().filter(|file| file.mode & 0o004 == 0);
    let key = ExpectedFile { path: CA_KEY.to_owned(), mode: 0o600, group: None };
    for ExpectedFile { path, mode, group } in secret.chain([key]) {
        let full = directory.join(&path);
        let Ok(metadata) = full.symlink_metadata() else { continue };
        // The target of a link belongs to the operator.
        if !metadata.is_file() {
            continue;
        }
        let (found, shown) = (metadata.permissions().mode() & 0o7777, full.display());
        if found & !mode != 0 {
            let message = format!("has mode {found:04o}, should have {mode:04o}");
            findings.error(path, message, format!("chmod {mode:04o} {shown}"));
        } else if metadata.uid() != own && metadata.uid() != 0 {
            let message = format!("belongs to the user {}", metadata.uid());
            findings.error(path, message, format!("unless this is intended: chown {own} {shown}"));
        } else if let Some(group) = group.filter(|group| check_groups && metadata.gid() != *group && mode & 0o040 != 0)
        {
            let message = format!("has group {}, but its service needs group {group}", metadata.gid());
            findings.error(path, message, format!("chgrp {group} {shown}"));
        }
    }
    Ok(findings)
}
