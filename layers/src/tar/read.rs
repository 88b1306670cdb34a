//! An uncompressed tar as a tree. Nothing is extracted: contents are ranges of the archive.

use std::io;
use std::sync::Arc;

use super::members::{Member, MemberKind, Members, kind_name};
use crate::escape::line;
use crate::limits::{Exceeded, PROBLEMS, Paths};
use crate::tree::{Content, Entry, Kind, PathError, SourceFile, Tree, TreePath};

/// Why an archive is rejected.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The archive is damaged or truncated.
    #[error("the tar archive is damaged")]
    Io(#[from] io::Error),
    /// The archive is larger than any real one.
    #[error("the tar archive is refused")]
    Limit(#[from] Exceeded),
    /// A path is empty or leaves the tree.
    #[error("the tar archive has a bad path")]
    Path(#[from] PathError),
    /// The name of an extended attribute is not UTF-8.
    #[error("the tar archive has the attribute `{}`, which is not UTF-8", line(.0))]
    NotUtf8(String),
    /// A member is a device, a pipe or another type that images do not have.
    #[error("the tar archive has `/{}` of the unsupported type {kind}", line(.path.as_str()))]
    UnsupportedType {
        /// Path of the member.
        path: TreePath,
        /// Its type.
        kind: String,
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
/// path of a member, as the rest of a sentence that begins with the path.
///
/// # Errors
/// As [`read`].
pub fn read_with_oddities(
    source: &Arc<SourceFile>,
    origin: &Arc<str>,
) -> Result<(Tree, Vec<(String, String)>), ReadError> {
    let mut tree = Tree::new();
    let mut oddities = Oddities::default();
    let mut paths = Paths::default();
    let mut members = Members::new(source.cursor());
    while let Some(member) = members.next()? {
        let path = match TreePath::new(&member.name) {
            Err(PathError::Empty) if member.kind == MemberKind::Directory => {
                oddities.add("./", || "sets mode and owner of the folder itself".to_owned());
                continue;
            }
            other => other?,
        };
        if member.name.strip_suffix('/').unwrap_or(&member.name) != path.as_str() {
            oddities.add(path.as_str(), || format!("is written as `{}`", line(&member.name)));
        }
        paths.add(path.as_str())?;
        if let Some(oddity) = &member.oddity {
            oddities.add(path.as_str(), || oddity.clone());
        }
        let entry = with_final_target(entry(member, &path, source, origin)?, &tree);
        let is_directory = matches!(entry.kind, Kind::Directory);
        // A directory may be repeated, as for tar and dpkg: the last metadata count.
        if let Some(first) = tree.insert(path.clone(), entry) {
            if !(is_directory && matches!(first.kind, Kind::Directory)) {
                return Err(ReadError::Duplicate(path));
            }
            oddities.add(path.as_str(), || "is there twice".to_owned());
        }
    }
    if !members.is_ended() {
        oddities.add("", || "has no end: it was cut off".to_owned());
    }
    Ok((tree, oddities.0))
}

/// The first [`PROBLEMS`] of them.
#[derive(Default)]
struct Oddities(Vec<(String, String)>);

impl Oddities {
    fn add(&mut self, path: &str, what: impl FnOnce() -> String) {
        if self.0.len() < PROBLEMS {
            self.0.push((path.to_owned(), what()));
        }
    }
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

fn entry(member: Member, path: &TreePath, source: &Arc<SourceFile>, origin: &Arc<str>) -> Result<Entry, ReadError> {
    let Member { kind, offset, size, mode, uid, gid, mtime, xattrs, .. } = member;
    let kind = match kind {
        MemberKind::Directory => Kind::Directory,
        MemberKind::File => Kind::File(Content::range(source, offset, size)),
        MemberKind::Symlink(target) => Kind::Symlink(target),
        MemberKind::Hardlink(target) => Kind::Hardlink(TreePath::new(&target)?),
        MemberKind::Device(flag) => {
            return Err(ReadError::UnsupportedType { path: path.clone(), kind: kind_name(flag) });
        }
    };
    Ok(Entry { kind, mode, uid, gid, mtime: Some(mtime), xattrs, origin: origin.clone() })
}

#[cfg(test)]
mod tests {
    use tar::EntryType;

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

    /// As root, `tar` would have given the folder of a deployment to another user.
    #[test]
    fn what_other_programs_act_on_is_told() {
        let members =
            [header("./", EntryType::Directory), header("./x", EntryType::Regular), header("d/", EntryType::Directory)];
        let bytes = [&members.map(|header| *header.as_bytes()).concat()[..], &[0; 1024]].concat();
        let (_, oddities) = read_with_oddities(&Arc::new(SourceFile::Memory(bytes)), &Arc::from("test")).unwrap();
        let told: Vec<String> = oddities.into_iter().map(|(path, what)| format!("{path} {what}")).collect();
        assert_eq!(told, ["./ sets mode and owner of the folder itself", "x is written as `./x`"]);
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
        let source = Arc::new(SourceFile::Memory(written));
        let (again, oddities) = read_with_oddities(&source, &Arc::from("test")).unwrap();
        assert!(again.iter().map(|(path, _)| path).eq(tree.iter().map(|(path, _)| path)));
        assert!(oddities.is_empty(), "`verify` must not object to what this library writes: {oddities:?}");
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
            matches!(&error, ReadError::Io(source) if source.to_string() == "`x` has an invalid pax record"),
            "{error:?}"
        );
    }

    #[test]
    fn a_truncated_archive_is_rejected() {
        let mut long = header("x", EntryType::Regular);
        long.set_size(1 << 20);
        long.set_cksum();
        for size in [1 << 20, 1 << 60] {
            long.set_size(size);
            long.set_cksum();
            assert!(matches!(read_all(&[long.as_bytes()]).unwrap_err(), ReadError::Io(_)), "{size}");
        }
        let half = header("x", EntryType::Regular).as_bytes()[..300].to_vec();
        assert!(read(&Arc::new(SourceFile::Memory(half)), &Arc::from("test")).is_err());
    }
}
