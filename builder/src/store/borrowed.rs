//! Layers that only this build uses: those of other builds (`--from`), and those made on top of them.
//!
//! A folder of `--from` may have any layer under a key, and nothing but making the layer again would show it. So such layers
//! never get a record in the store: a build without `--from` makes its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tempfile::TempPath;

use super::{Key, LayerEntry};

/// The borrowed layers of an open store.
#[derive(Debug, Default)]
pub(super) struct Borrowed(Mutex<BTreeMap<Key, Layer>>);

#[derive(Debug)]
struct Layer {
    entry: LayerEntry,
    /// A file in the store's `tmp/`.
    listing: TempPath,
}

impl Borrowed {
    pub(super) fn add(&self, key: Key, entry: LayerEntry, listing: TempPath) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, Layer { entry, listing });
    }

    pub(super) fn contains(&self, key: &Key) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(key)
    }

    pub(super) fn entry(&self, key: &Key) -> Option<LayerEntry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).map(|layer| layer.entry.clone())
    }

    pub(super) fn listing(&self, key: &Key) -> Option<PathBuf> {
        let layers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        layers.get(key).map(|layer| AsRef::<Path>::as_ref(&layer.listing).to_owned())
    }
}
