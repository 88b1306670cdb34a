//! An archive of files (zip or tar) as a tree: unpacked below a path of an image.
//!
//! [`open`] reads it, [`Placement::place`] decides what of it is in the image and with which metadata. Owners, special
//! permission bits and extended attributes in the archive have no effect.

mod links;
mod place;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, BufReader};
use std::sync::Arc;

pub use place::{Placed, Placement};

use crate::decompress;
use crate::escape::line;
use crate::limits::{Exceeded, Limits, PATH, Within};
use crate::tar::{self, MemberKind, Members, ReadError};
use crate::tree::{Entry, PathError, SourceFile, Tree, TreePath};
use crate::zip::{self, Links, ZipError};

/// Why an archive is rejected.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It is not a valid zip archive.
    #[error(transparent)]
    Zip(#[from] ZipError),
    /// It is not a valid tar archive.
    #[error(transparent)]
    Tar(#[from] ReadError),
    /// It is larger than any real one, or unpacks to too much.
    #[error(transparent)]
    Limit(#[from] Exceeded),
    /// It cannot be read, or its compression is damaged.
    #[error("it cannot be read")]
    Read(#[from] io::Error),
    /// The name of a member is no path below a folder.
    #[error("it has a bad path")]
    Path(#[from] PathError),
    /// A member has an absolute path.
    #[error("the path `{}` in it is absolute", line(.0))]
    Absolute(String),
    /// The contents of a member differ from what the archive says of them.
    #[error("the member `{}`: {}", line(.0), .1)]
    Member(String, String),
    /// Nothing is left of a path without its first components.
    #[error("`{0}` in it has no more than {1} components")]
    Strip(TreePath, usize),
    /// Two members have one path without their first components.
    #[error("without the first components of its paths, it has `{0}` twice")]
    Twice(TreePath),
    /// A path is behind something that is not a directory.
    #[error("`{path}` in it is behind `{above}`, which is not a folder")]
    Behind {
        /// The path.
        path: TreePath,
        /// The file or link above it.
        above: TreePath,
    },
    /// A symbolic link leads out of the archive.
    #[error("the link `{path}` in it leads to `{}`, out of the archive", line(.target))]
    LeadsOut {
        /// Path of the link.
        path: TreePath,
        /// Its target.
        target: String,
    },
    /// A hard link is to something else than a file of the archive.
    #[error("the hard link `{0}` in it is to no file of the archive")]
    Hardlink(TreePath),
    /// No file of it is left.
    #[error("it has no file that would be in the image")]
    Empty,
}

/// The format of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A zip archive.
    Zip,
    /// A tar archive with this compression: an ending of [`decompress::by_ending`].
    Tar(&'static str),
}

/// Endings of file names, in lower case, and the format of such files.
const ENDINGS: [(&str, Format); 13] = [
    (".zip", Format::Zip),
    (".jar", Format::Zip),
    (".war", Format::Zip),
    (".whl", Format::Zip),
    (".tar", Format::Tar("")),
    (".tar.gz", Format::Tar("gz")),
    (".tgz", Format::Tar("gz")),
    (".tar.xz", Format::Tar("xz")),
    (".txz", Format::Tar("xz")),
    (".tar.zst", Format::Tar("zst")),
    (".tzst", Format::Tar("zst")),
    (".tar.bz2", Format::Tar("bz2")),
    (".tbz2", Format::Tar("bz2")),
];

impl Format {
    /// The format of a file by the ending of its name; `None` if it is not that of an archive.
    ///
    /// ```
    /// use sealift_layers::ingredients::archive::Format;
    ///
    /// assert_eq!(Format::of("site-1.2.tar.gz"), Some(Format::Tar("gz")));
    /// assert_eq!(Format::of("tool"), None);
    /// ```
    #[must_use]
    pub fn of(file_name: &str) -> Option<Self> {
        let name = file_name.to_ascii_lowercase();
        ENDINGS.iter().find(|(ending, _)| name.ends_with(ending)).map(|(_, format)| *format)
    }
}

/// The members of the archive in `file`, with the metadata that it states. A tar is decompressed into `spool`, an empty file to
/// which the tree then refers. It unpacks within `limits`.
///
/// # Errors
/// [`ArchiveError`]: one bad member is enough to reject the archive.
pub fn open(file: File, format: Format, spool: File, limits: Limits, origin: &Arc<str>) -> Result<Tree, ArchiveError> {
    match format {
        Format::Zip => of_zip(file, limits, origin),
        Format::Tar(ending) => of_tar(file, ending, spool, limits, origin),
    }
}

fn of_zip(file: File, limits: Limits, origin: &Arc<str>) -> Result<Tree, ArchiveError> {
    let members = zip::members(file, limits, Links::Kept)?;
    let mut tree = Tree::new();
    for name in members.directories {
        tree.insert(TreePath::new(&name)?, Entry::directory(0o755, origin));
    }
    for (name, member) in members.files {
        let wrong = |why: String| ArchiveError::Member(name.clone(), why);
        let path = TreePath::new(&name)?;
        if member.is_link && member.content.len() > PATH as u64 {
            return Err(Exceeded::Size { what: "the target of a link", limit: PATH as u64 }.into());
        }
        let mut crc = Crc(rawzip::Crc32::new());
        member.content.copy_to(&mut crc).map_err(|error| wrong(format!("it cannot be read: {error}")))?;
        let found = crc.0.checksum();
        if found != member.crc {
            return Err(wrong(format!("its CRC-32 is {found:08x}, not {:08x}", member.crc)));
        }
        let mut entry = if member.is_link {
            let target = String::from_utf8(member.content.read()?);
            Entry::symlink(target.map_err(|_| wrong("the target of the link is not UTF-8".to_owned()))?, origin)
        } else {
            Entry::file(member.content, if member.executable { 0o755 } else { 0o644 }, origin)
        };
        entry.mtime = member.mtime;
        tree.insert(path, entry);
    }
    Ok(tree)
}

/// Computes the CRC-32 of what is written to it.
struct Crc(rawzip::Crc32);

impl io::Write for Crc {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn of_tar(file: File, ending: &str, mut spool: File, limits: Limits, origin: &Arc<str>) -> Result<Tree, ArchiveError> {
    let limit = limits.unpacked(file.metadata()?.len());
    let raw = BufReader::with_capacity(1 << 16, file);
    let unpacked = decompress::by_ending(ending, raw)?.ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))?;
    io::copy(&mut Within::new(unpacked, limit), &mut spool)?;
    let source = SourceFile::new(spool);
    // Reading the tar as a tree drops the first `/`, as tar itself does: with `strip`, the path would be another one.
    let mut members = Members::new(source.cursor());
    while let Some(member) = members.next()? {
        let linked = if let MemberKind::Hardlink(target) = &member.kind { target } else { &member.name };
        if let Some(path) = [&member.name, linked].into_iter().find(|path| path.starts_with('/')) {
            return Err(ArchiveError::Absolute(path.clone()));
        }
    }
    Ok(tar::read(&source, origin)?)
}
