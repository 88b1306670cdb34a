//! Checks every invariant of an image archive from its bytes. The tests and `sealift verify` use the same code.
//!
//! The checks share no code with the writer but the digest: `oci-spec` parses the documents.

mod unpacked;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;

use oci_spec::image::{ImageConfiguration, ImageIndex, ImageManifest};

use self::unpacked::{Unpacked, unpacked};
use crate::archive::{DockerImage, INDEX, LAYOUT, MANIFEST, NAME_ANNOTATION, blob_path};
use crate::codec::Codec;
use crate::digest::{Digest, Measured};
use crate::escape::{line, lines};
use crate::limits::{Exceeded, Limits, PROBLEMS};
use crate::tree::{Content, Kind, Tree, TreePath};

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path of the file in the archive.
    pub file: String,
    /// What is wrong, as the rest of a sentence that begins with the file: `has the digest ...`.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", line(&self.file), lines(&self.message))
    }
}

/// An image of the archive.
#[derive(Clone, Debug)]
pub struct FoundImage {
    /// Full name and tag.
    pub name: String,
    /// Digest of its manifest.
    pub digest: Digest,
    /// Digest of its configuration.
    pub config_digest: Digest,
    /// Its configuration.
    pub config: ImageConfiguration,
    /// Its layer blobs, bottom first.
    pub layers: Vec<Measured>,
}

/// The images of an archive, and everything that is wrong with it.
#[derive(Debug, Default)]
pub struct Report {
    /// The images, in the order of `index.json`.
    pub images: Vec<FoundImage>,
    /// The violations, at most [`PROBLEMS`]; empty for a valid archive.
    pub violations: Vec<Violation>,
    /// What a layer may have, but none that Sealift makes: whiteouts, which remove files of the layers below, and devices.
    pub unusual: Vec<Violation>,
}

impl Report {
    /// Adds a violation, unless there are [`PROBLEMS`] already.
    pub fn violation(&mut self, file: &str, message: impl Into<String>) {
        add(&mut self.violations, file, message);
    }
}

/// Adds a violation, unless there are [`PROBLEMS`] already.
pub fn add(violations: &mut Vec<Violation>, file: &str, message: impl Into<String>) {
    if violations.len() < PROBLEMS {
        violations.push(Violation { file: file.to_owned(), message: message.into() });
    }
}

/// How much of an archive is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// Only the documents.
    Documents,
    /// Also the digest of every blob: finds every change since the archive was made.
    Digests,
    /// Also the diff ID and the tar of each layer: finds what was made wrong.
    Blobs,
}

/// Checks an archive, packed or unpacked, with the files `files`. Layers that unpack to more than `limits` allow are not
/// read to their end.
#[must_use]
pub fn validate(files: &Tree, depth: Depth, limits: Limits) -> Report {
    let packed = files.iter().filter_map(|(path, entry)| match &entry.kind {
        Kind::File(content) if path.as_str().starts_with("blobs/") => Some(content.len()),
        _ => None,
    });
    let left = limits.bundle(packed.fold(0, u64::saturating_add));
    let (named, diff_ids) = (BTreeSet::new(), BTreeMap::new());
    let mut check = Check { files, depth, limits, left, report: Report::default(), named, diff_ids };
    check.run();
    check.report
}

struct Check<'a> {
    files: &'a Tree,
    depth: Depth,
    limits: Limits,
    /// Bytes that the layers which are not read yet may unpack to together.
    left: u64,
    report: Report,
    /// Blobs that a document names.
    named: BTreeSet<Digest>,
    /// Diff IDs of the layers that were checked, by digest; `None` if `depth` does not include them or a check failed.
    diff_ids: BTreeMap<Digest, Option<Digest>>,
}

/// Documents are small; a larger one is not read into memory.
const DOCUMENT_LIMIT: u64 = 4 * 1024 * 1024;

impl Check<'_> {
    fn violation(&mut self, file: &str, message: impl Into<String>) {
        self.report.violation(file, message);
    }

    fn run(&mut self) {
        if let Some(layout) = self.document::<serde_json::Value>(LAYOUT)
            && layout["imageLayoutVersion"] != "1.0.0"
        {
            self.violation(LAYOUT, "is not of version 1.0.0");
        }
        let index: Option<ImageIndex> = self.document(INDEX);
        for descriptor in index.iter().flat_map(ImageIndex::manifests) {
            let name = descriptor.annotations().as_ref().and_then(|all| all.get(NAME_ANNOTATION)).cloned();
            if name.is_none() {
                self.violation(INDEX, format!("{} has no {NAME_ANNOTATION}", descriptor.digest()));
            }
            let (digest, size) = (descriptor.digest().to_string(), descriptor.size());
            self.image(&name.unwrap_or_else(|| digest.clone()), &digest, size);
        }
        if let Some(docker) = self.document::<Vec<DockerImage>>(MANIFEST) {
            self.docker(&docker);
        }
        self.unnamed_blobs();
    }

    fn unnamed_blobs(&mut self) {
        let files = self.files.iter().filter(|(_, entry)| matches!(entry.kind, Kind::File(_)));
        for blob in files.filter_map(|(path, _)| path.as_str().strip_prefix("blobs/")) {
            let digest = blob.strip_prefix("sha256/").and_then(|hex| hex.parse::<Digest>().ok());
            if digest.is_none_or(|digest| !self.named.contains(&digest)) {
                self.report.violation(&format!("blobs/{blob}"), "does not belong to any image");
            }
        }
    }

    /// Checks the image whose manifest `index.json` gives with this digest and size in bytes.
    fn image(&mut self, name: &str, digest: &str, size: u64) {
        let Some((digest, bytes)) = self.blob_document(INDEX, digest, size) else { return };
        let file = blob_path(digest);
        let manifest = match ImageManifest::from_reader(&bytes[..]) {
            Ok(manifest) => manifest,
            Err(error) => return self.violation(&file, format!("is not an image manifest: {error}")),
        };
        let config = manifest.config();
        let Some((config_digest, bytes)) = self.blob_document(&file, config.digest().as_ref(), config.size()) else {
            return;
        };
        let config_file = blob_path(config_digest);
        let config = match ImageConfiguration::from_reader(&bytes[..]) {
            Ok(config) => config,
            Err(error) => return self.violation(&config_file, format!("is not an image configuration: {error}")),
        };
        self.counts(&config_file, &config, manifest.layers().len());
        let mut layers = Vec::new();
        for (at, layer) in manifest.layers().iter().enumerate() {
            let Some((digest, content)) = self.blob(&file, layer.digest().as_ref(), layer.size()) else { continue };
            layers.push(Measured { digest, size: layer.size() });
            let Some(codec) = Codec::of_media_type(layer.media_type().as_ref()) else {
                self.violation(&file, format!("has a layer of the unknown media type {}", layer.media_type()));
                continue;
            };
            if self.depth >= Depth::Digests
                && let Some(found) = self.layer(digest, &content, codec)
                && let Some(expected) = config.rootfs().diff_ids().get(at)
                && *expected != found.to_string()
            {
                let layer = blob_path(digest);
                self.violation(&config_file, format!("has the diff ID {expected}, but {layer} unpacks to {found}"));
            }
        }
        self.report.images.push(FoundImage { name: name.to_owned(), digest, config_digest, config, layers });
    }

    /// Checks that a configuration has as many diff IDs and history entries as its manifest has layers.
    fn counts(&mut self, file: &str, config: &ImageConfiguration, layers: usize) {
        let diff_ids = config.rootfs().diff_ids().len();
        if diff_ids != layers {
            self.violation(file, format!("has {diff_ids} diff IDs, but its manifest has {layers} layers"));
        }
        if let Some(history) = config.history() {
            let filled = history.iter().filter(|entry| entry.empty_layer() != Some(true)).count();
            if filled != diff_ids {
                self.violation(file, format!("has a history of {filled} layers and {diff_ids} diff IDs"));
            }
        }
    }

    /// Checks the digest of a layer and, depending on the depth, its tar. Returns its diff ID. A layer of several images is
    /// read once.
    fn layer(&mut self, digest: Digest, content: &Content, codec: Codec) -> Option<Digest> {
        if let Some(known) = self.diff_ids.get(&digest) {
            return *known;
        }
        let file = blob_path(digest);
        let diff_id = match content.digest() {
            Ok(found) if found != digest => {
                self.violation(&file, format!("has the digest {found}"));
                None
            }
            Err(error) => {
                self.violation(&file, format!("cannot be read: {error}"));
                None
            }
            Ok(_) if self.depth == Depth::Digests => None,
            Ok(_) => self.unpacked(&file, content, codec),
        };
        self.diff_ids.insert(digest, diff_id);
        diff_id
    }

    /// Reads the tar of a layer. Returns its diff ID.
    fn unpacked(&mut self, file: &str, content: &Content, codec: Codec) -> Option<Digest> {
        let limit = self.limits.bundle(content.len()).min(self.left);
        match unpacked(content, codec, limit) {
            Ok(Unpacked { size, diff_id, wrong, unusual }) => {
                self.left = self.left.saturating_sub(size);
                wrong.into_iter().for_each(|message| self.violation(file, message));
                unusual.into_iter().for_each(|message| add(&mut self.report.unusual, file, message));
                Some(diff_id)
            }
            Err(error) => {
                if Exceeded::within(&error).is_some() {
                    // Nothing else is decompressed: this took as long as a whole bundle may.
                    self.left = self.left.saturating_sub(limit);
                }
                self.violation(file, does_not_unpack(&error));
                None
            }
        }
    }

    fn docker(&mut self, docker: &[DockerImage]) {
        let expected: Vec<DockerImage> = self
            .report
            .images
            .iter()
            .map(|image| DockerImage {
                config: blob_path(image.config_digest),
                repo_tags: vec![image.name.clone()],
                layers: image.layers.iter().map(|layer| blob_path(layer.digest)).collect(),
            })
            .collect();
        let missing = |one: &[DockerImage], other: &[DockerImage]| -> Vec<String> {
            one.iter().filter(|image| !other.contains(image)).map(|image| image.repo_tags.join(", ")).collect()
        };
        for name in missing(&expected, docker) {
            self.violation(MANIFEST, format!("does not list the image {name} as {INDEX} does"));
        }
        for name in missing(docker, &expected) {
            self.violation(INDEX, format!("does not list the image {name} as {MANIFEST} does"));
        }
    }

    /// The blob that the document `by` names, if it exists with this size in bytes. Its digest is not checked.
    fn blob(&mut self, by: &str, digest: &str, size: u64) -> Option<(Digest, Content)> {
        let Ok(digest) = digest.parse::<Digest>() else {
            self.violation(by, format!("names the blob {digest}, which is not SHA-256"));
            return None;
        };
        self.named.insert(digest);
        let file = blob_path(digest);
        let Some(content) = self.content(&file) else {
            self.violation(by, format!("names {file}, which does not exist"));
            return None;
        };
        if content.len() != size {
            self.violation(&file, format!("has {} bytes, but {by} says {size}", content.len()));
            return None;
        }
        Some((digest, content))
    }

    /// The content of a small blob that the document `by` names. Its digest is checked.
    fn blob_document(&mut self, by: &str, digest: &str, size: u64) -> Option<(Digest, Vec<u8>)> {
        let (digest, content) = self.blob(by, digest, size)?;
        let file = blob_path(digest);
        let bytes = self.bytes(&file, &content)?;
        let found = Digest::of(&bytes);
        if found != digest {
            self.violation(&file, format!("has the digest {found}"));
            return None;
        }
        Some((digest, bytes))
    }

    /// The file `file` parsed as JSON.
    fn document<T: serde::de::DeserializeOwned>(&mut self, file: &str) -> Option<T> {
        let Some(content) = self.content(file) else {
            self.violation(file, "does not exist");
            return None;
        };
        let bytes = self.bytes(file, &content)?;
        serde_json::from_slice(&bytes).map_err(|error| self.violation(file, format!("is not valid: {error}"))).ok()
    }

    fn bytes(&mut self, file: &str, content: &Content) -> Option<Vec<u8>> {
        if content.len() > DOCUMENT_LIMIT {
            self.violation(file, format!("has {} bytes: too large for a document", content.len()));
            return None;
        }
        content.read().map_err(|error| self.violation(file, format!("cannot be read: {error}"))).ok()
    }

    fn content(&self, file: &str) -> Option<Content> {
        match &self.files.get(&TreePath::new(file).ok()?)?.kind {
            Kind::File(content) => Some(content.clone()),
            _ => None,
        }
    }
}

fn does_not_unpack(error: &io::Error) -> String {
    match Exceeded::within(error) {
        Some(Exceeded::Unpacked(limit)) => {
            format!(
                "does not unpack: it has more than {limit} bytes, or more than is left for the layers of the bundle; --limit-unpacked SIZE allows more"
            )
        }
        _ => format!("does not unpack: {error}"),
    }
}

#[cfg(test)]
mod tests;
