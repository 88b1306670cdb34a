//! The members of a tar, one by one, as dpkg and GNU tar read them: ustar and GNU headers, GNU long names, and pax records
//! (POSIX.1-2017, "pax Interchange Format"; GNU tar manual, "Basic Tar Format").
//!
//! What readers understand differently is refused: two names for one member, a size that differs between header and record,
//! links with contents, sparse files, anything but zeros after the end. No size is believed before its bytes are there.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};

use super::pax::{apply, records};
use super::read::ReadError;
use crate::limits::{EXTENSION, EXTENSIONS, Exceeded, MEMBERS, PATH};
use crate::tree::{Cursor, TreePath, text_of};

const BLOCK: usize = 512;

/// The type of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberKind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link, and its target.
    Symlink(String),
    /// A hard link, and the name of the member that it links to.
    Hardlink(String),
    /// A device or a pipe: `3`, `4` or `6` as in the header. Images and packages have none.
    Device(char),
}

/// The header of a member.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its name, as it is written.
    pub name: String,
    /// Its type.
    pub kind: MemberKind,
    /// Offset of its contents in the archive.
    pub offset: u64,
    /// Bytes of its contents; 0 unless it is a file.
    pub size: u64,
    /// Permission bits: at most `0o7777`.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Modification time in seconds since 1970; 0 if it is earlier.
    pub mtime: u64,
    /// Extended attributes.
    pub xattrs: BTreeMap<String, Vec<u8>>,
    /// What it has that [`Writer`](super::Writer) never writes, although programs act on it, as the rest of a sentence that begins
    /// with its name.
    pub oddity: Option<String>,
}

/// An input of [`Members`], which can skip the contents of members.
pub trait Skip: Read {
    /// Skips this many bytes.
    ///
    /// # Errors
    /// The input ends before.
    fn skip(&mut self, count: u64) -> io::Result<()>;
}

/// An input that has to be read to be skipped.
#[derive(Debug)]
pub struct Stream<R>(pub R);

impl<R: Read> Read for Stream<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<R: Read> Skip for Stream<R> {
    fn skip(&mut self, count: u64) -> io::Result<()> {
        match io::copy(&mut (&mut self.0).take(count), &mut io::sink())? {
            skipped if skipped == count => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl Skip for Cursor<'_> {
    fn skip(&mut self, count: u64) -> io::Result<()> {
        let (at, size) = (self.stream_position()?, self.size()?);
        let end = at.checked_add(count).filter(|end| *end <= size).ok_or(io::ErrorKind::UnexpectedEof)?;
        self.seek(SeekFrom::Start(end)).map(drop)
    }
}

/// Reads the members of a tar in order. Reading from it yields the contents of the current member.
#[derive(Debug)]
pub struct Members<R> {
    input: R,
    /// Offset of the next byte.
    position: u64,
    /// Bytes of the current member that are not read yet.
    left: u64,
    /// Zeros after them, up to a whole block.
    padding: u64,
    headers: u64,
    /// Bytes of the extended headers so far.
    extended: u64,
    is_done: bool,
    is_ended: bool,
}

/// What extended headers say about the member after them.
#[derive(Default)]
struct Extended {
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    records: Option<BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl<R: Skip> Members<R> {
    /// Starts at the first header.
    pub fn new(input: R) -> Self {
        Self { input, position: 0, left: 0, padding: 0, headers: 0, extended: 0, is_done: false, is_ended: false }
    }

    /// The header of the next member; `None` after the last one, when all of the input is read.
    ///
    /// # Errors
    /// [`ReadError`].
    #[allow(clippy::should_implement_trait, reason = "it is fallible, and members are read through it")]
    pub fn next(&mut self) -> Result<Option<Member>, ReadError> {
        let mut extended = Extended::default();
        while !self.is_done {
            self.skip_rest()?;
            let Some(block) = self.block()? else { break };
            if block == [0; BLOCK] {
                self.end()?;
                self.is_ended = true;
                break;
            }
            let header = Header(&block);
            header.check()?;
            self.headers += 1;
            if self.headers > 3 * MEMBERS {
                return Err(Exceeded::Count(MEMBERS, "members").into());
            }
            let twice = || damaged("a member has two names or two extended headers");
            match header.flag() {
                b'L' if extended.long_name.is_none() => extended.long_name = Some(self.long_text(&header)?),
                b'K' if extended.long_link.is_none() => extended.long_link = Some(self.long_text(&header)?),
                b'x' if extended.records.is_none() => extended.records = Some(records(&self.extension(&header)?)?),
                b'L' | b'K' | b'x' => return Err(twice()),
                _ => return self.member(&header, extended).map(Some),
            }
        }
        self.is_done = true;
        let Extended { long_name: None, long_link: None, records: None } = extended else {
            return Err(damaged("it ends after the extended header of a member"));
        };
        Ok(None)
    }

    /// Whether the archive has an end, a block of zeros. Others are cut off, perhaps within the zeros after a file; dpkg and
    /// engines take them, GNU tar does not.
    pub(super) fn is_ended(&self) -> bool {
        self.is_ended
    }

    fn member(&mut self, header: &Header<'_>, extended: Extended) -> Result<Member, ReadError> {
        let mut oddity = header.oddity();
        let Extended { long_name, long_link, records } = extended;
        if long_name.is_some() || long_link.is_some() {
            oddity = Some("has a header of GNU's format".to_owned());
        }
        let mut records = records.unwrap_or_default();
        let name = one_text(long_name, records.remove(&b"path"[..]), || header.name())?;
        let link = one_text(long_link, records.remove(&b"linkpath"[..]), || header.link())?;
        let mut member = Member {
            kind: MemberKind::File,
            offset: self.position,
            size: header.size()?,
            mode: u32::try_from(header.number(100..108)? & 0o7777).unwrap_or(0),
            uid: owner(header.number(108..116)?)?,
            gid: owner(header.number(116..124)?)?,
            mtime: u64::try_from(header.number(136..148)?.max(0)).map_err(|_| damaged("a time is too large"))?,
            xattrs: BTreeMap::new(),
            oddity,
            name,
        };
        for (key, value) in records {
            apply(&mut member, &key, value)?;
        }
        if link.len() > PATH {
            return Err(Exceeded::Size { what: "the target of a link", limit: PATH as u64 }.into());
        }
        member.kind = match header.flag() {
            // Before POSIX a directory was a file whose name ends with a slash. dpkg and GNU tar read it so.
            b'0' | 0 if member.name.ends_with('/') => MemberKind::Directory,
            b'0' | 0 | b'7' => MemberKind::File,
            b'5' => MemberKind::Directory,
            b'2' => MemberKind::Symlink(link),
            b'1' => MemberKind::Hardlink(link),
            b'3' | b'4' | b'6' => MemberKind::Device(header.flag().into()),
            other => {
                let kind = kind_name(other.into());
                return Err(ReadError::UnsupportedType { path: TreePath::new(&member.name)?, kind });
            }
        };
        if member.size > 0 && member.kind != MemberKind::File {
            return Err(damaged("a link or a directory has contents"));
        }
        if matches!(&member.kind, MemberKind::Symlink(target) if target.is_empty()) {
            return Err(damaged("a symbolic link has no target"));
        }
        self.left = member.size;
        self.padding = member.size.wrapping_neg() % BLOCK as u64;
        Ok(member)
    }

    /// The contents of an extended header.
    fn extension(&mut self, header: &Header<'_>) -> Result<Vec<u8>, ReadError> {
        let size = header.size()?;
        if size > EXTENSION {
            return Err(Exceeded::Size { what: "an extended header", limit: EXTENSION }.into());
        }
        self.extended += size;
        if self.extended > EXTENSIONS {
            return Err(Exceeded::Size { what: "the extended headers together", limit: EXTENSIONS }.into());
        }
        (self.left, self.padding) = (size, size.wrapping_neg() % BLOCK as u64);
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// The text of a GNU long name, without the NUL at its end.
    fn long_text(&mut self, header: &Header<'_>) -> Result<Vec<u8>, ReadError> {
        let mut bytes = self.extension(header)?;
        while bytes.last() == Some(&0) {
            bytes.pop();
        }
        Ok(bytes)
    }

    fn skip_rest(&mut self) -> io::Result<()> {
        let count = self.left.checked_add(self.padding).ok_or(io::ErrorKind::UnexpectedEof)?;
        // The padding of the last member may be missing, as may the end of the archive.
        self.input.skip(self.left)?;
        if self.padding > 0 {
            let mut padding = Vec::new();
            (&mut self.input).take(self.padding).read_to_end(&mut padding)?;
        }
        self.position = self.position.checked_add(count).ok_or(io::ErrorKind::UnexpectedEof)?;
        (self.left, self.padding) = (0, 0);
        Ok(())
    }

    /// The next block; `None` at the end of the input.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, ReadError> {
        let mut bytes = Vec::with_capacity(BLOCK);
        (&mut self.input).take(BLOCK as u64).read_to_end(&mut bytes)?;
        self.position += bytes.len() as u64;
        match <[u8; BLOCK]>::try_from(bytes) {
            Ok(block) => Ok(Some(block)),
            Err(bytes) if bytes.is_empty() => Ok(None),
            Err(_) => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        }
    }

    /// Checks that only zeros follow the first block of zeros: some readers would go on.
    fn end(&mut self) -> Result<(), ReadError> {
        let mut buffer = [0; 1 << 14];
        loop {
            match self.input.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(got) if buffer[..got].iter().all(|byte| *byte == 0) => {}
                Ok(_) => return Err(damaged("something follows its end")),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl<R: Read> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let got = self.input.read(&mut buffer[..wanted])?;
        if got == 0 && wanted > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= got as u64;
        self.position += got as u64;
        Ok(got)
    }
}

/// A header block.
struct Header<'a>(&'a [u8; BLOCK]);

impl Header<'_> {
    /// Checks the sum of the bytes.
    fn check(&self) -> Result<(), ReadError> {
        let sum: u64 = self.0.iter().map(|byte| u64::from(*byte)).sum();
        let own: u64 = self.0[148..156].iter().map(|byte| u64::from(*byte)).sum();
        if i128::from(sum - own + 8 * u64::from(b' ')) == self.number(148..156)? {
            Ok(())
        } else {
            Err(damaged("the checksum of a header is wrong"))
        }
    }

    fn flag(&self) -> u8 {
        self.0[156]
    }

    /// Octal digits, or GNU's base 256 for what they cannot hold.
    fn number(&self, range: std::ops::Range<usize>) -> Result<i128, ReadError> {
        let field = &self.0[range];
        let wrong = || damaged("a number in a header is malformed");
        if let [first @ (0x80 | 0xff), rest @ ..] = field {
            let start = if *first == 0xff { -1 } else { 0 };
            return Ok(rest.iter().fold(start, |number, byte| (number << 8) | i128::from(*byte)));
        }
        let text = field.trim_ascii_start();
        let end = text.iter().position(|byte| matches!(byte, 0 | b' ')).unwrap_or(text.len());
        let (digits, after) = text.split_at(end);
        if after.iter().any(|byte| !matches!(byte, 0 | b' ')) || text.is_empty() {
            return Err(wrong());
        }
        digits.iter().try_fold(0, |number, digit| match digit {
            b'0'..=b'7' => Ok((number << 3) | i128::from(digit - b'0')),
            _ => Err(wrong()),
        })
    }

    fn size(&self) -> Result<u64, ReadError> {
        let size = self.number(124..136)?;
        // Offsets are signed in file systems.
        u64::try_from(size).ok().filter(|size| *size <= i64::MAX as u64).ok_or_else(|| damaged("a size is impossible"))
    }

    fn text(&self, range: std::ops::Range<usize>) -> &[u8] {
        let field = &self.0[range];
        &field[..field.iter().position(|byte| *byte == 0).unwrap_or(field.len())]
    }

    fn name(&self) -> Vec<u8> {
        let (name, prefix) = (self.text(0..100), self.text(345..500));
        // GNU's headers have other things in the place of the prefix.
        let has_prefix = self.0[257..263] == *b"ustar\0" && !prefix.is_empty();
        if has_prefix { [prefix, b"/", name].concat() } else { name.to_vec() }
    }

    fn oddity(&self) -> Option<String> {
        if self.0[257..265] != *b"ustar\x0000" {
            return Some("has a header of another format than POSIX's".to_owned());
        }
        // Programs look such names up on the host, and prefer them to the numbers.
        (self.0[265] != 0 || self.0[297] != 0).then(|| "names its owner".to_owned())
    }

    fn link(&self) -> Vec<u8> {
        self.text(157..257).to_vec()
    }
}

/// The text of a name: from a GNU long name or a pax record, but not from both, or from the header.
fn one_text(
    long: Option<Vec<u8>>,
    record: Option<Vec<u8>>,
    header: impl FnOnce() -> Vec<u8>,
) -> Result<String, ReadError> {
    let bytes = match (long, record) {
        (Some(_), Some(_)) => return Err(damaged("a member has two names or two extended headers")),
        (Some(bytes), None) | (None, Some(bytes)) => bytes,
        (None, None) => header(),
    };
    Ok(text_of(&bytes))
}

pub(super) fn owner(number: i128) -> Result<u32, ReadError> {
    u32::try_from(number).map_err(|_| damaged(&format!("the owner {number} does not fit 32 bits")))
}

pub(super) fn damaged(what: &str) -> ReadError {
    ReadError::Io(io::Error::new(io::ErrorKind::InvalidData, what.to_owned()))
}

/// The name of a type that is not supported.
pub(super) fn kind_name(flag: char) -> String {
    match flag {
        '3' => "character device".to_owned(),
        '4' => "block device".to_owned(),
        '6' => "pipe".to_owned(),
        'S' => "sparse file".to_owned(),
        'g' => "global pax header".to_owned(),
        other => format!("`{}`", other.escape_debug()),
    }
}
