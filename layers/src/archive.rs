//! One tar with two doors: an OCI layout (image-spec 1.1, "Image Layout") and a docker-archive over the same blobs.
//!
//! podman and Docker's containerd store read `index.json`; Docker's classic store, and podman for archives of several
//! images, read `manifest.json`. Both list the same images: an engine silently loads the fewer of the two.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use oci_spec::OciSpecError;
use oci_spec::image::{ImageIndexBuilder, MediaType, Os, PlatformBuilder, SCHEMA_VERSION};
use serde::{Deserialize, Serialize};

use crate::digest::{Background, Digest};
use crate::image::{Image, descriptor};
use crate::json::canonical;
use crate::tar;
use crate::tree::{Content, Entry, PathError, Tree, TreePath};

/// The annotation that containerd and Docker take an image's full name from.
pub const NAME_ANNOTATION: &str = "io.containerd.image.name";
/// The annotation that OCI tools take the reference from.
pub const REF_ANNOTATION: &str = "org.opencontainers.image.ref.name";

/// The documents that make a directory an OCI layout and a docker-archive.
pub const LAYOUT: &str = "oci-layout";
/// The OCI side's table of contents.
pub const INDEX: &str = "index.json";
/// The docker-archive side's table of contents.
pub const MANIFEST: &str = "manifest.json";

/// One image in `manifest.json` of a docker-archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DockerImage {
    /// Path of the configuration.
    pub config: String,
    /// Names.
    pub repo_tags: Vec<String>,
    /// Paths of the layers, bottom first.
    pub layers: Vec<String>,
}

/// Where the blob of a digest is.
#[must_use]
pub fn blob_path(digest: Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// The three documents and all blobs of `images`; `blob` gives the bytes of a layer.
///
/// # Errors
/// What `oci-spec` or `blob` gives.
pub fn documents(images: &[Image], blob: impl Fn(Digest) -> io::Result<Content>) -> Result<Parts, ArchiveError> {
    let mut blobs: BTreeMap<Digest, Content> = BTreeMap::new();
    let (mut manifests, mut docker) = (Vec::new(), Vec::new());
    for image in images {
        let mut entry = descriptor(MediaType::ImageManifest, image.digest(), image.manifest.len() as u64);
        let platform = PlatformBuilder::default().architecture(&*image.architecture).os(Os::Linux).build()?;
        entry.set_platform(Some(platform));
        entry.set_annotations(Some(
            [NAME_ANNOTATION, REF_ANNOTATION].into_iter().map(|key| (key.to_owned(), image.name.clone())).collect(),
        ));
        manifests.push(entry);
        docker.push(DockerImage {
            config: blob_path(image.config_digest()),
            repo_tags: vec![image.name.clone()],
            layers: image.layers.iter().map(|layer| blob_path(layer.digest)).collect(),
        });
        blobs.insert(image.digest(), image.manifest.clone().into());
        blobs.insert(image.config_digest(), image.config.clone().into());
        for layer in &image.layers {
            if let std::collections::btree_map::Entry::Vacant(e) = blobs.entry(layer.digest) {
                e.insert(blob(layer.digest)?);
            }
        }
    }
    let index = ImageIndexBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageIndex)
        .manifests(manifests)
        .build()?;
    Ok(Parts {
        layout: br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec(),
        index: canonical(&index),
        manifest: canonical(&docker),
        blobs,
    })
}

/// What the image side of a bundle consists of.
#[derive(Debug)]
pub struct Parts {
    /// `oci-layout`.
    pub layout: Vec<u8>,
    /// `index.json`.
    pub index: Vec<u8>,
    /// `manifest.json`.
    pub manifest: Vec<u8>,
    /// Manifests, configurations and layers.
    pub blobs: BTreeMap<Digest, Content>,
}

/// Why an archive was not made.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A document lacks something.
    #[error("an image document is incomplete")]
    Document(#[from] OciSpecError),
    /// Two files with one name.
    #[error("the bundle has `{0}` twice")]
    Twice(TreePath),
    /// A blob has other bytes than its digest says: a disk has failed, or somebody changed it.
    #[error("the blob {0} has other content than that")]
    Blob(Digest),
    /// A file's name is no path.
    #[error(transparent)]
    Path(#[from] PathError),
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Writes the archive: the image documents, then `files` in path order, then the blobs, small ones before layers. All
/// times are `epoch`. Only regular files: hard links and gzip around it break engines.
///
/// Each blob is held against its digest, but those that `trusted` vouches for.
///
/// # Errors
/// [`ArchiveError`].
pub fn write(
    parts: Parts,
    files: &Tree,
    epoch: u64,
    trusted: impl Fn(&Digest) -> bool,
    mut out: impl Write,
) -> Result<(), ArchiveError> {
    let origin: Arc<str> = "bundle".into();
    for (name, bytes) in [(LAYOUT, parts.layout), (INDEX, parts.index), (MANIFEST, parts.manifest)] {
        let path = TreePath::new(name)?;
        if files.get(&path).is_some() {
            return Err(ArchiveError::Twice(path));
        }
        tar::append(&path, &Entry::file(bytes, 0o644, &origin), epoch, &mut out, &mut io::sink())?;
    }
    for (path, entry) in files.iter() {
        tar::append(path, entry, epoch, &mut out, &mut io::sink())?;
    }
    let mut blobs: Vec<(Digest, Content)> = parts.blobs.into_iter().collect();
    blobs.sort_by_key(|(digest, content)| (content.len(), *digest));
    for (digest, content) in blobs {
        let (path, entry) = (TreePath::new(&blob_path(digest))?, Entry::file(content, 0o644, &origin));
        if trusted(&digest) {
            tar::append(&path, &entry, epoch, &mut out, &mut io::sink())?;
            continue;
        }
        let mut hasher = Background::default();
        tar::append(&path, &entry, epoch, &mut out, &mut hasher)?;
        if hasher.finish() != digest {
            return Err(ArchiveError::Blob(digest));
        }
    }
    tar::finish(&mut out)?;
    Ok(out.flush()?)
}
