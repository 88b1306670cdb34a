//! The layout of a zip archive (APPNOTE.TXT, sections 4.3 to 4.5). Members, their data descriptors, the central directory and
//! the records at the end follow each other without gaps: readers of streams, which start at the first byte, and readers of
//! the central directory then find the same members.

use std::sync::Arc;

use rawzip::extra_fields::{ExtraFieldId, ExtraFields};
use rawzip::{FileReader, ZipArchive, ZipFileHeaderRecord};

use super::ZipError;
use crate::tree::{Content, SourceFile};

/// Size of the end of central directory record without its comment.
const END: u64 = 22;
/// Sizes of the zip64 end of central directory record and its locator.
const END_64: u64 = 56;
const LOCATOR: u64 = 20;

/// Where a member is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Offset of its local header.
    pub(super) start: u64,
    /// End of its compressed bytes.
    pub(super) end: u64,
    pub(super) crc: u32,
    pub(super) compressed: u64,
    pub(super) size: u64,
    /// Whether a data descriptor follows.
    pub(super) has_descriptor: bool,
}

/// Checks that a name and the extra fields mean the same to all readers.
pub(super) fn check_extra(name: &str, is_utf8: bool, fields: ExtraFields<'_>) -> Result<(), ZipError> {
    let refuse = |why| Err(ZipError::Member(name.to_owned(), why));
    if !name.is_ascii() && !is_utf8 {
        return refuse("its name is not ASCII and not marked as UTF-8");
    }
    let mut seen = Vec::new();
    for (id, _) in fields {
        if id == ExtraFieldId::INFO_ZIP_UNICODE_PATH {
            return refuse("it has a second name");
        }
        if seen.contains(&id.as_u16()) {
            return refuse("it has an extra field twice");
        }
        seen.push(id.as_u16());
    }
    Ok(())
}

/// The end of a member's record in the central directory.
pub(super) fn record_end(header: &ZipFileHeaderRecord<'_>) -> u64 {
    let extra = header.extra_fields().remaining_bytes().len();
    let variable = header.file_path().as_bytes().len() + extra + header.comment().as_bytes().len();
    header.central_directory_offset() + 46 + variable as u64
}

/// Checks that nothing is before, between or after the members, and that all counts and offsets are right. The central
/// directory ends at `directory_end`.
pub(super) fn check(
    archive: &ZipArchive<FileReader>,
    source: &Arc<SourceFile>,
    mut places: Vec<Place>,
    directory_end: u64,
) -> Result<(), ZipError> {
    let refuse = |why| Err(ZipError::Layout(why));
    places.sort_unstable_by_key(|place| place.start);
    let directory = archive.directory_offset();
    if places.first().map_or(directory, |place| place.start) != 0 {
        return refuse("bytes precede the archive");
    }
    for (at, place) in places.iter().enumerate() {
        let next = places.get(at + 1).map_or(directory, |next| next.start);
        let Some(gap) = next.checked_sub(place.end) else { return refuse("members overlap") };
        match (place.has_descriptor, gap) {
            (false, 0) => {}
            (true, 12 | 16 | 20 | 24) => check_descriptor(source, place, gap)?,
            _ => return refuse("bytes that belong to no member are between members"),
        }
    }
    check_end(archive, source, places.len() as u64, directory_end)
}

/// Checks a data descriptor of `size` bytes (4.3.9): the signature is optional, and its sizes have 4 or 8 bytes.
fn check_descriptor(source: &Arc<SourceFile>, place: &Place, size: u64) -> Result<(), ZipError> {
    let bytes = read(source, place.end, size)?;
    let values = if matches!(size, 16 | 24) { bytes.strip_prefix(b"PK\x07\x08") } else { Some(&bytes[..]) };
    let wide = matches!(size, 20 | 24);
    let right = values.is_some_and(|values| {
        let sizes = if wide {
            (number(values, 4, 8), number(values, 12, 8))
        } else {
            (number(values, 4, 4), number(values, 8, 4))
        };
        (number(values, 0, 4), sizes) == (place.crc.into(), (place.compressed, place.size))
    });
    if right { Ok(()) } else { Err(ZipError::Layout("a data descriptor differs from the central directory")) }
}

/// Checks the records after the central directory (4.3.14 to 4.3.16).
fn check_end(
    archive: &ZipArchive<FileReader>,
    source: &Arc<SourceFile>,
    count: u64,
    directory_end: u64,
) -> Result<(), ZipError> {
    let wrong = || ZipError::Layout("the end of the central directory has wrong values");
    let (start, end) = (archive.directory_offset(), archive.eocd_offset());
    let record = read(source, end, archive.end_offset().saturating_sub(end).max(END))?;
    if record[4..].windows(4).any(|bytes| bytes == b"PK\x05\x06") {
        return Err(ZipError::Layout("it could end in two places"));
    }
    let size = directory_end.checked_sub(start).ok_or_else(wrong)?;
    let is_64 = directory_end != end;
    if is_64 {
        let at = end.checked_sub(LOCATOR + END_64).filter(|at| *at == directory_end).ok_or_else(wrong)?;
        let zip64 = read(source, at, END_64 + LOCATOR)?;
        let of = |at, length| number(&zip64, at, length);
        let counts = [of(24, 8), of(32, 8), of(40, 8), of(48, 8)] == [count, count, size, start];
        let disks = [of(16, 4), of(20, 4), of(60, 4), of(72, 4)] == [0, 0, 0, 1];
        let places = zip64.starts_with(b"PK\x06\x06") && zip64[56..60] == *b"PK\x06\x07";
        if !counts || !disks || !places || of(4, 8) != END_64 - 12 || of(64, 8) != at {
            return Err(wrong());
        }
    }
    let fields = [(4, 2, 0), (6, 2, 0), (8, 2, count), (10, 2, count), (12, 4, size), (16, 4, start)];
    for (at, length, expected) in fields {
        let found = number(&record, at, length);
        let saturated = is_64 && found == (1 << (8 * length)) - 1;
        if found != expected && !saturated {
            return Err(wrong());
        }
    }
    Ok(())
}

fn read(source: &Arc<SourceFile>, offset: u64, length: u64) -> Result<Vec<u8>, ZipError> {
    Ok(Content::range(source, offset, length).read()?)
}

/// A little-endian number; 0 where bytes are missing.
fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    let field = bytes.get(at..at + length).unwrap_or_default();
    field.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
