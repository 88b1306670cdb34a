//! The NAR of a tree (Nix manual, "Nix Archive (NAR) format"): what Nix hashes of a store path.
//!
//! Texts have their length before them, as 64 little-endian bits, and zeros after them up to a multiple of eight. A node is
//! a list of such texts: the type; of a file whether it is executable, and its contents; of a link its target; of a
//! directory its entries, sorted bytewise by name. Owners, times and other modes are not in it.

use std::collections::BTreeMap;
use std::io::{self, Write};

use crate::tree::{Entry, Kind, Tree, TreePath};

/// Writes the NAR of what `tree` has at and below `root`.
///
/// # Errors
/// Whatever reading a content or writing gives; when there is nothing at `root`, or a hard link below it, which a NAR does
/// not know.
pub fn write(tree: &Tree, root: &TreePath, mut out: impl Write) -> io::Result<()> {
    let mut children: BTreeMap<TreePath, Vec<&TreePath>> = BTreeMap::new();
    for (path, _) in tree.below(root) {
        if let Some(parent) = path.parent() {
            children.entry(parent).or_default().push(path);
        }
    }
    text(b"nix-archive-1", &mut out)?;
    node(tree, root, &children, &mut out)
}

fn node(
    tree: &Tree,
    path: &TreePath,
    children: &BTreeMap<TreePath, Vec<&TreePath>>,
    out: &mut impl Write,
) -> io::Result<()> {
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("`/{path}` {what}"));
    let Entry { kind, mode, .. } = tree.get(path).ok_or_else(|| wrong("is not there"))?;
    text(b"(", out)?;
    text(b"type", out)?;
    match kind {
        Kind::File(content) => {
            text(b"regular", out)?;
            if mode & 0o100 != 0 {
                text(b"executable", out)?;
                text(b"", out)?;
            }
            text(b"contents", out)?;
            out.write_all(&content.len().to_le_bytes())?;
            content.copy_to(out)?;
            pad(content.len(), out)?;
        }
        Kind::Symlink(target) => {
            text(b"symlink", out)?;
            text(b"target", out)?;
            text(target.as_bytes(), out)?;
        }
        Kind::Directory => {
            text(b"directory", out)?;
            // All have the same folder before their names, so they are sorted by name.
            for child in children.get(path).into_iter().flatten() {
                text(b"entry", out)?;
                text(b"(", out)?;
                text(b"name", out)?;
                text(child.file_name().as_bytes(), out)?;
                text(b"node", out)?;
                node(tree, child, children, out)?;
                text(b")", out)?;
            }
        }
        Kind::Hardlink(_) => return Err(wrong("is a hard link")),
    }
    text(b")", out)
}

fn text(bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
    out.write_all(&(bytes.len() as u64).to_le_bytes())?;
    out.write_all(bytes)?;
    pad(bytes.len() as u64, out)
}

fn pad(length: u64, out: &mut impl Write) -> io::Result<()> {
    out.write_all(&[0; 8][..(length.wrapping_neg() % 8) as usize])
}
