//! A Debian package (deb(5), Debian policy chapters 3, 5 and 6) as a tree. It is unpacked, not installed.
//!
//! Maintainer scripts are not run; [`Package::scripts`] lists them, so that a build can report them.

pub mod ar;
mod control;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

pub use control::{Control, is_package_name};

use crate::decompress;
use crate::limits::{DOCUMENT, Exceeded, Limits, Within};
use crate::tar::{self, ReadError};
use crate::tree::{Content, Entry, Kind, PathError, SourceFile, Tree, TreePath};

/// Why a package is rejected.
#[derive(Debug, thiserror::Error)]
pub enum DebError {
    /// The file is not a valid package.
    #[error("not a valid Debian package: {0}")]
    Invalid(String),
    /// The file cannot be read, or its `ar` archive is damaged.
    #[error("not a valid Debian package")]
    Io(#[from] io::Error),
    /// A tar archive in the package is not valid.
    #[error("not a valid Debian package")]
    Tar(#[from] ReadError),
    /// The name of the package is not a valid path.
    #[error("the package's name is not a valid path")]
    Path(#[from] PathError),
}

/// An open package.
#[derive(Debug)]
pub struct Package {
    /// The control stanza.
    pub control: Control,
    /// Names of its maintainer scripts, sorted. Sealift does not run them.
    pub scripts: Vec<String>,
    /// The text of its `preinst`; empty if it has none.
    pub preinst: String,
    /// The text of its `postinst`; empty if it has none.
    pub postinst: String,
    /// The answers that its questions have by default, by the names of the questions (debconf(7)). None if its `config`
    /// sets some.
    pub answers: BTreeMap<String, String>,
    /// Its files, and its control stanza in `var/lib/dpkg/status.d`, where vulnerability scanners look for packages.
    pub tree: Tree,
}

/// Opens the package in `deb`. Its files are decompressed into `spool`, an empty file to which the tree then refers, within
/// `limits`.
///
/// # Errors
/// [`DebError`].
pub fn open(deb: &Arc<SourceFile>, mut spool: File, limits: Limits) -> Result<Package, DebError> {
    let Members { control, data } = find_members(deb)?;
    let control_tree = control_tree(deb, &control)?;
    let stanza = control_file(&control_tree)?;
    let control = Control::parse(&stanza).map_err(DebError::Invalid)?;
    let scripts = ["config", "postinst", "postrm", "preinst", "prerm"]
        .into_iter()
        .filter(|name| TreePath::new(name).is_ok_and(|path| control_tree.get(&path).is_some()))
        .map(str::to_owned)
        .collect();
    let text = |name: &str| -> Result<String, DebError> {
        let bytes = read(&control_tree, name)?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let (preinst, postinst) = (text("preinst")?, text("postinst")?);
    let is_fixed = !text("config")?.contains("db_set");
    let answers = if is_fixed { control::answers(&text("templates")?) } else { BTreeMap::new() };

    io::copy(&mut Within::new(decompressed(deb, &data)?, limits.unpacked(deb.size()?)), &mut spool)?;
    let origin: Arc<str> = format!("package {} {}", control.name, control.version).into();
    let payload = tar::read(&SourceFile::new(spool), &origin)?;
    let mut tree = usr_merged(payload)?;

    // The newest file of the package dates what is derived from it, so that the date does not depend on the build.
    let newest = tree.iter().filter_map(|(_, e)| e.mtime.filter(|_| matches!(e.kind, Kind::File(_)))).max();
    let status = TreePath::new("var/lib/dpkg/status.d")?;
    let mut record = |name: &str, bytes: Vec<u8>| -> Result<(), DebError> {
        let entry = Entry { mtime: newest, ..Entry::file(Content::from(bytes), 0o644, &origin) };
        tree.insert(status.join(name)?, entry);
        Ok(())
    };
    record(&control.name, stanza)?;
    if let Some(sums) = read(&control_tree, "md5sums")? {
        record(&format!("{}.md5sums", control.name), sums)?;
    }
    Ok(Package { control, scripts, preinst, postinst, answers, tree })
}

/// The control stanza of the package in `deb`, as it is in the file.
///
/// # Errors
/// [`DebError`].
pub fn control_stanza(deb: &Arc<SourceFile>) -> Result<Vec<u8>, DebError> {
    control_file(&control_tree(deb, &find_members(deb)?.control)?)
}

/// The files of the control archive.
fn control_tree(deb: &Arc<SourceFile>, member: &ar::Member) -> Result<Tree, DebError> {
    let mut bytes = Vec::new();
    decompressed(deb, member)?.take(DOCUMENT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > DOCUMENT {
        return Err(io::Error::from(Exceeded::Size { what: "its control archive", limit: DOCUMENT }).into());
    }
    Ok(tar::read(&Arc::new(SourceFile::Memory(bytes)), &Arc::from("control archive"))?)
}

fn control_file(control_tree: &Tree) -> Result<Vec<u8>, DebError> {
    read(control_tree, "control")?.ok_or_else(|| DebError::Invalid("it has no control file".to_owned()))
}

/// The content of a file of the control archive.
fn read(control_tree: &Tree, name: &str) -> Result<Option<Vec<u8>>, DebError> {
    match control_tree.get(&TreePath::new(name)?).map(|entry| &entry.kind) {
        Some(Kind::File(content)) => Ok(Some(content.read()?)),
        _ => Ok(None),
    }
}

/// The two members that are used.
struct Members {
    control: ar::Member,
    data: ar::Member,
}

/// Finds the members in the order that deb(5) requires: `debian-binary`, `control.tar`, `data.tar`. Before the last one may
/// be others whose names begin with `_`, after it any others.
fn find_members(deb: &SourceFile) -> Result<Members, DebError> {
    let invalid = |text: String| Err(DebError::Invalid(text));
    let mut members = ar::members(deb)?.into_iter();
    match members.next() {
        Some(first) if first.name == "debian-binary" => check_version(deb, &first)?,
        _ => return invalid("its first member is not debian-binary".to_owned()),
    }
    let is = |member: &ar::Member, stem: &str| {
        member.name.strip_prefix(stem).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let mut next = |stem: &str| match members.find(|member| !member.name.starts_with('_')) {
        Some(member) if is(&member, stem) => Ok(member),
        Some(other) => Err(DebError::Invalid(format!("it has the member {} before {stem}", other.name.escape_debug()))),
        None => Err(DebError::Invalid(format!("it has no member {stem}"))),
    };
    let found = Members { control: next("control.tar")?, data: next("data.tar")? };
    match members.find(|member| ["debian-binary", "control.tar", "data.tar"].iter().any(|stem| is(member, stem))) {
        Some(again) => invalid(format!("it has two members {}", again.name.escape_debug())),
        None => Ok(found),
    }
}

/// Checks the version of the format, of which only the first number counts.
fn check_version(deb: &SourceFile, member: &ar::Member) -> Result<(), DebError> {
    let mut cursor = deb.cursor();
    io::Seek::seek(&mut cursor, io::SeekFrom::Start(member.offset))?;
    let mut text = Vec::new();
    cursor.take(member.size.min(64)).read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    match text.split_once('\n').and_then(|(version, _)| version.split_once('.')) {
        Some(("2", minor)) if digits(minor) => Ok(()),
        _ => {
            let shown = text.lines().next().unwrap_or_default().escape_debug().to_string();
            Err(DebError::Invalid(format!("its format is `{shown}`, not 2.0")))
        }
    }
}

fn decompressed<'a>(deb: &'a Arc<SourceFile>, member: &ar::Member) -> Result<Box<dyn Read + 'a>, DebError> {
    let mut cursor = deb.cursor();
    io::Seek::seek(&mut cursor, io::SeekFrom::Start(member.offset))?;
    let raw = io::BufReader::with_capacity(1 << 16, cursor.take(member.size));
    let ending = member.name.rsplit_once(".tar").map_or("", |(_, ending)| ending.trim_start_matches('.'));
    let unsupported = || {
        let message = format!("{} has the unsupported compression {ending}", member.name);
        DebError::Invalid(message.escape_debug().to_string())
    };
    decompress::by_ending(ending, raw)?.ok_or_else(unsupported)
}

/// Directories that are links to those of the same name in `/usr` on a system with a merged `/usr`.
pub const MERGED: [&str; 7] = ["bin", "sbin", "lib", "lib32", "lib64", "libo32", "libx32"];

/// Moves files in `bin`, `lib` and the like to the directories in `usr` that these links point to on a system with a merged
/// `/usr`. The links themselves, which are part of `base-files`, are kept.
fn usr_merged(tree: Tree) -> Result<Tree, DebError> {
    let mut merged = Tree::new();
    for (path, entry) in tree.into_entries() {
        let at = match (&entry.kind, merged_path(&path)) {
            (Kind::Symlink(_), _) if path.parent().is_none() => path,
            (_, Some(moved)) => moved,
            (_, None) => path,
        };
        let entry = match entry.kind {
            Kind::Hardlink(target) => Entry { kind: Kind::Hardlink(merged_path(&target).unwrap_or(target)), ..entry },
            kind => Entry { kind, ..entry },
        };
        if let Some(first) = merged.insert(at.clone(), entry)
            && !matches!(first.kind, Kind::Directory)
        {
            return Err(DebError::Invalid(format!("it has `/{at}` in two places, below / and below /usr")));
        }
    }
    Ok(merged)
}

/// Where a path below one of [`MERGED`] is on a system with a merged `/usr`.
pub(super) fn merged_path(path: &TreePath) -> Option<TreePath> {
    let first = path.as_str().split('/').next()?;
    MERGED.contains(&first).then(|| TreePath::new(&format!("usr/{path}")).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A package like one of dpkg-deb. The tars in it are written by this crate.
    fn deb(control: &str, data: &Tree) -> Arc<SourceFile> {
        let origin = Arc::from("test");
        let mut control_tree = Tree::new();
        control_tree.insert(TreePath::new("control").unwrap(), Entry::file(control, 0o644, &origin));
        control_tree.insert(TreePath::new("postinst").unwrap(), Entry::file("#!/bin/sh\n", 0o755, &origin));
        let mut bytes = b"!<arch>\n".to_vec();
        let mut add = |name: &str, body: Vec<u8>| {
            let head = format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, "100644", body.len());
            bytes.extend_from_slice(head.as_bytes());
            bytes.extend_from_slice(&body);
            if body.len() % 2 == 1 {
                bytes.push(b'\n');
            }
        };
        let pack = |tree: &Tree| {
            let mut tar = Vec::new();
            crate::tar::write(tree, crate::tar::Options { epoch: 9, file_digests: false }, &mut tar).unwrap();
            tar
        };
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
        xz.write_all(&pack(data)).unwrap();
        add("debian-binary", b"2.0\n".to_vec());
        add("control.tar", pack(&control_tree));
        add("data.tar.xz", xz.finish().unwrap());
        Arc::new(SourceFile::Memory(bytes))
    }

    fn path(text: &str) -> TreePath {
        TreePath::new(text).unwrap()
    }

    const CONTROL: &str = "Package: hello\nVersion: 1:2-3\nArchitecture: amd64\nReplaces: old (<< 2), other\n";

    #[test]
    fn a_package_becomes_a_merged_usr_tree_with_a_status_record() {
        let origin = Arc::from("test");
        let mut data = Tree::new();
        data.insert(path("lib"), Entry::directory(0o755, &origin));
        data.insert(path("lib/x.so"), Entry::file("elf", 0o644, &origin).modified(5));
        data.insert(path("lib64"), Entry::symlink("usr/lib64", &origin));
        let package = open(&deb(CONTROL, &data), tempfile::tempfile().unwrap(), Limits::default()).unwrap();
        let paths: Vec<&str> = package.tree.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, ["lib64", "usr/lib", "usr/lib/x.so", "var/lib/dpkg/status.d/hello"]);
        assert_eq!(package.scripts, ["postinst"]);
        assert_eq!((&*package.preinst, &*package.postinst), ("", "#!/bin/sh\n"));
        let status = package.tree.get(&path("var/lib/dpkg/status.d/hello")).unwrap();
        assert_eq!(status.mtime, Some(5));
        assert_eq!(&*status.origin, "package hello 1:2-3");
    }

    #[test]
    fn a_file_below_both_roots_is_rejected() {
        let origin = Arc::from("test");
        let mut data = Tree::new();
        data.insert(path("lib/x"), Entry::file("1", 0o644, &origin));
        data.insert(path("usr/lib/x"), Entry::file("2", 0o644, &origin));
        let error = open(&deb(CONTROL, &data), tempfile::tempfile().unwrap(), Limits::default()).unwrap_err();
        assert!(error.to_string().contains("`/usr/lib/x` in two places"), "{error}");
    }

    #[test]
    fn truncated_packages_are_rejected() {
        let SourceFile::Memory(bytes) = &*deb(CONTROL, &Tree::new()) else { unreachable!() };
        for length in (0..bytes.len()).step_by(37) {
            let cut = Arc::new(SourceFile::Memory(bytes[..length].to_vec()));
            assert!(open(&cut, tempfile::tempfile().unwrap(), Limits::default()).is_err(), "{length}");
        }
    }
}
