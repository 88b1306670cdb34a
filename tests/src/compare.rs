//! Comparison of bundles that must be equal byte for byte.

use std::path::Path;

use sealift_deployment::bundle::Bundle;
use sealift_layers::archive;
use sealift_layers::codec::Codec;
use sealift_layers::digest::Digest;
use sealift_layers::tree::{Kind, SourceFile, Tree, TreePath};

/// Describes the first difference between two bundles; `None` if they are equal byte for byte.
///
/// # Panics
/// A bundle cannot be read.
#[must_use]
pub fn difference(one: &Path, other: &Path) -> Option<String> {
    let (left, right) = (digest(one), digest(other));
    if left == right {
        return None;
    }
    let open = |path: &Path| sealift_deployment::bundle::open(path).expect("a bundle");
    let (left, right) = (open(one), open(other));
    let layers = || {
        let (left, right) = (left.manifest.as_ref()?, right.manifest.as_ref()?);
        let pairs = left.images.iter().zip(&right.images).flat_map(|(one, two)| one.layers.iter().zip(&two.layers));
        pairs
            .filter(|(one, two)| one.diff_id != two.diff_id)
            .map(|(one, two)| (one.digest, two.digest, one.title.clone()))
            .next()
    };
    if let Some((one, two, title)) = layers() {
        let what = first(&unpacked(&left, one), &unpacked(&right, two), &[]);
        return Some(format!("layer `{title}`: {}", what.unwrap_or_else(|| "only its tar headers differ".to_owned())));
    }
    // Files that contain digests of others are compared last.
    let derived = ["SHA256SUMS", "bundle.json", "index.json", "manifest.json", "blobs/"];
    let found = first(&left.files, &right.files, &derived).or_else(|| first(&left.files, &right.files, &[]));
    Some(found.unwrap_or_else(|| "only the order or the headers of the tar differ".to_owned()))
}

/// The files of a layer.
fn unpacked(bundle: &Bundle, digest: Digest) -> Tree {
    let path = TreePath::new(&archive::blob_path(digest)).expect("a path");
    let Some(Kind::File(content)) = bundle.files.get(&path).map(|entry| &entry.kind) else {
        panic!("{path} is not in the bundle");
    };
    let bytes = content.read().expect("a readable blob");
    let codec = match bytes[..] {
        [0x1f, 0x8b, ..] => Codec::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Codec::Zstd,
        _ => Codec::None,
    };
    let mut tar = tempfile::tempfile().expect("a temporary file");
    std::io::copy(&mut codec.decoder(&bytes[..]).expect("a decoder"), &mut tar).expect("a sound blob");
    sealift_layers::tar::read(&SourceFile::new(tar), &"layer".into()).expect("a sound layer")
}

fn digest(path: &Path) -> Digest {
    let mut hasher = sealift_layers::digest::Hasher::default();
    std::io::copy(&mut fs_err::File::open(path).expect("a bundle"), &mut hasher).expect("it can be read");
    hasher.finish()
}

/// The first difference of two trees, by path. Paths that begin with one of `without` are skipped.
fn first(left: &Tree, right: &Tree, without: &[&str]) -> Option<String> {
    let compared = |path: &TreePath| !without.iter().any(|prefix| path.as_str().starts_with(prefix));
    for (path, entry) in left.iter().filter(|(path, _)| compared(path)) {
        let Some(other) = right.get(path) else { return Some(format!("{path} is only in the first")) };
        if (entry.mode, entry.uid, entry.gid) != (other.mode, other.uid, other.gid) {
            return Some(format!("{path}: mode {:o} and {:o}, or other owners", entry.mode, other.mode));
        }
        if entry.mtime != other.mtime {
            return Some(format!("{path}: times {:?} and {:?}", entry.mtime, other.mtime));
        }
        if let (Kind::File(one), Kind::File(two)) = (&entry.kind, &other.kind)
            && one.digest().expect("readable") != two.digest().expect("readable")
        {
            return Some(format!("{path}: other contents, {} and {} bytes", one.len(), two.len()));
        }
    }
    right
        .iter()
        .find(|(path, _)| compared(path) && left.get(path).is_none())
        .map(|(path, _)| format!("{path} is only in the second"))
}
