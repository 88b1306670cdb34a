//! The pipeline: from a profile to a plan, an image or a bundle.
//!
//! [`run`] is the only place where its steps follow each other: lock, plan, imports, fetching, layers, images, output.
//! Each step is a file here; the commands `plan`, `image` and `build` differ in their [`Target`] only.

mod fetch;
mod images;
mod imports;
mod layers;
mod lock;
mod preview;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::machine::Machine;
use sealift_deployment::profile::Profile;
use sealift_deployment::site::{Site, SiteParameters};
use sealift_deployment::ui::Ui;
use sealift_layers::codec::Codec;
use sealift_layers::digest::{Digest, Measured};
use sealift_layers::ingredients::certs::Certificate;
use sealift_layers::platform::Platform;

pub use lock::{Relocked, relock};
pub use preview::{Action, Preview, PreviewArtifact, PreviewImage, PreviewLayer};

use crate::bundle::{self, Bundle};
use crate::inputs::Options;
use crate::lock::Lock;
use crate::plan::Plan;
use crate::resolve;
use crate::servers::Servers;
use crate::store::Store;
use imports::Imports;

/// Everything that a build is asked for.
#[derive(Debug)]
pub struct BuildRequest<'a> {
    /// The profile.
    pub profile: &'a Profile,
    /// Platform of the images; the profile supports it.
    pub platform: Platform,
    /// Compression of the layers.
    pub codec: Codec,
    /// Site of the installation, if the build is for a single one.
    pub site: Option<Site>,
    /// What happens to a lock that does not fit the profile or names files that no server has.
    pub lock: LockPolicy,
    /// Files, and folders of files, that are used instead of fetching.
    pub artifacts: Vec<PathBuf>,
    /// Image layouts whose layers are used instead of making them.
    pub layers_from: Vec<PathBuf>,
    /// The epoch in seconds since 1970; `None` for the lock's.
    pub epoch: Option<u64>,
    /// Folder of the paths of Nix closures.
    pub nix_store: PathBuf,
    /// The time in seconds since 1970. It decides only whether signatures are valid when a lock is resolved.
    pub now: u64,
    /// Number of threads.
    pub jobs: usize,
    /// How far to go.
    pub target: Target,
}

/// What happens to a lock that does not fit the profile, or names files that no server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockPolicy {
    /// It is resolved again, and the changes are printed.
    Update,
    /// It is an error.
    Keep,
}

/// How far a build goes.
#[derive(Debug)]
pub enum Target {
    /// Only plan: nothing is fetched or written.
    Plan,
    /// Make one image and write it as an OCI image layout.
    Image {
        /// The image's name in the profile.
        name: String,
        /// Folder to create.
        output: PathBuf,
    },
    /// Make all images and write the bundle.
    Bundle {
        /// File to write; `None` for the bundle's own name in the current directory.
        output: Option<PathBuf>,
        /// The `sealift` program for the host.
        program: Option<PathBuf>,
    },
}

/// The result of a build.
#[derive(Debug)]
pub struct Built {
    /// What was planned.
    pub preview: Preview,
    /// The images; none if the target is a plan.
    pub images: Vec<BuiltImage>,
    /// The file or folder that was written; `None` if the target is a plan.
    pub output: Option<PathBuf>,
    /// Digest and size of the bundle; `None` for other targets.
    pub bundle: Option<Measured>,
}

/// An image that was built.
#[derive(Clone, Debug)]
pub struct BuiltImage {
    /// Full name and tag.
    pub reference: String,
    /// Digest of the manifest.
    pub digest: Digest,
    /// Digest of the configuration: the image's ID on most engines.
    pub id: Digest,
}

/// Runs a build as far as the request's target.
///
/// # Errors
/// The lock does not fit and must be kept, a server or an artifact is not available, artifacts are damaged or do not fit
/// together, a compilation fails, or the output cannot be written.
pub fn run(request: &BuildRequest<'_>, servers: &Servers<'_>, store: &Store, ui: &Ui) -> Result<Built> {
    if let Target::Image { output, .. } = &request.target {
        bundle::check_absent(output)?;
    }
    let options = options(request, servers)?;
    let mut lock = lock::choose(request, servers, ui)?;
    let plan = make_plan(request, &lock, &options)?;
    let imports = Imports::find(&plan, store, &request.layers_from, &request.artifacts)?;
    let preview = Preview::new(&plan, store, &imports)?;
    if matches!(request.target, Target::Plan) {
        return Ok(Built { preview, images: Vec::new(), output: None, bundle: None });
    }
    imports.take(store)?;
    let unavailable = fetch::artifacts(&plan, store, servers, ui)?;
    drop(plan);
    if !unavailable.missing.is_empty() {
        lock = lock::update(request, servers, lock, &unavailable, ui)?;
        fetch::artifacts(&make_plan(request, &lock, &options)?, store, servers, ui)?
            .complete("the mirror may be in the middle of an update: try again in a few minutes")?;
    }
    let plan = make_plan(request, &lock, &options)?;
    fetch::crates(&plan, store)?;
    finish(request, &plan, &lock, store, ui, preview)
}

/// Makes the layers and images of a plan whose artifacts are in the store, and writes the output.
fn finish(
    request: &BuildRequest<'_>,
    plan: &Plan<'_>,
    lock: &Lock,
    store: &Store,
    ui: &Ui,
    preview: Preview,
) -> Result<Built> {
    let layers = layers::make(plan, store, request.jobs, ui)?;
    let images = images::make(plan, &layers)?;
    let built = images.iter().map(|image| BuiltImage {
        reference: image.name.clone(),
        digest: image.digest(),
        id: image.config_digest(),
    });
    let built = built.collect();
    match &request.target {
        Target::Plan => Ok(Built { preview, images: built, output: None, bundle: None }),
        Target::Image { output, .. } => {
            bundle::write_layout(plan, &images, store, output)?;
            Ok(Built { preview, images: built, output: Some(output.clone()), bundle: None })
        }
        Target::Bundle { output, program } => {
            let output = output.clone().unwrap_or_else(|| plan.file_name().into());
            let (program, site) = (program.as_deref(), request.site.as_ref());
            let bundle = Bundle { plan, lock, images: &images, layers: &layers, site, program, jobs: request.jobs };
            let measured = bundle.write(store, &output)?;
            Ok(Built { preview, images: built, output: Some(output), bundle: Some(measured) })
        }
    }
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
    })
}

impl BuildRequest<'_> {
    fn resolve_options(&self) -> resolve::Options {
        resolve::Options { platform: self.platform, now: self.now, allow_expired: false }
    }
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
