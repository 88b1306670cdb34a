//! `bundle.json`: what is inside, with digests, and where it comes from. It holds no secrets and no hosts.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use sealift_layers::digest::Digest;
use sealift_layers::image::Image;
use sealift_layers::ingredients::nix_store::{self, Closure};
use serde::{Deserialize, Serialize};

use crate::assemble::{BYTECODE_RECIPE, Layers};
use crate::cargo::{self, Toolchain};
use crate::plan::{Content, Plan};
use crate::profile::model::Deployed;

/// The whole document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Manifest {
    /// Version of this format: 1.
    pub schema: u32,
    /// Version of the program that made the bundle.
    pub sealift: String,
    /// The product, as in file names.
    pub product: String,
    /// The profile.
    pub profile: String,
    /// Version of the product.
    pub version: String,
    /// One line.
    pub title: String,
    /// Platform as OCI writes it.
    pub platform: String,
    /// How it is run. Without containers it has the files of `images` in their place.
    #[serde(default, skip_serializing_if = "is_compose")]
    pub deployment: Deployed,
    /// No file is later than this, in seconds since 1970.
    pub epoch: u64,
    /// The public host that its own env files and configuration were rendered for.
    pub host: String,
    /// The images.
    pub images: Vec<MadeImage>,
    /// All Debian packages.
    pub packages: Vec<Package>,
    /// All wheels.
    pub wheels: Vec<Wheel>,
    /// Crates that programs are built from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub crates: Vec<Crate>,
    /// Paths of Nix stores.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub store_paths: Vec<StorePath>,
    /// Packages and distributions that something asks for and that were left out on purpose, and why.
    pub excluded: BTreeMap<String, String>,
    /// Bytecode compiled while building, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytecode: Option<Bytecode>,
    /// How crates were compiled, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compiled: Option<Compiled>,
}

/// One image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MadeImage {
    /// Its name in the profile.
    pub name: String,
    /// Its full name and tag.
    pub reference: String,
    /// Digest of its manifest: its ID where containerd keeps images.
    pub digest: Digest,
    /// Digest of its configuration: its ID on podman and on Docker's classic store.
    pub config: Digest,
    /// Its layers, bottom first.
    pub layers: Vec<MadeLayer>,
    /// Names of its packages.
    pub packages: Vec<String>,
    /// File names of its wheels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wheels: Vec<String>,
    /// Names of its store paths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub store_paths: Vec<String>,
}

/// One layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MadeLayer {
    /// What it holds.
    pub title: String,
    /// Digest of its blob.
    pub digest: Digest,
    /// Size of its blob in bytes.
    pub size: u64,
    /// Digest of its tar.
    pub diff_id: Digest,
    /// Size of its tar in bytes.
    pub unpacked: u64,
}

/// One Debian package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture.
    pub architecture: String,
    /// SHA-256 of the `.deb`.
    pub sha256: Digest,
    /// Its maintainer scripts, none of which was run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scripts_not_run: Vec<String>,
}

/// One wheel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Wheel {
    /// The distribution.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The wheel's file name.
    pub file: String,
    /// SHA-256 of the wheel.
    pub sha256: Digest,
}

/// One crate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Crate {
    /// The image that has its program.
    pub image: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of its archive.
    pub sha256: Digest,
    /// The program.
    pub binary: String,
    /// Features besides the default ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
}

/// One path of a Nix store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct StorePath {
    /// Its name below `/nix/store`.
    pub name: String,
    /// SHA-256 of its NAR.
    pub nar_hash: Digest,
    /// Size of its NAR in bytes.
    pub nar_size: u64,
    /// The names of the paths that it refers to, itself apart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<String>,
}

/// How crates were compiled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Compiled {
    /// How.
    pub recipe: String,
    /// With what.
    pub toolchain: Toolchain,
}

/// How bytecode was compiled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Bytecode {
    /// How.
    pub recipe: String,
    /// The interpreters that compiled it: package to version.
    pub interpreters: BTreeMap<String, String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's interface")]
fn is_compose(deployment: &Deployed) -> bool {
    *deployment == Deployed::Compose
}

pub(super) fn make(plan: &Plan<'_>, images: &[Image], layers: &Layers) -> Result<Manifest> {
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
