//! Layers of Debian packages: those common to all images, and the image's own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Result;
use sealift_deployment::bundle::{self, Source, System};
use sealift_deployment::ui;
use sealift_layers::ingredients::deb;
use sealift_layers::ingredients::scripts::{Diversion, divert};
use sealift_layers::limits::DOCUMENT;
use sealift_layers::listing::Listing;
use sealift_layers::tree::{Entry, Kind, MergeError, Pattern, Prefer, Tree, TreePath, through_links};

use super::description::Description;
use super::ingredient::{Ingredient, Made, pairs, strings};
use super::workshop::{Opens, Workshop, conflict, overlay, overlay_replacing};
use super::{bytecode, facts, library_cache, patterns, scripts};
use crate::inputs::{Artifact, ImageInputs, Inputs};
use crate::recipe;
use crate::store::layer::{LayerRecord, Remarks};
use crate::store::{Builder, Store};

/// What the links of `base` come from.
pub(crate) const BASE_LINKS: &str = "the profile's base";

/// Packages by name, without the paths that the profile drops.
#[derive(Debug)]
struct Packages {
    /// Names in the lock, sorted.
    names: Vec<String>,
    /// The packages are those that all images have. The layer has the profile's `base.links`, too.
    is_base: bool,
    /// Interpreters (`python3.14`) for whose standard library bytecode is compiled.
    interpreters: BTreeSet<String>,
}

/// The base layer, of packages that all images have, and the layer of the image's own packages.
pub(super) fn layers(image: ImageInputs<'_>) -> Result<Vec<Box<dyn Ingredient>>> {
    let common = common_packages(image.inputs);
    let (base, own): (Vec<&String>, Vec<&String>) =
        image.locked().packages.iter().partition(|package| common.contains(package.as_str()));
    let mut layers: Vec<Box<dyn Ingredient>> = Vec::new();
    for (names, is_base) in [(base, true), (own, false)] {
        if !names.is_empty() {
            let names: Vec<String> = names.into_iter().cloned().collect();
            let interpreters = bytecode::interpreters_in(image.inputs, &names);
            layers.push(Box::new(Packages { names, is_base, interpreters }));
        }
    }
    Ok(layers)
}

/// The packages that all images have.
fn common_packages<'a>(inputs: &Inputs<'a>) -> BTreeSet<&'a str> {
    let mut sets =
        inputs.lock.images.values().map(|image| image.packages.iter().map(String::as_str).collect::<BTreeSet<_>>());
    let first = sets.next().unwrap_or_default();
    sets.fold(first, |common, set| common.intersection(&set).copied().collect())
}

impl Ingredient for Packages {
    fn title(&self) -> String {
        let what = if self.is_base { "common to all images" } else { "of this image" };
        format!("Debian packages {what}: {}", ui::count(self.names.len(), "package"))
    }

    fn has_own_times(&self) -> bool {
        true
    }

    fn key(&self, image: ImageInputs<'_>, key: Builder) -> Result<Builder> {
        let base = &image.inputs.profile.model.base;
        let mut key =
            key.field("content", "packages").field("library-cache", 2).field("merged-usr", 1).field("scripts", 8);
        for name in &self.names {
            key = key.field("package", image.inputs.package(name)?.sha256);
        }
        key = strings(
            key,
            "drop",
            base.drop.iter().chain(self.own_drop(image)).map(|pattern| pattern.get_ref().as_str()),
        );
        key = strings(key, "keep", base.keep.iter().map(|pattern| pattern.get_ref().as_str()));
        if self.is_base {
            key = pairs(key, "link", &base.links);
        }
        if !self.interpreters.is_empty() {
            key = key.field("bytecode", recipe::BYTECODE);
            key = strings(key, "python", self.interpreters.iter().map(String::as_str));
        }
        Ok(key)
    }

    fn needs<'a>(&self, image: ImageInputs<'a>, _store: &Store) -> Result<Vec<Artifact<'a>>> {
        let packages = self.names.iter().map(|name| Ok(Artifact::Package(image.inputs.package(name)?)));
        let mut needs = packages.collect::<Result<Vec<_>>>()?;
        // Compiling needs the whole interpreter, whichever layer its packages are in.
        for python in &self.interpreters {
            let (_, packages) = bytecode::compiling_image(image, python).compiler(python)?;
            needs.extend(packages.into_iter().map(Artifact::Package));
        }
        Ok(needs)
    }

    fn opens(&self) -> Opens<'_> {
        Opens { packages: &self.names, ..Opens::default() }
    }

    fn make<'a>(&'a self, workshop: &mut Workshop<'_>, image: ImageInputs<'a>, lower: &Listing) -> Result<Made<'a>> {
        let opened = workshop.open_packages(&self.names)?;
        let mut matched = BTreeSet::new();
        let diversions = scripts::diversions(&opened, &workshop.diversions);
        let mut tree = self.union(image, &opened, &diversions, lower, &mut matched)?;
        let mut remarks = Remarks::default();
        for python in &self.interpreters {
            self.add_bytecode(&mut tree, workshop, image, python, &opened, &mut remarks)?;
        }
        if self.is_base {
            let origin: Arc<str> = BASE_LINKS.into();
            let mut links = Tree::new();
            for (path, target) in &image.inputs.profile.model.base.links {
                links.insert(TreePath::new(path)?, Entry::symlink(target.as_str(), &origin));
            }
            tree.merge(links, |_, _| Prefer::Neither)?;
        }
        self.link_to_usr(&mut tree, lower, image)?;
        let patterns = self.patterns(image);
        let architecture = image.inputs.architecture();
        let read_below = |path: &TreePath| workshop.read_below(path);
        let is_dropped = |path: &TreePath| patterns.drops(path);
        let mut outcome = scripts::apply(&mut tree, &opened, lower, architecture, read_below, &is_dropped)?;
        let mut tree = overlay(tree, lower)?;
        let hit = outcome.made.iter().map(|(path, _)| path).filter(|path| patterns.hits(path)).cloned().collect();
        patterns::add_matches(self.pattern_texts(image), &hit, &mut matched);
        remarks.matched = Some(matched);
        outcome.made.retain(|path| !patterns.drops(path));
        let made = overlay_replacing(outcome.made, lower)?;
        tree.merge(made, |_, _| Prefer::First)?;
        library_cache::add(&mut tree, lower, architecture, read_below)?;
        remarks.accounts = outcome.accounts;
        remarks.owned = outcome.owned;
        remarks.diversions = outcome.diversions;
        remarks.applied = outcome.applied;
        remarks.left = outcome.left;
        let with_scripts = opened.iter().filter(|package| !package.scripts.is_empty());
        remarks.scripts = with_scripts.map(|package| (package.control.name.clone(), package.scripts.clone())).collect();
        remarks.sources = (opened.iter().map(|package| &package.control))
            .filter(|control| (&control.name, &control.version) != (&control.source.0, &control.source.1))
            .map(|control| {
                let (name, version) = control.source.clone();
                (control.name.clone(), Source { name, version })
            })
            .collect();
        remarks.system = os_release(&tree)?;
        let mut reading = facts::Reading::default();
        for package in &opened {
            remarks.packages.insert(package.control.name.clone(), facts::of_package(package, &mut reading)?);
        }
        remarks.texts = workshop.store.put_texts(&reading.texts)?;
        Ok(Made { tree, remarks, check: None })
    }

    fn describe(&self, image: ImageInputs<'_>, record: &LayerRecord, description: &mut Description) -> Result<()> {
        description.image.packages.clone_from(&image.locked().packages);
        description.system = description.system.take().or_else(|| record.remarks.system.clone());
        let locked = image.inputs.lock;
        for name in &self.names {
            let package = image.inputs.package(name)?;
            let described = bundle::Package {
                name: package.name.clone(),
                version: package.version.clone(),
                architecture: package.architecture.clone(),
                archive: package.archive.clone(),
                source: record.remarks.sources.get(name).cloned(),
                vendor: locked.vendor(package),
                license: None,
                depends_on: BTreeSet::new(),
                sha256: package.sha256,
                scripts_not_run: record.remarks.scripts.get(name).cloned().unwrap_or_default(),
                applied: record.remarks.applied.get(name).cloned().unwrap_or_default(),
                not_applied: record.remarks.left.get(name).cloned().unwrap_or_default(),
            };
            description.packages.insert(name.clone(), described);
        }
        for (name, reason) in &image.inputs.profile.model.debian.get_ref().exclude {
            description.excluded.insert(format!("package {}", name.get_ref()), reason.clone());
        }
        for python in &self.interpreters {
            description.interpreters.insert(python.clone(), image.inputs.package(python)?.version.clone());
        }
        Ok(())
    }

    fn warnings(&self, image: ImageInputs<'_>, record: &LayerRecord) -> Vec<String> {
        let mut warnings = bytecode::warnings(&record.remarks);
        warnings.extend(scripts::warnings(image, &record.remarks));
        warnings
    }
}

/// What the file `os-release` of a tree says of the system, if the tree has it (os-release(5)).
fn os_release(tree: &Tree) -> Result<Option<System>> {
    for path in ["usr/lib/os-release", "etc/os-release"] {
        if let Some(Kind::File(content)) = tree.get(&TreePath::new(path)?).map(|entry| &entry.kind)
            && content.len() <= DOCUMENT
        {
            return Ok(System::parse(&String::from_utf8_lossy(&content.read()?)));
        }
    }
    Ok(None)
}

impl Packages {
    /// The image's own patterns of dropped paths. Those that all images have concern the base layer, too.
    fn own_drop<'a>(&self, image: ImageInputs<'a>) -> impl Iterator<Item = &'a toml::Spanned<String>> {
        let images = &image.inputs.profile.model.images;
        let applies = move |pattern: &&toml::Spanned<String>| {
            !self.is_base || images.values().all(|other| other.drop.contains(pattern))
        };
        image.model().drop.iter().filter(applies)
    }

    /// The files of opened packages, without those that the profile drops from this layer. Patterns that match a path are
    /// added to `matched`.
    fn union(
        &self,
        image: ImageInputs<'_>,
        opened: &[Arc<deb::Package>],
        diversions: &[Diversion],
        lower: &Listing,
        matched: &mut BTreeSet<String>,
    ) -> Result<Tree> {
        let (texts, dropped) = (self.pattern_texts(image), self.patterns(image));
        let packages: BTreeMap<&str, &deb::Package> =
            opened.iter().map(|package| (package.control.name.as_str(), package.as_ref())).collect();
        // Debian policy 7.6.1: a package that replaces another takes over the files that both have.
        let replaces = |one: &Entry, other: &Entry| {
            let package = package_of(one).and_then(|name| packages.get(name));
            package.zip(package_of(other)).is_some_and(|(p, other)| p.control.replaces.iter().any(|name| name == other))
        };
        let kept = opened.iter().map(|package| {
            let mut files = package.tree.clone();
            let hit = files.iter().map(|(path, _)| path).filter(|path| dropped.hits(path));
            let hit: BTreeSet<TreePath> = hit.cloned().collect();
            patterns::add_matches(texts.iter().copied(), &hit, matched);
            files.retain(|path| !hit.contains(path) || dropped.keeps(path));
            divert(&mut files, &package.control.name, diversions);
            files
        });
        let mut tree = Tree::new();
        for files in through_links(kept.collect(), lower) {
            let merged = tree.merge(files, |first, second| match (replaces(first, second), replaces(second, first)) {
                (true, false) => Prefer::First,
                (false, true) => Prefer::Second,
                _ => Prefer::Neither,
            });
            merged.map_err(|error| match error {
                MergeError::Conflicts(conflicts) => conflict(&conflicts),
                error => error.into(),
            })?;
        }
        Ok(tree)
    }

    /// Adds the links of a merged `/usr`, such as `/lib64`, where the dynamic loader is looked for. Packages of suites before
    /// trixie do not have them: there an installer makes them.
    fn link_to_usr(&self, tree: &mut Tree, lower: &Listing, image: ImageInputs<'_>) -> Result<()> {
        let origin: Arc<str> = "the merged /usr".into();
        let dropped = self.patterns(image);
        for name in deb::MERGED {
            let (link, target) = (TreePath::new(name)?, TreePath::new(&format!("usr/{name}"))?);
            let is_there = |tree: &Tree, path: &TreePath| tree.below(path).next().is_some() || lower.contains_key(path);
            if is_there(tree, &target) && !is_there(tree, &link) && !dropped.hits(&link) {
                tree.insert(link, Entry::symlink(target.as_str(), &origin));
            }
        }
        Ok(())
    }

    /// The patterns of [`Self::patterns`] as the profile has them.
    fn pattern_texts<'a>(&self, image: ImageInputs<'a>) -> Vec<&'a str> {
        let base = &image.inputs.profile.model.base;
        let dropped = base.drop.iter().chain(self.own_drop(image));
        dropped.chain(&base.keep).map(|pattern| pattern.get_ref().as_str()).collect()
    }

    /// What the profile leaves out of this layer.
    fn patterns(&self, image: ImageInputs<'_>) -> Patterns {
        let base = &image.inputs.profile.model.base;
        let pattern = |text: &toml::Spanned<String>| Pattern::new(text.get_ref());
        Patterns {
            drop: base.drop.iter().chain(self.own_drop(image)).map(pattern).collect(),
            keep: base.keep.iter().map(pattern).collect(),
        }
    }

    /// Adds the bytecode of the standard library of `python`, package by package.
    fn add_bytecode(
        &self,
        tree: &mut Tree,
        workshop: &mut Workshop<'_>,
        image: ImageInputs<'_>,
        python: &str,
        opened: &[Arc<deb::Package>],
        remarks: &mut Remarks,
    ) -> Result<()> {
        let library = TreePath::new(&format!("usr/lib/{python}"))?;
        for package in opened {
            let origin = format!("package {} {}", package.control.name, package.control.version);
            let sources: Vec<(TreePath, Entry)> = tree
                .iter()
                .filter(|(path, entry)| *entry.origin == *origin && bytecode::is_source(path, entry, &library))
                .map(|(path, entry)| (path.clone(), entry.clone()))
                .collect();
            if sources.is_empty() {
                continue;
            }
            let owner = bytecode::compiling_image(image, python);
            let interpreter = workshop.interpreter(owner, python)?;
            let identity = image.inputs.package(&package.control.name)?.sha256.hex();
            let unit = bytecode::Unit { identity: &identity, origin: &origin, sources: &sources };
            let compiled = interpreter.compile(unit, workshop.store, workshop.progress)?;
            bytecode::remark(remarks, &origin, &compiled.uncompiled);
            tree.merge(compiled.tree, |_, _| Prefer::Neither)?;
        }
        Ok(())
    }
}

/// The `drop` and `keep` patterns of a layer.
struct Patterns {
    drop: Vec<Pattern>,
    keep: Vec<Pattern>,
}

impl Patterns {
    /// Whether a `drop` pattern matches `path`.
    fn hits(&self, path: &TreePath) -> bool {
        self.drop.iter().any(|pattern| pattern.matches(path))
    }

    /// Whether it is kept all the same.
    fn keeps(&self, path: &TreePath) -> bool {
        self.keep.iter().any(|pattern| pattern.matches(path))
    }

    fn drops(&self, path: &TreePath) -> bool {
        self.hits(path) && !self.keeps(path)
    }
}

/// The name of the package in an entry's origin (`package NAME VERSION`).
fn package_of(entry: &Entry) -> Option<&str> {
    entry.origin.strip_prefix("package ")?.split(' ').next()
}
