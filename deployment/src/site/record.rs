//! `site.toml`: the options of a site, and digests of what was last written into it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;
use sealift_layers::digest::Digest;
use serde::{Deserialize, Serialize};

use super::files;
use crate::failure::Failure;

/// Its file name.
pub(super) const FILE: &str = "site.toml";

const HEADER: &str = "\
# Written by `sealift site new`: the options of this site. To change them, run it again with other options.
# The digests distinguish files that were edited by hand from files that can be rendered again.

";

/// The contents of `site.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Record {
    /// Version of this format: 1.
    pub(super) schema: u32,
    /// By which the host remembers this site, see [`super::origin`]; `None` in sites of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    /// Name of the profile.
    pub(super) profile: String,
    /// The public host.
    pub(super) host: String,
    /// Prefix of the names of containers and volumes; `None` for the profile's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) project: Option<String>,
    /// The engine that has the data: `podman` or `docker`. `None` before the first start, and without containers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) engine: Option<String>,
    /// Published ports by name.
    #[serde(default)]
    pub(super) ports: BTreeMap<String, u16>,
    /// Settings that the operator has seen: in the first `settings.toml`, or in a warning of a later run.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) settings: BTreeSet<String>,
    /// SHA-256 of each file as last rendered, by its path below the site.
    #[serde(default)]
    pub(super) rendered: BTreeMap<String, Digest>,
    /// SHA-256 of each certificate as last issued, by its name. A certificate with another digest is the operator's.
    #[serde(default)]
    pub(super) certificates: BTreeMap<String, Digest>,
}

impl Record {
    /// The record of a new site.
    pub(super) fn new(profile: &str) -> Self {
        Self {
            schema: 1,
            id: None,
            profile: profile.to_owned(),
            host: String::new(),
            project: None,
            engine: None,
            ports: BTreeMap::new(),
            settings: BTreeSet::new(),
            rendered: BTreeMap::new(),
            certificates: BTreeMap::new(),
        }
    }

    /// Reads the record in `directory`; `None` if there is none.
    pub(super) fn read(directory: &Path, profile: &str) -> Result<Option<Self>> {
        let path = directory.join(FILE);
        let Some(text) = files::read_text(directory, FILE)? else { return Ok(None) };
        let record: Self = toml::from_str(&text).map_err(|error| {
            Failure::usage(format!("cannot read {}", path.display()))
                .hint("restore it, or remove it and run `sealift site new` with the host and ports again")
                .because(error)
        })?;
        if record.schema != 1 {
            return Err(Failure::usage(format!("{}: schema {} is not supported", path.display(), record.schema))
                .hint("it was written by a newer version of sealift: use that version")
                .into());
        }
        if record.profile != profile {
            return Err(Failure::usage(format!(
                "{} belongs to the profile `{}`, not to `{profile}`",
                directory.display(),
                record.profile
            ))
            .hint("name another directory")
            .into());
        }
        Ok(Some(record))
    }

    /// The text of the file.
    pub(super) fn text(&self) -> Result<String> {
        Ok(format!("{HEADER}{}", toml::to_string(self)?))
    }
}
