//! `sealift build`

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use sealift_deployment::machine::Machine;
use sealift_deployment::profile::Profile;
use sealift_deployment::site::{self, Site, SiteParameters};
use sealift_layers::codec::Codec;
use sealift_layers::digest::Digest;
use serde::Serialize;

use super::Context;
use super::common::{self, Artifacts, Jobs, PlatformOption, ServerOptions, StoreOption};
use crate::bundle::Extras;
use crate::lock::Lock;
use crate::plan::{self, Plan};
use crate::{build, bundle, exchange, nix, resolve};
use sealift_deployment::ui;

/// Build a profile's bundle: one tar with all images and everything to deploy them
///
/// Fetches what the lock names (each file is verified by size and SHA-256), assembles the images
/// without a container engine and without root, and writes one tar. `podman load -i` and
/// `docker load -i` take it as it is; unpacked, it is the deployment: compose file, env files, the
/// operator's README. The same lock gives the same bytes on any machine.
///
/// Without --locked, what no server has any more is resolved anew, and the change is printed.
///
/// Examples:
///   sealift build standalone
///   sealift build standalone --site ./site --output /srv/parsec.tar
///   sealift build standalone --locked --offline --json
///   sealift build standalone --from ./parsec-server --from ./parsec-postgres
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct Build {
    /// Name of a profile, or path of its folder
    profile: String,
    /// Where to write the bundle [default: PRODUCT-PROFILE-VERSION-OS-ARCH.tar]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Fail instead of changing the lock
    #[arg(long)]
    locked: bool,
    /// Ask no server: everything must be in the store
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    artifacts: Artifacts,
    /// Folder made by `sealift image`, whose layers are used in place of making them; may be repeated
    #[arg(long, value_name = "DIR")]
    from: Vec<PathBuf>,
    #[command(flatten)]
    platform: PlatformOption,
    #[command(flatten)]
    jobs: Jobs,
    /// Site made by `sealift site new`: its CA goes into the images, its keys and secrets beside them
    #[arg(long, value_name = "DIR")]
    site: Option<PathBuf>,
    /// Statically linked sealift for the host [default: this program itself, if it is]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Compression of the layers: gzip loads everywhere, zstd on podman and on Docker from 23 on
    ///
    /// zstd is smaller and loads faster. With `none` the bundle is two to three times as large, and `podman load`, which
    /// decompresses gzip twice, takes half the time; `sealift up` decompresses by itself.
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
    size: u64,
    sha256: Digest,
    images: Vec<BuiltImage>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct BuiltImage {
    reference: String,
    digest: Digest,
    id: Digest,
}

impl Build {
    pub(super) fn run(&self, context: &mut Context) -> Result<()> {
        let machine = Machine::here();
        let ui = common::ui(&machine, context);
        let profile = Profile::find(&self.profile)?;
        let platform = self.platform.of(&profile)?;
        let servers = self.servers.open(&machine, self.offline)?;
        let now = sealift_deployment::clock::now();
        let site = match &self.site {
            Some(directory) => Some(site::load(directory, &profile.model, now.cast_signed())?),
            None => None,
        };
        let cargo = build::cargo(&profile, &servers)?;
        let options = || -> Result<plan::Options> {
            Ok(plan::Options {
                platform: platform.to_owned(),
                codec: self.layers,
                epoch: build::source_date_epoch(&machine)?,
                parameters: site
                    .as_ref()
                    .map_or_else(|| SiteParameters::defaults(&profile.model), |s| s.parameters.clone()),
                authorities: site.iter().flat_map(Site::authorities).collect(),
                cargo: cargo.clone(),
                nix_store: nix::store(&machine),
            })
        };
        let resolving = resolve::Options { platform, now, allow_expired: false };
        let store = self.store.open(&machine)?;
        let mut lock = build::lock(&profile, &servers, resolving, self.locked, &ui)?;

        let plan = Plan::new(&profile, &lock, options()?)?;
        exchange::take_layers(&plan, &store, &self.from)?;
        self.artifacts.take(&plan, &store)?;
        let fetched = build::fetch(&build::needed(&plan, &store, &servers)?, &store, &servers, &ui)?;
        if self.locked || fetched.missing.is_empty() {
            fetched.complete("the servers have moved on: run sealift lock, or build without --locked")?;
        } else {
            let names: Vec<String> = fetched.missing.into_iter().map(|missing| missing.name).collect();
            ui.warn(&format!("no server has these any more, resolving anew: {}", names.join(", ")));
            lock = build::relock(&profile, &servers, resolving, Some(lock), &ui)?.lock;
            let plan = Plan::new(&profile, &lock, options()?)?;
            let again = build::fetch(&build::needed(&plan, &store, &servers)?, &store, &servers, &ui)?;
            again.complete("the mirror may be updating itself just now; try again in some minutes")?;
        }
        let plan = Plan::new(&profile, &lock, options()?)?;
        build::fetch_crates(&plan, &store)?;
        self.finish(context, &ui, &plan, &lock, site.as_ref(), &store)
    }

    fn finish(
        &self,
        context: &mut Context,
        ui: &ui::Ui,
        plan: &Plan<'_>,
        lock: &Lock,
        site: Option<&Site>,
        store: &crate::store::Store,
    ) -> Result<()> {
        let layers = build::assemble(plan, store, self.jobs.count(), ui)?;
        let images = bundle::images(plan, &layers)?;
        let output = self.output.clone().unwrap_or_else(|| plan.file_name().into());
        let program = bundle::program::choose(self.program.as_deref(), plan.architecture())?;
        let extras = Extras { site, program: program.as_deref(), jobs: self.jobs.count() };
        let (sha256, size) = bundle::write(plan, lock, &images, &layers, &extras, store, &output)?;
        if self.json {
            let images = images.iter().map(|image| BuiltImage {
                reference: image.name.clone(),
                digest: image.digest(),
                id: image.config_digest(),
            });
            context.out.json(&Built { output, size, sha256, images: images.collect() })?;
        } else {
            ui.done(&format!("{}: {}, {sha256}", output.display(), ui::bytes(size)));
        }
        Ok(())
    }
}
