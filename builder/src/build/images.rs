//! Images of finished layers.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use sealift_deployment::profile::model::Service;
use sealift_layers::image::{Image, ImageLayer, ImageSpec, timestamp};
use sealift_layers::ingredients::accounts::{Account, users};

use crate::assemble::{accounts, named_of_debian, owner_ids};
use crate::plan::{self, FinishedLayers, Plan};

/// The images of a plan whose layers are finished.
pub(super) fn make(plan: &Plan<'_>, layers: &FinishedLayers) -> Result<Vec<Image>> {
    let mut readers = Vec::new();
    let specs: Vec<ImageSpec> =
        plan.images.iter().map(|image| spec(plan, image, layers, &mut readers)).collect::<Result<_>>()?;
    plan.inputs.profile.check_readable(&readers)?;
    let made = specs
        .into_iter()
        .zip(&plan.images)
        .map(|(spec, image)| Image::new(spec).with_context(|| format!("cannot make the image {}", image.name)));
    made.collect()
}

/// Adds the services of the image to `readers`, with their groups: those that name an account of a package have none before.
fn spec<'a>(
    plan: &Plan<'a>,
    image: &plan::Image,
    layers: &FinishedLayers,
    readers: &mut Vec<(&'a Service, Vec<u32>)>,
) -> Result<ImageSpec> {
    let inputs = &plan.inputs;
    let model = inputs.model(&image.name);
    let users = users_of(plan, image, layers)?;
    let known = |user: &str, place: [&str; 3]| {
        let place = inputs.profile.place(&place).map(|place| format!(" ({place})")).unwrap_or_default();
        owner_ids(user, &users).with_context(|| format!("the image {} cannot be run{place}", image.name))
    };
    let (uid, gid) = known(model.user.get_ref(), ["images", &image.name, "user"])?;
    // The engine looks these names up in the image.
    let services = inputs.profile.model.services.iter().filter(|(_, service)| *service.image.get_ref() == image.name);
    for (name, service) in services {
        let group = match service.user.as_ref().map(|user| user.get_ref().as_str()) {
            None => gid,
            Some("0") => 0,
            Some(user) => known(user, ["services", name.get_ref(), "user"])?.1,
        };
        readers.push((service, std::iter::once(group).chain(service.groups.iter().copied()).collect()));
    }
    let layers = layers
        .of(image)
        .into_iter()
        .map(|finished| ImageLayer { layer: finished.layer, created_by: format!("sealift: {}", finished.title) });
    Ok(ImageSpec {
        name: image.reference.clone(),
        platform: inputs.options.platform,
        created: inputs.epoch,
        user: format!("{uid}:{gid}"),
        entrypoint: model.entrypoint.clone(),
        command: model.command.clone(),
        workdir: model.workdir.clone(),
        env: image.env.clone(),
        ports: model.ports.iter().map(|port| format!("{port}/tcp")).collect(),
        volumes: model.volumes.clone(),
        stop_signal: model.stop_signal.clone(),
        labels: labels(plan, image),
        layers: layers.collect(),
    })
}

/// The users of an image: of the profile, of its packages, and those of every Debian system that the profile names.
pub(super) fn users_of(plan: &Plan<'_>, image: &plan::Image, layers: &FinishedLayers) -> Result<Vec<Account>> {
    let requests = image.layers.iter().flat_map(|layer| layers.record(&layer.key).remarks.accounts.clone());
    let requests = requests.chain(named_of_debian(plan.inputs.image(&image.name)));
    Ok(users(&accounts(plan.inputs.model(&image.name)), &requests.collect::<Vec<_>>())?)
}

/// The profile's labels and those of the image, by their full names (OCI image-spec 1.1, "Annotations").
fn labels(plan: &Plan<'_>, image: &plan::Image) -> BTreeMap<String, String> {
    let profile = &plan.inputs.profile.model;
    let mut labels: BTreeMap<String, String> = profile.labels.clone();
    labels.insert("title".to_owned(), plan.inputs.model(&image.name).title.clone());
    labels.insert("version".to_owned(), profile.version.get_ref().clone());
    labels.insert("ref.name".to_owned(), image.reference.clone());
    labels.insert("created".to_owned(), timestamp(plan.inputs.epoch).unwrap_or_default());
    labels.into_iter().map(|(name, text)| (format!("org.opencontainers.image.{name}"), text)).collect()
}
