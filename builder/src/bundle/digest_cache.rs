//! A cache of the digests of whole bundles, so that a repeated build reads each blob once instead of twice.
//!
//! A bundle's bytes follow from its files, and `SHA256SUMS` lists the digests of all of them. When the same bundle is written
//! again and its digest is the same as before, every blob is intact: one hash over the whole file verifies the blobs, too.

use anyhow::Result;
use sealift_deployment::files;
use sealift_layers::digest::Digest;
use sealift_layers::tree::Tree;

use crate::recipe;
use crate::store::{Key, Store};

/// The cache's entry for the bundle that is about to be written.
pub(super) struct DigestCache<'s> {
    store: &'s Store,
    key: Key,
    /// Its digest, if the store has it from an earlier build.
    pub(super) digest: Option<Digest>,
}

impl<'s> DigestCache<'s> {
    /// Looks the digest up. `sums` is the text of the bundle's `SHA256SUMS`, `files` are its files besides the images, `epoch`
    /// is its time in seconds since 1970.
    pub(super) fn find(store: &'s Store, sums: &str, files: &Tree, epoch: u64) -> Self {
        let key = Key::builder(recipe::BUNDLE_DIGEST).bytes("sums", sums.as_bytes()).field("epoch", epoch);
        let key = files.iter().fold(key, |key, (_, entry)| key.field("mode", entry.mode)).finish();
        let text = store.derived(&key).and_then(|path| files::read_text(&path).ok());
        Self { store, key, digest: text.and_then(|text| text.parse().ok()) }
    }

    /// Keeps the digest for later builds.
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
