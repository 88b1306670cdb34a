//! A bundle as it was made: the tar, or the directory that it was unpacked into.

use std::collections::BTreeMap;
use std::io::{BufReader, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use sealift_layers::codec::Codec;
use sealift_layers::digest::{Digest, Measured};
use sealift_layers::tar;
use sealift_layers::tree::{Content, Entry, Kind, SourceFile, Tree, TreePath};
use sealift_layers::validate::{Depth, Report, Violation, validate};

use super::{LINKS, MANIFEST, Manifest, SUMS};
use crate::failure::Failure;
use crate::files;
use crate::profile::model::Deployed;

const COPY_AGAIN: &str = "the file is cut off, damaged or no bundle: copy it again and compare its size and digest";

/// An opened bundle.
#[derive(Debug)]
pub struct Bundle {
    /// Its files.
    pub files: Tree,
    /// What it says of itself; `None` for an image archive that is no bundle of ours.
    pub manifest: Option<Manifest>,
}

/// Opens the tar or directory at `path`. Nothing is checked but its form.
///
/// # Errors
/// When it cannot be read, is damaged, or is no image archive.
pub fn open(path: &Path) -> Result<Bundle> {
    // Not through a wrapper: its message speaks of metadata, and says the path again.
    let metadata =
        path.metadata().map_err(|error| Failure::usage(format!("cannot open {}: {error}", path.display())))?;
    let files = if metadata.is_dir() { directory(path)? } else { archive(path)? };
    let damaged = |error: &dyn std::fmt::Display| {
        Failure::verification(format!("{}: {MANIFEST} is damaged: {error}", path.display())).hint(COPY_AGAIN)
    };
    let manifest = match read(&files, MANIFEST).map_err(|error| damaged(&error))? {
        Some(bytes) => Some(serde_json::from_slice(&bytes).map_err(|error| damaged(&error))?),
        None => None,
    };
    if manifest.is_none() && files.get(&TreePath::new("index.json")?).is_none() {
        let message = format!("{} is no bundle: it has neither {MANIFEST} nor index.json", path.display());
        return Err(Failure::usage(message)
            .hint("name a file that `sealift build` made, or its unpacked folder")
            .into());
    }
    Ok(Bundle { files, manifest })
}

impl Bundle {
    /// Checks everything: every digest and diff ID, both tables of contents, the sums, and that `bundle.json` tells of
    /// the same images.
    #[must_use]
    pub fn verify(&self, depth: Depth) -> Report {
        if self.is_bare() {
            let problems = if depth >= Depth::Digests { self.verify_files() } else { Vec::new() };
            return Report { violations: problems, ..Report::default() };
        }
        let mut findings = validate(&self.files, depth);
        if depth >= Depth::Digests {
            self.verify_sums(&mut findings.violations);
        }
        if let Some(manifest) = &self.manifest {
            let mut problem =
                |what: String| findings.violations.push(Violation { file: MANIFEST.to_owned(), message: what });
            for image in &manifest.images {
                let found = findings.images.iter().find(|found| found.name == image.reference);
                let layers = image.layers.iter().map(|layer| Measured { digest: layer.digest, size: layer.size });
                match found {
                    None => problem(format!("tells of the image {}, which index.json lacks", image.reference)),
                    Some(found) if (found.digest, found.config_digest) != (image.digest, image.config) => {
                        problem(format!("has other digests for the image {} than index.json", image.reference));
                    }
                    Some(found) if !layers.eq(found.layers.iter().copied()) => {
                        problem(format!("has other layers for the image {} than its manifest", image.reference));
                    }
                    Some(_) => {}
                }
            }
            for found in &findings.images {
                if !manifest.images.iter().any(|image| image.reference == found.name) {
                    problem(format!("does not tell of the image {}", found.name));
                }
            }
        }
        findings
    }

    /// The SHA-256 that the bundle states of one of its files (`SHA256SUMS`); `None` where it does not speak of it.
    #[must_use]
    pub fn sum(&self, name: &str) -> Option<Digest> {
        let sums = read(&self.files, SUMS).ok()??;
        let sums = String::from_utf8_lossy(&sums);
        sums.lines().filter_map(sum).find(|(_, listed)| *listed == name).map(|(digest, _)| digest)
    }

    fn is_bare(&self) -> bool {
        self.manifest.as_ref().is_some_and(|manifest| manifest.deployment == Deployed::Systemd)
    }

    /// No link leads elsewhere than the bundle's table says: the sums are of files alone.
    fn verify_links(&self, problems: &mut Vec<Violation>) {
        let table = match read(&self.files, LINKS) {
            Ok(bytes) => String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned(),
            // The check of the sums has said so.
            Err(_) => return,
        };
        let expected: BTreeMap<&str, &str> = table.lines().filter_map(|line| line.split_once('\t')).collect();
        let links = self.files.iter().filter_map(|(path, entry)| match &entry.kind {
            Kind::Symlink(target) if !path.as_str().starts_with("site/") => Some((path.as_str(), target.as_str())),
            _ => None,
        });
        let found: BTreeMap<&str, &str> = links.collect();
        let mut problem = |file: &str, what: String| problems.push(Violation { file: file.to_owned(), message: what });
        for (path, target) in &found {
            match expected.get(path) {
                Some(other) if other == target => {}
                Some(other) => problem(path, format!("leads to {target}, not to {other} as {LINKS} says")),
                None => problem(path, format!("is a link that is not in {LINKS}")),
            }
        }
        for path in expected.keys().filter(|path| !found.contains_key(*path)) {
            problem(path, format!("is in {LINKS}, but not there"));
        }
    }

    /// Checks what [`Bundle::verify`] checks of the files besides the images' blobs: that they are as `SHA256SUMS` says.
    #[must_use]
    pub fn verify_files(&self) -> Vec<Violation> {
        let mut problems = Vec::new();
        self.verify_sums(&mut problems);
        if self.is_bare() {
            self.verify_links(&mut problems);
        }
        problems
    }

    fn verify_sums(&self, problems: &mut Vec<Violation>) {
        let mut problem = |file: &str, what: String| problems.push(Violation { file: file.to_owned(), message: what });
        let sums = match read(&self.files, SUMS) {
            Ok(Some(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
            // An image archive that is no bundle of ours has none.
            Ok(None) if self.manifest.is_none() => return,
            Ok(None) => return problem(SUMS, "is not there".to_owned()),
            Err(error) => return problem(SUMS, format!("cannot be read: {error}")),
        };
        let mut listed = std::collections::BTreeSet::new();
        for line in sums.lines() {
            let Some((expected, name)) = sum(line) else {
                problem(SUMS, format!("has the line `{line}`, which is no sum"));
                continue;
            };
            listed.insert(name);
            // Blobs are named by their digest and have been checked by it.
            if name.starts_with("blobs/") {
                continue;
            }
            match content(&self.files, name).map(Content::digest) {
                None => problem(name, format!("is in {SUMS}, but not there")),
                Some(Ok(found)) if found == expected => {}
                Some(Ok(found)) => problem(name, format!("has the digest {found}, not as {SUMS} says")),
                Some(Err(error)) => problem(name, format!("cannot be read: {error}")),
            }
        }
        for (path, entry) in self.files.iter() {
            let path = path.as_str();
            let own = path == SUMS || path == ".env" || path.starts_with("site/");
            if matches!(entry.kind, Kind::File(_)) && !own && !listed.contains(path) {
                problem(path, format!("is not in {SUMS}"));
            }
        }
    }
}

/// Digest and name in a line of `SHA256SUMS`.
fn sum(line: &str) -> Option<(Digest, &str)> {
    let (hex, name) = line.split_once("  ")?;
    Some((hex.parse().ok()?, name))
}

fn content<'a>(files: &'a Tree, name: &str) -> Option<&'a Content> {
    match &files.get(&TreePath::new(name).ok()?)?.kind {
        Kind::File(content) => Some(content),
        _ => None,
    }
}

fn read(files: &Tree, name: &str) -> Result<Option<Vec<u8>>> {
    Ok(content(files, name).map(Content::read).transpose()?)
}

fn archive(path: &Path) -> Result<Tree> {
    let mut file = fs_err::File::open(path)?.into_parts().0;
    let mut start = Vec::new();
    file.by_ref().take(512).read_to_end(&mut start)?;
    // A bundle without images is compressed as a whole.
    let codec = match start[..] {
        [0x1f, 0x8b, ..] => Codec::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Codec::Zstd,
        _ => Codec::None,
    };
    if codec != Codec::None {
        file.seek(SeekFrom::Start(0))?;
        let mut plain = tempfile::tempfile()?;
        let unpacked = std::io::copy(&mut codec.decoder(BufReader::new(file))?, &mut plain);
        unpacked.map_err(|error| match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                files::cannot("unpack it into", &tempfile::env::temp_dir(), &error)
            }
            _ => Failure::verification(format!("{}: {error}", path.display())).hint(COPY_AGAIN).into(),
        })?;
        (file, start) = (plain, Vec::new());
        file.seek(SeekFrom::Start(0))?;
        file.by_ref().take(512).read_to_end(&mut start)?;
    }
    // POSIX.1-2017, "ustar Interchange Format": what a tar is known by.
    if !start.is_empty() && start.get(257..262).is_none_or(|magic| magic != b"ustar") {
        return Err(Failure::verification(format!("{} is no tar archive", path.display())).hint(COPY_AGAIN).into());
    }
    let origin = Arc::from(path.display().to_string());
    tar::read(&SourceFile::new(file), &origin).map_err(|error| {
        let mut text = error.to_string();
        if let Some(cause) = std::error::Error::source(&error) {
            text = format!("{text}: {cause}");
        }
        // Some messages quote whole headers.
        let text = text.lines().next().unwrap_or_default();
        Failure::verification(format!("{}: {text}", path.display())).hint(COPY_AGAIN).into()
    })
}

/// The files and links of a directory; other things have no place in a bundle and are passed over.
fn directory(root: &Path) -> Result<Tree> {
    let origin: Arc<str> = root.display().to_string().into();
    let mut tree = Tree::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for path in files::sorted_dir(&folder)? {
            let metadata = fs_err::symlink_metadata(&path)?;
            if metadata.is_dir() {
                open.push(path);
            } else if metadata.is_file() {
                let relative = path.strip_prefix(root).context("a folder's entries are below it")?;
                let source = SourceFile::new(fs_err::File::open(&path)?.into_parts().0);
                let entry = Entry::file(Content::range(&source, 0, metadata.len()), 0o644, &origin);
                tree.insert(TreePath::new(&relative.to_string_lossy())?, entry);
            } else if metadata.is_symlink() {
                let relative = path.strip_prefix(root).context("a folder's entries are below it")?;
                let target = fs_err::read_link(&path)?.to_string_lossy().into_owned();
                tree.insert(TreePath::new(&relative.to_string_lossy())?, Entry::symlink(target, &origin));
            }
        }
    }
    Ok(tree)
}
