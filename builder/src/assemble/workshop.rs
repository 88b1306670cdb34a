//! What making layers shares: the store, threads, progress, and everything that was opened or unpacked so far.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::files;
use sealift_deployment::profile::model;
use sealift_deployment::ui::Phase;
use sealift_layers::digest::{Digest, Hasher};
use sealift_layers::ingredients::deb;
use sealift_layers::ingredients::scripts::{Diversion, Owned, Request};
use sealift_layers::ingredients::wheel::{self, RecordCheck, Venv};
use sealift_layers::limits::{Exceeded, Limits, MEMBERS, MEMORY, MESSAGES, PATHS};
use sealift_layers::listing::Listing;
use sealift_layers::tar::{MemberKind, Members, Stream};
use sealift_layers::tree::{self, Conflict, Overlap, OverlayError, SourceFile, Tree, TreePath};

use super::bytecode::Interpreter;
use crate::inputs::{ImageInputs, Inputs};
use crate::lock::Package;
use crate::parallel::in_parallel;
use crate::store::Store;
use crate::store::layer::LayerRecord;

/// Artifacts that the workshop opens in advance.
#[derive(Clone, Copy, Debug, Default)]
pub struct Opens<'a> {
    /// Names of Debian packages.
    pub packages: &'a [String],
    /// File names of wheels.
    pub wheels: &'a [String],
}

/// A wheel as it is installed in an image, without bytecode.
pub(super) struct InstalledWheel {
    pub(super) tree: Tree,
    /// How its `RECORD` differs from its files.
    pub(super) differences: Vec<String>,
}

/// The place where layers are made.
pub struct Workshop<'a> {
    inputs: &'a Inputs<'a>,
    pub(super) store: &'a Store,
    pub(super) jobs: usize,
    pub(super) progress: &'a Phase<'a>,
    /// Packages opened so far, by name: several images and steps need the same ones.
    packages: BTreeMap<String, Arc<deb::Package>>,
    /// Wheels for layers to come, by image and file name: the image decides where they are installed.
    wheels: BTreeMap<(String, String), InstalledWheel>,
    /// Unpacked interpreters, by image and name (`python3.14`).
    interpreters: BTreeMap<(String, String), Arc<Interpreter>>,
    /// Blobs of the layers below the one that is made, bottom first.
    below: Vec<Digest>,
    /// Accounts that the packages of these layers want.
    pub(super) accounts: Vec<Request>,
    /// Owners, by name, of paths in these layers.
    pub(super) owned: Vec<Owned>,
    /// Diversions of packages in these layers.
    pub(super) diversions: Vec<Diversion>,
    /// Files of the packages and wheels that are open.
    opened: AtomicUsize,
}

impl Opens<'_> {
    /// Whether there is anything to open.
    #[must_use]
    pub fn is_some(&self) -> bool {
        !self.packages.is_empty() || !self.wheels.is_empty()
    }
}

impl<'a> Workshop<'a> {
    /// A workshop where nothing is opened yet. At most `jobs` threads work in it.
    #[must_use]
    pub fn new(inputs: &'a Inputs<'a>, store: &'a Store, jobs: usize, progress: &'a Phase<'a>) -> Self {
        let (packages, wheels, interpreters) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (below, accounts, owned, diversions) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self {
            inputs,
            store,
            jobs: jobs.max(1),
            progress,
            packages,
            wheels,
            interpreters,
            below,
            accounts,
            owned,
            diversions,
            opened: AtomicUsize::new(0),
        }
    }

    /// Sets the layers below the next one that is made, bottom first.
    pub fn set_below(&mut self, records: &[&LayerRecord]) {
        self.below = records.iter().map(|record| record.layer.digest).collect();
        let remarks = || records.iter().map(|record| &record.remarks);
        self.accounts = remarks().flat_map(|remarks| remarks.accounts.clone()).collect();
        self.owned = remarks().flat_map(|remarks| remarks.owned.clone()).collect();
        self.diversions = remarks().flat_map(|remarks| remarks.diversions.clone()).collect();
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
        self.recount();
        let mut wanted: Vec<&Package> = names
            .iter()
            .filter(|name| !self.packages.contains_key(*name))
            .map(|name| self.inputs.package(name))
            .collect::<Result<_>>()?;
        // The largest first, so that the threads end at about the same time.
        wanted.sort_by_key(|package| std::cmp::Reverse(package.size));
        let opened = in_parallel(self.jobs, &wanted, |package| {
            let opened = open_package(self.store, package, self.inputs.options.limits)?;
            self.count(cost(&opened.tree))?;
            Ok(opened)
        })?;
        for (package, opened) in wanted.iter().zip(opened) {
            self.packages.insert(package.name.clone(), Arc::new(opened));
        }
        Ok(names.iter().map(|name| self.packages[name].clone()).collect())
    }

    /// Counts the files of what is open anew: wheels were taken, or could not all be opened.
    fn recount(&mut self) {
        let packages = self.packages.values().map(|package| cost(&package.tree));
        let wheels = self.wheels.values().map(|wheel| cost(&wheel.tree));
        *self.opened.get_mut() = packages.chain(wheels).sum();
    }

    /// Counts more files of what is open. Each takes about a kilobyte of memory until its layer is made.
    fn count(&self, files: usize) -> Result<()> {
        let all = self.opened.fetch_add(files, Ordering::Relaxed) + files;
        let limit = self.inputs.options.limits.members();
        if u64::try_from(all).is_ok_and(|all| all <= limit) {
            return Ok(());
        }
        let message = format!("the packages and wheels of this build have more than {limit} files, or too long paths");
        let hint =
            "if they are real packages, any number of files is allowed with --limit-unpacked SIZE (such as 4GiB)";
        Err(Failure::failed(message).hint(hint).into())
    }

    /// Makes the trees of wheels as they are installed, without bytecode, several at a time.
    fn open_wheels(&mut self, image: ImageInputs<'_>, files: &[String]) -> Result<()> {
        if files.is_empty() {
            return Ok(());
        }
        self.recount();
        let model = venv_of(image)?;
        let venv = environment(model)?;
        let unopened = files.iter().filter(|file| !self.wheels.contains_key(&cache_key(image, file)));
        let mut wheels = unopened.map(|file| self.inputs.wheel(file)).collect::<Result<Vec<_>>>()?;
        // The largest first, so that the threads end at about the same time.
        wheels.sort_by_key(|wheel| std::cmp::Reverse(wheel.size));
        let installed = in_parallel(self.jobs, &wheels, |locked| {
            let file = artifact(self.store, locked.file_name(), &locked.sha256, locked.size)?;
            let check = match accepted(model, &locked.name) {
                Some(_) => RecordCheck::Lenient,
                None => RecordCheck::Strict,
            };
            let limits = self.inputs.options.limits;
            let opened = wheel::open(file, locked.file_name(), check, limits).map_err(|error| {
                let failure = refused(chain(&error), &error);
                if !error.only_record {
                    return failure;
                }
                failure.hint(format!(
                    "its SHA-256 is that of the lock; to use it as it is, add to the venv in the profile: \
                     accept = {{ {} = \"REASON\" }}",
                    locked.name
                ))
            })?;
            let tree = opened.tree(&venv, locked.time()).map_err(|error| refused(chain(&error), &error))?;
            self.count(cost(&tree))?;
            Ok(InstalledWheel { tree, differences: opened.differences().to_vec() })
        })?;
        for (wheel, installed) in wheels.into_iter().zip(installed) {
            self.wheels.insert(cache_key(image, wheel.file_name()), installed);
        }
        Ok(())
    }

    /// Wheels as they are installed, without bytecode. Each has a file open: the workshop does not keep them.
    pub(super) fn take_wheels(&mut self, image: ImageInputs<'_>, files: &[String]) -> Result<Vec<InstalledWheel>> {
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
        let (architecture, locked) = image.compiler(python)?;
        let root = self.store.executable_directory()?;
        let packages = match architecture == self.inputs.architecture() {
            true => self.open_packages(&image.locked().packages)?,
            // Packages of the same names for this machine, which are needed for nothing else.
            false => in_parallel(self.jobs, &locked, |package| {
                Ok(Arc::new(open_package(self.store, package, self.inputs.options.limits)?))
            })?,
        };
        let interpreter = Arc::new(Interpreter::unpack(root, python, architecture, &locked, &packages)?);
        self.interpreters.insert(key, Arc::clone(&interpreter));
        Ok(interpreter)
    }
}

/// What the tree of a package or a wheel counts: its files, and one more for each so many bytes of paths.
fn cost(tree: &Tree) -> usize {
    let bytes: usize = tree.iter().map(|(path, _)| path.as_str().len()).sum();
    tree.len() + bytes / usize::try_from(PATHS / MEMBERS).unwrap_or(usize::MAX)
}

/// The virtual environment that the profile declares for an image.
pub(super) fn venv_of(image: ImageInputs<'_>) -> Result<&model::Venv> {
    image.model().venv.as_ref().ok_or_else(|| Failure::failed("wheels without a virtual environment").into())
}

/// Why the profile accepts that the `RECORD` of a distribution, by its normalised name, does not match its files.
pub(super) fn accepted<'a>(venv: &'a model::Venv, name: &str) -> Option<&'a str> {
    let mut accepted = venv.accept.iter();
    accepted.find(|(listed, _)| wheel::normalize(listed.get_ref()) == name).map(|(_, reason)| reason.as_str())
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
pub(super) fn refused(message: String, error: &(dyn std::error::Error + 'static)) -> Failure {
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
    let mut file = files::open(&path)?;
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
        OverlayError::Conflicts(conflicts) => conflict(&conflicts),
        OverlayError::Whiteout { .. } => {
            Failure::failed(error.to_string()).hint("`drop` the path from the image, or leave out what has it").into()
        }
        error => error.into(),
    }
}

/// The error for packages or wheels with different files at one path. Its hint has the patterns that settle it.
pub(super) fn conflict(conflicts: &[Conflict]) -> anyhow::Error {
    let mut lines: Vec<String> = conflicts.iter().take(MESSAGES).map(ToString::to_string).collect();
    if let Some(more @ 1..) = conflicts.len().checked_sub(MESSAGES) {
        lines.push(format!("and {more} more"));
    }
    let patterns: BTreeSet<&TreePath> = conflicts.iter().map(|conflict| &conflict.path).collect();
    let patterns =
        patterns.into_iter().take(MESSAGES).map(|path| format!("\"/{path}\"")).collect::<Vec<_>>().join(", ");
    let hint = format!(
        "the image cannot have both: leave the path out of it, with drop = [{patterns}], or exclude one of the two"
    );
    Failure::failed(lines.join("\n")).hint(hint).into()
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
