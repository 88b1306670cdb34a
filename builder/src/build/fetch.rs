//! Fetching: the artifacts of the layers that the store lacks.

use std::path::Path;

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::files;
use sealift_deployment::ui::{self, Ui};
use sealift_layers::digest::Digest;

use crate::fetch::{self, Download, Fetched};
use crate::inputs::{Artifact, Inputs};
use crate::lock::Wheel;
use crate::plan::Plan;
use crate::servers::Servers;
use crate::store::Store;

/// Number of files that are fetched at a time. Servers and links spend most of the time waiting.
const PARALLEL_DOWNLOADS: usize = 8;

/// The artifacts that must be fetched before the layers that the store lacks can be made.
pub(super) fn missing<'p>(plan: &'p Plan<'_>, store: &Store) -> Result<Vec<Artifact<'p>>> {
    let mut needs = plan.needs(&plan.missing(store), store)?;
    needs.retain(|artifact| store.artifact(&artifact.digest(), artifact.size()).is_none());
    Ok(needs)
}

/// Fetches those of `missing` that servers provide. Those that no server has are in the result, and are not an error.
pub(super) fn artifacts(
    inputs: &Inputs<'_>,
    missing: &[Artifact<'_>],
    store: &Store,
    servers: &Servers<'_>,
    ui: &Ui,
) -> Result<Fetched> {
    let mut downloads: Vec<Download<'_>> = Vec::new();
    for artifact in missing {
        match artifact {
            Artifact::Package(package) => match inputs.file(package) {
                Some(file) => take("package", artifact, &file, inputs, store)?,
                None => downloads.push(servers.package(package, inputs.archive(package)?)?),
            },
            Artifact::Wheel(wheel) if wheel.local => return Err(gone(wheel).into()),
            Artifact::Wheel(wheel) => downloads.push(servers.wheel(wheel)),
            Artifact::ArchiveFile(archive) => match inputs.profile.sources.path(&archive.file) {
                file if file.is_file() => take("archive", artifact, &file, inputs, store)?,
                _ => downloads.push(servers.archive_file(archive)?),
            },
            // By cargo: see `crates`.
            Artifact::Crate(_) => {}
        }
    }
    if downloads.is_empty() {
        return Ok(Fetched::default());
    }
    let total = downloads.iter().map(|download| download.size).sum();
    let phase = ui.phase("Fetching", total);
    let fetched = fetch::download(servers.client(), &downloads, store, PARALLEL_DOWNLOADS, &phase)?;
    phase.finish(&format!("{}, {}", ui::count(fetched.count, "file"), ui::bytes(fetched.bytes)));
    // Another lock would not name another archive, as it would another version of a package.
    let mut archives = missing.iter().filter(|artifact| matches!(artifact, Artifact::ArchiveFile(_)));
    if archives.any(|archive| fetched.missing.iter().any(|missing| missing.digest == archive.digest())) {
        fetched.complete(
            "put the archive into the profile's folder, or name the folder or server that has it: --archives",
        )?;
    }
    Ok(fetched)
}

/// The failure for a wheel of the user that is neither in the store nor in the folders that were searched.
fn gone(wheel: &Wheel) -> Failure {
    Failure::failed(format!("{} is not where the profile's `wheels` are, nor in the store", wheel.file_name())).hint(
        "make the same wheel again, or name the folder that has it with --artifacts; for another one: sealift lock",
    )
}

/// Copies a package or archive that is a file of the profile into the store.
fn take(kind: &str, artifact: &Artifact<'_>, file: &Path, inputs: &Inputs<'_>, store: &Store) -> Result<()> {
    let digest = artifact.digest();
    let changed = |what: &str| {
        let message = format!("the {kind} {} {what} since the lock was made", file.display());
        let hint = format!("restore the file, or run sealift lock {}", inputs.profile.argument);
        Failure::verification(message).hint(hint)
    };
    if !file.is_file() {
        return Err(changed("has been removed").into());
    }
    if Digest::of_reader(files::open(file)?)?.digest != digest {
        return Err(changed("has changed").into());
    }
    store.add_artifact(&artifact.path(), files::open(file)?, &digest).map(drop)
}

/// Fetches the crates among `missing` with cargo, which knows its registries.
pub(super) fn crates(inputs: &Inputs<'_>, missing: &[Artifact<'_>], store: &Store) -> Result<()> {
    for artifact in missing {
        if let Artifact::Crate(locked) = artifact {
            inputs.cargo()?.fetch(locked, store)?;
        }
    }
    Ok(())
}
