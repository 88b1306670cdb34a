//! `sealift inspect`

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use sealift_deployment::failure::Failure;
use sealift_deployment::ui;
use sealift_layers::validate::Depth;
use serde::Serialize;

use super::Context;
use sealift_deployment::bundle::{self, Manifest, Package};

/// Show the contents of a bundle: images, layers, sizes, packages
///
/// Reads only the bundle's `bundle.json`. `sealift verify` checks it against the contents.
///
/// Examples:
///   sealift inspect parsec-standalone-3.10.0-linux-amd64.tar
///   sealift inspect parsec-standalone-3.10.0-linux-amd64.tar --packages
///   sealift inspect . --json | jq -r '.packages[] | .name + " " + .version'
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct Inspect {
    /// File of a bundle, or the folder that it was unpacked into
    bundle: PathBuf,
    /// Also list the packages, wheels and archives of each image
    #[arg(long)]
    packages: bool,
    /// Print the bundle's description as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Archive {
    images: Vec<ArchiveImage>,
}

#[derive(Serialize)]
struct ArchiveImage {
    reference: String,
    digest: sealift_layers::digest::Digest,
}

impl Inspect {
    pub(super) fn run(&self, context: &mut Context) -> Result<()> {
        let bundle = bundle::open(&self.bundle)?;
        match &bundle.manifest {
            Some(manifest) if self.json => context.out.json(manifest),
            Some(manifest) => Ok(context.out.write_all(text(manifest, self.packages)?.as_bytes())?),
            None => {
                let findings = bundle.verify(Depth::Documents);
                if let Some(problem) = findings.violations.first() {
                    return Err(Failure::verification(problem.to_string()).into());
                }
                let images = findings.images.into_iter();
                let images = images.map(|image| ArchiveImage { reference: image.name, digest: image.digest }).collect();
                context.out.json(&Archive { images })
            }
        }
    }
}

/// Longest text in bytes. The bundles of a hostile maker may list one package a million times.
const LONGEST: usize = 32 << 20;

fn text(manifest: &Manifest, packages: bool) -> Result<String, Failure> {
    let Manifest { product, profile, version, platform, title, .. } = manifest;
    let date = sealift_layers::image::timestamp(manifest.epoch).unwrap_or_default();
    let mut text = format!("{product} {profile} {version}, {platform}\n{title}\ninputs up to {date}\n");
    let mut seen = BTreeSet::new();
    let known: BTreeMap<&str, &Package> =
        manifest.packages.iter().map(|package| (package.name.as_str(), package)).collect();
    for image in &manifest.images {
        let size = ui::total(image.layers.iter().map(|layer| layer.size));
        let archives = image.archives.len();
        let unpacked = ui::total(image.layers.iter().map(|layer| layer.unpacked));
        text.push_str(&format!(
            "\n{}\n  digest {}\n  id     {}\n  {} packed, {} unpacked, {} packages, {} wheels{}\n",
            image.reference,
            image.digest,
            image.config,
            ui::bytes(size),
            ui::bytes(unpacked),
            image.packages.len(),
            image.wheels.len(),
            if archives == 0 { String::new() } else { format!(", {}", ui::count(archives, "archive")) },
        ));
        for layer in &image.layers {
            let shared = if seen.insert(layer.digest) { "" } else { " (shared)" };
            text.push_str(&format!(
                "    {:>9} -> {:>9}  {}{shared}\n",
                ui::bytes(layer.size),
                ui::bytes(layer.unpacked),
                layer.title
            ));
        }
        if packages {
            for name in &image.packages {
                let found = known.get(name.as_str());
                let version = found.map_or("", |package| package.version.as_str());
                let scripts = found.map_or(&[][..], |package| &package.scripts_not_run);
                let undone =
                    if scripts.is_empty() { String::new() } else { format!(" (not run: {})", scripts.join(", ")) };
                let left = found.map(|package| &package.not_applied).filter(|left| !left.is_empty());
                let left = left.map_or(String::new(), |left| {
                    format!(" (not applied: {})", left.iter().map(String::as_str).collect::<Vec<_>>().join(", "))
                });
                let from = found.and_then(|package| package.archive.as_ref());
                let from = from.map_or(String::new(), |archive| format!(", from {archive}"));
                text.push_str(&format!("    package {name} {version}{from}{undone}{left}\n"));
                if text.len() > LONGEST {
                    let message = format!("the list of the packages has more than {} MiB", LONGEST >> 20);
                    return Err(Failure::verification(message).hint("no bundle has so many: sealift did not make it"));
                }
                for what in found.iter().flat_map(|package| &package.applied) {
                    text.push_str(&format!("      applied: {what}\n"));
                }
            }
            for file in &image.wheels {
                text.push_str(&format!("    wheel   {file}\n"));
            }
            let archives: BTreeSet<&String> = image.archives.iter().collect();
            for archive in manifest.archives.iter().filter(|archive| archives.contains(&archive.file)) {
                text.push_str(&format!("    archive {} {} ({})\n", archive.name, archive.version, archive.file));
            }
        }
    }
    for (service, rights) in &manifest.privileges {
        text.push_str(&format!("\nservice {service} may use\n"));
        for (what, why) in rights {
            text.push_str(&format!("  {what}: {why}\n"));
        }
    }
    if packages && !manifest.excluded.is_empty() {
        text.push_str("\nexcluded on purpose\n");
        for (what, why) in &manifest.excluded {
            text.push_str(&format!("  {what}: {why}\n"));
        }
    }
    Ok(text)
}
