//! Layers of wheels in a virtual environment: third-party wheels, and the application's own.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use sealift_deployment::profile::model;
use sealift_deployment::{bundle, ui};
use sealift_layers::ingredients::wheel::{Venv, normalize};
use sealift_layers::listing::Listing;
use sealift_layers::tree::{Entry, Kind, MergeError, Pattern, Prefer, Tree, TreePath};

use super::bytecode::{self, Compiled};
use super::description::Description;
use super::ingredient::{Ingredient, Made, strings};
use super::workshop::{Opens, Workshop, accepted, conflict, environment, overlay, venv_of};
use super::{facts, patterns};
use crate::inputs::{Artifact, ImageInputs};
use crate::lock::Wheel;
use crate::parallel::in_parallel;
use crate::plan::{FinishedLayers, Plan};
use crate::recipe;
use crate::store::layer::{LayerRecord, Remarks};
use crate::store::{Builder, Store};

/// Wheels in the image's virtual environment.
#[derive(Debug)]
struct Wheels {
    /// File names in the lock, sorted.
    files: Vec<String>,
    /// The wheels are those of the application.
    is_application: bool,
    /// The layer is the lowest of the environment: it has `pyvenv.cfg` and the links to the interpreter, too.
    has_skeleton: bool,
}

/// The layer of third-party wheels and the layer of the application.
pub(super) fn layers(image: ImageInputs<'_>) -> Result<Vec<Box<dyn Ingredient>>> {
    let Some(venv) = &image.model().venv else { return Ok(Vec::new()) };
    let application: BTreeSet<&str> = venv.application.iter().map(|name| name.get_ref().as_str()).collect();
    let (mut third_party, mut own) = (Vec::new(), Vec::new());
    for file in &image.locked().wheels {
        let is_own = application.contains(image.inputs.wheel(file)?.name.as_str());
        if is_own { own.push(file.clone()) } else { third_party.push(file.clone()) }
    }
    let mut layers: Vec<Box<dyn Ingredient>> = Vec::new();
    for (files, is_application) in [(third_party, false), (own, true)] {
        if !files.is_empty() {
            layers.push(Box::new(Wheels { files, is_application, has_skeleton: layers.is_empty() }));
        }
    }
    Ok(layers)
}

impl Ingredient for Wheels {
    fn title(&self) -> String {
        let what = if self.is_application { "application" } else { "third-party wheels" };
        format!("Python {what}: {}", ui::count(self.files.len(), "wheel"))
    }

    fn has_own_times(&self) -> bool {
        true
    }

    fn key(&self, image: ImageInputs<'_>, key: Builder) -> Result<Builder> {
        let venv = venv_of(image)?;
        let mut key = key.field("content", "wheels").field("facts", 1).field("skeleton", self.has_skeleton);
        for file in &self.files {
            let wheel = image.inputs.wheel(file)?;
            // The time of the upload becomes that of the files, and indexes need not agree on it.
            key = key.field("wheel", wheel.sha256).field("uploaded", wheel.time());
            if accepted(venv, &wheel.name).is_some() {
                // Its bytes are the same, but without this it may not be made.
                key = key.field("accepted", true);
            }
        }
        key = key.field("venv", venv.path.get_ref()).field("python", venv.python.get_ref());
        key = key.field("version", &image.inputs.package(venv.python.get_ref())?.version);
        let key = if venv.bytecode { key.field("bytecode", recipe::BYTECODE) } else { key };
        let drop = Dropped::new(image)?;
        let key = strings(key, "drop", drop.drop.iter().copied());
        Ok(strings(key, "keep", drop.keep.iter().copied()))
    }

    fn needs<'a>(&self, image: ImageInputs<'a>, _store: &Store) -> Result<Vec<Artifact<'a>>> {
        let wheels = self.files.iter().map(|file| Ok(Artifact::Wheel(image.inputs.wheel(file)?)));
        let mut needs = wheels.collect::<Result<Vec<_>>>()?;
        let venv = venv_of(image)?;
        if venv.bytecode {
            needs.extend(image.compiler(venv.python.get_ref())?.1.into_iter().map(Artifact::Package));
        }
        Ok(needs)
    }

    fn opens(&self) -> Opens<'_> {
        Opens { wheels: &self.files, ..Opens::default() }
    }

    fn make<'a>(&'a self, workshop: &mut Workshop<'_>, image: ImageInputs<'a>, lower: &Listing) -> Result<Made<'a>> {
        let model = venv_of(image)?;
        let (python, venv) = (model.python.get_ref(), environment(model)?);
        let mut tree = Tree::new();
        if self.has_skeleton {
            tree = venv.skeleton(upstream_version(&image.inputs.package(python)?.version));
        }
        let dropped = Dropped::new(image)?;
        let (mut remarks, mut trees, mut matched) = (Remarks::default(), Vec::new(), BTreeSet::new());
        let (mut requires, mut reading) = (BTreeSet::new(), facts::Reading::default());
        for (file, mut installed) in self.files.iter().zip(workshop.take_wheels(image, &self.files)?) {
            let patterns = dropped.drop.iter().chain(&dropped.keep).copied();
            let hit = installed.tree.iter().map(|(path, _)| path).filter(|path| dropped.hits(path));
            let hit: BTreeSet<TreePath> = hit.cloned().collect();
            patterns::add_matches(patterns, &hit, &mut matched);
            requires.extend(required_by(&installed.tree)?);
            let name = &image.inputs.wheel(file)?.name;
            let facts = facts::of_wheel(&installed.tree, &venv.site_packages(), name, &mut reading)?;
            remarks.wheels.insert(file.clone(), facts);
            installed.tree.retain(|path| !hit.contains(path) || dropped.keeps(path));
            trees.push(installed.tree);
            if !installed.differences.is_empty() {
                remarks.differences.insert(file.clone(), installed.differences);
            }
        }
        (remarks.matched, remarks.requires) = (Some(matched), Some(requires));
        remarks.texts = workshop.store.put_texts(&reading.texts)?;
        let compiled = if model.bytecode { self.compiled(workshop, image, &venv, &trees)? } else { Vec::new() };
        for part in trees {
            add(&mut tree, part)?;
        }
        for (file, compiled) in self.files.iter().zip(compiled) {
            bytecode::remark(&mut remarks, &origin(image.inputs.wheel(file)?), &compiled.uncompiled);
            // Two wheels may have the same source. Its bytecode depends on what was compiled before it (see `bytecode`).
            tree.merge(compiled.tree, |_, _| Prefer::First)?;
        }
        Ok(Made { tree: overlay(tree, lower)?, remarks, check: None })
    }

    fn describe(&self, image: ImageInputs<'_>, record: &LayerRecord, description: &mut Description) -> Result<()> {
        let venv = venv_of(image)?;
        description.image.wheels.clone_from(&image.locked().wheels);
        for file in &self.files {
            let wheel = image.inputs.wheel(file)?;
            let differences = record.remarks.differences.get(file).cloned().unwrap_or_default();
            let accepted = accepted(venv, &wheel.name).filter(|_| !differences.is_empty()).map(str::to_owned);
            let described = bundle::Wheel {
                name: wheel.name.clone(),
                version: wheel.version.clone(),
                file: file.clone(),
                sha256: wheel.sha256,
                license: None,
                depends_on: BTreeSet::new(),
                differences,
                accepted,
            };
            description.wheels.insert(file.clone(), described);
        }
        for (name, reason) in &venv.exclude {
            description.excluded.insert(format!("distribution {}", name.get_ref()), reason.clone());
        }
        if venv.bytecode {
            let python = venv.python.get_ref();
            description.interpreters.insert(python.clone(), image.inputs.package(python)?.version.clone());
        }
        Ok(())
    }

    fn warnings(&self, image: ImageInputs<'_>, record: &LayerRecord) -> Vec<String> {
        let mut warnings = bytecode::warnings(&record.remarks);
        let Ok(venv) = venv_of(image) else { return warnings };
        for (file, wheel) in self.files.iter().filter_map(|file| Some((file, image.inputs.wheel(file).ok()?))) {
            match (record.remarks.differences.get(file), accepted(venv, &wheel.name)) {
                (Some(differences), None) => warnings.push(incomplete_record(wheel, differences)),
                (None, Some(_)) => warnings.push(format!(
                    "the profile accepts the wheel of `{}`, but there is nothing wrong with it: remove it from `accept`",
                    wheel.name
                )),
                _ => {}
            }
        }
        warnings.extend(unused_acceptance(image, venv));
        warnings
    }
}

impl Wheels {
    /// The bytecode of each wheel, compiled several at a time.
    fn compiled(
        &self,
        workshop: &mut Workshop<'_>,
        image: ImageInputs<'_>,
        venv: &Venv,
        trees: &[Tree],
    ) -> Result<Vec<Compiled>> {
        let interpreter = workshop.interpreter(image, venv_of(image)?.python.get_ref())?;
        let locked = self.files.iter().map(|file| image.inputs.wheel(file)).collect::<Result<Vec<_>>>()?;
        let units: Vec<(&Wheel, &Tree)> = locked.into_iter().zip(trees).collect();
        let (store, progress) = (workshop.store, workshop.progress);
        in_parallel(workshop.jobs, &units, |(locked, tree)| {
            let sources: Vec<(TreePath, Entry)> = tree
                .iter()
                .filter(|(path, entry)| bytecode::is_source(path, entry, &venv.site_packages()))
                .map(|(path, entry)| (path.clone(), entry.clone()))
                .collect();
            let identity = format!("{} {}", locked.sha256.hex(), venv.path());
            let origin = origin(locked);
            let unit = bytecode::Unit { identity: &identity, origin: &origin, sources: &sources };
            interpreter.compile(unit, store, progress)
        })
    }
}

/// What the files of a wheel are part of, for messages.
fn origin(wheel: &Wheel) -> String {
    format!("wheel {} {}", wheel.name, wheel.version)
}

/// The distributions that the wheels in a tree require (core metadata, `Requires-Dist`), normalised.
fn required_by(tree: &Tree) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for (path, entry) in tree.iter().filter(|(path, _)| path.as_str().ends_with(".dist-info/METADATA")) {
        let Kind::File(content) = &entry.kind else { continue };
        let text = content.read().with_context(|| format!("cannot read `/{path}`"))?;
        let text = String::from_utf8_lossy(&text);
        let head = text.lines().take_while(|line| !line.is_empty());
        let required = head.filter_map(|line| line.strip_prefix("Requires-Dist:"));
        names.extend(required.map(|text| {
            let text = text.trim_start();
            let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c))).unwrap_or(text.len());
            normalize(&text[..end])
        }));
    }
    Ok(names)
}

/// A warning for each distribution that the venv of an image excludes and that none of its wheels requires. There is none
/// if layers in the store do not say what their wheels require.
pub fn unused_exclusions(plan: &Plan<'_>, finished: &FinishedLayers) -> Vec<String> {
    let mut warnings = Vec::new();
    for image in &plan.images {
        let Some(venv) = &plan.inputs.model(&image.name).venv else { continue };
        let layers = image.layers.iter().filter(|layer| !layer.ingredient.opens().wheels.is_empty());
        let required: Option<Vec<&BTreeSet<String>>> =
            layers.map(|layer| finished.record(&layer.key).remarks.requires.as_ref()).collect();
        let Some(required) = required else { continue };
        let is_required = |name: &str| required.iter().any(|names| names.contains(name));
        let unused = venv.exclude.keys().filter(|name| !is_required(&normalize(name.get_ref())));
        warnings.extend(unused.map(|name| {
            format!(
                "the venv of the image {} excludes `{}`, but none of its wheels requires it",
                image.name,
                name.get_ref()
            )
        }));
    }
    warnings
}

/// A warning for each accepted distribution that the image does not have.
fn unused_acceptance(image: ImageInputs<'_>, venv: &model::Venv) -> Vec<String> {
    let wheels = image.locked().wheels.iter().filter_map(|file| image.inputs.wheel(file).ok());
    let names: BTreeSet<&str> = wheels.map(|wheel| wheel.name.as_str()).collect();
    let unused = venv.accept.keys().filter(|name| !names.contains(&*normalize(name.get_ref())));
    let warning = |name: &toml::Spanned<String>| {
        format!("the profile accepts the wheel of `{}`, but the image {} has none", name.get_ref(), image.name)
    };
    unused.map(warning).collect()
}

/// The warning for a wheel whose `RECORD` does not list all of its files.
fn incomplete_record(wheel: &Wheel, differences: &[String]) -> String {
    let more = match differences.len() {
        0 | 1 => String::new(),
        count => format!(", and {} more", count - 1),
    };
    format!(
        "the wheel `{}`: {}{more}; `bundle.json` says so; if that is known, add to the venv: accept = {{ {} = \"REASON\" }}",
        wheel.file_name(),
        differences.first().map_or("", String::as_str),
        wheel.name
    )
}

/// The `drop` and `keep` patterns of the profile that concern the image's virtual environment. Others are not in the key of
/// its layers.
struct Dropped<'a> {
    drop: Vec<&'a str>,
    keep: Vec<&'a str>,
}

impl<'a> Dropped<'a> {
    fn new(image: ImageInputs<'a>) -> Result<Self> {
        let venv = TreePath::new(venv_of(image)?.path.get_ref())?;
        let reaching = |list: &'a [toml::Spanned<String>]| {
            let texts = list.iter().map(|pattern| pattern.get_ref().as_str());
            texts.filter(|text| Pattern::new(text).reaches(&venv)).collect::<Vec<_>>()
        };
        let base = &image.inputs.profile.model.base;
        let drop = [reaching(&base.drop), reaching(&image.model().drop)].concat();
        // Without anything to drop there is nothing to keep.
        let keep = if drop.is_empty() { Vec::new() } else { reaching(&base.keep) };
        Ok(Self { drop, keep })
    }

    /// Whether a `drop` pattern matches `path`.
    fn hits(&self, path: &TreePath) -> bool {
        self.drop.iter().any(|text| Pattern::new(text).matches(path))
    }

    /// Whether it is kept all the same.
    fn keeps(&self, path: &TreePath) -> bool {
        self.keep.iter().any(|text| Pattern::new(text).matches(path))
    }
}

/// Adds the files of another wheel to those of an environment.
fn add(tree: &mut Tree, wheel: Tree) -> Result<()> {
    let merged = tree.merge(wheel, |first, second| match (&first.kind, &second.kind) {
        (Kind::File(one), Kind::File(two)) if one.same_as(two).unwrap_or(false) => {
            // Their modes may differ: it can be run if one of the two can.
            if first.mode >= second.mode { Prefer::First } else { Prefer::Second }
        }
        _ => Prefer::Neither,
    });
    merged.map_err(|error| match error {
        MergeError::Conflicts(conflicts) => conflict(&conflicts),
        error => error.into(),
    })
}

/// The version of the program, without Debian's epoch and revision: `3.14.8` of `3.14.8-1`.
fn upstream_version(version: &str) -> &str {
    let without_epoch = version.split_once(':').map_or(version, |(_, rest)| rest);
    without_epoch.rsplit_once('-').map_or(without_epoch, |(upstream, _)| upstream)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sealift_deployment::failure::Failure;

    use super::*;

    fn wheel(text: &str, mode: u32, origin: &str) -> Tree {
        let mut tree = Tree::new();
        tree.insert(TreePath::new("opt/v/tests/x.py").unwrap(), Entry::file(text, mode, &Arc::from(origin)));
        tree
    }

    /// Distributions that both install `tests/` could not be in one image.
    #[test]
    fn the_error_for_a_path_of_two_wheels_names_the_pattern_that_settles_it() {
        let mut tree = wheel("1", 0o644, "wheel a 1");
        let error = add(&mut tree, wheel("2", 0o644, "wheel b 1")).unwrap_err();
        let failure = Failure::within(&error).unwrap();
        insta::assert_snapshot!(failure, @"`/opt/v/tests/x.py` has different contents in wheel a 1 and in wheel b 1");
        let hint = failure.hint.as_ref().unwrap();
        assert!(hint.contains("drop = [\"/opt/v/tests/x.py\"]"), "{hint}");
    }

    #[test]
    fn two_wheels_may_have_the_same_file() {
        for modes in [[0o644, 0o644], [0o755, 0o644], [0o644, 0o755]] {
            let mut tree = wheel("1", modes[0], "wheel a 1");
            add(&mut tree, wheel("1", modes[1], "wheel b 1")).unwrap();
            let path = TreePath::new("opt/v/tests/x.py").unwrap();
            assert_eq!(tree.get(&path).unwrap().mode, modes[0].max(modes[1]));
        }
    }

    #[test]
    fn epochs_and_revisions_are_debians() {
        assert_eq!(upstream_version("3.14.8-1"), "3.14.8");
        assert_eq!(upstream_version("1:3.14.0~rc1-2"), "3.14.0~rc1");
        assert_eq!(upstream_version("3.14"), "3.14");
    }
}
