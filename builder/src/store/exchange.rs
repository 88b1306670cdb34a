//! Exchange of finished layers between stores, through a folder: builds on several machines share their work this way.
//!
//! ```text
//! layers/KEY.json         record of the layer, with the digests of its blob and of its listing
//! blobs/sha256/HEX        blobs, listings and texts of licences
//! ```
//!
//! An OCI image layout has its blobs in the same place, so one folder can be both.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::files::{self, cannot, explain, write_atomically};
use sealift_layers::digest::{Digest, HashingWriter};
use sealift_layers::limits::DOCUMENT;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::{BLOBS, DERIVED_LIMIT, Key, LAYERS, LayerEntry, Store, reader};

/// The record of a layer in such a folder.
#[derive(Serialize, Deserialize)]
struct Record {
    layer: LayerEntry,
    listing: Digest,
}

/// The document with the texts of licences that a record names.
fn texts_of(entry: &LayerEntry) -> Option<Digest> {
    entry.record.get("texts")?.as_str()?.parse().ok()
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
        let layer = match self.borrowed.entry(key) {
            Some(entry) => entry,
            None => {
                let text = files::read_within(&self.layer_path(key), files::FILE_LIMIT).map_err(|_| missing())?;
                LayerEntry::read(&text, key.digest()).map_err(|_| missing())?
            }
        };
        let listing = self.listing_path(key).ok_or_else(missing)?;
        let digest = Digest::of_reader(reader(&listing)?)?.digest;
        let blobs = folder.join(BLOBS);
        for (from, digest) in [(self.blob_path(&layer.blob), layer.blob), (listing, digest)] {
            let to = blobs.join(digest.hex());
            if !to.exists() {
                fs_err::create_dir_all(&blobs).map_err(|error| cannot("write", &blobs, &error))?;
                let mut from = files::open(&from)?;
                write_atomically(&to, |file| Ok(io::copy(&mut from, file).map(drop)?))?;
            }
        }
        if let Some(digest) = texts_of(&layer) {
            let text = self.document(digest)?;
            write_atomically(&blobs.join(digest.hex()), |file| Ok(io::Write::write_all(file, &text)?))?;
        }
        let records = folder.join(LAYERS);
        fs_err::create_dir_all(&records).map_err(|error| cannot("write", &records, &error))?;
        let text = serde_json::to_vec(&Record { layer, listing: digest })?;
        write_atomically(&record_path(folder, key), |file| Ok(io::Write::write_all(file, &text)?))
    }

    /// Copies the layer `key` and its listing from a folder that [`Store::export_layer`] filled, and verifies their
    /// digests. Only this build uses it: that the layer is what its key stands for is not verified. Returns whether the
    /// folder has the layer.
    ///
    /// # Errors
    /// When the files in the folder are damaged (verification), or the disk is full or failing.
    pub fn import_layer(&self, key: &Key, folder: &Path) -> Result<bool> {
        let path = record_path(folder, key);
        if !path.exists() {
            return Ok(false);
        }
        let text = document(&path, DOCUMENT)?;
        let damaged = |why: String| Failure::verification(format!("{} is damaged: {why}", path.display()));
        let record: Record = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        let layer = serde_json::to_vec(&record.layer)?;
        let entry = LayerEntry::read(&layer, key.digest()).map_err(damaged)?;
        let blob_path = |digest: &Digest| folder.join(BLOBS).join(digest.hex());
        let verified = |digest: Digest| -> Result<NamedTempFile> {
            let (file, found) = self.copied(&blob_path(&digest))?;
            match found {
                found if found == digest => Ok(file),
                found => Err(damaged(format!("its blob {digest} has the digest {found}")).into()),
            }
        };
        if regular(&blob_path(&record.listing))? > DERIVED_LIMIT {
            return Err(damaged(format!("its listing is larger than {} MiB", DERIVED_LIMIT >> 20)).into());
        }
        if let Some(digest) = texts_of(&entry) {
            let text = document(&blob_path(&digest), DERIVED_LIMIT)?;
            match Digest::of(&text) {
                found if found == digest => self.put_document(digest, &text)?,
                found => return Err(damaged(format!("its texts {digest} have the digest {found}")).into()),
            }
        }
        let listing = verified(record.listing)?;
        self.settle(verified(entry.blob)?.into_temp_path(), self.blob_path(&entry.blob))?;
        self.borrowed.add(*key, entry, listing.into_temp_path());
        Ok(true)
    }

    /// Adds a layer that only this build uses, with its listing. See [`Store::put_layer`].
    pub(super) fn borrow_layer<T: Serialize>(
        &self,
        key: &Key,
        blob: NamedTempFile,
        digest: &Digest,
        record: &T,
        listing: NamedTempFile,
    ) -> Result<()> {
        let size = blob.as_file().metadata()?.len();
        self.settle(blob.into_temp_path(), self.blob_path(digest))?;
        let entry = LayerEntry::new(Some(key.digest()), *digest, size, serde_json::to_value(record)?)?;
        self.borrowed.add(*key, entry, listing.into_temp_path());
        self.written.lock().unwrap_or_else(PoisonError::into_inner).insert(*digest);
        Ok(())
    }

    /// A copy of the file `from` in the store, with its digest.
    fn copied(&self, from: &Path) -> Result<(NamedTempFile, Digest)> {
        regular(from)?;
        let mut file = self.temporary()?;
        let mut meter = HashingWriter::new(file.as_file_mut());
        let copied = io::copy(&mut reader(from)?, &mut meter);
        let digest = meter.finish().1.digest;
        copied.map_err(|error| explain(file.path(), error.into()))?;
        Ok((file, digest))
    }
}

/// The size of a regular file. A pipe would be waited for for ever.
fn regular(path: &Path) -> Result<u64> {
    let found = path.metadata().map_err(|error| cannot("read", path, &error))?;
    if !found.is_file() {
        return Err(Failure::verification(format!("{} is not a regular file", path.display())).into());
    }
    Ok(found.len())
}

/// The bytes of a regular file of at most `limit` bytes.
fn document(path: &Path, limit: u64) -> Result<Vec<u8>> {
    if regular(path)? > limit {
        return Err(Failure::verification(format!("{} is larger than {} MiB", path.display(), limit >> 20)).into());
    }
    Ok(files::read_within(path, limit)?)
}

fn record_path(folder: &Path, key: &Key) -> PathBuf {
    folder.join(LAYERS).join(format!("{}.json", key.hex()))
}
