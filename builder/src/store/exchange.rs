//! Exchange of finished layers between stores, through a folder: builds on several machines share their work this way.
//!
//! ```text
//! layers/KEY.json         record of the layer, with the digests of its blob and of its listing
//! blobs/sha256/HEX        blobs and listings
//! ```
//!
//! An OCI image layout has its blobs in the same place, so one folder can be both.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::files::{cannot, explain};
use sealift_layers::digest::{Digest, HashingWriter};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::layer::listing_key;
use super::{BLOBS, Key, LAYERS, LayerEntry, Store, reader};

/// The record of a layer in such a folder.
#[derive(Serialize, Deserialize)]
struct Record {
    layer: LayerEntry,
    listing: Digest,
}

/// Whether `folder` has the layer `key`.
#[must_use]
pub fn has_layer(folder: &Path, key: &Key) -> bool {
    record_path(folder, key).is_file()
}

impl Store {
    /// Copies the layer `key` and its listing into `folder`. Blobs that are there already are not written again.
    ///
    /// # Errors
    /// When the store does not have both, or the folder cannot be written.
    pub fn export_layer(&self, key: &Key, folder: &Path) -> Result<()> {
        let missing = || Failure::failed("a layer has been removed from the store").hint("run the build again");
        let text = fs_err::read(self.layer_path(key)).map_err(|_| missing())?;
        let layer = LayerEntry::read(&text).map_err(|_| missing())?;
        let listing = self.derived(&listing_key(key)).ok_or_else(missing)?;
        let digest = Digest::of_reader(reader(&listing)?)?.digest;
        let blobs = folder.join(BLOBS);
        for (from, digest) in [(self.blob_path(&layer.blob), layer.blob), (listing, digest)] {
            let to = blobs.join(digest.hex());
            if !to.exists() {
                fs_err::create_dir_all(&blobs).map_err(|error| cannot("write", &blobs, &error))?;
                fs_err::copy(from, &to).map_err(|error| explain(&to, error.into()))?;
            }
        }
        let records = folder.join(LAYERS);
        fs_err::create_dir_all(&records).map_err(|error| cannot("write", &records, &error))?;
        let text = serde_json::to_vec(&Record { layer, listing: digest })?;
        fs_err::write(record_path(folder, key), text).map_err(|error| explain(&records, error.into()))
    }

    /// Copies the layer `key` and its listing from a folder that [`Store::export_layer`] filled, and verifies both.
    /// Returns whether the folder has the layer.
    ///
    /// # Errors
    /// When the files in the folder are damaged (verification), or the disk is full or failing.
    pub fn import_layer(&self, key: &Key, folder: &Path) -> Result<bool> {
        let path = record_path(folder, key);
        let text = match fs_err::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            text => text?,
        };
        let damaged = |why: String| Failure::verification(format!("{} is damaged: {why}", path.display()));
        let record: Record = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        let layer = serde_json::to_vec(&record.layer)?;
        LayerEntry::read(&layer).map_err(damaged)?;
        let verified = |digest: Digest| -> Result<NamedTempFile> {
            let (file, found) = self.copied(&folder.join(BLOBS).join(digest.hex()))?;
            match found {
                found if found == digest => Ok(file),
                found => Err(damaged(format!("its blob {digest} has the digest {found}")).into()),
            }
        };
        let file = verified(record.listing)?;
        self.put_derived(&listing_key(key), |path| Ok(fs_err::copy(file.path(), path).map(drop)?))?;
        self.settle(verified(record.layer.blob)?.into_temp_path(), self.blob_path(&record.layer.blob))?;
        let file = self.temporary()?;
        io::Write::write_all(&mut file.as_file(), &layer).map_err(|error| explain(file.path(), error.into()))?;
        self.settle(file.into_temp_path(), self.layer_path(key))?;
        Ok(true)
    }

    /// A copy of the file `from` in the store, with its digest.
    fn copied(&self, from: &Path) -> Result<(NamedTempFile, Digest)> {
        let mut file = self.temporary()?;
        let mut meter = HashingWriter::new(file.as_file_mut());
        let copied = io::copy(&mut reader(from)?, &mut meter);
        let digest = meter.finish().1.digest;
        copied.map_err(|error| explain(file.path(), error.into()))?;
        Ok((file, digest))
    }
}

fn record_path(folder: &Path, key: &Key) -> PathBuf {
    folder.join(LAYERS).join(format!("{}.json", key.hex()))
}
