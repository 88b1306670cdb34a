//! Getting the bundle's images into the engine.

use std::sync::Arc;

use anyhow::{Context, Result};
use sealift_layers::archive::{self, DockerImage};
use sealift_layers::tar;
use sealift_layers::tree::{Content, Entry, Kind as EntryKind, TreePath};

use super::{Deployment, Engine, Kind};
use crate::bundle::MadeImage;
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
    let missing: Vec<&MadeImage> = images.iter().filter(|image| !is_there(engine, image)).collect();
    if missing.is_empty() {
        ui.note(&format!("ok: all {} are loaded", ui::count(images.len(), "image")));
        return Ok(());
    }
    let phase = ui.steps("Loading images", missing.len() as u64);
    for image in &missing {
        phase.item(&image.name);
        match engine.kind {
            // Takes one image from the layout as it lies there, without another copy of it.
            Kind::Podman => {
                engine.run(&[
                    "pull",
                    "--quiet",
                    &format!("oci:{}:{}", deployment.folder.display(), image.reference),
                ])?;
            }
            Kind::Docker => stream(deployment, engine, image)?,
        }
        phase.inc(1);
    }
    phase.finish(&ui::count(missing.len(), "image"));
    Ok(())
}

fn is_there(engine: &Engine, image: &MadeImage) -> bool {
    engine.run(&["image", "inspect", "--format", "{{.Id}}", &image.reference]).is_ok_and(|id| is_image(image, &id))
}

/// One image as a docker-archive, made on the fly: Docker loads from a tar only.
fn stream(deployment: &Deployment, engine: &Engine, image: &MadeImage) -> Result<()> {
    let document = DockerImage {
        config: archive::blob_path(image.config),
        repo_tags: vec![image.reference.clone()],
        layers: image.layers.iter().map(|layer| archive::blob_path(layer.digest)).collect(),
    };
    let origin: Arc<str> = "bundle".into();
    let mut parts: Vec<(TreePath, Content)> =
        vec![(TreePath::new(archive::MANIFEST)?, serde_json::to_vec(&[&document])?.into())];
    for path in std::iter::once(&document.config).chain(&document.layers) {
        let path = TreePath::new(path)?;
        let entry = deployment.bundle.files.get(&path).with_context(|| format!("{path} is missing"))?;
        let EntryKind::File(content) = &entry.kind else { anyhow::bail!("{path} is no file") };
        if !parts.iter().any(|(known, _)| *known == path) {
            parts.push((path, content.clone()));
        }
    }
    engine.feed(&["load", "--quiet"], |input| {
        for (path, content) in parts {
            tar::append(&path, &Entry::file(content, 0o644, &origin), deployment.manifest.epoch, input)?;
        }
        tar::finish(input)
    })
}
