//! Opening a bundle: a tar archive, or the directory that it was unpacked into.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use sealift_layers::codec::Codec;
use sealift_layers::json::Shape;
use sealift_layers::limits::{DOCUMENT, Exceeded, Limits, PROBLEMS, Paths, Within};
use sealift_layers::tar;
use sealift_layers::tree::{Content, Entry, Kind, SourceFile, Tree, TreePath};
use sealift_layers::validate::Violation;

use super::manifest::Manifest;
use super::names::MANIFEST;
use super::signatures;
use crate::failure::{Failure, one_line};
use crate::files::{self, LazyFile};
use crate::signature::{Signature, Trust};

const COPY_AGAIN: &str =
    "the file is incomplete, damaged or not a bundle: copy it again and compare its size and digest";

const ALLOW_MORE: &str = "if it is a real bundle, allow more with: sealift verify --limit-unpacked SIZE (such as 8GiB)";

/// An opened bundle.
#[derive(Debug)]
pub struct Bundle {
    /// Its files, links and folders.
    pub files: Tree,
    /// Whether it is still packed.
    pub form: Form,
    /// What no bundle has, but `files` cannot express.
    pub oddities: Vec<Violation>,
    /// How much its layers may unpack to.
    pub limits: Limits,
    /// The signature by a trusted key that was checked when it was opened; `None` if no key is trusted.
    pub signature: Option<Signature>,
    /// Its `bundle.json`; `None` for an image archive that is not a bundle.
    pub manifest: Option<Manifest>,
}

/// How a bundle is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As its tar archive.
    Archive,
    /// Unpacked, in a folder of this owner. The host's own site may be in it.
    Folder {
        /// Numeric user that owns the folder.
        owner: u32,
    },
}

/// Largest size of `bundle.json`, `SHA256SUMS` and `LINKS`: with 100,000 files they have less.
pub const TABLE_LIMIT: u64 = DOCUMENT;
/// The shape of a `bundle.json` of that size.
const SHAPE: Shape = Shape { values: 300_000, text: 64 << 10 };
/// The version of `bundle.json` that is read.
const SCHEMA: u32 = 1;
/// The folder of lost files, which the root of some file systems has.
const LOST: &str = "lost+found";

/// Opens the tar archive or directory at `path`, within the default limits. Only its format is checked.
///
/// # Errors
/// As [`open_within`].
pub fn open(path: &Path) -> Result<Bundle> {
    open_within(path, Limits::default())
}

/// Opens the tar archive or directory at `path`. Only its format is checked.
///
/// # Errors
/// It cannot be read, is damaged, exceeds `limits`, or is neither a bundle nor an image archive.
pub fn open_within(path: &Path, limits: Limits) -> Result<Bundle> {
    open_trusted(path, limits, &Trust::default())
}

/// Opens the tar archive or directory at `path`. If `trust` has keys, one of them must have signed it: that is checked
/// before any other file in it is read.
///
/// # Errors
/// As [`open_within`], and those of [`signatures::check`].
pub fn open_trusted(path: &Path, limits: Limits, trust: &Trust) -> Result<Bundle> {
    // Not fs_err: its message would repeat the path.
    let metadata =
        path.metadata().map_err(|error| Failure::usage(format!("cannot open {}", path.display())).because(error))?;
    let (files, oddities) = if metadata.is_dir() { directory(path)? } else { archive(path, limits)? };
    let form = if metadata.is_dir() { Form::Folder { owner: metadata.uid() } } else { Form::Archive };
    let name = path.display().to_string();
    let signature = trust.is_required().then(|| signatures::check(&files, trust, &name)).transpose()?;
    let damaged = || Failure::verification(format!("{}: {MANIFEST} is damaged", path.display())).hint(COPY_AGAIN);
    let manifest = match read(&files, MANIFEST).map_err(|error| damaged().because(error))? {
        Some(bytes) => {
            SHAPE.check(&bytes).map_err(|error| damaged().because(error))?;
            Some(serde_json::from_slice::<Manifest>(&bytes).map_err(|error| damaged().because(error))?)
        }
        None => None,
    };
    if let Some(Manifest { schema, .. }) = manifest
        && schema != SCHEMA
    {
        let message = format!("{}: {MANIFEST} has schema {schema}, which is not supported", path.display());
        return Err(Failure::usage(message)
            .hint("use a newer version of sealift, such as the one in the bundle")
            .into());
    }
    if manifest.is_none() && files.get(&TreePath::new("index.json")?).is_none() {
        let message = format!("{} is not a bundle: it has neither {MANIFEST} nor index.json", path.display());
        let hint = "name a file that `sealift build` wrote, or the folder that it was unpacked into";
        return Err(Failure::usage(message).hint(hint).into());
    }
    Ok(Bundle { files, form, oddities, limits, signature, manifest })
}

/// The contents of the file `name`; `None` if there is none.
pub(super) fn content<'a>(files: &'a Tree, name: &str) -> Option<&'a Content> {
    match &files.get(&TreePath::new(name).ok()?)?.kind {
        Kind::File(content) => Some(content),
        _ => None,
    }
}

/// The bytes of the file `name`, a table; `None` if there is none.
pub(super) fn read(files: &Tree, name: &str) -> Result<Option<Vec<u8>>> {
    let Some(content) = content(files, name) else { return Ok(None) };
    if content.len() > TABLE_LIMIT {
        let limit = TABLE_LIMIT >> 20;
        return Err(
            Failure::verification(format!("{name} has {} bytes: at most {limit} MiB are read", content.len())).into()
        );
    }
    Ok(Some(content.read()?))
}

/// The members of a tar archive, which may be compressed as a whole, and what they have that no bundle has.
fn archive(path: &Path, limits: Limits) -> Result<(Tree, Vec<Violation>)> {
    let (mut file, _) = plain(path, limits)?;
    // POSIX.1-2017, "ustar Interchange Format": the magic of a tar header.
    let header = start(&mut file)?;
    if !header.is_empty() && header.get(257..262).is_none_or(|magic| magic != b"ustar") {
        let message = format!("{} is not a tar archive", path.display());
        return Err(Failure::verification(message).hint(COPY_AGAIN).into());
    }
    let origin = Arc::from(path.display().to_string());
    let (tree, oddities) = tar::read_with_oddities(&SourceFile::new(file), &origin).map_err(|error| {
        // Some messages quote whole headers: only the first line is shown.
        let text = one_line(&error);
        let text = text.lines().next().unwrap_or_default();
        Failure::verification(format!("{}: {text}", path.display())).hint(COPY_AGAIN)
    })?;
    let oddity = |(file, message): (String, String)| Violation {
        file: if file.is_empty() { "the archive".to_owned() } else { file },
        message,
    };
    Ok((tree, oddities.into_iter().map(oddity).collect()))
}

/// The file at `path`, decompressed if it is compressed as a whole, as bundles without images are; and how it was.
///
/// # Errors
/// It cannot be read, is damaged, or exceeds `limits`.
pub fn plain(path: &Path, limits: Limits) -> Result<(File, Codec)> {
    let mut file = files::open(path)?.into_parts().0;
    let codec = match start(&mut file)?[..] {
        [0x1f, 0x8b, ..] => Codec::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Codec::Zstd,
        _ => Codec::None,
    };
    if codec != Codec::None {
        file = decompressed(path, file, codec, limits)?;
    }
    file.seek(SeekFrom::Start(0))?;
    Ok((file, codec))
}

/// The first 512 bytes of the file, or as many as there are.
fn start(file: &mut File) -> Result<Vec<u8>> {
    let mut start = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.by_ref().take(512).read_to_end(&mut start)?;
    Ok(start)
}

/// A temporary file with the decompressed contents of `file`.
fn decompressed(path: &Path, mut file: File, codec: Codec, limits: Limits) -> Result<File> {
    file.seek(SeekFrom::Start(0))?;
    let limit = limits.bundle(file.metadata()?.len());
    let temporary = tempfile::env::temp_dir();
    let mut plain = tempfile::tempfile().map_err(|error| files::cannot("write to", &temporary, &error))?;
    let copied = io::copy(&mut Within::new(codec.decoder(BufReader::new(file))?, limit), &mut plain);
    match copied {
        Ok(_) => Ok(plain),
        Err(error) if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
            Err(files::cannot("decompress it into", &temporary, &error))
        }
        Err(error) => {
            let failure = Failure::verification(format!("{} cannot be decompressed", path.display()));
            if Exceeded::within(&error).is_some() {
                return Err(failure.hint(ALLOW_MORE).because(error).into());
            }
            Err(failure.hint(COPY_AGAIN).because(error).into())
        }
    }
}

/// The files, links and folders of a directory. Devices, sockets and pipes are among what no bundle has.
fn directory(root: &Path) -> Result<(Tree, Vec<Violation>)> {
    let origin: Arc<str> = root.display().to_string().into();
    let (mut tree, mut oddities, mut paths) = (Tree::new(), Vec::new(), Paths::default());
    let refused = |error: Exceeded| {
        let message = format!("{} has more in it than any bundle", root.display());
        Failure::verification(message).hint("unpack a bundle into an empty folder").because(error)
    };
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for path in files::sorted_dir(&folder)? {
            let name =
                path.strip_prefix(root).context("an entry of a folder is below it")?.to_string_lossy().into_owned();
            paths.add(&name).map_err(refused)?;
            let metadata = fs_err::symlink_metadata(&path)?;
            let kind = if metadata.is_dir() {
                if name == LOST {
                    continue;
                }
                open.push(path);
                Kind::Directory
            } else if metadata.is_file() {
                let lazy = LazyFile { folder: root.to_owned(), name: name.clone() };
                Kind::File(Content::lazy(Arc::new(lazy), metadata.len()))
            } else if metadata.is_symlink() {
                Kind::Symlink(fs_err::read_link(&path)?.to_string_lossy().into_owned())
            } else {
                let message = format!("is {}", files::kind_name(metadata.file_type()));
                if oddities.len() < PROBLEMS {
                    oddities.push(Violation { file: name, message });
                }
                continue;
            };
            let entry = Entry { kind, ..Entry::directory(metadata.mode() & 0o7777, &origin) };
            tree.insert(TreePath::new(&name)?, entry.owned_by(metadata.uid(), metadata.gid()));
        }
    }
    Ok((tree, oddities))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bundle without containers has ten thousand files, and a process often has 1024 descriptors.
    #[test]
    fn an_unpacked_bundle_takes_no_descriptor_for_each_file() {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("index.json"), "{}").unwrap();
        for number in 0..50 {
            fs_err::write(folder.path().join(format!("file-{number}")), number.to_string()).unwrap();
        }
        let bundle = open(folder.path()).unwrap();
        let descriptors = crate::files::sorted_dir(Path::new("/proc/self/fd")).unwrap();
        let into_folder =
            |path: &std::path::PathBuf| fs_err::read_link(path).is_ok_and(|to| to.starts_with(folder.path()));
        assert_eq!(descriptors.iter().filter(|path| into_folder(path)).count(), 0);
        let Kind::File(content) = &bundle.files.get(&TreePath::new("file-7").unwrap()).unwrap().kind else { panic!() };
        assert_eq!(content.read().unwrap(), b"7");
    }

    /// The error of opening a file with these bytes, with the directory cut off.
    fn error(bytes: &[u8]) -> String {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("bundle");
        fs_err::write(&path, bytes).unwrap();
        let error = open(&path).unwrap_err();
        one_line(error.as_ref()).replace(&format!("{}/", place.path().display()), "")
    }

    #[test]
    fn other_files_are_refused() {
        insta::assert_snapshot!(error(&[b'x'; 1024]), @"bundle is not a tar archive");
        insta::assert_snapshot!(error(b"\x1f\x8bx"), @"bundle cannot be decompressed: unexpected end of file");
        insta::assert_snapshot!(error(&[]), @"bundle is not a bundle: it has neither bundle.json nor index.json");
        let error = open(Path::new("/nowhere/bundle.tar")).unwrap_err();
        insta::assert_snapshot!(one_line(error.as_ref()), @"cannot open /nowhere/bundle.tar: No such file or directory (os error 2)");
    }

    #[test]
    fn directory_is_read_with_its_links() {
        let place = tempfile::tempdir().unwrap();
        fs_err::create_dir(place.path().join("blobs")).unwrap();
        fs_err::write(place.path().join("blobs/a"), "a").unwrap();
        fs_err::write(place.path().join("index.json"), "{}").unwrap();
        fs_err::os::unix::fs::symlink("a", place.path().join("blobs/b")).unwrap();
        let bundle = open(place.path()).unwrap();
        let paths: Vec<&str> = bundle.files.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, ["blobs", "blobs/a", "blobs/b", "index.json"]);
        assert!(bundle.manifest.is_none());
        assert_eq!(read(&bundle.files, "blobs/a").unwrap().unwrap(), b"a");
        assert!(read(&bundle.files, "blobs/b").unwrap().is_none());
    }

    #[test]
    fn damaged_manifest_is_an_error() {
        let place = tempfile::tempdir().unwrap();
        fs_err::write(place.path().join(MANIFEST), "{").unwrap();
        let error = open(place.path()).unwrap_err();
        assert_eq!(crate::failure::Kind::of(&error), crate::failure::Kind::Verification);
        assert_eq!(Failure::hint_in(&error), Some(COPY_AGAIN));
    }
}
