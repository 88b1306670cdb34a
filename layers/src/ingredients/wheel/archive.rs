//! The zip of a wheel: its directory, read with suspicion. Nothing is extracted; members are ranges of the file.
//!
//! Readers of zips disagree where the format lets them: which of two headers counts, which of two members of one name,
//! what stands before or after the archive. All of that is refused, so that what is verified here is what any other
//! tool would have installed.

use std::collections::BTreeMap;
use std::fs::File;

use rawzip::{CompressionMethod, ZipArchive};

use super::WheelErrorKind;
use crate::tree::{Content, SourceFile};

/// At most this many members, directories included.
pub(super) const MEMBERS: u64 = 200_000;
/// At most this many bytes, all members together and inflated: 2 GiB.
pub(super) const TOTAL: u64 = 2 << 30;
/// The longest variable part of a local header: a name and an extra field, each with a 16-bit length.
const LOCAL_HEADER: usize = 2 * (u16::MAX as usize);

/// A regular file of the archive.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) content: Content,
    pub(super) crc: u32,
    /// Whether its Unix mode has an execute bit.
    pub(super) executable: bool,
}

/// Reads the directory: name to member.
pub(super) fn members(file: File) -> Result<BTreeMap<String, Member>, WheelErrorKind> {
    let length = file.metadata()?.len();
    let mut buffer = vec![0; rawzip::MAX_CENTRAL_DIRECTORY_RECORD_SIZE];
    let archive = ZipArchive::from_file(file.try_clone()?, &mut buffer)?;
    let source = SourceFile::new(file);
    if archive.end_offset() != length {
        return Err(WheelErrorKind::Layout("bytes follow the archive"));
    }
    if archive.entries_hint() > MEMBERS {
        return Err(WheelErrorKind::TooMany);
    }

    let mut members = BTreeMap::new();
    let mut directories = Vec::new();
    let mut ranges = Vec::new();
    let mut total = 0_u64;
    let mut local = vec![0; LOCAL_HEADER];
    let mut entries = archive.entries(&mut buffer);
    while let Some(header) = entries.next_entry()? {
        let raw = header.file_path();
        let name = std::str::from_utf8(raw.as_bytes()).map_err(|_| {
            WheelErrorKind::Name(String::from_utf8_lossy(raw.as_bytes()).into_owned(), "it is not UTF-8")
        })?;
        let kind = header.external_attributes() >> 16 & 0o170_000;
        let refuse = |why| Err(WheelErrorKind::Member(name.to_owned(), why));
        let plain = check_name(name)?;
        if header.flags().is_encrypted() || header.flags().is_masked() {
            return refuse("it is encrypted");
        }

        let entry = archive.get_entry(header.wayfinder())?;
        let (start, end) = entry.compressed_data_range();
        let twin = entry.local_header(&mut local)?;
        if twin.file_path().as_bytes() != raw.as_bytes() || twin.compression_method() != header.compression_method() {
            return refuse("its two headers disagree");
        }
        ranges.push((header.local_header_offset(), end));

        let size = header.uncompressed_size_hint();
        total = total.saturating_add(size);
        if total > TOTAL {
            return Err(WheelErrorKind::TooLarge);
        }
        if ranges.len() as u64 > MEMBERS {
            return Err(WheelErrorKind::TooMany);
        }
        if header.is_dir() {
            if size != 0 || !matches!(kind, 0 | 0o040_000) {
                return refuse("it is named like a directory and is none");
            }
            directories.push(plain.to_owned());
            continue;
        }
        if !matches!(kind, 0 | 0o100_000) {
            return refuse("it is neither a regular file nor a directory");
        }
        let content = match header.compression_method() {
            CompressionMethod::STORE if end - start == size => Content::range(&source, start, size),
            CompressionMethod::STORE => return refuse("it is stored, and its two sizes differ"),
            CompressionMethod::DEFLATE => Content::deflated(&source, start, end - start, size),
            _ => return refuse("its compression is neither `stored` nor `deflated`"),
        };
        let executable = kind != 0 && header.external_attributes() >> 16 & 0o111 != 0;
        if members.insert(plain.to_owned(), Member { content, crc: header.crc32(), executable }).is_some() {
            return refuse("the archive has it twice");
        }
    }

    for name in members.keys().chain(&directories) {
        let mut above = name.as_str();
        while let Some((parent, _)) = above.rsplit_once('/') {
            if members.contains_key(parent) {
                return Err(WheelErrorKind::Member(parent.to_owned(), "it is a file and a directory"));
            }
            above = parent;
        }
    }
    if let Some(name) = directories.into_iter().find(|name| members.contains_key(name)) {
        return Err(WheelErrorKind::Member(name, "it is a file and a directory"));
    }
    check_ranges(ranges, archive.directory_offset())?;
    Ok(members)
}

/// Members lie one after the other from the start of the file, none on another, all before the directory.
fn check_ranges(mut ranges: Vec<(u64, u64)>, directory: u64) -> Result<(), WheelErrorKind> {
    ranges.sort_unstable();
    if ranges.first().is_some_and(|(start, _)| *start != 0) {
        return Err(WheelErrorKind::Layout("bytes stand before the archive"));
    }
    if ranges.windows(2).any(|pair| pair[0].1 > pair[1].0) || ranges.last().is_some_and(|(_, end)| *end > directory) {
        return Err(WheelErrorKind::Layout("members overlap"));
    }
    Ok(())
}

/// A member's name without the `/` that marks a directory, if it is a relative path in plain form.
pub(super) fn check_name(name: &str) -> Result<&str, WheelErrorKind> {
    let refuse = |why| Err(WheelErrorKind::Name(name.escape_debug().to_string(), why));
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
