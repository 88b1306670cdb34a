//! A profile with every kind of ingredient, its lock and options, for tests of plans and builds.

use std::path::Path;

use sealift_deployment::profile::Profile;
use sealift_deployment::site::SiteParameters;
use sealift_layers::codec::Codec;
use sealift_layers::limits::Limits;
use sealift_layers::tree::Tree;
use tempfile::TempDir;

use super::{FinishedLayers, Plan};
use crate::cargo::Cargo;
use crate::inputs::Options;
use crate::lock::{self, Lock};
use crate::store::layer::{LayerRecord, LayerWriter, Remarks};
use crate::store::{Key, Store};

/// A profile and its lock.
pub(crate) struct Sample {
    pub(crate) profile: Profile,
    pub(crate) lock: Lock,
}

impl Sample {
    /// Reads `tests/samples/kinds`.
    pub(crate) fn kinds() -> Self {
        let profile = Profile::load(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samples/kinds")));
        let profile = profile.unwrap_or_else(|error| panic!("{error}"));
        let lock = Lock::read(&profile).unwrap().unwrap();
        Self { profile, lock }
    }

    /// The options of a build without a site. Its compiler cannot be run.
    pub(crate) fn options(&self) -> Options {
        Options {
            platform: "linux/amd64".parse().unwrap(),
            codec: Codec::Gzip,
            epoch: None,
            parameters: SiteParameters::defaults(&self.profile.model),
            authorities: Vec::new(),
            cargo: Some(Cargo::sample()),
            nix_store: "/nix/store".into(),
            limits: Limits::default(),
        }
    }

    /// The lock's entry for the platform.
    pub(crate) fn locked(&mut self) -> &mut lock::Platform {
        self.lock.platforms.get_mut("linux/amd64").unwrap()
    }

    pub(crate) fn plan(&self) -> Plan<'_> {
        Plan::new(&self.profile, &self.lock, self.options()).unwrap()
    }
}

/// A store in a temporary folder.
pub(crate) fn empty_store() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    (folder, store)
}

/// Adds an empty layer to the store under `key`.
pub(crate) fn finish(store: &Store, key: &Key) -> LayerRecord {
    let writer = LayerWriter { store, codec: Codec::Gzip, epoch: 0, jobs: 1, is_borrowed: false };
    writer.write(key, Tree::new(), Remarks::default(), None).unwrap()
}

/// Adds an empty layer to the store for each layer of the plan.
pub(crate) fn finish_all(plan: &Plan<'_>, store: &Store) -> FinishedLayers {
    let mut finished = FinishedLayers::default();
    for layer in plan.images.iter().flat_map(|image| &image.layers) {
        finished.insert(layer.key, finish(store, &layer.key));
    }
    finished
}
