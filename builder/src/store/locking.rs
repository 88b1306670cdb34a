//! The lock of a store: builds share it, cleaning and repairing need it exclusively.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::files::{self, cannot};

/// How long to wait for another process that is opening the store: it has the lock exclusively while it clears `tmp/`.
const SHARED_TIMEOUT: Duration = Duration::from_secs(5);

/// How long to wait for other builds to end.
const EXCLUSIVE_TIMEOUT: Duration = Duration::from_secs(1);

/// A shared lock on the store. It is released when it is dropped, and when the process ends in any way.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock. If no other process has it, runs `clean_up` first.
    pub(super) fn shared<T>(path: &Path, clean_up: impl FnOnce() -> io::Result<T>) -> Result<Self> {
        let fail = |error: io::Error| cannot("write", path, &error);
        let file = files::open_or_create(path).map_err(fail)?.into_file();
        let lock = Self { file, path: path.to_owned() };
        if lock.acquired(lock.file.try_lock())? {
            clean_up().map_err(fail)?;
        }
        lock.share()?;
        Ok(lock)
    }

    /// Runs `work` while no other process has the store open.
    pub(super) fn exclusively<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let started = Instant::now();
        // Turning a shared lock into an exclusive one releases the shared one first: it is taken again in any case.
        while !self.acquired(self.file.try_lock())? {
            if started.elapsed() > EXCLUSIVE_TIMEOUT {
                self.share()?;
                let failure = Failure::failed(format!("the store {} is in use by another process", self.folder()));
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
        while !self.acquired(self.file.try_lock_shared())? {
            if started.elapsed() > SHARED_TIMEOUT {
                let message = format!("another process is cleaning or repairing the store {}", self.folder());
                return Err(Failure::failed(message).hint("wait until it has ended").into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn acquired(&self, result: Result<(), TryLockError>) -> Result<bool> {
        match result {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(cannot("lock", &self.path, &error)),
        }
    }

    fn folder(&self) -> std::path::Display<'_> {
        self.path.parent().unwrap_or(&self.path).display()
    }
}
