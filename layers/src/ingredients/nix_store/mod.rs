//! A closure of a Nix store as an ingredient: a set of store paths with all paths that they refer to.
//!
//! Nix describes a closure in JSON: paths, references, sizes and hashes. [`pack()`] assigns the paths to layers; [`nar`]
//! writes the form of a path that Nix hashes, for verification. The caller reads the files, as a
//! [`Tree`](crate::tree::Tree) below `nix/store`: modes 0444 and 0555, owned by root, with the time [`TIME`] (directories have
//! the time of all directories in layers). A Nix store keeps no other metadata.

mod hash;
pub mod nar;
mod pack;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

pub use pack::pack;

use crate::digest::Digest;

/// The directory of all store paths, relative to the root. Store paths contain absolute references to it, so it is the same
/// in every image.
pub const STORE: &str = "nix/store";

/// The time of every file of a store, in seconds since 1970. It is not the epoch of the build, because programs that compare
/// times (Python with its bytecode) expect the times of a Nix store.
pub const TIME: u64 = 1;

/// Number of characters of the hash with which every name begins.
const HASH: usize = 32;

/// Nix's description of a store path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorePath {
    /// SHA-256 of its NAR.
    pub nar_hash: Digest,
    /// Size of its NAR in bytes.
    pub nar_size: u64,
    /// Names of the paths that it refers to, without itself.
    pub references: BTreeSet<String>,
}

/// A set of store paths with all paths that they refer to: name (`HASH-glibc-2.40`) to description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closure(BTreeMap<String, StorePath>);

/// Why a document is not a closure.
#[derive(Debug, thiserror::Error)]
pub enum ClosureError {
    /// It is not JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A value is missing or not of the form that Nix writes.
    #[error("{0}")]
    Shape(String),
    /// A path refers to one that is not in the set.
    #[error("/nix/store/{path} refers to /nix/store/{missing}, which is not in the closure")]
    Incomplete {
        /// The path.
        path: String,
        /// The missing path.
        missing: String,
    },
}

impl Closure {
    /// Parses the output of `nix path-info --json --recursive` (a list in Nix 2.8, an object by path in later versions, and an
    /// object with a `version` in the newest ones), or Nix's structured attributes (`.attrs.json`) with an
    /// `exportReferencesGraph` called `closure`.
    ///
    /// # Errors
    /// [`ClosureError`].
    ///
    /// ```
    /// use std::num::NonZero;
    ///
    /// use sealift_layers::ingredients::nix_store::{Closure, pack};
    ///
    /// let name = "00000000000000000000000000000001-hello-2.12";
    /// let json = format!(
    ///     r#"{{ "/nix/store/{name}": {{
    ///         "narHash": "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
    ///         "narSize": 120,
    ///         "references": []
    ///     }} }}"#
    /// );
    /// let closure = Closure::parse(json.as_bytes())?;
    /// assert_eq!(pack(&closure, NonZero::new(100).unwrap()), [[name]]);
    /// # Ok::<(), sealift_layers::ingredients::nix_store::ClosureError>(())
    /// ```
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
            _ => return Err(ClosureError::Shape("it has no list of store paths".into())),
        }
        if paths.is_empty() {
            return Err(ClosureError::Shape("it has no store paths".into()));
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

    /// The description of the path with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&StorePath> {
        self.0.get(name)
    }
}

/// Parses the description of one path.
fn read(path: &str, info: &Value) -> Result<StorePath, ClosureError> {
    let error = |what: &str| ClosureError::Shape(format!("{path}: {what}"));
    // How Nix describes a path that its store does not have.
    if info.is_null() || info.get("valid") == Some(&Value::Bool(false)) {
        return Err(error("it is not in the Nix store"));
    }
    let nar_hash = info.get("narHash").and_then(hash::read).ok_or_else(|| error("it has no SHA-256 as `narHash`"))?;
    let nar_size = info.get("narSize").and_then(Value::as_u64).ok_or_else(|| error("it has no `narSize`"))?;
    let references = info.get("references").and_then(Value::as_array).ok_or_else(|| error("it has no `references`"))?;
    let own = name(path)?;
    let mut names = BTreeSet::new();
    for reference in references {
        let reference = name(reference.as_str().ok_or_else(|| error("a reference is not a string"))?)?;
        if reference != own {
            names.insert(reference);
        }
    }
    Ok(StorePath { nar_hash, nar_size, references: names })
}

/// Parses the name of a store path, with or without the directory of the store in front of it.
///
/// # Errors
/// [`ClosureError::Shape`] if it is not the name of a path directly in `/nix/store`.
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

/// A name without its hash: `glibc-2.40`.
#[must_use]
pub fn without_hash(name: &str) -> &str {
    name.get(HASH + 1..).unwrap_or(name)
}
