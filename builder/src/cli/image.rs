//! `sealift image`

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use sealift_deployment::machine::Machine;
use sealift_deployment::profile::Profile;
use sealift_deployment::site::SiteParameters;
use sealift_layers::codec::Codec;
use sealift_layers::digest::Digest;
use serde::Serialize;

use super::Context;
use super::common::{self, Artifacts, Jobs, PlatformOption, ServerOptions, StoreOption};
use crate::plan::{self, Plan};
use crate::{build, bundle, exchange, nix, resolve};

/// Build one image of a profile, as a folder that other builds take its layers from
///
/// For builds that several machines share: each makes some of the images, and one joins them with
/// `sealift build --from`, to the same bytes as if it had made them all. The folder is an OCI layout:
/// engines take the image from it, too. The lock is never changed.
///
/// Examples:
///   sealift image standalone parsec-server --output ./parsec-server
///   podman pull oci:./parsec-server
///   sealift build standalone --from ./parsec-server
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct ImageCommand {
    /// Name of a profile, or path of its folder
    profile: String,
    /// The image's name in the profile
    image: String,
    /// The folder to make [default: the image's name]
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Ask no server: everything must be in the store
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    artifacts: Artifacts,
    #[command(flatten)]
    platform: PlatformOption,
    #[command(flatten)]
    jobs: Jobs,
    /// Compression of the layers, as the build that takes them has it
    #[arg(long, value_name = "CODEC", default_value = "gzip")]
    layers: Codec,
    #[command(flatten)]
    store: StoreOption,
    #[command(flatten)]
    servers: ServerOptions,
    /// Print what was built as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Built {
    output: PathBuf,
    reference: String,
    digest: Digest,
    id: Digest,
}

impl ImageCommand {
    pub(super) fn run(&self, context: &mut Context) -> Result<()> {
        let machine = Machine::here();
        let ui = common::ui(&machine, context);
        let profile = Profile::find(&self.profile)?;
        let output = self.output.clone().unwrap_or_else(|| self.image.clone().into());
        exchange::free(&output)?;
        let platform = self.platform.of(&profile)?;
        let servers = self.servers.open(&machine, self.offline)?;
        let resolving = resolve::Options { platform, now: sealift_deployment::clock::now(), allow_expired: false };
        let lock = build::lock(&profile, &servers, resolving, true, &ui)?;
        let options = plan::Options {
            platform: platform.to_owned(),
            codec: self.layers,
            epoch: build::source_date_epoch(&machine)?,
            parameters: SiteParameters::defaults(&profile.model),
            authorities: Vec::new(),
            cargo: build::cargo(&profile, &servers)?,
            nix_store: nix::store(&machine),
        };
        let mut plan = Plan::new(&profile, &lock, options)?;
        plan.only(&self.image)?;
        let store = self.store.open(&machine)?;
        self.artifacts.take(&plan, &store)?;
        build::fetch(&build::needed(&plan, &store, &servers)?, &store, &servers, &ui)?
            .complete("the servers have moved on: run sealift lock")?;
        build::fetch_crates(&plan, &store)?;

        let layers = build::assemble(&plan, &store, self.jobs.count(), &ui)?;
        let images = bundle::images(&plan, &layers)?;
        exchange::write_layout(&plan, &images, &store, &output)?;
        for image in &images {
            let (digest, id) = (image.digest(), image.config_digest());
            if self.json {
                context.out.json(&Built { output: output.clone(), reference: image.name.clone(), digest, id })?;
            } else {
                ui.done(&format!("{}: {}, {digest}", output.display(), image.name));
            }
        }
        Ok(())
    }
}
