//! An image's files as a relocatable folder: its layers merged, and no symbolic link that leads out of it.
//!
//! - Owned by root, permissions 0755 or 0644, no setuid bits and no extended attributes: an ordinary user unpacks it, and
//!   nothing in it has more rights than that user.
//! - Hard links become files. Empty directories are left out: nothing mounts anything there.
//! - Symbolic links are relative, with the same targets as in the image. Those without a target in the image are left
//!   out: on the host they might have one.

use std::collections::BTreeSet;
use std::io::{Seek, SeekFrom};
use std::sync::Arc;

use anyhow::{Context, Result};
use sealift_deployment::files;
use sealift_layers::codec::Codec;
use sealift_layers::digest::HashingWriter;
use sealift_layers::tar;
use sealift_layers::tree::{Entry, Kind, SourceFile, Tree, TreePath};

use crate::plan::FinishedLayer;
use crate::store::Store;

/// How many symbolic links a path may go through. More are a cycle (`ELOOP` on Linux).
const MAX_LINKS: usize = 40;

/// The merged, relocatable tree of finished layers, which come bottom first.
///
/// # Errors
/// When a layer is damaged in the store, or the disk is full.
pub(super) fn tree(layers: &[FinishedLayer], codec: Codec, store: &Store) -> Result<Tree> {
    let mut merged = Tree::new();
    for finished in layers {
        let layer = read(finished, codec, store)?;
        for (path, entry) in layer.iter() {
            // The target of a hard link is in the same layer.
            let entry = match &entry.kind {
                Kind::Hardlink(target) => layer.get(target).context("the target of a hard link is not in its layer")?,
                _ => entry,
            };
            merged.insert(path.clone(), entry.clone());
        }
    }
    Ok(relocated(&merged))
}

fn read(finished: &FinishedLayer, codec: Codec, store: &Store) -> Result<Tree> {
    let mut spool = store.temporary()?.into_file();
    let mut meter = HashingWriter::new(&mut spool);
    std::io::copy(&mut codec.decoder(files::open(&store.blob_path(&finished.layer.digest))?)?, &mut meter)
        .map_err(|error| files::explain(store.root(), error.into()))?;
    if meter.finish().1.digest != finished.layer.diff_id {
        return Err(store.damaged_blob(&finished.layer.digest).into());
    }
    spool.seek(SeekFrom::Start(0))?;
    Ok(tar::read(&SourceFile::new(spool), &Arc::from(finished.title.as_str()))?)
}

fn relocated(image: &Tree) -> Tree {
    let mut tree = Tree::new();
    for (path, entry) in image.iter() {
        let kind = match &entry.kind {
            Kind::Symlink(target) => match resolved(image, path, target) {
                Some(to) => Kind::Symlink(relative(path, &to)),
                None => continue,
            },
            Kind::Directory => continue,
            other => other.clone(),
        };
        let mode = match kind {
            Kind::Symlink(_) => 0o777,
            _ if entry.mode & 0o111 != 0 => 0o755,
            _ => 0o644,
        };
        tree.insert(path.clone(), Entry { kind, mtime: entry.mtime, ..Entry::directory(mode, &entry.origin) });
    }
    tree
}

/// Adds every parent directory of the tree's entries that it does not have yet.
pub(super) fn add_directories(tree: &mut Tree) -> Result<()> {
    let mut directories = BTreeSet::new();
    for (path, _) in tree.iter() {
        directories.extend(path.as_str().match_indices('/').map(|(at, _)| path.as_str()[..at].to_owned()));
    }
    let origin: Arc<str> = "bundle".into();
    for directory in directories {
        let path = TreePath::new(&directory)?;
        if tree.get(&path).is_none() {
            tree.insert(path, Entry::directory(0o755, &origin));
        }
    }
    Ok(())
}

/// The target of the link at `path` in the image, as the components of an absolute path, if it exists. Links in the
/// path itself are not followed.
fn resolved(image: &Tree, path: &TreePath, target: &str) -> Option<Vec<String>> {
    let written = joined(parent(path), target);
    let mut left = MAX_LINKS;
    exists(image, &written, &mut left).then_some(written)
}

/// Whether `path` exists, with links followed; at most `left` of them.
fn exists(image: &Tree, path: &[String], left: &mut usize) -> bool {
    for end in 1..=path.len() {
        let Ok(here) = TreePath::new(&path[..end].join("/")) else { return false };
        match image.get(&here).map(|entry| &entry.kind) {
            None => return false,
            Some(Kind::Symlink(target)) => {
                if *left == 0 {
                    return false;
                }
                *left -= 1;
                let mut next = joined(&path[..end - 1], target);
                next.extend_from_slice(&path[end..]);
                return exists(image, &next, left);
            }
            Some(_) => {}
        }
    }
    true
}

fn parent(path: &TreePath) -> Vec<String> {
    let mut components: Vec<String> = path.as_str().split('/').map(str::to_owned).collect();
    components.pop();
    components
}

/// The absolute path of `target`, relative to the directory `from`. `..` of the root is the root.
fn joined(from: impl AsRef<[String]>, target: &str) -> Vec<String> {
    let mut components = if target.starts_with('/') { Vec::new() } else { from.as_ref().to_vec() };
    for component in target.split('/') {
        match component {
            "" | "." => {}
            ".." => drop(components.pop()),
            name => components.push(name.to_owned()),
        }
    }
    components
}

/// The text of a link at `path` that leads to `to`.
fn relative(path: &TreePath, to: &[String]) -> String {
    let from = parent(path);
    let common = from.iter().zip(to).take_while(|(one, two)| one == two).count();
    let up = std::iter::repeat_n("..", from.len() - common);
    let words: Vec<&str> = up.chain(to[common..].iter().map(String::as_str)).collect();
    if words.is_empty() { ".".to_owned() } else { words.join("/") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(entries: &[(&str, Entry)]) -> Tree {
        let mut tree = Tree::new();
        for (path, entry) in entries {
            tree.insert(TreePath::new(path).unwrap(), entry.clone());
        }
        tree
    }

    fn listed(tree: &Tree) -> String {
        let line = |(path, entry): (&TreePath, &Entry)| match &entry.kind {
            Kind::Symlink(target) => format!("{path} -> {target}"),
            Kind::Directory => format!("{path}/"),
            _ => format!("{path} {:o} {}:{} {:?}", entry.mode, entry.uid, entry.gid, entry.xattrs),
        };
        tree.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn no_link_leads_out_of_the_folder() {
        let origin: Arc<str> = "test".into();
        let link = |target: &str| Entry::symlink(target, &origin);
        let directory = Entry::directory(0o1777, &origin);
        let mut special = Entry::file("x", 0o6755, &origin).owned_by(7, 8);
        special.xattrs.insert("security.capability".into(), vec![1]);
        let tree = relocated(&image(&[
            ("bin", link("usr/bin")),
            ("circle", link("/circle")),
            ("etc", directory.clone()),
            ("etc/localtime", link("/usr/share/zone")),
            ("etc/motd", link("/run/motd")),
            ("tmp", directory.clone()),
            ("usr", directory.clone()),
            ("usr/bin", directory.clone()),
            ("usr/bin/deep", link("../../../../../bin/ping")),
            ("usr/bin/ping", special),
            ("usr/lib64", link("/bin")),
            ("usr/readme", Entry::file("x", 0o600, &origin)),
            ("usr/root", link("/")),
            ("usr/self", link(".")),
            ("usr/through", link("/usr/lib64/ping")),
            ("usr/up", link("../../..")),
        ]));
        insta::assert_snapshot!(listed(&tree), @r"
        bin -> usr/bin
        usr/bin/deep -> ../../bin/ping
        usr/bin/ping 755 0:0 {}
        usr/lib64 -> ../bin
        usr/readme 644 0:0 {}
        usr/root -> ..
        usr/self -> .
        usr/through -> lib64/ping
        usr/up -> ..
        ");
    }

    #[test]
    fn every_parent_directory_is_added() {
        let origin: Arc<str> = "test".into();
        let mut tree = image(&[("a/b/c", Entry::file("", 0o644, &origin)), ("d", Entry::file("", 0o644, &origin))]);
        add_directories(&mut tree).unwrap();
        insta::assert_snapshot!(listed(&tree), @r"
        a/
        a/b/
        a/b/c 644 0:0 {}
        d 644 0:0 {}
        ");
    }
}
