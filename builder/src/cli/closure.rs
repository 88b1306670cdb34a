//! `sealift closure`

use std::num::NonZero;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use sealift_deployment::failure::Failure;
use sealift_deployment::machine::Machine;
use sealift_deployment::profile::names::NIX_LAYERS;
use sealift_layers::codec::Codec;
use sealift_layers::digest::Digest;
use sealift_layers::ingredients::nix_store;
use sealift_layers::platform::Architecture;
use sealift_layers::tar::DIRECTORY_TIME;
use serde::Serialize;

use super::Context;
use super::common::{self, Jobs, StoreOption};
use crate::build;
use crate::nix;
use crate::nix::image::{Config, Request};
use sealift_deployment::ui;

/// Make an image of a closure of this machine's Nix store
///
/// The closure is what `nix path-info --json --recursive` says of some paths. Each path must be on this
/// machine, with the content that the closure states. The image has no Debian in it, just these paths;
/// which of them share a layer is decided by popularity and size, so that a new version of one changes
/// few layers. The archive is for `podman load` and `docker load`.
///
/// A profile takes a closure, too, beside packages and wheels: `[images.NAME.nix]`.
///
/// Examples:
///   nix path-info --json --recursive ./result > closure.json
///   sealift closure closure.json --contents $(readlink ./result) --config config.json -o hello.tar
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct ClosureCommand {
    /// What Nix says of the closure, in JSON, or Nix's structured attributes (.attrs.json)
    closure: PathBuf,
    /// Where to write the archive
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Full name and tag of the image
    #[arg(long, value_name = "NAME", default_value = "localhost/closure:latest")]
    name: String,
    /// Store path whose files are linked into the image's root; may be repeated
    #[arg(long, value_name = "PATH")]
    contents: Vec<String>,
    /// How the image is run, in JSON as OCI spells it: Entrypoint, Cmd, Env, User ...
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Architecture of what is in the closure, as OCI writes it
    #[arg(long, value_name = "ARCH", default_value = "amd64")]
    architecture: Architecture,
    /// How many layers the closure makes at most: 1 to 100
    #[arg(long, value_name = "N", default_value_t = NIX_LAYERS, value_parser = clap::value_parser!(u32).range(1..=100))]
    max_layers: u32,
    /// Compression of the layers
    #[arg(long, value_name = "CODEC", default_value = "gzip")]
    layers: Codec,
    #[command(flatten)]
    jobs: Jobs,
    #[command(flatten)]
    store: StoreOption,
    /// Print what was made as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Made {
    output: PathBuf,
    size: u64,
    sha256: Digest,
    reference: String,
    digest: Digest,
    id: Digest,
    layers: Vec<Digest>,
}

impl ClosureCommand {
    pub(super) fn run(&self, context: &mut Context) -> Result<()> {
        let machine = Machine::here();
        let ui = common::ui(&machine, context);
        let name = |path: &String| nix_store::name(path).map_err(|error| Failure::usage(error.to_string()).into());
        let request = Request {
            name: self.name.clone(),
            architecture: self.architecture,
            closure: nix::closure(&self.closure)?,
            contents: self.contents.iter().map(name).collect::<Result<_>>()?,
            config: self.config.as_deref().map(Config::read).transpose()?.unwrap_or_default(),
            layers: NonZero::new(self.max_layers as usize).unwrap_or(NonZero::<usize>::MIN),
            codec: self.layers,
            // Nothing in a closure has a date.
            epoch: build::source_date_epoch(&machine)?.unwrap_or(DIRECTORY_TIME),
        };
        let store = self.store.open(&machine)?;
        let phase = ui.steps("Assembling layers", nix_store::pack(&request.closure, request.layers).len() as u64);
        let made = nix::image::make(&request, &nix::store(&machine), &store, self.jobs.count(), &self.output, &phase)?;
        let (image, sha256, size) = made;
        phase.finish(&format!("{} layers", image.layers.len()));
        let output = self.output.clone();
        if self.json {
            let (digest, id, reference) = (image.digest(), image.config_digest(), image.name);
            let layers = image.layers.iter().map(|layer| layer.digest).collect();
            context.out.json(&Made { output, size, sha256, reference, digest, id, layers })?;
        } else {
            ui.done(&format!("{}: {}, {sha256}", output.display(), ui::bytes(size)));
        }
        Ok(())
    }
}
