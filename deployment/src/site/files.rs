//! Files of a site: written atomically, and never readable by more users than in the end.

use std::collections::BTreeSet;
use std::fs::DirBuilder;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::failure::Failure;
use crate::files::{self, Pending};
use crate::finding::Findings;

/// Permission bits of a directory with keys or secrets.
pub(super) const PRIVATE: u32 = 0o700;

/// Permissions of a file of the site: bits and, where the profile has one, a numeric group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) mode: u32,
    pub(super) group: Option<u32>,
}

impl Access {
    pub(super) fn mode(mode: u32) -> Self {
        Self { mode, group: None }
    }
}

/// The bytes of the file `name` of the site in `directory`; `None` if it does not exist. Links are not followed.
pub(super) fn read(directory: &Path, name: &str) -> Result<Option<Vec<u8>>> {
    let (directory, name) = base(directory, name);
    let path = directory.join(name);
    let read = files::open_below(&directory, name).and_then(|file| files::read_up_to(file, files::DOCUMENT_LIMIT));
    match read {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        // Engines create a directory in place of a missing file that they have to mount.
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
            Err(Failure::failed(format!("{} is a directory, not a file", path.display()))
                .hint(format!(
                    "services were started before the site was created: stop them, then rmdir {}",
                    path.display()
                ))
                .into())
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            Err(Failure::failed(error.to_string()).hint("a site has files only: put a copy in its place").into())
        }
        Err(error) => Err(error.into()),
    }
}

/// The folder and the name in it of a file of the site. `../NAME` is beside the site.
fn base<'n>(directory: &Path, name: &'n str) -> (PathBuf, &'n str) {
    match name.strip_prefix("../") {
        Some(name) => (directory.join(".."), name),
        None => (directory.to_owned(), name),
    }
}

/// The text of a file; `None` if it does not exist.
pub(super) fn read_text(directory: &Path, name: &str) -> Result<Option<String>> {
    let Some(bytes) = read(directory, name)? else { return Ok(None) };
    let path = directory.join(name);
    Ok(Some(String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8", path.display()))?))
}

/// Creates the directory `name` of the site in `directory`, and its parents, if they do not exist, with `mode` from the
/// start; an empty name is the site itself. In an existing one, nobody but its owner may change files.
pub(super) fn directory(directory: &Path, name: &str, mode: u32) -> Result<()> {
    let path = if name.is_empty() { directory.to_owned() } else { directory.join(name) };
    let context = || format!("cannot create {}", path.display());
    // The site itself may be reached through a link, what is in it may not.
    if !directory.is_dir() || !name.is_empty() && path.symlink_metadata().is_err() {
        let made = DirBuilder::new().recursive(true).mode(mode).create(&path);
        made.map_err(|error| files::cannot("create", &path, &error))?;
    }
    let opened = files::open_folder_below(directory, name).with_context(context)?;
    let found = opened.metadata()?;
    let own = rustix::process::geteuid();
    if found.mode() & 0o022 != 0 && (own.is_root() || found.uid() == own.as_raw()) {
        let closed = PermissionsExt::from_mode(found.mode() & 0o7755);
        opened.file().set_permissions(closed).with_context(|| format!("cannot set the mode of {}", path.display()))?;
    }
    Ok(())
}

/// Whether there is any file in the site.
pub(super) fn has_any(directory: &Path) -> Result<bool> {
    for path in files::sorted_dir(directory)? {
        if !path.symlink_metadata()?.is_dir() || has_any(&path)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Removes what a killed process left behind in the site: files that were not finished, perhaps with secrets. The site must
/// be locked.
pub(super) fn remove_unfinished(directory: &Path) -> Result<()> {
    for path in files::sorted_dir(directory)? {
        let Ok(metadata) = path.symlink_metadata() else { continue };
        if metadata.is_dir() {
            remove_unfinished(&path)?;
        } else if path.file_name().is_some_and(|name| files::is_unfinished(&name.to_string_lossy())) {
            fs_err::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Closes an existing directory to all but its owner. Links are skipped: their targets belong to the operator.
pub(super) fn close_directory(directory: &Path, name: &str, warnings: &mut Findings) -> Result<()> {
    let path = if name.is_empty() { directory.to_owned() } else { directory.join(name) };
    let Ok(metadata) = fs_err::symlink_metadata(&path) else { return Ok(()) };
    if !metadata.is_dir() || metadata.mode() & 0o077 == 0 {
        return Ok(());
    }
    match fs_err::set_permissions(&path, PermissionsExt::from_mode(PRIVATE)) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let message = format!("other users can enter it: it has mode {:04o}", metadata.mode() & 0o7777);
            warnings.warn(format!("{name}/"), message, format!("as its owner: chmod {PRIVATE:o} {}", path.display()));
            Ok(())
        }
        Err(error) => Err(error).with_context(|| format!("cannot set the mode of {}", path.display())),
    }
}

/// Removes the files below `folder` that are not `expected`. Links are not followed.
pub(super) fn remove_others(folder: &Path, expected: &BTreeSet<PathBuf>) -> Result<()> {
    if !folder.symlink_metadata().is_ok_and(|found| found.is_dir()) {
        return Ok(());
    }
    for path in files::sorted_dir(folder)? {
        if path.symlink_metadata()?.is_dir() {
            remove_others(&path, expected)?;
        } else if !expected.contains(&path) {
            fs_err::remove_file(path)?;
        }
    }
    Ok(())
}

/// Writes `bytes` to the file `name` of the site in `directory`: as a file of mode 0600, whose group and then mode are set
/// before it takes its name. A group that cannot be set is added to `warnings`.
pub(super) fn write(directory: &Path, name: &str, bytes: &[u8], access: Access, warnings: &mut Findings) -> Result<()> {
    let (folder, name_in_folder) = base(directory, name);
    let path = directory.join(name);
    let context = || format!("cannot write {}", path.display());
    // Refuses links in its path.
    files::open_folder_below(&folder, name_in_folder.rsplit_once('/').map_or("", |(parent, _)| parent))?;
    let mut file = Pending::private(&path)?;
    file.write_all(bytes).map_err(|error| files::explain(&path, error.into()))?;
    set_group(file.as_file(), name, &path, access, warnings).with_context(context)?;
    file.as_file().set_permissions(PermissionsExt::from_mode(access.mode)).with_context(context)?;
    file.commit()
}

/// The first number of groups that operators give to users of rootless engines (subgid(5), `SUB_GID_MIN` of login.defs(5) is
/// higher).
const SUBORDINATE: u32 = 65_536;

/// Corrects the permissions of a file that is kept: a later version of the profile may have others.
///
/// A group from [`SUBORDINATE`] on is kept: operators of rootless engines set it themselves. So does one who is not root.
///
/// Returns what was corrected; empty for nothing.
pub(super) fn settle(directory: &Path, name: &str, access: Access, warnings: &mut Findings) -> Result<String> {
    let path = directory.join(name);
    let (folder, name_in_folder) = base(directory, name);
    let file = files::open_below(&folder, name_in_folder)?;
    let metadata = file.metadata()?;
    let inherited = fs_err::metadata(directory)?.gid();
    let is_root = rustix::process::geteuid().is_root();
    let is_own = metadata.gid() == inherited || is_root && metadata.gid() < SUBORDINATE;
    let group = access.group.filter(|group| is_own && *group != metadata.gid());
    let mode_differs = metadata.mode() & 0o7777 != access.mode;
    let mut corrected = Vec::new();
    if let Some(group) = group
        && set_group(file.file(), name, &path, Access { group: Some(group), ..access }, warnings)?
    {
        corrected.push(format!("group {group} instead of {}", metadata.gid()));
    }
    if mode_differs {
        let was = metadata.mode() & 0o7777;
        match file.file().set_permissions(PermissionsExt::from_mode(access.mode)) {
            Ok(()) => corrected.push(format!("mode {:04o} instead of {was:04o}", access.mode)),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => warnings.warn(
                name,
                format!("has mode {was:04o} instead of {:04o}", access.mode),
                format!("as its owner: chmod {:04o} {}", access.mode, path.display()),
            ),
            Err(error) => return Err(error).with_context(|| format!("cannot set the mode of {}", path.display())),
        }
    }
    Ok(corrected.join(", "))
}

/// Returns whether the file has the group of `access` now.
fn set_group(file: &std::fs::File, name: &str, path: &Path, access: Access, warnings: &mut Findings) -> Result<bool> {
    let Some(group) = access.group else { return Ok(false) };
    let path = path.display();
    match fchown(file, None, Some(group)) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput) => {
            warnings.warn(
                name,
                format!("its group cannot be set to {group}, so its service cannot read it yet"),
                format!("rootless podman: podman unshare chgrp {group} {path}; otherwise: sudo chgrp {group} {path}"),
            );
            Ok(false)
        }
        Err(error) => Err(error).with_context(|| format!("cannot set the group of {path}")),
    }
}
