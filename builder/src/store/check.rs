//! Looking after a store: is everything what it says, how much is there, remove it.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use sealift_deployment::files::{cannot, sorted_dir};
use sealift_deployment::ui::Phase;
use sealift_layers::digest::{Digest, Measured};

use super::{ARTIFACTS, BLOBS, DERIVED, Key, LAYERS, LayerEntry, PARTIAL, Store, TMP, clear, reader, remove};

/// A number of things and their size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// How many.
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

/// What is in a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usages {
    /// What was fetched.
    pub artifacts: Usage,
    /// Compressed layers.
    pub blobs: Usage,
    /// Other things made of artifacts.
    pub derived: Usage,
    /// Downloads that wait to be resumed.
    pub partial: Usage,
}

impl Usages {
    /// All of it.
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

/// A thing that is not what it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Where it is (or was).
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.reason)
    }
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What was looked at.
    pub checked: Usage,
    /// What is wrong, in the order found. Removed, if that was asked for.
    pub wrong: Vec<Wrong>,
}

impl Store {
    /// What is there.
    ///
    /// # Errors
    /// When it cannot be read.
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

    /// Reads everything again and compares it with its digest; `progress` counts the bytes. What is wrong is removed if
    /// `repair` says so: the next build fetches or makes it again.
    ///
    /// # Errors
    /// When the store cannot be read, or `repair` is asked for while another process has it open.
    pub fn check(&self, repair: bool, progress: &Phase<'_>) -> Result<Report> {
        let check = || {
            let mut check = Check { repair, progress, report: Report::default(), bad_blobs: BTreeSet::new() };
            check.all(&self.root).map_err(|error| cannot("read", &self.root, &error))?;
            Ok(check.report)
        };
        if repair { self.lock.alone(check) } else { check() }
    }

    /// Removes everything.
    ///
    /// # Errors
    /// When another process has the store open, or something cannot be removed.
    pub fn clean(&self) -> Result<Usage> {
        self.lock.alone(|| {
            let mut total = Usage::default();
            // Records before the blobs that they speak of.
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
        let found = self.report.wrong.len();
        self.folder(&root.join(BLOBS), plain)?;
        self.bad_blobs = self.report.wrong[found..].iter().map(|wrong| wrong.path.clone()).collect();
        self.folder(&root.join(DERIVED), derived)?;
        let (blobs, bad) = (root.join(BLOBS), std::mem::take(&mut self.bad_blobs));
        self.folder(&root.join(LAYERS), |path| layer(path, &blobs, &bad))
    }

    fn folder(&mut self, folder: &Path, judge: impl Fn(&Path) -> io::Result<Verdict>) -> io::Result<()> {
        for path in sorted_dir(folder)? {
            let (bytes, reason) = match judge(&path) {
                Ok(verdict) => verdict,
                // Whoever runs a check fears for the disk: what cannot be read is a finding.
                Err(error) => (0, Some(format!("cannot be read: {error}"))),
            };
            self.progress.inc(bytes);
            self.report.checked.add(bytes);
            if let Some(reason) = reason {
                if self.repair {
                    remove(&path)?;
                }
                self.report.wrong.push(Wrong { path, reason });
            }
        }
        Ok(())
    }
}

/// Bytes read, and what is wrong.
type Verdict = (u64, Option<String>);

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn strange() -> Verdict {
    (0, Some("does not belong there".into()))
}

fn plain(path: &Path) -> io::Result<Verdict> {
    let (Ok(expected), true) = (name(path).parse::<Digest>(), path.symlink_metadata()?.is_file()) else {
        return Ok(strange());
    };
    let Measured { digest: got, size: bytes } = Digest::of_reader(reader(path)?)?;
    Ok((bytes, differs(&expected, &got)))
}

/// Whether the derived thing in the folder at `path` is as its digest says.
pub(super) fn derived(path: &Path) -> io::Result<Verdict> {
    if name(path).parse::<Digest>().is_err() {
        return Ok(strange());
    }
    let Ok(expected) = fs_err::read_to_string(path.join("digest"))?.parse() else {
        return Ok((0, Some("its digest is unreadable".into())));
    };
    let (got, bytes) = tree_digest(&path.join("data"))?;
    Ok((bytes, differs(&expected, &got)))
}

fn layer(path: &Path, blobs: &Path, bad: &BTreeSet<PathBuf>) -> io::Result<Verdict> {
    if name(path).strip_suffix(".json").is_none_or(|hex| hex.parse::<Digest>().is_err()) {
        return Ok(strange());
    }
    let text = fs_err::read(path)?;
    let reason = match LayerEntry::read(&text) {
        Err(error) => Some(format!("is not a layer's record: {error}")),
        Ok(entry) => {
            let blob = blobs.join(entry.blob.hex());
            let there = blob.metadata().is_ok_and(|found| found.len() == entry.size) && !bad.contains(&blob);
            (!there).then(|| format!("its blob {} is missing or wrong", entry.blob))
        }
    };
    Ok((text.len() as u64, reason))
}

fn differs(expected: &Digest, got: &Digest) -> Option<String> {
    (expected != got).then(|| format!("has the wrong content: expected {expected}, got {got}"))
}

/// The digest of a file, or of a directory with all that is below it (names, kinds, modes, contents), and the bytes of
/// its files.
pub(super) fn tree_digest(path: &Path) -> io::Result<(Digest, u64)> {
    let mut key = Key::builder("store-tree/1");
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
    Ok((key.finish().digest(), bytes))
}

/// The bytes of a file, or of all files below a directory.
pub(super) fn disk_size(path: &Path) -> io::Result<u64> {
    let found = path.symlink_metadata()?;
    if !found.is_dir() {
        return Ok(found.len());
    }
    sorted_dir(path)?.iter().map(|entry| disk_size(entry)).sum()
}
