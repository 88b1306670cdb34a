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
    /// The folder that the deployment runs from: that of the last start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<Place>,
    /// Folders of earlier versions, which others took over from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    former: Vec<Place>,
    /// A run of `up` or `site new` has begun to change it and has not ended: it may have been killed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    unfinished: bool,
    /// The last runs of scheduled services, by name, where they could not be started.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    missed: BTreeMap<String, MissedRun>,
}

/// A run of a scheduled service that could not be started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissedRun {
    /// When, in seconds since 1970.
    pub at: i64,
    /// Why, in one line.
    pub why: String,
}

/// A bundle that was unpacked into a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The folder, without links.
    pub folder: PathBuf,
    /// SHA-256 of its `SHA256SUMS`: a later version may be unpacked into a folder of the same name.
    pub bundle: Digest,
}

impl Default for Known {
    fn default() -> Self {
        let (files, missed) = (BTreeMap::new(), BTreeMap::new());
        Self { schema: 1, files, owner: None, former: Vec::new(), unfinished: false, missed }
    }
}

/// Where a site comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This host made or accepted it.
    Here,
    /// This host made or accepted it, but these secrets, or its authority, are others now. Paths below the site.
    Changed(Vec<String>),
    /// This host made or accepted it, but these secrets are not there any more. Paths below the site.
    Lost(Vec<String>),
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
        let now = digests(directory, model)?;
        let differs =
            |(path, digest): (&String, &Digest)| (known.files.get(path) != Some(digest)).then(|| path.clone());
        let changed: Vec<String> = now.iter().filter_map(differs).collect();
        if !changed.is_empty() {
            return Ok(Origin::Changed(changed));
        }
        // The authority's key may be kept elsewhere.
        let wanted = model.site.secrets.keys().map(|name| secret_path(name));
        let lost: Vec<String> =
            wanted.filter(|path| known.files.contains_key(path) && !now.contains_key(path)).collect();
        Ok(if lost.is_empty() { Origin::Here } else { Origin::Lost(lost) })
    }

    /// The folder that has taken over the deployment from `here`, the folder of an earlier version; `None` if `here` may act.
    ///
    /// # Errors
    /// `site.toml` cannot be read.
    pub fn successor(&self, directory: &Path, model: &Model, here: &Place) -> Result<Option<PathBuf>> {
        let Some((id, Known { owner: Some(owner), former, .. })) = self.known(directory, model)? else {
            return Ok(None);
        };
        if owner.folder == here.folder || !former.contains(here) {
            return Ok(None);
        }
        // One that was removed, or has another deployment now, has taken over nothing.
        let others = Record::read(&owner.folder.join("site"), model.name.get_ref()).ok().flatten();
        Ok((others.and_then(|record| record.id) == Some(id)).then_some(owner.folder))
    }

    /// Remembers that the deployment runs from `here` now.
    ///
    /// # Errors
    /// `site.toml` cannot be read, or the file not be written.
    pub fn take_over(&self, directory: &Path, model: &Model, here: &Place) -> Result<()> {
        let Some((id, mut known)) = self.known(directory, model)? else { return Ok(()) };
        let before = known.owner.replace(here.clone());
        known.former.extend(before);
        known.former.retain(|place| place != here);
        known.former.sort_by(|one, other| one.folder.cmp(&other.folder));
        known.former.dedup();
        self.write(&id, &known)
    }

    /// The last runs of scheduled services that could not be started, by service.
    ///
    /// # Errors
    /// `site.toml` cannot be read.
    pub fn missed_runs(&self, directory: &Path, model: &Model) -> Result<BTreeMap<String, MissedRun>> {
        Ok(self.known(directory, model)?.map(|(_, known)| known.missed).unwrap_or_default())
    }

    /// Remembers that the last run of a scheduled service could not be started; with `None`, that it was.
    ///
    /// # Errors
    /// `site.toml` cannot be read, or the file not be written.
    pub fn set_missed_run(&self, directory: &Path, model: &Model, service: &str, run: Option<MissedRun>) -> Result<()> {
        let Some((id, mut known)) = self.known(directory, model)? else { return Ok(()) };
        let before = match run.clone() {
            Some(run) => known.missed.insert(service.to_owned(), run),
            None => known.missed.remove(service),
        };
        if before == run { Ok(()) } else { self.write(&id, &known) }
    }

    fn known(&self, directory: &Path, model: &Model) -> Result<Option<(String, Known)>> {
        let id = Record::read(directory, model.name.get_ref())?.and_then(|record| record.id);
        Ok(id.and_then(|id| Some((id.clone(), self.read(&id)?))))
    }

    /// Remembers that the site with the identifier `id` is being changed: what a run that is killed leaves is of this host.
    pub(super) fn begin(&self, id: &str) -> Result<()> {
        let known = self.read(id).unwrap_or_default();
        self.write(id, &Known { unfinished: true, ..known })
    }

    /// Remembers the site with the identifier `id` in `directory` as it is.
    pub(super) fn remember(&self, id: &str, directory: &Path, model: &Model) -> Result<()> {
        let known = self.read(id).unwrap_or_default();
        let mut files = digests(directory, model)?;
        // What was taken away, such as the authority's key, may come back.
        for (path, digest) in &known.files {
            files.entry(path.clone()).or_insert(*digest);
        }
        self.write(id, &Known { files, unfinished: false, ..known })
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

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "00000000000000000000000000000000";

    /// A folder with a site that this host has made, of the sample profile.
    fn site(folder: &Path) -> PathBuf {
        let model = crate::profile::sample();
        let directory = folder.join("site");
        fs_err::create_dir_all(directory.join("secrets")).unwrap();
        let record = Record { id: Some(ID.to_owned()), ..Record::new(model.name.get_ref()) };
        fs_err::write(directory.join("site.toml"), record.text().unwrap()).unwrap();
        for name in model.site.secrets.keys() {
            fs_err::write(directory.join(secret_path(name)), name).unwrap();
        }
        directory
    }

    /// In the folder of an earlier version, `up` went back to it without a word, and `down --volumes` deleted the data.
    #[test]
    fn the_folder_of_an_earlier_version_knows_its_successor() {
        let (place, model) = (tempfile::tempdir().unwrap(), crate::profile::sample());
        let known = KnownSites::at(&place.path().join("state"));
        let folders = ["old", "new"].map(|name| place.path().join(name));
        let sites = [site(&folders[0]), site(&folders[1])];
        let at = |number: usize, bundle: &str| Place {
            folder: folders[number].clone(),
            bundle: Digest::of(bundle.as_bytes()),
        };
        let successor =
            |number: usize, bundle: &str| known.successor(&sites[number], &model, &at(number, bundle)).unwrap();
        known.remember(ID, &sites[0], &model).unwrap();
        assert_eq!(successor(0, "1"), None);
        known.take_over(&sites[0], &model, &at(0, "1")).unwrap();
        assert_eq!((successor(0, "1"), successor(1, "2")), (None, None));
        known.take_over(&sites[1], &model, &at(1, "2")).unwrap();
        // What a later run remembers of the secrets does not forget it.
        known.begin(ID).unwrap();
        known.remember(ID, &sites[1], &model).unwrap();
        assert_eq!((successor(0, "1"), successor(1, "2")), (Some(folders[1].clone()), None));
        // A third version in a folder with the name of the first.
        assert_eq!(successor(0, "3"), None);
        // Back to the first, with `--take-over`.
        known.take_over(&sites[0], &model, &at(0, "1")).unwrap();
        assert_eq!((successor(0, "1"), successor(1, "2")), (None, Some(folders[0].clone())));
        fs_err::remove_dir_all(&folders[0]).unwrap();
        assert_eq!(successor(1, "2"), None);
    }

    /// `up` made another one, with which nobody could read the data.
    #[test]
    fn a_secret_that_is_gone_is_noticed() {
        let (place, model) = (tempfile::tempdir().unwrap(), crate::profile::sample());
        let known = KnownSites::at(&place.path().join("state"));
        let site = site(place.path());
        known.remember(ID, &site, &model).unwrap();
        assert_eq!(known.origin(&site, &model).unwrap(), Origin::Here);
        let secret = secret_path(model.site.secrets.keys().next().unwrap());
        fs_err::remove_file(site.join(&secret)).unwrap();
        assert_eq!(known.origin(&site, &model).unwrap(), Origin::Lost(vec![secret]));
    }

    /// An engine remembers nothing of a container that it could not start.
    #[test]
    fn a_run_that_could_not_be_started_is_remembered_until_the_next_start() {
        let (place, model) = (tempfile::tempdir().unwrap(), crate::profile::sample());
        let known = KnownSites::at(&place.path().join("state"));
        let site = site(place.path());
        known.remember(ID, &site, &model).unwrap();
        let missed = MissedRun { at: 7, why: "no such program".into() };
        known.set_missed_run(&site, &model, "backup", Some(missed.clone())).unwrap();
        known.remember(ID, &site, &model).unwrap();
        assert_eq!(known.missed_runs(&site, &model).unwrap(), [("backup".to_owned(), missed)].into());
        known.set_missed_run(&site, &model, "backup", None).unwrap();
        assert!(known.missed_runs(&site, &model).unwrap().is_empty());
    }
}
