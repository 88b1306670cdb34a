//! Files that appear whole or not at all, files that may be anything until they are opened, and sorted listings.

mod background_sync;
mod pending;
mod regular;

use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use anyhow::Result;
use sealift_layers::tree::Open;

pub use background_sync::Streamed;
pub use pending::{Pending, PendingFolder, is_unfinished};
pub(crate) use regular::kind_name;
pub use regular::{
    DOCUMENT_LIMIT, FILE_LIMIT, open, open_below, open_folder_below, open_or_create, read, read_text, read_up_to,
    read_within,
};

use crate::failure::Failure;

/// A file whose content is opened each time it is read: a tree of thousands of files takes no descriptor for each, of
/// which processes often have 1024. Links are not followed below the folder.
#[derive(Debug)]
pub struct LazyFile {
    /// The folder.
    pub folder: PathBuf,
    /// Path below it.
    pub name: String,
}

impl Open for LazyFile {
    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(open_below(&self.folder, &self.name)?))
    }
}

/// The paths in a directory, sorted by name.
///
/// # Errors
/// When it cannot be read; the error names it.
#[allow(clippy::disallowed_methods, reason = "the one place that sorts")]
pub fn sorted_dir(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = fs_err::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// Syncs all files and folders below `folder`, and `folder` itself. `syncfs` would also wait for all other writers.
///
/// # Errors
/// A file cannot be opened or synced.
pub fn sync_below(folder: &Path) -> io::Result<()> {
    for path in sorted_dir(folder)? {
        let found = path.symlink_metadata()?;
        if found.is_dir() {
            sync_below(&path)?;
        } else if found.is_file() {
            open(&path)?.sync_all()?;
        }
    }
    sync_folder(folder)
}

/// Syncs the names in a folder.
///
/// # Errors
/// It cannot be opened or synced.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    open_folder_below(folder, "")?.sync_all()
}

/// Writes a file that appears whole or not at all; an existing one is replaced.
///
/// # Errors
/// Those of `write`, or the file cannot be written: then nothing is left behind and an existing file stays.
pub fn write_atomically(path: &Path, write: impl FnOnce(&mut Pending) -> Result<()>) -> Result<()> {
    let mut pending = Pending::create(path)?;
    write(&mut pending).map_err(|error| explain(path, error))?;
    pending.commit()
}

/// The failure of an action (`write`, `read`) on a path, with a hint for common causes.
pub fn cannot(verb: &str, path: &Path, error: &io::Error) -> anyhow::Error {
    let failure = Failure::failed(format!("cannot {verb} {}: {error}", path.display()));
    let failure = match error.raw_os_error() {
        Some(code) => failure.because(io::Error::from_raw_os_error(code)),
        None => failure,
    };
    let hint = match error.kind() {
        ErrorKind::StorageFull => "the disk is full: free some space, or choose a path on another disk",
        ErrorKind::QuotaExceeded => "the disk quota is exceeded: free some space, or choose another path",
        ErrorKind::ReadOnlyFilesystem => "the file system is mounted read-only: choose another path",
        ErrorKind::PermissionDenied => "permission is missing: choose another path, or change the permissions",
        ErrorKind::InvalidInput | ErrorKind::IsADirectory if verb == "write" => {
            "something else is in the place of the file: remove it, or choose another path"
        }
        ErrorKind::NotFound if verb == "write" => "its directory does not exist: create it first",
        _ => return failure.into(),
    };
    failure.hint(hint).into()
}

/// A temporary directory for other programs, in the machine's folder for such (`TMPDIR`).
///
/// # Errors
/// The folder cannot be written.
pub fn temporary_directory() -> Result<tempfile::TempDir> {
    let place = tempfile::env::temp_dir();
    tempfile::tempdir_in(&place).map_err(|error| cannot("create a temporary directory in", &place, &error))
}

/// Replaces an error that is caused by a full disk with one that has a message and a hint. Other errors are returned
/// unchanged.
pub fn explain(path: &Path, error: anyhow::Error) -> anyhow::Error {
    let full = |kind| matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
    let found = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>().filter(|io| full(io.kind())));
    match found {
        Some(io) if Failure::within(&error).is_none() => cannot("write", path, &io::Error::from(io.kind())),
        _ => error,
    }
}
