//! Limits on what others made: how large, how many, how deep. Packages, wheels, crates and archives are read within them, so
//! that a small hostile file cannot fill a disk or the memory, or take for ever.
//!
//! The constants are far above what real packages have. Only the unpacked size has an option, as real packages grow.
//!
//! ```
//! use sealift_layers::limits::Limits;
//!
//! let limits = Limits::default();
//! assert_eq!(limits.unpacked(1_000), 64 << 20);
//! assert_eq!(limits.unpacked(2 << 30), 4 << 30);
//! ```

use std::fmt;
use std::io::{self, Read};

/// Bytes that one package, wheel or crate may unpack to, however large it is.
pub const UNPACKED: u64 = 4 << 30;
/// Bytes that any of them may unpack to, however small it is.
pub const UNPACKED_AT_LEAST: u64 = 64 << 20;
/// Bytes that a layer, the layers of a bundle together, or a bundle that is compressed as a whole may unpack to, however
/// small they are. Above, it is [`RATIO`] times their size.
pub const BUNDLE_AT_LEAST: u64 = 1 << 30;
/// Between the two: the unpacked size divided by the packed one. Text packs to a tenth, zeros to a thousandth.
pub const RATIO: u64 = 200;
/// Members of one archive, directories included; and files of all packages and wheels that are open at a time.
pub const MEMBERS: u64 = 150_000;
/// Bytes of a path: `PATH_MAX` of Linux.
pub const PATH: usize = 4096;
/// Bytes of one component of a path: `NAME_MAX` of Linux.
pub const NAME: usize = 255;
/// Components of a path.
pub const DEPTH: usize = 256;
/// Directories that the paths of one archive may need.
pub const DIRECTORIES: u64 = 300_000;
/// Bytes of all paths of one archive together.
pub const PATHS: u64 = 32 << 20;
/// Bytes of all extended headers of one archive together.
pub const EXTENSIONS: u64 = 32 << 20;
/// Commands of one wheel.
pub const COMMANDS: usize = 10_000;
/// Bytes of the extended header of one member of a tar: long names and pax records.
pub const EXTENSION: u64 = 1 << 20;
/// Bytes that a package, wheel or crate may have according to an index or a lock: sums of such numbers fit 64 bits.
pub const ARTIFACT: u64 = 1 << 40;
/// Bytes of a file that is parsed: control data, `METADATA`, `RECORD`.
pub const DOCUMENT: u64 = 16 << 20;
/// Bytes of a content that is read into memory as a whole.
pub const MEMORY: u64 = 64 << 20;
/// Bytes of a package index. That of Debian's main component has 60 MB.
pub const INDEX: u64 = 256 << 20;
/// Bytes of a package index that are in memory: the fields that are used. Debian's main component has 30 MB of them.
pub const INDEX_NEEDED: usize = 96 << 20;
/// Bytes of a line of a package index.
pub const INDEX_LINE: u64 = 1 << 20;
/// Packages of all indexes that a lock reads, those left out included. Debian's main component has 70,000.
pub const PACKAGES: usize = 500_000;
/// Names that the packages of these indexes provide. Those of Debian's main component provide 100,000.
pub const PROVIDED: usize = 500_000;
/// Bytes of a field with relations of a package, such as `Depends`.
pub const RELATIONS: usize = 256 << 10;
/// Bytes of memory that decompressing xz may take; xz -9 needs 65 MiB.
pub const DICTIONARY: u64 = 128 << 20;
/// Problems of one archive that are reported. A hostile one may have hundreds of thousands.
pub const PROBLEMS: usize = 1000;
/// Messages of one kind that an error lists; it counts the others.
pub const MESSAGES: usize = 10;

/// The limits that a user can change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that one package, wheel, crate, layer or bundle may unpack to (`--limit-unpacked`); `None` for the default,
    /// which depends on the packed size.
    pub unpacked: Option<u64>,
}

impl Limits {
    /// Bytes that a file of `packed` bytes may unpack to.
    #[must_use]
    pub fn unpacked(self, packed: u64) -> u64 {
        self.unpacked.unwrap_or_else(|| packed.saturating_mul(RATIO).clamp(UNPACKED_AT_LEAST, UNPACKED))
    }

    /// Files of all packages and wheels that are open at a time. No limit where the user has set one for the unpacked size.
    #[must_use]
    pub fn members(self) -> u64 {
        if self.unpacked.is_some() { u64::MAX } else { MEMBERS }
    }

    /// Bytes that a layer, or a whole bundle, of `packed` bytes may unpack to.
    #[must_use]
    pub fn bundle(self, packed: u64) -> u64 {
        self.unpacked.unwrap_or_else(|| packed.saturating_mul(RATIO).max(BUNDLE_AT_LEAST))
    }
}

/// A limit that an input exceeds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Exceeded {
    /// It unpacks to more bytes than this.
    #[error("it unpacks to more than {}", Bytes(*.0))]
    Unpacked(u64),
    /// It has more of something than this.
    #[error("it has more than {0} {1}")]
    Count(u64, &'static str),
    /// A file or header in it has more bytes than this.
    #[error("{what} is larger than {}", Bytes(*.limit))]
    Size {
        /// The file or header.
        what: &'static str,
        /// The limit in bytes.
        limit: u64,
    },
    /// A path is longer or deeper than this.
    #[error("the path `{0}…` has more than {1} {2}")]
    Path(String, usize, &'static str),
}

impl Exceeded {
    /// The limit that `error` or one of its causes is about.
    #[must_use]
    pub fn within<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref::<Self>() {
                return Some(found);
            }
            // `source` of an `io::Error` is that of the error within, which may itself be what is looked for.
            let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            if let Some(found) = inner.and_then(|inner| inner.downcast_ref::<Self>()) {
                return Some(found);
            }
            next = error.source();
        }
        None
    }
}

impl From<Exceeded> for io::Error {
    fn from(exceeded: Exceeded) -> Self {
        Self::new(io::ErrorKind::InvalidData, exceeded)
    }
}

/// Parses a number of bytes with a unit: `8GiB`, `500MB`, `1000`.
///
/// # Errors
/// It is not such a number.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 9] = [
        ("TiB", 1 << 40),
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
        ("TB", 1_000_000_000_000),
        ("GB", 1_000_000_000),
        ("MB", 1_000_000),
        ("kB", 1000),
        ("B", 1),
    ];
    let unit = UNITS.into_iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, bytes)));
    let (digits, unit) = unit.unwrap_or((text, 1));
    let number: Option<u64> = digits.trim().parse().ok();
    number.and_then(|number| number.checked_mul(unit)).ok_or_else(|| "expected a size such as 8GiB or 500MB".to_owned())
}

/// A number of bytes in the largest unit that divides it.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = [("GiB", 30), ("MiB", 20), ("KiB", 10)]
            .into_iter()
            .find(|(_, bits)| self.0 > 0 && self.0.trailing_zeros() >= *bits);
        match unit {
            Some((unit, bits)) => write!(f, "{} {unit}", self.0 >> bits),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

/// Counts the paths of one archive.
#[derive(Debug, Default)]
pub struct Paths {
    members: u64,
    directories: u64,
    bytes: u64,
    last: String,
}

impl Paths {
    /// Counts one more path.
    ///
    /// # Errors
    /// The path is too long or too deep, or there are too many.
    pub fn add(&mut self, path: &str) -> Result<(), Exceeded> {
        let too = |limit, what| {
            Err(Exceeded::Path(path.chars().take(80).collect::<String>().escape_debug().to_string(), limit, what))
        };
        if path.len() > PATH {
            return too(PATH, "bytes");
        }
        if path.split('/').count() > DEPTH {
            return too(DEPTH, "components");
        }
        if path.split('/').any(|name| name.len() > NAME) {
            return too(NAME, "bytes in one name");
        }
        self.members += 1;
        if self.members > MEMBERS {
            return Err(Exceeded::Count(MEMBERS, "members"));
        }
        self.bytes += path.len() as u64;
        if self.bytes > PATHS {
            return Err(Exceeded::Size { what: "the list of its paths", limit: PATHS });
        }
        // Those above the previous path are not counted again: archives have the files of a directory together.
        let shared = path.bytes().zip(self.last.bytes()).take_while(|(one, other)| one == other).count();
        // By bytes: what is shared may end within a character.
        self.directories += path.bytes().skip(shared).filter(|byte| *byte == b'/').count() as u64;
        if self.directories > DIRECTORIES {
            return Err(Exceeded::Count(DIRECTORIES, "directories"));
        }
        path.clone_into(&mut self.last);
        Ok(())
    }
}

/// A reader that fails when `inner` yields more than `limit` bytes.
#[derive(Debug)]
pub struct Within<R> {
    inner: R,
    left: u64,
    limit: u64,
}

impl<R: Read> Within<R> {
    /// At most `limit` unpacked bytes of `inner`.
    pub fn new(inner: R, limit: u64) -> Self {
        Self { inner, left: limit, limit }
    }
}

impl<R: Read> Read for Within<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(got as u64).ok_or(Exceeded::Unpacked(self.limit))?;
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unpacked_size_depends_on_the_packed_one_or_the_option() {
        let limits = Limits::default();
        assert_eq!([1 << 10, 1 << 20, 1 << 40].map(|size| limits.unpacked(size)), [64 << 20, 200 << 20, 4 << 30]);
        assert_eq!(Limits { unpacked: Some(8 << 30) }.unpacked(1), 8 << 30);
    }

    #[test]
    fn sizes_are_parsed_with_their_units() {
        assert_eq!(
            ["8GiB", "500 MB", "7", "2kB"].map(|text| parse_bytes(text).unwrap()),
            [8 << 30, 500_000_000, 7, 2000]
        );
        assert!(["", "GiB", "-1", "1.5GiB", "99999999TiB", "8 G"].iter().all(|text| parse_bytes(text).is_err()));
    }

    #[test]
    fn a_reader_ends_at_its_limit_with_an_error_that_names_it() {
        let read = |limit| {
            let mut bytes = Vec::new();
            Within::new(&[7; 2048][..], limit).read_to_end(&mut bytes).map(|_| bytes.len())
        };
        assert_eq!(read(2048).unwrap(), 2048);
        let error = read(2047).unwrap_err();
        assert_eq!(error.to_string(), "it unpacks to more than 2047 bytes");
        assert_eq!(Exceeded::within(&error), Some(&Exceeded::Unpacked(2047)));
        assert_eq!(read(1024).unwrap_err().to_string(), "it unpacks to more than 1 KiB");
    }

    #[test]
    fn long_deep_and_many_paths_are_refused() {
        let add = |path: &str| Paths::default().add(path).map_err(|error| error.to_string());
        assert_eq!(add(&"a/".repeat(DEPTH - 1)), Ok(()));
        assert!(add(&"a/".repeat(DEPTH)).unwrap_err().ends_with("…` has more than 256 components"));
        assert!(add(&format!("{}x", "abc/".repeat(1024))).unwrap_err().ends_with("more than 4096 bytes"));
        assert_eq!(add(&format!("a/{}", "x".repeat(NAME))), Ok(()));
        assert!(add(&format!("a/{}", "x".repeat(NAME + 1))).unwrap_err().ends_with("more than 255 bytes in one name"));
        // Two names that differ within a character.
        let mut paths = Paths::default();
        assert!(["\u{e9}", "\u{e8}", "\u{1f600}", "\u{1f601}/x"].iter().all(|path| paths.add(path).is_ok()));
        let mut paths = Paths::default();
        let error = (0..MEMBERS).find_map(|n| paths.add(&format!("{n}/a/b/c/d")).err());
        assert_eq!(error.unwrap().to_string(), "it has more than 300000 directories");
        let mut paths = Paths::default();
        let error = (0..=MEMBERS).find_map(|n| paths.add(&format!("a/b/{n}")).err());
        assert_eq!(error.unwrap().to_string(), "it has more than 150000 members");
    }
}
