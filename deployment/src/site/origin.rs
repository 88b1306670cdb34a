//! Whether a site was made on this host: by `up` or `site new`, or accepted by the operator.
//!
//! A site is a folder in the folder of a bundle, so whoever can add files to a bundle's tar can add a site: with an
//! authority whose key others have, and tokens that others know. Nothing in that folder can tell such a site from one
//! that was made here. The host therefore remembers its sites elsewhere: for each a file with the digests of what makes
//! it trustworthy, by an identifier that the site has in `site.toml`. It is bound neither to the folder, as a site moves
//! to the folder of the next version, nor to settings and certificates of the operator's own.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use sealift_layers::digest::Digest;
use serde::{Deserialize, Serialize};

use super::files;
use super::layout::CA_KEY;
use super::record::Record;
use crate::files::{self as any_files, Pending};
use crate::machine::Machine;
use crate::profile::model::Model;
use crate::profile::names::{CA_CERTIFICATE, secret_path};

/// The sites that this host knows.
#[derive(Clone, Debug, Default)]
pub struct KnownSites {
    /// A file for each; `None` where there is no place for them.
    folder: Option<PathBuf>,
}

/// What a host remembers of a site.
#[derive(Debug, Serialize, Deserialize)]
struct Known {
    schema: u32,
    /// SHA-256 of its secrets and its authority, by path below the site.
    files: BTreeMap<String, Digest>,
    /// A run of `up` or `site new` has begun to change it and has not ended: it may have been killed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    unfinished: bool,
}

/// Where a site comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This host made or accepted it.
    Here,
    /// This host made or accepted it, but these secrets, or its authority, are others now. Paths below the site.
    Changed(Vec<String>),
    /// This host does not know it.
    Unknown,
}

impl KnownSites {
    /// Those of `machine`: in `sealift/sites` of the user's folder for state.
    #[must_use]
    pub fn of(machine: &Machine) -> Self {
        Self { folder: machine.state_home(rustix::process::geteuid().is_root()).map(|home| home.join("sealift/sites")) }
    }

    /// Those in `folder`, for tests.
    #[must_use]
    pub fn at(folder: &Path) -> Self {
        Self { folder: Some(folder.to_owned()) }
    }

    /// Where the site in `directory` comes from.
    ///
    /// # Errors
    /// A file of the site cannot be read.
    pub fn origin(&self, directory: &Path, model: &Model) -> Result<Origin> {
        let id = Record::read(directory, model.name.get_ref())?.and_then(|record| record.id);
        let Some(known) = id.and_then(|id| self.read(&id)) else { return Ok(Origin::Unknown) };
        if known.unfinished {
            return Ok(Origin::Here);
        }
        let differs = |(path, digest): (String, Digest)| (known.files.get(&path) != Some(&digest)).then_some(path);
        let changed: Vec<String> = digests(directory, model)?.into_iter().filter_map(differs).collect();
        Ok(if changed.is_empty() { Origin::Here } else { Origin::Changed(changed) })
    }

    /// Remembers that the site with the identifier `id` is being changed: what a run that is killed leaves is of this host.
    pub(super) fn begin(&self, id: &str) -> Result<()> {
        let files = self.read(id).map_or_else(BTreeMap::new, |known| known.files);
        self.write(id, &Known { schema: 1, files, unfinished: true })
    }

    /// Remembers the site with the identifier `id` in `directory` as it is.
    pub(super) fn remember(&self, id: &str, directory: &Path, model: &Model) -> Result<()> {
        let mut files = digests(directory, model)?;
        // What was taken away, such as the authority's key, may come back.
        for (path, digest) in self.read(id).map_or_else(BTreeMap::new, |known| known.files) {
            files.entry(path).or_insert(digest);
        }
        self.write(id, &Known { schema: 1, files, unfinished: false })
    }

    fn write(&self, id: &str, known: &Known) -> Result<()> {
        let folder = self.folder.as_ref().context("this user has no home directory")?;
        std::fs::DirBuilder::new()
            .recursive(true)
            .create(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let text = serde_json::to_vec_pretty(known)?;
        let path = folder.join(format!("{id}.json"));
        if any_files::read(&path).is_ok_and(|old| old == text) {
            return Ok(());
        }
        let mut file = Pending::private(&path)?;
        file.write_all(&text)?;
        file.commit()
    }

    fn read(&self, id: &str) -> Option<Known> {
        // It comes from the site: nothing but an identifier may become a path.
        if !is_id(id) {
            return None;
        }
        let text = any_files::read(&self.folder.as_ref()?.join(format!("{id}.json"))).ok()?;
        let known: Known = serde_json::from_slice(&text).ok()?;
        (known.schema == 1).then_some(known)
    }
}

/// A new identifier.
pub(super) fn new_id() -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).context("cannot read random bytes from the system")?;
    Ok(hex::encode(bytes))
}

/// Whether `text` has the form of an identifier.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase())
}

/// Largest size of a secret in bytes.
const SECRET_LIMIT: u64 = 1 << 16;

/// A secret of the site in `directory`, if it can be read.
#[must_use]
pub fn secret(directory: &Path, name: &str) -> Option<Vec<u8>> {
    let file = any_files::open_below(directory, &secret_path(name)).ok()?;
    any_files::read_up_to(file, SECRET_LIMIT).ok()
}

/// Whether two sites have at least one secret in common, and none that differs. Secrets that one of them lacks, or that
/// cannot be read, do not count.
#[must_use]
pub fn share_secrets(model: &Model, one: &Path, other: &Path) -> bool {
    common_secrets(model, one, other).next().is_some() && !differ_in_secrets(model, one, other)
}

/// Whether two sites have a secret that differs. Secrets that one of them lacks, or that cannot be read, do not count.
#[must_use]
pub fn differ_in_secrets(model: &Model, one: &Path, other: &Path) -> bool {
    common_secrets(model, one, other).any(|(one, other)| one != other)
}

fn common_secrets(model: &Model, one: &Path, other: &Path) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    model.site.secrets.keys().filter_map(move |name| Some((secret(one, name)?, secret(other, name)?)))
}

/// The digests of what makes a site trustworthy, as far as it exists: its secrets and its authority.
fn digests(directory: &Path, model: &Model) -> Result<BTreeMap<String, Digest>> {
    let authority = model.site.authority.iter().flat_map(|_| [CA_CERTIFICATE.to_owned(), CA_KEY.to_owned()]);
    let secrets = model.site.secrets.keys().map(|name| secret_path(name));
    let mut digests = BTreeMap::new();
    for path in authority.chain(secrets) {
        if let Some(bytes) = files::read(directory, &path)? {
            digests.insert(path, Digest::of(&bytes));
        }
    }
    Ok(digests)
}
