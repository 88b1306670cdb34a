//! Optional archives that a build is given (`--with NAME=FILE`).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::files;
use sealift_deployment::profile::Profile;
use sealift_layers::digest::{Digest, Measured};

use super::request::BuildRequest;
use crate::lock::{self, ArchiveFile, Lock};

/// Makes the archives part of the profile; returns what the lock of the build says of them.
///
/// # Errors
/// The profile has no such optional archive, the file is of another version or cannot be read, or it does not have the SHA-256
/// that the profile states (verification).
pub fn give(profile: &mut Profile, with: &[(String, PathBuf)]) -> Result<Vec<ArchiveFile>> {
    if with.is_empty() {
        return Ok(Vec::new());
    }
    let given = with.iter().map(|(name, file)| measured(profile, name, file)).collect::<Result<Vec<_>>>()?;
    profile.give_archives(&with.iter().map(|(name, _)| name.as_str()).collect::<BTreeSet<_>>())?;
    Ok(given)
}

fn measured(profile: &Profile, name: &str, path: &Path) -> Result<ArchiveFile> {
    let optional = profile.model.images.values().flat_map(|image| &image.archives);
    let optional = optional.filter(|(_, archive)| archive.optional);
    let Some((_, archive)) = optional.clone().find(|(known, _)| known.get_ref() == name) else {
        let known: BTreeSet<&str> = optional.map(|(name, _)| name.get_ref().as_str()).collect();
        let known: Vec<&str> = known.into_iter().collect();
        let hint = if known.is_empty() { "it has none".to_owned() } else { format!("it has: {}", known.join(", ")) };
        let message = format!("the profile {} has no optional archive {name}", profile.model.name.get_ref());
        return Err(Failure::usage(message).hint(hint).into());
    };
    let (file, version) = (archive.file.get_ref(), archive.version.get_ref());
    let expected = file.rsplit('/').next().unwrap_or(file);
    if path.file_name().is_none_or(|name| name != expected) {
        let message = format!("{} is not the file of {name} {version}, which is called {expected}", path.display());
        let hint = format!(
            "get the file of version {version}; for another version, extend the profile with another `file` and `version` of \
             the archive; if it is the right one, rename it"
        );
        return Err(Failure::usage(message).hint(hint).into());
    }
    let opened =
        files::open(path).map_err(|error| Failure::usage(format!("cannot read {}", path.display())).because(error))?;
    let Measured { digest: sha256, size } = Digest::of_reader(opened)?;
    if let Some(pinned) = archive.pinned().filter(|pinned| *pinned != sha256) {
        let message = format!("{} has the SHA-256 {}, not {}", path.display(), sha256.hex(), pinned.hex());
        return Err(Failure::verification(message).hint("get the file again from those who made it").into());
    }
    Ok(ArchiveFile { name: name.to_owned(), version: version.clone(), file: file.clone(), size, sha256 })
}

/// The lock with the archives that the build is given. The profile's own lock does not have them.
pub(super) fn add(mut lock: Lock, request: &BuildRequest<'_>) -> Lock {
    let Some(platform) = lock.platforms.get_mut(&request.platform.to_string()) else { return lock };
    if request.with.is_empty() {
        return lock;
    }
    // It is the lock of the profile in the bundle, where they are not optional.
    let mut profile = request.profile.clone();
    let archives = profile.model.images.values_mut().flat_map(|image| image.archives.values_mut());
    archives.filter(|archive| archive.given).for_each(|archive| archive.optional = false);
    platform.wanted = lock::wanted(&profile);
    for given in &request.with {
        platform.archive_files.retain(|archive| archive.file != given.file);
        platform.archive_files.push(given.clone());
        for (name, image) in &request.profile.model.images {
            let has_it = image.archives.values().any(|archive| archive.file.get_ref() == &given.file);
            let locked = platform.images.get_mut(name.get_ref());
            if let Some(locked) = locked.filter(|locked| has_it && !locked.archives.contains(&given.file)) {
                locked.archives.push(given.file.clone());
                locked.archives.sort();
            }
        }
    }
    platform.archive_files.sort_by(|one, other| one.file.cmp(&other.file));
    lock
}
