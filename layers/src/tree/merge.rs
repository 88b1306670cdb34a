//! Merging trees, dropping paths, and ordering hard links.

use std::collections::BTreeMap;
use std::io;

use super::{Entry, Kind, Tree, TreePath};
use crate::limits::MESSAGES;

/// Two ingredients have the same path with different contents.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`/{path}` has different contents in {first} and in {second}")]
pub struct Conflict {
    /// The path.
    pub path: TreePath,
    /// The origin of the entry that was there first.
    pub first: String,
    /// The origin of the entry that came second.
    pub second: String,
}

/// Why trees cannot be merged.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// All paths with different contents.
    #[error("{}", list(.0))]
    Conflicts(Vec<Conflict>),
    /// A content cannot be read for the comparison.
    #[error("cannot read `/{path}` of {origin}")]
    Read {
        /// The path.
        path: TreePath,
        /// The ingredient that it comes from.
        origin: String,
        /// The cause.
        source: io::Error,
    },
}

pub(super) fn list(conflicts: &[Conflict]) -> String {
    let mut lines: Vec<String> = conflicts.iter().take(MESSAGES).map(ToString::to_string).collect();
    if conflicts.len() > MESSAGES {
        lines.push(format!("and {} more", conflicts.len() - MESSAGES));
    }
    lines.join("\n")
}

/// Which of two entries with the same path is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefer {
    /// The one that was there first.
    First,
    /// The one that came second.
    Second,
    /// Neither: they must be equal.
    Neither,
}

impl Tree {
    /// Adds all entries of `other`. If both trees have a path: of two directories the first one is kept; of other entries
    /// `prefer(first, second)` chooses; and if it chooses neither, they must be equal.
    ///
    /// # Errors
    /// [`MergeError`]: all conflicts, or the first content that cannot be read.
    pub fn merge(&mut self, other: Self, prefer: impl Fn(&Entry, &Entry) -> Prefer) -> Result<(), MergeError> {
        let mut conflicts = Vec::new();
        for (path, second) in other.entries {
            match self.entries.get(&path) {
                None => {
                    self.entries.insert(path, second);
                }
                Some(first) if matches!((&first.kind, &second.kind), (Kind::Directory, Kind::Directory)) => {}
                Some(first) => match prefer(first, &second) {
                    Prefer::First => {}
                    Prefer::Second => {
                        self.entries.insert(path, second);
                    }
                    Prefer::Neither => {
                        let same = first.same_as(&second).map_err(|source| MergeError::Read {
                            path: path.clone(),
                            origin: second.origin.to_string(),
                            source,
                        })?;
                        if !same {
                            let (first, second) = (first.origin.to_string(), second.origin.to_string());
                            conflicts.push(Conflict { path, first, second });
                        }
                    }
                },
            }
        }
        if conflicts.is_empty() { Ok(()) } else { Err(MergeError::Conflicts(conflicts)) }
    }

    /// Keeps the paths for which `keep` returns `true`. The first hard link to a dropped file becomes the file itself.
    pub fn retain(&mut self, keep: impl Fn(&TreePath) -> bool) {
        let mut dropped = BTreeMap::new();
        let entries = std::mem::take(&mut self.entries);
        for (path, entry) in entries {
            if keep(&path) {
                self.entries.insert(path, entry);
            } else {
                dropped.insert(path, entry);
            }
        }
        let mut successors: BTreeMap<TreePath, TreePath> = BTreeMap::new();
        let paths: Vec<TreePath> = self.entries.keys().cloned().collect();
        for path in paths {
            let Some(Entry { kind: Kind::Hardlink(target), .. }) = self.entries.get(&path) else { continue };
            let Some(original) = dropped.get(target) else { continue };
            let entry = match successors.get(target) {
                Some(successor) => Entry { kind: Kind::Hardlink(successor.clone()), ..original.clone() },
                None => {
                    successors.insert(target.clone(), path.clone());
                    original.clone()
                }
            };
            self.entries.insert(path, entry);
        }
    }

    /// Makes every hard link come after its target in path order, as a tar needs it: of each group of links the first path
    /// becomes the file and the others link to it.
    ///
    /// # Errors
    /// The path of a link whose target is not a file of this tree.
    pub fn normalize_hardlinks(&mut self) -> Result<(), TreePath> {
        let links: Vec<(TreePath, TreePath)> = self
            .entries
            .iter()
            .filter_map(|(path, entry)| match &entry.kind {
                Kind::Hardlink(target) => Some((path.clone(), target.clone())),
                _ => None,
            })
            .collect();
        let mut moved: BTreeMap<TreePath, TreePath> = BTreeMap::new();
        for (link, target) in links {
            let file = moved.get(&target).cloned().unwrap_or_else(|| target.clone());
            let Some(original) = self.entries.get(&file).filter(|e| matches!(e.kind, Kind::File(_))).cloned() else {
                return Err(link);
            };
            if link < file {
                let as_link = Entry { kind: Kind::Hardlink(link.clone()), ..original.clone() };
                self.entries.insert(file, as_link);
                self.entries.insert(link.clone(), original);
                moved.insert(target, link);
            } else {
                self.entries.insert(link, Entry { kind: Kind::Hardlink(file), ..original });
            }
        }
        // Links that were handled before their file moved again have the old target.
        for entry in self.entries.values_mut() {
            if let Kind::Hardlink(target) = &mut entry.kind
                && let Some(file) = moved.get(target)
            {
                *target = file.clone();
            }
        }
        Ok(())
    }
}

impl Entry {
    /// Whether both are the same link, or files of the same bytes and mode.
    fn same_as(&self, other: &Self) -> io::Result<bool> {
        Ok(match (&self.kind, &other.kind) {
            (Kind::Symlink(one), Kind::Symlink(two)) => one == two,
            (Kind::Hardlink(one), Kind::Hardlink(two)) => one == two,
            (Kind::File(one), Kind::File(two)) => {
                (self.mode, self.uid, self.gid) == (other.mode, other.uid, other.gid)
                    && self.xattrs == other.xattrs
                    && one.same_as(two)?
            }
            _ => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::new(text).unwrap()
    }

    fn file(text: &str, origin: &str) -> Entry {
        Entry::file(text, 0o644, &Arc::from(origin))
    }

    fn link(target: &str) -> Entry {
        Entry { kind: Kind::Hardlink(path(target)), ..file("", "test") }
    }

    fn tree(entries: impl IntoIterator<Item = (&'static str, Entry)>) -> Tree {
        let mut tree = Tree::new();
        for (name, entry) in entries {
            tree.insert(path(name), entry);
        }
        tree
    }

    #[test]
    fn a_conflict_names_the_path_and_both_origins() {
        let mut first = tree([("a", file("1", "package one")), ("b", file("1", "package one"))]);
        let second = tree([("a", file("2", "package two")), ("b", file("1", "package two")), ("c", file("", "x"))]);
        let error = first.merge(second, |_, _| Prefer::Neither).unwrap_err();
        assert_eq!(error.to_string(), "`/a` has different contents in package one and in package two");
    }

    #[test]
    fn the_preferred_entry_is_kept() {
        for (prefer, expected) in [(Prefer::First, "one"), (Prefer::Second, "two")] {
            let mut first = tree([("a", file("1", "one"))]);
            first.merge(tree([("a", file("2", "two"))]), |_, _| prefer).unwrap();
            assert_eq!(&*first.get(&path("a")).unwrap().origin, expected);
        }
    }

    #[test]
    fn a_link_to_a_dropped_file_becomes_the_file() {
        let mut tree = tree([("a", file("x", "t")), ("b", link("a")), ("c", link("a"))]);
        tree.retain(|p| p.as_str() != "a");
        assert!(matches!(&tree.get(&path("b")).unwrap().kind, Kind::File(content) if content.read().unwrap() == b"x"));
        assert!(matches!(&tree.get(&path("c")).unwrap().kind, Kind::Hardlink(target) if *target == path("b")));
    }

    #[test]
    fn a_link_without_a_target_is_an_error() {
        assert_eq!(tree([("a", link("gone"))]).normalize_hardlinks(), Err(path("a")));
    }

    proptest! {
        /// Whatever path of a group held the file, afterwards the first does and all others name it.
        #[test]
        fn links_come_after_their_file(count in 1usize..8, holder in 0usize..8) {
            let names: Vec<String> = (0..count).map(|i| format!("f{i}")).collect();
            let holder = &names[holder % count];
            let mut tree = Tree::new();
            for name in &names {
                tree.insert(path(name), if name == holder { file("x", "t") } else { link(holder) });
            }
            tree.normalize_hardlinks().unwrap();
            for (at, entry) in tree.iter() {
                match &entry.kind {
                    Kind::File(_) => prop_assert_eq!(at, &path("f0")),
                    Kind::Hardlink(target) => prop_assert_eq!(target, &path("f0")),
                    _ => prop_assert!(false),
                }
            }
        }
    }
}
