//! Executes a plan: artifacts of the store become layers in the store, and those become images.

mod bytecode;
mod config;
mod packages;
mod program;
mod store_paths;
mod unpacked;
mod wheels;

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::sync::Arc;

use anyhow::{Context, Result};
use sealift_deployment::failure::Failure;
use sealift_deployment::files::Streamed;
use sealift_deployment::ui::Phase;
use sealift_layers::codec::Codec;
use sealift_layers::digest::{Digest, Hasher};
use sealift_layers::ingredients::deb;
use sealift_layers::layer;
use sealift_layers::listing::Listing;
use sealift_layers::tree::{self, Overlap, OverlayError, SourceFile, Tree};
use serde::{Deserialize, Serialize};

pub use bytecode::RECIPE as BYTECODE_RECIPE;
pub(crate) use config::{owner_ids, users};
pub(crate) use packages::compiling_image;

use crate::lock::Package;
use crate::nix;
use crate::plan::{Content, Image, Layer, Plan};
use crate::store::{Key, Store};

/// What the store keeps of a layer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// What identifies it.
    pub(crate) layer: layer::Layer,
    /// Maintainer scripts that were not run, by package.
    scripts: BTreeMap<String, Vec<String>>,
}

/// A layer in the store.
#[derive(Clone, Debug)]
pub struct Built {
    /// What identifies it.
    pub layer: layer::Layer,
    /// What it holds, in words.
    pub title: String,
}

/// All layers of a plan, made or found, by key.
#[derive(Debug, Default)]
pub struct Layers {
    built: BTreeMap<String, Record>,
    /// How many were in the store already.
    pub reused: usize,
}

impl Layers {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.built.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.built.is_empty()
    }

    /// The maintainer scripts of all packages, by package: none of them was run.
    #[must_use]
    pub fn scripts(&self) -> BTreeMap<&str, &[String]> {
        let scripts = self.built.values().flat_map(|record| &record.scripts);
        scripts.map(|(package, scripts)| (package.as_str(), scripts.as_slice())).collect()
    }

    /// The finished layers of one of the plan's images.
    #[must_use]
    pub fn of(&self, image: &Image) -> Vec<Built> {
        let built =
            |layer: &Layer| Built { layer: self.built[&layer.key.hex()].layer.clone(), title: layer.title.clone() };
        image.layers.iter().map(built).collect()
    }
}

/// Makes every layer of `plan` that `store` lacks. All artifacts that it needs must be there ([`crate::build::needed`]).
///
/// # Errors
/// When artifacts are damaged or do not fit together, a compilation fails, or the disk is full.
pub fn layers(plan: &Plan<'_>, store: &Store, jobs: usize, progress: &Phase<'_>) -> Result<Layers> {
    let mut assembler = Assembler {
        plan,
        store,
        jobs: jobs.max(1),
        progress,
        packages: BTreeMap::new(),
        wheels: BTreeMap::new(),
        interpreters: BTreeMap::new(),
    };
    let mut layers = Layers::default();
    for image in &plan.images {
        assembler.prepare(image);
        // Union of the layers below, read only when one on top of them is made.
        let mut lower = Lower::default();
        for layer in &image.layers {
            if !layers.built.contains_key(&layer.key.hex()) {
                let finished = match stored(store, &layer.key) {
                    Some(found) => {
                        layers.reused += 1;
                        found
                    }
                    None => {
                        progress.item(&format!("{}: {}", image.name, layer.title));
                        let made = assembler.make(image, layer, &lower);
                        made.map_err(|error| sealift_deployment::files::explain(store.root(), error)).with_context(
                            || format!("cannot make the layer `{}` of the image {}", layer.title, image.name),
                        )?
                    }
                };
                layers.built.insert(layer.key.hex(), finished);
            }
            progress.inc(1);
            lower.layers.push((layer.key, matches!(layer.content, Content::StorePaths { .. })));
        }
    }
    Ok(layers)
}

/// The layers of `plan` that `store` lacks, each once.
#[must_use]
pub fn missing<'p>(plan: &'p Plan<'_>, store: &Store) -> Vec<(&'p Image, &'p Layer)> {
    let mut missing: BTreeMap<Key, (&Image, &Layer)> = BTreeMap::new();
    for image in &plan.images {
        for layer in image.layers.iter().filter(|layer| stored(store, &layer.key).is_none()) {
            missing.entry(layer.key).or_insert((image, layer));
        }
    }
    missing.into_values().collect()
}

/// The record of a layer that is in the store.
pub(crate) fn stored(store: &Store, key: &Key) -> Option<Record> {
    // The listing goes first when a store is cleaned by hand; without it nothing can be put on top of the layer.
    store.derived(&listing_key(key))?;
    store.layer(key)
}

/// Under which the listing of a layer is kept.
pub(crate) fn listing_key(layer: &Key) -> Key {
    Key::builder("listing/1").field("layer", layer.hex()).finish()
}

/// The layers below the one being made.
#[derive(Default)]
struct Lower {
    /// Their keys, and whether it is a layer of store paths.
    layers: Vec<(Key, bool)>,
}

impl Lower {
    /// What they have; other store paths do not concern a layer of store paths (`apart`).
    fn listing(&self, store: &Store, apart: bool) -> Result<Listing> {
        let mut union = Listing::new();
        for (key, _) in self.layers.iter().filter(|(_, store_paths)| !(apart && *store_paths)) {
            let path = store
                .derived(&listing_key(key))
                .ok_or_else(|| Failure::failed("a layer's listing has gone from the store").hint("build again"))?;
            let listing: Listing = serde_json::from_slice(&fs_err::read(path)?)?;
            union.extend(listing);
        }
        Ok(union)
    }
}

struct Assembler<'a> {
    plan: &'a Plan<'a>,
    store: &'a Store,
    jobs: usize,
    progress: &'a Phase<'a>,
    /// Packages opened so far: several images and steps need the same ones.
    packages: BTreeMap<String, Arc<deb::Package>>,
    /// Trees of wheels for layers to come, by image and wheel: where they are installed is the image's.
    wheels: BTreeMap<(String, String), Tree>,
    /// Unpacked interpreters by image, for compiling bytecode.
    interpreters: BTreeMap<String, Arc<bytecode::Interpreter>>,
}

impl Assembler<'_> {
    fn make(&mut self, image: &Image, layer: &Layer, lower: &Lower) -> Result<Record> {
        let is_apart = matches!(layer.content, Content::StorePaths { .. });
        let lower = lower.listing(self.store, is_apart)?;
        let (tree, overrides) = match &layer.content {
            Content::Packages { packages, shared, bytecode } => {
                (self.packages_tree(image, packages, *shared, bytecode)?, false)
            }
            Content::Wheels { wheels, skeleton } => (self.wheels_tree(image, wheels, *skeleton)?, false),
            Content::Crate => (self.program_tree(image)?, false),
            Content::StorePaths { paths } => (self.store_paths_tree(paths, &lower)?, false),
            Content::Certificates => (self.certificates_tree(image)?, true),
            Content::Env => (self.env_tree(image)?, true),
            Content::Configuration => (self.configuration_tree(image)?, true),
        };
        // Such a layer is the same whatever lies below.
        let lower = if is_apart { Listing::new() } else { lower };
        let overlap = if overrides { Overlap::Replaces } else { Overlap::MustAgree };
        let mut tree = tree::overlay(tree, &lower, overlap).map_err(|error| match error {
            OverlayError::Conflicts(_) => apart(error.to_string()),
            error => error.into(),
        })?;
        if let Content::Packages { .. } = layer.content {
            packages::add_library_cache(&mut tree, &lower, self.plan.architecture())?;
        }
        let scripts = match &layer.content {
            Content::Packages { packages, .. } => {
                let opened = self.open(packages)?;
                let with_scripts = opened.iter().filter(|package| !package.scripts.is_empty());
                with_scripts.map(|package| (package.control.name.clone(), package.scripts.clone())).collect()
            }
            _ => BTreeMap::new(),
        };
        let check = match &layer.content {
            Content::StorePaths { paths } => {
                let (closure, files, jobs) = (self.plan.closure(&image.name)?, tree.clone(), self.jobs);
                Some(move || nix::verify(closure, paths, &files, jobs))
            }
            _ => None,
        };
        self.layers().write(&layer.key, tree, scripts, check)
    }

    fn layers(&self) -> LayerStore<'_> {
        let plan = self.plan;
        LayerStore { store: self.store, codec: plan.options.codec, epoch: plan.epoch, jobs: self.jobs }
    }

    /// Opens the packages and wheels of all layers of an image that have to be made: together they keep the threads busier
    /// than layer by layer. What goes wrong is told when the layer is made.
    fn prepare(&mut self, image: &Image) {
        let (mut all_packages, mut all_wheels) = (Vec::new(), Vec::new());
        for layer in image.layers.iter().filter(|layer| stored(self.store, &layer.key).is_none()) {
            match &layer.content {
                Content::Packages { packages, .. } => all_packages.extend_from_slice(packages),
                Content::Wheels { wheels, .. } => all_wheels.extend_from_slice(wheels),
                _ => {}
            }
        }
        let _ = self.open(&all_packages);
        let _ = self.open_wheels(image, &all_wheels);
    }

    /// Opens packages, several at a time: decompressing them is what a cold build spends most of its time on.
    fn open(&mut self, names: &[String]) -> Result<Vec<Arc<deb::Package>>> {
        let mut wanted: Vec<&Package> = names
            .iter()
            .filter(|name| !self.packages.contains_key(*name))
            .map(|name| self.plan.package(name))
            .collect::<Result<_>>()?;
        // The largest first: what is begun last ends last.
        wanted.sort_by_key(|package| std::cmp::Reverse(package.size));
        let opened = in_parallel(self.jobs, &wanted, |package| open_package(self.store, package))?;
        for (package, opened) in wanted.iter().zip(opened) {
            self.packages.insert(package.name.clone(), Arc::new(opened));
        }
        Ok(names.iter().map(|name| self.packages[name].clone()).collect())
    }
}

/// Where layers are written to, and how.
pub(crate) struct LayerStore<'a> {
    /// The store.
    pub(crate) store: &'a Store,
    /// Their compression.
    pub(crate) codec: Codec,
    /// No entry is later than this, in seconds since 1970.
    pub(crate) epoch: u64,
    /// Threads that compress.
    pub(crate) jobs: usize,
}

impl LayerStore<'_> {
    /// Makes a layer of a tree that is seated. `check` holds its contents against hashes that they were known by before,
    /// which goes on meanwhile; it is kept if that has no objection, and its listing needs no digests of its own then.
    pub(crate) fn write(
        &self,
        key: &Key,
        tree: Tree,
        scripts: BTreeMap<String, Vec<String>>,
        check: Option<impl FnOnce() -> Result<()> + Send>,
    ) -> Result<Record> {
        let mut blob = self.store.temporary()?;
        let out = BufWriter::with_capacity(1 << 20, Streamed::new(blob.as_file_mut()));
        let (checked, written) = std::thread::scope(|scope| {
            let options =
                layer::Options { epoch: self.epoch, file_digests: check.is_none(), codec: self.codec, jobs: self.jobs };
            let check = check.map(|check| scope.spawn(check));
            let written = layer::write(tree, options, out);
            (check.map_or(Ok(()), |check| check.join().expect("checks do not panic")), written)
        });
        checked?;
        let layer::Written { layer, listing } = written.map_err(|error| match error {
            layer::LayerError::Io(error) => sealift_deployment::files::cannot("write", self.store.root(), &error),
            other @ layer::LayerError::Hardlink { .. } => other.into(),
        })?;
        self.store.put_derived(&listing_key(key), |path| {
            let mut file = BufWriter::new(fs_err::File::create(path)?);
            serde_json::to_writer(&mut file, &listing)?;
            Ok(file.flush()?)
        })?;
        let record = Record { layer, scripts };
        self.store.put_layer(key, blob, &record.layer.digest, &record)?;
        Ok(record)
    }
}

fn open_package(store: &Store, package: &Package) -> Result<deb::Package> {
    let file = artifact(store, &package.path, &package.sha256, package.size)?;
    let spool = store.temporary()?.into_file();
    let opened = deb::open(&SourceFile::new(file), spool).map_err(|error| {
        let text = chain(&error);
        // It is unpacked into the store, where the disk may be full.
        let error = sealift_deployment::files::explain(store.root(), error.into());
        if Failure::within(&error).is_some() {
            error
        } else {
            Failure::failed(format!("{}: {text}", package.path)).into()
        }
    })?;
    let control = &opened.control;
    if (&control.name, &control.version) != (&package.name, &package.version) {
        let message =
            format!("{} says that it is {} {}, not as the lock has it", package.path, control.name, control.version);
        let hint = "its archive's index has it under a name or version that is not its own: tell who keeps the archive";
        return Err(Failure::verification(message).hint(hint).into());
    }
    Ok(opened)
}

/// Opens an artifact. It was verified when it came in; hashing it again costs little beside unpacking it, and no layer is
/// made of what a failing disk has changed since.
fn artifact(store: &Store, name: &str, digest: &Digest, size: u64) -> Result<std::fs::File> {
    let path = store
        .artifact(digest, size)
        .ok_or_else(|| Failure::failed(format!("{name} is not in the store")).hint("build again to fetch it"))?;
    let mut file = fs_err::File::open(&path)?;
    let mut hasher = Hasher::default();
    std::io::copy(&mut file, &mut hasher)?;
    if hasher.finish() != *digest {
        let message = format!("{name} is damaged in the store: {} is not what its name says", path.display());
        return Err(Failure::verification(message).hint("sealift store check --repair removes what is damaged").into());
    }
    Ok(file.into_parts().0)
}

/// What to do about packages, or wheels, that do not fit together.
fn apart(message: String) -> anyhow::Error {
    let hint = "the image cannot have both: exclude one of them in the profile, or `drop` the path from the image";
    Failure::failed(message).hint(hint).into()
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// `work` on every item, on at most `jobs` threads; results in the items' order, or the first error in that order.
pub(crate) fn in_parallel<T: Sync, R: Send>(
    jobs: usize,
    items: &[T],
    work: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let mut results: Vec<(usize, Result<R>)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs.min(items.len()))
            .map(|_| {
                scope.spawn(|| {
                    let mut done = Vec::new();
                    loop {
                        let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        let Some(item) = items.get(at) else { return done };
                        done.push((at, work(item)));
                    }
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("workers do not panic")).collect()
    });
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}
