//! One tar that is both an OCI layout (image-spec 1.1, "Image Layout") and a docker-archive, over the same blobs.
//!
//! podman and Docker's containerd store read `index.json`; Docker's classic store, and podman for archives of several
//! images, read `manifest.json`. Both must list the same images: an engine loads those of one list without a warning.
//!
//! ```
//! use sealift_layers::archive;
//! use sealift_layers::codec::Codec;
//! use sealift_layers::image::{Image, ImageLayer, ImageSpec};
//! use sealift_layers::layer;
//! use sealift_layers::platform::{Architecture, Platform};
//! use sealift_layers::tree::Tree;
//! use sealift_layers::limits::Limits;
//! use sealift_layers::validate::{Depth, validate};
//!
//! let epoch = 1_700_000_000;
//! let mut blob = Vec::new();
//! let options = layer::Options { epoch, file_digests: true, codec: Codec::Gzip, jobs: 1 };
//! let layer = layer::write(Tree::new(), options, &mut blob)?.layer;
//! let image = Image::new(ImageSpec {
//!     layers: vec![ImageLayer { layer, created_by: "an empty layer".into() }],
//!     ..ImageSpec::new("localhost/empty:1", Platform::linux(Architecture::Amd64))
//! })?;
//!
//! let parts = archive::documents(&[image], |_| Ok(blob.clone().into()))?;
//! let mut tar = Vec::new();
//! archive::write(parts, &Tree::new(), epoch, |_| false, &mut tar)?;
//! # use sealift_layers::tree::SourceFile;
//! # let files = sealift_layers::tar::read(&std::sync::Arc::new(SourceFile::Memory(tar)), &"example".into())?;
//! # assert!(validate(&files, Depth::Blobs, Limits::default()).violations.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as MapEntry;
use std::io::{self, Write};
use std::sync::Arc;

use oci_spec::OciSpecError;
use oci_spec::image::{Descriptor, ImageIndexBuilder, MediaType, Os, PlatformBuilder, SCHEMA_VERSION};
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::image::{Image, descriptor};
use crate::json::canonical;
use crate::tar;
use crate::tree::{Content, Entry, PathError, Tree, TreePath};

/// The annotation from which containerd and Docker take the full name of an image.
pub const NAME_ANNOTATION: &str = "io.containerd.image.name";
/// The annotation from which OCI tools take the reference.
pub const REF_ANNOTATION: &str = "org.opencontainers.image.ref.name";

/// The file that marks a directory as an OCI layout.
pub const LAYOUT: &str = "oci-layout";
/// The OCI list of images.
pub const INDEX: &str = "index.json";
/// The docker-archive list of images, a list of [`DockerImage`].
pub const MANIFEST: &str = "manifest.json";

/// One image in `manifest.json` of a docker-archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DockerImage {
    /// Path of the configuration.
    pub config: String,
    /// Full names, each with a tag.
    pub repo_tags: Vec<String>,
    /// Paths of the layers, bottom first.
    pub layers: Vec<String>,
}

/// Path of a blob in an OCI layout: `blobs/sha256/HEX`.
#[must_use]
pub fn blob_path(digest: Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// The documents and blobs of an archive of images.
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

/// Why an archive cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A document lacks a field.
    #[error("an image document is incomplete")]
    Document(#[from] OciSpecError),
    /// Two files have the same name.
    #[error("the bundle has `{0}` twice")]
    Duplicate(TreePath),
    /// The content of a blob does not match its digest: the disk failed or the file was changed.
    #[error("the content of the blob {0} does not match its digest")]
    Blob(Digest),
    /// The name of a file is not a valid path.
    #[error(transparent)]
    Path(#[from] PathError),
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Makes the three documents of `images` and collects their blobs. `blob` returns the content of a layer; it is called once
/// per layer, even if several images share it.
///
/// # Errors
/// [`ArchiveError::Document`], and any error of `blob`.
pub fn documents(images: &[Image], blob: impl Fn(Digest) -> io::Result<Content>) -> Result<Parts, ArchiveError> {
    let mut blobs: BTreeMap<Digest, Content> = BTreeMap::new();
    for image in images {
        blobs.insert(image.digest(), image.manifest.clone().into());
        blobs.insert(image.config_digest(), image.config.clone().into());
        for layer in &image.layers {
            if let MapEntry::Vacant(vacant) = blobs.entry(layer.digest) {
                vacant.insert(blob(layer.digest)?);
            }
        }
    }
    let index = ImageIndexBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageIndex)
        .manifests(images.iter().map(index_entry).collect::<Result<Vec<_>, _>>()?)
        .build()?;
    let docker: Vec<DockerImage> = images.iter().map(docker_entry).collect();
    Ok(Parts {
        layout: br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec(),
        index: canonical(&index),
        manifest: canonical(&docker),
        blobs,
    })
}

fn index_entry(image: &Image) -> Result<Descriptor, OciSpecError> {
    let mut entry = descriptor(MediaType::ImageManifest, image.digest(), image.manifest.len() as u64);
    let architecture = image.platform.architecture().as_str();
    entry.set_platform(Some(PlatformBuilder::default().architecture(architecture).os(Os::Linux).build()?));
    entry.set_annotations(Some(
        [NAME_ANNOTATION, REF_ANNOTATION].into_iter().map(|key| (key.to_owned(), image.name.clone())).collect(),
    ));
    Ok(entry)
}

fn docker_entry(image: &Image) -> DockerImage {
    DockerImage {
        config: blob_path(image.config_digest()),
        repo_tags: vec![image.name.clone()],
        layers: image.layers.iter().map(|layer| blob_path(layer.digest)).collect(),
    }
}

/// Writes the archive: the image documents, then `files` in path order, then the blobs from small to large. The time of
/// every document and blob is `epoch`, in seconds since 1970. All members are regular files and the tar is not compressed,
/// because engines refuse archives with hard links or compression around them.
///
/// The content of each blob is checked against its digest, except for blobs for which `trusted` returns `true`.
///
/// # Errors
/// [`ArchiveError`].
pub fn write(
    parts: Parts,
    files: &Tree,
    epoch: u64,
    trusted: impl Fn(&Digest) -> bool,
    out: impl Write,
) -> Result<(), ArchiveError> {
    let origin: Arc<str> = "bundle".into();
    let mut archive = tar::Writer::new(out, epoch);
    for (name, bytes) in [(LAYOUT, parts.layout), (INDEX, parts.index), (MANIFEST, parts.manifest)] {
        let path = TreePath::new(name)?;
        if files.get(&path).is_some() {
            return Err(ArchiveError::Duplicate(path));
        }
        archive.append(&path, &Entry::file(bytes, 0o644, &origin))?;
    }
    for (path, entry) in files.iter() {
        archive.append(path, entry)?;
    }
    let mut blobs: Vec<(Digest, Content)> = parts.blobs.into_iter().collect();
    blobs.sort_by_key(|(digest, content)| (content.len(), *digest));
    for (digest, content) in blobs {
        let (path, entry) = (TreePath::new(&blob_path(digest))?, Entry::file(content, 0o644, &origin));
        if trusted(&digest) {
            archive.append(&path, &entry)?;
        } else if archive.append_hashed(&path, &entry)? != digest {
            return Err(ArchiveError::Blob(digest));
        }
    }
    Ok(archive.finish()?.flush()?)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::codec::Codec;
    use crate::image::tests::spec;
    use crate::layer::{self, Layer};
    use crate::tree::{Kind, SourceFile};

    const EPOCH: u64 = 9;

    fn path(text: &str) -> TreePath {
        TreePath::new(text).unwrap()
    }

    /// A layer of one file, and its blob.
    fn layer(content: &str) -> (Layer, Vec<u8>) {
        let mut tree = Tree::new();
        tree.insert(path("a"), Entry::file(content, 0o644, &"test".into()));
        let mut blob = Vec::new();
        let options = layer::Options { epoch: EPOCH, file_digests: false, codec: Codec::None, jobs: 1 };
        (layer::write(tree, options, &mut blob).unwrap().layer, blob)
    }

    /// Two images over the same layer.
    fn two_images(layer: &Layer) -> [Image; 2] {
        ["localhost/hello:1", "localhost/other:1"]
            .map(|name| Image::new(crate::image::ImageSpec { name: name.into(), ..spec(layer.clone()) }).unwrap())
    }

    fn written(parts: Parts, files: &Tree, trusted: bool) -> Result<Vec<u8>, ArchiveError> {
        let mut bytes = Vec::new();
        write(parts, files, EPOCH, |_| trusted, &mut bytes).map(|()| bytes)
    }

    /// The members in the order in which they stand in the archive.
    fn names(bytes: &[u8]) -> Vec<String> {
        let mut archive = ::tar::Archive::new(bytes);
        let entries = archive.entries().unwrap();
        entries.map(|entry| entry.unwrap().path().unwrap().to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn both_lists_have_the_same_images() {
        let (layer, blob) = layer("hello");
        let parts = documents(&two_images(&layer), |_| Ok(blob.clone().into())).unwrap();
        let docker: Vec<DockerImage> = serde_json::from_slice(&parts.manifest).unwrap();
        let names: Vec<&str> = docker.iter().map(|image| image.repo_tags[0].as_str()).collect();
        assert_eq!(names, ["localhost/hello:1", "localhost/other:1"]);
        assert!(docker.iter().all(|image| image.layers == [blob_path(layer.digest)]));
        let index: serde_json::Value = serde_json::from_slice(&parts.index).unwrap();
        for (entry, name) in index["manifests"].as_array().unwrap().iter().zip(names) {
            assert_eq!(entry["annotations"][NAME_ANNOTATION], name);
            assert_eq!(entry["annotations"][REF_ANNOTATION], name);
            assert_eq!(entry["platform"], serde_json::json!({ "architecture": "amd64", "os": "linux" }));
        }
    }

    #[test]
    fn a_shared_layer_is_read_and_stored_once() {
        let (layer, blob) = layer("hello");
        let calls = Cell::new(0);
        let parts = documents(&two_images(&layer), |_| {
            calls.set(calls.get() + 1);
            Ok(blob.clone().into())
        });
        // The images differ only in name: one manifest, one configuration, one layer.
        assert_eq!((calls.get(), parts.unwrap().blobs.len()), (1, 3));
    }

    #[test]
    fn documents_come_first_and_large_blobs_last() {
        let (layer, blob) = layer("hello");
        let parts = documents(&two_images(&layer)[..1], |_| Ok(blob.clone().into())).unwrap();
        let mut files = Tree::new();
        files.insert(path("README"), Entry::file("read me", 0o644, &"test".into()));
        let bytes = written(parts, &files, false).unwrap();
        let names = names(&bytes);
        assert_eq!(names[..4], [LAYOUT, INDEX, MANIFEST, "README"]);
        assert_eq!(names.last(), Some(&blob_path(layer.digest)));
        let tree = tar::read(&Arc::new(SourceFile::Memory(bytes)), &"test".into()).unwrap();
        assert!(tree.iter().all(|(_, entry)| matches!(entry.kind, Kind::File(_)) && entry.mtime == Some(EPOCH)));
    }

    #[test]
    fn a_blob_with_other_content_is_an_error_unless_it_is_trusted() {
        let (layer, mut blob) = layer("hello");
        blob[0] ^= 1;
        let parts = || documents(&two_images(&layer), |_| Ok(blob.clone().into())).unwrap();
        let error = written(parts(), &Tree::new(), false).unwrap_err();
        assert!(matches!(error, ArchiveError::Blob(digest) if digest == layer.digest), "{error}");
        written(parts(), &Tree::new(), true).unwrap();
    }

    #[test]
    fn a_file_with_the_name_of_a_document_is_an_error() {
        let (layer, blob) = layer("hello");
        for name in [LAYOUT, INDEX, MANIFEST] {
            let parts = documents(&two_images(&layer), |_| Ok(blob.clone().into())).unwrap();
            let mut files = Tree::new();
            files.insert(path(name), Entry::file("", 0o644, &"test".into()));
            let error = written(parts, &files, false).unwrap_err();
            assert_eq!(error.to_string(), format!("the bundle has `{name}` twice"));
        }
    }

    #[test]
    fn an_error_of_the_blob_source_is_passed_on() {
        let (layer, _) = layer("hello");
        let error = documents(&two_images(&layer), |_| Err(io::ErrorKind::NotFound.into())).unwrap_err();
        assert!(matches!(error, ArchiveError::Io(_)), "{error}");
    }
}
