//! What a build will do, as a value: images, their layers with keys, and the artifacts they need. `sealift plan` prints
//! it, `build` executes it; nothing is decided later than here.

mod keys;
mod layers;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::profile::Profile;
use sealift_deployment::profile::names::{bundle_file, image_name};
use sealift_deployment::site::SiteParameters;
use sealift_layers::codec::Codec;
use sealift_layers::ingredients::nix_store::Closure;

use crate::cargo::{self, Cargo, Program};
use crate::lock::{Lock, Package, Platform, Wheel};
use crate::nix;
use crate::store::Key;

pub(crate) use layers::CA_PACKAGE;

/// What is built, besides the profile and its lock.
#[derive(Clone, Debug)]
pub struct Options {
    /// Platform, as OCI writes it (`linux/amd64`).
    pub platform: String,
    /// Compression of the layers.
    pub codec: Codec,
    /// The epoch in seconds since 1970, in place of the lock's.
    pub epoch: Option<u64>,
    /// What templates without secrets are rendered with.
    pub parameters: SiteParameters,
    /// CA certificates of the site, name to PEM.
    pub authorities: Vec<(String, String)>,
    /// What compiles crates, where the profile has any.
    pub cargo: Option<Cargo>,
    /// Where the paths of closures are: `/nix/store`, or what stands for it.
    pub nix_store: PathBuf,
}

/// A whole build.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// The profile.
    pub profile: &'a Profile,
    /// What its images are made of.
    pub lock: &'a Platform,
    /// What was asked for.
    pub options: Options,
    /// No file is later than this, in seconds since 1970.
    pub epoch: u64,
    /// The templates without secrets, rendered: path below the site to text.
    pub rendered: BTreeMap<String, String>,
    /// The images, by name.
    pub images: Vec<Image>,
    /// The Nix closures of the images that have one, by the image's name.
    pub closures: BTreeMap<String, Closure>,
}

/// One image.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its name in the profile.
    pub name: String,
    /// Its full name and tag.
    pub reference: String,
    /// Its layers, bottom first.
    pub layers: Vec<Layer>,
    /// Its environment: the profile's and that of its env files.
    pub env: BTreeMap<String, String>,
}

/// One layer.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The hash of all that decides its bytes.
    pub key: Key,
    /// What it holds.
    pub content: Content,
    /// Words for people: history, `plan`, `inspect`.
    pub title: String,
}

/// What a layer is made of.
#[derive(Clone, Debug)]
pub enum Content {
    /// Debian packages, by name, without the paths that the profile drops.
    Packages {
        /// Names in the lock, sorted.
        packages: Vec<String>,
        /// The layer is the one that all images share: it has the profile's `base.links`.
        shared: bool,
        /// Bytecode is compiled for the standard libraries of these interpreters (`python3.14`).
        bytecode: BTreeSet<String>,
    },
    /// Wheels in the image's virtual environment.
    Wheels {
        /// File names in the lock, sorted.
        wheels: Vec<String>,
        /// The layer is the lowest of the environment and brings `pyvenv.cfg` and the interpreter's links.
        skeleton: bool,
    },
    /// Paths of the image's Nix closure.
    StorePaths {
        /// Their names, sorted.
        paths: Vec<String>,
    },
    /// A program built from its crate.
    Crate,
    /// CA certificates.
    Certificates,
    /// Env files.
    Env,
    /// Accounts, directories, links and files of the profile.
    Configuration,
}

impl<'a> Plan<'a> {
    /// Plans a build of `profile` as `lock` has it.
    ///
    /// # Errors
    /// When the lock does not have the platform or one of the images (it is older than the profile), or a template is
    /// wrong.
    pub fn new(profile: &'a Profile, lock: &'a Lock, options: Options) -> Result<Self> {
        let stale = |what: String| {
            Failure::usage(format!("the lock of {} {what}", profile.model.name.get_ref()))
                .hint("the profile has changed since: run sealift lock")
        };
        let platform = lock
            .platforms
            .get(&options.platform)
            .ok_or_else(|| stale(format!("has nothing for the platform {}", options.platform)))?;
        for name in profile.model.images.keys() {
            if !platform.images.contains_key(name.get_ref()) {
                return Err(stale(format!("has no image {name}", name = name.get_ref())).into());
            }
        }
        let rendered = sealift_deployment::site::render_public(&profile.model, &profile.sources, &options.parameters)?;
        let epoch = options.epoch.unwrap_or(platform.epoch);
        let mut closures = BTreeMap::new();
        for (name, image) in &profile.model.images {
            if let Some(nix) = &image.nix {
                let path = profile.sources.path(nix.closure.get_ref());
                closures.insert(name.get_ref().clone(), nix::closure(&path)?);
            }
        }
        let mut plan = Self { profile, lock: platform, options, epoch, rendered, images: Vec::new(), closures };
        let shared = plan.shared_packages();
        for (name, model) in &profile.model.images {
            let name = name.get_ref();
            let env = plan.environment(model)?;
            let layers = plan.layers(name, model, &shared)?;
            let reference = image_name(&profile.model, name);
            plan.images.push(Image { name: name.clone(), reference, layers, env });
        }
        Ok(plan)
    }

    /// Leaves one image of it, the same as it is among the others.
    ///
    /// # Errors
    /// When the profile has no image of this name.
    pub fn only(&mut self, image: &str) -> Result<()> {
        if !self.images.iter().any(|other| other.name == image) {
            let names: Vec<&str> = self.images.iter().map(|image| image.name.as_str()).collect();
            let message = format!("the profile {} has no image {image}", self.profile.model.name.get_ref());
            return Err(Failure::usage(message).hint(format!("its images: {}", names.join(", "))).into());
        }
        self.images.retain(|other| other.name == image);
        Ok(())
    }

    /// The packages that all images have: they make the base layer.
    fn shared_packages(&self) -> BTreeSet<&'a str> {
        let mut sets =
            self.lock.images.values().map(|image| image.packages.iter().map(String::as_str).collect::<BTreeSet<_>>());
        let first = sets.next().unwrap_or_default();
        sets.fold(first, |shared, set| shared.intersection(&set).copied().collect())
    }

    fn environment(&self, model: &sealift_deployment::profile::model::Image) -> Result<BTreeMap<String, String>> {
        let mut env = model.env.clone();
        for file in &model.env_files {
            let text = self.rendered.get(file.get_ref()).map_or("", String::as_str);
            env.extend(sealift_deployment::site::parse_env(text)?);
        }
        Ok(env)
    }

    /// The package of this name in the lock.
    ///
    /// # Errors
    /// When the lock contradicts itself.
    pub fn package(&self, name: &str) -> Result<&'a Package> {
        let found = self.lock.packages.iter().find(|package| package.name == name);
        found.ok_or_else(|| broken(&format!("the package {name}")))
    }

    /// The wheel of this file name in the lock.
    ///
    /// # Errors
    /// When the lock contradicts itself.
    pub fn wheel(&self, file_name: &str) -> Result<&'a Wheel> {
        let found = self.lock.wheels.iter().find(|wheel| wheel.file_name() == file_name);
        found.ok_or_else(|| broken(&format!("the wheel {file_name}")))
    }

    /// The Nix closure of an image that has one.
    ///
    /// # Errors
    /// When it has none, which is a mistake of the caller's.
    pub fn closure(&self, image: &str) -> Result<&Closure> {
        self.closures.get(image).ok_or_else(|| Failure::failed("store paths without a closure").into())
    }

    /// What is compiled for an image whose model has a crate.
    ///
    /// # Errors
    /// When the lock contradicts the profile.
    pub fn program(&'a self, image: &str) -> Result<Program<'a>> {
        let wanted = self.model(image).krate.as_ref().ok_or_else(|| Failure::failed("a program without a crate"))?;
        let (name, version) = (wanted.name.get_ref(), wanted.version.get_ref());
        let found = self.lock.crates.iter().find(|locked| locked.name == *name && locked.version == *version);
        let locked = found.ok_or_else(|| broken(&format!("the crate {name} {version}")))?;
        let (binary, features) = (wanted.binary.get_ref(), wanted.features.as_slice());
        Ok(Program { locked, binary, features, architecture: self.architecture() })
    }

    /// What identifies the program that is compiled for an image: the crate, how and with what.
    ///
    /// # Errors
    /// As [`Plan::program`] and [`Plan::cargo`].
    pub fn program_key(&self, image: &str) -> Result<Key> {
        let program = self.program(image)?;
        let toolchain = self.cargo()?.toolchain();
        let key = Key::builder(cargo::RECIPE)
            .field("crate", program.locked.sha256)
            .field("binary", program.binary)
            .field("architecture", program.architecture)
            .field("rustc", &toolchain.rustc)
            .field("cc", &toolchain.cc);
        Ok(program.features.iter().fold(key, |key, feature| key.field("feature", feature)).finish())
    }

    /// What compiles crates.
    ///
    /// # Errors
    /// When nobody said, which is a mistake of the caller's.
    pub fn cargo(&self) -> Result<&Cargo> {
        self.options.cargo.as_ref().ok_or_else(|| Failure::failed("a profile with a crate needs cargo").into())
    }

    /// The model of one of the plan's images.
    ///
    /// # Panics
    /// When the name is not one of the plan's images.
    #[must_use]
    pub fn model(&self, image: &str) -> &'a sealift_deployment::profile::model::Image {
        self.profile.model.images.get(image).expect("the plan's images are the profile's")
    }

    /// The bundle's file name.
    #[must_use]
    pub fn file_name(&self) -> String {
        bundle_file(&self.profile.model, &self.options.platform, self.options.codec)
    }

    /// The architecture as OCI and Debian name it: `amd64`.
    #[must_use]
    pub fn architecture(&self) -> &str {
        self.options.platform.rsplit('/').next().unwrap_or_default()
    }
}

fn broken(what: &str) -> anyhow::Error {
    Failure::usage(format!("the lock names {what}, but does not describe it"))
        .hint("somebody edited it: restore the committed one, or run sealift lock")
        .into()
}
