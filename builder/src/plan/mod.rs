//! What a build will do, as a value: images and their layers with keys. `sealift plan` prints it, `sealift build`
//! executes it; nothing is decided later than here.

mod finished;
mod image;
#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::profile::Profile;
use sealift_deployment::profile::names::bundle_file;

use crate::inputs::{Artifact, Inputs, Options};
use crate::lock::Lock;
use crate::store::{Key, Store};

pub use finished::{FinishedLayer, FinishedLayers};
pub use image::{Image, Layer};

/// A whole build.
#[derive(Debug)]
pub struct Plan<'a> {
    /// Everything that decides it.
    pub inputs: Inputs<'a>,
    /// The images, sorted by name.
    pub images: Vec<Image>,
}

impl<'a> Plan<'a> {
    /// Plans a build of `profile` as `lock` pins it.
    ///
    /// # Errors
    /// When the lock does not have the platform or one of the images (it is older than the profile), a template is
    /// wrong, or a file of the profile cannot be read.
    pub fn new(profile: &'a Profile, lock: &'a Lock, options: Options) -> Result<Self> {
        let inputs = Inputs::new(profile, lock, options)?;
        let names = profile.model.images.keys();
        let images = names.map(|name| Image::new(inputs.image(name.get_ref()))).collect::<Result<_>>()?;
        Ok(Self { inputs, images })
    }

    /// Removes all images but one. Its layers stay the same as they are among the others.
    ///
    /// # Errors
    /// When the profile has no image of this name.
    pub fn select(&mut self, image: &str) -> Result<()> {
        if !self.images.iter().any(|other| other.name == image) {
            let names: Vec<&str> = self.images.iter().map(|image| image.name.as_str()).collect();
            let message = format!("the profile {} has no image {image}", self.inputs.profile.model.name.get_ref());
            return Err(Failure::usage(message).hint(format!("its images: {}", names.join(", "))).into());
        }
        self.images.retain(|other| other.name == image);
        Ok(())
    }

    /// The layers that `store` lacks, each once, with the first image that has it; sorted by key.
    #[must_use]
    pub fn missing(&self, store: &Store) -> Vec<(&Image, &Layer)> {
        let mut missing: BTreeMap<Key, (&Image, &Layer)> = BTreeMap::new();
        for image in &self.images {
            for layer in image.layers.iter().filter(|layer| store.finished_layer(&layer.key).is_none()) {
                missing.entry(layer.key).or_insert((image, layer));
            }
        }
        missing.into_values().collect()
    }

    /// The artifacts that the layers `missing` are made of, whether `store` has them or not; each once, by source and
    /// name.
    ///
    /// # Errors
    /// When the lock contradicts itself.
    pub fn needs<'p>(&'p self, missing: &[(&'p Image, &'p Layer)], store: &Store) -> Result<Vec<Artifact<'p>>> {
        let mut needs = BTreeMap::new();
        for (image, layer) in missing {
            for artifact in layer.ingredient.needs(self.inputs.image(&image.name), store)? {
                needs.insert(artifact.order(), artifact);
            }
        }
        Ok(needs.into_values().collect())
    }

    /// The bundle's file name.
    #[must_use]
    pub fn file_name(&self) -> String {
        let options = &self.inputs.options;
        bundle_file(&self.inputs.profile.model, &options.platform.to_string(), options.codec)
    }
}
