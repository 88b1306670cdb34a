//! Describes a plan and its finished layers as `bundle.json`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use sealift_deployment::bundle::{
    Bytecode, Compiled, Crate, MadeImage, MadeLayer, Manifest, Package, StorePath, Wheel,
};
use sealift_layers::image::Image;
use sealift_layers::ingredients::nix_store::{self, Closure};

use crate::assemble::{BYTECODE_RECIPE, Layers};
use crate::cargo;
use crate::plan::{Content, Plan};

pub(super) fn manifest(plan: &Plan<'_>, images: &[Image], layers: &Layers) -> Result<Manifest> {
    let model = &plan.profile.model;
    let mut excluded: BTreeMap<String, String> = BTreeMap::new();
    for (name, why) in &model.debian.get_ref().exclude {
        excluded.insert(format!("package {}", name.get_ref()), why.clone());
    }
    let mut interpreters = BTreeSet::new();
    for venv in model.images.values().filter_map(|image| image.venv.as_ref()) {
        for (name, why) in &venv.exclude {
            excluded.insert(format!("distribution {}", name.get_ref()), why.clone());
        }
        if venv.bytecode {
            interpreters.insert(venv.python.get_ref().as_str());
        }
    }
    let interpreters: BTreeMap<String, String> = interpreters
        .into_iter()
        .map(|name| Ok((name.to_owned(), plan.package(name)?.version.clone())))
        .collect::<Result<_>>()?;

    let made = plan.images.iter().zip(images).map(|(planned, image)| {
        let locked = &plan.lock.images[&planned.name];
        let layers = layers.of(planned).into_iter().map(|built| MadeLayer {
            title: built.title,
            digest: built.layer.digest,
            size: built.layer.size,
            diff_id: built.layer.diff_id,
            unpacked: built.layer.unpacked,
        });
        MadeImage {
            name: planned.name.clone(),
            reference: image.name.clone(),
            digest: image.digest(),
            config: image.config_digest(),
            layers: layers.collect(),
            packages: locked.packages.clone(),
            wheels: locked.wheels.clone(),
            store_paths: names_of(plan, &planned.name),
        }
    });
    let scripts = layers.scripts();
    let packages = plan.lock.packages.iter().map(|package| Package {
        name: package.name.clone(),
        version: package.version.clone(),
        architecture: package.architecture.clone(),
        sha256: package.sha256,
        scripts_not_run: scripts.get(package.name.as_str()).map_or_else(Vec::new, |names| names.to_vec()),
    });
    let wheels = plan.lock.wheels.iter().map(|wheel| Wheel {
        name: wheel.name.clone(),
        version: wheel.version.clone(),
        file: wheel.file_name().to_owned(),
        sha256: wheel.sha256,
    });
    let store_paths: BTreeMap<&str, StorePath> =
        plan.closures.values().flat_map(Closure::iter).map(|(name, path)| (name, store_path(name, path))).collect();
    let has_crate =
        |image: &&crate::plan::Image| image.layers.iter().any(|layer| matches!(layer.content, Content::Crate));
    let crates = plan.images.iter().filter(has_crate).map(|image| {
        let program = plan.program(&image.name)?;
        Ok(Crate {
            image: image.name.clone(),
            name: program.locked.name.clone(),
            version: program.locked.version.clone(),
            sha256: program.locked.sha256,
            binary: program.binary.to_owned(),
            features: program.features.to_vec(),
        })
    });
    let crates: Vec<Crate> = crates.collect::<Result<_>>()?;
    let compiled = match crates.is_empty() {
        true => None,
        false => Some(Compiled { recipe: cargo::RECIPE.to_owned(), toolchain: plan.cargo()?.toolchain().clone() }),
    };
    Ok(Manifest {
        schema: 1,
        sealift: env!("CARGO_PKG_VERSION").to_owned(),
        product: model.product.get_ref().clone(),
        profile: model.name.get_ref().clone(),
        version: model.version.get_ref().clone(),
        title: model.title.clone(),
        platform: plan.options.platform.clone(),
        deployment: model.deployment,
        epoch: plan.epoch,
        host: plan.options.parameters.host.to_string(),
        images: made.collect(),
        packages: packages.collect(),
        wheels: wheels.collect(),
        crates,
        store_paths: store_paths.into_values().collect(),
        excluded,
        bytecode: (!interpreters.is_empty()).then(|| Bytecode { recipe: BYTECODE_RECIPE.to_owned(), interpreters }),
        compiled,
    })
}

fn names_of(plan: &Plan<'_>, image: &str) -> Vec<String> {
    plan.closures.get(image).into_iter().flat_map(Closure::iter).map(|(name, _)| name.to_owned()).collect()
}

fn store_path(name: &str, path: &nix_store::StorePath) -> StorePath {
    StorePath {
        name: name.to_owned(),
        nar_hash: path.nar_hash,
        nar_size: path.nar_size,
        references: path.references.iter().cloned().collect(),
    }
}
