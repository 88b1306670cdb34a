//! Describes a plan and its finished layers as `bundle.json`.

use std::collections::BTreeMap;

use anyhow::Result;
use sealift_deployment::bundle::{BundleImage, BundleLayer, Bytecode, Manifest, Written, too_large};
use sealift_deployment::failure::Failure;
use sealift_deployment::profile::model::{Model, Service};
use sealift_layers::image::Image;

use super::facts::Known;
use crate::assemble::{Description, ImageDescription};
use crate::plan::{self, FinishedLayers, Plan};
use crate::recipe;

pub(super) fn manifest(plan: &Plan<'_>, images: &[Image], layers: &FinishedLayers) -> Result<Manifest> {
    let inputs = &plan.inputs;
    let model = &inputs.profile.model;
    let mut description = Description::default();
    let mut described = Vec::new();
    for (planned, image) in plan.images.iter().zip(images) {
        described.push(describe_image(plan, planned, image, layers, &mut description)?);
    }
    if let Some(what) = too_large(&described, inputs.options.limits) {
        let hint = "leave out large files that are almost empty, or allow more with --limit-unpacked SIZE (such as 8GiB): \
                    hosts need it, too, for `verify` and `up`";
        return Err(Failure::failed(format!("no host would take the bundle: {what}")).hint(hint).into());
    }
    let Description {
        system,
        packages,
        wheels,
        crates,
        archives,
        store_paths,
        excluded,
        interpreters,
        compiled,
        image: _,
    } = description;
    let mut manifest = Manifest {
        schema: 1,
        sealift: env!("CARGO_PKG_VERSION").to_owned(),
        product: model.product.get_ref().clone(),
        profile: model.name.get_ref().clone(),
        version: model.version.get_ref().clone(),
        title: model.title.clone(),
        platform: inputs.options.platform.to_string(),
        deployment: model.deployment,
        epoch: inputs.epoch,
        host: inputs.options.parameters.host.to_string(),
        images: described,
        system,
        packages: packages.into_values().collect(),
        wheels: wheels.into_values().collect(),
        crates,
        archives: archives.into_values().collect(),
        store_paths: store_paths.into_values().collect(),
        excluded,
        privileges: privileges(model),
        written: Some(Written { recipe: recipe::LAYER.to_owned(), codec: inputs.options.codec.recipe().to_owned() }),
        bytecode: (!interpreters.is_empty()).then(|| Bytecode { recipe: recipe::BYTECODE.to_owned(), interpreters }),
        compiled,
        program: Vec::new(),
        site: Default::default(),
    };
    Known::new(plan, layers).describe(&mut manifest)?;
    Ok(manifest)
}

/// What services may do beyond what all services may, by service, with reasons.
fn privileges(model: &Model) -> BTreeMap<String, BTreeMap<String, String>> {
    let of_service = |service: &Service| -> BTreeMap<String, String> {
        service.privileges().into_iter().map(|(what, why)| (what, why.to_owned())).collect()
    };
    let all = model.services.iter().map(|(name, service)| (name.get_ref().clone(), of_service(service)));
    all.filter(|(_, rights)| !rights.is_empty()).collect()
}

fn describe_image(
    plan: &Plan<'_>,
    planned: &plan::Image,
    image: &Image,
    layers: &FinishedLayers,
    description: &mut Description,
) -> Result<BundleImage> {
    let inputs = plan.inputs.image(&planned.name);
    for layer in &planned.layers {
        layer.ingredient.describe(inputs, layers.record(&layer.key), description)?;
    }
    let ImageDescription { packages, wheels, archives, store_paths } = std::mem::take(&mut description.image);
    let layers = layers.of(planned).into_iter().map(|finished| BundleLayer {
        title: finished.title,
        digest: finished.layer.digest,
        size: finished.layer.size,
        diff_id: finished.layer.diff_id,
        unpacked: finished.layer.unpacked,
    });
    Ok(BundleImage {
        name: planned.name.clone(),
        reference: image.name.clone(),
        digest: image.digest(),
        config: image.config_digest(),
        layers: layers.collect(),
        packages,
        wheels,
        archives,
        store_paths,
    })
}
