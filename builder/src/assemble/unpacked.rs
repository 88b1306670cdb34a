//! Unpacks a tree to the disk, for running the interpreter in it. Owners, times and special bits are not restored.
//!
//! Contents come from packages that others made. So nothing is written through a symbolic link: one package may hold a link
//! to any place of this machine, and another one a file behind it. Every path is walked from the root by descriptors of its
//! directories, none of which may be a link.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use anyhow::Result;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, mkdirat, openat, symlinkat, unlinkat};
use rustix::io::Errno;
use sealift_deployment::failure::Failure;
use sealift_layers::tree::{Content, Entry, Kind, SourceFile, Tree, TreePath};

const DIRECTORY: Mode = Mode::from_raw_mode(0o755);
const FILE: Mode = Mode::from_raw_mode(0o644);
const EXECUTABLE: Mode = Mode::from_raw_mode(0o755);

/// Writes the paths of `tree` that `is_needed` selects below `root`.
///
/// # Errors
/// [`Failure::failed`] for a path behind a symbolic link or a file, and when a content cannot be read or written.
pub(super) fn write(tree: &Tree, root: &Path, is_needed: impl Fn(&TreePath) -> bool) -> Result<()> {
    let root = openat(CWD, root, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    // The directory of the entry before, which most entries share.
    let mut last: Option<(&str, OwnedFd)> = None;
    for (path, entry) in tree.iter().filter(|(path, _)| is_needed(path)) {
        let written = write_entry(&root, &mut last, tree, path, entry);
        written.map_err(|error| match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::LOOP | Errno::NOTDIR) => {
                let message = format!("`/{path}` of {} is behind a link or a file of another package", entry.origin);
                Failure::failed(message).hint("exclude one of the packages from the image").because(error)
            }
            _ => Failure::failed(format!("cannot unpack `/{path}` of {}", entry.origin)).because(error),
        })?;
    }
    Ok(())
}

fn write_entry<'a>(
    root: &OwnedFd,
    last: &mut Option<(&'a str, OwnedFd)>,
    tree: &Tree,
    path: &'a TreePath,
    entry: &Entry,
) -> io::Result<()> {
    let (above, name) = path.as_str().rsplit_once('/').unwrap_or(("", path.as_str()));
    if last.as_ref().is_none_or(|(known, _)| *known != above) {
        *last = Some((above, directory(root, above)?));
    }
    let Some((_, parent)) = last else { return Ok(()) };
    match &entry.kind {
        Kind::Directory => drop(directory(parent, name)?),
        Kind::File(content) => {
            let mode = if entry.mode & 0o111 == 0 { FILE } else { EXECUTABLE };
            write_file(parent, name, content, mode)?;
        }
        Kind::Hardlink(target) => {
            if let Some(Kind::File(content)) = tree.get(target).map(|entry| &entry.kind) {
                write_file(parent, name, content, EXECUTABLE)?;
            }
        }
        Kind::Symlink(target) => match symlinkat(target.as_str(), &*parent, name) {
            // Of several packages the first one keeps its entry.
            Err(Errno::EXIST) => {}
            result => result?,
        },
    }
    Ok(())
}

/// Reads a regular file below `root`; `None` if there is none. No link is followed: a program may have put one to any file of
/// this machine in its place.
///
/// # Errors
/// It cannot be read, or is larger than what is read into memory.
pub(super) fn read(root: &Path, path: &TreePath) -> io::Result<Option<Vec<u8>>> {
    let mut current = openat(CWD, root, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut names = path.as_str().split('/').peekable();
    while let Some(name) = names.next() {
        let kind = if names.peek().is_some() { OFlags::DIRECTORY } else { OFlags::NONBLOCK };
        match openat(&current, name, kind | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
            Ok(next) => current = next,
            // Names of bytecode may be longer than file systems allow.
            Err(Errno::NOENT | Errno::NAMETOOLONG) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
    let file = File::from(current);
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other(format!("`{path}` is not a regular file")));
    }
    Content::range(&SourceFile::new(file), 0, found.len()).read().map(Some)
}

/// Opens the directory `path` below `from`, and creates what is missing of it.
fn directory(from: &OwnedFd, path: &str) -> io::Result<OwnedFd> {
    let mut current = from.try_clone()?;
    for name in path.split('/').filter(|name| !name.is_empty()) {
        match mkdirat(&current, name, DIRECTORY) {
            Err(Errno::EXIST) => {}
            result => result?,
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        current = openat(&current, name, flags, Mode::empty())?;
    }
    Ok(current)
}

/// Writes a file in the place of any file or link of this name: never through it.
fn write_file(parent: &OwnedFd, name: &str, content: &Content, mode: Mode) -> io::Result<()> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Err(Errno::NOENT) => {}
        result => result?,
    }
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(parent.as_fd(), name, flags, mode)?);
    io::copy(&mut content.reader(), &mut file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    use super::*;

    fn tree(origin: &str, entries: &[(&str, Kind)]) -> Tree {
        let origin: Arc<str> = origin.into();
        let mut tree = Tree::new();
        for (path, kind) in entries {
            let entry = Entry { kind: kind.clone(), ..Entry::file("", 0o755, &origin) };
            tree.insert(TreePath::new(path).unwrap(), entry);
        }
        tree
    }

    fn link(target: &str) -> Kind {
        Kind::Symlink(target.into())
    }

    fn file(text: &str) -> Kind {
        Kind::File(text.into())
    }

    /// A package wrote anywhere as the user who builds: a link in one package, a file behind it in another.
    #[test]
    fn nothing_is_written_through_a_link_of_another_package() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let target = outside.path().to_str().unwrap();
        for link_target in [target, "../../../../../../../../../tmp", "/", "."] {
            let root = tempfile::tempdir_in(root.path()).unwrap();
            write(&tree("package a 1", &[("usr/lib/x", link(link_target))]), root.path(), |_| true).unwrap();
            let error =
                write(&tree("package b 1", &[("usr/lib/x/evil", file("x"))]), root.path(), |_| true).unwrap_err();
            assert_eq!(
                error.to_string(),
                "`/usr/lib/x/evil` of package b 1 is behind a link or a file of another package"
            );
            let error = write(&tree("package b 1", &[("usr/lib/x", Kind::Directory)]), root.path(), |_| true);
            assert!(error.is_err());
        }
        assert_eq!(outside.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn a_file_replaces_a_link_of_its_name_and_does_not_go_through_it() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let victim = outside.path().join("victim");
        fs_err::write(&victim, "before").unwrap();
        write(&tree("a", &[("usr/bin/x", link(victim.to_str().unwrap()))]), root.path(), |_| true).unwrap();
        write(&tree("b", &[("usr/bin/x", file("after"))]), root.path(), |_| true).unwrap();
        assert_eq!(fs_err::read_to_string(&victim).unwrap(), "before");
        assert_eq!(fs_err::read_to_string(root.path().join("usr/bin/x")).unwrap(), "after");
    }

    #[test]
    fn no_link_is_followed_when_results_are_read() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs_err::write(outside.path().join("x"), "secret").unwrap();
        let target = |name: &str| link(outside.path().join(name).to_str().unwrap());
        let entries = [("a/link", target("x")), ("b", target("")), ("c/file", file("text"))];
        write(&tree("one", &entries), root.path(), |_| true).unwrap();
        let read = |path: &str| read(root.path(), &TreePath::new(path).unwrap());
        assert!(read("a/link").is_err() && read("b/x").is_err() && read("c").is_err());
        assert_eq!(read("c/file").unwrap().unwrap(), b"text");
        assert!(read("c/none").unwrap().is_none() && read("d/none").unwrap().is_none());
    }

    #[test]
    fn files_links_and_directories_of_several_packages_come_together() {
        let root = tempfile::tempdir().unwrap();
        let one = [("usr/lib/a/b.so.1", file("1")), ("usr/lib/a/b.so", link("b.so.1")), ("etc/x", file("x"))];
        write(&tree("one", &one), root.path(), |path| path.as_str().starts_with("usr/")).unwrap();
        write(&tree("two", &[("usr/lib/a", Kind::Directory), ("usr/lib/a/c", file("2"))]), root.path(), |_| true)
            .unwrap();
        assert_eq!(fs_err::read_to_string(root.path().join("usr/lib/a/b.so")).unwrap(), "1");
        assert_eq!(fs_err::metadata(root.path().join("usr/lib/a/c")).unwrap().permissions().mode() & 0o777, 0o755);
        assert!(!root.path().join("etc").exists());
    }
}
