//! A tree as a layer blob: one pass over the bytes gives the blob, its digest, its diff ID and its listing.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use crate::codec::Codec;
use crate::digest::{Digest, Meter};
use crate::listing::Listing;
use crate::tar;
use crate::tree::{Tree, TreePath};

/// What identifies a layer blob (image-spec 1.1, "Descriptor" and "Layer DiffID").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Layer {
    /// SHA-256 of the blob as it is stored, compressed.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// SHA-256 of the uncompressed tar.
    pub diff_id: Digest,
    /// Size of the uncompressed tar in bytes.
    pub unpacked: u64,
    /// Media type of the blob.
    pub media_type: String,
}

/// Why a tree did not become a layer.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// A hard link's target is not a file of the same layer.
    #[error("`/{path}` of {origin} is a hard link to a file that is not in its layer")]
    Hardlink {
        /// The link.
        path: TreePath,
        /// Who brings it.
        origin: String,
    },
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Writes `tree` to `out` as a layer.
///
/// `epoch` is in seconds since 1970: no entry is later. The listing has the digests of files if `digests` says so. At most `jobs` threads compress; the bytes do not depend on it.
///
/// # Errors
/// [`LayerError`].
pub fn write(
    mut tree: Tree,
    epoch: u64,
    digests: bool,
    codec: Codec,
    jobs: usize,
    out: impl Write,
) -> Result<(Layer, Listing), LayerError> {
    tree.settle_hardlinks().map_err(|path| {
        let origin = tree.get(&path).map_or_else(String::new, |entry| entry.origin.to_string());
        LayerError::Hardlink { path, origin }
    })?;
    let blob = Meter::new(out);
    let mut plain = Meter::new(codec.encoder(blob, jobs)?);
    let listing = tar::write(&tree, epoch, digests, &mut plain)?;
    // While the last blocks are compressed: there may be a hundred thousand entries.
    drop(tree);
    let (encoder, diff_id, unpacked) = plain.finish();
    let (mut out, digest, size) = encoder.finish()?.finish();
    out.flush()?;
    Ok((Layer { digest, size, diff_id, unpacked, media_type: codec.media_type().to_owned() }, listing))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::sync::Arc;

    use super::*;
    use crate::tree::Entry;

    #[test]
    fn digest_and_diff_id_are_of_the_blob_and_the_tar() {
        let mut tree = Tree::new();
        tree.insert(TreePath::new("a").unwrap(), Entry::file("hello", 0o644, &Arc::from("test")));
        let mut blob = Vec::new();
        let (layer, listing) = write(tree, 1, true, Codec::Gzip, 2, &mut blob).unwrap();
        assert_eq!((layer.digest, layer.size), (Digest::of(&blob), blob.len() as u64));
        let mut plain = Vec::new();
        Codec::Gzip.decoder(&blob[..]).unwrap().read_to_end(&mut plain).unwrap();
        assert_eq!((layer.diff_id, layer.unpacked), (Digest::of(&plain), plain.len() as u64));
        assert_eq!(listing.len(), 1);
    }
}
