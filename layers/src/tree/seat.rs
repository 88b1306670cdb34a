//! Making a tree sit on the layers below it.
//!
//! An entry of an upper layer replaces the entry of a lower one, whole: a real `lib/` directory would replace the
//! symbolic link `lib -> usr/lib` and hide all that is behind it, and a directory repeated with other owners or modes
//! would change the lower one's. So paths are followed through the links below, every parent directory is present, and
//! a repeated directory repeats the lower one's metadata.

use super::merge::Conflict;
use super::{Entry, Kind, Tree, TreePath};
use crate::listing::{Listing, Node};

/// Why a tree does not fit on the layers below it.
#[derive(Debug, thiserror::Error)]
pub enum SeatError {
    /// Symbolic links that lead round in a circle, or out of the image.
    #[error("`/{path}` of {origin} lies behind a symbolic link that leads nowhere")]
    Link {
        /// The path.
        path: TreePath,
        /// Who brings it.
        origin: String,
    },
    /// Something that is not a directory is in the way.
    #[error("`/{path}` of {origin} needs the directory `/{parent}`, which is something else")]
    NotDirectory {
        /// The path.
        path: TreePath,
        /// Who brings it.
        origin: String,
        /// What is in the way.
        parent: TreePath,
    },
    /// Paths that a lower layer has with other contents.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Conflicts(Vec<Conflict>),
    /// A content could not be read.
    #[error(transparent)]
    Read(#[from] std::io::Error),
}

/// How many links one path may go through, as Linux has it.
const LINKS: usize = 40;

/// Gives `tree` as it must be to lie on top of `lower`, the union of the layers below.
///
/// With `overrides`, its files replace those below and its directories keep their own metadata: for what a profile
/// says explicitly. Without, a path that a lower layer has with other contents is a conflict.
///
/// # Errors
/// [`SeatError`].
pub fn seat(tree: Tree, lower: &Listing, overrides: bool) -> Result<Tree, SeatError> {
    let mut seated = Tree::new();
    let mut conflicts = Vec::new();
    for (path, mut entry) in tree.entries {
        let at = follow(&path, lower)
            .ok_or_else(|| SeatError::Link { path: path.clone(), origin: entry.origin.to_string() })?;
        if let Kind::Hardlink(target) = &mut entry.kind {
            *target = follow(target, lower)
                .ok_or_else(|| SeatError::Link { path: path.clone(), origin: entry.origin.to_string() })?;
        }
        match lower.get(&at) {
            Some(below) if matches!(entry.kind, Kind::Directory) => match &below.node {
                Node::Directory => {
                    if !overrides {
                        (entry.mode, entry.uid, entry.gid) = (below.mode, below.uid, below.gid);
                    }
                }
                // A directory where a link to one is: what is in it goes through the link.
                Node::Symlink { .. } if !overrides || is_link_to_directory(&at, lower) => continue,
                _ if overrides => {}
                _ => conflicts.push(conflict(&at, &below.origin, &entry)),
            },
            Some(below) if !overrides && !same(&entry, &below.node)? => {
                conflicts.push(conflict(&at, &below.origin, &entry));
            }
            _ => {}
        }
        if let Some(first) = seated.insert(at.clone(), entry.clone())
            && !(matches!(first.kind, Kind::Directory) && matches!(entry.kind, Kind::Directory))
        {
            conflicts.push(conflict(&at, &first.origin, &entry));
        }
    }
    if !conflicts.is_empty() {
        return Err(SeatError::Conflicts(conflicts));
    }
    add_parents(&mut seated, lower)?;
    Ok(seated)
}

fn conflict(path: &TreePath, first: &str, second: &Entry) -> Conflict {
    Conflict { path: path.clone(), first: first.to_owned(), second: second.origin.to_string() }
}

fn same(entry: &Entry, below: &Node) -> Result<bool, SeatError> {
    Ok(match (&entry.kind, below) {
        (Kind::Symlink(one), Node::Symlink { target }) => one == target,
        (Kind::File(content), Node::File { size, sha256: Some(sha256) }) => {
            content.len() == *size && content.digest()? == *sha256
        }
        _ => false,
    })
}

/// The path with every directory part followed through the links in `lower`; the last component is not followed.
fn follow(path: &TreePath, lower: &Listing) -> Option<TreePath> {
    let mut text = path.as_str().to_owned();
    for _ in 0..LINKS {
        let Some((at, target)) = first_link(&text, lower) else { return TreePath::new(&text).ok() };
        let rest = text[at.len()..].to_owned();
        let base = if target.starts_with('/') { "" } else { at.rsplit_once('/').map_or("", |(parent, _)| parent) };
        text = normal(&format!("{base}/{target}{rest}"))?;
    }
    None
}

/// The first proper prefix of `path` that is a link below, and its target.
fn first_link<'a>(path: &str, lower: &'a Listing) -> Option<(String, &'a str)> {
    path.match_indices('/').find_map(|(end, _)| {
        let prefix = TreePath::new(&path[..end]).ok()?;
        match &lower.get(&prefix)?.node {
            Node::Symlink { target } => Some((prefix.as_str().to_owned(), target.as_str())),
            _ => None,
        }
    })
}

/// Resolves `.` and `..`; `None` where they lead out of the image.
fn normal(path: &str) -> Option<String> {
    let mut components: Vec<&str> = Vec::new();
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => {
                components.pop()?;
            }
            name => components.push(name),
        }
    }
    Some(components.join("/"))
}

fn is_link_to_directory(path: &TreePath, lower: &Listing) -> bool {
    // Following a path below the link follows the link itself.
    let below = path.join("x").ok().and_then(|inside| follow(&inside, lower)).and_then(|inside| inside.parent());
    below.is_some_and(|target| matches!(lower.get(&target).map(|listed| &listed.node), Some(Node::Directory)))
}

fn add_parents(tree: &mut Tree, lower: &Listing) -> Result<(), SeatError> {
    let paths: Vec<TreePath> = tree.entries.keys().cloned().collect();
    for path in paths {
        let mut parent = path.parent();
        while let Some(at) = parent {
            match (tree.entries.get(&at).map(|e| &e.kind), lower.get(&at)) {
                (Some(Kind::Directory), _) => break,
                (Some(_), _) => return Err(in_the_way(tree, &path, at)),
                (None, Some(below)) if below.node != Node::Directory => return Err(in_the_way(tree, &path, at)),
                (None, below) => {
                    let origin = tree.entries[&path].origin.clone();
                    let (mode, uid, gid) = below.map_or((0o755, 0, 0), |b| (b.mode, b.uid, b.gid));
                    tree.entries.insert(at.clone(), Entry::directory(mode, &origin).owned_by(uid, gid));
                }
            }
            parent = at.parent();
        }
    }
    Ok(())
}

fn in_the_way(tree: &Tree, path: &TreePath, parent: TreePath) -> SeatError {
    SeatError::NotDirectory { path: path.clone(), origin: tree.entries[path].origin.to_string(), parent }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::new(text).unwrap()
    }

    fn tree(entries: &[(&str, Entry)]) -> Tree {
        let mut tree = Tree::new();
        for (name, entry) in entries {
            tree.insert(path(name), entry.clone());
        }
        tree
    }

    fn text(tree: &Tree) -> String {
        let lines: Vec<String> = tree.iter().map(|(p, e)| format!("{p} {:o} {}", e.mode, e.uid)).collect();
        lines.join("\n")
    }

    fn origin() -> Arc<str> {
        Arc::from("package new")
    }

    fn lower() -> Listing {
        let old: Arc<str> = Arc::from("package base");
        let tree = tree(&[
            ("etc", Entry::directory(0o700, &old)),
            ("etc/x", Entry::file("one", 0o644, &old)),
            ("lib", Entry::symlink("usr/lib", &old)),
            ("run", Entry::directory(0o755, &old)),
            ("usr/lib", Entry::directory(0o755, &old).owned_by(7, 7)),
            ("var/run", Entry::symlink("/run", &old)),
            ("loop", Entry::symlink("loop", &old)),
            ("out", Entry::symlink("../../x", &old)),
        ]);
        crate::tar::write(&tree, 0, true, std::io::sink()).unwrap()
    }

    /// rules_oci#857: a `./lib/` directory in a layer replaced the link below it and broke the image.
    #[test]
    fn paths_go_through_the_links_below() {
        let upper = tree(&[
            ("lib", Entry::directory(0o755, &origin())),
            ("lib/a", Entry::file("", 0o644, &origin())),
            ("var/run/b", Entry::file("", 0o644, &origin())),
        ]);
        insta::assert_snapshot!(text(&seat(upper, &lower(), false).unwrap()), @r"
        run 755 0
        run/b 644 0
        usr 755 0
        usr/lib 755 7
        usr/lib/a 644 0
        ");
    }

    #[test]
    fn repeated_directories_repeat_the_lower_ones_unless_they_override() {
        let upper = tree(&[("etc", Entry::directory(0o755, &origin())), ("etc/y", Entry::file("", 0o644, &origin()))]);
        assert_eq!(text(&seat(upper.clone(), &lower(), false).unwrap()), "etc 700 0\netc/y 644 0");
        assert_eq!(text(&seat(upper, &lower(), true).unwrap()), "etc 755 0\netc/y 644 0");
    }

    #[test]
    fn other_contents_conflict_unless_they_override() {
        let with = |content: &str| tree(&[("etc/x", Entry::file(content, 0o644, &origin()))]);
        seat(with("one"), &lower(), false).unwrap();
        seat(with("two"), &lower(), true).unwrap();
        let error = seat(with("two"), &lower(), false).unwrap_err();
        assert_eq!(error.to_string(), "`/etc/x` comes from package base and, differently, from package new");
    }

    #[test]
    fn links_that_lead_nowhere_and_files_in_the_way_are_told() {
        for bad in ["loop/a", "out/a"] {
            let error = seat(tree(&[(bad, Entry::file("", 0o644, &origin()))]), &lower(), false).unwrap_err();
            assert!(matches!(error, SeatError::Link { .. }), "{bad}: {error}");
        }
        let error = seat(tree(&[("etc/x/y", Entry::file("", 0o644, &origin()))]), &lower(), false).unwrap_err();
        assert!(matches!(error, SeatError::NotDirectory { .. }), "{error}");
    }
}
