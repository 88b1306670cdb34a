//! The layer of env files: rendered templates without secrets.

use std::sync::Arc;

use anyhow::Result;
use sealift_layers::listing::Listing;
use sealift_layers::tree::{Entry, Tree, TreePath};

use super::ingredient::{Ingredient, Made};
use super::workshop::{Workshop, overlay_replacing};
use crate::inputs::ImageInputs;
use crate::store::Builder;

/// The image's env files, in its `env-directory`.
#[derive(Debug)]
struct EnvFiles {
    count: usize,
}

/// The layer of the image's env files, if it has any.
pub(super) fn layers(image: ImageInputs<'_>) -> Result<Vec<Box<dyn Ingredient>>> {
    let count = image.model().env_files.len();
    Ok(if count > 0 { vec![Box::new(EnvFiles { count })] } else { Vec::new() })
}

impl Ingredient for EnvFiles {
    fn title(&self) -> String {
        format!("env files: {}", self.count)
    }

    fn key(&self, image: ImageInputs<'_>, key: Builder) -> Result<Builder> {
        let mut key = key.field("content", "env").field("directory", &image.model().env_directory);
        for file in &image.model().env_files {
            key = key.field("file", file.get_ref()).field("text", &image.inputs.rendered[file.get_ref()]);
        }
        Ok(key)
    }

    fn make<'a>(&'a self, _workshop: &mut Workshop<'_>, image: ImageInputs<'a>, lower: &Listing) -> Result<Made<'a>> {
        let directory = TreePath::new(&image.model().env_directory)?;
        let origin: Arc<str> = "the profile's env files".into();
        let mut tree = Tree::new();
        for file in &image.model().env_files {
            let name = file.get_ref().rsplit('/').next().unwrap_or_default();
            let text = image.inputs.rendered[file.get_ref()].as_str();
            tree.insert(directory.join(name)?, Entry::file(text, 0o644, &origin));
        }
        Ok(overlay_replacing(tree, lower)?.into())
    }
}
