//! `sealift plan`

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::Result;
use clap::Args;
use sealift_deployment::machine::Machine;
use sealift_deployment::ui;
use sealift_layers::digest::Digest;
use serde::Serialize;

use super::Context;
use super::options::{BuildOptions, Run};
use crate::build::{Action, LockPolicy, Preview, PreviewImage, PreviewLayer, Target};

/// Show what a build would do: what it would fetch, make and reuse
///
/// Nothing is fetched or written, and no server is contacted. With the options of the build, the plan
/// is that of the build. Each layer has a key: the hash of everything that decides its bytes. A layer
/// whose key is in the store is reused.
///
/// Examples:
///   sealift plan standalone
///   sealift plan standalone --site ./site --from ./parsec-server
///   sealift plan standalone --json | jq '.images[].layers[] | select(.action == "make")'
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct PlanCommand {
    #[command(flatten)]
    options: BuildOptions,
    /// Print the plan as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Output {
    bundle: String,
    epoch: u64,
    fetch: Vec<Artifact>,
    images: Vec<Image>,
}

#[derive(Serialize)]
struct Artifact {
    name: String,
    size: u64,
    sha256: Digest,
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
    /// `make`, `reuse`, `import`, or `shared` with an image above.
    action: &'static str,
    /// The folder that an imported layer comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
}

impl PlanCommand {
    pub(super) fn run(&self, context: &mut Context) -> Result<()> {
        let run = Run { lock: LockPolicy::Keep, offline: true, jobs: 1, target: Target::Plan };
        let preview = self.options.run(context, &Machine::here(), run)?.preview;
        if self.json {
            return context.out.json(&Output::from(preview));
        }
        Ok(context.out.write_all(text(&preview).as_bytes())?)
    }
}

impl From<Preview> for Output {
    fn from(preview: Preview) -> Self {
        let artifacts = preview.fetch.into_iter();
        let fetch =
            artifacts.map(|artifact| Artifact { name: artifact.name, size: artifact.size, sha256: artifact.sha256 });
        let images = preview.images.into_iter().map(Image::from);
        Self { bundle: preview.file_name, epoch: preview.epoch, fetch: fetch.collect(), images: images.collect() }
    }
}

impl From<PreviewImage> for Image {
    fn from(image: PreviewImage) -> Self {
        let layers = image.layers.into_iter().map(Layer::from).collect();
        Self { name: image.name, reference: image.reference, layers }
    }
}

impl From<PreviewLayer> for Layer {
    fn from(layer: PreviewLayer) -> Self {
        let (action, from) = match layer.action {
            Action::Make => ("make", None),
            Action::Reuse => ("reuse", None),
            Action::Shared => ("shared", None),
            Action::Import(folder) => ("import", Some(folder.display().to_string())),
        };
        Self { title: layer.title, key: layer.key.hex(), action, from }
    }
}

fn text(preview: &Preview) -> String {
    let mut text = format!("{}\n\n", preview.file_name);
    let mut line = |line: std::fmt::Arguments<'_>| writeln!(text, "{line}").expect("writing to a string cannot fail");
    let total: u64 = preview.fetch.iter().map(|artifact| artifact.size).sum();
    if preview.fetch.is_empty() {
        line(format_args!("nothing to fetch"));
    } else {
        line(format_args!("fetch {}, {}", ui::count(preview.fetch.len(), "file"), ui::bytes(total)));
        for artifact in &preview.fetch {
            line(format_args!("  {:>10}  {}", ui::bytes(artifact.size), artifact.name));
        }
    }
    for image in &preview.images {
        line(format_args!("\n{}", image.reference));
        for layer in &image.layers {
            line(format_args!("  {}  {}\n          {}", &layer.key.hex()[..12], layer.title, explained(&layer.action)));
        }
    }
    text
}

fn explained(action: &Action) -> String {
    match action {
        Action::Make => "make    (its key is not in the store)".to_owned(),
        Action::Reuse => "reuse   (its key is in the store)".to_owned(),
        Action::Import(folder) => format!("import  (from {})", folder.display()),
        Action::Shared => "shared".to_owned(),
    }
}
