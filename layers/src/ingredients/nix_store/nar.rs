//! The NAR of a tree (Nix manual, "Nix Archive (NAR) format"), which Nix hashes to identify a store path.
//!
//! A string is preceded by its length as a 64-bit little-endian number and followed by zeros up to a multiple of eight bytes.
//! A node is a list of such strings: the type; for a file, whether it is executable, and its contents; for a link, its
//! target; for a directory, its entries sorted bytewise by name. A NAR has no owners, times or other modes.

use std::collections::BTreeMap;
use std::io::{self, Write};

use crate::tree::{Entry, Kind, Tree, TreePath};

/// Writes the NAR of the entries of `tree` at and below `root`.
///
/// # Errors
/// Any error of reading a content or writing; if there is no entry at `root`; and if there is a hard link below it, which the
/// format does not support.
pub fn write(tree: &Tree, root: &TreePath, mut out: impl Write) -> io::Result<()> {
    let mut children: BTreeMap<TreePath, Vec<&TreePath>> = BTreeMap::new();
    for (path, _) in tree.below(root) {
        if let Some(parent) = path.parent() {
            children.entry(parent).or_default().push(path);
        }
    }
    string(b"nix-archive-1", &mut out)?;
    node(tree, root, &children, &mut out)
}

fn node(
    tree: &Tree,
    path: &TreePath,
    children: &BTreeMap<TreePath, Vec<&TreePath>>,
    out: &mut impl Write,
) -> io::Result<()> {
    let error = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("`/{path}` {what}"));
    let Entry { kind, mode, .. } = tree.get(path).ok_or_else(|| error("does not exist"))?;
    string(b"(", out)?;
    string(b"type", out)?;
    match kind {
        Kind::File(content) => {
            string(b"regular", out)?;
            if mode & 0o100 != 0 {
                string(b"executable", out)?;
                string(b"", out)?;
            }
            string(b"contents", out)?;
            out.write_all(&content.len().to_le_bytes())?;
            content.copy_to(out)?;
            pad(content.len(), out)?;
        }
        Kind::Symlink(target) => {
            string(b"symlink", out)?;
            string(b"target", out)?;
            string(target.as_bytes(), out)?;
        }
        Kind::Directory => {
            string(b"directory", out)?;
            // They are sorted by path and have the same parent, so they are sorted by name.
            for child in children.get(path).into_iter().flatten() {
                string(b"entry", out)?;
                string(b"(", out)?;
                string(b"name", out)?;
                string(child.file_name().as_bytes(), out)?;
                string(b"node", out)?;
                node(tree, child, children, out)?;
                string(b")", out)?;
            }
        }
        Kind::Hardlink(_) => return Err(error("is a hard link")),
    }
    string(b")", out)
}

fn string(bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
    out.write_all(&(bytes.len() as u64).to_le_bytes())?;
    out.write_all(bytes)?;
    pad(bytes.len() as u64, out)
}

fn pad(length: u64, out: &mut impl Write) -> io::Result<()> {
    out.write_all(&[0; 8][..(length.wrapping_neg() % 8) as usize])
}
