//! Layers of wheels in a virtual environment: third-party wheels, and the application's own.

use std::collections::BTreeSet;

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::{bundle, ui};
use sealift_layers::ingredients::wheel::Venv;
use sealift_layers::listing::Listing;
use sealift_layers::tree::{Entry, MergeError, Pattern, Prefer, Tree, TreePath};

use super::bytecode;
use super::description::Description;
use super::ingredient::{Ingredient, Made, strings};
use super::workshop::{Opens, Workshop, environment, overlay, venv_of};
use crate::inputs::{Artifact, ImageInputs};
use crate::lock::Wheel;
use crate::parallel::in_parallel;
use crate::recipe;
use crate::store::layer::LayerRecord;
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

    fn key(&self, image: ImageInputs<'_>, key: Builder) -> Result<Builder> {
        let mut key = key.field("content", "wheels").field("skeleton", self.has_skeleton);
        for file in &self.files {
            let wheel = image.inputs.wheel(file)?;
            // The time of the upload becomes that of the files, and indexes need not agree on it.
            key = key.field("wheel", wheel.sha256).field("uploaded", wheel.time());
        }
        let venv = venv_of(image)?;
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
        if venv_of(image)?.bytecode {
            needs.extend(image.packages()?);
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
        let mut trees = workshop.take_wheels(image, &self.files)?;
        trees.iter_mut().for_each(|tree| tree.retain(|path| !dropped.matches(path)));
        let compiled = if model.bytecode { self.compiled(workshop, image, &venv, &trees)? } else { Vec::new() };
        for part in trees.into_iter().chain(compiled) {
            tree.merge(part, |_, _| Prefer::Neither).map_err(conflict_of_wheels)?;
        }
        Ok(overlay(tree, lower)?.into())
    }

    fn describe(&self, image: ImageInputs<'_>, _record: &LayerRecord, description: &mut Description) -> Result<()> {
        let venv = venv_of(image)?;
        description.image.wheels.clone_from(&image.locked().wheels);
        for file in &self.files {
            let wheel = image.inputs.wheel(file)?;
            let described = bundle::Wheel {
                name: wheel.name.clone(),
                version: wheel.version.clone(),
                file: file.clone(),
                sha256: wheel.sha256,
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
}

impl Wheels {
    /// The bytecode of each wheel, compiled several at a time.
    fn compiled(
        &self,
        workshop: &mut Workshop<'_>,
        image: ImageInputs<'_>,
        venv: &Venv,
        trees: &[Tree],
    ) -> Result<Vec<Tree>> {
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
            let origin = format!("wheel {} {}", locked.name, locked.version);
            let unit = bytecode::Unit { identity: &identity, origin: &origin, sources: &sources };
            interpreter.compile(unit, store, progress)
        })
    }
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

    fn matches(&self, path: &TreePath) -> bool {
        let any = |list: &[&str]| list.iter().any(|text| Pattern::new(text).matches(path));
        any(&self.drop) && !any(&self.keep)
    }
}

/// The error for wheels with different files at one path.
fn conflict_of_wheels(error: MergeError) -> anyhow::Error {
    let MergeError::Conflicts(conflicts) = &error else { return error.into() };
    let patterns: BTreeSet<String> = conflicts.iter().map(|conflict| format!("\"/{}\"", conflict.path)).collect();
    let patterns = patterns.into_iter().take(10).collect::<Vec<_>>().join(", ");
    let hint = format!("leave the files out of the image with: drop = [{patterns}]");
    Failure::failed(error.to_string()).hint(hint).into()
}

/// The version of the program, without Debian's epoch and revision: `3.14.8` of `3.14.8-1`.
fn upstream_version(version: &str) -> &str {
    let without_epoch = version.split_once(':').map_or(version, |(_, rest)| rest);
    without_epoch.rsplit_once('-').map_or(without_epoch, |(upstream, _)| upstream)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Distributions that both install `tests/` could not be in one image.
    #[test]
    fn the_error_for_a_path_of_two_wheels_names_the_pattern_that_settles_it() {
        let wheel = |text: &str, origin: &str| {
            let mut tree = Tree::new();
            let entry = Entry::file(text, 0o644, &Arc::from(origin));
            tree.insert(TreePath::new("opt/v/tests/x.py").unwrap(), entry);
            tree
        };
        let mut tree = wheel("1", "wheel a 1");
        tree.merge(wheel("1", "wheel c 1"), |_, _| Prefer::Neither).unwrap();
        let error =
            tree.merge(wheel("2", "wheel b 1"), |_, _| Prefer::Neither).map_err(conflict_of_wheels).unwrap_err();
        let failure = Failure::within(&error).unwrap();
        insta::assert_snapshot!(failure, @"`/opt/v/tests/x.py` has different contents in wheel a 1 and in wheel b 1");
        let shown = format!("{failure:?}");
        assert!(shown.contains("drop = [\\\"/opt/v/tests/x.py\\\"]"), "{shown}");
    }

    #[test]
    fn epochs_and_revisions_are_debians() {
        assert_eq!(upstream_version("3.14.8-1"), "3.14.8");
        assert_eq!(upstream_version("1:3.14.0~rc1-2"), "3.14.0~rc1");
        assert_eq!(upstream_version("3.14"), "3.14");
    }
}
