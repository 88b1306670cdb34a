//! Loading the bundle's images into the engine.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Arc;

use anyhow::{Context, Result};
use sealift_layers::archive::{DockerImage, INDEX, LAYOUT, MANIFEST, blob_path};
use sealift_layers::codec::Codec;
use sealift_layers::digest::Digest;
use sealift_layers::tar;
use sealift_layers::tree::{Content, Entry, Kind as EntryKind, Open, TreePath};
use serde_json::Value;

use super::context::Containers;
use super::kind::EngineKind;
use super::output;
use crate::bundle::BundleImage;
use crate::failure::Failure;
use crate::finding::Findings;
use crate::host::deployment::Deployment;
use crate::ui::{self, Ui};

/// Whether `id`, an image ID of an engine, is that of `image`: the configuration's digest on podman and on Docker's classic
/// store, the manifest's digest on containerd's store.
pub(super) fn is_image(image: &BundleImage, id: &str) -> bool {
    let id = id.trim().trim_start_matches("sha256:");
    [image.config, image.digest].iter().any(|digest| digest.hex() == id)
}

/// Loads the images that the engine does not have yet.
///
/// # Errors
/// Those of the engine.
pub(super) fn load(containers: &Containers<'_>, ui: &Ui) -> Result<()> {
    let (deployment, engine) = (containers.deployment, &containers.engine);
    let missing = missing(containers)?;
    if missing.is_empty() {
        ui.note(&format!("ok: {} already loaded", ui::count(deployment.manifest.images.len(), "image")));
        return Ok(());
    }
    let Archive { files, size } = archive(deployment, &missing, engine.kind)?;
    let phase = ui.phase("Loading images", size);
    // Through standard input: `podman pull oci:FOLDER:NAME` of podman 4 names the image after the folder.
    engine.pipe(&["load", "--quiet"], |input| {
        let mut archive = tar::Writer::new(input, deployment.manifest.epoch);
        for (path, entry) in &files {
            archive.append(path, entry)?;
            if let EntryKind::File(content) = &entry.kind {
                phase.inc(content.len());
            }
        }
        archive.finish()?;
        Ok(())
    })?;
    phase.finish(&ui::count(missing.len(), "image"));
    // Engines may skip parts of an archive that they do not understand.
    match self::missing(containers)?.first() {
        None => Ok(()),
        Some(image) => {
            let message = format!("{} does not have {} after loading it", engine.program(), image.reference);
            Err(Failure::failed(message).hint("load the whole bundle by hand: README.md, \"By hand\"").into())
        }
    }
}

/// The images of the bundle that the engine does not have.
///
/// # Errors
/// When the engine fails.
pub(super) fn missing<'d>(containers: &Containers<'d>) -> Result<Vec<&'d BundleImage>> {
    let images = &containers.deployment.manifest.images;
    let names: Vec<String> = images.iter().map(|image| image.reference.clone()).collect();
    let ids = output::images(&containers.engine.inspect("image", &names)?)?;
    let missing = |image: &&BundleImage| !ids.get(&image.reference).is_some_and(|id| is_image(image, id));
    Ok(images.iter().filter(missing).collect())
}

/// Finds layers of `images` that do not unpack to what `bundle.json` states, which is within the limits of `sealift verify`.
/// podman gets them unpacked, and no more of them than that. Docker gets them as they are, and unpacks whatever comes.
///
/// # Errors
/// When the bundle lacks a blob.
pub(super) fn check(containers: &Containers<'_>, images: &[&BundleImage], findings: &mut Findings) -> Result<()> {
    if containers.engine.kind == EngineKind::Podman {
        return Ok(());
    }
    let mut layers = BTreeMap::new();
    for image in images {
        for (layer, codec) in image.layers.iter().zip(containers.deployment.codecs(image)?) {
            layers.insert(layer.digest, (layer.unpacked, codec));
        }
    }
    for (digest, (size, codec)) in layers {
        if let Err(error) = unpacked(containers.deployment.blob(digest)?, codec, size).copy_to(&mut io::sink()) {
            let message =
                format!("the layer {digest} does not unpack to the {size} bytes that bundle.json states: {error}");
            findings.error("images", message, "get the bundle again; `sealift verify` says more about it");
        }
    }
    Ok(())
}

/// An archive that is made while it is written.
struct Archive {
    files: Vec<(TreePath, Entry)>,
    /// Sum of the files' sizes in bytes.
    size: u64,
}

/// The archive of `images` for `engine`. For Docker it is the bundle's own: an OCI layout and a docker-archive over the same
/// blobs, as its containerd store reads the one and its classic store the other. Without the OCI layout, the containerd
/// store makes manifests of its own, and the images have other IDs than those of the bundle.
fn archive(deployment: &Deployment, images: &[&BundleImage], engine: EngineKind) -> Result<Archive> {
    let mut parts = BTreeMap::new();
    let mut documents = Vec::new();
    let mut tables = Vec::new();
    if engine == EngineKind::Docker {
        tables.push((LAYOUT, deployment.file(LAYOUT)?));
        tables.push((INDEX, deployment.index(images)?.into()));
        for image in images {
            parts.insert(blob_path(image.digest), deployment.blob(image.digest)?);
        }
    }
    for image in images {
        let config = blob_path(image.config);
        parts.insert(config.clone(), deployment.blob(image.config)?);
        let mut layers = Vec::new();
        for (layer, codec) in image.layers.iter().zip(deployment.codecs(image)?) {
            let blob = deployment.blob(layer.digest)?;
            let (path, content) = match engine {
                // podman decompresses each layer twice, once only for its size, and slowly.
                EngineKind::Podman => (blob_path(layer.diff_id), unpacked(blob, codec, layer.unpacked)),
                EngineKind::Docker => (blob_path(layer.digest), blob),
            };
            parts.insert(path.clone(), content);
            layers.push(path);
        }
        documents.push(DockerImage { config, repo_tags: vec![image.reference.clone()], layers });
    }
    let size = ui::total(parts.values().map(Content::len));
    let origin: Arc<str> = "bundle".into();
    tables.push((MANIFEST, serde_json::to_vec(&documents)?.into()));
    let files = tables.into_iter().map(|(name, content)| (name.to_owned(), content)).chain(parts);
    let files = files.map(|(path, content)| Ok((TreePath::new(&path)?, Entry::file(content, 0o644, &origin))));
    Ok(Archive { files: files.collect::<Result<_>>()?, size })
}

/// A layer without its compression.
#[derive(Debug)]
struct Unpacked {
    blob: Content,
    codec: Codec,
}

impl Open for Unpacked {
    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        self.codec.decoder(self.blob.reader())
    }
}

/// What `blob` unpacks to, `size` bytes. With more or fewer, reading it is an error.
fn unpacked(blob: Content, codec: Codec, size: u64) -> Content {
    Content::lazy(Arc::new(Unpacked { blob, codec }), size)
}

impl Deployment {
    fn blob(&self, digest: Digest) -> Result<Content> {
        self.file(&blob_path(digest))
    }

    fn file(&self, path: &str) -> Result<Content> {
        match self.bundle.files.get(&TreePath::new(path)?).map(|entry| &entry.kind) {
            Some(EntryKind::File(content)) => Ok(content.clone()),
            _ => Err(Failure::verification(format!("{path} is missing from the bundle")).into()),
        }
    }

    /// The bundle's `index.json` with the entries of `images` alone.
    fn index(&self, images: &[&BundleImage]) -> Result<Vec<u8>> {
        let mut index: Value = serde_json::from_slice(&self.file(INDEX)?.read()?)?;
        let wanted: Vec<String> = images.iter().map(|image| image.digest.to_string()).collect();
        let manifests = index["manifests"].as_array_mut().context("index.json lists no manifests")?;
        manifests.retain(|entry| wanted.iter().any(|digest| entry["digest"].as_str() == Some(digest)));
        Ok(serde_json::to_vec(&index)?)
    }

    /// How each layer of an image is compressed.
    fn codecs(&self, image: &BundleImage) -> Result<Vec<Codec>> {
        let manifest: Value = serde_json::from_slice(&self.blob(image.digest)?.read()?)?;
        let codec = |layer: &Value| {
            let codec = layer["mediaType"].as_str().and_then(Codec::of_media_type);
            Ok(codec.ok_or_else(|| {
                Failure::verification(format!("{} has a layer of an unknown media type", image.reference))
            })?)
        };
        manifest["layers"].as_array().into_iter().flatten().map(codec).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::testing::{self, Podman};

    #[test]
    fn the_id_of_an_image_is_its_configuration_or_its_manifest() {
        let folder = tempfile::tempdir().unwrap();
        let deployment = testing::deployment(folder.path());
        let mut image = deployment.manifest.images[0].clone();
        image.config = Digest::of(b"configuration");
        image.digest = Digest::of(b"manifest");
        assert!(is_image(&image, &format!("sha256:{}\n", image.digest.hex())));
        assert!(is_image(&image, &image.config.hex()));
        assert!(!is_image(&image, &Digest::of(b"other").hex()));
    }

    #[test]
    fn only_images_that_the_engine_lacks_are_missing() {
        let folder = tempfile::tempdir().unwrap();
        let deployment = testing::deployment(folder.path());
        let web = testing::image_id("web");
        let inspected = format!(r#"[{{"Id": "{web}", "RepoTags": ["localhost/web:1"]}}]"#);
        let podman = Podman::new(&format!("[ $1 = image ] && {{ echo '{inspected}'; exit 0; }}"));
        let missing = missing(&podman.containers(&deployment)).unwrap();
        let names: Vec<&str> = missing.iter().map(|image| image.name.as_str()).collect();
        assert_eq!(names, ["shop-database"]);
    }

    /// Docker unpacked a layer of 2 MB to 2 GB.
    #[test]
    fn layers_that_unpack_to_more_than_stated_are_found_before_docker_gets_them() {
        let blob = |bytes: &[u8]| Content::from(zstd(bytes));
        let read = |content: Content, size| unpacked(content, Codec::Zstd, size).copy_to(&mut io::sink());
        assert!(read(blob(&[0; 1 << 20]), 1 << 20).is_ok());
        assert_eq!(read(blob(&[0; 1 << 20]), 512).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(read(blob(b"short"), 512).is_err());
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        let mut out = Codec::Zstd.encoder(Vec::new(), 1).unwrap();
        io::Write::write_all(&mut out, bytes).unwrap();
        out.finish().unwrap()
    }

    #[test]
    fn loaded_images_are_not_loaded_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut deployment = testing::deployment(folder.path());
        deployment.manifest.images.clear();
        let podman = Podman::new("");
        load(&podman.containers(&deployment), &Ui::plain(io::sink())).unwrap();
        assert!(!podman.calls().iter().any(|call| call.starts_with("load")));
    }
}
