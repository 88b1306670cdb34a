//! Looking at a site without changing it.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::load::wanted;
use super::pki::Certificate;
use super::record::Record;
use super::{CA_CERTIFICATE, CA_KEY, certificate_path, files};
use crate::profile::model::Model;

const DAY: i64 = 86400;

/// How long a certificate of a site is valid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Validity {
    /// Its path below the site.
    pub path: String,
    /// Whole days until it ends; negative when it has.
    pub days_left: i64,
    /// Why it is not valid now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invalid: Option<String>,
    /// It will be valid later: the clock may be wrong.
    pub early: bool,
}

/// The certificates of the site in `directory` that are there, the authority's first, at `now` (seconds since 1970).
///
/// # Errors
/// When one cannot be read.
pub fn certificates(directory: &Path, model: &Model, now: i64) -> Result<Vec<Validity>> {
    let authority = model.site.authority.iter().map(|_| CA_CERTIFICATE.to_owned());
    let mut found = Vec::new();
    for path in authority.chain(model.site.certificates.keys().map(|name| certificate_path(name))) {
        let Some(pem) = files::read_text(&directory.join(&path))? else { continue };
        let certificate = Certificate::parse(&pem, &path)?;
        found.push(Validity {
            days_left: (certificate.not_after - now).div_euclid(DAY),
            invalid: certificate.invalid_at(now),
            early: now < certificate.not_before,
            path,
        });
    }
    Ok(found)
}

/// The published ports of the site in `directory`, by name: as `chosen`, else as it was made, else the profile's.
///
/// # Errors
/// [`crate::failure::Failure::usage`] for a port that is not there, or two that meet.
pub fn ports(directory: &Path, model: &Model, chosen: &BTreeMap<String, u16>) -> Result<BTreeMap<String, u16>> {
    let recorded = Record::read(directory, model.name.get_ref())?.map(|record| record.ports).unwrap_or_default();
    super::ports::choose(model, &recorded, chosen)
}

/// The files of a site that belong to a group of their own, and its number.
#[must_use]
pub fn groups(model: &Model) -> Vec<(String, u32)> {
    wanted(model).into_iter().filter_map(|(path, _, group)| Some((path, group?))).collect()
}

/// Files with secrets that more people can read than should: path, what is wrong, what to do. `groups` tells whether the
/// group numbers of the host are those of the containers.
///
/// # Errors
/// When a file cannot be looked at.
pub fn permissions(directory: &Path, model: &Model, groups: bool) -> Result<Vec<(String, String, String)>> {
    let mut found = Vec::new();
    let own = rustix::process::geteuid().as_raw();
    let secret = wanted(model).into_iter().filter(|(_, mode, _)| mode & 0o004 == 0);
    for (path, mode, group) in secret.chain([(CA_KEY.to_owned(), 0o600, None)]) {
        let full = directory.join(&path);
        let Ok(metadata) = full.symlink_metadata() else { continue };
        // What a link leads to is the operator's.
        if !metadata.is_file() {
            continue;
        }
        let (is, shown) = (metadata.permissions().mode() & 0o7777, full.display());
        if is & !mode != 0 {
            found.push((
                path,
                format!("has mode {is:04o}, should have {mode:04o}"),
                format!("chmod {mode:04o} {shown}"),
            ));
        } else if metadata.uid() != own && metadata.uid() != 0 {
            let problem = format!("belongs to the user {}", metadata.uid());
            found.push((path, problem, format!("chown {own} {shown}, unless that is meant")));
        } else if let Some(group) = group.filter(|group| groups && metadata.gid() != *group && mode & 0o040 != 0) {
            let problem = format!("has group {}, and its service reads it as {group}", metadata.gid());
            found.push((path, problem, format!("chgrp {group} {shown}")));
        }
    }
    Ok(found)
}
