//! Sharing the work of a build: artifacts that somebody else has fetched, layers that another build has made, and one
//! image alone as an OCI layout that brings its layers to the build that joins them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::files::{self, cannot, explain};
use sealift_layers::archive::{self, Parts};
use sealift_layers::digest::Digest;
use sealift_layers::image::Image;
use sealift_layers::tree::{Content, SourceFile};

use crate::assemble;
use crate::plan::Plan;
use crate::store::Store;

/// Takes what the plan needs, and the store lacks, from `places`: files, and folders of files with any depth. Names do not
/// count: a file is what its SHA-256 says.
///
/// # Errors
/// When a place is not there or cannot be read, or the store cannot be written.
pub fn take_artifacts(plan: &Plan<'_>, store: &Store, places: &[PathBuf]) -> Result<()> {
    let mut wanted: BTreeMap<u64, BTreeSet<(Digest, &str)>> = BTreeMap::new();
    let (packages, wheels) = crate::build::needed_names(plan, store);
    for name in packages {
        let package = plan.package(name)?;
        wanted.entry(package.size).or_default().insert((package.sha256, package.path.as_str()));
    }
    for name in wheels {
        let wheel = plan.wheel(name)?;
        wanted.entry(wheel.size).or_default().insert((wheel.sha256, wheel.file_name()));
    }
    let mut ahead: Vec<PathBuf> = places.to_vec();
    while let Some(path) = ahead.pop() {
        let found = path.metadata().map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
        if found.is_dir() {
            ahead.extend(files::sorted_dir(&path)?);
            continue;
        }
        let Some(candidates) = wanted.get(&found.len()).filter(|_| found.is_file()) else { continue };
        if candidates.iter().all(|(digest, _)| store.artifact(digest, found.len()).is_some()) {
            continue;
        }
        let digest = Digest::of_reader(fs_err::File::open(&path)?)?.digest;
        if let Some((digest, name)) = candidates.iter().find(|(candidate, _)| *candidate == digest) {
            store.add_artifact(name, fs_err::File::open(&path)?, digest)?;
        }
    }
    Ok(())
}

/// Takes what the plan's layers are, as far as the store lacks them and one of `folders` has them: image layouts made by
/// [`write_layout`]. They are believed as the store is.
///
/// # Errors
/// When a folder is not there or what it has is damaged, or the store cannot be written.
pub fn take_layers(plan: &Plan<'_>, store: &Store, folders: &[PathBuf]) -> Result<()> {
    for folder in folders {
        if !folder.join(archive::LAYOUT).is_file() {
            let message = format!("{} is not an image's folder: it has no {}", folder.display(), archive::LAYOUT);
            return Err(Failure::usage(message).hint("name what sealift image has made").into());
        }
    }
    for key in assemble::missing(plan, store).into_iter().map(|(_, layer)| layer.key).collect::<Vec<_>>() {
        for folder in folders {
            if store.take_over(&key, &assemble::listing_key(&key), folder)? {
                break;
            }
        }
    }
    Ok(())
}

/// An error where `output` exists: to be told before the work is done, too.
///
/// # Errors
/// Just that.
pub fn free(output: &Path) -> Result<()> {
    match output.symlink_metadata() {
        Err(_) => Ok(()),
        Ok(_) => {
            let failure = Failure::usage(format!("{} exists already", output.display()));
            Err(failure.hint("remove it, or name another folder").into())
        }
    }
}

/// Writes finished images as an OCI layout (image-spec 1.1, "Image Layout"), whole or not at all, with what
/// [`take_layers`] wants to know of their layers.
///
/// # Errors
/// When `output` exists or cannot be written.
pub fn write_layout(plan: &Plan<'_>, images: &[Image], store: &Store, output: &Path) -> Result<()> {
    free(output)?;
    let parent = output.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = tempfile::Builder::new().prefix(".sealift-").tempdir_in(parent);
    let folder = folder.map_err(|error| cannot("write", output, &error))?;
    fill(plan, images, store, folder.path()).map_err(|error| explain(output, error))?;
    let commit = || {
        fs_err::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        files::sync_below(folder.path())?;
        fs_err::rename(folder.path(), output)
    };
    commit().map_err(|error| cannot("write", output, &error))?;
    // It has another name now.
    let _ = folder.keep();
    Ok(())
}

fn fill(plan: &Plan<'_>, images: &[Image], store: &Store, folder: &Path) -> Result<()> {
    for layer in plan.images.iter().flat_map(|image| &image.layers) {
        store.hand_out(&layer.key, &assemble::listing_key(&layer.key), folder)?;
    }
    let parts = archive::documents(images, |digest| {
        let file = fs_err::File::open(store.blob_path(&digest))?.into_parts().0;
        let length = file.metadata()?.len();
        Ok(Content::range(&SourceFile::new(file), 0, length))
    })?;
    let Parts { layout, index, manifest: _, blobs } = parts;
    fs_err::write(folder.join(archive::LAYOUT), layout)?;
    fs_err::write(folder.join(archive::INDEX), index)?;
    for (digest, content) in blobs {
        let path = folder.join(archive::blob_path(digest));
        if !path.exists() {
            fs_err::write(path, content.read()?)?;
        }
    }
    Ok(())
}
