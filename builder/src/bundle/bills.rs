//! The folder `sbom` of a bundle: bills of materials, the texts of licences, and where the bundle comes from.

use std::collections::BTreeMap;

use anyhow::Result;
use sealift_deployment::bundle::{MANIFEST, Manifest, licenses, sbom};
use sealift_deployment::profile::model::Deployed;
use sealift_deployment::profile::names::PROGRAM;
use sealift_layers::digest::Digest;
use sealift_layers::escape;
use serde::Serialize;

use super::contents::Bundle;
use super::facts::Known;
use super::files::Files;
use super::program::HostProgram;
use crate::signing;
use crate::store::Store;

/// Adds them.
pub(super) fn add(bundle: &Bundle<'_>, manifest: &Manifest, store: &Store, files: &mut Files) -> Result<()> {
    let program = bundle.program.map(|program| program.digest);
    let known = Known::new(bundle.plan, bundle.layers);
    let mut texts = known.texts(store)?;
    let references: BTreeMap<String, String> = known
        .references()
        .into_iter()
        .filter_map(|(id, digest)| Some((id.to_owned(), texts.get(&digest)?.clone())))
        .collect();
    let bills = std::iter::once((None, Some(sbom::of(manifest, program))));
    let bills = bills.chain(manifest.images.iter().map(|image| {
        let name = image.name.as_str();
        (Some(name), sbom::of_image(manifest, name))
    }));
    for (image, bom) in bills {
        let Some(bom) = bom else { continue };
        files.add(&sbom::path(image, sbom::Format::CycloneDx), json(&bom)?, 0o644)?;
        files.add(&sbom::path(image, sbom::Format::Spdx), json(&sbom::spdx::of(&bom, &references))?, 0o644)?;
    }
    texts.extend(bundle.program.map(|HostProgram { texts, .. }| texts.clone()).unwrap_or_default());
    for digest in licenses::texts(manifest).into_keys() {
        if let Some(text) = texts.remove(&digest) {
            files.add(&sbom::text_path(digest), text, 0o644)?;
        }
    }
    add_provenance(bundle, manifest, program, files)
}

/// Adds where the bundle comes from: a statement about its `bundle.json` and its images.
fn add_provenance(bundle: &Bundle<'_>, manifest: &Manifest, program: Option<Digest>, files: &mut Files) -> Result<()> {
    let mut inputs: BTreeMap<String, Digest> = BTreeMap::new();
    for name in [signing::PROFILE, signing::LOCK] {
        inputs.extend(files.digest(name)?.map(|digest| (name.to_owned(), digest)));
    }
    inputs.extend(program.map(|digest| (PROGRAM.to_owned(), digest)));
    let description = files.digest(MANIFEST)?.map(|digest| (MANIFEST.to_owned(), digest));
    // Without containers, the bundle does not contain its image.
    let images = manifest.images.iter().filter(|_| manifest.deployment == Deployed::Compose);
    let images = images.map(|image| (image.reference.clone(), image.digest));
    let subjects: Vec<(String, Digest)> = description.into_iter().chain(images).collect();
    let facts = signing::Facts { manifest, lock: bundle.lock, subjects: &subjects, files: &inputs };
    files.add(sbom::PROVENANCE, format!("{}\n", signing::statement(&facts)), 0o644)
}

fn json(value: &impl Serialize) -> Result<String> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    Ok(escape::json(&text).into_owned())
}
