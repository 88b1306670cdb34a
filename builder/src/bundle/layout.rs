//! Images as a folder: an OCI image layout, whose layers another build can import.

use std::path::Path;

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::files::{PendingFolder, cannot, explain};
use sealift_layers::archive::{self, Parts};
use sealift_layers::image::Image;

use crate::plan::Plan;
use crate::store::Store;

/// Checks that `output` does not exist, so that the error comes before the work.
///
/// # Errors
/// When it exists.
pub fn check_absent(output: &Path) -> Result<()> {
    match output.symlink_metadata() {
        Err(_) => Ok(()),
        Ok(_) => {
            let failure = Failure::usage(format!("{} exists already", output.display()));
            Err(failure.hint("remove it, or name another folder").into())
        }
    }
}

/// Writes finished images as an OCI image layout (image-spec 1.1, "Image Layout"), whole or not at all, with the
/// records that [`Store::import_layer`] reads.
///
/// # Errors
/// When `output` exists or cannot be written.
pub fn write_layout(plan: &Plan<'_>, images: &[Image], store: &Store, output: &Path) -> Result<()> {
    check_absent(output)?;
    let folder = PendingFolder::create(output).map_err(|error| cannot("write", output, &error))?;
    fill(plan, images, store, folder.path()).map_err(|error| explain(output, error))?;
    folder.commit(output).map_err(|error| cannot("write", output, &error))
}

fn fill(plan: &Plan<'_>, images: &[Image], store: &Store, folder: &Path) -> Result<()> {
    for layer in plan.images.iter().flat_map(|image| &image.layers) {
        store.export_layer(&layer.key, folder)?;
    }
    let Parts { layout, index, manifest: _, blobs } = archive::documents(images, |digest| store.blob(digest))?;
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
