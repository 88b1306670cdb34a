//! A file tree as a value: a sorted map from path to entry.
//!
//! Every ingredient produces a [`Tree`]. Trees are merged into one per layer, adapted to the layers below
//! ([`overlay()`]), and written as a tar ([`tar::write`](crate::tar::write())).
//!
//! ```
//! use std::sync::Arc;
//!
//! use sealift_layers::tree::{Entry, Prefer, Tree, TreePath};
//!
//! let file = |text: &str, origin: &str| Entry::file(text, 0o644, &Arc::from(origin));
//! let mut tree = Tree::new();
//! tree.insert(TreePath::new("/etc/a")?, file("one", "package a"));
//!
//! let mut other = Tree::new();
//! other.insert(TreePath::new("./etc/a")?, file("two", "package b"));
//! let error = tree.merge(other, |_, _| Prefer::Neither).unwrap_err();
//! assert_eq!(error.to_string(), "`/etc/a` has different contents in package a and in package b");
//! # Ok::<(), sealift_layers::tree::PathError>(())
//! ```

mod content;
mod links;
mod merge;
mod name;
mod overlay;
mod path;
mod pattern;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use content::{Content, Cursor, Open, SourceFile};
pub use links::through_links;
pub use merge::{Conflict, MergeError, Prefer};
pub use name::{bytes_of, text_of};
pub use overlay::{Overlap, OverlayError, overlay};
pub use path::{PathError, TreePath};
pub use pattern::Pattern;

/// The type of an entry.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File(Content),
    /// A symbolic link and its target as it is written in the link. It may be relative and need not exist.
    Symlink(String),
    /// A hard link to a regular file of the same tree.
    Hardlink(TreePath),
}

/// One path of an image.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its type, with the content or the target.
    pub kind: Kind,
    /// Permission bits, setuid, setgid and sticky bits: at most `0o7777`.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Modification time in seconds since 1970. `None` stands for the epoch of the layer.
    pub mtime: Option<u64>,
    /// Extended attributes, name to value.
    pub xattrs: BTreeMap<String, Vec<u8>>,
    /// The ingredient that it comes from, for error messages: `package nginx-common 1.30.6-2`, `wheel anyio 4.16.0`.
    pub origin: Arc<str>,
}

impl Entry {
    fn new(kind: Kind, mode: u32, origin: &Arc<str>) -> Self {
        Self { kind, mode, uid: 0, gid: 0, mtime: None, xattrs: BTreeMap::new(), origin: origin.clone() }
    }

    /// A directory owned by root.
    #[must_use]
    pub fn directory(mode: u32, origin: &Arc<str>) -> Self {
        Self::new(Kind::Directory, mode, origin)
    }

    /// A regular file owned by root.
    #[must_use]
    pub fn file(content: impl Into<Content>, mode: u32, origin: &Arc<str>) -> Self {
        Self::new(Kind::File(content.into()), mode, origin)
    }

    /// A symbolic link owned by root. Its mode is 0777, which Linux ignores.
    #[must_use]
    pub fn symlink(target: impl Into<String>, origin: &Arc<str>) -> Self {
        Self::new(Kind::Symlink(target.into()), 0o777, origin)
    }

    /// The same entry with another owner.
    #[must_use]
    pub fn owned_by(mut self, uid: u32, gid: u32) -> Self {
        (self.uid, self.gid) = (uid, gid);
        self
    }

    /// The same entry with a modification time in seconds since 1970.
    #[must_use]
    pub fn modified(mut self, mtime: u64) -> Self {
        self.mtime = Some(mtime);
        self
    }
}

/// A sorted map from path to entry. The root itself is not an entry.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    entries: BTreeMap<TreePath, Entry>,
}

impl Tree {
    /// An empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The entries, sorted bytewise by path: a directory comes before its contents.
    pub fn iter(&self) -> impl Iterator<Item = (&TreePath, &Entry)> {
        self.entries.iter()
    }

    /// The entries at and below `root`, sorted by path.
    pub fn below<'t>(&'t self, root: &'t TreePath) -> impl Iterator<Item = (&'t TreePath, &'t Entry)> {
        let after = |path: &'t TreePath| path.as_str().strip_prefix(root.as_str());
        let starting =
            self.entries.range(root.clone()..).map_while(move |(path, entry)| Some((after(path)?, path, entry)));
        // `a-b` comes between `a` and `a/b`.
        starting.filter(|(rest, ..)| rest.is_empty() || rest.starts_with('/')).map(|(_, path, entry)| (path, entry))
    }

    /// The entries, sorted by path; consumes the tree.
    pub fn into_entries(self) -> impl Iterator<Item = (TreePath, Entry)> {
        self.entries.into_iter()
    }

    /// The entry at `path`.
    #[must_use]
    pub fn get(&self, path: &TreePath) -> Option<&Entry> {
        self.entries.get(path)
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the tree has no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Inserts `entry` at `path` and returns the entry that it replaced.
    pub fn insert(&mut self, path: TreePath, entry: Entry) -> Option<Entry> {
        self.entries.insert(path, entry)
    }

    /// Removes and returns the entry at `path`.
    pub fn remove(&mut self, path: &TreePath) -> Option<Entry> {
        self.entries.remove(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_yields_a_path_and_its_contents_but_not_its_neighbours() {
        let mut tree = Tree::new();
        for name in ["a", "a-b", "a.b", "a/x", "a/x/y", "ab", "b"] {
            tree.insert(TreePath::new(name).unwrap(), Entry::directory(0o755, &Arc::from("test")));
        }
        let root = TreePath::new("a").unwrap();
        let below: Vec<&str> = tree.below(&root).map(|(path, _)| path.as_str()).collect();
        assert_eq!(below, ["a", "a/x", "a/x/y"]);
    }
}
