//! An uncompressed tar as a tree. Nothing is extracted: contents are ranges of the archive.

use std::io::{self, Read, Seek as _, SeekFrom};
use std::sync::Arc;

use tar::EntryType;

use super::members::{self, Member};
use crate::escape::line;
use crate::tree::{Content, Entry, Kind, PathError, SourceFile, Tree, TreePath, text_of};

/// Why an archive is rejected.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The archive is damaged or truncated.
    #[error("the tar archive is damaged")]
    Io(#[from] io::Error),
    /// A path is empty or leaves the tree.
    #[error("the tar archive has a bad path")]
    Path(#[from] PathError),
    /// The name of an extended attribute is not UTF-8.
    #[error("the tar archive has the attribute `{}`, which is not UTF-8", line(.0))]
    NotUtf8(String),
    /// A member is a device, a pipe or another type that images do not have.
    #[error("the tar archive has `/{}` of the unsupported type {kind:?}", line(.path.as_str()))]
    UnsupportedType {
        /// Path of the member.
        path: TreePath,
        /// Its type flag.
        kind: EntryType,
    },
    /// Two members have the same path, and are not both directories.
    #[error("the tar archive has `/{}` twice", line(.0.as_str()))]
    Duplicate(TreePath),
}

/// Reads the headers of the tar in `source` and returns its members as a tree. Contents are ranges of `source`. The entry
/// of the root itself (`./`) is skipped.
///
/// # Errors
/// [`ReadError`]: one bad member is enough to reject the archive.
pub fn read(source: &Arc<SourceFile>, origin: &Arc<str>) -> Result<Tree, ReadError> {
    Ok(read_with_oddities(source, origin)?.0)
}

/// As [`read`]; also everything that [`super::Writer`] never writes, although other programs act on it: each with the
/// path of a member, as the rest of a sentence that begins with the path. The path is empty for the archive as a whole.
///
/// # Errors
/// As [`read`].
pub fn read_with_oddities(
    source: &Arc<SourceFile>,
    origin: &Arc<str>,
) -> Result<(Tree, Vec<(String, String)>), ReadError> {
    let mut tree = Tree::new();
    let mut oddities = Vec::new();
    let mut cursor = source.cursor();
    while let Some(member) = members::next(&mut cursor)? {
        let offset = cursor.stream_position()?;
        let behind = offset.checked_add(member.padded()?);
        cursor.seek(SeekFrom::Start(behind.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?))?;
        let path = match TreePath::new(&text_of(&member.path)) {
            Err(PathError::Empty) => continue,
            other => other?,
        };
        if !member.odd.is_empty() {
            oddities.push((path.to_string(), member.odd.clone()));
        }
        let entry = with_final_target(entry(&member, &path, source, offset, origin)?, &tree);
        let is_directory = matches!(entry.kind, Kind::Directory);
        // A directory may be repeated, as for tar and dpkg: the last metadata count.
        if let Some(first) = tree.insert(path.clone(), entry) {
            if !(is_directory && matches!(first.kind, Kind::Directory)) {
                return Err(ReadError::Duplicate(path));
            }
            oddities.push((path.to_string(), "is there twice".to_owned()));
        }
    }
    if !only_zeros(cursor)? {
        oddities.push((String::new(), "has data after its end".to_owned()));
    }
    Ok((tree, oddities))
}

fn only_zeros(mut reader: impl Read) -> io::Result<bool> {
    let mut buffer = [0; 4096];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(true),
            got if buffer[..got].iter().any(|byte| *byte != 0) => return Ok(false),
            _ => {}
        }
    }
}

/// The entry of a member whose contents begin at `offset`.
fn entry(
    member: &Member,
    path: &TreePath,
    source: &Arc<SourceFile>,
    offset: u64,
    origin: &Arc<str>,
) -> Result<Entry, ReadError> {
    let header = &member.header;
    let kind = match header.entry_type() {
        EntryType::Directory => Kind::Directory,
        EntryType::Regular | EntryType::Continuous => Kind::File(Content::range(source, offset, member.size)),
        EntryType::Symlink => Kind::Symlink(text_of(&member.link)),
        EntryType::Link => Kind::Hardlink(TreePath::new(&text_of(&member.link))?),
        kind => return Err(ReadError::UnsupportedType { path: path.clone(), kind }),
    };
    let xattrs = member.xattrs.iter().map(|(name, value)| Ok((utf8(name)?, value.clone())));
    Ok(Entry {
        kind,
        mode: header.mode()? & 0o7777,
        uid: owner(member.uid)?,
        gid: owner(member.gid)?,
        mtime: Some(header.mtime()?),
        xattrs: xattrs.collect::<Result<_, ReadError>>()?,
        origin: origin.clone(),
    })
}

/// A hard link to a hard link links the same file; one to a symbolic link is the same symbolic link.
fn with_final_target(entry: Entry, before: &Tree) -> Entry {
    let Kind::Hardlink(target) = &entry.kind else { return entry };
    match before.get(target) {
        Some(link @ Entry { kind: Kind::Symlink(_), .. }) => link.clone(),
        Some(Entry { kind: kind @ Kind::Hardlink(_), .. }) => Entry { kind: kind.clone(), ..entry },
        _ => entry,
    }
}

fn utf8(bytes: &[u8]) -> Result<String, ReadError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| ReadError::NotUtf8(String::from_utf8_lossy(bytes).into()))
}

fn owner(number: u64) -> io::Result<u32> {
    u32::try_from(number)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("the owner {number} does not fit 32 bits")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header of an empty member.
    fn header(name: &str, kind: EntryType) -> tar::Header {
        let mut header = tar::Header::new_ustar();
        header.as_ustar_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(0);
        header.set_cksum();
        header
    }

    fn read_all(blocks: &[&[u8]]) -> Result<Tree, ReadError> {
        let bytes = [&blocks.concat()[..], &[0; 1024]].concat();
        read(&Arc::new(SourceFile::Memory(bytes)), &Arc::from("test"))
    }

    #[test]
    fn hostile_members_are_rejected() {
        let error = |name, kind| {
            let header = header(name, kind);
            read_all(&[header.as_bytes(), header.as_bytes()]).unwrap_err()
        };
        assert!(matches!(error("../x", EntryType::Regular), ReadError::Path(_)));
        assert!(matches!(error("x", EntryType::Regular), ReadError::Duplicate(_)));
        assert!(matches!(error("x", EntryType::Char), ReadError::UnsupportedType { .. }));
        assert!(matches!(error("x", EntryType::Link), ReadError::Path(_)));
        assert!(matches!(error("\u{e9}", EntryType::Regular), ReadError::Duplicate(_)));
    }

    #[test]
    fn the_entry_of_the_root_is_skipped() {
        let tree =
            read_all(&[header("./", EntryType::Directory).as_bytes(), header("./x", EntryType::Regular).as_bytes()]);
        let tree = tree.unwrap();
        assert_eq!(tree.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(), ["x"]);
    }

    #[test]
    fn a_repeated_directory_has_the_last_metadata() {
        let mut again = header("./d/", EntryType::Directory);
        again.set_mode(0o700);
        again.set_cksum();
        let first = header("./d/", EntryType::Directory);
        let tree =
            read_all(&[first.as_bytes(), header("./d/x", EntryType::Regular).as_bytes(), again.as_bytes()]).unwrap();
        let shown: Vec<_> = tree.iter().map(|(path, entry)| (path.as_str(), entry.mode)).collect();
        assert_eq!((shown[0], shown.len()), (("d", 0o700), 2));
        let file = header("d", EntryType::Regular);
        assert!(matches!(read_all(&[first.as_bytes(), file.as_bytes()]), Err(ReadError::Duplicate(_))));
        assert!(matches!(read_all(&[file.as_bytes(), first.as_bytes()]), Err(ReadError::Duplicate(_))));
    }

    /// As for tar and dpkg, a name is any bytes.
    #[test]
    fn a_name_that_is_not_utf8_is_kept() {
        let mut latin = header("cafe", EntryType::Regular);
        latin.as_ustar_mut().unwrap().name[3] = 0xe9;
        latin.set_cksum();
        let mut link = header("link", EntryType::Symlink);
        link.as_ustar_mut().unwrap().linkname[..4].copy_from_slice(b"caf\xe9");
        link.set_cksum();
        let tree = read_all(&[latin.as_bytes(), link.as_bytes()]).unwrap();
        let mut written = Vec::new();
        crate::tar::write(&tree, crate::tar::Options { epoch: 0, file_digests: false }, &mut written).unwrap();
        let mut archive = tar::Archive::new(&written[..]);
        let names: Vec<(Vec<u8>, Option<Vec<u8>>)> = archive
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.path_bytes().into_owned(), entry.link_name_bytes().map(std::borrow::Cow::into_owned)))
            .collect();
        assert_eq!(names, [(b"caf\xe9".to_vec(), None), (b"link".to_vec(), Some(b"caf\xe9".to_vec()))]);
        assert!(written.windows(18).any(|bytes| bytes == b"hdrcharset=BINARY\n"));
        let again = read(&Arc::new(SourceFile::Memory(written)), &Arc::from("test")).unwrap();
        assert_eq!(
            again.iter().map(|(path, _)| path).collect::<Vec<_>>(),
            tree.iter().map(|(path, _)| path).collect::<Vec<_>>()
        );
    }

    /// dpkg makes such a link with link(2), which links the symbolic link itself.
    #[test]
    fn a_hard_link_to_a_link_is_that_link() {
        let linked = |name: &str, kind, target: &str| {
            let mut header = header(name, kind);
            header.as_ustar_mut().unwrap().linkname[..target.len()].copy_from_slice(target.as_bytes());
            header.set_cksum();
            header
        };
        let (symlink, file) = (linked("a", EntryType::Symlink, "x"), header("f", EntryType::Regular));
        let (hard, second) = (linked("b", EntryType::Link, "a"), linked("g", EntryType::Link, "f"));
        let third = linked("h", EntryType::Link, "./g");
        let blocks = [&symlink, &file, &hard, &second, &third].map(|header| &header.as_bytes()[..]);
        let tree = read_all(&blocks).unwrap();
        let shown: Vec<String> = tree.iter().map(|(path, entry)| format!("{path} {:?}", entry.kind)).collect();
        assert_eq!(shown[0], r#"a Symlink("x")"#);
        assert_eq!(shown[1], r#"b Symlink("x")"#);
        assert_eq!(shown[3..], [r#"g Hardlink(TreePath("f"))"#, r#"h Hardlink(TreePath("f"))"#]);
    }

    #[test]
    fn a_pax_record_with_an_invalid_owner_is_rejected() {
        let record = b"9 uid=x1\n";
        let mut extension = header("PaxHeaders/x", EntryType::XHeader);
        extension.set_size(record.len() as u64);
        extension.set_cksum();
        let mut block = [0; 512];
        block[..record.len()].copy_from_slice(record);
        let error = read_all(&[extension.as_bytes(), &block, header("x", EntryType::Regular).as_bytes()]).unwrap_err();
        assert!(
            matches!(&error, ReadError::Io(source) if source.to_string() == "a pax record is invalid"),
            "{error:?}"
        );
    }

    #[test]
    fn a_truncated_archive_is_rejected() {
        let mut long = header("x", EntryType::Regular);
        long.set_size(1 << 20);
        long.set_cksum();
        let tree = read_all(&[long.as_bytes()]);
        // The header alone is fine: the content ends early when it is read.
        let contents: Vec<bool> =
            tree.unwrap().iter().map(|(_, entry)| matches!(&entry.kind, Kind::File(c) if c.read().is_err())).collect();
        assert_eq!(contents, [true]);
        let half = header("x", EntryType::Regular).as_bytes()[..300].to_vec();
        assert!(read(&Arc::new(SourceFile::Memory(half)), &Arc::from("test")).is_err());
    }
}
