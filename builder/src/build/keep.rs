//! All artifacts of a lock as files, for the time when no server has them any more.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::files;
use sealift_deployment::ui::Ui;
use sealift_layers::digest::Digest;

use super::imports::Imports;
use super::{BuildRequest, fetch, local, lock, options};
use crate::inputs::{Artifact, Inputs};
use crate::servers::Servers;
use crate::store::Store;

/// The file with the digests, in the format of `sha256sum`.
const SUMS: &str = "SHA256SUMS";

/// The files that were kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Their number.
    pub count: usize,
    /// Their total size in bytes.
    pub bytes: u64,
}

/// Fetches all packages, wheels, crates and archives that the lock names, and copies them into `folder` by their names. Files that are
/// there already stay. `SHA256SUMS` lists them, and those of earlier runs.
///
/// # Errors
/// The profile has no lock that fits it, a server or a file is not available, or the folder cannot be written.
pub fn keep(request: &BuildRequest<'_>, folder: &Path, servers: &Servers<'_>, store: &Store, ui: &Ui) -> Result<Kept> {
    let options = options(request, servers)?;
    let lock = lock::choose(request, servers, ui)?;
    let inputs = Inputs::new(request.profile, &lock, options)?;
    // What an earlier run has kept.
    let earlier = folder.is_dir().then(|| folder.to_owned());
    let hint =
        "run sealift lock, or name an archive of past times in `debian-snapshots` of ~/.config/sealift/config.toml";
    let all = take(&inputs, earlier.into_iter().collect(), (servers, store), hint, ui)?;
    let mut sums = sums(folder)?;
    let mut bytes = 0;
    for artifact in &all {
        let path = place(artifact);
        bytes += artifact.size();
        copy(artifact, &folder.join(&path), store)?;
        sums.insert(path, artifact.digest().hex());
    }
    files::write_atomically(&folder.join(SUMS), |file| {
        for (path, digest) in &sums {
            writeln!(file, "{digest}  {path}")?;
        }
        Ok(())
    })?;
    Ok(Kept { count: all.len(), bytes })
}

/// Fetches all packages, wheels, crates and archives that the lock names into the store. Returns their files.
///
/// # Errors
/// The lock does not fit the profile, or a server or a file is not available.
pub fn gather(request: &BuildRequest<'_>, servers: &Servers<'_>, store: &Store, ui: &Ui) -> Result<Vec<PathBuf>> {
    let options = options(request, servers)?;
    let lock = lock::choose(request, servers, ui)?;
    let inputs = Inputs::new(request.profile, &lock, options)?;
    let hint = "name a folder that has these files, such as one that `sealift fetch` has made, with --artifacts";
    let all = take(&inputs, request.artifacts.clone(), (servers, store), hint, ui)?;
    Ok(all.iter().filter_map(|artifact| store.artifact(&artifact.digest(), artifact.size())).collect())
}

/// Brings all artifacts of the lock into the store: from the profile's folder and `places`, else from servers.
fn take<'i>(
    inputs: &Inputs<'i>,
    mut places: Vec<PathBuf>,
    (servers, store): (&Servers<'_>, &Store),
    hint: &str,
    ui: &Ui,
) -> Result<Vec<Artifact<'i>>> {
    let all = inputs.artifacts();
    let missing = || -> Vec<Artifact<'_>> {
        let is_there = |artifact: &Artifact<'_>| store.artifact(&artifact.digest(), artifact.size()).is_some();
        all.iter().filter(|artifact| !is_there(artifact)).copied().collect()
    };
    places.extend(local::files(inputs.profile)?);
    Imports::of_artifacts(&missing(), &places)?.take(store)?;
    let missing = missing();
    fetch::artifacts(inputs, &missing, store, servers, ui)?.complete(hint)?;
    fetch::crates(inputs, &missing, store)?;
    Ok(all)
}

/// The path of an artifact in the folder.
fn place(artifact: &Artifact<'_>) -> String {
    let folder = match artifact {
        Artifact::Package(package) => match &package.archive {
            None => "packages".to_owned(),
            Some(archive) => format!("packages/{archive}"),
        },
        Artifact::Wheel(_) => "wheels".to_owned(),
        Artifact::Crate(_) => "crates".to_owned(),
        // Archives of different folders may have one name.
        Artifact::ArchiveFile(archive) => return format!("archives/{}", archive.file),
    };
    format!("{folder}/{}", artifact.file_name())
}

/// The files of earlier runs that are still there, with their digests in hex.
fn sums(folder: &Path) -> Result<BTreeMap<String, String>> {
    let file = folder.join(SUMS);
    if !file.exists() {
        return Ok(BTreeMap::new());
    }
    let text = files::read_text(&file)?;
    let lines = text.lines().filter_map(|line| line.split_once("  "));
    let lines = lines.filter(|(_, path)| folder.join(path).is_file());
    Ok(lines.map(|(digest, path)| (path.to_owned(), digest.to_owned())).collect())
}

fn copy(artifact: &Artifact<'_>, target: &Path, store: &Store) -> Result<()> {
    if target.is_file() && Digest::of_reader(files::open(target)?)?.digest == artifact.digest() {
        return Ok(());
    }
    let source = store.artifact(&artifact.digest(), artifact.size()).ok_or_else(|| {
        Failure::failed(format!("{} is not in the store", artifact.file_name()))
            .hint("run the command again to fetch it")
    })?;
    if let Some(folder) = target.parent() {
        fs_err::create_dir_all(folder)?;
    }
    let mut source = files::open(&source)?;
    files::write_atomically(target, |file| {
        std::io::copy(&mut source, file)?;
        Ok(())
    })
}
