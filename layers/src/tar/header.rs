//! Headers of a tar: ustar fields, and pax records for what they cannot hold.

use std::io::{self, Write};

use tar::{EntryType, Header};

use crate::tree::{Entry, Kind, TreePath, bytes_of};

pub(super) const BLOCK: u64 = 512;
/// The largest number that fits seven octal digits.
const OWNER_LIMIT: u64 = 0o777_7777;
/// The largest number that fits eleven octal digits.
const SIZE_LIMIT: u64 = 0o777_7777_7777;

/// Writes the header of `entry` at `path`, preceded by its pax records if it needs any. `mtime` is in seconds since 1970.
pub(super) fn write(path: &TreePath, entry: &Entry, mtime: u64, out: &mut impl Write) -> io::Result<()> {
    let mut header = Header::new_ustar();
    let mut pax = Pax::default();
    let mut name = path.as_str().to_owned();
    let (kind, size, link) = match &entry.kind {
        Kind::Directory => {
            name.push('/');
            (EntryType::Directory, 0, "")
        }
        Kind::File(content) => (EntryType::Regular, content.len(), ""),
        Kind::Symlink(target) => (EntryType::Symlink, 0, target.as_str()),
        Kind::Hardlink(target) => (EntryType::Link, 0, target.as_str()),
    };
    let ustar = header.as_ustar_mut().expect("made as ustar");
    pax.text("path", &name, &mut ustar.name);
    pax.text("linkpath", link, &mut ustar.linkname);
    header.set_entry_type(kind);
    header.set_mode(entry.mode);
    pax.number("uid", entry.uid.into(), OWNER_LIMIT, |n| header.set_uid(n));
    pax.number("gid", entry.gid.into(), OWNER_LIMIT, |n| header.set_gid(n));
    pax.number("size", size, SIZE_LIMIT, |n| header.set_size(n));
    for (key, value) in &entry.xattrs {
        pax.records.push((format!("SCHILY.xattr.{key}"), value.clone()));
    }
    pax.write(path, mtime, out)?;
    out.write_all(finished(header, mtime)?.as_bytes())
}

/// Sets the fields that all headers have alike.
fn finished(mut header: Header, mtime: u64) -> io::Result<Header> {
    header.set_mtime(mtime);
    // Zero, not empty, as GNU tar and Go's archive/tar write them.
    header.set_device_major(0)?;
    header.set_device_minor(0)?;
    header.set_cksum();
    Ok(header)
}

/// Writes zeros up to a whole number of blocks after `length` bytes of content.
pub(super) fn pad(length: u64, out: &mut impl Write) -> io::Result<()> {
    let over = length % BLOCK;
    if over > 0 {
        out.write_all(&[0; BLOCK as usize][..(BLOCK - over) as usize])?;
    }
    Ok(())
}

/// The pax records of one entry. They are written sorted by key.
#[derive(Default)]
struct Pax {
    records: Vec<(String, Vec<u8>)>,
}

impl Pax {
    /// Stores `text` in a ustar field, or in a record if it is too long or not ASCII.
    /// A name that is not UTF-8 is stated to be binary.
    fn text(&mut self, key: &str, text: &str, field: &mut [u8]) {
        let fits = text.len() <= field.len() && text.is_ascii();
        let kept = if fits { text.as_bytes() } else { &ascii_prefix(text, field.len())[..] };
        field[..kept.len()].copy_from_slice(kept);
        if !fits {
            let name = bytes_of(text);
            let charset = ("hdrcharset".to_owned(), b"BINARY".to_vec());
            if std::str::from_utf8(&name).is_err() && !self.records.contains(&charset) {
                self.records.push(charset);
            }
            self.records.push((key.to_owned(), name.into_owned()));
        }
    }

    /// Passes `number` to the setter of a ustar field, or stores it in a record if it is above `limit`.
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
        let body: Vec<u8> = self.records.iter().flat_map(|(key, value)| record(key, value)).collect();
        let mut header = Header::new_ustar();
        let name = ascii_prefix(&format!("PaxHeaders/{}", path.file_name()), 100);
        header.as_ustar_mut().expect("made as ustar").name[..name.len()].copy_from_slice(&name);
        header.set_entry_type(EntryType::XHeader);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(body.len() as u64);
        out.write_all(finished(header, mtime)?.as_bytes())?;
        out.write_all(&body)?;
        pad(body.len() as u64, out)
    }
}

/// A pax record, `LENGTH KEY=VALUE` and a newline. The length is that of the whole record, with its own digits.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

/// The first `limit` characters of `text`, with `_` for each one that is not ASCII: what readers without pax support see.
fn ascii_prefix(text: &str, limit: usize) -> Vec<u8> {
    text.chars().map(|c| if c.is_ascii() { c as u8 } else { b'_' }).take(limit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_pax_record_includes_its_own_digits() {
        // Around the length where it needs a third digit.
        for length in 80..110 {
            let record = record("path", &vec![b'x'; length]);
            let stated = std::str::from_utf8(&record).unwrap().split(' ').next().unwrap();
            assert_eq!(stated.parse(), Ok(record.len()));
        }
    }
}
