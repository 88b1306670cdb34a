//! A tree as a layer blob. One pass over the bytes yields the blob, its digest, its diff ID and its listing.
//!
//! ```
//! use std::sync::Arc;
//!
//! use sealift_layers::codec::Codec;
//! use sealift_layers::digest::Digest;
//! use sealift_layers::layer;
//! use sealift_layers::tree::{Entry, Tree, TreePath};
//!
//! let origin: Arc<str> = "example".into();
//! let mut tree = Tree::new();
//! tree.insert(TreePath::new("etc/motd")?, Entry::file("hello\n", 0o644, &origin));
//!
//! let mut blob = Vec::new();
//! let options = layer::Options { epoch: 1_700_000_000, file_digests: true, codec: Codec::Gzip, jobs: 2 };
//! let layer::Written { layer, listing, .. } = layer::write(tree, options, &mut blob)?;
//! assert_eq!(layer.digest, Digest::of(&blob));
//! assert_eq!(listing.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use crate::codec::Codec;
use crate::digest::{Digest, HashingWriter};
use crate::listing::Listing;
use crate::secrets::{self, Scanner};
use crate::tar;
use crate::tree::{Tree, TreePath};

/// What identifies a layer blob (image-spec 1.1, "Descriptor" and "Layer DiffID").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Layer {
    /// SHA-256 of the blob as it is stored, compressed.
    pub digest: Digest,
    /// Size of the blob in bytes.
    pub size: u64,
    /// SHA-256 of the uncompressed tar.
    pub diff_id: Digest,
    /// Size of the uncompressed tar in bytes.
    pub unpacked: u64,
    /// Media type of the blob.
    pub media_type: String,
}

/// How a layer is written.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Seconds since 1970. No entry has a later modification time.
    pub epoch: u64,
    /// Whether the listing has the digest of each file.
    pub file_digests: bool,
    /// Compression.
    pub codec: Codec,
    /// Threads that compress, at most. The bytes do not depend on it.
    pub jobs: usize,
}

/// A layer that was written, and what it contains.
#[derive(Clone, Debug)]
pub struct Written {
    /// Digests and sizes.
    pub layer: Layer,
    /// Its paths with their metadata, for the layers above.
    pub listing: Listing,
    /// Its files with private keys.
    pub private_keys: secrets::Found,
}

/// Why a tree cannot be written as a layer.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The target of a hard link is not a file of the same layer.
    #[error("`/{path}` of {origin} is a hard link to a file that is not in its layer")]
    Hardlink {
        /// The link.
        path: TreePath,
        /// The ingredient that the link comes from.
        origin: String,
    },
    /// Reading a content or writing the blob failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Writes `tree` to `out` as a layer.
///
/// # Errors
/// [`LayerError`].
pub fn write(mut tree: Tree, options: Options, out: impl Write) -> Result<Written, LayerError> {
    tree.normalize_hardlinks().map_err(|path| {
        let origin = tree.get(&path).map_or_else(String::new, |entry| entry.origin.to_string());
        LayerError::Hardlink { path, origin }
    })?;
    let Options { epoch, file_digests, codec, jobs } = options;
    let blob = HashingWriter::new(out);
    let mut plain = HashingWriter::new(codec.encoder(blob, jobs)?);
    let mut private_keys = secrets::Found::new();
    let mut scanner = Scanner::new(&[]);
    let ended = |scanner: &mut Scanner, path: &TreePath| {
        let found = scanner.end();
        if !found.is_empty() {
            private_keys.insert(path.clone(), found);
        }
    };
    let options = tar::Options { epoch, file_digests };
    let listing = tar::write_watched(&tree, options, &mut plain, &mut scanner, ended)?;
    // Frees a hundred thousand entries while other threads compress the last blocks.
    drop(tree);
    let (encoder, tar) = plain.finish();
    let (mut out, blob) = encoder.finish()?.finish();
    out.flush()?;
    let layer = Layer {
        digest: blob.digest,
        size: blob.size,
        diff_id: tar.digest,
        unpacked: tar.size,
        media_type: codec.media_type().to_owned(),
    };
    Ok(Written { layer, listing, private_keys })
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::sync::Arc;

    use super::*;
    use crate::listing::Node;
    use crate::tree::{Entry, Kind};

    const OPTIONS: Options = Options { epoch: 1, file_digests: true, codec: Codec::Gzip, jobs: 2 };

    fn path(text: &str) -> TreePath {
        TreePath::new(text).unwrap()
    }

    fn file(text: &str) -> Entry {
        Entry::file(text, 0o644, &Arc::from("test"))
    }

    #[test]
    fn the_digest_is_of_the_blob_and_the_diff_id_of_the_tar() {
        let mut tree = Tree::new();
        tree.insert(path("a"), file("hello"));
        for codec in [Codec::None, Codec::Gzip, Codec::Zstd] {
            let mut blob = Vec::new();
            let Written { layer, listing, .. } = write(tree.clone(), Options { codec, ..OPTIONS }, &mut blob).unwrap();
            assert_eq!((layer.digest, layer.size), (Digest::of(&blob), blob.len() as u64));
            let mut plain = Vec::new();
            codec.decoder(&blob[..]).unwrap().read_to_end(&mut plain).unwrap();
            assert_eq!((layer.diff_id, layer.unpacked), (Digest::of(&plain), plain.len() as u64));
            assert_eq!(layer.media_type, codec.media_type());
            assert_eq!(listing.len(), 1);
        }
    }

    #[test]
    fn the_listing_has_file_digests_only_on_request() {
        let mut tree = Tree::new();
        tree.insert(path("a"), file("hello"));
        for (file_digests, expected) in [(true, Some(Digest::of(b"hello"))), (false, None)] {
            let written = write(tree.clone(), Options { file_digests, ..OPTIONS }, io::sink()).unwrap();
            assert_eq!(written.listing[&path("a")].node, Node::File { size: 5, sha256: expected });
        }
    }

    #[test]
    fn a_hard_link_to_another_layer_is_an_error() {
        let mut tree = Tree::new();
        tree.insert(path("a"), Entry { kind: Kind::Hardlink(path("elsewhere")), ..file("") });
        let error = write(tree, OPTIONS, io::sink()).unwrap_err();
        assert_eq!(error.to_string(), "`/a` of test is a hard link to a file that is not in its layer");
    }
}
