//! Layers of Debian packages.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Result;
use sealift_layers::ingredients::deb;
use sealift_layers::ingredients::ldcache::{self, Library};
use sealift_layers::listing::{Listing, Node};
use sealift_layers::tree::{Entry, Kind, MergeError, Pattern, Prefer, Tree, TreePath};

use super::{Assembler, bytecode};
use crate::plan::{Image, Plan};

impl Assembler<'_> {
    /// The files of `packages`, without what the profile drops, with the bytecode of the standard libraries among them.
    pub(super) fn packages_tree(
        &mut self,
        image: &Image,
        packages: &[String],
        shared: bool,
        interpreters: &BTreeSet<String>,
    ) -> Result<Tree> {
        let opened = self.open(packages)?;
        let mut tree = self.union(image, &opened, shared)?;
        for python in interpreters {
            let library = TreePath::new(&format!("usr/lib/{python}"))?;
            for package in &opened {
                let origin = format!("package {} {}", package.control.name, package.control.version);
                let sources: Vec<(TreePath, Entry)> = tree
                    .iter()
                    .filter(|(path, entry)| *entry.origin == *origin && bytecode::is_source(path, entry, &library))
                    .map(|(path, entry)| (path.clone(), entry.clone()))
                    .collect();
                if !sources.is_empty() {
                    let owner = compiling_image(self.plan, &image.name, python);
                    let interpreter = self.interpreter(owner, python)?;
                    let identity = self.plan.package(&package.control.name)?.sha256.hex();
                    let compiled = self.compile(&interpreter, &identity, &origin, &sources)?;
                    tree.merge(compiled, |_, _| Prefer::Neither)?;
                }
            }
        }
        if shared {
            let origin: Arc<str> = "the profile's base".into();
            let mut links = Tree::new();
            for (path, target) in &self.plan.profile.model.base.links {
                links.insert(TreePath::new(path)?, Entry::symlink(target.as_str(), &origin));
            }
            tree.merge(links, |_, _| Prefer::Neither)?;
        }
        Ok(tree)
    }

    /// The files of opened packages, without what the profile drops from this layer.
    fn union(&self, image: &Image, opened: &[Arc<deb::Package>], shared: bool) -> Result<Tree> {
        let model = &self.plan.profile.model;
        let own = if shared { &[][..] } else { &self.plan.model(&image.name).drop[..] };
        let patterns = |list: &[toml::Spanned<String>]| -> Vec<Pattern> {
            list.iter().map(|pattern| Pattern::new(pattern.get_ref())).collect()
        };
        let (drop, keep) = ([patterns(&model.base.drop), patterns(own)].concat(), patterns(&model.base.keep));
        // Debian policy 7.6.1: a package that replaces another takes over the files that both have.
        let replaces = |one: &Entry, other: &Entry| {
            let name = package_of(one);
            let package = opened.iter().find(|package| Some(package.control.name.as_str()) == name);
            package.zip(package_of(other)).is_some_and(|(p, other)| p.control.replaces.iter().any(|name| name == other))
        };
        let mut tree = Tree::new();
        for package in opened {
            let mut files = package.tree.clone();
            files.retain(|path| !drop.iter().any(|p| p.matches(path)) || keep.iter().any(|p| p.matches(path)));
            let merged = tree.merge(files, |first, second| match (replaces(first, second), replaces(second, first)) {
                (true, false) => Prefer::First,
                (false, true) => Prefer::Second,
                _ => Prefer::Neither,
            });
            merged.map_err(|error| match error {
                MergeError::Conflicts(_) => super::apart(error.to_string()),
                error => error.into(),
            })?;
        }
        Ok(tree)
    }
}

/// Puts `/etc/ld.so.cache` into a seated tree: of its own libraries and of those in the layers below, whose cache it
/// replaces. What `ldconfig`, a trigger of the C library's package, would have done.
pub(super) fn add_library_cache(tree: &mut Tree, lower: &Listing, architecture: &str) -> Result<()> {
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
    let cache = ldcache::make(below.chain(own), architecture.parse()?);
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

/// An image that has both the interpreter and a wish for its bytecode: `image` itself, or for a layer that several share
/// the first of them.
pub(crate) fn compiling_image<'p>(plan: &'p Plan<'_>, image: &'p str, python: &str) -> &'p str {
    let wants = |name: &str| {
        let venv = plan.model(name).venv.as_ref();
        venv.is_some_and(|venv| venv.bytecode && venv.python.get_ref() == python)
    };
    if wants(image) {
        return image;
    }
    // Of the profile, not of the plan: that may be one image's alone.
    plan.profile.model.images.keys().map(|other| other.get_ref().as_str()).find(|other| wants(other)).unwrap_or(image)
}

/// The package's name in an entry's origin (`package NAME VERSION`).
fn package_of(entry: &Entry) -> Option<&str> {
    entry.origin.strip_prefix("package ")?.split(' ').next()
}
