//! Everything that decides the bytes of a build: profile, lock, options, and what follows from them directly.
//!
//! A plan is computed from inputs and from nothing else. Ingredients read them through [`ImageInputs`].

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::profile::{Profile, model};
use sealift_deployment::site::{self, SiteParameters};
use sealift_layers::codec::Codec;
use sealift_layers::digest::Digest;
use sealift_layers::ingredients::certs::Certificate;
use sealift_layers::limits::Limits;
use sealift_layers::platform::{Architecture, Platform};

use crate::cargo::Cargo;
use crate::lock::{self, ArchiveFile, Crate, Lock, Package, Wheel};

/// The options that decide the bytes of a build, besides the profile and its lock.
#[derive(Clone, Debug)]
pub struct Options {
    /// Platform of the images.
    pub platform: Platform,
    /// Compression of the layers.
    pub codec: Codec,
    /// The epoch in seconds since 1970; `None` for the lock's.
    pub epoch: Option<u64>,
    /// Values for the templates without secrets.
    pub parameters: SiteParameters,
    /// CA certificates of the site.
    pub authorities: Vec<Certificate>,
    /// Compiler of crates, where the profile has any.
    pub cargo: Option<Cargo>,
    /// Folder of the paths of Nix closures: `/nix/store`, or a copy of it elsewhere.
    pub nix_store: PathBuf,
    /// Limits of what packages, wheels and crates unpack to. They decide no bytes.
    pub limits: Limits,
}

/// The inputs of a build.
#[derive(Clone, Debug)]
pub struct Inputs<'a> {
    /// The profile.
    pub profile: &'a Profile,
    /// The locked contents of its images on the platform.
    pub lock: &'a lock::Platform,
    /// What the lock has for the platform of this machine, where that is another one: its interpreters compile bytecode.
    pub own: Option<&'a lock::Platform>,
    /// The options.
    pub options: Options,
    /// No file is later than this, in seconds since 1970.
    pub epoch: u64,
    /// The templates without secrets, rendered: path below the site to text.
    pub rendered: BTreeMap<String, String>,
}

/// The inputs, as seen from one image of the profile.
#[derive(Clone, Copy, Debug)]
pub struct ImageInputs<'a> {
    /// Those of the whole build.
    pub inputs: &'a Inputs<'a>,
    /// The image's name in the profile.
    pub name: &'a str,
}

/// A file that is fetched from a server, pinned by the lock.
///
/// A new source of files is one more variant; `build/fetch.rs` then needs to know how to get it.
#[derive(Clone, Copy, Debug)]
pub enum Artifact<'a> {
    /// A package from a Debian mirror.
    Package(&'a Package),
    /// A wheel from a Python index.
    Wheel(&'a Wheel),
    /// A crate from the registry that cargo is configured to use.
    Crate(&'a Crate),
    /// An archive of the profile, or from a folder or server for archives.
    ArchiveFile(&'a ArchiveFile),
}

impl<'a> Inputs<'a> {
    /// Selects the platform in the lock and renders the templates.
    ///
    /// # Errors
    /// When the lock does not have the platform or one of the images (it is older than the profile), or a template is
    /// wrong.
    pub fn new(profile: &'a Profile, lock: &'a Lock, options: Options) -> Result<Self> {
        let stale = |what: String| {
            Failure::usage(format!("the lock of {} {what}", profile.model.name.get_ref()))
                .hint(format!("the profile has changed since: run sealift lock {}", profile.argument))
        };
        let own = Architecture::from_machine(std::env::consts::ARCH).map(Platform::linux);
        let own = own.filter(|own| *own != options.platform);
        let own = own.and_then(|own| lock.platforms.get(&own.to_string()));
        let lock = lock
            .platforms
            .get(&options.platform.to_string())
            .ok_or_else(|| stale(format!("has nothing for the platform {}", options.platform)))?;
        for name in profile.model.images.keys() {
            if !lock.images.contains_key(name.get_ref()) {
                return Err(stale(format!("has no image {name}", name = name.get_ref())).into());
            }
        }
        let rendered = site::render_public(&profile.model, &profile.sources, &options.parameters)?;
        let epoch = options.epoch.unwrap_or(lock.epoch);
        Ok(Self { profile, lock, own, options, epoch, rendered })
    }

    /// The inputs of one image.
    #[must_use]
    pub fn image(&'a self, name: &'a str) -> ImageInputs<'a> {
        ImageInputs { inputs: self, name }
    }

    /// Everything that the lock names, in the order in which artifacts are listed, each once.
    #[must_use]
    pub fn artifacts(&self) -> Vec<Artifact<'a>> {
        let packages = self.lock.packages.iter().map(Artifact::Package);
        let wheels = self.lock.wheels.iter().map(Artifact::Wheel);
        let crates = self.lock.crates.iter().map(Artifact::Crate);
        let files = self.lock.archive_files.iter().map(Artifact::ArchiveFile);
        let mut all: Vec<_> = packages.chain(wheels).chain(crates).chain(files).collect();
        all.sort_by_key(Artifact::order);
        all.dedup_by_key(|artifact| artifact.digest());
        all
    }

    /// The package of this name in the lock.
    ///
    /// # Errors
    /// When the lock contradicts itself.
    pub fn package(&self, name: &str) -> Result<&'a Package> {
        let found = self.lock.packages.iter().find(|package| package.name == name);
        found.ok_or_else(|| incomplete_lock(&format!("the package {name}")))
    }

    /// The locked index of the archive that has this package.
    ///
    /// # Errors
    /// When the lock contradicts itself.
    pub fn archive(&self, package: &Package) -> Result<&'a lock::Debian> {
        let found = self.lock.archive(package.archive.as_deref());
        found.ok_or_else(|| incomplete_lock(&format!("the archive {}", package.archive.as_deref().unwrap_or_default())))
    }

    /// The file of a package that is a file of the profile.
    #[must_use]
    pub fn file(&self, package: &Package) -> Option<PathBuf> {
        let archive = self.profile.model.debian.get_ref().archive(package.archive.as_deref()?)?;
        archive.suite.is_none().then(|| self.profile.sources.path(&package.path))
    }

    /// The wheel of this file name in the lock.
    ///
    /// # Errors
    /// When the lock contradicts itself.
    pub fn wheel(&self, file_name: &str) -> Result<&'a Wheel> {
        let found = self.lock.wheels.iter().find(|wheel| wheel.file_name() == file_name);
        found.ok_or_else(|| incomplete_lock(&format!("the wheel {file_name}")))
    }

    /// The crate of this name and version in the lock.
    ///
    /// # Errors
    /// When the lock contradicts the profile.
    pub fn locked_crate(&self, name: &str, version: &str) -> Result<&'a Crate> {
        let found = self.lock.crates.iter().find(|locked| locked.name == name && locked.version == version);
        found.ok_or_else(|| incomplete_lock(&format!("the crate {name} {version}")))
    }

    /// The archive with this path in the lock.
    ///
    /// # Errors
    /// When the lock contradicts itself.
    pub fn archive_file(&self, file: &str) -> Result<&'a ArchiveFile> {
        let found = self.lock.archive_files.iter().find(|locked| locked.file == file);
        found.ok_or_else(|| incomplete_lock(&format!("the archive {file}")))
    }

    /// The compiler of crates.
    ///
    /// # Errors
    /// When the options have none, which is a mistake of the caller.
    pub fn cargo(&self) -> Result<&Cargo> {
        self.options.cargo.as_ref().ok_or_else(|| Failure::failed("a profile with a crate needs cargo").into())
    }

    /// The model of an image.
    ///
    /// # Panics
    /// When the profile has no image of this name.
    #[must_use]
    pub fn model(&self, image: &str) -> &'a model::Image {
        self.profile.model.images.get(image).expect("images of a plan are images of the profile")
    }

    /// The architecture of the images.
    #[must_use]
    pub fn architecture(&self) -> Architecture {
        self.options.platform.architecture()
    }
}

impl<'a> ImageInputs<'a> {
    /// The image in the profile.
    #[must_use]
    pub fn model(&self) -> &'a model::Image {
        self.inputs.model(self.name)
    }

    /// The image in the lock.
    #[must_use]
    pub fn locked(&self) -> &'a lock::Image {
        &self.inputs.lock.images[self.name]
    }

    /// The locked packages with the interpreter `python` that compiles bytecode for the image, and the architecture that it
    /// runs on: those of the image, or for another platform than this machine's, those of the same image here. CPython of one
    /// version makes the same bytecode everywhere.
    ///
    /// # Errors
    /// When the lock does not have the same version for this machine.
    pub fn compiler(&self, python: &str) -> Result<(Architecture, Vec<&'a Package>)> {
        let (inputs, machine) = (self.inputs, std::env::consts::ARCH);
        let wanted = inputs.package(python)?;
        if machine == inputs.architecture().machine() {
            let packages = self.locked().packages.iter().map(|name| inputs.package(name));
            return Ok((inputs.architecture(), packages.collect::<Result<_>>()?));
        }
        let own = Architecture::from_machine(machine);
        let shown = own.map_or_else(|| machine.to_owned(), |own| Platform::linux(own).to_string());
        let failure = |what: &str| {
            let platform = inputs.options.platform;
            let message = format!("bytecode for {platform} is compiled by {python} for {shown}, {what}");
            Failure::usage(message).hint(format!(
                "lock both on one day: sealift lock {0} --platform {shown}, and with --platform {platform}; or set \
                 `bytecode = false` in the venv of the image {1}",
                inputs.profile.argument, self.name
            ))
        };
        let (Some(lock), Some(own)) = (inputs.own, own) else {
            return Err(failure("which the lock does not have").into());
        };
        let names = &lock.images.get(self.name).ok_or_else(|| failure("which the lock does not have"))?.packages;
        let packages: Vec<&Package> = lock.packages.iter().filter(|package| names.contains(&package.name)).collect();
        // A rebuild of the package has the same sources.
        let source = |version: &str| version.split("+b").next().unwrap_or_default().to_owned();
        match packages.iter().find(|package| package.name == python) {
            Some(found) if source(&found.version) == source(&wanted.version) => Ok((own, packages)),
            Some(found) => {
                let what = format!("but the lock has {} and {}", wanted.version, found.version);
                Err(failure(&what).into())
            }
            None => Err(failure("which the lock does not have").into()),
        }
    }

    /// Whether the image has this package.
    #[must_use]
    pub fn has_package(&self, name: &str) -> bool {
        self.locked().packages.iter().any(|package| package == name)
    }
}

impl<'a> Artifact<'a> {
    /// Its name: of a package, a wheel's file, a crate, or an archive.
    #[must_use]
    pub fn name(&self) -> &'a str {
        match self {
            Self::Package(package) => &package.name,
            Self::Wheel(wheel) => wheel.file_name(),
            Self::Crate(locked) => &locked.name,
            Self::ArchiveFile(locked) => &locked.name,
        }
    }

    /// The file's name or path on its server, for messages.
    #[must_use]
    pub fn path(&self) -> String {
        match self {
            Self::Package(package) => package.path.clone(),
            Self::Wheel(wheel) => wheel.file_name().to_owned(),
            Self::Crate(locked) => format!("{}-{}.crate", locked.name, locked.version),
            Self::ArchiveFile(locked) => locked.file.clone(),
        }
    }

    /// Its file name on its server.
    #[must_use]
    pub fn file_name(&self) -> String {
        let path = self.path();
        path.rsplit('/').next().unwrap_or_default().to_owned()
    }

    /// Its SHA-256.
    #[must_use]
    pub fn digest(&self) -> Digest {
        match self {
            Self::Package(package) => package.sha256,
            Self::Wheel(wheel) => wheel.sha256,
            Self::Crate(locked) => locked.sha256,
            Self::ArchiveFile(locked) => locked.sha256,
        }
    }

    /// Its size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Self::Package(package) => package.size,
            Self::Wheel(wheel) => wheel.size,
            Self::Crate(locked) => locked.size,
            Self::ArchiveFile(locked) => locked.size,
        }
    }

    /// The order in which artifacts are fetched and listed: by source, then by name.
    #[must_use]
    pub fn order(&self) -> (u8, &'a str, Digest) {
        let source = match self {
            Self::Package(_) => 0,
            Self::Wheel(_) => 1,
            Self::Crate(_) => 2,
            Self::ArchiveFile(_) => 3,
        };
        (source, self.name(), self.digest())
    }
}

fn incomplete_lock(what: &str) -> anyhow::Error {
    Failure::usage(format!("the lock names {what}, but does not describe it"))
        .hint("the lock was edited by hand: restore the committed one, or run sealift lock")
        .into()
}
