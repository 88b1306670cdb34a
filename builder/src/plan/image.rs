//! The images of a plan, and the keys of their layers.

use std::collections::BTreeMap;

use anyhow::Result;
use sealift_deployment::profile::names::image_name;
use sealift_deployment::site::parse_env;

use crate::assemble::{self, Ingredient};
use crate::inputs::{ImageInputs, Inputs};
use crate::recipe;
use crate::store::Key;

/// One image.
#[derive(Debug)]
pub struct Image {
    /// Its name in the profile.
    pub name: String,
    /// Its full name and tag: `localhost/parsec-server:3.10.0`.
    pub reference: String,
    /// Its layers, bottom first.
    pub layers: Vec<Layer>,
    /// Its environment: that of the profile and of its env files.
    pub env: BTreeMap<String, String>,
}

/// One layer.
#[derive(Debug)]
pub struct Layer {
    /// The hash of everything that decides its bytes.
    pub key: Key,
    /// The ingredient that makes its contents.
    pub ingredient: Box<dyn Ingredient>,
}

impl Image {
    pub(super) fn new(inputs: ImageInputs<'_>) -> Result<Self> {
        let mut layers = Vec::new();
        let mut below: Option<Key> = None;
        for ingredient in assemble::layers(inputs)? {
            let layer = Layer { key: layer_key(inputs, ingredient.as_ref(), below)?, ingredient };
            below = Some(if layer.ingredient.is_independent() { stacked_key(below, layer.key) } else { layer.key });
            layers.push(layer);
        }
        Ok(Self {
            name: inputs.name.to_owned(),
            reference: image_name(&inputs.inputs.profile.model, inputs.name),
            layers,
            env: environment(inputs)?,
        })
    }
}

/// The key of a layer. The layers below are part of it, since a layer repeats the metadata of directories below and
/// follows links there.
fn layer_key(image: ImageInputs<'_>, ingredient: &dyn Ingredient, below: Option<Key>) -> Result<Key> {
    let Inputs { options, epoch, .. } = image.inputs;
    let mut key = Key::builder(ingredient.recipe()).field("codec", options.codec.recipe());
    // An epoch that somebody chose can be earlier than a file.
    key = match ingredient.has_own_times() && options.epoch.is_none() {
        true => key.field("times", "own"),
        false => key.field("epoch", epoch),
    };
    if !ingredient.is_independent() {
        key = key.field("platform", options.platform).field("below", hex(below));
    }
    Ok(ingredient.key(image, key)?.finish())
}

/// The key of an independent layer together with the layers below it.
fn stacked_key(below: Option<Key>, layer: Key) -> Key {
    Key::builder(recipe::STACKED_LAYER).field("below", hex(below)).field("layer", layer.hex()).finish()
}

fn hex(below: Option<Key>) -> String {
    below.map(|key| key.hex()).unwrap_or_default()
}

fn environment(image: ImageInputs<'_>) -> Result<BTreeMap<String, String>> {
    let mut env = image.model().env.clone();
    for file in &image.model().env_files {
        let text = image.inputs.rendered.get(file.get_ref()).map_or("", String::as_str);
        env.extend(parse_env(text)?);
    }
    Ok(env)
}
