//! An uncompressed tar as a tree whose contents are ranges of the file: nothing is extracted.

use std::io;
use std::sync::Arc;

use tar::EntryType;

use crate::tree::{Content, Entry, Kind, PathError, SourceFile, Tree, TreePath};

/// Why a tar is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The archive is damaged or cut off.
    #[error("the tar archive is damaged")]
    Io(#[from] io::Error),
    /// A path leaves the tree or is empty.
    #[error("the tar archive has a bad path")]
    Path(#[from] PathError),
    /// A name is not UTF-8.
    #[error("the tar archive has the path `{0}`, which is not UTF-8")]
    Encoding(String),
    /// Devices, pipes and the like have no place in an image.
    #[error("the tar archive has `/{path}` of the unsupported type {kind:?}")]
    Kind {
        /// Where.
        path: TreePath,
        /// The type flag.
        kind: EntryType,
    },
    /// Two members of one archive have the same path.
    #[error("the tar archive has `/{0}` twice")]
    Twice(TreePath),
}

/// Reads the directory of the tar in `source`. The root's own entry (`./`) is passed over.
///
/// # Errors
/// [`ReadError`]; nothing is taken of an archive with one bad member.
pub fn index(source: &Arc<SourceFile>, origin: &Arc<str>) -> Result<Tree, ReadError> {
    let mut tree = Tree::new();
    let mut archive = tar::Archive::new(source.cursor());
    for member in archive.entries_with_seek()? {
        let mut member = member?;
        let utf8 = |bytes: &[u8]| {
            String::from_utf8(bytes.to_vec()).map_err(|_| ReadError::Encoding(String::from_utf8_lossy(bytes).into()))
        };
        let path = match TreePath::new(&utf8(&member.path_bytes())?) {
            Err(PathError::Empty) => continue,
            other => other?,
        };
        let link = member.link_name_bytes().map(|bytes| utf8(&bytes)).transpose()?.unwrap_or_default();
        let kind = match member.header().entry_type() {
            EntryType::Directory => Kind::Directory,
            EntryType::Regular | EntryType::Continuous => {
                Kind::File(Content::range(source, member.raw_file_position(), member.size()))
            }
            EntryType::Symlink => Kind::Symlink(link),
            EntryType::Link => Kind::Hardlink(TreePath::new(&link)?),
            kind => return Err(ReadError::Kind { path, kind }),
        };
        let mut entry = match kind {
            Kind::Directory => Entry::directory(0, origin),
            kind => Entry { kind, ..Entry::directory(0, origin) },
        };
        let header = member.header();
        entry.mode = header.mode()? & 0o7777;
        entry.uid = narrow(header.uid()?)?;
        entry.gid = narrow(header.gid()?)?;
        entry.mtime = Some(header.mtime()?);
        if let Some(extensions) = member.pax_extensions()? {
            for extension in extensions {
                let extension = extension?;
                let number = || {
                    extension.value().ok().and_then(|text| text.parse().ok()).ok_or_else(|| {
                        io::Error::new(io::ErrorKind::InvalidData, format!("`/{path}` has a bad pax record"))
                    })
                };
                match extension.key_bytes() {
                    b"uid" => entry.uid = number()?,
                    b"gid" => entry.gid = number()?,
                    key => {
                        if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                            entry.xattrs.insert(utf8(name)?, extension.value_bytes().to_vec());
                        }
                    }
                }
            }
        }
        if tree.insert(path.clone(), entry).is_some() {
            return Err(ReadError::Twice(path));
        }
    }
    Ok(tree)
}

fn narrow(number: u64) -> io::Result<u32> {
    u32::try_from(number).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "an owner does not fit 32 bits"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn archive(name: &str, kind: EntryType) -> Arc<SourceFile> {
        let mut header = tar::Header::new_ustar();
        header.as_ustar_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(0);
        header.set_cksum();
        let mut file = tempfile::tempfile().unwrap();
        for _ in 0..2 {
            file.write_all(header.as_bytes()).unwrap();
        }
        file.write_all(&[0; 1024]).unwrap();
        SourceFile::new(file)
    }

    #[test]
    fn hostile_members_are_refused() {
        let error = |name, kind| index(&archive(name, kind), &Arc::from("test")).unwrap_err();
        assert!(matches!(error("../x", EntryType::Regular), ReadError::Path(_)));
        assert!(matches!(error("x", EntryType::Regular), ReadError::Twice(_)));
        assert!(matches!(error("x", EntryType::Char), ReadError::Kind { .. }));
        assert!(matches!(error("x", EntryType::Link), ReadError::Path(_)));
    }
}
