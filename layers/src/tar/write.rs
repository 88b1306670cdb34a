//! One way to write a tree as a tar (POSIX.1-2017 pax, "ustar Interchange Format" and "pax Extended Header").
//!
//! - Entries are sorted bytewise by path. Owners are numeric, without names. Every field is set.
//! - The time of a file is its own, but not after the epoch; a file without a time has the epoch.
//! - The time of a directory is [`DIRECTORY_TIME`], or the epoch if that is earlier. The real time of a directory only
//!   shows when its contents last changed, and a layer must not change because a neighbour in another layer did.
//! - What ustar cannot hold (long or non-ASCII names, large files, extended attributes) goes into one pax header before
//!   the entry. There are no records of atime or ctime.
//! - The archive ends with two zero blocks and no more.

use std::io::{self, Write};

use super::header::{self, BLOCK, pad};
use crate::digest::{BackgroundHasher, Digest};
use crate::listing::{ListedEntry, Listing, Node};
use crate::tree::{Entry, Kind, Tree, TreePath};

/// The time of every directory, in seconds since 1970: 2020-01-01.
pub const DIRECTORY_TIME: u64 = 1_577_836_800;

/// How a tree is written.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Seconds since 1970. No entry has a later modification time.
    pub epoch: u64,
    /// Whether the listing has the digest of each file.
    pub file_digests: bool,
}

/// Writes `tree` as a whole archive and returns its listing. The hard links of `tree` must be in order
/// ([`Tree::normalize_hardlinks`]).
///
/// # Errors
/// Any error of reading a content or writing to `out`. The message of a read error names the path and its origin.
pub fn write(tree: &Tree, options: Options, out: impl Write) -> io::Result<Listing> {
    write_watched(tree, options, out, &mut io::sink(), |_, _| {})
}

/// As [`write()`]. The contents of files are written to `watcher`, too, and `ended` is called after each.
///
/// # Errors
/// As [`write()`], and those of the watcher.
pub(crate) fn write_watched<W: Write>(
    tree: &Tree,
    options: Options,
    out: impl Write,
    watcher: &mut W,
    mut ended: impl FnMut(&mut W, &TreePath),
) -> io::Result<Listing> {
    let mut writer = Writer::new(out, options.epoch);
    let mut listing = Listing::default();
    for (path, entry) in tree.iter() {
        let sha256 = if options.file_digests {
            let mut hasher = BackgroundHasher::default();
            writer.append_with_copy(path, entry, &mut Tee(&mut hasher, watcher))?;
            Some(hasher.finish())
        } else {
            writer.append_with_copy(path, entry, watcher)?;
            None
        };
        if matches!(entry.kind, Kind::File(_)) {
            ended(watcher, path);
        }
        let node = match &entry.kind {
            Kind::Directory => Node::Directory,
            Kind::Symlink(target) => Node::Symlink { target: target.clone() },
            Kind::Hardlink(target) => Node::Hardlink { target: target.clone() },
            Kind::File(content) => Node::File { size: content.len(), sha256 },
        };
        let origin = entry.origin.to_string();
        listing.insert(path.clone(), ListedEntry { node, mode: entry.mode, uid: entry.uid, gid: entry.gid, origin });
    }
    writer.finish()?;
    Ok(listing)
}

/// Writes a tar entry by entry, in an order that the caller chooses (a bundle has its small files first).
pub struct Writer<W> {
    out: W,
    epoch: u64,
}

impl<W: Write> Writer<W> {
    /// Starts an archive in which no entry is later than `epoch`, in seconds since 1970.
    pub fn new(out: W, epoch: u64) -> Self {
        Self { out, epoch }
    }

    /// Writes one entry.
    ///
    /// # Errors
    /// As [`write()`].
    pub fn append(&mut self, path: &TreePath, entry: &Entry) -> io::Result<()> {
        self.append_with_copy(path, entry, &mut io::sink())
    }

    /// Writes one entry and returns the digest of its contents, which are empty unless it is a file.
    ///
    /// # Errors
    /// As [`write()`].
    pub fn append_hashed(&mut self, path: &TreePath, entry: &Entry) -> io::Result<Digest> {
        let mut hasher = BackgroundHasher::default();
        self.append_with_copy(path, entry, &mut hasher)?;
        Ok(hasher.finish())
    }

    fn append_with_copy(&mut self, path: &TreePath, entry: &Entry, copy: &mut impl Write) -> io::Result<()> {
        let mtime = match entry.kind {
            Kind::Directory => DIRECTORY_TIME.min(self.epoch),
            _ => entry.mtime.map_or(self.epoch, |own| own.min(self.epoch)),
        };
        header::write(path, entry, mtime, &mut self.out)?;
        if let Kind::File(content) = &entry.kind {
            content.copy_to(&mut Tee(&mut self.out, copy)).map_err(|error| {
                io::Error::new(error.kind(), format!("cannot pack `/{path}` of {}: {error}", entry.origin))
            })?;
            pad(content.len(), &mut self.out)?;
        }
        Ok(())
    }

    /// Writes the end of the archive and returns the sink.
    ///
    /// # Errors
    /// Any error of writing.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 2 * BLOCK as usize])?;
        Ok(self.out)
    }
}

/// Writes the same bytes to both sinks.
struct Tee<'a, A, B>(&'a mut A, &'a mut B);

impl<A: Write, B: Write> Write for Tee<'_, A, B> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.0.write(bytes)?;
        self.1.write_all(&bytes[..written])?;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::tar::read;
    use crate::tree::SourceFile;

    fn tarball(tree: &Tree, epoch: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(tree, Options { epoch, file_digests: true }, &mut bytes).unwrap();
        bytes
    }

    fn sample() -> Tree {
        sample_with(&format!("etc/{}", "x".repeat(300)))
    }

    /// One that file systems take.
    fn readable() -> Tree {
        sample_with(&format!("etc/{}", "x".repeat(200) + "/" + &"x".repeat(100)))
    }

    fn sample_with(long: &str) -> Tree {
        let origin = Arc::from("test");
        let mut tree = Tree::new();
        let path = |text: &str| TreePath::new(text).unwrap();
        tree.insert(path("etc"), Entry::directory(0o755, &origin).modified(99));
        tree.insert(path("etc/a"), Entry::file("hello", 0o4755, &origin).modified(7).owned_by(1234, 3_000_000));
        tree.insert(path("etc/b"), Entry { kind: Kind::Hardlink(path("etc/a")), ..Entry::file("", 0o4755, &origin) });
        tree.insert(path("etc/ünï"), Entry::symlink("a", &origin));
        let mut entry = Entry::file("", 0o644, &origin).modified(u64::MAX);
        entry.xattrs.insert("security.capability".into(), vec![1, 0, 0, 2]);
        tree.insert(path(long), entry);
        tree
    }

    #[test]
    fn a_written_tree_reads_back() {
        let bytes = tarball(&readable(), 1_600_000_000);
        assert_eq!(bytes.len() % 512, 0);
        let back = read(&Arc::new(SourceFile::Memory(bytes)), &Arc::from("test")).unwrap();
        let text: Vec<String> = back
            .iter()
            .map(|(path, e)| {
                let kind = match &e.kind {
                    Kind::Directory => "directory".to_owned(),
                    Kind::File(content) => String::from_utf8(content.read().unwrap()).unwrap(),
                    Kind::Symlink(target) => format!("-> {target}"),
                    Kind::Hardlink(target) => format!("= {target}"),
                };
                let name: String = path.as_str().chars().take(8).collect();
                format!("{name} {:o} {}:{} {:?} {kind} {:?}", e.mode, e.uid, e.gid, e.mtime, e.xattrs)
            })
            .collect();
        insta::assert_snapshot!(text.join("\n"), @r#"
        etc 755 0:0 Some(1577836800) directory {}
        etc/a 4755 1234:3000000 Some(7) hello {}
        etc/b 4755 0:0 Some(1600000000) = etc/a {}
        etc/xxxx 644 0:0 Some(1600000000)  {"security.capability": [1, 0, 0, 2]}
        etc/ünï 777 0:0 Some(1600000000) -> a {}
        "#);
    }

    /// The bytes are a promise: they are part of every diff ID that users have recorded.
    #[test]
    fn the_bytes_do_not_change() {
        let digest = Digest::of(&tarball(&sample(), 1_600_000_000));
        insta::assert_snapshot!(digest, @"sha256:c9b4135bed92548cc1d59a77ccaf24ce7733c85a57e1759487cbe449c2197540");
    }

    #[test]
    fn no_time_is_after_the_epoch() {
        let bytes = tarball(&readable(), 5);
        let back = read(&Arc::new(SourceFile::Memory(bytes)), &Arc::from("test")).unwrap();
        assert!(back.iter().all(|(_, entry)| entry.mtime == Some(5)));
    }
}
