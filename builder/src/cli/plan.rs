//! `sealift plan`

use std::io::Write;

use anyhow::Result;
use clap::Args;
use sealift_deployment::machine::Machine;
use sealift_deployment::profile::Profile;
use sealift_deployment::site::SiteParameters;
use sealift_layers::codec::Codec;
use serde::Serialize;

use super::Context;
use super::common::{PlatformOption, ServerOptions, StoreOption};
use crate::lock::Lock;
use crate::plan::{self, Plan};
use crate::store::Key;
use crate::{assemble, build, nix};
use sealift_deployment::failure::Failure;
use sealift_deployment::ui;

/// Show what a build would do: what is fetched, made and reused, and why
///
/// Nothing is fetched or written, and no server is asked. Each layer has a key: the hash of everything
/// that decides its bytes. A layer whose key is in the store is reused as it is.
///
/// Examples:
///   sealift plan standalone
///   sealift plan standalone --json | jq '.images[].layers[] | select(.action == "make")'
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct PlanCommand {
    /// Name of a profile, or path of its folder
    profile: String,
    #[command(flatten)]
    platform: PlatformOption,
    /// Compression of the layers
    #[arg(long, value_name = "CODEC", default_value = "gzip")]
    layers: Codec,
    #[command(flatten)]
    store: StoreOption,
    #[command(flatten)]
    servers: ServerOptions,
    /// Print the plan as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Shown {
    bundle: String,
    epoch: u64,
    fetch: Vec<Fetch>,
    images: Vec<Image>,
}

#[derive(Serialize)]
struct Fetch {
    name: String,
    size: u64,
    sha256: sealift_layers::digest::Digest,
}

#[derive(Serialize)]
struct Image {
    name: String,
    reference: String,
    layers: Vec<Layer>,
}

#[derive(Serialize)]
struct Layer {
    title: String,
    key: String,
    /// `reuse`, `make`, or `shared` with an image above.
    action: &'static str,
}

impl PlanCommand {
    pub(super) fn run(&self, context: &mut Context) -> Result<()> {
        let machine = Machine::here();
        let profile = Profile::find(&self.profile)?;
        let name = profile.model.name.get_ref();
        let lock = Lock::read(&profile)?.ok_or_else(|| {
            Failure::usage(format!("{name} has no lock yet")).hint(format!("run sealift lock {name} first"))
        })?;
        let servers = self.servers.open(&machine, true)?;
        let options = plan::Options {
            platform: self.platform.of(&profile)?.to_owned(),
            codec: self.layers,
            epoch: build::source_date_epoch(&machine)?,
            parameters: SiteParameters::defaults(&profile.model),
            authorities: Vec::new(),
            cargo: build::cargo(&profile, &servers)?,
            nix_store: nix::store(&machine),
        };
        let plan = Plan::new(&profile, &lock, options)?;
        let store = self.store.open(&machine)?;
        let missing: Vec<Key> = assemble::missing(&plan, &store).into_iter().map(|(_, layer)| layer.key).collect();
        let downloads = build::needed(&plan, &store, &servers)?;
        let mut seen = std::collections::BTreeSet::new();
        let images = plan.images.iter().map(|image| Image {
            name: image.name.clone(),
            reference: image.reference.clone(),
            layers: image
                .layers
                .iter()
                .map(|layer| Layer {
                    title: layer.title.clone(),
                    key: layer.key.hex(),
                    action: match (seen.insert(layer.key), missing.contains(&layer.key)) {
                        (false, _) => "shared",
                        (true, true) => "make",
                        (true, false) => "reuse",
                    },
                })
                .collect(),
        });
        let images = images.collect();
        let fetch = downloads.into_iter().map(|d| Fetch { name: d.name, size: d.size, sha256: d.digest }).collect();
        let shown = Shown { bundle: plan.file_name(), epoch: plan.epoch, fetch, images };
        if self.json { context.out.json(&shown) } else { Ok(context.out.write_all(text(&shown).as_bytes())?) }
    }
}

fn text(plan: &Shown) -> String {
    let total: u64 = plan.fetch.iter().map(|file| file.size).sum();
    let mut text = format!("{}\n\n", plan.bundle);
    if plan.fetch.is_empty() {
        text.push_str("nothing to fetch: all that is needed is in the store\n");
    } else {
        text.push_str(&format!("fetch {} files, {}\n", plan.fetch.len(), ui::bytes(total)));
        for file in &plan.fetch {
            text.push_str(&format!("  {:>10}  {}\n", ui::bytes(file.size), file.name));
        }
    }
    for image in &plan.images {
        text.push_str(&format!("\n{}\n", image.reference));
        for layer in &image.layers {
            let why = match layer.action {
                "make" => "make    (its key is not in the store)",
                "reuse" => "reuse   (its key is in the store)",
                other => other,
            };
            text.push_str(&format!("  {}  {}\n          {why}\n", &layer.key[..12], layer.title));
        }
    }
    text
}
