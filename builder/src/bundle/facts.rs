//! Licences and dependencies in `bundle.json`, from what packages and wheels say of themselves.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use sealift_deployment::bundle::{BundleImage, License, Manifest};
use sealift_layers::digest::Digest;
use sealift_layers::ingredients::wheel::normalize;

use crate::debian::relation;
use crate::plan::{FinishedLayers, Plan};
use crate::python::requires::{self, Metadata};
use crate::resolve;
use crate::store::Store;
use crate::store::facts::{Facts, Texts};

/// How many packages the link to a copyright file is followed through.
const MAX_LINKS: usize = 5;

/// The facts about everything in a bundle.
pub(super) struct Known<'a> {
    plan: &'a Plan<'a>,
    packages: BTreeMap<&'a str, &'a Facts>,
    wheels: BTreeMap<&'a str, &'a Facts>,
    crates: BTreeMap<&'a str, &'a Facts>,
    /// Documents with the texts.
    documents: BTreeSet<Digest>,
}

impl<'a> Known<'a> {
    /// Collects what the layers' records have.
    pub(super) fn new(plan: &'a Plan<'a>, layers: &'a FinishedLayers) -> Self {
        let (packages, wheels, crates, documents) = Default::default();
        let mut known = Self { plan, packages, wheels, crates, documents };
        let all = plan.images.iter().flat_map(|image| &image.layers);
        for remarks in all.map(|layer| &layers.record(&layer.key).remarks) {
            known.packages.extend(remarks.packages.iter().map(|(name, facts)| (name.as_str(), facts)));
            known.wheels.extend(remarks.wheels.iter().map(|(file, facts)| (file.as_str(), facts)));
            known.crates.extend(remarks.crates.iter().map(|(name, facts)| (name.as_str(), facts)));
            known.documents.extend(remarks.texts);
        }
        known
    }

    /// Adds licences and dependencies to `manifest`.
    ///
    /// # Errors
    /// When the lock contradicts the profile.
    pub(super) fn describe(&self, manifest: &mut Manifest) -> Result<()> {
        for package in &mut manifest.packages {
            package.license = self.documentation(&package.name).map(|facts| self.license(facts));
        }
        for wheel in &mut manifest.wheels {
            wheel.license = self.wheels.get(wheel.file.as_str()).map(|facts| self.license(facts));
        }
        for made in &mut manifest.crates {
            made.license = self.crates.get(made.name.as_str()).map(|facts| self.license(facts));
        }
        let (mut packages, mut wheels) = (BTreeMap::new(), BTreeMap::new());
        for image in &manifest.images {
            self.add_package_edges(image, manifest, &mut packages);
            self.add_wheel_edges(image, manifest, &mut wheels)?;
        }
        for package in &mut manifest.packages {
            package.depends_on = packages.remove(&package.name).unwrap_or_default();
        }
        for wheel in &mut manifest.wheels {
            wheel.depends_on = wheels.remove(&wheel.file).unwrap_or_default();
        }
        Ok(())
    }

    /// The texts of licences, and those that SPDX expressions refer to.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) fn texts(&self, store: &Store) -> Result<Texts> {
        let mut texts = Texts::new();
        for document in &self.documents {
            texts.extend(store.texts(*document)?);
        }
        Ok(texts)
    }

    /// What each `LicenseRef-…` stands for.
    pub(super) fn references(&self) -> BTreeMap<&'a str, Digest> {
        let all = self.packages.values().chain(self.wheels.values()).chain(self.crates.values());
        all.flat_map(|facts| &facts.references).map(|(id, digest)| (id.as_str(), *digest)).collect()
    }

    /// The facts with the copyright file of a package.
    fn documentation(&self, name: &str) -> Option<&'a Facts> {
        let mut facts = self.packages.get(name)?;
        for _ in 0..MAX_LINKS {
            match &facts.documented_by {
                Some(other) => facts = self.packages.get(other.as_str())?,
                None => break,
            }
        }
        Some(facts)
    }

    fn license(&self, facts: &Facts) -> License {
        let common = facts
            .common
            .iter()
            .filter_map(|name| self.packages.values().find_map(|package| package.common_texts.get(name)).copied());
        License {
            expression: facts.license.clone(),
            is_declared: facts.is_declared,
            common: facts.common.clone(),
            texts: facts.texts.iter().copied().chain(common).collect(),
        }
    }

    /// Adds which packages of an image depend on which of it.
    fn add_package_edges(
        &self,
        image: &BundleImage,
        manifest: &Manifest,
        edges: &mut BTreeMap<String, BTreeSet<String>>,
    ) {
        let architecture = self.plan.inputs.architecture();
        let names: BTreeSet<&str> = image.packages.iter().map(String::as_str).collect();
        let all = manifest.packages.iter().filter(|package| names.contains(package.name.as_str()));
        let versions: BTreeMap<&str, &str> =
            all.map(|package| (package.name.as_str(), package.version.as_str())).collect();
        let parse = |field: &'a String| relation::parse(field, architecture.as_str()).unwrap_or_default();
        let facts = || names.iter().filter_map(|name| Some((*name, *self.packages.get(name)?)));
        let mut providers: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (name, facts) in facts() {
            for group in facts.provides.iter().flat_map(parse) {
                for atom in &group.atoms {
                    providers.entry(atom.name).or_default().insert(name);
                }
            }
        }
        for (name, facts) in facts() {
            let own = edges.entry(name.to_owned()).or_default();
            for group in facts.requires.iter().flat_map(parse) {
                let real = group.atoms.iter().find(|atom| versions.get(atom.name).is_some_and(|has| atom.accepts(has)));
                match real {
                    Some(atom) => drop(own.insert(atom.name.to_owned())),
                    None => {
                        let provided = group.atoms.iter().find_map(|atom| providers.get(atom.name));
                        own.extend(
                            provided.into_iter().flatten().filter(|other| **other != name).map(|n| (*n).to_owned()),
                        );
                    }
                }
            }
        }
    }

    /// Adds which wheels of an image require which of it.
    fn add_wheel_edges(
        &self,
        image: &BundleImage,
        manifest: &Manifest,
        edges: &mut BTreeMap<String, BTreeSet<String>>,
    ) -> Result<()> {
        let inputs = &self.plan.inputs;
        let Some(venv) = &inputs.model(&image.name).venv else { return Ok(()) };
        let target = resolve::target_in(venv, manifest)?;
        let of_image = manifest.wheels.iter().filter(|wheel| image.wheels.contains(&wheel.file));
        let files: BTreeMap<String, &str> =
            of_image.map(|wheel| (normalize(&wheel.name), wheel.file.as_str())).collect();
        let metadata = |file: &str| {
            let facts = *self.wheels.get(file)?;
            Some(Metadata { requires: &facts.requires, extras: &facts.provides })
        };
        let distributions = files.iter().filter_map(|(name, file)| Some((name.as_str(), metadata(file)?))).collect();
        for (from, to) in requires::edges(&distributions, &target) {
            let to = to.into_iter().map(|name| files[name].to_owned());
            edges.entry(files[from].to_owned()).or_default().extend(to);
        }
        Ok(())
    }
}
