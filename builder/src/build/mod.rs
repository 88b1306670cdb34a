//! The pipeline: from a profile to a plan, an image or a bundle.
//!
//! [`run`] is the only place where its steps follow each other: lock, plan, imports, fetching, layers, images, output.
//! Each step is a file here; the commands `plan`, `image` and `build` differ in their [`Target`] only.

mod ahead;
mod fetch;
mod images;
mod imports;
mod keep;
mod layers;
mod lock;
mod preview;
mod request;
mod runnable;
mod secrets;
#[cfg(test)]
mod tests;
mod with;

use std::path::Path;

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::files::Pending;
use sealift_deployment::machine::Machine;
use sealift_deployment::site::{Site, SiteParameters};
use sealift_deployment::ui::Ui;
use sealift_layers::ingredients::certs::Certificate;

pub use ahead::make_packages;
pub use keep::{Kept, gather, keep};
pub use lock::{Relocked, relock, warn_of_profile};
pub use preview::{Action, Preview, PreviewArtifact, PreviewImage, PreviewLayer};
pub use request::{BuildRequest, Built, BuiltImage, LockPolicy, Output, Target};
pub use with::give;

use crate::bundle::program::HostProgram;
use crate::bundle::{self, Bundle};
use crate::fetch::Fetched;
use crate::inputs::Options;
use crate::lock::Lock;
use crate::plan::Plan;
use crate::python::local;
use crate::servers::Servers;
use crate::store::Store;
use imports::Imports;

/// Runs a build as far as the request's target.
///
/// # Errors
/// The lock does not fit and must be kept, a server or an artifact is not available, artifacts are damaged or do not fit
/// together, a compilation fails, or the output cannot be written.
pub fn run(request: &BuildRequest<'_>, servers: &Servers<'_>, store: &Store, ui: &Ui) -> Result<Built> {
    let program = prepare(request)?;
    let options = options(request, servers)?;
    let mut lock = with::add(lock::choose(request, servers, ui)?, request);
    let plan = make_plan(request, &lock, &options)?;
    let artifacts = [&request.artifacts[..], &local::files(request.profile)?].concat();
    let imports = Imports::find(&plan, store, &request.layers_from, &artifacts)?;
    let preview = Preview::new(&plan, store, &imports)?;
    if matches!(request.target, Target::Plan) {
        return Ok(Built { preview, images: Vec::new(), output: None });
    }
    check_output(request, &plan)?;
    imports.take(store)?;
    let unavailable = fetch_missing(&plan, store, servers, ui)?;
    drop(plan);
    if !unavailable.missing.is_empty() {
        lock = with::add(lock::update(request, servers, lock, &unavailable, ui)?, request);
        fetch_missing(&make_plan(request, &lock, &options)?, store, servers, ui)?
            .complete("the mirror may be in the middle of an update: try again in a few minutes")?;
    }
    let plan = make_plan(request, &lock, &options)?;
    fetch::crates(&plan.inputs, &fetch::missing(&plan, store)?, store)?;
    let layers = layers::make(&plan, store, request.jobs, ui)?;
    layers::warn(&plan, &layers, ui);
    let secrets = secrets::check(&plan, &layers, store, request.site.as_ref(), ui);
    both(secrets, || runnable::check(&plan, &layers, store, (request, servers), ui))?;
    let images = images::make(&plan, &layers)?;
    let (program, site) = (program.as_ref(), request.site.as_ref());
    let key = if let Target::Bundle { key, .. } = &request.target { key.as_deref() } else { None };
    let bundle =
        Bundle { plan: &plan, lock: &lock, images: &images, layers: &layers, site, program, key, jobs: request.jobs };
    let output = write(&request.target, &bundle, store)?;
    Ok(Built { preview, images: images.iter().map(BuiltImage::from).collect(), output })
}

/// Two checks of the same layers. What both find is told together, since whoever mends the one would have to build again to
/// hear of the other.
fn both(first: Result<()>, second: impl FnOnce() -> Result<()>) -> Result<()> {
    let Err(first) = first else { return second() };
    let is_finding = |error: &anyhow::Error| error.downcast_ref::<Failure>().is_some();
    if !is_finding(&first) {
        return Err(first);
    }
    match second() {
        Err(second) if is_finding(&second) => {
            let hint = Failure::hint_in(&first).map(|hint| format!("hint: {hint}\n")).unwrap_or_default();
            let failure = Failure::failed(format!("{first}\n{hint}{second}"));
            Err(failure.hint(Failure::hint_in(&second).unwrap_or_default()).into())
        }
        _ => Err(first),
    }
}

fn fetch_missing(plan: &Plan<'_>, store: &Store, servers: &Servers<'_>, ui: &Ui) -> Result<Fetched> {
    fetch::artifacts(&plan.inputs, &fetch::missing(plan, store)?, store, servers, ui)
}

/// Checks what can be checked before the work begins. Returns the program for the host.
fn prepare(request: &BuildRequest<'_>) -> Result<Option<HostProgram>> {
    match &request.target {
        Target::Plan => Ok(None),
        Target::Image { output, .. } => bundle::check_absent(output).map(|()| None),
        Target::Bundle { program, own_program, .. } => {
            let architecture = request.platform.architecture();
            let program = bundle::program::choose(program.as_deref(), own_program.as_deref(), architecture)?;
            bundle::program::check_probes(&request.profile.model, program.as_ref())?;
            Ok(program)
        }
    }
}

/// Writes the image or the bundle.
fn write(target: &Target, bundle: &Bundle<'_>, store: &Store) -> Result<Option<Output>> {
    match target {
        Target::Plan => Ok(None),
        Target::Image { output, .. } => {
            bundle::write_layout(bundle.plan, bundle.images, store, output)?;
            Ok(Some(Output { path: output.clone(), bundle: None }))
        }
        Target::Bundle { output, .. } => {
            let path = output.clone().unwrap_or_else(|| bundle.plan.file_name().into());
            let measured = bundle.write(store, &path)?;
            Ok(Some(Output { path, bundle: Some(measured) }))
        }
    }
}

/// Checks that the bundle can be written, so that the error comes before the work.
fn check_output(request: &BuildRequest<'_>, plan: &Plan<'_>) -> Result<()> {
    if let Target::Bundle { output, .. } = &request.target {
        let own = plan.file_name();
        // Removed again when it is dropped.
        Pending::create(output.as_deref().unwrap_or(Path::new(&own)))?;
    }
    Ok(())
}

fn make_plan<'a>(request: &BuildRequest<'a>, lock: &'a Lock, options: &Options) -> Result<Plan<'a>> {
    let mut plan = Plan::new(request.profile, lock, options.clone())?;
    if let Target::Image { name, .. } = &request.target {
        plan.select(name)?;
    }
    Ok(plan)
}

fn options(request: &BuildRequest<'_>, servers: &Servers<'_>) -> Result<Options> {
    let model = &request.profile.model;
    let has_crates = model.images.values().any(|image| image.krate.is_some());
    let authorities = request.site.iter().flat_map(Site::authorities);
    Ok(Options {
        platform: request.platform,
        codec: request.codec,
        epoch: request.epoch,
        parameters: request
            .site
            .as_ref()
            .map_or_else(|| SiteParameters::defaults(model), |site| site.parameters.clone()),
        authorities: authorities.map(|(file_name, pem)| Certificate { file_name, pem }).collect(),
        cargo: has_crates.then(|| servers.cargo()).transpose()?,
        nix_store: request.nix_store.clone(),
        limits: request.limits,
    })
}

/// The epoch that the environment asks for (`SOURCE_DATE_EPOCH`, reproducible-builds.org specification), in seconds
/// since 1970.
///
/// # Errors
/// When it is not a number.
pub fn source_date_epoch(machine: &Machine) -> Result<Option<u64>> {
    let parse = |text: &str| {
        text.parse().map_err(|_| {
            Failure::usage(format!("SOURCE_DATE_EPOCH is `{text}`, which is not a number of seconds since 1970")).into()
        })
    };
    machine.var("SOURCE_DATE_EPOCH").map(parse).transpose()
}
