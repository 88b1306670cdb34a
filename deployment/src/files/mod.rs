//! Files that appear whole or not at all, and sorted directory listings.

mod background_sync;

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use sealift_layers::tree::Open;
use tempfile::NamedTempFile;

use background_sync::BackgroundSync;
pub use background_sync::Streamed;

use crate::failure::Failure;

/// A file whose content is opened each time it is read: a tree of thousands of files takes no descriptor for each, of
/// which processes often have 1024.
#[derive(Debug)]
pub struct LazyFile(pub PathBuf);

impl Open for LazyFile {
    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(fs_err::File::open(&self.0)?))
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
        if path.is_dir() {
            sync_below(&path)?;
        } else {
            fs_err::File::open(path)?.sync_all()?;
        }
    }
    fs_err::File::open(folder)?.sync_all()
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

/// A file that is being written. [`Pending::commit`] makes it appear under its name; dropped without, it is removed.
///
/// With `O_TMPFILE`, where the file system has it, the file has no name until then: even a killed process leaves nothing
/// behind.
#[derive(Debug)]
pub struct Pending {
    path: PathBuf,
    directory: File,
    file: Temporary,
    sync: BackgroundSync,
}

#[derive(Debug)]
enum Temporary {
    /// `O_TMPFILE`: no name.
    Anonymous(File),
    /// On other file systems: a temporary name in the same directory.
    Named(NamedTempFile),
}

impl Pending {
    /// Starts a file that will be `path`.
    ///
    /// # Errors
    /// The directory is missing or not writable, or something other than a regular file has the name (such as a device,
    /// which a rename would destroy).
    pub fn create(path: &Path) -> Result<Self> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if path.file_name().is_none() || path.metadata().is_ok_and(|found| !found.is_file()) {
            return Err(Failure::failed(format!("cannot write {}: it is not a regular file", path.display())).into());
        }
        let fail = |error| cannot("write", path, &error);
        let directory = File::options().read(true).open(parent).map_err(fail)?;
        let file = Temporary::create(parent).map_err(fail)?;
        Ok(Self { path: path.to_owned(), directory, file, sync: BackgroundSync::default() })
    }

    /// Sets its mode to 0600.
    ///
    /// # Errors
    /// The mode cannot be set.
    pub fn keep_private(&mut self) -> Result<()> {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        let path = self.path.clone();
        self.file().set_permissions(mode).map_err(|error| cannot("write", &path, &error))
    }

    /// Syncs the file, then makes it appear under its name.
    ///
    /// # Errors
    /// The disk is full or failing; nothing is left behind.
    pub fn commit(self) -> Result<()> {
        let Self { path, directory, file, mut sync } = self;
        sync.wait()
            .and_then(|()| file.commit(&path))
            .and_then(|()| directory.sync_all())
            .map_err(|error| cannot("write", &path, &error))
    }

    fn file(&mut self) -> &mut File {
        self.file.file()
    }

    /// Adds the path to the error of a writer.
    fn named<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| io::Error::new(error.kind(), format!("cannot write {}: {error}", self.path.display())))
    }
}

impl Temporary {
    fn create(parent: &Path) -> io::Result<Self> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        // The file is linked through /proc: without that, or on a file system without O_TMPFILE, use a temporary name.
        if Path::new("/proc/self/fd").exists() {
            match rustix::fs::openat(CWD, parent, flags, Mode::from_raw_mode(0o666)) {
                Ok(file) => return Ok(Self::Anonymous(file.into())),
                // A temporary name would fail in the same way, with a random path in the message.
                Err(error @ (Errno::ROFS | Errno::NOSPC | Errno::DQUOT | Errno::ACCESS)) => return Err(error.into()),
                Err(_) => {}
            }
        }
        Self::named(parent)
    }

    fn named(parent: &Path) -> io::Result<Self> {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        Ok(Self::Named(tempfile::Builder::new().prefix(".sealift-").permissions(mode).tempfile_in(parent)?))
    }

    fn file(&mut self) -> &mut File {
        match self {
            Self::Anonymous(file) => file,
            Self::Named(file) => file.as_file_mut(),
        }
    }

    fn commit(self, path: &Path) -> io::Result<()> {
        match self {
            Self::Named(file) => {
                file.as_file().sync_all()?;
                file.persist(path).map(drop).map_err(|error| error.error)
            }
            Self::Anonymous(file) => {
                file.sync_all()?;
                match link(&file, path) {
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => replace(&file, path),
                    result => result,
                }
            }
        }
    }
}

/// Replaces `path`: a link cannot, so the file is linked under a temporary name, which is renamed.
fn replace(file: &File, path: &Path) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let _ = fs_err::remove_file(&temporary);
    link(file, &temporary)?;
    fs_err::rename(&temporary, path).inspect_err(|_| drop(fs_err::remove_file(&temporary)))
}

fn link(file: &File, path: &Path) -> io::Result<()> {
    let source = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(rustix::fs::linkat(CWD, source, CWD, path, AtFlags::SYMLINK_FOLLOW)?)
}

impl Write for Pending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.file().write(bytes).and_then(|written| {
            let Self { file, sync, .. } = self;
            sync.wrote(file.file(), written)?;
            Ok(written)
        });
        self.named(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.file().flush();
        self.named(result)
    }
}

impl Seek for Pending {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        let result = self.file().seek(position);
        self.named(result)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
        sorted_dir(directory).unwrap().iter().map(name).collect()
    }

    #[test]
    fn file_appears_at_commit_only() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("b");
        for text in ["first", "second"] {
            let mut pending = Pending::create(&path).unwrap();
            pending.write_all(text.as_bytes()).unwrap();
            assert!(fs_err::read_to_string(&path).unwrap_or_default() != text);
            pending.commit().unwrap();
            assert_eq!(fs_err::read_to_string(&path).unwrap(), text);
        }
        drop(Pending::create(&place.path().join("c")).unwrap());
        fs_err::write(place.path().join("a"), "").unwrap();
        assert_eq!(names(place.path()), ["a", "b"]);
    }

    #[test]
    fn file_system_without_anonymous_files_works_too() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("b");
        let file = || Temporary::named(place.path()).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode;
        file().commit(&path).unwrap();
        file().commit(&path).unwrap();
        drop(file());
        assert_eq!(names(place.path()), ["b"]);
        // The same permissions as any new file has.
        fs_err::write(place.path().join("other"), "").unwrap();
        let of = |name| mode(&place.path().join(name).metadata().unwrap().permissions());
        assert_eq!(of("b"), of("other"));
    }

    #[test]
    fn failed_write_leaves_the_old_file() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("b");
        fs_err::write(&path, "old").unwrap();
        let error = write_atomically(&path, |file| {
            file.write_all(b"new")?;
            anyhow::bail!("no")
        });
        assert_eq!(error.unwrap_err().to_string(), "no");
        assert_eq!(fs_err::read_to_string(&path).unwrap(), "old");
        assert_eq!(names(place.path()), ["b"]);
    }

    #[test]
    fn unwritable_paths_have_a_reason() {
        let place = tempfile::tempdir().unwrap();
        let error = Pending::create(&place.path().join("none/b")).unwrap_err();
        assert_eq!(
            Failure::within(&error).unwrap().hint.as_deref(),
            Some("its directory does not exist: create it first")
        );
        for special in ["/dev/null", place.path().to_str().unwrap(), "/"] {
            let error = Pending::create(Path::new(special)).unwrap_err();
            assert!(error.to_string().ends_with("it is not a regular file"), "{error}");
        }
    }

    #[test]
    fn full_disk_has_a_hint() {
        let error = write_atomically(&tempfile::tempdir().unwrap().path().join("b"), |_| {
            let mut full = File::options().write(true).open("/dev/full")?;
            full.write_all(b"x")?;
            Ok(())
        });
        let error = error.unwrap_err();
        let failure = Failure::within(&error).unwrap();
        assert!(failure.message.starts_with("cannot write /"), "{failure}");
        assert!(failure.hint.as_ref().unwrap().starts_with("the disk is full"));
    }
}
