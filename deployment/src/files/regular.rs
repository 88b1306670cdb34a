//! Opening files that may be anything: only regular files are read, and never more of them than a limit.
//!
//! A named pipe in place of a file would stop a program for ever, a device could do anything when it is opened, and a
//! link leads to files that only root may read. What others could have put there is opened with these functions.

use std::fs::{FileType, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use fs_err::os::unix::fs::OpenOptionsExt as _;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Largest size in bytes of a document that is parsed: profiles, locks, settings, certificates. Real ones have less than
/// 100 kB, and TOML of 2 MiB may take 150 MB of memory.
pub const DOCUMENT_LIMIT: u64 = 2 << 20;
/// Largest size in bytes of a file that is read into memory as it is: files that a profile names.
pub const FILE_LIMIT: u64 = 64 << 20;

/// How regular files are opened: without waiting for the other end of what has become a pipe in between.
const READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Opens the regular file at `path`. Links are followed.
///
/// # Errors
/// It cannot be opened, or it is not a regular file; the error names it.
pub fn open(path: &Path) -> io::Result<fs_err::File> {
    // Before it is opened: opening a device may already do something.
    if let Ok(metadata) = path.metadata() {
        check(path, &metadata)?;
    }
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    let file = fs_err::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    check(path, &file.metadata()?)?;
    Ok(file)
}

/// Opens the file at `path`, which this program alone writes, for reading and writing, and creates it if there is none.
/// It is not truncated. A link is refused: what is written could be in any file.
///
/// # Errors
/// As [`open`]; the error does not name the path.
pub fn open_or_create(path: &Path) -> io::Result<fs_err::File> {
    // Callers name the path, and what for.
    let check = |metadata: &Metadata| match metadata.is_file() {
        true => Ok(()),
        false => Err(io::Error::new(ErrorKind::InvalidInput, not_a_file(metadata))),
    };
    if let Ok(metadata) = path.symlink_metadata() {
        check(&metadata)?;
    }
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    let mut options = fs_err::OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).custom_flags(flags).open(path)?;
    check(&file.metadata()?)?;
    Ok(file)
}

/// Opens the regular file `name` below `folder`. No component of `name` may be a link, or lead out of the folder.
///
/// # Errors
/// As [`open`], and if there is a link in its path.
pub fn open_below(folder: &Path, name: &str) -> io::Result<fs_err::File> {
    let path = folder.join(name);
    let place = beneath(folder, name, OFlags::PATH | OFlags::CLOEXEC).map_err(|error| explain(&path, error))?;
    check(&path, &std::fs::File::from(place.try_clone()?).metadata()?)?;
    // The same file, whatever has its name by now.
    let link = format!("/proc/self/fd/{}", place.as_raw_fd());
    let file = match rustix::fs::open(link, READ, Mode::empty()) {
        Ok(file) => file,
        // Without /proc.
        Err(Errno::NOENT) => beneath(folder, name, READ | OFlags::NOFOLLOW).map_err(|error| explain(&path, error))?,
        Err(error) => return Err(explain(&path, error.into())),
    };
    let file = std::fs::File::from(file);
    check(&path, &file.metadata()?)?;
    Ok(fs_err::File::from_parts(file, path))
}

/// Opens the folder `name` below `folder`, or `folder` itself if `name` is empty. As [`open_below`], links are refused.
///
/// # Errors
/// As [`open_below`], and if it is not a folder.
pub fn open_folder_below(folder: &Path, name: &str) -> io::Result<fs_err::File> {
    let path = folder.join(name);
    let name = if name.is_empty() { "." } else { name };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let place = beneath(folder, name, flags).map_err(|error| explain(&path, error))?;
    Ok(fs_err::File::from_parts(place.into(), path))
}

/// The contents of the regular file at `path`. Links are followed.
///
/// # Errors
/// As [`open`], and if it has more than [`DOCUMENT_LIMIT`] bytes.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_within(path, DOCUMENT_LIMIT)
}

/// As [`read`], with another limit in bytes.
///
/// # Errors
/// As [`open`], and if it has more.
pub fn read_within(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    read_up_to(open(path)?, limit)
}

/// The text of the regular file at `path`. Links are followed.
///
/// # Errors
/// As [`read`], and if it is not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|_| error(ErrorKind::InvalidData, path, "it is not UTF-8"))
}

/// The contents of an open file.
///
/// # Errors
/// It cannot be read, or has more than `limit` bytes.
pub fn read_up_to(file: fs_err::File, limit: u64) -> io::Result<Vec<u8>> {
    let path = file.path().to_owned();
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let what = format!("it has more than {limit} bytes");
        return Err(error(ErrorKind::FileTooLarge, &path, &what));
    }
    Ok(bytes)
}

/// Opens `name`, resolved within `folder` and without following any link in it.
fn beneath(folder: &Path, name: &str, flags: OFlags) -> io::Result<OwnedFd> {
    let root = rustix::fs::open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(&root, name, flags, Mode::empty(), resolve) {
        // Kernels before 5.6, and sandboxes that do not know the call.
        Err(Errno::NOSYS | Errno::PERM | Errno::INVAL) => step_by_step(root, name, flags),
        result => Ok(result?),
    }
}

fn step_by_step(mut at: OwnedFd, name: &str, flags: OFlags) -> io::Result<OwnedFd> {
    let components: Vec<&str> = name.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if name.starts_with('/') || components.contains(&"..") {
        return Err(Errno::XDEV.into());
    }
    let Some((last, folders)) = components.split_last() else {
        return Ok(rustix::fs::openat(&at, ".", flags, Mode::empty())?);
    };
    for folder in folders {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        at = rustix::fs::openat(&at, *folder, flags, Mode::empty())?;
    }
    let found = rustix::fs::openat(&at, *last, flags | OFlags::NOFOLLOW, Mode::empty())?;
    // With O_PATH, a link itself is opened.
    let kind = rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode);
    if kind == rustix::fs::FileType::Symlink { Err(Errno::LOOP.into()) } else { Ok(found) }
}

/// Adds the path, and says what the codes of `openat2` mean.
fn explain(path: &Path, found: io::Error) -> io::Error {
    match found.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::LOOP | Errno::XDEV) => error(ErrorKind::InvalidInput, path, "there is a link in its path"),
        _ => io::Error::new(found.kind(), format!("cannot open {}: {found}", path.display())),
    }
}

fn check(path: &Path, metadata: &Metadata) -> io::Result<()> {
    if metadata.is_file() {
        return Ok(());
    }
    let kind = if metadata.is_dir() { ErrorKind::IsADirectory } else { ErrorKind::InvalidInput };
    Err(error(kind, path, &not_a_file(metadata)))
}

fn not_a_file(metadata: &Metadata) -> String {
    format!("it is {}, not a file", kind_name(metadata.file_type()))
}

/// The kind of a file that is not a regular one, in words.
pub(crate) fn kind_name(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "a folder"
    } else if kind.is_symlink() {
        "a link"
    } else if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

fn error(kind: ErrorKind, path: &Path, what: &str) -> io::Error {
    io::Error::new(kind, format!("cannot read {}: {what}", PathBuf::from(path).display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder with a file, links to it and to a folder above, a named pipe and a socket.
    fn place() -> tempfile::TempDir {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        fs_err::create_dir_all(at("in/sub")).unwrap();
        fs_err::write(at("in/sub/file"), "text").unwrap();
        fs_err::write(at("secret"), "host").unwrap();
        symlink("sub/file", at("in/link")).unwrap();
        symlink("sub", at("in/folder")).unwrap();
        symlink("../../secret", at("in/sub/out")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, at("in/pipe"), Mode::from_raw_mode(0o600)).unwrap();
        std::mem::forget(std::os::unix::net::UnixListener::bind(at("in/socket")).unwrap());
        place
    }

    #[test]
    fn only_regular_files_are_opened_and_nothing_waits() {
        let place = place();
        let message = |name: &str| open(&place.path().join(name)).unwrap_err().to_string();
        assert!(message("in/pipe").ends_with("in/pipe: it is a named pipe, not a file"));
        assert!(message("in/socket").ends_with("it is a socket, not a file"));
        assert!(message("in/sub").ends_with("it is a folder, not a file"));
        assert!(message("../../dev/null").contains("not a file") || open(Path::new("/dev/null")).is_err());
        assert_eq!(read(&place.path().join("in/link")).unwrap(), b"text");
        assert_eq!(open(&place.path().join("none")).unwrap_err().kind(), ErrorKind::NotFound);
    }

    /// A download went on in the file that a link led to.
    #[test]
    fn no_link_is_followed_for_writing() {
        let place = place();
        let opens = |name: &str| open_or_create(&place.path().join(name)).is_ok();
        assert!(opens("new") && opens("new") && opens("secret"));
        assert!(["in/link", "in/pipe", "in/socket", "in/sub"].iter().all(|name| !opens(name)));
        assert_eq!(read(&place.path().join("secret")).unwrap(), b"host", "it is not truncated");
    }

    #[test]
    fn below_a_folder_no_link_is_followed() {
        let place = place();
        let folder = place.path().join("in");
        let text = |name: &str| read_up_to(open_below(&folder, name)?, 9);
        assert_eq!(text("sub/file").unwrap(), b"text");
        for name in ["link", "folder/file", "sub/out", "../secret", "pipe", "sub", "socket"] {
            let error = text(name).unwrap_err();
            assert_ne!(error.kind(), ErrorKind::NotFound, "{name}: {error}");
        }
        assert_eq!(text("none").unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(text("sub/none").unwrap_err().kind(), ErrorKind::NotFound);
        let folder_at = |name: &str| open_folder_below(&folder, name).is_ok();
        assert!(folder_at("") && folder_at("sub") && !folder_at("folder") && !folder_at("pipe"));
    }

    /// What kernels without `openat2` do.
    #[test]
    fn the_way_without_openat2_refuses_the_same() {
        let place = place();
        let folder = place.path().join("in");
        let opens = |name: &str| {
            let root = rustix::fs::open(&folder, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
            step_by_step(root, name, OFlags::PATH | OFlags::CLOEXEC).is_ok()
        };
        assert!(opens("sub/file") && opens("sub") && opens("."));
        for name in ["link", "folder/file", "sub/out", "../secret", "/etc/passwd", "sub/../sub/file"] {
            assert!(!opens(name), "{name}");
        }
    }

    #[test]
    fn no_more_than_the_limit_is_read() {
        let place = place();
        let file = || open(&place.path().join("in/sub/file")).unwrap();
        assert_eq!(read_up_to(file(), 4).unwrap(), b"text");
        let error = read_up_to(file(), 3).unwrap_err();
        assert!(error.to_string().ends_with("it has more than 3 bytes"), "{error}");
        assert!(read_up_to(open(Path::new("/proc/self/status")).unwrap(), 10).is_err());
    }
}
