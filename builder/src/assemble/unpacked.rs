//! Unpacks a tree to the disk, for running the interpreter in it. Owners, times and special bits are not restored.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use anyhow::Result;
use sealift_layers::tree::{Kind, Tree, TreePath};

/// Writes the paths of `tree` that `is_needed` selects below `root`. Paths have no `..`, and files are never written through
/// the tree's own links, since a real tree has nothing below a link.
pub(super) fn write(tree: &Tree, root: &Path, is_needed: impl Fn(&TreePath) -> bool) -> Result<()> {
    for (path, entry) in tree.iter().filter(|(path, _)| is_needed(path)) {
        let at = root.join(path.as_str());
        if let Some(parent) = at.parent() {
            fs_err::create_dir_all(parent)?;
        }
        match &entry.kind {
            Kind::Directory => fs_err::create_dir_all(&at)?,
            Kind::File(content) => {
                let mut file = fs_err::File::create(&at)?;
                std::io::copy(&mut content.reader(), &mut file)?;
                if entry.mode & 0o111 != 0 {
                    fs_err::set_permissions(&at, std::fs::Permissions::from_mode(0o755))?;
                }
            }
            Kind::Symlink(target) => {
                if at.symlink_metadata().is_err() {
                    symlink(target, &at)?;
                }
            }
            Kind::Hardlink(target) => {
                if let Some(Kind::File(content)) = tree.get(target).map(|entry| &entry.kind) {
                    let mut file = fs_err::File::create(&at)?;
                    std::io::copy(&mut content.reader(), &mut file)?;
                    fs_err::set_permissions(&at, std::fs::Permissions::from_mode(0o755))?;
                }
            }
        }
    }
    Ok(())
}
