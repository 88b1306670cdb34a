//! A closure of a Nix store: paths that are complete together, as an ingredient.
//!
//! What is known of a closure is what Nix says of it, in JSON: its paths, their references, sizes and hashes.
//! [`pack()`] deals them out to layers; [`nar`] tells whether the files of a path are those that Nix hashed. The files
//! themselves come from the caller, as a [`Tree`](crate::tree::Tree) below `nix/store`: modes 0444 and 0555, owned by root, of
//! the time [`TIME`] (folders have that of all folders in layers). That is how a store has them, and all that it keeps.

mod hash;
pub mod nar;
mod pack;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

pub use pack::pack;

use crate::digest::Digest;

/// The folder of all store paths, in an image as on a machine. Paths refer to each other by it.
pub const STORE: &str = "nix/store";

/// The time of every file of a store, in seconds since 1970. Not the epoch of the build: programs that compare times
/// (Python with its bytecode) are at home in a store where all are equal.
pub const TIME: u64 = 1;

/// Length of the hash that every name begins with.
const HASH: usize = 32;

/// What Nix says of a store path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorePath {
    /// SHA-256 of its NAR.
    pub nar_hash: Digest,
    /// Size of its NAR in bytes.
    pub nar_size: u64,
    /// The names of the paths that it refers to, itself apart.
    pub references: BTreeSet<String>,
}

/// A set of store paths that has everything that they refer to: name (`HASH-glibc-2.40`) to what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closure(BTreeMap<String, StorePath>);

/// Why a text is not a closure.
#[derive(Debug, thiserror::Error)]
pub enum ClosureError {
    /// No JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// Something is not as Nix writes it.
    #[error("{0}")]
    Shape(String),
    /// A reference leads out of the set.
    #[error("/nix/store/{path} refers to /nix/store/{missing}, which is not in the closure")]
    Incomplete {
        /// Who refers.
        path: String,
        /// To what.
        missing: String,
    },
}

impl Closure {
    /// Reads what `nix path-info --json --recursive` prints (of Nix 2.8 a list, later an object by path, later still one
    /// with a `version`), or Nix's structured attributes (`.attrs.json`) with an `exportReferencesGraph` called `closure`.
    ///
    /// # Errors
    /// [`ClosureError`].
    pub fn parse(json: &[u8]) -> Result<Self, ClosureError> {
        let document: Value = serde_json::from_slice(json)?;
        let list = document.get("closure").or(document.get("info")).unwrap_or(&document);
        let mut paths = BTreeMap::new();
        match list {
            Value::Array(list) => {
                for info in list {
                    let path = info.get("path").and_then(Value::as_str);
                    let path = path.ok_or_else(|| ClosureError::Shape("an entry has no `path`".into()))?;
                    paths.insert(name(path)?, read(path, info)?);
                }
            }
            Value::Object(map) => {
                for (path, info) in map {
                    paths.insert(name(path)?, read(path, info)?);
                }
            }
            _ => return Err(ClosureError::Shape("there is no list of store paths".into())),
        }
        if paths.is_empty() {
            return Err(ClosureError::Shape("the closure is empty".into()));
        }
        for (path, info) in &paths {
            if let Some(missing) = info.references.iter().find(|reference| !paths.contains_key(*reference)) {
                return Err(ClosureError::Incomplete { path: path.clone(), missing: missing.clone() });
            }
        }
        Ok(Self(paths))
    }

    /// The paths, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &StorePath)> {
        self.0.iter().map(|(name, path)| (name.as_str(), path))
    }

    /// The path of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&StorePath> {
        self.0.get(name)
    }
}

/// What an entry says. Sizes are numbers, hashes come in several spellings.
fn read(path: &str, info: &Value) -> Result<StorePath, ClosureError> {
    let wrong = |what: &str| ClosureError::Shape(format!("{path}: {what}"));
    // Nix says so of a path that is not there.
    if info.is_null() || info.get("valid") == Some(&Value::Bool(false)) {
        return Err(wrong("it is not in the store that was asked"));
    }
    let nar_hash = info.get("narHash").and_then(hash::read).ok_or_else(|| wrong("it has no SHA-256 as `narHash`"))?;
    let nar_size = info.get("narSize").and_then(Value::as_u64).ok_or_else(|| wrong("it has no `narSize`"))?;
    let references = info.get("references").and_then(Value::as_array).ok_or_else(|| wrong("it has no `references`"))?;
    let own = name(path)?;
    let mut names = BTreeSet::new();
    for reference in references {
        let reference = name(reference.as_str().ok_or_else(|| wrong("a reference is no text"))?)?;
        if reference != own {
            names.insert(reference);
        }
    }
    Ok(StorePath { nar_hash, nar_size, references: names })
}

/// The name of a store path, which may be written with or without the store's folder.
///
/// # Errors
/// When it is not the name of a path right below `/nix/store`.
pub fn name(path: &str) -> Result<String, ClosureError> {
    let name = path.strip_prefix("/nix/store/").unwrap_or(path);
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"+-._?=".contains(&b);
    let (hash, rest) = name.as_bytes().split_at_checked(HASH).unwrap_or_default();
    if rest.len() < 2
        || rest[0] != b'-'
        || !hash.iter().all(|b| hash::DIGITS.contains(b))
        || !rest.iter().all(|b| plain(*b))
    {
        return Err(ClosureError::Shape(format!("`{path}` is not a path of the Nix store /nix/store")));
    }
    Ok(name.to_owned())
}

/// The name without its hash: `glibc-2.40`.
#[must_use]
pub fn without_hash(name: &str) -> &str {
    name.get(HASH + 1..).unwrap_or(name)
}
