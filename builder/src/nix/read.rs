//! Store paths from the disk.

use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::files::{cannot, sorted_dir};
use sealift_layers::digest::Hasher;
use sealift_layers::ingredients::nix_store::{self, Closure, nar};
use sealift_layers::tree::{Content, Entry, Open, Tree, TreePath};

/// A file of the store, which nobody changes.
#[derive(Debug)]
struct StoreFile(PathBuf);

impl Open for StoreFile {
    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(fs_err::File::open(&self.0)?))
    }
}

/// The tree of one path, whose contents are read when they are needed.
pub(super) fn path(name: &str, store: &Path) -> Result<Tree> {
    let (at, root) = (store.join(name), TreePath::new(nix_store::STORE)?.join(name)?);
    if at.symlink_metadata().is_err() {
        let message = format!("/nix/store/{name} is not on this machine: there is no {}", at.display());
        let hint = "build it or copy it here: nix-store --realise PATH, nix copy --from STORE PATH";
        return Err(Failure::failed(message).hint(hint).into());
    }
    let mut tree = Tree::new();
    add(&at, root, &format!("/nix/store/{name}").into(), &mut tree)?;
    Ok(tree)
}

/// Reads one path of `tree`, and holds its NAR against the hash that the closure says.
pub(super) fn verify(closure: &Closure, name: &str, tree: &Tree) -> Result<()> {
    let known = closure.get(name).ok_or_else(|| Failure::failed(format!("{name} is not in the closure")))?;
    let mut hasher = Hasher::default();
    nar::write(tree, &TreePath::new(nix_store::STORE)?.join(name)?, &mut hasher)
        .map_err(|error| cannot("read", Path::new(&format!("/nix/store/{name}")), &error))?;
    let got = hasher.finish();
    if got != known.nar_hash {
        let message =
            format!("/nix/store/{name} has the wrong content: expected {} as its NAR's, got {got}", known.nar_hash);
        let hint = "nix-store --verify --check-contents tells whether this machine has damaged it; \
                    if not, the closure's file is of another build of it";
        return Err(Failure::verification(message).hint(hint).into());
    }
    Ok(())
}

fn add(at: &Path, path: TreePath, origin: &Arc<str>, tree: &mut Tree) -> Result<()> {
    let unreadable = |error: io::Error| cannot("read", at, &error);
    let found = at.symlink_metadata().map_err(unreadable)?;
    let utf8 = |text: &std::ffi::OsStr| -> Result<String> {
        let message = || Failure::failed(format!("{} is not in UTF-8, as names in images have to be", at.display()));
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
        Entry::file(Content::lazy(Arc::new(StoreFile(at.to_owned())), found.len()), mode, origin)
    } else {
        return Err(Failure::failed(format!("{} is neither a file nor a link nor a folder", at.display())).into());
    };
    tree.insert(path, entry.modified(nix_store::TIME));
    Ok(())
}
