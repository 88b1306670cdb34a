//! How trees become one: merging ingredients, and making the layers of an image agree.

use std::collections::BTreeMap;
use std::io;

use super::{Entry, Kind, Tree, TreePath};

/// Two ingredients bring the same path with different contents.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`/{path}` comes from {first} and, differently, from {second}")]
pub struct Conflict {
    /// The path.
    pub path: TreePath,
    /// The origin of the entry that was there.
    pub first: String,
    /// The origin of the entry that came second.
    pub second: String,
}

/// Why trees do not become one.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// All paths that are in dispute.
    #[error("{}", list(.0))]
    Conflicts(Vec<Conflict>),
    /// A content could not be read to compare it.
    #[error("cannot read `/{path}` of {origin}")]
    Read {
        /// The path.
        path: TreePath,
        /// Who brings it.
        origin: String,
        /// What reading gave.
        source: io::Error,
    },
}

fn list(conflicts: &[Conflict]) -> String {
    const SHOWN: usize = 10;
    let mut lines: Vec<String> = conflicts.iter().take(SHOWN).map(ToString::to_string).collect();
    if conflicts.len() > SHOWN {
        lines.push(format!("and {} more", conflicts.len() - SHOWN));
    }
    lines.join("\n")
}

/// Which of two entries for one path counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefer {
    /// The one that was there.
    First,
    /// The one that came second.
    Second,
    /// Neither: they must be equal.
    Neither,
}

impl Tree {
    /// Adds all of `other`. Where both have a path, two directories are one (the first keeps its metadata) and equal
    /// entries are one; else `prefer(first, second)` says which counts, and where it says neither, that is a conflict.
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
                Some(first) => {
                    match prefer(first, &second) {
                        Prefer::First => continue,
                        Prefer::Second => {
                            self.entries.insert(path, second);
                            continue;
                        }
                        Prefer::Neither => {}
                    }
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
            }
        }
        if conflicts.is_empty() { Ok(()) } else { Err(MergeError::Conflicts(conflicts)) }
    }

    /// Keeps the paths that `keep` wants. A hard link whose target goes becomes the file itself.
    pub fn retain(&mut self, keep: impl Fn(&TreePath) -> bool) {
        let mut gone = BTreeMap::new();
        let entries = std::mem::take(&mut self.entries);
        for (path, entry) in entries {
            if keep(&path) {
                self.entries.insert(path, entry);
            } else {
                gone.insert(path, entry);
            }
        }
        let mut heirs: BTreeMap<TreePath, TreePath> = BTreeMap::new();
        let paths: Vec<TreePath> = self.entries.keys().cloned().collect();
        for path in paths {
            let Some(Entry { kind: Kind::Hardlink(target), .. }) = self.entries.get(&path) else { continue };
            let Some(original) = gone.get(target) else { continue };
            let entry = match heirs.get(target) {
                Some(heir) => Entry { kind: Kind::Hardlink(heir.clone()), ..original.clone() },
                None => {
                    heirs.insert(target.clone(), path.clone());
                    original.clone()
                }
            };
            self.entries.insert(path, entry);
        }
    }

    /// Makes every hard link follow its target in path order, as a tar needs it: of each group the first path becomes
    /// the file and the others its links.
    ///
    /// # Errors
    /// The path of a link whose target is not a file of this tree.
    pub fn settle_hardlinks(&mut self) -> Result<(), TreePath> {
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
        // A link that was settled before its file moved again still names the old place.
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
    fn a_conflict_names_both_sides_and_all_paths() {
        let mut first = tree([("a", file("1", "package one")), ("b", file("1", "package one"))]);
        let second = tree([("a", file("2", "package two")), ("b", file("1", "package two")), ("c", file("", "x"))]);
        let error = first.merge(second, |_, _| Prefer::Neither).unwrap_err();
        assert_eq!(error.to_string(), "`/a` comes from package one and, differently, from package two");
    }

    #[test]
    fn the_preferred_one_counts() {
        for (prefer, expected) in [(Prefer::First, "one"), (Prefer::Second, "two")] {
            let mut first = tree([("a", file("1", "one"))]);
            first.merge(tree([("a", file("2", "two"))]), |_, _| prefer).unwrap();
            assert_eq!(&*first.get(&path("a")).unwrap().origin, expected);
        }
    }

    #[test]
    fn a_link_inherits_from_a_dropped_file() {
        let mut tree = tree([("a", file("x", "t")), ("b", link("a")), ("c", link("a"))]);
        tree.retain(|p| p.as_str() != "a");
        assert!(matches!(&tree.get(&path("b")).unwrap().kind, Kind::File(content) if content.read().unwrap() == b"x"));
        assert!(matches!(&tree.get(&path("c")).unwrap().kind, Kind::Hardlink(target) if *target == path("b")));
    }

    #[test]
    fn a_link_to_nothing_is_told() {
        assert_eq!(tree([("a", link("gone"))]).settle_hardlinks(), Err(path("a")));
    }

    proptest! {
        /// Whatever path of a group held the file, afterwards the first does and all others name it.
        #[test]
        fn settled_links_follow_their_file(count in 1usize..8, holder in 0usize..8) {
            let names: Vec<String> = (0..count).map(|i| format!("f{i}")).collect();
            let holder = &names[holder % count];
            let mut tree = Tree::new();
            for name in &names {
                tree.insert(path(name), if name == holder { file("x", "t") } else { link(holder) });
            }
            tree.settle_hardlinks().unwrap();
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
