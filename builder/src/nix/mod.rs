//! Layers and images from closures in this machine's Nix store.

pub mod image;
mod read;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::files;
use sealift_deployment::machine::Machine;
use sealift_layers::ingredients::nix_store::{self, Closure};
use sealift_layers::limits::DOCUMENT;
use sealift_layers::tree::Tree;

use crate::parallel::in_parallel;
use crate::recipe;
use crate::store::{Builder, Key};

/// The folder that is `/nix/store` to Nix: below the root directory in `NIX_REMOTE`, if that is set.
#[must_use]
pub fn store(machine: &Machine) -> PathBuf {
    match machine.var("NIX_REMOTE").filter(|remote| remote.starts_with('/')) {
        Some(root) => Path::new(root).join(nix_store::STORE),
        None => machine.path(nix_store::STORE),
    }
}

/// Reads a closure from Nix's JSON: `nix path-info --json --recursive`, or structured attributes (`.attrs.json`).
///
/// # Errors
/// A usage failure if the file cannot be read or parsed.
pub fn closure(path: &Path) -> Result<Closure> {
    let text =
        files::read_within(path, DOCUMENT).map_err(|error| Failure::usage("cannot read the closure").because(error))?;
    Closure::parse(&text).map_err(|error| {
        let failure = Failure::usage(format!("{} is not a closure", path.display())).because(error);
        failure.hint("write it with: nix path-info --json --recursive PATH").into()
    })
}

/// The key of a layer with these store paths. It does not depend on the layers below, which have no files in `/nix/store`.
///
/// # Panics
/// A name is not in the closure.
#[must_use]
pub fn key(closure: &Closure, names: &[String], codec: &str, epoch: u64) -> Key {
    let key = Key::builder(recipe::STORE_PATHS).field("codec", codec).field("epoch", epoch);
    add_to_key(key, closure, names).finish()
}

/// Adds store paths to the key of a layer.
///
/// # Panics
/// A name is not in the closure.
pub fn add_to_key(key: Builder, closure: &Closure, names: &[String]) -> Builder {
    names.iter().fold(key, |key, name| {
        let path = closure.get(name).expect("packed from this closure");
        key.field("path", name).field("nar", path.nar_hash)
    })
}

/// The files of these store paths, unverified: see [`verify`]. The tree does not contain the folders above the paths.
///
/// # Errors
/// A path is not on this machine.
pub fn tree(names: &[String], store: &Path) -> Result<Tree> {
    let mut tree = Tree::new();
    for name in names {
        for (path, entry) in read::path(name, store)?.into_entries() {
            tree.insert(path, entry);
        }
    }
    Ok(tree)
}

/// Checks the NAR hash of each of these paths of `tree` against the closure. This can run while the tree is compressed.
///
/// # Errors
/// A verification failure if a hash differs; or a file cannot be read.
pub fn verify(closure: &Closure, names: &[String], tree: &Tree, jobs: usize) -> Result<()> {
    in_parallel(jobs, names, |name| read::verify(closure, name, tree)).map(drop)
}

/// The title of a layer with these paths.
#[must_use]
pub fn title(names: &[String]) -> String {
    let shown: BTreeSet<&str> = names.iter().map(|name| nix_store::without_hash(name)).collect();
    let mut title = format!("Nix store: {}", shown.iter().take(3).copied().collect::<Vec<_>>().join(", "));
    if shown.len() > 3 {
        title.push_str(&format!(" and {} more", names.len() - 3));
    }
    title
}
