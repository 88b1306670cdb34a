//! Adapts a tree to the layers below it.
//!
//! An entry of an upper layer replaces the whole entry of a lower one. A real directory `lib` would replace the symbolic
//! link `lib -> usr/lib` and hide everything behind it; a directory repeated with another owner or mode would change the
//! lower one. So paths are resolved through the links below, every parent directory is present, and a repeated directory
//! has the metadata of the lower one.

use super::merge::Conflict;
use super::{Entry, Kind, Tree, TreePath};
use crate::limits;
use crate::listing::{ListedEntry, Listing, Node};

/// Why a tree does not fit on the layers below.
#[derive(Debug, thiserror::Error)]
pub enum OverlayError {
    /// A symbolic link below is part of a loop or leads out of the image.
    #[error("`/{path}` of {origin} is behind a symbolic link that leads nowhere")]
    Link {
        /// Path of the entry.
        path: TreePath,
        /// The ingredient that it comes from.
        origin: String,
    },
    /// A name that engines take for the removal of a file of a lower layer (image-spec 1.1, "Whiteouts").
    #[error("`/{path}` of {origin} has a name that removes files of lower layers in an image")]
    Whiteout {
        /// Path of the entry.
        path: TreePath,
        /// The ingredient that it comes from.
        origin: String,
    },
    /// A parent of the path is not a directory.
    #[error("`/{path}` of {origin} needs the directory `/{parent}`, which is not a directory")]
    NotDirectory {
        /// Path of the entry.
        path: TreePath,
        /// The ingredient that it comes from.
        origin: String,
        /// The parent.
        parent: TreePath,
    },
    /// A lower layer has these paths with other contents.
    #[error("{}", super::merge::list(.0))]
    Conflicts(Vec<Conflict>),
    /// A content cannot be read.
    #[error(transparent)]
    Read(#[from] std::io::Error),
}

/// What happens to a path that a lower layer has, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// Files and links must be equal to those below, and directories take the metadata of those below.
    MustAgree,
    /// The upper entry replaces the lower one, and directories keep their own metadata. For what a profile states
    /// explicitly.
    Replaces,
}

/// How many symbolic links a path may go through. Linux has the same limit.
const MAX_LINKS: usize = 40;

/// Adapts `tree` to `lower`, the union of the layers below it: paths go through the symbolic
/// links of `lower`, and all parent directories are present.
///
/// ```
/// use std::sync::Arc;
///
/// use sealift_layers::tar;
/// use sealift_layers::tree::{Entry, Overlap, Tree, TreePath, overlay};
///
/// let origin: Arc<str> = "example".into();
/// let mut base = Tree::new();
/// base.insert(TreePath::new("lib")?, Entry::symlink("usr/lib", &origin));
/// let lower = tar::write(&base, tar::Options { epoch: 0, file_digests: true }, std::io::sink())?;
///
/// let mut tree = Tree::new();
/// tree.insert(TreePath::new("lib/a.so")?, Entry::file("", 0o644, &origin));
/// let upper = overlay(tree, &lower, Overlap::MustAgree)?;
/// let paths: Vec<&str> = upper.iter().map(|(path, _)| path.as_str()).collect();
/// assert_eq!(paths, ["usr", "usr/lib", "usr/lib/a.so"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`OverlayError`].
pub fn overlay(tree: Tree, lower: &Listing, overlap: Overlap) -> Result<Tree, OverlayError> {
    let mut upper = Tree::new();
    let mut conflicts = Vec::new();
    let mut links = Links { lower, last: None };
    for (path, mut entry) in tree.entries {
        if path.is_whiteout() {
            return Err(OverlayError::Whiteout { origin: entry.origin.to_string(), path });
        }
        let at = links.follow(&path, &path, &entry)?;
        if let Kind::Hardlink(target) = &entry.kind {
            entry.kind = Kind::Hardlink(links.follow(target, &path, &entry)?);
        }
        if let Some(below) = lower.get(&at) {
            match compare(&at, &mut entry, below, lower, overlap)? {
                Outcome::Keep => {}
                Outcome::Drop => continue,
                Outcome::Conflict => conflicts.push(conflict(&at, &below.origin, &entry)),
            }
        }
        let is_directory = matches!(entry.kind, Kind::Directory);
        if let Some(first) = upper.insert(at.clone(), entry)
            && !(is_directory && matches!(first.kind, Kind::Directory))
        {
            conflicts.push(conflict(&at, &first.origin, &upper.entries[&at]));
        }
    }
    if !conflicts.is_empty() {
        return Err(OverlayError::Conflicts(conflicts));
    }
    add_parents(&mut upper, lower)?;
    Ok(upper)
}

/// What becomes of an entry whose path exists below.
enum Outcome {
    Keep,
    Drop,
    Conflict,
}

/// Compares `entry` with what a lower layer has at the same path. A directory takes the metadata of the lower one unless it
/// replaces it.
fn compare(
    path: &TreePath,
    entry: &mut Entry,
    below: &ListedEntry,
    lower: &Listing,
    overlap: Overlap,
) -> Result<Outcome, OverlayError> {
    let replaces = overlap == Overlap::Replaces;
    Ok(match (&entry.kind, &below.node) {
        (Kind::Directory, Node::Directory) => {
            if !replaces {
                (entry.mode, entry.uid, entry.gid) = (below.mode, below.uid, below.gid);
            }
            Outcome::Keep
        }
        // The link below stays: the contents of the directory go through it.
        (Kind::Directory, Node::Symlink { .. }) if !replaces || is_link_to_directory(path, lower) => Outcome::Drop,
        _ if replaces => Outcome::Keep,
        (Kind::Directory, _) => Outcome::Conflict,
        _ if same(entry, &below.node)? => Outcome::Keep,
        _ => Outcome::Conflict,
    })
}

fn conflict(path: &TreePath, first: &str, second: &Entry) -> Conflict {
    Conflict { path: path.clone(), first: first.to_owned(), second: second.origin.to_string() }
}

/// Whether `entry` is the same link as `below`, or a file with the same bytes.
fn same(entry: &Entry, below: &Node) -> Result<bool, OverlayError> {
    Ok(match (&entry.kind, below) {
        (Kind::Symlink(one), Node::Symlink { target }) => one == target,
        (Kind::File(content), Node::File { size, sha256: Some(sha256) }) => {
            content.len() == *size && content.digest()? == *sha256
        }
        _ => false,
    })
}

/// Resolves paths through the links of the layers below. It keeps the last directory, which most entries share: looking all
/// its parts up for each of them would take a time that grows with the depth.
struct Links<'a> {
    lower: &'a Listing,
    /// A directory, and what it resolves to; empty for the root.
    last: Option<(TreePath, String)>,
}

impl Links<'_> {
    /// [`follow`], with an error that names the entry at `path`.
    fn follow(&mut self, target: &TreePath, path: &TreePath, entry: &Entry) -> Result<TreePath, OverlayError> {
        let error = || OverlayError::Link { path: path.clone(), origin: entry.origin.to_string() };
        let Some(parent) = target.parent() else { return Ok(target.clone()) };
        let known = self.last.as_ref().filter(|(directory, _)| *directory == parent);
        let resolved = match known {
            Some((_, resolved)) => resolved.clone(),
            None => {
                let inside = parent
                    .join("x")
                    .ok()
                    .and_then(|inside| follow(&inside, |path| link_below(path, self.lower)))
                    .ok_or_else(error)?;
                let resolved = inside.parent().map_or_else(String::new, String::from);
                self.last = Some((parent, resolved.clone()));
                resolved
            }
        };
        TreePath::new(&format!("{resolved}/{}", target.file_name())).map_err(|_| error())
    }
}

/// Resolves symbolic links in all components of `path` but the last. `link_at` gives the target of the link at a path.
/// `None` for a loop, and for a path that leads out of the image.
pub(super) fn follow<'a>(path: &TreePath, link_at: impl Fn(&TreePath) -> Option<&'a str>) -> Option<TreePath> {
    let mut text = path.as_str().to_owned();
    for _ in 0..MAX_LINKS {
        // As for the kernel. Targets could make it longer with every link.
        if text.len() > limits::PATH {
            return None;
        }
        let Some((at, target)) = first_link(&text, &link_at) else { return TreePath::new(&text).ok() };
        let rest = text[at.len()..].to_owned();
        let base = if target.starts_with('/') { "" } else { at.rsplit_once('/').map_or("", |(parent, _)| parent) };
        text = normalize(&format!("{base}/{target}{rest}"))?;
    }
    None
}

/// The target of the symbolic link that `lower` has at `path`.
pub(super) fn link_below<'a>(path: &TreePath, lower: &'a Listing) -> Option<&'a str> {
    match &lower.get(path)?.node {
        Node::Symlink { target } => Some(target),
        _ => None,
    }
}

/// The first directory part of `path` that is a symbolic link, and its target.
fn first_link<'a>(path: &str, link_at: &impl Fn(&TreePath) -> Option<&'a str>) -> Option<(String, &'a str)> {
    path.match_indices('/').take(limits::DEPTH).find_map(|(end, _)| {
        let prefix = TreePath::new(&path[..end]).ok()?;
        let target = link_at(&prefix)?;
        Some((prefix.as_str().to_owned(), target))
    })
}

/// Resolves `.` and `..`. `None` if they lead out of the image.
fn normalize(path: &str) -> Option<String> {
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
    // A path below the link is resolved through the link itself.
    let below = path
        .join("x")
        .ok()
        .and_then(|inside| follow(&inside, |path| link_below(path, lower)))
        .and_then(|inside| inside.parent());
    below.is_some_and(|target| matches!(lower.get(&target).map(|listed| &listed.node), Some(Node::Directory)))
}

/// Adds the missing parent directories, with the metadata of those below where these exist.
fn add_parents(tree: &mut Tree, lower: &Listing) -> Result<(), OverlayError> {
    let paths: Vec<TreePath> = tree.entries.keys().cloned().collect();
    for path in paths {
        let mut parent = path.parent();
        while let Some(at) = parent {
            match (tree.entries.get(&at).map(|e| &e.kind), lower.get(&at)) {
                (Some(Kind::Directory), _) => break,
                (Some(_), _) => return Err(not_directory(tree, &path, at)),
                (None, Some(below)) if below.node != Node::Directory => return Err(not_directory(tree, &path, at)),
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

fn not_directory(tree: &Tree, path: &TreePath, parent: TreePath) -> OverlayError {
    OverlayError::NotDirectory { path: path.clone(), origin: tree.entries[path].origin.to_string(), parent }
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
        crate::tar::write(&tree, crate::tar::Options { epoch: 0, file_digests: true }, std::io::sink()).unwrap()
    }

    /// rules_oci#857: a `./lib/` directory in a layer replaced the link below it and broke the image.
    #[test]
    fn paths_go_through_the_symbolic_links_below() {
        let upper = tree(&[
            ("lib", Entry::directory(0o755, &origin())),
            ("lib/a", Entry::file("", 0o644, &origin())),
            ("var/run/b", Entry::file("", 0o644, &origin())),
        ]);
        insta::assert_snapshot!(text(&overlay(upper, &lower(), Overlap::MustAgree).unwrap()), @r"
        run 755 0
        run/b 644 0
        usr 755 0
        usr/lib 755 7
        usr/lib/a 644 0
        ");
    }

    #[test]
    fn a_repeated_directory_has_the_metadata_of_the_lower_one_unless_it_replaces_it() {
        let upper = tree(&[("etc", Entry::directory(0o755, &origin())), ("etc/y", Entry::file("", 0o644, &origin()))]);
        assert_eq!(text(&overlay(upper.clone(), &lower(), Overlap::MustAgree).unwrap()), "etc 700 0\netc/y 644 0");
        assert_eq!(text(&overlay(upper, &lower(), Overlap::Replaces).unwrap()), "etc 755 0\netc/y 644 0");
    }

    #[test]
    fn different_contents_conflict_unless_they_replace() {
        let with = |content: &str| tree(&[("etc/x", Entry::file(content, 0o644, &origin()))]);
        overlay(with("one"), &lower(), Overlap::MustAgree).unwrap();
        overlay(with("two"), &lower(), Overlap::Replaces).unwrap();
        let error = overlay(with("two"), &lower(), Overlap::MustAgree).unwrap_err();
        assert_eq!(error.to_string(), "`/etc/x` has different contents in package base and in package new");
    }

    /// Engines remove what a lower layer has at the rest of the name, and never make the file.
    #[test]
    fn names_that_remove_files_of_lower_layers_are_refused() {
        for name in ["etc/.wh.x", "etc/.wh..wh..opq", ".wh.etc/x"] {
            for overlap in [Overlap::MustAgree, Overlap::Replaces] {
                let upper = tree(&[(name, Entry::file("", 0o644, &origin()))]);
                let error = overlay(upper, &lower(), overlap).unwrap_err();
                let expected =
                    format!("`/{name}` of package new has a name that removes files of lower layers in an image");
                assert_eq!(error.to_string(), expected);
            }
        }
    }

    #[test]
    fn bad_links_and_files_in_place_of_directories_are_errors() {
        for bad in ["loop/a", "out/a"] {
            let error =
                overlay(tree(&[(bad, Entry::file("", 0o644, &origin()))]), &lower(), Overlap::MustAgree).unwrap_err();
            assert!(matches!(error, OverlayError::Link { .. }), "{bad}: {error}");
        }
        let error =
            overlay(tree(&[("etc/x/y", Entry::file("", 0o644, &origin()))]), &lower(), Overlap::MustAgree).unwrap_err();
        assert!(matches!(error, OverlayError::NotDirectory { .. }), "{error}");
    }
}
