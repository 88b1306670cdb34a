//! The store: fetched artifacts and everything made of them, in one directory that builds share.
//!
//! ```text
//! artifacts/sha256/HEX    fetched files, verified when they were added
//! blobs/sha256/HEX        compressed layers
//! layers/KEY.json         record of a layer, with the digest of its blob
//! derived/KEY/data        other results: a file or a directory
//! derived/KEY/digest      digest of the data, and the key
//! partial/HEX             unfinished downloads, to be resumed
//! tmp/                    files that are being written
//! lock                    locked by builds (shared) and by `clean` and `check --repair` (exclusive)
//! ```
//!
//! Everything is written in `tmp/`, synced and renamed. Several builds may write at the same time: what they write under
//! one name has the same content.

mod borrowed;
mod check;
pub mod exchange;
pub mod facts;
mod key;
pub mod layer;
mod locking;
mod noexec;

use std::collections::BTreeSet;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::files::{self, cannot, explain};
use sealift_deployment::machine::Machine;
use sealift_layers::digest::{Digest, HashingWriter};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tempfile::{NamedTempFile, TempDir, TempPath};

pub use check::{Damaged, Report, Usage, Usages};
pub use key::{Builder, Key};

const ARTIFACTS: &str = "artifacts/sha256";
const BLOBS: &str = "blobs/sha256";
const LAYERS: &str = "layers";
const DERIVED: &str = "derived";
const PARTIAL: &str = "partial";
const TMP: &str = "tmp";

/// Largest derived document that is read, in bytes. The listing of a layer with 200 000 paths has about 40 MB.
const DERIVED_LIMIT: u64 = 128 << 20;

/// An open store. While it is open, no other process removes anything from it.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    lock: locking::Lock,
    /// Keys of derived results that have been verified since the store was opened: a build reads the same listing several
    /// times.
    verified: Mutex<BTreeSet<Key>>,
    /// Blobs that were written, and hashed in doing so, since the store was opened.
    written: Mutex<BTreeSet<Digest>>,
    borrowed: borrowed::Borrowed,
}

/// A layer's record on the disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct LayerEntry {
    blob: Digest,
    size: u64,
    record: serde_json::Value,
    /// The layer's key: the record of another layer is not taken for that of this one. Earlier versions wrote none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<Digest>,
    /// Digest of the other fields: detects a record that has changed on the disk.
    sum: Digest,
}

impl LayerEntry {
    fn new(key: Option<Digest>, blob: Digest, size: u64, record: serde_json::Value) -> serde_json::Result<Self> {
        let summed = match key {
            Some(key) => serde_json::to_vec(&(&blob, size, &record, key))?,
            None => serde_json::to_vec(&(&blob, size, &record))?,
        };
        Ok(Self { blob, size, record, key, sum: Digest::of(&summed) })
    }

    /// Reads the record of the layer `key`, and checks its sum.
    fn read(text: &[u8], key: Digest) -> Result<Self, String> {
        let read: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let sound = Self::new(read.key, read.blob, read.size, read.record).map_err(|error| error.to_string())?;
        match sound {
            Self { sum, .. } if sum != read.sum => Err("its sum is wrong".to_owned()),
            Self { key: Some(other), .. } if other != key => Err("it is that of another layer".to_owned()),
            sound => Ok(sound),
        }
    }
}

impl Store {
    /// The folder of the store: `option` (`--store`), else `SEALIFT_STORE`, else `sealift` in the user's cache folder.
    ///
    /// # Errors
    /// When none of them is set.
    pub fn place(option: Option<&Path>, machine: &Machine) -> Result<PathBuf> {
        option
            .map(Path::to_owned)
            .or_else(|| machine.var("SEALIFT_STORE").map(PathBuf::from))
            .or_else(|| machine.cache_home().map(|cache| cache.join("sealift")))
            .ok_or_else(|| {
                let failure = Failure::usage("cannot choose a folder for the store: HOME is not set");
                failure.hint("name one with --store DIR or SEALIFT_STORE").into()
            })
    }

    /// Opens the store at `root`, creates missing folders, and removes files that killed processes left in `tmp/`.
    ///
    /// # Errors
    /// When it cannot be written, or another process is removing things from it.
    pub fn open(root: &Path) -> Result<Self> {
        // Its paths stay valid when the process changes its directory.
        let root = std::path::absolute(root).map_err(|error| cannot("write", root, &error))?;
        for folder in [ARTIFACTS, BLOBS, LAYERS, DERIVED, PARTIAL, TMP] {
            let folder = root.join(folder);
            fs_err::create_dir_all(&folder).map_err(|error| cannot("write", &folder, &error))?;
        }
        // What a link leads to is not the store's, and `tmp` is emptied.
        let names = [ARTIFACTS, BLOBS, LAYERS, DERIVED, PARTIAL, TMP, "artifacts", "blobs"];
        for folder in names.map(|name| root.join(name)) {
            if folder.symlink_metadata().is_ok_and(|found| found.is_symlink()) {
                let message = format!("{} is a link: a store has only files and folders of its own", folder.display());
                return Err(Failure::failed(message)
                    .hint("remove the link, or name another folder with --store")
                    .into());
            }
        }
        let lock = locking::Lock::shared(&root.join("lock"), || clear(&root.join(TMP)))?;
        Ok(Self { root, lock, verified: Mutex::default(), written: Mutex::default(), borrowed: Default::default() })
    }

    /// The file of an artifact, if it is in the store with this size in bytes.
    #[must_use]
    pub fn artifact(&self, digest: &Digest, size: u64) -> Option<PathBuf> {
        self.file(ARTIFACTS, digest, size)
    }

    /// Adds an artifact and verifies it. `name` is its name in messages.
    ///
    /// # Errors
    /// When it has another digest (verification), or cannot be read or written.
    pub fn add_artifact(&self, name: &str, mut reader: impl Read, expected: &Digest) -> Result<PathBuf> {
        let mut file = self.temporary()?;
        let mut meter = HashingWriter::new(file.as_file_mut());
        let copied = io::copy(&mut reader, &mut meter);
        let got = meter.finish().1.digest;
        copied.map_err(|error| explain(file.path(), error.into()))?;
        if got != *expected {
            return Err(
                Failure::verification(format!("{name} has the wrong content: expected {expected}, got {got}")).into()
            );
        }
        self.settle(file.into_temp_path(), self.root.join(ARTIFACTS).join(expected.hex()))
    }

    /// The file of an unfinished download.
    #[must_use]
    pub fn partial(&self, digest: &Digest) -> PathBuf {
        self.root.join(PARTIAL).join(digest.hex())
    }

    /// Turns a finished download, verified by the caller, into an artifact.
    ///
    /// # Errors
    /// When the disk is full or failing.
    pub fn promote(&self, digest: &Digest) -> Result<PathBuf> {
        let target = self.root.join(ARTIFACTS).join(digest.hex());
        settle(&self.partial(digest), &target)?;
        Ok(target)
    }

    /// The record of the layer with this key, if its blob is there with the right size.
    #[must_use]
    pub fn layer<T: DeserializeOwned>(&self, key: &Key) -> Option<T> {
        let entry = match self.borrowed.entry(key) {
            Some(entry) => entry,
            // An unreadable record is not an error: the layer is made again, and `check` reports the file.
            None => self.read_entry(key)?,
        };
        self.file(BLOBS, &entry.blob, entry.size)?;
        serde_json::from_value(entry.record).ok()
    }

    /// Adds a layer: `blob`, a file from [`Store::temporary`] that the caller hashed while writing, and its record.
    ///
    /// # Errors
    /// When the disk is full or failing.
    pub fn put_layer<T: Serialize>(
        &self,
        key: &Key,
        blob: NamedTempFile,
        digest: &Digest,
        record: &T,
    ) -> Result<PathBuf> {
        let size = blob.as_file().metadata()?.len();
        let path = self.settle(blob.into_temp_path(), self.blob_path(digest))?;
        let mut file = self.temporary()?;
        serde_json::to_value(record)
            .and_then(|record| LayerEntry::new(Some(key.digest()), *digest, size, record))
            .and_then(|entry| serde_json::to_writer(file.as_file_mut(), &entry))
            .map_err(|error| explain(&self.root, io::Error::from(error).into()))?;
        self.settle(file.into_temp_path(), self.layer_path(key))?;
        self.written.lock().unwrap_or_else(PoisonError::into_inner).insert(*digest);
        Ok(path)
    }

    /// Whether this blob was written since the store was opened. An older one may have changed on the disk.
    #[must_use]
    pub fn wrote(&self, digest: &Digest) -> bool {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).contains(digest)
    }

    /// The path of a blob, whether it is in the store or not.
    #[must_use]
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join(BLOBS).join(digest.hex())
    }

    /// The file or directory kept under this key, verified when it is first read. A damaged one is removed, so that it is
    /// made again.
    #[must_use]
    pub fn derived(&self, key: &Key) -> Option<PathBuf> {
        let folder = self.root.join(DERIVED).join(key.hex());
        let data = folder.join("data");
        data.symlink_metadata().ok()?;
        let verified = || self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if verified().contains(key) {
            return Some(data);
        }
        if check::derived(&folder).is_ok_and(|verdict| verdict.is_intact()) {
            verified().insert(*key);
            return Some(data);
        }
        let _ = remove(&folder);
        None
    }

    /// Keeps a file or directory under this key. `make` creates it at the path that it gets, which does not exist yet.
    ///
    /// # Errors
    /// That of `make`, or when the disk is full or failing. Nothing is kept then.
    pub fn put_derived(&self, key: &Key, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let tmp = self.root.join(TMP);
        let folder = tempfile::tempdir_in(&tmp).map_err(|error| cannot("write", &tmp, &error))?;
        let data = folder.path().join("data");
        let target = self.root.join(DERIVED).join(key.hex());
        make(&data).map_err(|error| explain(&data, error))?;
        self.keep_derived(folder.path(), &data, &target).map_err(|error| match target.symlink_metadata() {
            Ok(_) => occupied(&target),
            _ => cannot("write", &target, &error),
        })?;
        Ok(target.join("data"))
    }

    fn keep_derived(&self, folder: &Path, data: &Path, target: &Path) -> io::Result<()> {
        let digest = check::tree_digest(data)?.digest;
        let key = target.file_name().unwrap_or_default().to_string_lossy();
        fs_err::write(folder.join("digest"), check::bound(&digest, &key))?;
        if data.is_file() {
            files::open(data)?.sync_all()?;
            files::open(&folder.join("digest"))?.sync_all()?;
        } else {
            // One call, since there may be thousands of files.
            rustix::fs::syncfs(files::open_folder_below(folder, "")?.file())?;
        }
        match fs_err::rename(folder, target) {
            // Another build was faster, with the same result.
            Err(_) if target.join("digest").exists() => Ok(()),
            result => result.and_then(|()| sync_parent(target)),
        }
    }

    /// A new file in the store, for [`Store::put_layer`]. It is removed when it is dropped.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn temporary(&self) -> Result<NamedTempFile> {
        let tmp = self.root.join(TMP);
        NamedTempFile::new_in(&tmp).map_err(|error| cannot("write", &tmp, &error))
    }

    /// A new directory in the store. It is removed when it is dropped.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn temporary_directory(&self) -> Result<TempDir> {
        let tmp = self.root.join(TMP);
        tempfile::tempdir_in(&tmp).map_err(|error| cannot("write", &tmp, &error))
    }

    /// As [`Self::temporary_directory`], for programs that are run from there.
    ///
    /// # Errors
    /// When it cannot be created, or no program can be run from the store's file system.
    pub fn executable_directory(&self) -> Result<TempDir> {
        let folder = self.temporary_directory()?;
        let Some(mount) = noexec::mount_point(folder.path()) else { return Ok(folder) };
        let message = format!(
            "no program can be run from the store {}: {} is mounted with `noexec`",
            self.root.display(),
            mount.display()
        );
        Err(Failure::failed(message)
            .hint("put the store on another file system, with --store DIR or the variable SEALIFT_STORE")
            .into())
    }

    /// The folder of the store.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn read_entry(&self, key: &Key) -> Option<LayerEntry> {
        let text = files::read_within(&self.layer_path(key), files::FILE_LIMIT).ok()?;
        LayerEntry::read(&text, key.digest()).ok()
    }

    fn layer_path(&self, key: &Key) -> PathBuf {
        self.root.join(LAYERS).join(format!("{}.json", key.hex()))
    }

    fn file(&self, folder: &str, digest: &Digest, size: u64) -> Option<PathBuf> {
        let path = self.root.join(folder).join(digest.hex());
        path.symlink_metadata().is_ok_and(|found| found.is_file() && found.len() == size).then_some(path)
    }

    fn settle(&self, temporary: TempPath, target: PathBuf) -> Result<PathBuf> {
        settle(&temporary, &target)?;
        // It has another name now: there is nothing to remove.
        drop(temporary.keep());
        Ok(target)
    }
}

/// Syncs a file and moves it to its final path.
fn settle(from: &Path, to: &Path) -> Result<()> {
    let settle = || {
        files::open(from)?.sync_all()?;
        fs_err::rename(from, to)?;
        sync_parent(to)
    };
    settle().map_err(|error: io::Error| match to.symlink_metadata() {
        Ok(found) if !found.is_file() => occupied(to),
        _ => cannot("write", to, &error),
    })
}

/// The failure for a place in the store where something else is than the file or folder that belongs there.
fn occupied(path: &Path) -> anyhow::Error {
    let message = format!("cannot write {}: something else is in its place", path.display());
    Failure::failed(message).hint("remove it with: sealift store check --repair").into()
}

fn sync_parent(path: &Path) -> io::Result<()> {
    files::sync_folder(path.parent().unwrap_or(path))
}

/// Removes everything in a folder. Returns the number of entries and their bytes.
fn clear(folder: &Path) -> io::Result<Usage> {
    let mut usage = Usage::default();
    for path in files::sorted_dir(folder)? {
        usage.add(check::disk_size(&path)?);
        remove(&path)?;
    }
    Ok(usage)
}

/// Removes a file or a directory, whatever permissions its directories have.
fn remove(path: &Path) -> io::Result<()> {
    if !path.symlink_metadata()?.is_dir() {
        return fs_err::remove_file(path);
    }
    // Unpacked packages may hold directories that their owner cannot write.
    fs_err::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    for entry in files::sorted_dir(path)? {
        remove(&entry)?;
    }
    fs_err::remove_dir(path)
}

/// Opens a file for hashing, with a large buffer.
fn reader(path: &Path) -> io::Result<impl Read> {
    Ok(BufReader::with_capacity(1 << 20, files::open(path)?))
}

#[cfg(test)]
mod tests;
