//! The contents of files, as references to their source: nothing is read before it is needed.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::digest::{Digest, Hasher};
use crate::limits::{Exceeded, MEMORY};

/// Largest number of bytes that are copied at a time.
const BUFFER: usize = 64 * 1024;

/// An open file or a buffer that contents are ranges of. Reads are by offset, so threads may share it.
#[derive(Debug)]
pub enum SourceFile {
    /// An open, readable file.
    File(File),
    /// Bytes in memory.
    Memory(Vec<u8>),
}

impl SourceFile {
    /// Wraps an open, readable file.
    #[must_use]
    pub fn new(file: File) -> Arc<Self> {
        Arc::new(Self::File(file))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read_at(buffer, offset),
            Self::Memory(bytes) => {
                let start = usize::try_from(offset).map_or(bytes.len(), |offset| offset.min(bytes.len()));
                (&bytes[start..]).read(buffer)
            }
        }
    }

    /// The length in bytes.
    ///
    /// # Errors
    /// If the metadata of the file cannot be read.
    pub fn size(&self) -> io::Result<u64> {
        match self {
            Self::File(file) => Ok(file.metadata()?.len()),
            Self::Memory(bytes) => Ok(bytes.len() as u64),
        }
    }

    /// A reader that starts at the first byte and has its own position.
    #[must_use]
    pub fn cursor(&self) -> Cursor<'_> {
        Cursor { source: self, position: 0 }
    }
}

impl Cursor<'_> {
    /// The length of the source in bytes.
    pub(crate) fn size(&self) -> io::Result<u64> {
        self.source.size()
    }
}

/// A position in a [`SourceFile`].
#[derive(Debug)]
pub struct Cursor<'a> {
    source: &'a SourceFile,
    position: u64,
}

impl Read for Cursor<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.source.read_at(buffer, self.position)?;
        self.position += got as u64;
        Ok(got)
    }
}

impl Seek for Cursor<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.source.size()?.checked_add_signed(by),
        };
        self.position = position.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}

/// A content that is opened when it is read: for trees with more files than a process may have open, and for contents that
/// have to be decompressed first. Each call must yield the same bytes.
pub trait Open: std::fmt::Debug + Send + Sync {
    /// Opens the content at its first byte.
    ///
    /// # Errors
    /// If it cannot be opened.
    fn open(&self) -> io::Result<Box<dyn Read + '_>>;
}

#[derive(Clone, Debug)]
enum Data {
    Bytes(Arc<[u8]>),
    /// All bytes of a content that is not open yet.
    Lazy(Arc<dyn Open>),
    /// Plain bytes of the file.
    Range {
        file: Arc<SourceFile>,
        offset: u64,
    },
    /// A raw DEFLATE stream (RFC 1951), as in zip archives.
    Deflated {
        file: Arc<SourceFile>,
        offset: u64,
        compressed: u64,
    },
}

/// The bytes of one regular file: in memory, or a reference to where they are.
///
/// ```
/// use std::sync::Arc;
///
/// use sealift_layers::tree::{Content, SourceFile};
///
/// let source = Arc::new(SourceFile::Memory(b"0123456789".to_vec()));
/// assert_eq!(Content::range(&source, 2, 3).read()?, b"234");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Content {
    length: u64,
    data: Data,
}

impl Content {
    /// `length` bytes of `file` from `offset`.
    #[must_use]
    pub fn range(file: &Arc<SourceFile>, offset: u64, length: u64) -> Self {
        Self { length, data: Data::Range { file: file.clone(), offset } }
    }

    /// The `length` bytes that the DEFLATE stream in `compressed` bytes of `file` from `offset` inflates to.
    #[must_use]
    pub fn deflated(file: &Arc<SourceFile>, offset: u64, compressed: u64, length: u64) -> Self {
        Self { length, data: Data::Deflated { file: file.clone(), offset, compressed } }
    }

    /// The `length` bytes of `source`, which is opened each time they are read.
    #[must_use]
    pub fn lazy(source: Arc<dyn Open>, length: u64) -> Self {
        Self { length, data: Data::Lazy(source) }
    }

    /// The length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether the length is zero.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// A reader that starts at the first byte. If the source has fewer bytes, or inflates to another length, reading fails
    /// with an error of kind `UnexpectedEof` or `InvalidData` at the end at the latest.
    #[must_use]
    pub fn reader(&self) -> Box<dyn Read + '_> {
        match &self.data {
            Data::Bytes(bytes) => Box::new(&bytes[..]),
            Data::Lazy(source) => match source.open() {
                Ok(inner) => Box::new(Exact { inner, left: self.length }),
                Err(error) => Box::new(Unreadable(Some(error))),
            },
            Data::Range { file, offset } => {
                Box::new(Exact { inner: RangeReader { file, offset: *offset, left: self.length }, left: self.length })
            }
            Data::Deflated { file, offset, compressed } => {
                let range = RangeReader { file, offset: *offset, left: *compressed };
                let inner = Inflated { decoder: flate2::read::DeflateDecoder::new(range), compressed: *compressed };
                Box::new(Exact { inner, left: self.length })
            }
        }
    }

    /// Writes all bytes to `out`.
    ///
    /// # Errors
    /// Any error of reading or writing.
    pub fn copy_to(&self, out: &mut impl Write) -> io::Result<()> {
        let mut reader = self.reader();
        // A small file gets a small buffer: there are thousands of them.
        let mut buffer = vec![0; usize::try_from(self.length).unwrap_or(BUFFER).clamp(1, BUFFER)];
        loop {
            match reader.read(&mut buffer)? {
                0 => return Ok(()),
                got => out.write_all(&buffer[..got])?,
            }
        }
    }

    /// Reads all bytes into memory.
    ///
    /// # Errors
    /// Any error of reading; there are more than [`MEMORY`].
    pub fn read(&self) -> io::Result<Vec<u8>> {
        if self.length > MEMORY {
            return Err(Exceeded::Size { what: "a file that is read as a whole", limit: MEMORY }.into());
        }
        // The length may be a lie: memory is taken as the bytes come.
        let mut bytes = Vec::with_capacity(usize::try_from(self.length).unwrap_or(0).min(1 << 20));
        self.reader().read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// The SHA-256 of the bytes.
    ///
    /// # Errors
    /// Any error of reading.
    pub fn digest(&self) -> io::Result<Digest> {
        let mut hasher = Hasher::default();
        self.copy_to(&mut hasher)?;
        Ok(hasher.finish())
    }

    /// Whether both contents have the same bytes.
    ///
    /// # Errors
    /// Any error of reading.
    pub fn same_as(&self, other: &Self) -> io::Result<bool> {
        Ok(self.length == other.length && self.digest()? == other.digest()?)
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self { length: bytes.len() as u64, data: Data::Bytes(bytes.into()) }
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

struct RangeReader<'a> {
    file: &'a SourceFile,
    offset: u64,
    left: u64,
}

impl Read for RangeReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if wanted == 0 {
            return Ok(0);
        }
        let got = self.file.read_at(&mut buffer[..wanted], self.offset)?;
        self.offset += got as u64;
        self.left -= got as u64;
        Ok(got)
    }
}

/// Inflates a stream, which must be all of its `compressed` bytes: a reader that does not know their number would find
/// something else in the rest.
struct Inflated<R> {
    decoder: flate2::read::DeflateDecoder<R>,
    compressed: u64,
}

impl<R: Read> Read for Inflated<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.decoder.read(buffer)?;
        if got == 0 && !buffer.is_empty() && self.decoder.total_in() != self.compressed {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "bytes follow its compressed contents"));
        }
        Ok(got)
    }
}

/// Yields exactly `left` bytes of `inner`, or an error.
struct Exact<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Exact<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let got = self.inner.read(buffer)?;
        if got as u64 > self.left {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the member is longer than it declares"));
        }
        if got == 0 && self.left > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the member ends before its declared length"));
        }
        self.left -= got as u64;
        Ok(got)
    }
}

/// A content that could not be opened: the first read returns the error.
struct Unreadable(Option<io::Error>);

impl Read for Unreadable {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(self.0.take().unwrap_or_else(|| io::ErrorKind::NotFound.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(bytes: &[u8]) -> Arc<SourceFile> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        SourceFile::new(file)
    }

    #[test]
    fn a_range_reads_only_its_bytes() {
        let file = source(b"0123456789");
        assert_eq!(Content::range(&file, 2, 3).read().unwrap(), b"234");
        assert_eq!(Content::range(&file, 8, 3).read().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[derive(Debug)]
    struct OnDisk(std::path::PathBuf);

    impl Open for OnDisk {
        #[allow(clippy::disallowed_methods, reason = "the library knows no paths; its tests do")]
        fn open(&self) -> io::Result<Box<dyn Read + '_>> {
            Ok(Box::new(File::open(&self.0)?))
        }
    }

    #[test]
    fn a_lazy_content_must_have_its_declared_length() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"12345").unwrap();
        let content = |length| Content::lazy(Arc::new(OnDisk(file.path().to_owned())), length);
        assert_eq!(content(5).read().unwrap(), b"12345");
        assert_eq!(content(5).read().unwrap(), b"12345", "each time from the start");
        assert_eq!(content(4).read().unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(content(6).read().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        let nowhere = Content::lazy(Arc::new(OnDisk("/nonexistent".into())), 1);
        assert_eq!(nowhere.read().unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_deflated_member_must_have_its_declared_length() {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(b"hello hello hello").unwrap();
        let packed = encoder.finish().unwrap();
        let file = source(&packed);
        let size = packed.len() as u64;
        assert_eq!(Content::deflated(&file, 0, size, 17).read().unwrap(), b"hello hello hello");
        assert_eq!(Content::deflated(&file, 0, size, 16).read().unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(Content::deflated(&file, 0, size, 18).read().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        let longer = source(&[&packed[..], b"hidden"].concat());
        let error = Content::deflated(&longer, 0, size + 6, 17).read().unwrap_err();
        assert_eq!(error.to_string(), "bytes follow its compressed contents");
    }
}
