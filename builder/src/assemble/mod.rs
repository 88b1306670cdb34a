//! The ingredients of images: one file for each kind.
//!
//! A kind of ingredient turns what a profile asks for into layers. It implements [`Ingredient`] for its layers and has
//! one line in [`KINDS`]; nothing else in the program distinguishes kinds. To add one:
//!
//! 1. `layers/src/ingredients`: turn its source format into a [`Tree`](sealift_layers::tree::Tree).
//! 2. A file here: a type that implements [`Ingredient`], and a function that gives the layers of an image.
//! 3. [`KINDS`]: that function, at the place where its layers belong in an image.
//! 4. `deployment/src/profile/model`: its table in the profile.
//!
//! What it fetches is an [`Artifact`](crate::inputs::Artifact); a new source of files is one more variant of that.

mod archive_files;
mod bytecode;
mod certificates;
mod configuration;
mod confined;
mod crate_;
mod debian;
mod description;
mod env_files;
mod facts;
mod ingredient;
mod library_cache;
pub mod patterns;
mod release;
pub mod scripts;
mod store_paths;
#[cfg(test)]
mod tests;
mod unpacked;
pub mod wheels;
mod workshop;

use anyhow::Result;

use crate::inputs::ImageInputs;

pub(crate) use configuration::OF_PROFILE;
pub(crate) use configuration::{accounts, named_of_debian, owner_ids};
pub(crate) use debian::BASE_LINKS;
pub use description::{Description, ImageDescription};
pub use ingredient::{Ingredient, Made};
pub use workshop::{Opens, Workshop};

/// Gives the layers of one kind that an image has, bottom first.
type Kind = for<'a> fn(ImageInputs<'a>) -> Result<Vec<Box<dyn Ingredient>>>;

/// All kinds of ingredients, in the order of their layers, bottom first: what changes least often comes first, so that
/// a change replaces few layers.
const KINDS: [Kind; 8] = [
    debian::layers,
    store_paths::layers,
    crate_::layers,
    wheels::layers,
    archive_files::layers,
    certificates::layers,
    env_files::layers,
    configuration::layers,
];

/// The layers of an image, bottom first.
///
/// # Errors
/// When the lock contradicts itself, or a file of the profile cannot be read.
pub fn layers(image: ImageInputs<'_>) -> Result<Vec<Box<dyn Ingredient>>> {
    let mut layers = Vec::new();
    for kind in KINDS {
        layers.extend(kind(image)?);
    }
    Ok(layers)
}
