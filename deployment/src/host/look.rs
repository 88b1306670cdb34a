//! Looking into a volume, whose contents are a container's: as hostile as the program in it may have become.
//!
//! It is the only place that reads there. Links are not followed, only the beginning of regular files is read, and what was
//! found is text that can be shown.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context as _, Result};
use rustix::fs::{AtFlags, Dir, Mode, OFlags};
use sealift_layers::escape;
use sealift_layers::tree::Pattern;
use serde::{Deserialize, Serialize};

/// The hidden command of the program that prints the result of [`look`] as JSON.
pub const LOOK: &str = "look-into-volume";

/// Most bytes of a file that are read: a version has a few.
const FIRST_BYTES: u64 = 64;
/// Most entries of a folder that are looked at, and most files that are reported.
const ENTRY_LIMIT: usize = 10_000;
const FOUND_LIMIT: usize = 100;

/// Owner and mode of a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The number of its user.
    pub uid: u32,
    /// The number of its group.
    pub gid: u32,
    /// Its permissions, without the type.
    pub mode: u32,
    /// It has an access control list, which may allow more than the mode does.
    pub has_acl: bool,
}

/// What is in a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// Whether it has nothing at all.
    pub is_empty: bool,
    /// Whose the folder itself is.
    pub owner: Option<Owner>,
    /// The numbers of the users who have what is directly in it.
    pub owners: BTreeSet<u32>,
    /// The first line of each file that was looked for, by path: at most 64 bytes, escaped.
    pub first_lines: BTreeMap<String, String>,
}

/// Looks into the volume at `folder` for regular files that match `patterns`, where `*` stands for any characters within
/// a component.
///
/// # Errors
/// The folder cannot be read.
pub fn look(folder: &Path, patterns: &[String]) -> Result<Contents> {
    let open = || rustix::fs::open(folder, FOLDER, Mode::empty());
    let context = || format!("cannot look into {}", folder.display());
    let volume = open().with_context(context)?;
    let names = names(open().with_context(context)?).with_context(context)?;
    let owners = names.iter().filter_map(|name| {
        let found = rustix::fs::statat(&volume, &**name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        Some(found.st_uid)
    });
    let (owner, owners) = (owner(&volume), owners.collect());
    let mut contents = Contents { is_empty: names.is_empty(), owner, owners, ..Contents::default() };
    for pattern in patterns {
        let components: Vec<&str> = pattern.split('/').filter(|part| !part.is_empty()).collect();
        search(open().with_context(context)?, &components, String::new(), &mut contents.first_lines);
    }
    Ok(contents)
}

/// Owner and mode of a folder of the host; `None` where they cannot be read.
pub(super) fn owner_of(folder: &Path) -> Option<Owner> {
    owner(&rustix::fs::open(folder, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?)
}

fn owner(folder: &OwnedFd) -> Option<Owner> {
    let found = rustix::fs::fstat(folder).ok()?;
    let acl = rustix::fs::fgetxattr(folder, "system.posix_acl_access", &mut [0_u8; 0]);
    let mode = Mode::from_raw_mode(found.st_mode).as_raw_mode();
    Some(Owner { uid: found.st_uid, gid: found.st_gid, mode: mode & 0o7777, has_acl: acl.is_ok_and(|size| size > 0) })
}

/// How folders are opened: never through a link.
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Adds the files below `folder` that match `pattern`. What cannot be read is left out: it may change at any time.
fn search(folder: OwnedFd, pattern: &[&str], above: String, found: &mut BTreeMap<String, String>) {
    let Some((first, rest)) = pattern.split_first() else { return };
    let names = match first.contains('*') {
        false => vec![(*first).to_owned()],
        // As in a shell, `*` does not stand for hidden files.
        true => {
            let Ok(copy) = rustix::fs::openat(&folder, ".", FOLDER, Mode::empty()) else { return };
            let matching = Pattern::new(first);
            let matches =
                |name: &String| !name.starts_with('.') && name.parse().is_ok_and(|path| matching.matches(&path));
            names(copy).unwrap_or_default().into_iter().filter(matches).collect()
        }
    };
    for name in names.into_iter().filter(|name| name != ".." && name != ".") {
        let path = format!("{above}{name}");
        if rest.is_empty() {
            if let Some(line) = first_line(&folder, &name).filter(|_| found.len() < FOUND_LIMIT) {
                found.insert(escape::line(&path).into_owned(), line);
            }
        } else if let Ok(inner) = rustix::fs::openat(&folder, &*name, FOLDER, Mode::empty()) {
            search(inner, rest, format!("{path}/"), found);
        }
    }
}

/// The names in a folder, sorted.
fn names(folder: OwnedFd) -> rustix::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in Dir::new(folder)?.take(ENTRY_LIMIT) {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The first line of the regular file `name` in `folder`, as text that can be shown.
fn first_line(folder: &OwnedFd, name: &str) -> Option<String> {
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // Before it is opened: opening a device may already do something.
    let place = rustix::fs::openat(folder, name, OFlags::PATH | flags, Mode::empty()).ok()?;
    is_file(&place).then_some(())?;
    let read = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | flags;
    let file = rustix::fs::openat(folder, name, read, Mode::empty()).ok()?;
    is_file(&file).then_some(())?;
    let mut bytes = Vec::new();
    std::fs::File::from(file).take(FIRST_BYTES).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    Some(escape::line(text.lines().next().unwrap_or_default()).into_owned())
}

fn is_file(file: &OwnedFd) -> bool {
    rustix::fs::fstat(file).is_ok_and(|found| rustix::fs::FileType::from_raw_mode(found.st_mode).is_file())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Root read the file that a link in a database's volume led to, and showed its first line, of any length.
    #[test]
    fn nothing_but_the_beginning_of_regular_files_is_read() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        fs_err::create_dir_all(at("volume/16/data")).unwrap();
        fs_err::create_dir_all(at("outside/data")).unwrap();
        fs_err::write(at("outside/data/VERSION"), "secret of the host").unwrap();
        let look = || look(&at("volume"), &["*/data/VERSION".to_owned(), "VERSION".to_owned()]).unwrap();
        assert_eq!((look().is_empty, look().first_lines), (false, [].into()));
        symlink(at("outside"), at("volume/17")).unwrap();
        symlink("../../../outside/data/VERSION", at("volume/16/data/VERSION")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, at("volume/VERSION"), Mode::from_raw_mode(0o644)).unwrap();
        assert_eq!(look().first_lines, [].into());
        fs_err::remove_file(at("volume/VERSION")).unwrap();
        fs_err::write(at("volume/VERSION"), format!("\x1b]0;x\x07{}", "a".repeat(1 << 20))).unwrap();
        let found = look().first_lines;
        assert!(found["VERSION"].starts_with(r"\u{1b}]0;x\u{7}aaa") && found["VERSION"].len() < 100, "{found:?}");
    }

    #[test]
    fn an_empty_volume_differs_from_one_that_cannot_be_read() {
        let place = tempfile::tempdir().unwrap();
        assert!(look(place.path(), &[]).unwrap().is_empty);
        assert!(look(&place.path().join("none"), &[]).is_err());
        fs_err::write(place.path().join(".hidden"), "").unwrap();
        assert!(!look(place.path(), &["*".to_owned()]).unwrap().is_empty);
    }
}
