//! Every invariant of an image archive, checked from its bytes: the tests and `sealift verify` use the same code.
//!
//! The reader shares no code with the writer but the digest: documents are parsed by `oci-spec`, layers by `tar`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, Read};

use oci_spec::image::{ImageConfiguration, ImageIndex, ImageManifest};

use crate::archive::{DockerImage, INDEX, LAYOUT, MANIFEST, NAME_ANNOTATION, blob_path};
use crate::codec::Codec;
use crate::digest::Digest;
use crate::tree::{Content, Kind, Tree, TreePath};

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file it is about.
    pub file: String,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.what)
    }
}

/// An image as it was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Full name and tag.
    pub name: String,
    /// Digest of its manifest.
    pub digest: Digest,
    /// Digest of its configuration.
    pub config_digest: Digest,
    /// Its configuration.
    pub config: ImageConfiguration,
    /// Layers, bottom first: digest and size in bytes.
    pub layers: Vec<(Digest, u64)>,
}

/// What an archive holds, and all that is wrong with it.
#[derive(Debug, Default)]
pub struct Findings {
    /// The images, in the order of `index.json`.
    pub images: Vec<Found>,
    /// Everything that is wrong; empty for a sound archive.
    pub problems: Vec<Problem>,
}

/// How much is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// The documents alone.
    Documents,
    /// Every blob's digest besides: whatever has changed since it was made is found.
    Digests,
    /// Diff IDs and the tar of each layer besides: what was made wrong is found, too.
    Blobs,
}

/// Checks the archive (or unpacked archive) whose files are `files`.
#[must_use]
pub fn validate(files: &Tree, depth: Depth) -> Findings {
    let mut check = Check { files, findings: Findings::default(), seen: BTreeSet::new(), diff_ids: BTreeMap::new() };
    check.run(depth);
    check.findings
}

struct Check<'a> {
    files: &'a Tree,
    findings: Findings,
    /// Blobs that something names.
    seen: BTreeSet<Digest>,
    /// Of layers that were looked at, by digest; none where `depth` says so or something is wrong.
    diff_ids: BTreeMap<Digest, Option<Digest>>,
}

/// Documents are small; a larger one is not read into memory.
const DOCUMENT_LIMIT: u64 = 4 * 1024 * 1024;

impl Check<'_> {
    fn problem(&mut self, file: &str, what: impl Into<String>) {
        self.findings.problems.push(Problem { file: file.to_owned(), what: what.into() });
    }

    fn run(&mut self, depth: Depth) {
        if let Some(layout) = self.document::<serde_json::Value>(LAYOUT)
            && layout["imageLayoutVersion"] != "1.0.0"
        {
            self.problem(LAYOUT, "is not of version 1.0.0");
        }
        let index: Option<ImageIndex> = self.document(INDEX);
        for descriptor in index.iter().flat_map(ImageIndex::manifests) {
            let name = descriptor.annotations().as_ref().and_then(|all| all.get(NAME_ANNOTATION)).cloned();
            if name.is_none() {
                self.problem(INDEX, format!("{} has no {NAME_ANNOTATION}", descriptor.digest()));
            }
            let (digest, size) = (descriptor.digest().to_string(), descriptor.size());
            self.image(&name.unwrap_or_else(|| digest.clone()), &digest, size, depth);
        }
        if let Some(docker) = self.document::<Vec<DockerImage>>(MANIFEST) {
            self.docker(&docker);
        }
        let blobs: Vec<String> = self
            .files
            .iter()
            .filter(|(_, entry)| matches!(entry.kind, Kind::File(_)))
            .filter_map(|(path, _)| path.as_str().strip_prefix("blobs/").map(str::to_owned))
            .collect();
        for name in blobs {
            let named = name.strip_prefix("sha256/").and_then(|hex| hex.parse::<Digest>().ok());
            if named.is_none_or(|digest| !self.seen.contains(&digest)) {
                self.problem(&format!("blobs/{name}"), "is named by no image");
            }
        }
    }

    fn image(&mut self, name: &str, digest: &str, size: u64, depth: Depth) {
        let Some((digest, bytes)) = self.blob_document(INDEX, digest, size) else { return };
        let file = blob_path(digest);
        let manifest = match ImageManifest::from_reader(&bytes[..]) {
            Ok(manifest) => manifest,
            Err(error) => return self.problem(&file, format!("is not an image manifest: {error}")),
        };
        let config = manifest.config();
        let Some((config_digest, bytes)) = self.blob_document(&file, config.digest().as_ref(), config.size()) else {
            return;
        };
        let config_file = blob_path(config_digest);
        let config = match ImageConfiguration::from_reader(&bytes[..]) {
            Ok(config) => config,
            Err(error) => return self.problem(&config_file, format!("is not an image configuration: {error}")),
        };
        let diff_ids = config.rootfs().diff_ids().clone();
        if diff_ids.len() != manifest.layers().len() {
            let (ids, layers) = (diff_ids.len(), manifest.layers().len());
            self.problem(&config_file, format!("has {ids} diff IDs, but its manifest has {layers} layers"));
        }
        if let Some(history) = config.history() {
            let filled = history.iter().filter(|entry| entry.empty_layer() != Some(true)).count();
            if filled != diff_ids.len() {
                self.problem(&config_file, format!("has a history of {filled} layers and {} diff IDs", diff_ids.len()));
            }
        }
        let mut layers = Vec::new();
        for (at, layer) in manifest.layers().iter().enumerate() {
            let Some((digest, content)) = self.blob(&file, layer.digest().as_ref(), layer.size()) else { continue };
            layers.push((digest, layer.size()));
            let Some(codec) = Codec::of_media_type(layer.media_type().as_ref()) else {
                self.problem(&file, format!("has a layer of the unknown media type {}", layer.media_type()));
                continue;
            };
            if depth >= Depth::Digests
                && let Some(found) = self.layer(digest, &content, codec, depth)
                && diff_ids.get(at).is_some_and(|expected| *expected != found.to_string())
            {
                let layer = blob_path(digest);
                self.problem(&config_file, format!("has the diff ID {}, but {layer} unpacks to {found}", diff_ids[at]));
            }
        }
        self.findings.images.push(Found { name: name.to_owned(), digest, config_digest, config, layers });
    }

    /// Checks a layer's digest and, as `depth` says, its tar, once; gives its diff ID.
    fn layer(&mut self, digest: Digest, content: &Content, codec: Codec, depth: Depth) -> Option<Digest> {
        if let Some(known) = self.diff_ids.get(&digest) {
            return *known;
        }
        let file = blob_path(digest);
        let diff_id = match content.digest() {
            Ok(found) if found != digest => {
                self.problem(&file, format!("has the digest {found}"));
                None
            }
            Err(error) => {
                self.problem(&file, format!("cannot be read: {error}"));
                None
            }
            Ok(_) if depth == Depth::Digests => None,
            Ok(_) => match unpacked(content, codec) {
                Ok((diff_id, problems)) => {
                    for what in problems {
                        self.problem(&file, what);
                    }
                    Some(diff_id)
                }
                Err(error) => {
                    self.problem(&file, format!("does not unpack: {error}"));
                    None
                }
            },
        };
        self.diff_ids.insert(digest, diff_id);
        diff_id
    }

    fn docker(&mut self, docker: &[DockerImage]) {
        let expected: Vec<DockerImage> = self
            .findings
            .images
            .iter()
            .map(|image| DockerImage {
                config: blob_path(image.config_digest),
                repo_tags: vec![image.name.clone()],
                layers: image.layers.iter().map(|(digest, _)| blob_path(*digest)).collect(),
            })
            .collect();
        let missing = |one: &[DockerImage], other: &[DockerImage]| -> Vec<String> {
            one.iter().filter(|image| !other.contains(image)).map(|image| image.repo_tags.join(", ")).collect()
        };
        for name in missing(&expected, docker) {
            self.problem(MANIFEST, format!("lacks the image {name} as {INDEX} has it"));
        }
        for name in missing(docker, &expected) {
            self.problem(INDEX, format!("lacks the image {name} as {MANIFEST} has it"));
        }
    }

    /// A blob that `by` names, if it is there with its size; its digest is not checked yet.
    fn blob(&mut self, by: &str, digest: &str, size: u64) -> Option<(Digest, Content)> {
        let Ok(digest) = digest.parse::<Digest>() else {
            self.problem(by, format!("names the blob {digest}, which is not SHA-256"));
            return None;
        };
        self.seen.insert(digest);
        let file = blob_path(digest);
        let Some(content) = self.content(&file) else {
            self.problem(by, format!("names {file}, which is not there"));
            return None;
        };
        if content.len() != size {
            self.problem(&file, format!("has {} bytes, but {by} says {size}", content.len()));
            return None;
        }
        Some((digest, content))
    }

    /// A small blob, read and checked.
    fn blob_document(&mut self, by: &str, digest: &str, size: u64) -> Option<(Digest, Vec<u8>)> {
        let (digest, content) = self.blob(by, digest, size)?;
        let file = blob_path(digest);
        let bytes = self.bytes(&file, &content)?;
        let found = Digest::of(&bytes);
        if found != digest {
            self.problem(&file, format!("has the digest {found}"));
            return None;
        }
        Some((digest, bytes))
    }

    fn document<T: serde::de::DeserializeOwned>(&mut self, file: &str) -> Option<T> {
        let Some(content) = self.content(file) else {
            self.problem(file, "is not there");
            return None;
        };
        let bytes = self.bytes(file, &content)?;
        serde_json::from_slice(&bytes).map_err(|error| self.problem(file, format!("is damaged: {error}"))).ok()
    }

    fn bytes(&mut self, file: &str, content: &Content) -> Option<Vec<u8>> {
        if content.len() > DOCUMENT_LIMIT {
            self.problem(file, format!("has {} bytes: too large for a document", content.len()));
            return None;
        }
        content.read().map_err(|error| self.problem(file, format!("cannot be read: {error}"))).ok()
    }

    fn content(&self, file: &str) -> Option<Content> {
        match &self.files.get(&TreePath::new(file).ok()?)?.kind {
            Kind::File(content) => Some(content.clone()),
            _ => None,
        }
    }
}

/// The diff ID of a layer, and what is wrong with its tar.
fn unpacked(content: &Content, codec: Codec) -> io::Result<(Digest, Vec<String>)> {
    let mut tee = Tee { reader: codec.decoder(content.reader())?, hasher: crate::digest::Hasher::default() };
    let mut problems = Vec::new();
    let mut paths = BTreeSet::new();
    let mut archive = tar::Archive::new(&mut tee);
    for entry in archive.entries()? {
        let entry = entry?;
        let bytes = entry.path_bytes().into_owned();
        let name = String::from_utf8_lossy(&bytes);
        match TreePath::new(&name) {
            Ok(path) => {
                if entry.header().entry_type() == tar::EntryType::Link {
                    let target = entry.link_name_bytes().and_then(|t| TreePath::new(&String::from_utf8_lossy(&t)).ok());
                    if target.is_none_or(|target| !paths.contains(&target)) {
                        problems.push(format!("its hard link `{name}` is not after its target"));
                    }
                }
                if !paths.insert(path) {
                    problems.push(format!("it has `{name}` twice"));
                }
            }
            Err(error) => problems.push(format!("it has a bad path: {error}")),
        }
    }
    // The diff ID covers everything to the end, the padding too.
    io::copy(&mut tee, &mut io::sink())?;
    Ok((tee.hasher.finish(), problems))
}

struct Tee<R> {
    reader: R,
    hasher: crate::digest::Hasher,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.reader.read(buffer)?;
        io::Write::write_all(&mut self.hasher, &buffer[..got])?;
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::archive;
    use crate::image::{Image, tests::recipe};
    use crate::layer;
    use crate::tree::{Entry, SourceFile};

    /// A bundle of one image of one file, as its tar's files.
    fn sample(change: impl Fn(&mut archive::Parts)) -> Tree {
        let mut tree = Tree::new();
        tree.insert(TreePath::new("a").unwrap(), Entry::file("hello", 0o644, &Arc::from("test")));
        let mut blob = Vec::new();
        let (layer, _) = layer::write(tree, 9, true, Codec::Gzip, 1, &mut blob).unwrap();
        let image = Image::new(recipe(layer)).unwrap();
        let mut parts = archive::documents(&[image], |_| Ok(blob.clone().into())).unwrap();
        change(&mut parts);
        let mut bytes = Vec::new();
        archive::write(parts, &Tree::new(), 9, |_| false, &mut bytes).unwrap();
        crate::tar::index(&Arc::new(SourceFile::Memory(bytes)), &Arc::from("bundle")).unwrap()
    }

    fn problems(files: &Tree) -> String {
        let found: Vec<String> = validate(files, Depth::Blobs).problems.iter().map(ToString::to_string).collect();
        found.join("\n")
    }

    #[test]
    fn a_sound_archive_has_no_problems() {
        let files = sample(|_| {});
        assert_eq!(problems(&files), "");
        assert_eq!(validate(&files, Depth::Documents).images[0].name, "localhost/hello:1");
    }

    #[test]
    fn every_blob_is_checked() {
        let digests: Vec<Digest> = {
            let files = sample(|_| {});
            files.iter().filter_map(|(path, _)| path.as_str().strip_prefix("blobs/sha256/")?.parse().ok()).collect()
        };
        assert_eq!(digests.len(), 3);
        for digest in digests {
            // After it is written: the writer refuses a blob that is not as its name says.
            let mut tampered = sample(|_| {});
            let path = TreePath::new(&blob_path(digest)).unwrap();
            let Kind::File(content) = &tampered.get(&path).unwrap().kind else { unreachable!() };
            let mut bytes = content.read().unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            tampered.insert(path, Entry::file(bytes, 0o644, &Arc::from("test")));
            for depth in [Depth::Digests, Depth::Blobs] {
                let found = validate(&tampered, depth)
                    .problems
                    .iter()
                    .any(|problem| problem.file == blob_path(digest) && problem.what.starts_with("has the digest"));
                assert!(found, "{depth:?} {digest}");
            }
            let missing = sample(|parts| drop(parts.blobs.remove(&digest)));
            assert!(problems(&missing).contains("which is not there"));
        }
    }

    #[test]
    fn both_tables_of_contents_must_agree() {
        let fewer = sample(|parts| parts.manifest = b"[]".to_vec());
        assert_eq!(problems(&fewer), "manifest.json: lacks the image localhost/hello:1 as index.json has it");
    }

    #[test]
    fn what_no_image_names_is_told() {
        let extra = sample(|parts| drop(parts.blobs.insert(Digest::of(b"x"), "x".into())));
        assert!(problems(&extra).ends_with("is named by no image"));
    }
}
