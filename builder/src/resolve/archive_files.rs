//! Archives that no package index lists: what the lock says of them is measured on the files themselves.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::files;
use sealift_deployment::profile::{Profile, model};
use sealift_deployment::ui::Ui;
use sealift_layers::digest::{Digest, Measured};

use crate::lock::{self, ArchiveFile};
use crate::servers::{ARCHIVE_HINT, Servers};

/// The archives of all images, each once, sorted by file.
///
/// # Errors
/// One is nowhere, or does not have the SHA-256 that the profile states.
pub(super) fn resolve(
    profile: &Profile,
    servers: &Servers<'_>,
    before: Option<&lock::Platform>,
    ui: &Ui,
) -> Result<Vec<ArchiveFile>> {
    let mut all: BTreeMap<&str, ArchiveFile> = BTreeMap::new();
    for (name, archive) in profile.model.images.values().flat_map(|image| &image.archives) {
        if archive.optional {
            continue;
        }
        let entry = match all.entry(archive.file.get_ref()) {
            Entry::Vacant(entry) => entry.insert(one(profile, servers, before, name.get_ref(), archive, ui)?),
            Entry::Occupied(entry) => entry.into_mut(),
        };
        check_pin(profile, archive, entry)?;
    }
    Ok(all.into_values().collect())
}

fn one(
    profile: &Profile,
    servers: &Servers<'_>,
    before: Option<&lock::Platform>,
    name: &str,
    archive: &model::ArchiveFile,
    ui: &Ui,
) -> Result<ArchiveFile> {
    let (file, version) = (archive.file.get_ref(), archive.version.get_ref());
    let place = profile.sources.path(file);
    let found =
        if place.is_file() { Some(Digest::of_reader(files::open(&place)?)?) } else { servers.measure_archive(file)? };
    if let Some(Measured { digest, size }) = found {
        let (name, version, file) = (name.to_owned(), version.clone(), file.clone());
        return Ok(ArchiveFile { name, version, file, size, sha256: digest });
    }
    let same = |locked: &&ArchiveFile| locked.file == *file && locked.name == name && locked.version == *version;
    if let Some(locked) = before.and_then(|before| before.archive_files.iter().find(same)) {
        ui.note(&format!("the archive {file} is not at hand: it stays as it is in the lock"));
        return Ok(locked.clone());
    }
    if servers.archives()?.is_empty() {
        let message = format!("the archive `{file}` is not in the profile's folder");
        return Err(profile.diagnostic_at(archive.file.span(), message, ARCHIVE_HINT));
    }
    let tried: Vec<String> = servers.archives()?.iter().map(|mirror| format!("  {mirror}")).collect();
    let message = format!("the archive {file} is neither in the profile's folder nor in any of:\n{}", tried.join("\n"));
    Err(Failure::network(message).hint(ARCHIVE_HINT).into())
}

/// Compares the file with the SHA-256 that the profile states.
fn check_pin(profile: &Profile, archive: &model::ArchiveFile, found: &ArchiveFile) -> Result<()> {
    let (Some(pinned), Some(text)) = (archive.pinned(), &archive.sha256) else { return Ok(()) };
    if pinned == found.sha256 {
        return Ok(());
    }
    let message = format!("the file has the SHA-256 {}", found.sha256.hex());
    let hint = "get the file again from those who made it; if it is the right one, write this SHA-256";
    let place = profile.diagnostic_at(text.span(), message, hint);
    let failure = Failure::verification(format!("the archive {} is not the one that the profile states", found.file));
    Err(failure.because(place).into())
}
