//! Closures of this machine's Nix store, as layers of images.

pub mod image;
mod read;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::machine::Machine;
use sealift_layers::ingredients::nix_store::{self, Closure};
use sealift_layers::tree::Tree;

use crate::assemble::in_parallel;
use crate::store::{Builder, Key};

/// Changes whenever the same paths give other bytes.
const RECIPE: &str = "store-paths/1";

/// Where this machine has what is `/nix/store` to Nix: below the folder that `NIX_REMOTE` names, if it does.
#[must_use]
pub fn store(machine: &Machine) -> PathBuf {
    match machine.var("NIX_REMOTE").filter(|remote| remote.starts_with('/')) {
        Some(root) => Path::new(root).join(nix_store::STORE),
        None => machine.path(nix_store::STORE),
    }
}

/// Reads what Nix says of a closure.
///
/// # Errors
/// When the file cannot be read or is something else (usage).
pub fn closure(path: &Path) -> Result<Closure> {
    let text = fs_err::read(path).map_err(|error| Failure::usage(error.to_string()))?;
    Closure::parse(&text).map_err(|error| {
        let failure = Failure::usage(format!("{} is not a closure: {error}", path.display()));
        failure.hint("make it with: nix path-info --json --recursive PATH").into()
    })
}

/// What identifies a layer of these paths. What lies below does not count: nobody else has anything in `/nix/store`.
///
/// # Panics
/// When one of the names is not in the closure.
#[must_use]
pub fn key(closure: &Closure, names: &[String], codec: &str, epoch: u64) -> Key {
    names
        .iter()
        .fold(start(codec, epoch), |key, name| {
            let path = closure.get(name).expect("packed from this closure");
            key.field("path", name).field("nar", path.nar_hash)
        })
        .finish()
}

fn start(codec: &str, epoch: u64) -> Builder {
    Key::builder(RECIPE).field("codec", codec).field("epoch", epoch)
}

/// The files of these paths, which [`verify`] has to look at. Folders above the paths are not in the tree.
///
/// # Errors
/// When a path is not on this machine.
pub fn tree(names: &[String], store: &Path) -> Result<Tree> {
    let mut tree = Tree::new();
    for name in names {
        for (path, entry) in read::path(name, store)?.into_entries() {
            tree.insert(path, entry);
        }
    }
    Ok(tree)
}

/// Reads these paths of `tree`: each must be what its hash in the closure says. That can go on while they are compressed.
///
/// # Errors
/// When one is not (verification), or cannot be read.
pub fn verify(closure: &Closure, names: &[String], tree: &Tree, jobs: usize) -> Result<()> {
    in_parallel(jobs, names, |name| read::verify(closure, name, tree)).map(drop)
}

/// What a layer of these paths is called.
#[must_use]
pub fn title(names: &[String]) -> String {
    let shown: BTreeSet<&str> = names.iter().map(|name| nix_store::without_hash(name)).collect();
    let mut title = format!("Nix store: {}", shown.iter().take(3).copied().collect::<Vec<_>>().join(", "));
    if shown.len() > 3 {
        title.push_str(&format!(" and {} more", names.len() - 3));
    }
    title
}
