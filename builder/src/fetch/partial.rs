//! A download under way: a file in the store that a later run can take up again.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use sealift_deployment::files::cannot;
use sealift_deployment::ui::Phase;
use sealift_layers::digest::{Digest, Hasher};

use crate::store::Store;

/// What there is of an artifact so far, with its hash. Locked: another process may want the same.
pub(super) struct Partial<'a> {
    store: &'a Store,
    progress: &'a Phase<'a>,
    digest: Digest,
    path: PathBuf,
    file: File,
    hasher: Hasher,
    /// Bytes so far.
    pub(super) length: u64,
}

impl<'a> Partial<'a> {
    /// Opens it, with what an earlier run left. `None` if another process finished it meanwhile, or `stop` is set.
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
            let mut options = fs_err::OpenOptions::new();
            let file =
                options.read(true).write(true).create(true).truncate(false).open(&path).map_err(fail)?.into_file();
            let locked = file.try_lock();
            if store.artifact(digest, size).is_some() {
                // Opening may have made it anew just after the other had renamed it.
                if locked.is_ok() && file.metadata().map_err(fail)?.len() == 0 {
                    let _ = fs_err::remove_file(&path);
                }
                return Ok(None);
            }
            match locked {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) if stop.load(Ordering::Relaxed) => return Ok(None),
                Err(TryLockError::WouldBlock) => {
                    progress.item("waiting for another process that fetches the same");
                    std::thread::sleep(Duration::from_millis(100));
                    continue;
                }
                Err(TryLockError::Error(error)) => return Err(fail(error)),
            }
            // The other may have removed or renamed the file that was opened.
            let found = file.metadata().map_err(fail)?;
            if !path.metadata().is_ok_and(|there| (there.dev(), there.ino()) == (found.dev(), found.ino())) {
                continue;
            }
            let (digest, path) = (*digest, path.clone());
            let mut partial = Self { store, progress, digest, path, file, hasher: Hasher::default(), length: 0 };
            partial.take_up(size)?;
            return Ok(Some(partial));
        }
    }

    /// Hashes what is there; drops it if it is too much.
    fn take_up(&mut self, size: u64) -> Result<()> {
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

    /// Adds bytes.
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

    /// Forgets everything so far.
    pub(super) fn restart(&mut self) -> Result<()> {
        let restart = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        restart.map_err(|error| self.fail(&error))?;
        self.progress.dec(self.length);
        self.hasher = Hasher::default();
        self.length = 0;
        Ok(())
    }

    /// The digest of what there is.
    pub(super) fn digest(&self) -> Digest {
        self.hasher.clone().finish()
    }

    /// Makes it the artifact; it must be whole and verified.
    pub(super) fn promote(self) -> Result<()> {
        self.store.promote(&self.digest).map(drop)
    }

    /// Removes it.
    pub(super) fn discard(self) {
        self.progress.dec(self.length);
        // What stays is a partial download: the next run finds out.
        let _ = fs_err::remove_file(&self.path);
    }

    fn fail(&self, error: &std::io::Error) -> anyhow::Error {
        cannot("write", &self.path, error)
    }
}
