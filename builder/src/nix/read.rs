//! Reading store paths from the disk.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::files::{LazyFile, cannot, sorted_dir};
use sealift_layers::digest::Hasher;
use sealift_layers::ingredients::nix_store::{self, Closure, nar};
use sealift_layers::tree::{Content, Entry, Tree, TreePath};

/// The tree of one store path. Files are read on demand.
pub(super) fn path(name: &str, store: &Path) -> Result<Tree> {
    let (at, root) = (store.join(name), TreePath::new(nix_store::STORE)?.join(name)?);
    if at.symlink_metadata().is_err() {
        let message = format!("/nix/store/{name} is not on this machine: {} does not exist", at.display());
        let hint = "build it with `nix-store --realise PATH`, or copy it with `nix copy --from STORE PATH`";
        return Err(Failure::failed(message).hint(hint).into());
    }
    let mut tree = Tree::new();
    add(&at, root, &format!("/nix/store/{name}").into(), &mut tree)?;
    Ok(tree)
}

/// Checks the hash of one store path's NAR against the closure.
pub(super) fn verify(closure: &Closure, name: &str, tree: &Tree) -> Result<()> {
    let expected = closure.get(name).ok_or_else(|| Failure::failed(format!("{name} is not in the closure")))?;
    let mut hasher = Hasher::default();
    nar::write(tree, &TreePath::new(nix_store::STORE)?.join(name)?, &mut hasher)
        .map_err(|error| cannot("read", Path::new(&format!("/nix/store/{name}")), &error))?;
    let got = hasher.finish();
    if got != expected.nar_hash {
        let message = format!(
            "/nix/store/{name} has the wrong content\n  expected NAR hash {}\n  got               {got}",
            expected.nar_hash
        );
        let hint = "check this machine with `nix-store --verify --check-contents`, and write the closure's file again";
        return Err(Failure::verification(message).hint(hint).into());
    }
    Ok(())
}

/// Adds the file at `at`, and everything below it, to `tree` as `path`.
fn add(at: &Path, path: TreePath, origin: &Arc<str>, tree: &mut Tree) -> Result<()> {
    let unreadable = |error: io::Error| cannot("read", at, &error);
    let found = at.symlink_metadata().map_err(unreadable)?;
    let utf8 = |text: &std::ffi::OsStr| -> Result<String> {
        let message = || Failure::failed(format!("{}: names in images must be UTF-8", at.display()));
        Ok(text.to_str().ok_or_else(message)?.to_owned())
    };
    let entry = if found.is_symlink() {
        Entry::symlink(utf8(fs_err::read_link(at)?.as_os_str())?, origin)
    } else if found.is_dir() {
        for child in sorted_dir(at)? {
            let name = utf8(child.file_name().unwrap_or_default())?;
            add(&child, path.join(&name)?, origin, tree)?;
        }
        Entry::directory(0o555, origin)
    } else if found.is_file() {
        let mode = if found.permissions().mode() & 0o100 == 0 { 0o444 } else { 0o555 };
        let name = utf8(at.file_name().unwrap_or_default())?;
        let file = LazyFile { folder: at.parent().unwrap_or(at).to_owned(), name };
        Entry::file(Content::lazy(Arc::new(file), found.len()), mode, origin)
    } else {
        return Err(Failure::failed(format!("{} is not a file, a link or a folder", at.display())).into());
    };
    tree.insert(path, entry.modified(nix_store::TIME));
    Ok(())
}
