//! One way to write a tree as a tar (POSIX.1-2017 pax, "ustar Interchange Format" and "pax Extended Header").
//!
//! - entries sorted bytewise by path; numeric owners, no names; every field explicit;
//! - a file's time is its own, but never after `epoch`; a file without one has `epoch`;
//! - a directory's time is [`DIRECTORY_TIME`], or `epoch` where that is earlier: a directory's time says only when its
//!   contents were last touched, and a layer must not change because a neighbour in another layer did;
//! - what ustar cannot hold (long or non-ASCII names, large files, extended attributes) goes into one pax record before
//!   the entry; never atime or ctime;
//! - two zero blocks at the end and no more.

use std::io::{self, Write};

use tar::{EntryType, Header};

use crate::digest::Background;
use crate::listing::{Listed, Listing, Node};
use crate::tree::{Entry, Kind, Tree, TreePath};

/// The time of every directory, in seconds since 1970: 2020-01-01.
pub const DIRECTORY_TIME: u64 = 1_577_836_800;

const BLOCK: u64 = 512;
/// The largest number that eleven octal digits hold.
const OCTAL_LIMIT: u64 = 0o777_7777_7777;

/// Writes `tree`, whose hard links must be settled ([`Tree::settle_hardlinks`]), and tells what it wrote; with the digest of
/// each file, if `digests` asks for them.
///
/// # Errors
/// Whatever reading a content or writing to `out` gives; the message of a read error names the path and its origin.
pub fn write(tree: &Tree, epoch: u64, digests: bool, mut out: impl Write) -> io::Result<Listing> {
    let mut listing = Listing::default();
    for (path, entry) in tree.iter() {
        let sha256 = if digests {
            let mut hasher = Background::default();
            append(path, entry, epoch, &mut out, &mut hasher)?;
            Some(hasher.finish())
        } else {
            append(path, entry, epoch, &mut out, &mut io::sink())?;
            None
        };
        let node = match &entry.kind {
            Kind::Directory => Node::Directory,
            Kind::Symlink(target) => Node::Symlink { target: target.clone() },
            Kind::Hardlink(target) => Node::Hardlink { target: target.clone() },
            Kind::File(content) => Node::File { size: content.len(), sha256 },
        };
        let origin = entry.origin.to_string();
        listing.insert(path.clone(), Listed { node, mode: entry.mode, uid: entry.uid, gid: entry.gid, origin });
    }
    finish(out)?;
    Ok(listing)
}

/// Writes the end of an archive.
///
/// # Errors
/// Whatever writing gives.
pub fn finish(mut out: impl Write) -> io::Result<()> {
    out.write_all(&[0; 2 * BLOCK as usize])
}

/// Writes one entry, for archives whose order is their own (a bundle has its small files first). A file's contents go to
/// `also`, too.
///
/// # Errors
/// As [`write()`].
pub fn append(
    path: &TreePath,
    entry: &Entry,
    epoch: u64,
    out: &mut impl Write,
    also: &mut impl Write,
) -> io::Result<()> {
    let mut header = Header::new_ustar();
    let mut pax = Pax::default();
    let mut name = path.as_str().to_owned();
    let mut link = "";
    let (kind, size) = match &entry.kind {
        Kind::Directory => {
            name.push('/');
            (EntryType::Directory, 0)
        }
        Kind::File(content) => (EntryType::Regular, content.len()),
        Kind::Symlink(target) => {
            link = target;
            (EntryType::Symlink, 0)
        }
        Kind::Hardlink(target) => {
            link = target.as_str();
            (EntryType::Link, 0)
        }
    };
    let mtime = match entry.kind {
        Kind::Directory => DIRECTORY_TIME.min(epoch),
        _ => entry.mtime.map_or(epoch, |own| own.min(epoch)),
    };

    let ustar = header.as_ustar_mut().expect("made as ustar");
    pax.text("path", &name, &mut ustar.name);
    pax.text("linkpath", link, &mut ustar.linkname);
    header.set_entry_type(kind);
    header.set_mode(entry.mode);
    pax.number("uid", entry.uid.into(), 0o777_7777, |n| header.set_uid(n));
    pax.number("gid", entry.gid.into(), 0o777_7777, |n| header.set_gid(n));
    pax.number("size", size, OCTAL_LIMIT, |n| header.set_size(n));
    header.set_mtime(mtime);
    for (key, value) in &entry.xattrs {
        pax.records.push((format!("SCHILY.xattr.{key}"), value.clone()));
    }
    // Devices are zero, not empty: what GNU tar and Go's archive/tar both write.
    header.set_device_major(0)?;
    header.set_device_minor(0)?;
    header.set_cksum();

    pax.write(path, mtime, out)?;
    out.write_all(header.as_bytes())?;
    if let Kind::File(content) = &entry.kind {
        content.copy_to(&mut Tee(out, also)).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot pack `/{path}` of {}: {error}", entry.origin))
        })?;
        pad(content.len(), out)?;
    }
    Ok(())
}

/// Writes to both.
struct Tee<'a, A, B>(&'a mut A, &'a mut B);

impl<A: Write, B: Write> Write for Tee<'_, A, B> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.0.write(bytes)?;
        self.1.write_all(&bytes[..taken])?;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn pad(length: u64, out: &mut impl Write) -> io::Result<()> {
    let over = length % BLOCK;
    if over > 0 {
        out.write_all(&[0; BLOCK as usize][..(BLOCK - over) as usize])?;
    }
    Ok(())
}

/// The pax records of one entry, sorted by key when written.
#[derive(Default)]
struct Pax {
    records: Vec<(String, Vec<u8>)>,
}

impl Pax {
    /// Puts `text` into a ustar field, or into a record when it is too long or not ASCII.
    fn text(&mut self, key: &str, text: &str, field: &mut [u8]) {
        let fits = text.len() <= field.len() && text.is_ascii();
        let kept = if fits { text.as_bytes() } else { &ascii_prefix(text, field.len())[..] };
        field[..kept.len()].copy_from_slice(kept);
        if !fits {
            self.records.push((key.to_owned(), text.as_bytes().to_vec()));
        }
    }

    fn number(&mut self, key: &str, number: u64, limit: u64, set: impl FnOnce(u64)) {
        if number <= limit {
            set(number);
        } else {
            set(0);
            self.records.push((key.to_owned(), number.to_string().into_bytes()));
        }
    }

    fn write(mut self, path: &TreePath, mtime: u64, out: &mut impl Write) -> io::Result<()> {
        if self.records.is_empty() {
            return Ok(());
        }
        self.records.sort();
        let mut body = Vec::new();
        for (key, value) in &self.records {
            // "%d %s=%s\n", where the length counts its own digits.
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while length != rest + length.to_string().len() {
                length = rest + length.to_string().len();
            }
            body.extend_from_slice(format!("{length} {key}=").as_bytes());
            body.extend_from_slice(value);
            body.push(b'\n');
        }
        let mut header = Header::new_ustar();
        let name = ascii_prefix(&format!("PaxHeaders/{}", path.file_name()), 100);
        header.as_ustar_mut().expect("made as ustar").name[..name.len()].copy_from_slice(&name);
        header.set_entry_type(EntryType::XHeader);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(body.len() as u64);
        header.set_mtime(mtime);
        header.set_device_major(0)?;
        header.set_device_minor(0)?;
        header.set_cksum();
        out.write_all(header.as_bytes())?;
        out.write_all(&body)?;
        pad(body.len() as u64, out)
    }
}

/// At most `limit` bytes of `text`, other characters than ASCII replaced: a stand-in for readers that know no pax.
fn ascii_prefix(text: &str, limit: usize) -> Vec<u8> {
    text.chars().map(|c| if c.is_ascii() { c as u8 } else { b'_' }).take(limit).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::digest::Digest;
    use crate::tar::index;
    use crate::tree::SourceFile;

    fn tarball(tree: &Tree, epoch: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(tree, epoch, true, &mut bytes).unwrap();
        bytes
    }

    fn sample() -> Tree {
        let origin = Arc::from("test");
        let mut tree = Tree::new();
        let path = |text: &str| TreePath::new(text).unwrap();
        tree.insert(path("etc"), Entry::directory(0o755, &origin).modified(99));
        tree.insert(path("etc/a"), Entry::file("hello", 0o4755, &origin).modified(7).owned_by(1234, 3_000_000));
        tree.insert(path("etc/b"), Entry { kind: Kind::Hardlink(path("etc/a")), ..Entry::file("", 0o4755, &origin) });
        tree.insert(path("etc/ünï"), Entry::symlink("a", &origin));
        let long = format!("etc/{}", "x".repeat(300));
        let mut entry = Entry::file("", 0o644, &origin).modified(u64::MAX);
        entry.xattrs.insert("security.capability".into(), vec![1, 0, 0, 2]);
        tree.insert(path(&long), entry);
        tree
    }

    #[test]
    fn what_is_written_reads_back() {
        let bytes = tarball(&sample(), 1_600_000_000);
        assert_eq!(bytes.len() % 512, 0);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let back = index(&SourceFile::new(file), &Arc::from("test")).unwrap();
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
    fn the_bytes_are_golden() {
        let digest = Digest::of(&tarball(&sample(), 1_600_000_000));
        insta::assert_snapshot!(digest, @"sha256:c9b4135bed92548cc1d59a77ccaf24ce7733c85a57e1759487cbe449c2197540");
    }

    #[test]
    fn an_early_epoch_clamps_all_times() {
        let mut bytes = tarball(&sample(), 5);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&std::mem::take(&mut bytes)).unwrap();
        let back = index(&SourceFile::new(file), &Arc::from("test")).unwrap();
        assert!(back.iter().all(|(_, entry)| entry.mtime == Some(5)));
    }

    #[test]
    fn a_pax_length_counts_itself() {
        // 99 - 3 - 4 leaves a record that is 99 long without its own second digit.
        for length in 80..110 {
            let mut pax = Pax::default();
            pax.records.push(("path".into(), vec![b'x'; length]));
            let mut out = Vec::new();
            pax.write(&TreePath::new("x").unwrap(), 0, &mut out).unwrap();
            let record = &out[512..];
            let said: usize = std::str::from_utf8(record).unwrap().split(' ').next().unwrap().parse().unwrap();
            assert_eq!(record[said - 1], b'\n');
            assert!(record[said..].iter().all(|&b| b == 0));
        }
    }
}
