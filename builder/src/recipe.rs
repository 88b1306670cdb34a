//! The recipes of everything that the store keeps under a key: one line each, in one place.
//!
//! A recipe is the first part of a key ([`Key::builder`](crate::store::Key::builder)) and ends in a version. Raise the
//! version whenever the same inputs give other bytes than before: stores then make the result again instead of reusing
//! the old one. Two of them, [`BYTECODE`] and [`CRATE`], also stand in `bundle.json`.

/// A layer whose bytes depend on the layers below it.
pub const LAYER: &str = "layer/1";
/// A layer together with those below it, where its own key does not depend on them.
pub const STACKED_LAYER: &str = "on/1";
/// The listing of a layer: its paths with their metadata.
pub const LISTING: &str = "listing/1";
/// What the programs of a layer need to run.
pub const PROGRAMS: &str = "programs/6";
/// The private keys in a layer.
pub const PRIVATE_KEYS: &str = "private-keys/1";
/// That the programs of an image can run.
pub const RUNNABLE: &str = "runnable/15";
/// Texts of licences, as one document.
pub const TEXTS: &str = "texts/1";
/// Python bytecode of a wheel or of a package of the standard library.
pub const BYTECODE: &str = "bytecode/2: unchecked hash, PYTHONHASHSEED=0, one process per unit";
/// A program compiled from its crate.
pub const CRATE: &str = "crate/1: release profile, locked, crt-static, stripped, paths remapped";
/// What a crate says of itself.
pub const CRATE_FACTS: &str = "crate-facts/1";
/// A layer of paths of a Nix closure.
pub const STORE_PATHS: &str = "store-paths/1";
/// A layer of links to the files of paths of a Nix closure.
pub const STORE_LINKS: &str = "store-links/2";
/// The digest of a whole bundle.
pub const BUNDLE_DIGEST: &str = "bundle-digest/1";
/// The digest of a file or folder that the store keeps.
pub const STORE_TREE: &str = "store-tree/1";
/// The hash of a profile's requests, which its lock records. Another version makes every lock stale.
pub const WANTED: &str = "wanted/1";
