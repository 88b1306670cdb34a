//! The store: what was fetched and what was made of it, in one directory that builds share.
//!
//! ```text
//! artifacts/sha256/HEX    what was fetched, verified on the way in
//! blobs/sha256/HEX        compressed layers
//! layers/KEY.json         what a layer is, and which blob holds it
//! derived/KEY/data        anything else made of artifacts: a file or a directory
//! derived/KEY/digest      its digest, for `check`
//! partial/HEX             downloads under way, to be resumed
//! tmp/                    everything else that is being written
//! lock                    shared by those who build, exclusive for those who remove
//! ```
//!
//! Everything is written in `tmp/`, synced and renamed, so several builds may write at once: they agree on contents.

mod check;
mod hand;
mod key;
mod locking;

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

pub use check::{Report, Usage, Usages, Wrong};
pub use key::{Builder, Key};

const ARTIFACTS: &str = "artifacts/sha256";
const BLOBS: &str = "blobs/sha256";
const LAYERS: &str = "layers";
const DERIVED: &str = "derived";
const PARTIAL: &str = "partial";
const TMP: &str = "tmp";

/// An open store. While it is open, nobody removes anything from it.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    lock: locking::Lock,
    /// What was derived and has been verified since this was opened: a build asks for the same listing several times.
    verified: Mutex<BTreeSet<Key>>,
    /// Blobs that were hashed on their way to the disk since this was opened.
    written: Mutex<BTreeSet<Digest>>,
}

/// A layer's record on the disk.
#[derive(Serialize, Deserialize)]
struct LayerEntry {
    blob: Digest,
    size: u64,
    record: serde_json::Value,
    /// Of the other fields: nothing else would tell that a digit of the record has changed on the disk.
    sum: Digest,
}

impl LayerEntry {
    fn new(blob: Digest, size: u64, record: serde_json::Value) -> serde_json::Result<Self> {
        let sum = Digest::of(&serde_json::to_vec(&(&blob, size, &record))?);
        Ok(Self { blob, size, record, sum })
    }

    /// Reads one, and checks its sum.
    fn read(text: &[u8]) -> Result<Self, String> {
        let read: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let sound = Self::new(read.blob, read.size, read.record).map_err(|error| error.to_string())?;
        if sound.sum == read.sum { Ok(sound) } else { Err("its sum is wrong".to_owned()) }
    }
}

impl Store {
    /// Where the store is: `option` (of `--store`), `SEALIFT_STORE`, `sealift` in the user's cache folder.
    ///
    /// # Errors
    /// When none of them says.
    pub fn place(option: Option<&Path>, machine: &Machine) -> Result<PathBuf> {
        option
            .map(Path::to_owned)
            .or_else(|| machine.var("SEALIFT_STORE").map(PathBuf::from))
            .or_else(|| machine.cache_home().map(|cache| cache.join("sealift")))
            .ok_or_else(|| {
                let failure = Failure::usage("no place for the store: HOME is not set");
                failure.hint("name one with --store DIR or SEALIFT_STORE").into()
            })
    }

    /// Opens the store at `root`, creating what is missing, and clears what killed processes left in `tmp/`.
    ///
    /// # Errors
    /// When it cannot be written, or another process is removing things from it.
    pub fn open(root: &Path) -> Result<Self> {
        // The paths it hands out stay good when the process changes its directory.
        let root = std::path::absolute(root).map_err(|error| cannot("write", root, &error))?;
        for folder in [ARTIFACTS, BLOBS, LAYERS, DERIVED, PARTIAL, TMP] {
            let folder = root.join(folder);
            fs_err::create_dir_all(&folder).map_err(|error| cannot("write", &folder, &error))?;
        }
        let lock = locking::Lock::shared(&root.join("lock"), || clear(&root.join(TMP)))?;
        Ok(Self { root, lock, verified: Mutex::default(), written: Mutex::default() })
    }

    /// The file of an artifact that is there with this size in bytes.
    #[must_use]
    pub fn artifact(&self, digest: &Digest, size: u64) -> Option<PathBuf> {
        self.file(ARTIFACTS, digest, size)
    }

    /// Takes in an artifact, `name` in messages, and verifies it.
    ///
    /// # Errors
    /// When its digest is another (verification), or it cannot be read or written.
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

    /// Where a download is kept until it is whole.
    #[must_use]
    pub fn partial(&self, digest: &Digest) -> PathBuf {
        self.root.join(PARTIAL).join(digest.hex())
    }

    /// Makes a partial download, whole and verified by the caller, the artifact.
    ///
    /// # Errors
    /// When the disk is full or failing.
    pub fn promote(&self, digest: &Digest) -> Result<PathBuf> {
        let target = self.root.join(ARTIFACTS).join(digest.hex());
        settle(&self.partial(digest), &target)?;
        Ok(target)
    }

    /// The record of the layer with this key, believed only if its blob is there with the right size.
    #[must_use]
    pub fn layer<T: DeserializeOwned>(&self, key: &Key) -> Option<T> {
        // An unreadable record is no error: the layer is made again, and `check` names the file.
        let entry = LayerEntry::read(&fs_err::read(self.layer_path(key)).ok()?).ok()?;
        self.file(BLOBS, &entry.blob, entry.size)?;
        serde_json::from_value(entry.record).ok()
    }

    /// Keeps a layer: `blob` from `temporary`, which the caller hashed while writing, and its record.
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
            .and_then(|record| serde_json::to_writer(file.as_file_mut(), &LayerEntry::new(*digest, size, record)?))
            .map_err(|error| explain(&self.root, io::Error::from(error).into()))?;
        self.settle(file.into_temp_path(), self.layer_path(key))?;
        self.written.lock().unwrap_or_else(PoisonError::into_inner).insert(*digest);
        Ok(path)
    }

    /// Whether this blob came in since the store was opened: what is older may have changed on the disk.
    #[must_use]
    pub fn wrote(&self, digest: &Digest) -> bool {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).contains(digest)
    }

    /// Where a blob is, if it is there.
    #[must_use]
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join(BLOBS).join(digest.hex())
    }

    /// The file or directory kept under this key, verified when it is first asked for. What a failing disk has changed is removed, so that it can be
    /// made anew.
    #[must_use]
    pub fn derived(&self, key: &Key) -> Option<PathBuf> {
        let folder = self.root.join(DERIVED).join(key.hex());
        let data = folder.join("data");
        data.symlink_metadata().ok()?;
        let verified = || self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if verified().contains(key) {
            return Some(data);
        }
        if matches!(check::derived(&folder), Ok((_, None))) {
            verified().insert(*key);
            return Some(data);
        }
        let _ = remove(&folder);
        None
    }

    /// Keeps what `make` makes (a file or a directory) at the path that it is given, which does not exist yet.
    ///
    /// # Errors
    /// Whatever `make` gives, or when the disk is full or failing; nothing is kept then.
    pub fn put_derived(&self, key: &Key, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let tmp = self.root.join(TMP);
        let folder = tempfile::tempdir_in(&tmp).map_err(|error| cannot("write", &tmp, &error))?;
        let data = folder.path().join("data");
        let target = self.root.join(DERIVED).join(key.hex());
        make(&data).map_err(|error| explain(&data, error))?;
        self.keep_derived(folder.path(), &data, &target).map_err(|error| cannot("write", &target, &error))?;
        Ok(target.join("data"))
    }

    fn keep_derived(&self, folder: &Path, data: &Path, target: &Path) -> io::Result<()> {
        let (digest, _) = check::tree_digest(data)?;
        fs_err::write(folder.join("digest"), digest.to_string())?;
        if data.is_file() {
            fs_err::File::open(data)?.sync_all()?;
            fs_err::File::open(folder.join("digest"))?.sync_all()?;
        } else {
            // One call for what may be thousands of files.
            rustix::fs::syncfs(fs_err::File::open(folder)?.file())?;
        }
        match fs_err::rename(folder, target) {
            // Another build was first; it made the same.
            Err(_) if target.join("digest").exists() => Ok(()),
            result => result.and_then(|()| sync_parent(target)),
        }
    }

    /// A file in the store to write to, for `put_layer`. It goes away when it is dropped.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn temporary(&self) -> Result<NamedTempFile> {
        let tmp = self.root.join(TMP);
        NamedTempFile::new_in(&tmp).map_err(|error| cannot("write", &tmp, &error))
    }

    /// A directory in the store to work in. It goes away when it is dropped.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn temporary_directory(&self) -> Result<TempDir> {
        let tmp = self.root.join(TMP);
        tempfile::tempdir_in(&tmp).map_err(|error| cannot("write", &tmp, &error))
    }

    /// Where the store is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn layer_path(&self, key: &Key) -> PathBuf {
        self.root.join(LAYERS).join(format!("{}.json", key.hex()))
    }

    fn file(&self, folder: &str, digest: &Digest, size: u64) -> Option<PathBuf> {
        let path = self.root.join(folder).join(digest.hex());
        path.metadata().is_ok_and(|found| found.is_file() && found.len() == size).then_some(path)
    }

    fn settle(&self, temporary: TempPath, target: PathBuf) -> Result<PathBuf> {
        settle(&temporary, &target)?;
        // It has another name now: there is nothing to remove.
        drop(temporary.keep());
        Ok(target)
    }
}

/// Syncs a file and gives it its place.
fn settle(from: &Path, to: &Path) -> Result<()> {
    let settle = || {
        fs_err::File::open(from)?.sync_all()?;
        fs_err::rename(from, to)?;
        sync_parent(to)
    };
    settle().map_err(|error: io::Error| cannot("write", to, &error))
}

fn sync_parent(path: &Path) -> io::Result<()> {
    fs_err::File::open(path.parent().unwrap_or(path))?.sync_all()
}

/// Removes everything in a folder; gives the paths' number and bytes.
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

/// Opens a file to be hashed.
fn reader(path: &Path) -> io::Result<impl Read> {
    Ok(BufReader::with_capacity(1 << 20, fs_err::File::open(path)?))
}

#[cfg(test)]
mod tests;
