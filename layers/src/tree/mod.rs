//! A file tree as a value: sorted path to entry, before it becomes a tar.
//!
//! Every ingredient produces a [`Tree`]; trees are merged into one per layer; `crate::tar` turns that into bytes.

mod content;
mod merge;
mod path;
mod pattern;
mod seat;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use content::{Content, Cursor, Open, SourceFile};
pub use merge::{Conflict, MergeError, Prefer};
pub use path::{PathError, TreePath};
pub use pattern::Pattern;
pub use seat::{SeatError, seat};

/// What an entry is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File(Content),
    /// A symbolic link and its target, as it is written (it may be relative, and may point nowhere).
    Symlink(String),
    /// A hard link to a regular file of the same tree.
    Hardlink(TreePath),
}

/// One path of an image.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Permission bits with setuid, setgid and sticky: at most `0o7777`.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Modification time in seconds since 1970. `None` takes the epoch of the layer.
    pub mtime: Option<u64>,
    /// Extended attributes, name to value.
    pub xattrs: BTreeMap<String, Vec<u8>>,
    /// Who brings it, for messages about conflicts: `package nginx-common 1.30.6-2`, `wheel anyio 4.16.0`.
    pub origin: Arc<str>,
}

impl Entry {
    fn new(kind: Kind, mode: u32, origin: &Arc<str>) -> Self {
        Self { kind, mode, uid: 0, gid: 0, mtime: None, xattrs: BTreeMap::new(), origin: origin.clone() }
    }

    /// A directory of root's.
    #[must_use]
    pub fn directory(mode: u32, origin: &Arc<str>) -> Self {
        Self::new(Kind::Directory, mode, origin)
    }

    /// A regular file of root's.
    #[must_use]
    pub fn file(content: impl Into<Content>, mode: u32, origin: &Arc<str>) -> Self {
        Self::new(Kind::File(content.into()), mode, origin)
    }

    /// A symbolic link of root's. Its mode is 0777: no system reads it.
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

/// Sorted path to entry. The root itself is not an entry.
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

    /// The entries, sorted bytewise by path: a directory comes before what is in it.
    pub fn iter(&self) -> impl Iterator<Item = (&TreePath, &Entry)> {
        self.entries.iter()
    }

    /// What is at and below `root`, sorted by path.
    pub fn below<'t>(&'t self, root: &'t TreePath) -> impl Iterator<Item = (&'t TreePath, &'t Entry)> {
        let after = |path: &'t TreePath| path.as_str().strip_prefix(root.as_str());
        let starting =
            self.entries.range(root.clone()..).map_while(move |(path, entry)| Some((after(path)?, path, entry)));
        // `a-b` comes between `a` and `a/b`.
        starting.filter(|(rest, ..)| rest.is_empty() || rest.starts_with('/')).map(|(_, path, entry)| (path, entry))
    }

    /// The entries, taken apart.
    pub fn into_entries(self) -> impl Iterator<Item = (TreePath, Entry)> {
        self.entries.into_iter()
    }

    /// The entry at `path`.
    #[must_use]
    pub fn get(&self, path: &TreePath) -> Option<&Entry> {
        self.entries.get(path)
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Puts `entry` at `path` and gives back what it replaced.
    pub fn insert(&mut self, path: TreePath, entry: Entry) -> Option<Entry> {
        self.entries.insert(path, entry)
    }

    /// Takes the entry at `path` away.
    pub fn remove(&mut self, path: &TreePath) -> Option<Entry> {
        self.entries.remove(path)
    }
}
