//! A symbolic link and a directory at one path, in packages of one layer.

use std::collections::{BTreeMap, BTreeSet};

use super::overlay::{follow, link_below};
use super::{Entry, Kind, Tree, TreePath};
use crate::listing::{Listing, Node};

/// Resolves paths that are a symbolic link in one tree and a directory in another, as dpkg does when it unpacks one package
/// over the other: the link stays, and the contents of the directory go through it. `lower` are the layers below.
///
/// The link must lead to a directory. Other paths are left as they are: merging the trees finds their conflicts. A tree whose
/// contents have moved becomes two.
///
/// ```
/// use std::sync::Arc;
///
/// use sealift_layers::listing::Listing;
/// use sealift_layers::tree::{Entry, Prefer, Tree, TreePath, through_links};
///
/// let origin: Arc<str> = "example".into();
/// let (mut one, mut two) = (Tree::new(), Tree::new());
/// one.insert(TreePath::new("lib/tool")?, Entry::symlink("tool-1.0", &origin));
/// one.insert(TreePath::new("lib/tool-1.0/a")?, Entry::file("", 0o644, &origin));
/// two.insert(TreePath::new("lib/tool/plugin")?, Entry::file("", 0o644, &origin));
/// let mut union = Tree::new();
/// for tree in through_links(vec![one, two], &Listing::new()) {
///     union.merge(tree, |_, _| Prefer::Neither)?;
/// }
/// let paths: Vec<&str> = union.iter().map(|(path, _)| path.as_str()).collect();
/// assert_eq!(paths, ["lib/tool", "lib/tool-1.0/a", "lib/tool-1.0/plugin"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn through_links(trees: Vec<Tree>, lower: &Listing) -> Vec<Tree> {
    let moved = moved_directories(&trees, lower);
    if moved.is_empty() {
        return trees;
    }
    let target = |path: &TreePath| -> Option<TreePath> {
        let from = ancestors(path).find(|ancestor| moved.contains_key(ancestor))?;
        let rest = path.as_str().strip_prefix(from.as_str())?;
        TreePath::new(&format!("{}{rest}", moved[&from])).ok()
    };
    let mut result = Vec::new();
    for tree in trees {
        let (mut kept, mut elsewhere) = (Tree::new(), Tree::new());
        for (path, entry) in tree.into_entries() {
            let entry = match &entry.kind {
                Kind::Hardlink(file) => {
                    Entry { kind: Kind::Hardlink(target(file).unwrap_or_else(|| file.clone())), ..entry }
                }
                _ => entry,
            };
            match target(&path) {
                Some(to) => elsewhere.insert(to, entry),
                // The link takes the place of the directory.
                None if matches!(entry.kind, Kind::Directory) && moved.contains_key(&path) => None,
                None => kept.insert(path, entry),
            };
        }
        result.push(kept);
        result.extend((!elsewhere.is_empty()).then_some(elsewhere));
    }
    result
}

/// The directories above `path`, the nearest first.
fn ancestors(path: &TreePath) -> impl Iterator<Item = TreePath> {
    std::iter::successors(path.parent(), TreePath::parent)
}

/// The paths that are a link in one tree and a directory in another, each with the directory that the link leads to.
fn moved_directories(trees: &[Tree], lower: &Listing) -> BTreeMap<TreePath, TreePath> {
    let mut links: BTreeMap<&TreePath, &str> = BTreeMap::new();
    for (path, entry) in trees.iter().flat_map(Tree::iter) {
        if let Kind::Symlink(target) = &entry.kind {
            links.insert(path, target);
        }
    }
    let mut directories: BTreeSet<TreePath> = BTreeSet::new();
    for (path, entry) in trees.iter().flat_map(Tree::iter) {
        if matches!(entry.kind, Kind::Directory) {
            directories.insert(path.clone());
        }
        // Once a directory is known, so are those above it.
        for ancestor in ancestors(path) {
            if !directories.insert(ancestor) {
                break;
            }
        }
    }
    let link_at = |path: &TreePath| links.get(path).copied().or_else(|| link_below(path, lower));
    let both = links.keys().filter(|path| directories.contains(**path));
    let moved = both.filter_map(|path| {
        let inside = path.join("x").ok()?;
        let target = follow(&inside, link_at)?.parent()?;
        let is_directory = directories.contains(&target)
            || matches!(lower.get(&target).map(|listed| &listed.node), Some(Node::Directory));
        (is_directory && target != **path).then(|| ((*path).clone(), target))
    });
    moved.collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::tree::{MergeError, Prefer};

    fn tree(origin: &str, entries: &[(&str, &str)]) -> Tree {
        let origin: Arc<str> = origin.into();
        let mut tree = Tree::new();
        for (path, what) in entries {
            let entry = match what.split_once(' ') {
                None if what.is_empty() => Entry::directory(0o755, &origin),
                Some(("->", target)) => Entry::symlink(target, &origin),
                Some(("=", target)) => {
                    Entry { kind: Kind::Hardlink(TreePath::new(target).unwrap()), ..Entry::file("", 0o644, &origin) }
                }
                _ => Entry::file(*what, 0o644, &origin),
            };
            tree.insert(TreePath::new(path).unwrap(), entry);
        }
        tree
    }

    fn union(trees: Vec<Tree>) -> Result<String, MergeError> {
        let mut union = Tree::new();
        for tree in through_links(trees, &Listing::new()) {
            union.merge(tree, |_, _| Prefer::Neither)?;
        }
        let lines: Vec<String> = union
            .iter()
            .map(|(path, entry)| match &entry.kind {
                Kind::Hardlink(target) => format!("{path} = {target}"),
                Kind::Symlink(target) => format!("{path} -> {target}"),
                _ => path.to_string(),
            })
            .collect();
        Ok(lines.join("\n"))
    }

    #[test]
    fn contents_of_the_directory_go_through_the_link_in_either_order() {
        let tool = || tree("package tool 1", &[("l/foo", "-> foo-1"), ("l/foo-1", ""), ("l/foo-1/a", "a")]);
        let plug = || tree("package plug 1", &[("l/foo", ""), ("l/foo/d/p", "p"), ("l/foo/q", "= l/foo/d/p")]);
        insta::assert_snapshot!(union(vec![tool(), plug()]).unwrap(), @"
        l/foo -> foo-1
        l/foo-1
        l/foo-1/a
        l/foo-1/d/p
        l/foo-1/q = l/foo-1/d/p
        ");
        assert_eq!(union(vec![plug(), tool()]).unwrap(), union(vec![tool(), plug()]).unwrap());
        let other = tree("package other 1", &[("l/foo-1/d/p", "other")]);
        assert!(matches!(union(vec![tool(), plug(), other]), Err(MergeError::Conflicts(_))));
    }

    #[test]
    fn links_may_lead_to_links() {
        let links = tree("package a 1", &[("b", "-> l/../c"), ("c", "-> /d"), ("d", "")]);
        let files = tree("package b 1", &[("b/x", "x"), ("c/y", "y")]);
        insta::assert_snapshot!(union(vec![links, files]).unwrap(), @"
        b -> l/../c
        c -> /d
        d
        d/x
        d/y
        ");
    }

    #[test]
    fn a_link_that_leads_to_no_directory_stays_a_conflict() {
        for target in ["gone", "foo", "/x", "../../.."] {
            let link = tree("package a 1", &[("l/foo", &format!("-> {target}")), ("x", "file")]);
            let files = tree("package b 1", &[("l/foo", ""), ("l/foo/p", "p")]);
            assert!(matches!(union(vec![link, files]), Err(MergeError::Conflicts(_))), "{target}");
        }
    }
}
