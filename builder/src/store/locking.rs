//! Who may do what in a store at the same time.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::files::cannot;

/// How long to wait for another process that is opening the store (it looks after `tmp/` alone, for an instant).
const PATIENCE: Duration = Duration::from_secs(5);

/// A shared lock on the store. Dropping it gives it back, and so does the end of the process, however it comes.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock, after running `alone` if nobody else has it.
    pub(super) fn shared<T>(path: &Path, alone: impl FnOnce() -> io::Result<T>) -> Result<Self> {
        let fail = |error: io::Error| cannot("write", path, &error);
        let file = fs_err::OpenOptions::new().create(true).append(true).open(path).map_err(fail)?.into_file();
        let lock = Self { file, path: path.to_owned() };
        if lock.free(lock.file.try_lock())? {
            alone().map_err(fail)?;
        }
        lock.share()?;
        Ok(lock)
    }

    /// Runs `work` while nobody else has the store open.
    pub(super) fn alone<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let started = Instant::now();
        // Turning a shared lock into an exclusive one gives the shared one up first: it is taken again in any case.
        while !self.free(self.file.try_lock())? {
            if started.elapsed() > PATIENCE.min(Duration::from_secs(1)) {
                self.share()?;
                let failure = Failure::failed(format!("the store {} is in use by another process", self.place()));
                return Err(failure.hint("wait until other builds have ended").into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let result = work();
        self.share()?;
        result
    }

    fn share(&self) -> Result<()> {
        let started = Instant::now();
        while !self.free(self.file.try_lock_shared())? {
            if started.elapsed() > PATIENCE {
                let message = format!("another process is cleaning or repairing the store {}", self.place());
                return Err(Failure::failed(message).hint("wait until it has ended").into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn free(&self, result: Result<(), TryLockError>) -> Result<bool> {
        match result {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(cannot("lock", &self.path, &error)),
        }
    }

    fn place(&self) -> std::path::Display<'_> {
        self.path.parent().unwrap_or(&self.path).display()
    }
}
