//! The cache of shared libraries, `/etc/ld.so.cache`.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use sealift_layers::ingredients::ldcache::{self, Library};
use sealift_layers::ingredients::ldconf;
use sealift_layers::listing::{Listing, Node};
use sealift_layers::platform::Architecture;
use sealift_layers::tree::{Entry, Kind, Tree, TreePath};

/// Adds the cache to a seated tree: of its own libraries and of those in the layers below, whose cache it replaces.
/// `ldconfig`, which a trigger of the C library's package runs, would find the same. `read_below` returns the contents of a
/// file in the layers below.
pub(super) fn add(
    tree: &mut Tree,
    lower: &Listing,
    architecture: Architecture,
    read_below: impl Fn(&TreePath) -> Result<Vec<u8>>,
) -> Result<()> {
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
    let all: BTreeMap<&TreePath, Library<'_>> = below.chain(own).collect();
    let links = all.iter().map(|(path, library)| match library {
        Library::File => (*path, None),
        Library::Link(target) => (*path, Some(*target)),
    });
    let configured = ldconf::directories(&links.collect(), |path| read(path, tree, lower, &read_below))?;
    let cache = ldcache::make(all.into_iter(), &configured, architecture);
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

/// The contents of a file of the tree or of the layers below.
fn read(
    path: &TreePath,
    tree: &Tree,
    lower: &Listing,
    read_below: impl Fn(&TreePath) -> Result<Vec<u8>>,
) -> Result<Vec<u8>> {
    let entry = match tree.get(path).map(|entry| &entry.kind) {
        Some(Kind::Hardlink(target)) => tree.get(target),
        _ => tree.get(path),
    };
    match entry.map(|entry| &entry.kind) {
        Some(Kind::File(content)) => content.read().map_err(anyhow::Error::from),
        _ => match lower.get(path).map(|listed| &listed.node) {
            Some(Node::Hardlink { target }) => read_below(target),
            _ => read_below(path),
        },
    }
    .with_context(|| format!("cannot read `/{path}` for the cache of shared libraries"))
}

#[cfg(test)]
mod tests {
    use sealift_layers::tar;

    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::new(text).unwrap()
    }

    fn tree(files: &[(&str, &str)]) -> Tree {
        let mut tree = Tree::new();
        for (name, text) in files {
            tree.insert(path(name), Entry::file(*text, 0o644, &Arc::from("test")));
        }
        tree
    }

    /// The loader found no library of a directory that only the configuration names.
    #[test]
    fn directories_of_the_configuration_count_in_this_layer_and_below() {
        let base = tree(&[("etc/ld.so.conf", "include ld.so.conf.d/*.conf\n"), ("opt/below/liba.so.1", "")]);
        let lower = tar::write(&base, tar::Options { epoch: 0, file_digests: true }, std::io::sink()).unwrap();
        let mut own = tree(&[("etc/ld.so.conf.d/x.conf", "/opt/below\n/opt/own\n"), ("opt/own/libb.so.1", "")]);
        add(&mut own, &lower, Architecture::Amd64, |path| read(path, &base, &lower, |_| unreachable!())).unwrap();
        let Kind::File(cache) = &own.get(&path(ldcache::PATH)).unwrap().kind else { unreachable!() };
        let cache = String::from_utf8_lossy(&cache.read().unwrap()).into_owned();
        assert!(cache.contains("/opt/below/liba.so.1") && cache.contains("/opt/own/libb.so.1"), "{cache:?}");
    }
}
