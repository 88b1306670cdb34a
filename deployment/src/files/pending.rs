//! Files that are written.

use std::fs::File;
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use tempfile::{NamedTempFile, TempDir};

use super::background_sync::BackgroundSync;
use super::{cannot, sorted_dir};
use crate::failure::Failure;

/// A file that is being written. [`Pending::commit`] makes it appear under its name; dropped without, it is removed.
///
/// With `O_TMPFILE`, where the file system has it, the file has no name until then. A process that is killed while it
/// replaces a file, and one on another file system, leaves `.NAME.sealift-...` behind: the next one that writes `NAME`
/// removes it. It is locked as long as it is being written.
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
        Self::with_mode(path, 0o666)
    }

    /// As [`Pending::create`], for a file that only its owner can read (mode 0600) at any time.
    ///
    /// # Errors
    /// As [`Pending::create`].
    pub fn private(path: &Path) -> Result<Self> {
        Self::with_mode(path, 0o600)
    }

    fn with_mode(path: &Path, mode: u32) -> Result<Self> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if path.file_name().is_none() || path.metadata().is_ok_and(|found| !found.is_file()) {
            return Err(Failure::failed(format!("cannot write {}: it is not a regular file", path.display())).into());
        }
        let fail = |error| cannot("write", path, &error);
        let directory = File::options().read(true).open(parent).map_err(fail)?;
        remove_unfinished(path);
        let file = Temporary::create(path, parent, mode).map_err(fail)?;
        // Where the file system has no locks, nothing is removed either.
        let _ = file.file().try_lock();
        Ok(Self { path: path.to_owned(), directory, file, sync: BackgroundSync::default() })
    }

    /// The open file, to set its owner and mode.
    #[must_use]
    pub fn as_file(&self) -> &File {
        self.file.file()
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
        self.file.file_mut()
    }

    /// Adds the path to the error of a writer.
    fn named<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| io::Error::new(error.kind(), format!("cannot write {}: {error}", self.path.display())))
    }
}

impl Temporary {
    fn create(path: &Path, parent: &Path, mode: u32) -> io::Result<Self> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        // The file is linked through /proc: without that, or on a file system without O_TMPFILE, use a temporary name.
        if Path::new("/proc/self/fd").exists() {
            match rustix::fs::openat(CWD, parent, flags, Mode::from_raw_mode(mode)) {
                Ok(file) => return Ok(Self::Anonymous(file.into())),
                // A temporary name would fail in the same way, with a random path in the message.
                Err(error @ (Errno::ROFS | Errno::NOSPC | Errno::DQUOT | Errno::ACCESS)) => return Err(error.into()),
                Err(_) => {}
            }
        }
        Self::named(path, parent, mode)
    }

    fn named(path: &Path, parent: &Path, mode: u32) -> io::Result<Self> {
        let prefix = prefix(path);
        let mode = std::fs::Permissions::from_mode(mode);
        Ok(Self::Named(tempfile::Builder::new().prefix(&prefix).permissions(mode).tempfile_in(parent)?))
    }

    fn file(&self) -> &File {
        match self {
            Self::Anonymous(file) => file,
            Self::Named(file) => file.as_file(),
        }
    }

    fn file_mut(&mut self) -> &mut File {
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

/// A folder that is being filled. [`PendingFolder::commit`] makes it appear under its name; dropped without, it is removed.
/// What a killed process left is removed by the next one, as for [`Pending`].
#[derive(Debug)]
pub struct PendingFolder {
    folder: TempDir,
    /// Holds the lock.
    _opened: File,
}

impl PendingFolder {
    /// Starts a folder that will be `path`.
    ///
    /// # Errors
    /// The directory is missing or not writable.
    pub fn create(path: &Path) -> io::Result<Self> {
        remove_unfinished(path);
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = tempfile::Builder::new().prefix(&prefix(path)).tempdir_in(parent)?;
        let opened = File::options().read(true).open(folder.path())?;
        // Where the file system has no locks, nothing is removed either.
        let _ = opened.try_lock();
        Ok(Self { folder, _opened: opened })
    }

    /// Where the folder is until it is finished.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Syncs everything in it, then makes it appear as `path`, with the mode 0755.
    ///
    /// # Errors
    /// The disk is full or failing, or `path` exists.
    pub fn commit(self, path: &Path) -> io::Result<()> {
        fs_err::set_permissions(self.folder.path(), std::fs::Permissions::from_mode(0o755))?;
        super::sync_below(self.folder.path())?;
        fs_err::rename(self.folder.path(), path)?;
        // It has another name now: there is nothing to remove.
        let _ = self.folder.keep();
        Ok(())
    }
}

/// What the temporary names of `path` begin with.
fn prefix(path: &Path) -> String {
    format!(".{}.sealift-", path.file_name().unwrap_or_default().to_string_lossy())
}

/// Whether a file of this name is one that a [`Pending`] writes, or that a killed process left behind.
#[must_use]
pub fn is_unfinished(name: &str) -> bool {
    // Earlier versions wrote `.sealift-XXXXXX`.
    name.starts_with('.') && name.contains(".sealift-")
}

/// Removes what killed processes left behind of `path`: files and folders with a temporary name that nobody has locked.
fn remove_unfinished(path: &Path) {
    let prefix = prefix(path);
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    for found in sorted_dir(parent).unwrap_or_default() {
        if found.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix)) {
            remove_unlocked(&found);
        }
    }
}

/// Removes the regular file or folder at `path`, unless a process has locked it.
fn remove_unlocked(path: &Path) {
    let Ok(metadata) = path.symlink_metadata() else { return };
    if metadata.is_file() && super::open(path).is_ok_and(|file| file.file().try_lock().is_ok()) {
        let _ = fs_err::remove_file(path);
    } else if metadata.is_dir() && super::open_folder_below(path, "").is_ok_and(|file| file.file().try_lock().is_ok()) {
        let _ = fs_err::remove_dir_all(path);
    }
}

/// How often a temporary name is tried that another process has, with [`PAUSE`] in between.
const ATTEMPTS: usize = 500;
const PAUSE: Duration = Duration::from_millis(10);

/// Replaces `path`: a link cannot, so the file is linked under a temporary name, which is renamed.
fn replace(file: &File, path: &Path) -> io::Result<()> {
    let temporary = path.with_file_name(format!("{}new", prefix(path)));
    for _ in 0..ATTEMPTS {
        match link(file, &temporary) {
            Ok(()) => match fs_err::rename(&temporary, path) {
                // Another process took it for one that was left behind.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                result => return result.inspect_err(|_| drop(fs_err::remove_file(&temporary))),
            },
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                remove_unlocked(&temporary);
                std::thread::sleep(PAUSE);
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(ErrorKind::AlreadyExists, format!("{} is in use", temporary.display())))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::write_atomically;

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
        let file = || Temporary::named(&path, place.path(), 0o666).unwrap();
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

    /// A process that was killed between link and rename left a whole bundle, or a secret, for ever.
    #[test]
    fn what_a_killed_process_left_is_removed_by_the_next() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("b");
        for name in ["b", ".b.sealift-new", ".b.sealift-1a2b3c", ".other.sealift-new", ".b.old"] {
            fs_err::write(place.path().join(name), "x").unwrap();
        }
        let busy = Temporary::named(&path, place.path(), 0o600).unwrap();
        busy.file().try_lock().unwrap();
        Pending::create(&path).unwrap().commit().unwrap();
        assert_eq!(names(place.path()).len(), 4, "{:?}", names(place.path()));
        drop(busy);
        assert_eq!(names(place.path()), [".b.old", ".other.sealift-new", "b"]);
        assert!(is_unfinished(".b.sealift-new") && is_unfinished(".sealift-a") && !is_unfinished("b.sealift-new"));
    }

    #[test]
    fn a_folder_appears_at_commit_only_and_leaves_nothing() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("b");
        fs_err::create_dir_all(place.path().join(".b.sealift-1a2b3c/blobs")).unwrap();
        let folder = PendingFolder::create(&path).unwrap();
        fs_err::write(folder.path().join("index.json"), "{}").unwrap();
        drop(PendingFolder::create(&path).unwrap());
        assert!(folder.path().exists() && !path.exists());
        folder.commit(&path).unwrap();
        assert_eq!(names(place.path()), ["b"]);
        assert_eq!(names(&path), ["index.json"]);
    }

    #[test]
    fn private_files_are_never_readable_by_others() {
        let place = tempfile::tempdir().unwrap();
        let pending = Pending::private(&place.path().join("key")).unwrap();
        assert_eq!(pending.as_file().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        pending.commit().unwrap();
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
