//! Files that appear whole or not at all, and directories in one order.

mod early;

use std::fs::File;
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use tempfile::NamedTempFile;

use early::EarlySync;
pub use early::Streamed;

use crate::failure::Failure;

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

/// Brings everything in a folder to the disk, and nothing else: `syncfs` waits for all that anybody writes.
///
/// # Errors
/// When something cannot be read or written.
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
/// Whatever `write` gives, and when the file cannot be made: then nothing is left and an existing file stays.
pub fn write_atomically(path: &Path, write: impl FnOnce(&mut Pending) -> Result<()>) -> Result<()> {
    let mut pending = Pending::create(path)?;
    write(&mut pending).map_err(|error| explain(path, error))?;
    pending.commit()
}

/// A file that is being written. `commit` makes it appear under its name; dropped without, it is gone.
///
/// Where the file system can (`O_TMPFILE`), it has no name until then, so that even a killed process leaves nothing.
#[derive(Debug)]
pub struct Pending {
    path: PathBuf,
    directory: File,
    file: Nameless,
    early: EarlySync,
}

#[derive(Debug)]
enum Nameless {
    Truly(File),
    /// Elsewhere: a temporary name in the same directory.
    Almost(NamedTempFile),
}

impl Pending {
    /// Starts a file that will be `path`.
    ///
    /// # Errors
    /// When the directory is missing or not writable, or something that is not a regular file has the name (a
    /// device, say, that a rename would destroy).
    pub fn create(path: &Path) -> Result<Self> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if path.file_name().is_none() || path.metadata().is_ok_and(|found| !found.is_file()) {
            return Err(Failure::failed(format!("cannot write {}: it is not a regular file", path.display())).into());
        }
        let fail = |error| cannot("write", path, &error);
        let directory = File::options().read(true).open(parent).map_err(fail)?;
        let file = Nameless::create(parent).map_err(fail)?;
        Ok(Self { path: path.to_owned(), directory, file, early: EarlySync::default() })
    }

    /// Lets nobody but its owner read it.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn keep_private(&mut self) -> Result<()> {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        let path = self.path.clone();
        self.file().set_permissions(mode).map_err(|error| cannot("write", &path, &error))
    }

    /// Makes the file appear, once it is safely on the disk.
    ///
    /// # Errors
    /// When the disk is full or failing; nothing is left then.
    pub fn commit(self) -> Result<()> {
        let Self { path, directory, file, mut early } = self;
        early
            .wait()
            .and_then(|()| file.commit(&path))
            .and_then(|()| directory.sync_all())
            .map_err(|error| cannot("write", &path, &error))
    }

    fn file(&mut self) -> &mut File {
        self.file.file()
    }

    /// A writer's error, with the path.
    fn named<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| io::Error::new(error.kind(), format!("cannot write {}: {error}", self.path.display())))
    }
}

impl Nameless {
    fn create(parent: &Path) -> io::Result<Self> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        // The file gets its name through /proc; without that, or on a file system that lacks the call, the slower way.
        if Path::new("/proc/self/fd").exists() {
            match rustix::fs::openat(CWD, parent, flags, Mode::from_raw_mode(0o666)) {
                Ok(file) => return Ok(Self::Truly(file.into())),
                // The other way would fail alike, and say so with a random name.
                Err(error @ (Errno::ROFS | Errno::NOSPC | Errno::DQUOT | Errno::ACCESS)) => return Err(error.into()),
                Err(_) => {}
            }
        }
        Self::named(parent)
    }

    fn named(parent: &Path) -> io::Result<Self> {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        Ok(Self::Almost(tempfile::Builder::new().prefix(".sealift-").permissions(mode).tempfile_in(parent)?))
    }

    fn file(&mut self) -> &mut File {
        match self {
            Self::Truly(file) => file,
            Self::Almost(file) => file.as_file_mut(),
        }
    }

    fn commit(self, path: &Path) -> io::Result<()> {
        match self {
            Self::Almost(file) => {
                file.as_file().sync_all()?;
                file.persist(path).map(drop).map_err(|error| error.error)
            }
            Self::Truly(file) => {
                file.sync_all()?;
                match link(&file, path) {
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => replace(&file, path),
                    result => result,
                }
            }
        }
    }
}

/// A link cannot replace: it gets a passing name, and that one is renamed.
fn replace(file: &File, path: &Path) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let passing = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let _ = fs_err::remove_file(&passing);
    link(file, &passing)?;
    fs_err::rename(&passing, path).inspect_err(|_| drop(fs_err::remove_file(&passing)))
}

fn link(file: &File, path: &Path) -> io::Result<()> {
    let nameless = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(rustix::fs::linkat(CWD, nameless, CWD, path, AtFlags::SYMLINK_FOLLOW)?)
}

impl Write for Pending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.file().write(bytes).and_then(|written| {
            let Self { file, early, .. } = self;
            early.wrote(file.file(), written)?;
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

/// The failure of doing something (`write`, `read`) with a path, with a hint where there is one.
pub fn cannot(verb: &str, path: &Path, error: &io::Error) -> anyhow::Error {
    let failure = Failure::failed(format!("cannot {verb} {}: {error}", path.display()));
    let hint = match error.kind() {
        ErrorKind::StorageFull => "the disk is full: free some space, or name a place on another disk",
        ErrorKind::QuotaExceeded => "your disk quota is used up: free some space, or name a place elsewhere",
        ErrorKind::ReadOnlyFilesystem => "the file system is mounted read-only: name another place",
        ErrorKind::PermissionDenied => "you may not write there: name another place, or change its permissions",
        ErrorKind::NotFound if verb == "write" => "its directory does not exist: create it first",
        _ => return failure.into(),
    };
    failure.hint(hint).into()
}

/// Gives a full disk, wherever in `error` it hides, its message and hint; anything else stays as it is.
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
    fn file_system_without_nameless_files_works_too() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("b");
        let file = || Nameless::named(place.path()).unwrap();
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
    fn places_that_cannot_be_written_say_why() {
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
    fn full_disk_is_explained() {
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
