//! The layers of Debian packages, made as soon as they are locked.
//!
//! Only the packages themselves say what their maintainer scripts leave to be done. A build finds these layers in the store.

use anyhow::Result;
use sealift_deployment::ui::Ui;

use super::request::BuildRequest;
use super::{fetch_missing, layers, make_plan, options};
use crate::lock::Lock;
use crate::servers::Servers;
use crate::store::Store;

/// Makes the layers of packages that `store` lacks, and prints what a build would say of the packages' scripts.
///
/// # Errors
/// As [`super::run`].
pub fn make_packages(
    request: &BuildRequest<'_>,
    lock: &Lock,
    servers: &Servers<'_>,
    store: &Store,
    ui: &Ui,
) -> Result<()> {
    let options = options(request, servers)?;
    let mut plan = make_plan(request, lock, &options)?;
    for image in &mut plan.images {
        // They are the lowest ones.
        image.layers.retain(|layer| !layer.ingredient.opens().packages.is_empty());
    }
    if plan.images.iter().all(|image| image.layers.is_empty()) {
        return Ok(());
    }
    fetch_missing(&plan, store, servers, ui)?
        .complete("the mirror may be in the middle of an update: try again in a few minutes")?;
    let layers = layers::make(&plan, store, request.jobs, ui)?;
    layers::warn_of_packages(&plan, &layers, ui);
    Ok(())
}
