//! Getting the bundle's images into the engine.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use sealift_layers::archive::{DockerImage, MANIFEST, blob_path};
use sealift_layers::tar;
use sealift_layers::tree::{Content, Entry, Kind as EntryKind, TreePath};

use super::{Deployment, Engine};
use crate::bundle::MadeImage;
use crate::failure::Failure;
use crate::ui::{self, Ui};

/// Whether `id`, as an engine tells it, is that of `image`: the configuration's digest on podman and on Docker's classic
/// store, the manifest's on containerd's.
pub(super) fn is_image(image: &MadeImage, id: &str) -> bool {
    let id = id.trim().trim_start_matches("sha256:");
    [image.config, image.digest].iter().any(|digest| digest.hex() == id)
}

/// Loads the images that the engine does not have yet.
///
/// # Errors
/// What the engine says.
pub fn load(deployment: &Deployment, engine: &Engine, ui: &Ui) -> Result<()> {
    let images = &deployment.manifest.images;
    let missing = missing(deployment, engine)?;
    if missing.is_empty() {
        ui.note(&format!("ok: all {} are loaded", ui::count(images.len(), "image")));
        return Ok(());
    }
    let (files, total) = archive(deployment, &missing)?;
    let phase = ui.phase("Loading images", total);
    // Through standard input: `podman pull oci:FOLDER:NAME` of podman 4 names the image after the folder.
    engine.feed(&["load", "--quiet"], |input| {
        for (path, entry) in &files {
            tar::append(path, entry, deployment.manifest.epoch, input)?;
            if let EntryKind::File(content) = &entry.kind {
                phase.inc(content.len());
            }
        }
        tar::finish(input)
    })?;
    phase.finish(&ui::count(missing.len(), "image"));
    // What an engine does not understand it may pass over.
    match self::missing(deployment, engine)?.first() {
        None => Ok(()),
        Some(image) => {
            let message = format!("{} does not have {} though it loaded it", engine.program(), image.reference);
            Err(Failure::failed(message).into())
        }
    }
}

/// The images of the bundle that the engine does not have.
///
/// # Errors
/// When the engine fails.
pub(super) fn missing<'d>(deployment: &'d Deployment, engine: &Engine) -> Result<Vec<&'d MadeImage>> {
    let mut missing = Vec::new();
    for image in &deployment.manifest.images {
        let id = engine.ask(&["image", "inspect", "--format", "{{.Id}}", &image.reference])?;
        if !id.is_some_and(|id| is_image(image, &id)) {
            missing.push(image);
        }
    }
    Ok(missing)
}

/// The docker-archive of `images`, to be made on the fly, and the sum of its files' sizes in bytes.
fn archive(deployment: &Deployment, images: &[&MadeImage]) -> Result<(Vec<(TreePath, Entry)>, u64)> {
    let document = |image: &&MadeImage| DockerImage {
        config: blob_path(image.config),
        repo_tags: vec![image.reference.clone()],
        layers: image.layers.iter().map(|layer| blob_path(layer.digest)).collect(),
    };
    let documents: Vec<DockerImage> = images.iter().map(document).collect();
    let origin: Arc<str> = "bundle".into();
    let mut parts: BTreeMap<TreePath, &Content> = BTreeMap::new();
    for path in documents.iter().flat_map(|document| std::iter::once(&document.config).chain(&document.layers)) {
        let path = TreePath::new(path)?;
        let entry = deployment.bundle.files.get(&path).with_context(|| format!("{path} is missing"))?;
        let EntryKind::File(content) = &entry.kind else { anyhow::bail!("{path} is no file") };
        parts.insert(path, content);
    }
    let total = parts.values().map(|content| content.len()).sum();
    let table = Entry::file(serde_json::to_vec(&documents)?, 0o644, &origin);
    let files = parts.into_iter().map(|(path, content)| (path, Entry::file(content.clone(), 0o644, &origin)));
    Ok((std::iter::once((TreePath::new(MANIFEST)?, table)).chain(files).collect(), total))
}
