//! Checks that the finished images can run, so that a missing program or library stops the build and not the host.

mod checks;
mod commands;
mod mounts;
mod packages;
mod readable;
mod suggestions;

use std::collections::BTreeMap;

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::files;
use sealift_deployment::profile::Profile;
use sealift_deployment::ui::{self, Ui};
use sealift_layers::listing::Listing;
use sealift_layers::programs::Programs;

use super::{BuildRequest, images};
use crate::debian::contents::Wanted;
use crate::plan::{FinishedLayers, Image, Plan};
use crate::recipe;
use crate::servers::Servers;
use crate::store::{Key, Store};
use checks::Checks;

/// What the check of an image found.
#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Verdict {
    errors: Vec<String>,
    warnings: Vec<String>,
    /// The missing files of the errors: each with the Debian package that has it by its name, where that tells one.
    missing: BTreeMap<Wanted, Option<String>>,
}

/// Checks the images of `plan`. The store remembers what was found: checking again costs little.
///
/// # Errors
/// A program that a container starts, a loader or a library is missing, and the profile does not allow that.
pub(super) fn check(
    plan: &Plan<'_>,
    layers: &FinishedLayers,
    store: &Store,
    (request, servers): (&BuildRequest<'_>, &Servers<'_>),
    ui: &Ui,
) -> Result<()> {
    let (mut errors, mut missing, mut accounts) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    for image in &plan.images {
        accounts.insert(image.name.as_str(), images::users_of(plan, image, layers)?);
        let verdict = verdict(plan, image, layers, store)?;
        for warning in verdict.warnings {
            ui.warn(&format!("image {}: {warning}", image.name));
        }
        let profile = request.profile;
        errors.extend(
            verdict.errors.into_iter().map(|error| format!("  image {}: {}", image.name, placed(profile, error))),
        );
        missing.insert(image.name.as_str(), verdict.missing);
    }
    for warning in mounts::shared(&plan.inputs.profile.model, &accounts) {
        ui.warn(&warning);
    }
    if errors.is_empty() {
        return Ok(());
    }
    let packages::Found { mut hints, programs } = packages::hints(request, servers, missing);
    let errors: Vec<String> = errors.into_iter().map(|error| suggestions::without_guess(error, &programs)).collect();
    let has_another =
        |error: &String| error.contains(suggestions::DID_YOU_MEAN) || error.contains(suggestions::THERE_ARE);
    if errors.iter().any(has_another) {
        hints.push("write the path that the image has".to_owned());
    }
    if errors.iter().any(|error| error.contains("is not executable: its mode is")) {
        hints.insert(0, "give a file of the profile `mode = \"0755\"`".to_owned());
    }
    // Nothing but the command itself needs what a command lacks.
    let is_of_command = |error: &String| {
        let keys = error.split(": ").nth(1).unwrap_or_default();
        ["images.", "services.", "tasks."].iter().any(|table| keys.starts_with(table))
    };
    if errors.iter().any(|error| !is_of_command(error)) {
        hints.push("`drop` the files that need what is missing".to_owned());
    }
    hints.push("write in `allow-missing` of the image why it is not needed".to_owned());
    let count = ui::count(errors.len(), "error");
    Err(Failure::failed(format!("the images would not run ({count}):\n{}", errors.join("\n")))
        .hint(hints.join("; or "))
        .into())
}

/// An error with the line of the profile that it is about: it begins with the keys of that, such as `images.web.entrypoint: `.
fn placed(profile: &Profile, error: String) -> String {
    let Some((keys, what)) = error.split_once(": ") else { return error };
    let path: Vec<&str> = keys.split('.').collect();
    let is_key = path.len() > 1 && ["images", "services", "tasks"].contains(&path[0]);
    match profile.place(&path).filter(|_| is_key) {
        Some(place) => format!("{keys} ({place}): {what}"),
        None => error,
    }
}

fn verdict(plan: &Plan<'_>, image: &Image, layers: &FinishedLayers, store: &Store) -> Result<Verdict> {
    let checks = Checks::new(plan, image, &images::users_of(plan, image, layers)?);
    let mut key = Key::builder(recipe::RUNNABLE).field("platform", plan.inputs.options.platform);
    for layer in &image.layers {
        key = key.field("layer", layers.record(&layer.key).layer.digest);
    }
    let key = key.field("checks", serde_json::to_string(&checks)?).finish();
    // Their listings are not of this build's making: what follows from them is not kept.
    let is_borrowed = image.layers.iter().any(|layer| store.is_borrowed(&layer.key));
    if let Some(path) = store.derived(&key).filter(|_| !is_borrowed) {
        return Ok(serde_json::from_slice(&files::read_within(&path, files::FILE_LIMIT)?)?);
    }
    let (mut listing, mut programs) = (Listing::new(), Programs::new());
    for layer in &image.layers {
        let above = store.listing(&layer.key)?;
        // A file of an upper layer replaces one below.
        programs.retain(|path, _| !above.contains_key(path));
        listing.extend(above);
        let blob = layers.record(&layer.key).layer.digest;
        programs.extend(store.programs(&layer.key, blob, plan.inputs.options.codec)?);
    }
    let verdict = checks.run(&listing, &programs, plan);
    if !is_borrowed {
        store.put_derived(&key, |path| Ok(fs_err::write(path, serde_json::to_vec(&verdict)?)?))?;
    }
    Ok(verdict)
}
