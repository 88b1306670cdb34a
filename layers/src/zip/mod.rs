//! Zip archives. Nothing is extracted; members are ranges of the file.
//!
//! Zip readers treat ambiguous archives differently: two headers of one member that disagree, two members with one name,
//! bytes before, after or between members. All of these are rejected, so that every other tool would find exactly the members
//! that are verified here.

mod layout;
#[cfg(test)]
pub(crate) mod testing;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::sync::Arc;

use rawzip::{CompressionMethod, FileReader, ZipArchive, ZipFileHeaderRecord};

use self::layout::Place;
use crate::limits::{Exceeded, Limits, MEMBERS, Paths};
use crate::tree::{Content, SourceFile};

/// The flag of members that are changes of another file (APPNOTE.TXT, 4.4.4, bit 5).
const PATCH: u16 = 0x20;

/// Largest size of the variable part of a local header in bytes: a name and an extra field, each with a 16-bit length.
const LOCAL_HEADER: usize = 2 * (u16::MAX as usize);

/// Why an archive is rejected.
#[derive(Debug, thiserror::Error)]
pub enum ZipError {
    /// The file is not a zip archive, or is damaged.
    #[error("its zip archive is damaged: {0}")]
    Damaged(#[from] rawzip::Error),
    /// The file cannot be read.
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
    /// It is larger than any real one, or unpacks to too much.
    #[error("{0}")]
    Limit(#[from] Exceeded),
    /// The layout of the archive is ambiguous.
    #[error("in its zip archive, {0}")]
    Layout(&'static str),
    /// The name of a member is not allowed, with the reason.
    #[error("the name `{0}`: {1}")]
    Name(String, &'static str),
    /// A member is not allowed, with the reason.
    #[error("the member `{0}`: {1}")]
    Member(String, &'static str),
}

/// A regular file of the archive, or a symbolic link, whose content is its target.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its content.
    pub content: Content,
    /// The CRC-32 that the archive states for the content.
    pub crc: u32,
    /// Whether its Unix mode has an execute bit.
    pub executable: bool,
    /// It is a symbolic link.
    pub is_link: bool,
    /// When it was changed, in seconds since 1970. Zip archives have local times; they are taken as UTC.
    pub mtime: Option<u64>,
}

/// The members of an archive.
#[derive(Clone, Debug, Default)]
pub struct Members {
    /// Files and links, by name.
    pub files: BTreeMap<String, Member>,
    /// Directories with a member of their own, by name without the `/` at its end.
    pub directories: BTreeSet<String>,
}

/// What becomes of symbolic links in an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// They are an error: wheels have none.
    Refused,
    /// They are members.
    Kept,
}

/// Reads the central directory. Together, the members unpack within `limits`. Their contents are not read: see
/// [`Member::crc`].
///
/// # Errors
/// [`ZipError`]: one bad member is enough to reject the archive.
pub fn members(file: File, limits: Limits, links: Links) -> Result<Members, ZipError> {
    let length = file.metadata()?.len();
    let mut buffer = vec![0; rawzip::MAX_CENTRAL_DIRECTORY_RECORD_SIZE];
    let archive = ZipArchive::from_file(file.try_clone()?, &mut buffer)?;
    if archive.end_offset() != length {
        return Err(ZipError::Layout("bytes follow the archive"));
    }
    if archive.entries_hint() > MEMBERS {
        return Err(Exceeded::Count(MEMBERS, "members").into());
    }
    let mut reader = DirectoryReader {
        archive: &archive,
        source: SourceFile::new(file),
        links,
        members: BTreeMap::new(),
        directories: BTreeSet::new(),
        places: Vec::new(),
        directory_end: archive.directory_offset(),
        total: 0,
        limit: limits.unpacked(length),
        local: vec![0; LOCAL_HEADER],
    };
    let mut entries = archive.entries(&mut buffer);
    while let Some(header) = entries.next_entry()? {
        reader.add(&header)?;
    }
    reader.finish()
}

/// The latest modification time of a member, in seconds since 1970. Zip archives have local times; they are taken as UTC.
///
/// # Errors
/// The file is not a zip archive, or cannot be read.
pub fn newest_member(file: File) -> Result<u64, ZipError> {
    let mut buffer = vec![0; rawzip::MAX_CENTRAL_DIRECTORY_RECORD_SIZE];
    let archive = ZipArchive::from_file(file, &mut buffer)?;
    let mut newest = 0;
    let mut entries = archive.entries(&mut buffer);
    while let Some(header) = entries.next_entry()? {
        newest = newest.max(seconds(header.last_modified_dos()).unwrap_or(0));
    }
    Ok(newest)
}

fn seconds(time: rawzip::time::DosDateTime) -> Option<u64> {
    let number = |value: u8| i8::try_from(value).ok();
    let date = jiff::civil::Date::new(i16::try_from(time.year()).ok()?, number(time.month())?, number(time.day())?);
    let time = jiff::civil::Time::new(number(time.hour())?, number(time.minute())?, number(time.second())?, 0);
    let moment = date.ok()?.to_datetime(time.ok()?);
    u64::try_from(jiff::tz::TimeZone::UTC.to_timestamp(moment).ok()?.as_second()).ok()
}

struct DirectoryReader<'a> {
    archive: &'a ZipArchive<FileReader>,
    source: Arc<SourceFile>,
    links: Links,
    members: BTreeMap<String, Member>,
    directories: BTreeSet<String>,
    places: Vec<Place>,
    /// End of the last record of the central directory.
    directory_end: u64,
    /// Sum of the uncompressed sizes in bytes.
    total: u64,
    /// Its limit.
    limit: u64,
    /// Buffer for local headers.
    local: Vec<u8>,
}

impl DirectoryReader<'_> {
    fn add(&mut self, header: &ZipFileHeaderRecord<'_>) -> Result<(), ZipError> {
        let raw = header.file_path();
        let name = std::str::from_utf8(raw.as_bytes())
            .map_err(|_| ZipError::Name(String::from_utf8_lossy(raw.as_bytes()).into_owned(), "it is not UTF-8"))?;
        let refuse = |why| Err(ZipError::Member(name.to_owned(), why));
        let plain = check_name(name)?;
        layout::check_extra(name, header.flags().is_utf8(), header.extra_fields())?;
        if header.flags().is_encrypted() || header.flags().is_masked() {
            return refuse("it is encrypted");
        }
        if header.flags().bits() & PATCH != 0 {
            return refuse("it is a patch of another file");
        }
        let (start, end) = self.data_range(name, header)?;
        let size = header.uncompressed_size_hint();
        self.total = self.total.saturating_add(size);
        if self.total > self.limit {
            return Err(Exceeded::Unpacked(self.limit).into());
        }
        if self.places.len() as u64 > MEMBERS {
            return Err(Exceeded::Count(MEMBERS, "members").into());
        }
        let mode = header.external_attributes() >> 16;
        let kind = mode & 0o170_000;
        if header.is_dir() {
            if size != 0 || !matches!(kind, 0 | 0o040_000) {
                return refuse("its name ends in `/`, but it is not a directory");
            }
            self.directories.insert(plain.to_owned());
            return Ok(());
        }
        let is_link = kind == 0o120_000 && self.links == Links::Kept;
        if !is_link && !matches!(kind, 0 | 0o100_000) {
            return refuse("it is neither a regular file nor a directory");
        }
        let content = match header.compression_method() {
            CompressionMethod::STORE if end - start == size => Content::range(&self.source, start, size),
            CompressionMethod::STORE => return refuse("it is stored, and its two sizes differ"),
            CompressionMethod::DEFLATE => Content::deflated(&self.source, start, end - start, size),
            _ => return refuse("its compression is neither `stored` nor `deflated`"),
        };
        let (crc, mtime) = (header.crc32(), seconds(header.last_modified_dos()));
        let member = Member { content, crc, executable: kind != 0 && mode & 0o111 != 0, is_link, mtime };
        match self.members.insert(plain.to_owned(), member) {
            None => Ok(()),
            Some(_) => refuse("the archive has it twice"),
        }
    }

    /// Where the compressed bytes of a member are. Its local header must agree with the central directory.
    fn data_range(&mut self, name: &str, header: &ZipFileHeaderRecord<'_>) -> Result<(u64, u64), ZipError> {
        let entry = self.archive.get_entry(header.wayfinder())?;
        let (start, end) = entry.compressed_data_range();
        let local = entry.local_header(&mut self.local)?;
        let disagree = || Err(ZipError::Member(name.to_owned(), "its two headers disagree"));
        // The bits beside these describe how it was compressed, and some tools set them only once.
        const FLAGS: u16 = 0b0010_1000_0100_1001;
        if local.file_path().as_bytes() != header.file_path().as_bytes()
            || local.compression_method() != header.compression_method()
            || local.flags().bits() & FLAGS != header.flags().bits() & FLAGS
        {
            return disagree();
        }
        let place = Place {
            start: header.local_header_offset(),
            end,
            crc: header.crc32(),
            compressed: header.compressed_size_hint(),
            size: header.uncompressed_size_hint(),
            has_descriptor: header.flags().has_data_descriptor(),
        };
        let values = [
            (u64::from(local.crc32()), u64::from(place.crc)),
            (local.compressed_size_hint(), place.compressed),
            (local.uncompressed_size_hint(), place.size),
        ];
        // With a data descriptor, the local header may leave them out.
        if values.iter().any(|(own, central)| own != central && !(place.has_descriptor && *own == 0)) {
            return disagree();
        }
        layout::check_extra(name, local.flags().is_utf8(), local.extra_fields())?;
        self.places.push(place);
        self.directory_end = layout::record_end(header);
        Ok((start, end))
    }

    /// Checks the members as a whole.
    fn finish(self) -> Result<Members, ZipError> {
        let both = |name: &str| Err(ZipError::Member(name.to_owned(), "it is a file and a directory"));
        let mut paths = Paths::default();
        let all: BTreeSet<&str> = self.members.keys().chain(&self.directories).map(String::as_str).collect();
        for name in &all {
            paths.add(name)?;
        }
        for name in self.members.keys() {
            // Sorted by name, what is below it comes at once.
            let below = format!("{name}/");
            if all.range(below.as_str()..).next().is_some_and(|next| next.starts_with(&below)) {
                return both(name);
            }
        }
        if let Some(name) = self.directories.iter().find(|name| self.members.contains_key(*name)) {
            return both(name);
        }
        layout::check(self.archive, &self.source, self.places, self.directory_end)?;
        Ok(Members { files: self.members, directories: self.directories })
    }
}

/// Checks that the name of a member is a relative path in normal form. Returns it without the `/` that marks a directory.
pub(crate) fn check_name(name: &str) -> Result<&str, ZipError> {
    let refuse = |why| Err(ZipError::Name(name.escape_debug().to_string(), why));
    let plain = name.strip_suffix('/').unwrap_or(name);
    if plain.starts_with('/') {
        return refuse("it is absolute");
    }
    if plain.contains('\\') {
        return refuse("it has a backslash");
    }
    if plain.contains(char::is_control) {
        return refuse("it has a control character");
    }
    for component in plain.split('/') {
        match component {
            "" => return refuse("a component is empty"),
            "." | ".." => return refuse("a component is `.` or `..`"),
            _ => {}
        }
    }
    Ok(plain)
}
