//! Execution of a plan: artifacts in the store become layers in the store.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use sealift_deployment::files::explain;
use sealift_deployment::ui::{Phase, Ui};
use sealift_layers::listing::Listing;
use sealift_layers::tar::DIRECTORY_TIME;

use crate::assemble::{Made, Workshop, patterns, scripts, wheels};
use crate::plan::{FinishedLayers, Image, Layer, Plan};
use crate::store::layer::{LayerRecord, LayerWriter};
use crate::store::{Key, Store};

/// Makes every layer of `plan` that `store` lacks. All artifacts that they need are in the store.
pub(super) fn make(plan: &Plan<'_>, store: &Store, jobs: usize, ui: &Ui) -> Result<FinishedLayers> {
    let count: usize = plan.images.iter().map(|image| image.layers.len()).sum();
    let phase = ui.steps("Assembling layers", count as u64);
    let workshop = Workshop::new(&plan.inputs, store, jobs, &phase);
    let mut executor = Executor { plan, store, jobs, progress: &phase, workshop, finished: FinishedLayers::default() };
    for image in &plan.images {
        executor.image(image)?;
    }
    let layers = executor.finished;
    phase.finish(&format!("{} layers, {} of them from the store", layers.len(), layers.reused));
    Ok(layers)
}

/// Prints the warnings about all layers, those from the store included, each once.
pub(super) fn warn(plan: &Plan<'_>, finished: &FinishedLayers, ui: &Ui) {
    let mut warnings = of_packages(plan, finished);
    warnings.extend(patterns::warnings(plan, finished));
    warnings.extend(wheels::unused_exclusions(plan, finished));
    print(warnings, ui);
}

/// Prints the warnings about the layers of a plan that has those of packages only: what patterns match is not known yet.
pub(super) fn warn_of_packages(plan: &Plan<'_>, finished: &FinishedLayers, ui: &Ui) {
    print(of_packages(plan, finished), ui);
}

fn of_packages(plan: &Plan<'_>, finished: &FinishedLayers) -> BTreeSet<String> {
    let mut warnings = BTreeSet::new();
    for image in &plan.images {
        for layer in &image.layers {
            warnings.extend(layer.ingredient.warnings(plan.inputs.image(&image.name), finished.record(&layer.key)));
        }
    }
    warnings.extend(scripts::unused_allowances(plan, finished));
    warnings
}

fn print(warnings: BTreeSet<String>, ui: &Ui) {
    for warning in warnings {
        ui.warn(&warning);
    }
}

struct Executor<'a> {
    plan: &'a Plan<'a>,
    store: &'a Store,
    jobs: usize,
    progress: &'a Phase<'a>,
    workshop: Workshop<'a>,
    finished: FinishedLayers,
}

impl<'a> Executor<'a> {
    /// Finishes all layers of an image, bottom first.
    fn image(&mut self, image: &'a Image) -> Result<()> {
        let missing = image.layers.iter().filter(|layer| self.store.finished_layer(&layer.key).is_none());
        self.workshop
            .open_in_advance(self.plan.inputs.image(&image.name), missing.map(|layer| layer.ingredient.opens()));
        for (index, layer) in image.layers.iter().enumerate() {
            if !self.finished.contains(&layer.key) {
                let record = self.layer(image, layer, &image.layers[..index])?;
                self.finished.insert(layer.key, record);
            }
            self.progress.inc(1);
        }
        Ok(())
    }

    /// A layer from the store, or made. `below` are the layers below it.
    fn layer(&mut self, image: &'a Image, layer: &'a Layer, below: &[Layer]) -> Result<LayerRecord> {
        if let Some(found) = self.store.finished_layer(&layer.key) {
            self.finished.reused += 1;
            return Ok(found);
        }
        let title = layer.ingredient.title();
        self.progress.item(&format!("{}: {title}", image.name));
        let made = self.make(image, layer, below).map_err(|error| explain(self.store.root(), error));
        made.with_context(|| format!("cannot make the layer `{title}` of the image {}", image.name))
    }

    fn make(&mut self, image: &'a Image, layer: &'a Layer, below: &[Layer]) -> Result<LayerRecord> {
        let lower = self.listing(below, layer.ingredient.is_independent())?;
        let inputs = self.plan.inputs.image(&image.name);
        let records: Vec<&LayerRecord> = below.iter().map(|layer| self.finished.record(&layer.key)).collect();
        self.workshop.set_below(&records);
        let Made { tree, remarks, check } = layer.ingredient.make(&mut self.workshop, inputs, &lower)?;
        let (codec, mut epoch) = (self.plan.inputs.options.codec, self.plan.inputs.epoch);
        if layer.ingredient.has_own_times() {
            let newest = tree.iter().filter_map(|(_, entry)| entry.mtime).max();
            // The epoch of the lock is not in the key: a package of the profile's own may be newer. One that somebody chose is.
            epoch = newest.unwrap_or(DIRECTORY_TIME).min(self.plan.inputs.options.epoch.unwrap_or(u64::MAX));
        }
        // What is below decides bytes, too: paths through links, modes of directories, the cache of libraries.
        let is_independent = layer.ingredient.is_independent();
        let is_borrowed = !is_independent && below.iter().any(|layer| self.store.is_borrowed(&layer.key));
        let writer = LayerWriter { store: self.store, codec, epoch, jobs: self.jobs, is_borrowed };
        writer.write(&layer.key, tree, remarks, check)
    }

    /// The union of the listings of `layers`; without independent layers if `dependent_only`.
    fn listing(&self, layers: &[Layer], dependent_only: bool) -> Result<Listing> {
        let keys = layers.iter().filter(|layer| !(dependent_only && layer.ingredient.is_independent()));
        let mut union = Listing::new();
        for key in keys.map(|layer| -> &Key { &layer.key }) {
            union.extend(self.store.listing(key)?);
        }
        Ok(union)
    }
}
