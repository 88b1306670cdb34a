//! Maintenance of a store: verification, usage, cleaning.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use sealift_deployment::files::{self, cannot, sorted_dir};
use sealift_deployment::ui::Phase;
use sealift_layers::digest::{Digest, Measured};

use super::{ARTIFACTS, BLOBS, DERIVED, Key, LAYERS, LayerEntry, PARTIAL, Store, TMP, clear, reader, remove};
use crate::recipe;

/// A number of entries and their size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Number of entries.
    pub count: u64,
    /// Their size in bytes.
    pub bytes: u64,
}

impl Usage {
    pub(super) fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }
}

/// The contents of a store, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usages {
    /// Fetched files.
    pub artifacts: Usage,
    /// Compressed layers.
    pub blobs: Usage,
    /// Other results.
    pub derived: Usage,
    /// Unfinished downloads.
    pub partial: Usage,
}

impl Usages {
    /// The sum of all kinds.
    #[must_use]
    pub fn total(&self) -> Usage {
        [self.artifacts, self.blobs, self.derived, self.partial]
            .into_iter()
            .fold(Usage::default(), |sum, part| Usage { count: sum.count + part.count, bytes: sum.bytes + part.bytes })
    }
}

/// One line per kind.
impl fmt::Display for Usages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [
            ("fetched artifacts", self.artifacts),
            ("layers", self.blobs),
            ("computed from them", self.derived),
            ("unfinished downloads", self.partial),
        ];
        for (kind, usage) in kinds {
            writeln!(f, "{kind:<21} {:>6} {:>10}", usage.count, sealift_deployment::ui::bytes(usage.bytes))?;
        }
        Ok(())
    }
}

/// A damaged entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// Its path; after a repair the entry is removed.
    pub path: PathBuf,
    /// The problem, without the path.
    pub reason: String,
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.reason)
    }
}

/// The result of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The entries that were read.
    pub checked: Usage,
    /// Damaged entries, in the order in which they were found.
    pub damaged: Vec<Damaged>,
}

impl Store {
    /// The size of the contents.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn size(&self) -> Result<Usages> {
        let of = |folder: &str| {
            let mut usage = Usage::default();
            for path in sorted_dir(&self.root.join(folder))? {
                usage.add(disk_size(&path)?);
            }
            Ok::<_, io::Error>(usage)
        };
        let all = || {
            let (artifacts, blobs) = (of(ARTIFACTS)?, of(BLOBS)?);
            Ok(Usages { artifacts, blobs, derived: of(DERIVED)?, partial: of(PARTIAL)? })
        };
        all().map_err(|error: io::Error| cannot("read", &self.root, &error))
    }

    /// Reads everything again and compares it with its digest; `progress` counts the bytes. With `repair`, damaged entries
    /// are removed: the next build fetches or makes them again.
    ///
    /// # Errors
    /// When the store cannot be read, or with `repair`, when another process has it open.
    pub fn check(&self, repair: bool, progress: &Phase<'_>) -> Result<Report> {
        let check = || {
            let mut check = Check { repair, progress, report: Report::default(), bad_blobs: BTreeSet::new() };
            check.all(&self.root).map_err(|error| cannot("read", &self.root, &error))?;
            Ok(check.report)
        };
        if repair { self.lock.exclusively(check) } else { check() }
    }

    /// Removes everything.
    ///
    /// # Errors
    /// When another process has the store open, or something cannot be removed.
    pub fn clean(&self) -> Result<Usage> {
        self.lock.exclusively(|| {
            let mut total = Usage::default();
            // Records before the blobs that they name.
            for folder in [LAYERS, BLOBS, DERIVED, ARTIFACTS, PARTIAL, TMP] {
                let folder = self.root.join(folder);
                let usage = clear(&folder).map_err(|error| cannot("remove", &folder, &error))?;
                total.count += usage.count;
                total.bytes += usage.bytes;
            }
            Ok(total)
        })
    }
}

struct Check<'a> {
    repair: bool,
    progress: &'a Phase<'a>,
    report: Report,
    bad_blobs: BTreeSet<PathBuf>,
}

impl Check<'_> {
    fn all(&mut self, root: &Path) -> io::Result<()> {
        self.folder(&root.join(ARTIFACTS), plain)?;
        let found = self.report.damaged.len();
        self.folder(&root.join(BLOBS), plain)?;
        self.bad_blobs = self.report.damaged[found..].iter().map(|damaged| damaged.path.clone()).collect();
        self.folder(&root.join(DERIVED), derived)?;
        self.folder(&root.join(PARTIAL), partial)?;
        let (blobs, bad) = (root.join(BLOBS), std::mem::take(&mut self.bad_blobs));
        self.folder(&root.join(LAYERS), |path| layer(path, &blobs, &bad))
    }

    fn folder(&mut self, folder: &Path, verify: impl Fn(&Path) -> io::Result<Verdict>) -> io::Result<()> {
        for path in sorted_dir(folder)? {
            let Verdict { bytes, damage } = match verify(&path) {
                Ok(verdict) => verdict,
                // A file that cannot be read is a result of the check, not its end.
                Err(error) => Verdict::damaged(format!("cannot be read: {error}")),
            };
            self.progress.inc(bytes);
            self.report.checked.add(bytes);
            if let Some(reason) = damage {
                if self.repair {
                    remove(&path)?;
                }
                self.report.damaged.push(Damaged { path, reason });
            }
        }
        Ok(())
    }
}

/// The result of verifying one entry.
pub(super) struct Verdict {
    /// Bytes read.
    bytes: u64,
    /// What is wrong with it, if anything.
    damage: Option<String>,
}

impl Verdict {
    /// Whether the entry is intact.
    pub(super) fn is_intact(&self) -> bool {
        self.damage.is_none()
    }

    fn compared(expected: Digest, found: Measured) -> Self {
        let Measured { digest, size } = found;
        let differs = digest != expected;
        let damage = differs.then(|| format!("has the wrong content: expected {expected}, got {digest}"));
        Self { bytes: size, damage }
    }

    fn damaged(reason: impl Into<String>) -> Self {
        Self { bytes: 0, damage: Some(reason.into()) }
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn unexpected() -> Verdict {
    Verdict::damaged("does not belong in this folder")
}

fn plain(path: &Path) -> io::Result<Verdict> {
    let (Ok(expected), true) = (name(path).parse::<Digest>(), path.symlink_metadata()?.is_file()) else {
        return Ok(unexpected());
    };
    Ok(Verdict::compared(expected, Digest::of_reader(reader(path)?)?))
}

/// An unfinished download has no digest yet. It is read when it is resumed.
fn partial(path: &Path) -> io::Result<Verdict> {
    let is_named = name(path).parse::<Digest>().is_ok();
    Ok(if is_named && path.symlink_metadata()?.is_file() { Verdict { bytes: 0, damage: None } } else { unexpected() })
}

/// The digest of a derived result as it is kept, with the key that it belongs to.
pub(super) fn bound(digest: &Digest, key: &str) -> String {
    format!("{digest} {key}")
}

/// Compares the derived result in the folder at `path` with its digest.
pub(super) fn derived(path: &Path) -> io::Result<Verdict> {
    if name(path).parse::<Digest>().is_err() || !path.symlink_metadata()?.is_dir() {
        return Ok(unexpected());
    }
    let text = files::read_text(&path.join("digest"))?;
    // Earlier versions wrote no key.
    let (digest, key) = text.split_once(' ').map_or((&*text, None), |(digest, key)| (digest, Some(key)));
    let Ok(expected) = digest.parse() else {
        return Ok(Verdict::damaged("its digest is unreadable"));
    };
    if key.is_some_and(|key| key != name(path)) {
        return Ok(Verdict::damaged("it is the result of another key"));
    }
    Ok(Verdict::compared(expected, tree_digest(&path.join("data"))?))
}

fn layer(path: &Path, blobs: &Path, bad: &BTreeSet<PathBuf>) -> io::Result<Verdict> {
    let Some(key) = name(path).strip_suffix(".json").and_then(|hex| hex.parse::<Digest>().ok()) else {
        return Ok(unexpected());
    };
    if !path.symlink_metadata()?.is_file() {
        return Ok(unexpected());
    }
    let text = files::read_within(path, files::FILE_LIMIT)?;
    let reason = match LayerEntry::read(&text, key) {
        Err(error) => Some(format!("is not a layer's record: {error}")),
        Ok(entry) => {
            let blob = blobs.join(entry.blob.hex());
            let there = blob.symlink_metadata().is_ok_and(|found| found.len() == entry.size) && !bad.contains(&blob);
            (!there).then(|| format!("its blob {} is missing or wrong", entry.blob))
        }
    };
    Ok(Verdict { bytes: text.len() as u64, damage: reason })
}

/// The digest of a file, or of a directory with all that is below it (names, kinds, modes, contents), and the bytes of
/// its files.
pub(super) fn tree_digest(path: &Path) -> io::Result<Measured> {
    let mut key = Key::builder(recipe::STORE_TREE);
    let mut bytes = 0;
    // Depth first: a directory comes before what is in it.
    let mut ahead = vec![path.to_owned()];
    while let Some(at) = ahead.pop() {
        let found = at.symlink_metadata()?;
        let below = at.strip_prefix(path).unwrap_or(&at).as_os_str().as_bytes();
        key = key.bytes("path", below);
        if found.is_symlink() {
            key = key.bytes("link", fs_err::read_link(&at)?.as_os_str().as_bytes());
            continue;
        }
        key = key.field("mode", found.permissions().mode());
        if found.is_dir() {
            ahead.extend(sorted_dir(&at)?.into_iter().rev());
        } else if found.is_file() {
            let Measured { digest, size: length } = Digest::of_reader(reader(&at)?)?;
            key = key.field("content", digest);
            bytes += length;
        }
    }
    Ok(Measured { digest: key.finish().digest(), size: bytes })
}

/// The bytes of a file, or of all files below a directory.
pub(super) fn disk_size(path: &Path) -> io::Result<u64> {
    let found = path.symlink_metadata()?;
    if !found.is_dir() {
        return Ok(found.len());
    }
    sorted_dir(path)?.iter().map(|entry| disk_size(entry)).sum()
}
