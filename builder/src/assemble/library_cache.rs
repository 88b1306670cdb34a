//! The cache of shared libraries, `/etc/ld.so.cache`.

use std::sync::Arc;

use anyhow::Result;
use sealift_layers::ingredients::ldcache::{self, Library};
use sealift_layers::listing::{Listing, Node};
use sealift_layers::platform::Architecture;
use sealift_layers::tree::{Entry, Kind, Tree, TreePath};

/// Adds the cache to a seated tree: of its own libraries and of those in the layers below, whose cache it replaces.
/// `ldconfig`, which a trigger of the C library's package runs, would write the same.
pub(super) fn add(tree: &mut Tree, lower: &Listing, architecture: Architecture) -> Result<()> {
    let below = lower.iter().filter_map(|(path, listed)| match &listed.node {
        Node::File { .. } | Node::Hardlink { .. } => Some((path, Library::File)),
        Node::Symlink { target } => Some((path, Library::Link(target))),
        Node::Directory => None,
    });
    let own = tree.iter().filter_map(|(path, entry)| match &entry.kind {
        Kind::File(_) | Kind::Hardlink(_) => Some((path, Library::File)),
        Kind::Symlink(target) => Some((path, Library::Link(target))),
        Kind::Directory => None,
    });
    let cache = ldcache::make(below.chain(own), architecture);
    // As new as the newest library, so that it does not change with every build.
    let mtime = tree.iter().filter_map(|(_, entry)| entry.mtime).max();
    let path = TreePath::new(ldcache::PATH)?;
    let entry = Entry { mtime, ..Entry::file(cache, 0o644, &Arc::from("the library cache")) };
    if let Some(parent) = path.parent().filter(|parent| tree.get(parent).is_none()) {
        let (mode, uid, gid) = lower.get(&parent).map_or((0o755, 0, 0), |below| (below.mode, below.uid, below.gid));
        tree.insert(parent, Entry::directory(mode, &entry.origin).owned_by(uid, gid));
    }
    tree.insert(path, entry);
    Ok(())
}
