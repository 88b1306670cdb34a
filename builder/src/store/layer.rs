//! Finished layers: what the store keeps of each, and how one is written.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use anyhow::Result;
use sealift_deployment::bundle::{Source, System};
use sealift_deployment::failure::Failure;
use sealift_deployment::files::{self, Streamed, cannot};
use sealift_layers::codec::Codec;
use sealift_layers::digest::Digest;
use sealift_layers::ingredients::scripts::{Diversion, Owned, Request};
use sealift_layers::layer::{self, Layer, LayerError, Written};
use sealift_layers::listing::Listing;
use sealift_layers::programs::{self, Programs};
use sealift_layers::secrets::{self, Scanner};
use sealift_layers::tree::{Content, SourceFile, Tree};
use serde::{Deserialize, Serialize};

use super::facts::Facts;
use super::{DERIVED_LIMIT, Key, Store};
use crate::recipe;

/// What the store keeps of a finished layer besides its blob and its listing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LayerRecord {
    /// Digests and sizes.
    pub layer: Layer,
    /// What else is known of its contents.
    #[serde(flatten)]
    pub remarks: Remarks,
}

/// What was noticed when a layer was made. Builds that find the layer in the store tell it, too.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Remarks {
    /// Maintainer scripts of Debian packages that were not run: package to names of scripts.
    pub scripts: BTreeMap<String, Vec<String>>,
    /// Source packages of Debian packages that are named otherwise or have another version, by package.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sources: BTreeMap<String, Source>,
    /// What `os-release` in the layer says, if it has that file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<System>,
    /// Accounts that its packages want.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<Request>,
    /// Owners by name: they get numbers with the accounts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owned: Vec<Owned>,
    /// Paths where packages have the files of others elsewhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diversions: Vec<Diversion>,
    /// What maintainer scripts would have done and is done without them: package to phrases.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub applied: BTreeMap<String, BTreeSet<String>>,
    /// What is not: package to kinds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub left: BTreeMap<String, BTreeSet<String>>,
    /// How the `RECORD` of wheels differs from their files: file name of the wheel to phrases.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub differences: BTreeMap<String, Vec<String>>,
    /// Python sources without bytecode because they cannot be compiled: origin to paths.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub uncompiled: BTreeMap<String, Vec<String>>,
    /// The `drop` and `keep` patterns that match a path of its packages or wheels. `None` if it has none of them, or was made
    /// before this was noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matched: Option<BTreeSet<String>>,
    /// The distributions that its wheels require, normalised (PEP 503). `None` as for `matched`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires: Option<BTreeSet<String>>,
    /// What its packages say of themselves, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub packages: BTreeMap<String, Facts>,
    /// What its wheels say of themselves, by file name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub wheels: BTreeMap<String, Facts>,
    /// What the crates of its programs say of themselves, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub crates: BTreeMap<String, Facts>,
    /// Digest of the document with the texts that these facts name: see [`Store::texts`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub texts: Option<Digest>,
}

/// A check of a layer's contents that runs while the layer is compressed.
pub type Check<'a> = Box<dyn FnOnce() -> Result<()> + Send + 'a>;

/// The key of a layer's listing.
pub(super) fn listing_key(layer: &Key) -> Key {
    Key::builder(recipe::LISTING).field("layer", layer.hex()).finish()
}

/// The key of the list of a layer's private keys.
fn private_keys_key(layer: &Key) -> Key {
    Key::builder(recipe::PRIVATE_KEYS).field("layer", layer.hex()).finish()
}

/// The key of what the files of a layer need to run.
fn programs_key(layer: &Key) -> Key {
    Key::builder(recipe::PROGRAMS).field("layer", layer.hex()).finish()
}

impl Store {
    /// The record of a finished layer, if the store has the record, the blob and the listing.
    #[must_use]
    pub fn finished_layer(&self, key: &Key) -> Option<LayerRecord> {
        // Without its listing no other layer can be put on top of it.
        self.listing_path(key)?;
        let record: LayerRecord = self.layer(key)?;
        // Nor can the bundle be written without its texts.
        record.remarks.texts.is_none_or(|document| self.has_texts(document)).then_some(record)
    }

    /// Whether the layer comes from another build, or is made on top of one that does: this build alone uses it.
    #[must_use]
    pub fn is_borrowed(&self, key: &Key) -> bool {
        self.borrowed.contains(key)
    }

    pub(super) fn listing_path(&self, key: &Key) -> Option<PathBuf> {
        self.borrowed.listing(key).or_else(|| self.derived(&listing_key(key)))
    }

    /// The listing of a finished layer.
    ///
    /// # Errors
    /// When it has been removed from the store, or cannot be read.
    pub fn listing(&self, key: &Key) -> Result<Listing> {
        let path = self.listing_path(key).ok_or_else(|| {
            Failure::failed("the listing of a layer has been removed from the store").hint("run the build again")
        })?;
        Ok(serde_json::from_slice(&files::read_within(&path, DERIVED_LIMIT)?)?)
    }

    /// What the files of a finished layer need to run. Stores of earlier versions do not have it: then it is read from the
    /// blob, which `codec` compressed, and kept.
    ///
    /// # Errors
    /// When the blob cannot be read.
    pub fn programs(&self, key: &Key, blob: Digest, codec: Codec) -> Result<Programs> {
        // What is known of a layer with this key may be of another one.
        if self.is_borrowed(key) {
            return Ok(programs::of_tar(codec.decoder(self.blob(blob)?.reader())?)?);
        }
        let derived = programs_key(key);
        if let Some(path) = self.derived(&derived) {
            return Ok(serde_json::from_slice(&files::read_within(&path, DERIVED_LIMIT)?)?);
        }
        let programs = programs::of_tar(codec.decoder(self.blob(blob)?.reader())?)?;
        self.put_json(&derived, &programs)?;
        Ok(programs)
    }

    /// The private keys in the files of a finished layer, as [`Self::programs`].
    ///
    /// # Errors
    /// When the blob cannot be read.
    pub fn private_keys(&self, key: &Key, blob: Digest, codec: Codec) -> Result<secrets::Found> {
        let search = || self.search(blob, codec, &mut Scanner::new(&[]));
        if self.is_borrowed(key) {
            return search();
        }
        let derived = private_keys_key(key);
        if let Some(path) = self.derived(&derived) {
            return Ok(serde_json::from_slice(&files::read_within(&path, DERIVED_LIMIT)?)?);
        }
        let found = search()?;
        self.put_json(&derived, &found)?;
        Ok(found)
    }

    /// What `scanner` finds in the files of the layer `blob`.
    ///
    /// # Errors
    /// When the blob cannot be read.
    pub fn search(&self, blob: Digest, codec: Codec, scanner: &mut Scanner) -> Result<secrets::Found> {
        Ok(secrets::of_tar(codec.decoder(self.blob(blob)?.reader())?, scanner)?)
    }

    fn put_json(&self, key: &Key, value: &impl Serialize) -> Result<()> {
        self.put_derived(key, |path| {
            let mut file = BufWriter::new(fs_err::File::create(path)?);
            serde_json::to_writer(&mut file, value)?;
            Ok(file.flush()?)
        })?;
        Ok(())
    }

    /// The content of a blob, read when it is needed.
    ///
    /// # Errors
    /// When the blob is not there.
    pub fn blob(&self, digest: Digest) -> io::Result<Content> {
        let file = files::open(&self.blob_path(&digest))?.into_parts().0;
        let length = file.metadata()?.len();
        Ok(Content::range(&SourceFile::new(file), 0, length))
    }

    /// The failure for a blob that does not have its digest.
    #[must_use]
    pub fn damaged_blob(&self, digest: &Digest) -> Failure {
        let path = self.blob_path(digest);
        let message =
            format!("a layer is damaged in the store: {} does not have the digest in its name", path.display());
        Failure::verification(message).hint("remove it with: sealift store check --repair")
    }
}

/// Writes layers into a store.
#[derive(Clone, Copy, Debug)]
pub struct LayerWriter<'a> {
    /// The store.
    pub store: &'a Store,
    /// Compression of the layers.
    pub codec: Codec,
    /// No entry is later than this, in seconds since 1970.
    pub epoch: u64,
    /// Number of threads that compress.
    pub jobs: usize,
    /// The layer depends on a borrowed one ([`Store::is_borrowed`]): later builds do not find it.
    pub is_borrowed: bool,
}

impl LayerWriter<'_> {
    /// Writes `tree`, which is adapted to the layers below it ([`sealift_layers::tree::overlay`]), as the layer `key`.
    ///
    /// `check` compares the contents with digests known beforehand. It runs in parallel with the compression, and the
    /// layer is kept only if it succeeds. The listing has no digests of its own then.
    ///
    /// # Errors
    /// That of `check`; or when a content cannot be read, or the disk is full or failing.
    pub fn write(&self, key: &Key, tree: Tree, remarks: Remarks, check: Option<Check<'_>>) -> Result<LayerRecord> {
        let mut blob = self.store.temporary()?;
        let out = BufWriter::with_capacity(1 << 20, Streamed::new(blob.as_file_mut()));
        let files = programs::files(&tree);
        let (checked, programs, written) = std::thread::scope(|scope| {
            let Self { epoch, codec, jobs, .. } = *self;
            let options = layer::Options { epoch, file_digests: check.is_none(), codec, jobs };
            let check = check.map(|check| scope.spawn(check));
            let programs = scope.spawn(|| programs::of_files(files));
            let written = layer::write(tree, options, out);
            let checked = check.map_or(Ok(()), |check| check.join().expect("checks do not panic"));
            (checked, programs.join().expect("the search does not panic"), written)
        });
        checked?;
        let Written { layer, listing, private_keys } = written.map_err(|error| match error {
            LayerError::Io(error) => cannot("write", self.store.root(), &error),
            other @ LayerError::Hardlink { .. } => other.into(),
        })?;
        let record = LayerRecord { layer, remarks };
        if self.is_borrowed {
            let mut file = self.store.temporary()?;
            let mut out = BufWriter::new(file.as_file_mut());
            serde_json::to_writer(&mut out, &listing)?;
            out.flush()?;
            drop(out);
            self.store.borrow_layer(key, blob, &record.layer.digest, &record, file)?;
            return Ok(record);
        }
        self.store.put_json(&listing_key(key), &listing)?;
        self.store.put_json(&programs_key(key), &programs?)?;
        self.store.put_json(&private_keys_key(key), &private_keys)?;
        self.store.put_layer(key, blob, &record.layer.digest, &record)?;
        Ok(record)
    }
}
