//! What a build would do, for `sealift plan`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Result;
use sealift_layers::digest::Digest;

use super::imports::Imports;
use crate::plan::Plan;
use crate::store::{Key, Store};

/// What a build would do.
#[derive(Debug)]
pub struct Preview {
    /// File name of the bundle.
    pub file_name: String,
    /// No file is later than this, in seconds since 1970.
    pub epoch: u64,
    /// What would be fetched.
    pub fetch: Vec<PreviewArtifact>,
    /// The images, sorted by name.
    pub images: Vec<PreviewImage>,
}

/// A file that would be fetched.
#[derive(Debug)]
pub struct PreviewArtifact {
    /// Its file name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: Digest,
}

/// An image.
#[derive(Debug)]
pub struct PreviewImage {
    /// Its name in the profile.
    pub name: String,
    /// Its full name and tag.
    pub reference: String,
    /// Its layers, bottom first.
    pub layers: Vec<PreviewLayer>,
}

/// A layer.
#[derive(Debug)]
pub struct PreviewLayer {
    /// Its contents in a few words.
    pub title: String,
    /// The hash of everything that decides its bytes.
    pub key: Key,
    /// Whether it would be built or reused.
    pub action: Action,
}

/// What would be done to get a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is made.
    Make,
    /// It is in the store.
    Reuse,
    /// It is copied from an image layout.
    Import(PathBuf),
    /// An image before this one has it, too.
    Shared,
}

impl Preview {
    pub(super) fn new(plan: &Plan<'_>, store: &Store, imports: &Imports) -> Result<Self> {
        let mut missing = plan.missing(store);
        missing.retain(|(_, layer)| imports.layer(&layer.key).is_none());
        let to_make: BTreeSet<Key> = missing.iter().map(|(_, layer)| layer.key).collect();
        let mut fetch = plan.needs(&missing, store)?;
        fetch.retain(|artifact| {
            !imports.has_artifact(artifact) && store.artifact(&artifact.digest(), artifact.size()).is_none()
        });
        let mut seen = BTreeSet::new();
        let mut action = |key: &Key| match imports.layer(key) {
            _ if !seen.insert(*key) => Action::Shared,
            Some(folder) => Action::Import(folder.to_owned()),
            None if to_make.contains(key) => Action::Make,
            None => Action::Reuse,
        };
        let images = plan.images.iter().map(|image| PreviewImage {
            name: image.name.clone(),
            reference: image.reference.clone(),
            layers: image
                .layers
                .iter()
                .map(|layer| PreviewLayer {
                    title: layer.ingredient.title(),
                    key: layer.key,
                    action: action(&layer.key),
                })
                .collect(),
        });
        let images = images.collect();
        let fetch = fetch.into_iter().map(|artifact| PreviewArtifact {
            name: artifact.file_name(),
            size: artifact.size(),
            sha256: artifact.digest(),
        });
        Ok(Self { file_name: plan.file_name(), epoch: plan.inputs.epoch, fetch: fetch.collect(), images })
    }
}
