//! Handing finished layers from one store to another, through a folder: builds on several machines share their work so.
//!
//! ```text
//! layers/KEY.json         what the layer is, which blob holds it, and which its listing
//! blobs/sha256/HEX        both
//! ```
//!
//! An OCI image layout has its blobs in the same place, so that one folder can be both.

use std::io;
use std::path::Path;

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::files::{cannot, explain};
use sealift_layers::digest::{Digest, HashingWriter};
use serde::{Deserialize, Serialize};

use super::{BLOBS, Key, LAYERS, LayerEntry, Store, reader};

/// A layer in such a folder.
#[derive(Serialize, Deserialize)]
struct Handed {
    layer: LayerEntry,
    listing: Digest,
}

impl Store {
    /// Puts the layer `key` into `folder`, and the file that is derived under `listing`. Blobs that are there already
    /// are left alone.
    ///
    /// # Errors
    /// When the store does not have both, or the folder cannot be written.
    pub fn hand_out(&self, key: &Key, listing: &Key, folder: &Path) -> Result<()> {
        let gone = || Failure::failed("a layer has gone from the store").hint("build again");
        let text = fs_err::read(self.layer_path(key)).map_err(|_| gone())?;
        let layer = LayerEntry::read(&text).map_err(|_| gone())?;
        let listing = self.derived(listing).ok_or_else(gone)?;
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
        let text = serde_json::to_vec(&Handed { layer, listing: digest })?;
        fs_err::write(record(folder, key), text).map_err(|error| explain(&records, error.into()))
    }

    /// Takes the layer `key` from a folder that [`Store::hand_out`] filled, with the file that is to be derived under
    /// `listing`, verified; gives whether the folder has it.
    ///
    /// # Errors
    /// When what is there is damaged (verification), or the disk is full or failing.
    pub fn take_over(&self, key: &Key, listing: &Key, folder: &Path) -> Result<bool> {
        let path = record(folder, key);
        let text = match fs_err::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            text => text?,
        };
        let damaged = |why: String| Failure::verification(format!("{} is damaged: {why}", path.display()));
        let handed: Handed = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        let layer = serde_json::to_vec(&handed.layer)?;
        LayerEntry::read(&layer).map_err(damaged)?;
        let blob = |digest: Digest| -> Result<_> {
            let from = folder.join(BLOBS).join(digest.hex());
            let mut file = self.temporary()?;
            let mut meter = HashingWriter::new(file.as_file_mut());
            let copied = io::copy(&mut reader(&from)?, &mut meter);
            let got = meter.finish().1.digest;
            copied.map_err(|error| explain(file.path(), error.into()))?;
            match got {
                got if got == digest => Ok(file),
                got => Err(damaged(format!("its blob {digest} has the digest {got}")).into()),
            }
        };
        let file = blob(handed.listing)?;
        self.put_derived(listing, |path| Ok(fs_err::copy(file.path(), path).map(drop)?))?;
        self.settle(blob(handed.layer.blob)?.into_temp_path(), self.blob_path(&handed.layer.blob))?;
        let file = self.temporary()?;
        io::Write::write_all(&mut file.as_file(), &layer).map_err(|error| explain(file.path(), error.into()))?;
        self.settle(file.into_temp_path(), self.layer_path(key))?;
        Ok(true)
    }
}

fn record(folder: &Path, key: &Key) -> std::path::PathBuf {
    folder.join(LAYERS).join(format!("{}.json", key.hex()))
}
