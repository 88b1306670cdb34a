//! `sealift closure`

use std::num::NonZero;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use sealift_deployment::failure::Failure;
use sealift_deployment::machine::Machine;
use sealift_deployment::profile::model::DEFAULT_NIX_LAYERS;
use sealift_deployment::ui;
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
use crate::nix::image::{Archive, Config, ImageBuilder, Request};

/// Build an image from a closure in this machine's Nix store
///
/// Reads the output of `nix path-info --json --recursive`, checks the hash of each store path, and
/// writes an archive for `podman load` and `docker load`. The image contains these paths and nothing
/// from Debian. Paths are grouped into layers by popularity and size, so that a new version of one
/// path changes few layers.
///
/// A profile can also add a closure to an image, beside packages and wheels: `[images.NAME.nix]`.
///
/// Examples:
///   nix path-info --json --recursive ./result > closure.json
///   sealift closure closure.json --contents $(readlink ./result) --config config.json -o hello.tar
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct ClosureCommand {
    /// JSON file with the closure, or Nix's structured attributes (.attrs.json)
    closure: PathBuf,
    /// File to write the archive to
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Full name and tag of the image
    #[arg(long, value_name = "NAME", default_value = "localhost/closure:latest")]
    name: String,
    /// Link the files of this store path into the image's root; may be repeated
    #[arg(long, value_name = "PATH")]
    contents: Vec<String>,
    /// JSON file with the image's configuration, with the keys of OCI: Entrypoint, Cmd, Env, User ...
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// OCI name of the architecture of the store paths
    #[arg(long, value_name = "ARCH", default_value = "amd64")]
    architecture: Architecture,
    /// Maximum number of layers for the closure: 1 to 100
    #[arg(long, value_name = "N", default_value_t = DEFAULT_NIX_LAYERS, value_parser = clap::value_parser!(u32).range(1..=100))]
    max_layers: u32,
    /// Compression of the layers: gzip, zstd or none
    #[arg(long, value_name = "CODEC", default_value = "gzip")]
    layers: Codec,
    #[command(flatten)]
    jobs: Jobs,
    #[command(flatten)]
    store: StoreOption,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Output {
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
        let name = |path: &String| {
            nix_store::name(path)
                .map_err(|error| Failure::usage("--contents must name store paths").because(error).into())
        };
        let request = Request {
            name: self.name.clone(),
            architecture: self.architecture,
            closure: nix::closure(&self.closure)?,
            contents: self.contents.iter().map(name).collect::<Result<_>>()?,
            config: self.config.as_deref().map(Config::read).transpose()?.unwrap_or_default(),
            layers: NonZero::new(self.max_layers as usize).unwrap_or(NonZero::<usize>::MIN),
            codec: self.layers,
            // Store paths have no dates.
            epoch: build::source_date_epoch(&machine)?.unwrap_or(DIRECTORY_TIME),
        };
        let store = self.store.open(&machine)?;
        let phase = ui.steps("Assembling layers", nix_store::pack(&request.closure, request.layers).len() as u64);
        let nix_store = &nix::store(&machine);
        let builder = ImageBuilder { request: &request, nix_store, store: &store, jobs: self.jobs.count() };
        let Archive { image, sha256, size } = builder.write(&self.output, &phase)?;
        phase.finish(&format!("{} layers", image.layers.len()));
        let output = self.output.clone();
        if self.json {
            let (digest, id, reference) = (image.digest(), image.config_digest(), image.name);
            let layers = image.layers.iter().map(|layer| layer.digest).collect();
            context.out.json(&Output { output, size, sha256, reference, digest, id, layers })?;
        } else {
            ui.done(&format!("{}: {}, {sha256}", output.display(), ui::bytes(size)));
        }
        Ok(())
    }
}
