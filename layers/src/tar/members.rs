//! The members of a tar, one after the other: POSIX.1-2017 ustar and pax, and GNU's long names.
//!
//! The `tar` crate reads the fields of a header. It does not read the extensions here: it splits pax records at line
//! feeds, which their values may have, and reads long names of any length into memory.

use std::io::{self, Read};

use tar::{EntryType, Header};

use super::header::BLOCK;

/// Largest size of a header's extension in bytes: a path has at most 4096, an extended attribute 65536.
const EXTENSION_LIMIT: u64 = 1 << 20;

/// A member of an archive, without its contents.
pub(crate) struct Member {
    pub(crate) header: Header,
    /// Its path, as it is written.
    pub(crate) path: Vec<u8>,
    /// The target of a link; empty for other members.
    pub(crate) link: Vec<u8>,
    /// Size of its contents in bytes.
    pub(crate) size: u64,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    /// Extended attributes: name and value.
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// What it has that `Writer` never writes, in words; empty for none.
    pub(crate) odd: String,
}

impl Member {
    /// Size of its contents in the archive, with what fills the last block.
    pub(crate) fn padded(&self) -> io::Result<u64> {
        self.size.checked_next_multiple_of(BLOCK).ok_or_else(|| damaged("a size is too large"))
    }
}

/// Reads the next member's headers; `None` at the end of the archive. Its contents come next.
pub(crate) fn next(reader: &mut impl Read) -> io::Result<Option<Member>> {
    let mut extensions = Extensions::default();
    loop {
        let Some(header) = next_header(reader)? else {
            return if extensions.any { Err(damaged("it ends after an extension")) } else { Ok(None) };
        };
        let kind = header.entry_type();
        if !matches!(kind, EntryType::XHeader | EntryType::GNULongName | EntryType::GNULongLink) {
            return extensions.member(header).map(Some);
        }
        let body = extension(reader, header.entry_size()?)?;
        match kind {
            EntryType::XHeader => extensions.pax(&body)?,
            EntryType::GNULongName => extensions.long(body, "path")?,
            _ => extensions.long(body, "linkpath")?,
        }
    }
}

/// The next header, `None` for a block of zeros and at the end of the file.
fn next_header(reader: &mut impl Read) -> io::Result<Option<Header>> {
    let mut header = Header::new_old();
    let mut got = 0;
    while got < BLOCK as usize {
        match reader.read(&mut header.as_mut_bytes()[got..])? {
            0 if got == 0 => return Ok(None),
            0 => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ends within a header")),
            more => got += more,
        }
    }
    let bytes = header.as_bytes();
    if bytes.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    // The checksum counts its own field as blanks.
    let sum = |part: &[u8]| part.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    if header.cksum()? != sum(&bytes[..148]) + 8 * u32::from(b' ') + sum(&bytes[156..]) {
        return Err(damaged("a header has a wrong checksum"));
    }
    Ok(Some(header))
}

fn extension(reader: &mut impl Read, size: u64) -> io::Result<Vec<u8>> {
    if size > EXTENSION_LIMIT {
        return Err(damaged("an extension of a header is larger than 1 MiB"));
    }
    let mut body = vec![0; size.next_multiple_of(BLOCK) as usize];
    reader.read_exact(&mut body)?;
    body.truncate(size as usize);
    Ok(body)
}

/// The extensions before a header.
#[derive(Default)]
struct Extensions {
    any: bool,
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    odd: String,
}

impl Extensions {
    /// Reads the records of a pax header: `LENGTH KEY=VALUE` and a line feed each.
    fn pax(&mut self, mut body: &[u8]) -> io::Result<()> {
        self.begin();
        while !body.is_empty() {
            let (key, value, rest) = record(body).ok_or_else(|| damaged("a pax record is invalid"))?;
            body = rest;
            let number = || {
                let text = std::str::from_utf8(value).ok();
                let digits = text.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
                digits.and_then(|text| text.parse().ok()).ok_or_else(|| damaged("a pax record is invalid"))
            };
            match key {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"size" => self.size = Some(number()?),
                b"uid" => self.uid = Some(number()?),
                b"gid" => self.gid = Some(number()?),
                _ => match key.strip_prefix(b"SCHILY.xattr.") {
                    Some(name) => self.xattrs.push((name.to_vec(), value.to_vec())),
                    None => self.odd = format!("has the pax record `{}`", String::from_utf8_lossy(key)),
                },
            }
        }
        Ok(())
    }

    /// Takes a long name of GNU's format, which ends with a NUL.
    fn long(&mut self, mut body: Vec<u8>, which: &str) -> io::Result<()> {
        self.begin();
        if body.last() == Some(&0) {
            body.pop();
        }
        let field = if which == "path" { &mut self.path } else { &mut self.link };
        if field.replace(body).is_some() {
            return Err(damaged("two names are given to one member"));
        }
        self.odd = "has a header of GNU's format".to_owned();
        Ok(())
    }

    fn begin(&mut self) {
        self.any = true;
    }

    fn member(self, header: Header) -> io::Result<Member> {
        let mut odd = self.odd;
        if let Some(ustar) = header.as_ustar() {
            // Programs look such names up on the host, and prefer them to the numbers.
            if ustar.uname[0] != 0 || ustar.gname[0] != 0 {
                odd = "names its owner".to_owned();
            }
        } else {
            odd = "has a header of another format than POSIX's".to_owned();
        }
        Ok(Member {
            path: self.path.unwrap_or_else(|| header.path_bytes().into_owned()),
            link: self.link.or_else(|| header.link_name_bytes().map(|link| link.into_owned())).unwrap_or_default(),
            size: self.size.map_or_else(|| header.entry_size(), Ok)?,
            uid: self.uid.map_or_else(|| header.uid(), Ok)?,
            gid: self.gid.map_or_else(|| header.gid(), Ok)?,
            xattrs: self.xattrs,
            odd,
            header,
        })
    }
}

/// Key and value of the first record, and what follows it.
fn record(body: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let blank = body.iter().take(20).position(|byte| *byte == b' ')?;
    let digits = std::str::from_utf8(&body[..blank]).ok()?;
    let length: usize = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())??;
    let (record, rest) = body.split_at_checked(length)?;
    let pair = record.get(blank + 1..)?.strip_suffix(b"\n")?;
    let equals = pair.iter().position(|byte| *byte == b'=')?;
    Some((&pair[..equals], &pair[equals + 1..], rest))
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_of_a_record_may_have_line_feeds() {
        let body = b"11 a=b\nc=d\n9 e=f=g\n\n";
        let (key, value, rest) = record(body).unwrap();
        assert_eq!((key, value), (&b"a"[..], &b"b\nc=d"[..]));
        let (key, value, rest) = record(rest).unwrap();
        assert_eq!((key, value, rest), (&b"e"[..], &b"f=g\n"[..], &b""[..]));
    }

    #[test]
    fn records_that_are_cut_off_or_have_no_key_are_refused() {
        for body in
            [&b"5 a=b\n"[..], b"7 a=b\n", b"-1 a=b\n", b"6 a=b ", b"5 ab\n", b" a=b\n", b"99999999999999999999 a=b\n"]
        {
            assert!(record(body).is_none(), "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn a_long_name_of_any_size_is_not_read_into_memory() {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::GNULongName);
        header.set_size(3 << 30);
        header.set_cksum();
        let error = next(&mut &header.as_bytes()[..]).err().unwrap();
        assert_eq!(error.to_string(), "an extension of a header is larger than 1 MiB");
    }
}
