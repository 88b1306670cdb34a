//! The interface between ingredients and the rest of the program.

use std::collections::BTreeMap;
use std::fmt::Debug;

use anyhow::Result;
use sealift_layers::listing::Listing;
use sealift_layers::tree::Tree;

use super::description::Description;
use super::workshop::{Opens, Workshop};
use crate::inputs::{Artifact, ImageInputs};
use crate::recipe;
use crate::store::layer::{Check, LayerRecord, Remarks};
use crate::store::{Builder, Store};

/// One layer of an image, before it is made.
pub trait Ingredient: Debug + Send + Sync {
    /// What the layer holds, in the history of the image, in plans and in `bundle.json`.
    fn title(&self) -> String;

    /// The recipe of the layer's key, with its version.
    fn recipe(&self) -> &'static str {
        recipe::LAYER
    }

    /// Whether the layer's bytes do not depend on the layers below it. Such a layer shares no path with any other layer
    /// but directories; its key has neither the platform nor the layers below.
    fn is_independent(&self) -> bool {
        false
    }

    /// Whether nothing in the layer is later than its newest file, whose time those have that have none of their own. A later
    /// lock with the same contents then gives the same bytes. Where no file has any, all have that of directories. Otherwise they
    /// have the epoch of the build.
    fn has_own_times(&self) -> bool {
        false
    }

    /// Adds everything else that decides the layer's bytes to its key.
    ///
    /// # Errors
    /// When the lock contradicts itself, or a file of the profile cannot be read.
    fn key(&self, image: ImageInputs<'_>, key: Builder) -> Result<Builder>;

    /// The artifacts that must be in the store before the layer can be made. The store may have what was
    /// derived from them earlier. None by default.
    ///
    /// # Errors
    /// When the lock contradicts itself.
    fn needs<'a>(&self, _image: ImageInputs<'a>, _store: &Store) -> Result<Vec<Artifact<'a>>> {
        Ok(Vec::new())
    }

    /// The artifacts that the workshop opens in advance, together with those of the image's other layers, on all
    /// threads.
    fn opens(&self) -> Opens<'_> {
        Opens::default()
    }

    /// Makes the layer's tree. `lower` is the union of the layers below, without independent layers if this one is
    /// independent, too.
    ///
    /// # Errors
    /// When artifacts are damaged or do not fit together, a compilation fails, or the disk is full.
    fn make<'a>(&'a self, workshop: &mut Workshop<'_>, image: ImageInputs<'a>, lower: &Listing) -> Result<Made<'a>>;

    /// Describes the layer's contents in `bundle.json` and the bill of materials, from the record of the finished layer.
    /// By default there is nothing to describe.
    ///
    /// # Errors
    /// When the lock contradicts itself.
    fn describe(&self, _image: ImageInputs<'_>, _record: &LayerRecord, _description: &mut Description) -> Result<()> {
        Ok(())
    }

    /// What the person who builds should know about the finished layer, a line each. Nothing by default.
    fn warnings(&self, _image: ImageInputs<'_>, _record: &LayerRecord) -> Vec<String> {
        Vec::new()
    }
}

/// The contents of a layer.
pub struct Made<'a> {
    /// Its files, adapted to the layers below ([`sealift_layers::tree::overlay`]).
    pub tree: Tree,
    /// What was noticed when they were made.
    pub remarks: Remarks,
    /// A check that runs while the layer is compressed.
    pub check: Option<Check<'a>>,
}

impl From<Tree> for Made<'_> {
    fn from(tree: Tree) -> Self {
        Self { tree, remarks: Remarks::default(), check: None }
    }
}

/// Adds each value to a key under the same name.
pub(super) fn strings<'a>(key: Builder, name: &str, values: impl IntoIterator<Item = &'a str>) -> Builder {
    values.into_iter().fold(key, |key, value| key.field(name, value))
}

/// Adds each name and value of a map to a key.
pub(super) fn pairs(key: Builder, name: &str, values: &BTreeMap<String, String>) -> Builder {
    values.iter().fold(key, |key, (from, to)| key.field(name, from).field("to", to))
}
