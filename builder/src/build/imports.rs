//! Imports: artifacts and layers that other builds have fetched and made.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::files::{self, sorted_dir};
use sealift_layers::archive;
use sealift_layers::digest::Digest;

use crate::inputs::Artifact;
use crate::plan::Plan;
use crate::store::exchange::has_layer;
use crate::store::{Key, Store};

/// What a plan needs, the store lacks, and the folders of `--from` and `--artifacts` have.
#[derive(Debug, Default)]
pub(super) struct Imports {
    /// Layers, and the folder that has each.
    layers: BTreeMap<Key, PathBuf>,
    /// Artifacts, and the file with the content of each.
    artifacts: BTreeMap<Digest, FoundArtifact>,
}

#[derive(Debug)]
struct FoundArtifact {
    /// The artifact's path on its server, for messages.
    name: String,
    file: PathBuf,
}

impl Imports {
    /// Looks for layers in `layers_from`, image layouts that `sealift image` wrote, and for the artifacts of the other
    /// layers in `files`, files and folders of files at any depth. Files are found by their SHA-256; their names do not
    /// matter.
    ///
    /// # Errors
    /// When a file or folder does not exist or cannot be read, or a file has the name of an artifact that no file has.
    pub(super) fn find(plan: &Plan<'_>, store: &Store, layers_from: &[PathBuf], files: &[PathBuf]) -> Result<Self> {
        let mut imports = Self { layers: find_layers(plan, store, layers_from)?, artifacts: BTreeMap::new() };
        if !files.is_empty() {
            let mut missing = plan.missing(store);
            missing.retain(|(_, layer)| !imports.layers.contains_key(&layer.key));
            let mut wanted = plan.needs(&missing, store)?;
            wanted.retain(|artifact| store.artifact(&artifact.digest(), artifact.size()).is_none());
            imports.artifacts = find_artifacts(&wanted, files)?;
        }
        Ok(imports)
    }

    /// Looks for the artifacts `wanted` in files, and in folders of files at any depth.
    ///
    /// # Errors
    /// When a file or folder does not exist or cannot be read, or a file has the name of an artifact and other content.
    pub(super) fn of_artifacts(wanted: &[Artifact<'_>], files: &[PathBuf]) -> Result<Self> {
        Ok(Self { layers: BTreeMap::new(), artifacts: find_artifacts(wanted, files)? })
    }

    /// The folder that has the layer, if one has it.
    pub(super) fn layer(&self, key: &Key) -> Option<&Path> {
        self.layers.get(key).map(PathBuf::as_path)
    }

    /// Whether a file with the artifact's content was found.
    pub(super) fn has_artifact(&self, artifact: &Artifact<'_>) -> bool {
        self.artifacts.contains_key(&artifact.digest())
    }

    /// Copies everything that was found into the store, and verifies it.
    ///
    /// # Errors
    /// When a file is damaged (verification), or the disk is full or failing.
    pub(super) fn take(&self, store: &Store) -> Result<()> {
        for (key, folder) in &self.layers {
            store.import_layer(key, folder)?;
        }
        for (digest, FoundArtifact { name, file }) in &self.artifacts {
            store.add_artifact(name, files::open(file)?, digest)?;
        }
        Ok(())
    }
}

fn find_layers(plan: &Plan<'_>, store: &Store, folders: &[PathBuf]) -> Result<BTreeMap<Key, PathBuf>> {
    for folder in folders {
        if !folder.join(archive::LAYOUT).is_file() {
            let message = format!("{} is not an OCI image layout: it has no {}", folder.display(), archive::LAYOUT);
            return Err(Failure::usage(message).hint("name a folder that sealift image has written").into());
        }
    }
    let missing = plan.missing(store).into_iter().map(|(_, layer)| layer.key);
    let find = |key: Key| Some((key, folders.iter().find(|folder| has_layer(folder, &key))?.clone()));
    Ok(missing.filter_map(find).collect())
}

fn find_artifacts(wanted: &[Artifact<'_>], places: &[PathBuf]) -> Result<BTreeMap<Digest, FoundArtifact>> {
    let sizes: BTreeSet<u64> = wanted.iter().map(Artifact::size).collect();
    let by_digest: BTreeMap<Digest, &Artifact<'_>> =
        wanted.iter().map(|artifact| (artifact.digest(), artifact)).collect();
    let (mut found, mut named) = (BTreeMap::new(), BTreeMap::new());
    let mut ahead: Vec<PathBuf> = places.to_vec();
    // Folders may link to themselves.
    let mut seen = BTreeSet::new();
    while let Some(path) = ahead.pop() {
        let metadata = path.metadata().map_err(|error| {
            Failure::usage(format!("cannot read the artifacts in {}", path.display())).because(error)
        })?;
        if metadata.is_dir() {
            if seen.insert((metadata.dev(), metadata.ino())) {
                ahead.extend(sorted_dir(&path)?);
            }
            continue;
        }
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if metadata.is_file() && wanted.iter().any(|artifact| artifact.file_name() == name) {
            named.insert(name.to_owned(), path.clone());
        }
        // Only files that can be one of the artifacts are read.
        if !metadata.is_file() || !sizes.contains(&metadata.len()) {
            continue;
        }
        let digest = Digest::of_reader(files::open(&path)?)?.digest;
        if let Some(artifact) = by_digest.get(&digest) {
            found.insert(digest, FoundArtifact { name: artifact.path(), file: path });
        }
    }
    // Without this, a damaged file was as one that is not there.
    let mut absent = wanted.iter().filter(|artifact| !found.contains_key(&artifact.digest()));
    if let Some((artifact, file)) = absent.find_map(|artifact| Some((artifact, named.get(&artifact.file_name())?))) {
        let message = format!("{} is not the file of this name that the lock names", file.display());
        let (is, wanted) = (Digest::of_reader(files::open(file)?)?, artifact.digest());
        let cause =
            format!("it has {} bytes and the digest {}, not {} and {wanted}", is.size, is.digest, artifact.size());
        let hint = "it is damaged or another one: copy it again, or remove it";
        return Err(Failure::verification(message).hint(hint).because(anyhow::anyhow!(cause)).into());
    }
    Ok(found)
}
