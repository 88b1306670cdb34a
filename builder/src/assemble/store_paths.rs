//! Layers of a Nix closure.

use std::num::NonZero;
use std::sync::Arc;

use anyhow::Result;
use sealift_deployment::bundle;
use sealift_deployment::failure::Failure;
use sealift_layers::ingredients::nix_store::{self, Closure};
use sealift_layers::listing::{Listing, Node};
use sealift_layers::tree::TreePath;

use super::description::Description;
use super::ingredient::{Ingredient, Made};
use super::workshop::{Workshop, overlay};
use crate::inputs::ImageInputs;
use crate::store::Builder;
use crate::store::layer::LayerRecord;
use crate::{nix, recipe};

/// Paths of the image's closure, which are read from this machine's Nix store.
#[derive(Debug)]
struct StorePaths {
    closure: Arc<Closure>,
    /// Names of the paths, sorted.
    names: Vec<String>,
}

/// The layers of the image's closure, if it has one.
pub(super) fn layers(image: ImageInputs<'_>) -> Result<Vec<Box<dyn Ingredient>>> {
    let Some(model) = &image.model().nix else { return Ok(Vec::new()) };
    let path = image.inputs.profile.sources.path(model.closure.get_ref());
    let closure = Arc::new(nix::closure(&path)?);
    let limit = NonZero::new(*model.layers.get_ref() as usize).unwrap_or(NonZero::<usize>::MIN);
    let layer = |names: Vec<&str>| -> Box<dyn Ingredient> {
        let names = names.into_iter().map(str::to_owned).collect();
        Box::new(StorePaths { closure: Arc::clone(&closure), names })
    };
    Ok(nix_store::pack(&closure, limit).into_iter().map(layer).collect())
}

impl Ingredient for StorePaths {
    fn title(&self) -> String {
        nix::title(&self.names)
    }

    fn recipe(&self) -> &'static str {
        recipe::STORE_PATHS
    }

    fn is_independent(&self) -> bool {
        true
    }

    fn key(&self, _image: ImageInputs<'_>, key: Builder) -> Result<Builder> {
        Ok(nix::add_to_key(key, &self.closure, &self.names))
    }

    fn make<'a>(&'a self, workshop: &mut Workshop<'_>, image: ImageInputs<'a>, lower: &Listing) -> Result<Made<'a>> {
        check_folders(lower)?;
        let tree = nix::tree(&self.names, &image.inputs.options.nix_store)?;
        // The layer does not depend on the layers below.
        let tree = overlay(tree, &Listing::new())?;
        let (files, jobs) = (tree.clone(), workshop.jobs);
        let check = Box::new(move || nix::verify(&self.closure, &self.names, &files, jobs));
        Ok(Made { check: Some(check), ..tree.into() })
    }

    fn describe(&self, _image: ImageInputs<'_>, _record: &LayerRecord, description: &mut Description) -> Result<()> {
        description.image.store_paths = self.closure.iter().map(|(name, _)| name.to_owned()).collect();
        for (name, path) in self.closure.iter() {
            let described = bundle::StorePath {
                name: name.to_owned(),
                nar_hash: path.nar_hash,
                nar_size: path.nar_size,
                references: path.references.iter().cloned().collect(),
            };
            description.store_paths.insert(name.to_owned(), described);
        }
        Ok(())
    }
}

/// Checks that the layers below have nothing where the folders of the Nix store belong.
fn check_folders(lower: &Listing) -> Result<()> {
    let mut folder = Some(TreePath::new(nix_store::STORE)?);
    while let Some(path) = folder {
        if let Some(below) = lower.get(&path).filter(|below| (&below.node, below.mode) != (&Node::Directory, 0o755)) {
            let message = format!("`/{path}` of {} conflicts with the folder of the Nix store", below.origin);
            return Err(Failure::failed(message).hint("`drop` it from the image").into());
        }
        folder = path.parent();
    }
    Ok(())
}
