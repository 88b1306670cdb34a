//! What making layers shares: the store, threads, progress, and everything that was opened or unpacked so far.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::files;
use sealift_deployment::profile::model;
use sealift_deployment::ui::Phase;
use sealift_layers::digest::{Digest, Hasher};
use sealift_layers::ingredients::deb;
use sealift_layers::ingredients::wheel::{self, Venv};
use sealift_layers::limits::{Exceeded, Limits, MEMORY};
use sealift_layers::listing::Listing;
use sealift_layers::tar::{MemberKind, Members, Stream};
use sealift_layers::tree::{self, Overlap, OverlayError, SourceFile, Tree, TreePath};

use super::bytecode::Interpreter;
use crate::inputs::{ImageInputs, Inputs};
use crate::lock::Package;
use crate::parallel::in_parallel;
use crate::store::Store;

/// Artifacts that the workshop opens in advance.
#[derive(Clone, Copy, Debug, Default)]
pub struct Opens<'a> {
    /// Names of Debian packages.
    pub packages: &'a [String],
    /// File names of wheels.
    pub wheels: &'a [String],
}

/// The place where layers are made.
pub struct Workshop<'a> {
    inputs: &'a Inputs<'a>,
    pub(super) store: &'a Store,
    pub(super) jobs: usize,
    pub(super) progress: &'a Phase<'a>,
    /// Packages opened so far, by name: several images and steps need the same ones.
    packages: BTreeMap<String, Arc<deb::Package>>,
    /// Trees of wheels for layers to come, by image and file name: the image decides where they are installed.
    wheels: BTreeMap<(String, String), Tree>,
    /// Unpacked interpreters, by image and name (`python3.14`).
    interpreters: BTreeMap<(String, String), Arc<Interpreter>>,
    /// Blobs of the layers below the one that is made, bottom first.
    below: Vec<Digest>,
}

impl<'a> Workshop<'a> {
    /// A workshop where nothing is opened yet. At most `jobs` threads work in it.
    #[must_use]
    pub fn new(inputs: &'a Inputs<'a>, store: &'a Store, jobs: usize, progress: &'a Phase<'a>) -> Self {
        let (packages, wheels, interpreters) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { inputs, store, jobs: jobs.max(1), progress, packages, wheels, interpreters, below: Vec::new() }
    }

    /// Sets the layers below the next one that is made: the digests of their blobs in the store, bottom first.
    pub fn set_below(&mut self, blobs: Vec<Digest>) {
        self.below = blobs;
    }

    /// The contents of a file of the layers below. They are read from the layers themselves: the packages need not be in
    /// the store any more.
    pub(super) fn read_below(&self, path: &TreePath) -> Result<Vec<u8>> {
        for blob in self.below.iter().rev() {
            let blob = self.store.blob(*blob)?;
            let mut members = Members::new(Stream(self.inputs.options.codec.decoder(blob.reader())?));
            while let Some(member) = members.next()? {
                let name = member.name.trim_end_matches('/');
                if member.kind == MemberKind::File && name == path.as_str() {
                    if member.size > MEMORY {
                        return Err(Failure::failed(format!("`/{path}` is too large to be read")).into());
                    }
                    let mut bytes = Vec::new();
                    members.read_to_end(&mut bytes)?;
                    return Ok(bytes);
                }
                // Layers are sorted by path.
                if name > path.as_str() {
                    break;
                }
            }
        }
        Err(Failure::failed(format!("no layer below has the file `/{path}`")).into())
    }

    /// Opens the artifacts of several layers of an image: together they keep the threads busier than layer by layer.
    /// Errors are reported when the layer is made.
    pub fn open_in_advance<'o>(&mut self, image: ImageInputs<'_>, layers: impl Iterator<Item = Opens<'o>>) {
        let (mut packages, mut wheels) = (Vec::new(), Vec::new());
        for opens in layers {
            packages.extend_from_slice(opens.packages);
            wheels.extend_from_slice(opens.wheels);
        }
        let _ = self.open_packages(&packages);
        let _ = self.open_wheels(image, &wheels);
    }

    /// Opens packages, several at a time: decompressing them takes most of the time of a first build.
    pub(super) fn open_packages(&mut self, names: &[String]) -> Result<Vec<Arc<deb::Package>>> {
        let mut wanted: Vec<&Package> = names
            .iter()
            .filter(|name| !self.packages.contains_key(*name))
            .map(|name| self.inputs.package(name))
            .collect::<Result<_>>()?;
        // The largest first, so that the threads end at about the same time.
        wanted.sort_by_key(|package| std::cmp::Reverse(package.size));
        let opened =
            in_parallel(self.jobs, &wanted, |package| open_package(self.store, package, self.inputs.options.limits))?;
        for (package, opened) in wanted.iter().zip(opened) {
            self.packages.insert(package.name.clone(), Arc::new(opened));
        }
        Ok(names.iter().map(|name| self.packages[name].clone()).collect())
    }

    /// Makes the trees of wheels as they are installed, without bytecode, several at a time.
    fn open_wheels(&mut self, image: ImageInputs<'_>, files: &[String]) -> Result<()> {
        if files.is_empty() {
            return Ok(());
        }
        let venv = environment(venv_of(image)?)?;
        let unopened = files.iter().filter(|file| !self.wheels.contains_key(&cache_key(image, file)));
        let mut wheels = unopened.map(|file| self.inputs.wheel(file)).collect::<Result<Vec<_>>>()?;
        // The largest first, so that the threads end at about the same time.
        wheels.sort_by_key(|wheel| std::cmp::Reverse(wheel.size));
        let trees = in_parallel(self.jobs, &wheels, |locked| {
            let file = artifact(self.store, locked.file_name(), &locked.sha256, locked.size)?;
            let limits = self.inputs.options.limits;
            let opened =
                wheel::open(file, locked.file_name(), limits).map_err(|error| refused(chain(&error), &error))?;
            Ok(opened.tree(&venv, locked.uploaded).map_err(|error| refused(chain(&error), &error))?)
        })?;
        for (wheel, tree) in wheels.into_iter().zip(trees) {
            self.wheels.insert(cache_key(image, wheel.file_name()), tree);
        }
        Ok(())
    }

    /// The trees of wheels as they are installed, without bytecode. Each has a file open: the workshop does not keep
    /// them.
    pub(super) fn take_wheels(&mut self, image: ImageInputs<'_>, files: &[String]) -> Result<Vec<Tree>> {
        self.open_wheels(image, files)?;
        let mut take = |file: &String| self.wheels.remove(&cache_key(image, file)).expect("just opened");
        Ok(files.iter().map(&mut take).collect())
    }

    /// Unpacks the interpreter `python` of an image, once.
    pub(super) fn interpreter(&mut self, image: ImageInputs<'_>, python: &str) -> Result<Arc<Interpreter>> {
        let key = cache_key(image, python);
        if let Some(found) = self.interpreters.get(&key) {
            return Ok(Arc::clone(found));
        }
        let architecture = self.inputs.architecture();
        if std::env::consts::ARCH != architecture.machine() {
            let message = format!("bytecode for {architecture} cannot be compiled on {}", std::env::consts::ARCH);
            return Err(Failure::failed(message).hint("set `bytecode = false` in the profile's venv").into());
        }
        let packages = self.open_packages(&image.locked().packages)?;
        let root = self.store.temporary_directory()?;
        let interpreter = Arc::new(Interpreter::unpack(root, python, self.inputs, &packages)?);
        self.interpreters.insert(key, Arc::clone(&interpreter));
        Ok(interpreter)
    }
}

/// The virtual environment that the profile declares for an image.
pub(super) fn venv_of(image: ImageInputs<'_>) -> Result<&model::Venv> {
    image.model().venv.as_ref().ok_or_else(|| Failure::failed("wheels without a virtual environment").into())
}

/// Where wheels are installed.
pub(super) fn environment(venv: &model::Venv) -> Result<Venv> {
    Ok(Venv::new(TreePath::new(venv.path.get_ref())?, venv.python.get_ref())?)
}

fn cache_key(image: ImageInputs<'_>, name: &str) -> (String, String) {
    (image.name.to_owned(), name.to_owned())
}

fn open_package(store: &Store, package: &Package, limits: Limits) -> Result<deb::Package> {
    let file = artifact(store, &package.path, &package.sha256, package.size)?;
    let spool = store.temporary()?.into_file();
    let opened = deb::open(&SourceFile::new(file), spool, limits).map_err(|error| {
        let refused = refused(format!("{}: {}", package.path, chain(&error)), &error);
        // It is unpacked into the store, where the disk may be full.
        let error = files::explain(store.root(), error.into());
        if Failure::within(&error).is_some() { error } else { refused.into() }
    })?;
    let control = &opened.control;
    let found = (&control.name, &control.version, &control.architecture);
    if found != (&package.name, &package.version, &package.architecture) {
        let message = format!(
            "{} contains {} {} for {}, but the lock has {} {} for {}",
            package.path,
            control.name,
            control.version,
            control.architecture,
            package.name,
            package.version,
            package.architecture
        );
        let hint = "the archive's index lists it under a wrong name, version or architecture: report it to the archive's \
                    maintainers";
        return Err(Failure::verification(message).hint(hint).into());
    }
    Ok(opened)
}

/// The failure for an artifact that is not what it must be.
fn refused(message: String, error: &(dyn std::error::Error + 'static)) -> Failure {
    let failure = Failure::failed(message);
    match Exceeded::within(error) {
        Some(Exceeded::Unpacked(_)) => {
            failure.hint("if it is a real package, allow more with --limit-unpacked SIZE (such as 8GiB)")
        }
        _ => failure,
    }
}

/// Opens an artifact. It was verified when it was fetched; hashing it again costs little compared to unpacking it, and
/// detects damage by a failing disk.
pub(super) fn artifact(store: &Store, name: &str, digest: &Digest, size: u64) -> Result<std::fs::File> {
    let path = store.artifact(digest, size).ok_or_else(|| {
        Failure::failed(format!("{name} is not in the store")).hint("run the build again to fetch it")
    })?;
    let mut file = fs_err::File::open(&path)?;
    let mut hasher = Hasher::default();
    std::io::copy(&mut file, &mut hasher)?;
    if hasher.finish() != *digest {
        let message = format!("{name} is damaged in the store: {} does not have the digest {digest}", path.display());
        return Err(Failure::verification(message).hint("remove it with: sealift store check --repair").into());
    }
    Ok(file.into_parts().0)
}

/// Adapts the files of packages to the layers below. A path of both with different contents is an error.
pub(super) fn overlay(tree: Tree, lower: &Listing) -> Result<Tree> {
    tree::overlay(tree, lower, Overlap::MustAgree).map_err(overlay_error)
}

/// Adapts files that the profile states explicitly to the layers below, whose files they replace.
pub(super) fn overlay_replacing(tree: Tree, lower: &Listing) -> Result<Tree> {
    tree::overlay(tree, lower, Overlap::Replaces).map_err(overlay_error)
}

fn overlay_error(error: OverlayError) -> anyhow::Error {
    match error {
        OverlayError::Conflicts(_) => conflict(error.to_string()),
        OverlayError::Whiteout { .. } => {
            Failure::failed(error.to_string()).hint("`drop` the path from the image, or leave out what has it").into()
        }
        error => error.into(),
    }
}

/// The error for packages or wheels that do not fit together.
pub(super) fn conflict(message: String) -> anyhow::Error {
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
