//! The finished layers of a plan.

use std::collections::BTreeMap;

use sealift_layers::layer;

use super::image::{Image, Layer};
use crate::store::Key;
use crate::store::layer::LayerRecord;

/// All layers of a plan, made or found in the store, by key.
#[derive(Debug, Default)]
pub struct FinishedLayers {
    records: BTreeMap<Key, LayerRecord>,
    /// How many of them were in the store already.
    pub reused: usize,
}

/// One layer of an image.
#[derive(Clone, Debug)]
pub struct FinishedLayer {
    /// Digests and sizes.
    pub layer: layer::Layer,
    /// Its contents in a few words.
    pub title: String,
}

impl FinishedLayers {
    /// Adds a layer.
    pub fn insert(&mut self, key: Key, record: LayerRecord) {
        self.records.insert(key, record);
    }

    /// Whether the layer is finished.
    #[must_use]
    pub fn contains(&self, key: &Key) -> bool {
        self.records.contains_key(key)
    }

    /// The number of layers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The record of a layer.
    ///
    /// # Panics
    /// When the layer is not finished.
    #[must_use]
    pub fn record(&self, key: &Key) -> &LayerRecord {
        &self.records[key]
    }

    /// The layers of one of the plan's images, bottom first.
    ///
    /// # Panics
    /// When one of them is not finished.
    #[must_use]
    pub fn of(&self, image: &Image) -> Vec<FinishedLayer> {
        let finished = |layer: &Layer| FinishedLayer {
            layer: self.record(&layer.key).layer.clone(),
            title: layer.ingredient.title(),
        };
        image.layers.iter().map(finished).collect()
    }
}
