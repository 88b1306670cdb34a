//! Files of a site: written atomically, and never readable by more users than in the end.

use std::fs::DirBuilder;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, fchown};
use std::path::Path;

use anyhow::{Context, Result};

use crate::failure::Failure;
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

/// The bytes of a file; `None` if it does not exist.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs_err::read(path) {
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
        Err(error) => Err(error.into()),
    }
}

/// The text of a file; `None` if it does not exist.
pub(super) fn read_text(path: &Path) -> Result<Option<String>> {
    let Some(bytes) = read(path)? else { return Ok(None) };
    Ok(Some(String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8", path.display()))?))
}

/// Creates a directory and its parents if they do not exist, with `mode` from the start.
pub(super) fn directory(path: &Path, mode: u32) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .with_context(|| format!("cannot create {}", path.display()))
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

/// Writes `bytes` to `directory/name`: into a temporary file of mode 0600 beside it, whose group and then mode are set
/// before it takes its name. A group that cannot be set is added to `warnings`.
pub(super) fn write(directory: &Path, name: &str, bytes: &[u8], access: Access, warnings: &mut Findings) -> Result<()> {
    let path = directory.join(name);
    let parent = path.parent().unwrap_or(directory);
    let context = || format!("cannot write {}", path.display());
    let mut file = tempfile::Builder::new().prefix(".sealift-").tempfile_in(parent).with_context(context)?;
    file.write_all(bytes).with_context(context)?;
    set_group(file.as_file(), name, &path, access, warnings).with_context(context)?;
    file.as_file().set_permissions(PermissionsExt::from_mode(access.mode)).with_context(context)?;
    file.as_file().sync_all().with_context(context)?;
    file.persist(&path).with_context(context)?;
    // The rename is durable only after a sync of the directory.
    fs_err::File::open(parent)?.sync_all()?;
    Ok(())
}

/// Corrects the permissions of a file that is kept.
///
/// Links are skipped: their targets belong to the operator. A group that differs from the directory's is kept: operators
/// of rootless engines set it themselves.
pub(super) fn settle(directory: &Path, name: &str, access: Access, warnings: &mut Findings) -> Result<()> {
    let path = directory.join(name);
    let metadata = fs_err::symlink_metadata(&path)?;
    if metadata.is_symlink() {
        return Ok(());
    }
    let inherited = fs_err::metadata(directory)?.gid();
    let group = access.group.filter(|group| metadata.gid() == inherited && *group != inherited);
    let mode_differs = metadata.mode() & 0o7777 != access.mode;
    if group.is_none() && !mode_differs {
        return Ok(());
    }
    let file = fs_err::File::open(&path)?;
    set_group(file.file(), name, &path, Access { group, ..access }, warnings)?;
    if mode_differs {
        match file.file().set_permissions(PermissionsExt::from_mode(access.mode)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => warnings.warn(
                name,
                format!("has mode {:04o} instead of {:04o}", metadata.mode() & 0o7777, access.mode),
                format!("as its owner: chmod {:04o} {}", access.mode, path.display()),
            ),
            Err(error) => return Err(error).with_context(|| format!("cannot set the mode of {}", path.display())),
        }
    }
    Ok(())
}

fn set_group(file: &std::fs::File, name: &str, path: &Path, access: Access, warnings: &mut Findings) -> Result<()> {
    let Some(group) = access.group else { return Ok(()) };
    let path = path.display();
    match fchown(file, None, Some(group)) {
        Ok(()) => Ok(()),
        Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput) => {
            warnings.warn(
                name,
                format!("its group cannot be set to {group}, so its service cannot read it yet"),
                format!("rootless podman: podman unshare chgrp {group} {path}; otherwise: sudo chgrp {group} {path}"),
            );
            Ok(())
        }
        Err(error) => Err(error).with_context(|| format!("cannot set the group of {path}")),
    }
}
