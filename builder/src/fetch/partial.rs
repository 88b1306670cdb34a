//! An unfinished download: a file in the store that a later run can resume.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use sealift_deployment::files::{self, cannot};
use sealift_deployment::ui::Phase;
use sealift_layers::digest::{Digest, Hasher};

use crate::store::Store;

/// The part of an artifact that was received so far, with its hash. The file is locked: another process may fetch the
/// same artifact.
pub(super) struct Partial<'a> {
    store: &'a Store,
    progress: &'a Phase<'a>,
    digest: Digest,
    path: PathBuf,
    file: File,
    hasher: Hasher,
    /// Bytes received so far.
    pub(super) length: u64,
}

impl<'a> Partial<'a> {
    /// Opens and locks the file, with the part that an earlier run received. `None` if another process has finished the
    /// artifact meanwhile, or `stop` is set.
    pub(super) fn open(
        store: &'a Store,
        digest: &Digest,
        size: u64,
        progress: &'a Phase<'a>,
        stop: &AtomicBool,
    ) -> Result<Option<Self>> {
        let path = store.partial(digest);
        let fail = |error| cannot("write", &path, &error);
        loop {
            let file = files::open_or_create(&path).map_err(fail)?.into_file();
            let locked = file.try_lock();
            if store.artifact(digest, size).is_some() {
                // This call may have created the file again, just after the other process had renamed it.
                if locked.is_ok() && file.metadata().map_err(fail)?.len() == 0 {
                    let _ = fs_err::remove_file(&path);
                }
                return Ok(None);
            }
            match locked {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) if stop.load(Ordering::Relaxed) => return Ok(None),
                Err(TryLockError::WouldBlock) => {
                    progress.item("waiting for another process that is fetching the same file");
                    std::thread::sleep(Duration::from_millis(100));
                    continue;
                }
                Err(TryLockError::Error(error)) => return Err(fail(error)),
            }
            // The other process may have removed or renamed the opened file.
            let found = file.metadata().map_err(fail)?;
            if !path.metadata().is_ok_and(|there| (there.dev(), there.ino()) == (found.dev(), found.ino())) {
                continue;
            }
            let (digest, path) = (*digest, path.clone());
            let mut partial = Self { store, progress, digest, path, file, hasher: Hasher::default(), length: 0 };
            partial.hash_existing(size)?;
            return Ok(Some(partial));
        }
    }

    /// Hashes the existing content; discards it if it is longer than `size`.
    fn hash_existing(&mut self, size: u64) -> Result<()> {
        let length = self.file.metadata().map_err(|error| self.fail(&error))?.len();
        if length > size {
            return self.restart();
        }
        let mut buffer = vec![0; 1 << 18];
        loop {
            let n = self.file.read(&mut buffer).map_err(|error| self.fail(&error))?;
            if n == 0 {
                return Ok(());
            }
            self.count(&buffer[..n]);
        }
    }

    /// Appends bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|error| self.fail(&error))?;
        self.count(bytes);
        Ok(())
    }

    fn count(&mut self, bytes: &[u8]) {
        self.hasher.write_all(bytes).expect("hashing cannot fail");
        self.length += bytes.len() as u64;
        self.progress.inc(bytes.len() as u64);
    }

    /// Empties the file.
    pub(super) fn restart(&mut self) -> Result<()> {
        let restart = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        restart.map_err(|error| self.fail(&error))?;
        self.progress.dec(self.length);
        self.hasher = Hasher::default();
        self.length = 0;
        Ok(())
    }

    /// The digest of the content so far.
    pub(super) fn digest(&self) -> Digest {
        self.hasher.clone().finish()
    }

    /// Moves the file to its place in the store. It must be complete and verified.
    pub(super) fn promote(self) -> Result<()> {
        self.store.promote(&self.digest).map(drop)
    }

    /// Removes the file.
    pub(super) fn discard(self) {
        self.progress.dec(self.length);
        // If this fails, the next run verifies what is left.
        let _ = fs_err::remove_file(&self.path);
    }

    fn fail(&self, error: &std::io::Error) -> anyhow::Error {
        cannot("write", &self.path, error)
    }
}
