//! `site.toml`: what a site was made for, and what was put into it last.

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
# Written by `sealift site new`: what this site was made for. Change it by running that again with other options.
# The digests tell a file that was edited by hand from one that may be rendered anew.

";

/// The contents of `site.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Record {
    /// Version of this format: 1.
    pub(super) schema: u32,
    /// Name of the profile.
    pub(super) profile: String,
    /// The public host.
    pub(super) host: String,
    /// Published ports by name.
    #[serde(default)]
    pub(super) ports: BTreeMap<String, u16>,
    /// Settings that the operator has been told of: by `settings.toml` as it was written first, or by a note.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) settings: BTreeSet<String>,
    /// SHA-256 of each file as it was rendered last, by its path below the site.
    #[serde(default)]
    pub(super) rendered: BTreeMap<String, Digest>,
    /// SHA-256 of each certificate as it was issued last, by its name: others are the operator's own.
    #[serde(default)]
    pub(super) certificates: BTreeMap<String, Digest>,
}

impl Record {
    /// Reads it; `None` where the site has none.
    pub(super) fn read(directory: &Path, profile: &str) -> Result<Option<Self>> {
        let path = directory.join(FILE);
        let Some(text) = files::read_text(&path)? else { return Ok(None) };
        let record: Self = toml::from_str(&text).map_err(|error| {
            Failure::usage(format!("{}: {}", path.display(), error.to_string().trim_end()))
                .hint("restore it, or move it away and run `sealift site new` with the host and ports again")
        })?;
        if record.schema != 1 {
            return Err(Failure::usage(format!("{}: format {} is not known", path.display(), record.schema))
                .hint("it was written by a newer sealift: use that one")
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
