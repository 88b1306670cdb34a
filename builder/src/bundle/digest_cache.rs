//! The digest that a bundle had when it was made before.
//!
//! Its bytes follow from its files, and `SHA256SUMS` has the digests of them all. So when the same bundle is made again and
//! its digest is the same, every blob is what it was then: one hash over it all does what otherwise two do, one for each
//! blob and one for the file.

use anyhow::Result;
use sealift_layers::digest::Digest;
use sealift_layers::tree::Tree;

use crate::store::{Key, Store};

/// What is known of the bundle that is about to be written.
pub(super) struct DigestCache<'s> {
    store: &'s Store,
    key: Key,
    /// Its digest, if it was made before.
    pub(super) digest: Option<Digest>,
}

impl<'s> DigestCache<'s> {
    /// Looks it up: `sums` is its `SHA256SUMS`, `files` what it has besides its images, `epoch` its time in seconds since
    /// 1970.
    pub(super) fn find(store: &'s Store, sums: &str, files: &Tree, epoch: u64) -> Self {
        // The way an archive is written is part of it, as the 1.
        let key = Key::builder("bundle-digest/1").bytes("sums", sums.as_bytes()).field("epoch", epoch);
        let key = files.iter().fold(key, |key, (_, entry)| key.field("mode", entry.mode)).finish();
        let text = store.derived(&key).and_then(|path| fs_err::read_to_string(path).ok());
        Self { store, key, digest: text.and_then(|text| text.parse().ok()) }
    }

    /// Keeps the digest for the next time.
    ///
    /// # Errors
    /// When the disk is full or failing.
    pub(super) fn keep(&self, digest: Digest) -> Result<()> {
        if self.digest.is_none() {
            self.store.put_derived(&self.key, |path| Ok(fs_err::write(path, digest.to_string())?))?;
        }
        Ok(())
    }
}
