//! What an ELF file asks of the dynamic loader (System V ABI, "Program Loading and Dynamic Linking").

use std::io::{self, Read};

use object::elf::{self, FileHeader64};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::{LittleEndian, ReadCache, ReadCacheOps, ReadRef};
use serde::{Deserialize, Serialize};

use crate::tree::Content;

/// The dependencies of a 64-bit little-endian ELF file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Elf {
    /// The processor: `e_machine`.
    pub machine: u16,
    /// The dynamic loader: the path in the segment `PT_INTERP`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interpreter: Option<String>,
    /// Names of libraries: `DT_NEEDED`, in the order of the file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needed: Vec<String>,
    /// Directories where they are looked for: `DT_RUNPATH`, or else `DT_RPATH`, split at colons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<String>,
    /// The libraries of this file are looked for there, too, with all that these need: it has `DT_RPATH` alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_inherited: bool,
}

/// Largest number of program headers: 64 KiB of them, as for Linux.
const SEGMENTS: usize = (64 << 10) / 56;

/// Largest number of libraries that a file may need. Real ones need a few dozen.
const NEEDED: usize = 4096;

/// The dependencies of an ELF file; `None` for other processors' word sizes, for relocatable objects, core files and files
/// that are damaged: the loader refuses these, whatever else is in the image.
///
/// # Errors
/// When the content cannot be read.
pub(super) fn read(content: &Content) -> io::Result<Option<Elf>> {
    let cache = ReadCache::new(Positioned::new(content));
    let found = parse(&cache);
    // The parser does not tell damaged files from unreadable ones.
    if found.is_none() {
        io::copy(&mut content.reader(), &mut io::sink())?;
    }
    Ok(found)
}

fn parse<'a>(data: impl ReadRef<'a>) -> Option<Elf> {
    let endian = LittleEndian;
    let header = FileHeader64::<LittleEndian>::parse(data).ok()?;
    let kind = header.e_type(endian);
    if !header.is_little_endian() || (kind != elf::ET_EXEC && kind != elf::ET_DYN) {
        return None;
    }
    // More than the kernel takes, or a number that is somewhere else.
    if usize::from(header.e_phnum(endian)) > SEGMENTS {
        return None;
    }
    let segments = header.program_headers(endian, data).ok()?;
    let mut found = Elf { machine: header.e_machine(endian), ..Elf::default() };
    for segment in segments {
        // Both are read into memory.
        let limit = match segment.p_type(endian) {
            elf::PT_INTERP => 4096,
            elf::PT_DYNAMIC => 1 << 20,
            _ => u64::MAX,
        };
        if segment.p_filesz(endian) > limit {
            return None;
        }
        // The kernel takes the first one.
        if found.interpreter.is_none() {
            found.interpreter = segment.interpreter(endian, data).ok()?.map(text);
        }
    }
    let dynamic = segments.iter().find_map(|segment| segment.dynamic(endian, data).ok()?);
    let entries: Vec<(u64, u64)> = dynamic
        .unwrap_or_default()
        .iter()
        .map(|entry| (entry.d_tag(endian), entry.d_val(endian)))
        .take_while(|(tag, _)| *tag != u64::from(elf::DT_NULL))
        .collect();
    let value = |tag: u32| entries.iter().find(|(other, _)| *other == u64::from(tag)).map(|(_, value)| *value);
    let Some(strings) = value(elf::DT_STRTAB) else { return Some(found) };
    // The table is named by its address in memory.
    let table = segments.iter().find_map(|segment| {
        let within = strings.checked_sub(segment.p_vaddr(endian))?;
        let is_loaded = segment.p_type(endian) == elf::PT_LOAD && within < segment.p_filesz(endian);
        is_loaded.then(|| segment.p_offset(endian).checked_add(within))?
    })?;
    let string = |offset: u64| -> Option<String> {
        let start = table.checked_add(offset)?;
        let end = start.checked_add(4096)?.min(data.len().ok()?);
        Some(text(data.read_bytes_at_until(start..end, 0).ok()?))
    };
    for (_, offset) in entries.iter().filter(|(tag, _)| *tag == u64::from(elf::DT_NEEDED)) {
        if found.needed.len() == NEEDED {
            return None;
        }
        found.needed.push(string(*offset)?);
    }
    found.is_inherited = value(elf::DT_RUNPATH).is_none() && value(elf::DT_RPATH).is_some();
    if let Some(offset) = value(elf::DT_RUNPATH).or_else(|| value(elf::DT_RPATH)) {
        found.search = string(offset)?.split(':').filter(|part| !part.is_empty()).map(str::to_owned).collect();
    }
    Some(found)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Bytes that are read at a time.
const WINDOW: usize = 64 << 10;
/// How often a content may be read from its start, on average. Real files need two or three times.
const READINGS: u64 = 16;

/// A content with a position. Going back beyond what is in memory opens it again: a stream that is decompressed has no other
/// way. A hostile file would have that done thousands of times.
struct Positioned<'a> {
    content: &'a Content,
    reader: Box<dyn Read + 'a>,
    /// The bytes before `end`.
    window: Vec<u8>,
    /// Position of the reader.
    end: u64,
    /// Bytes that may still be read.
    budget: u64,
    to: u64,
}

impl<'a> Positioned<'a> {
    fn new(content: &'a Content) -> Self {
        let budget = content.len().saturating_mul(READINGS).saturating_add(WINDOW as u64);
        Self { content, reader: content.reader(), window: Vec::new(), end: 0, budget, to: 0 }
    }

    /// Position of the first byte of the window.
    fn start(&self) -> u64 {
        self.end - self.window.len() as u64
    }

    /// Reads on; false at the end.
    fn advance(&mut self) -> io::Result<bool> {
        self.window.drain(..self.window.len().saturating_sub(WINDOW));
        let got = (&mut self.reader).take(WINDOW as u64).read_to_end(&mut self.window)? as u64;
        self.end += got;
        self.budget = self.budget.checked_sub(got).ok_or(io::ErrorKind::InvalidData)?;
        Ok(got > 0)
    }
}

impl ReadCacheOps for Positioned<'_> {
    fn len(&mut self) -> Result<u64, ()> {
        Ok(self.content.len())
    }

    fn seek(&mut self, to: u64) -> Result<u64, ()> {
        self.to = to;
        Ok(to)
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ()> {
        if self.to < self.start() {
            (self.reader, self.end) = (self.content.reader(), 0);
            self.window.clear();
        }
        while self.to >= self.end {
            if !self.advance().map_err(|_| ())? {
                return Ok(0);
            }
        }
        let from = usize::try_from(self.to - self.start()).map_err(|_| ())?;
        let got = buffer.len().min(self.window.len() - from);
        buffer[..got].copy_from_slice(&self.window[from..from + got]);
        self.to += got as u64;
        Ok(got)
    }

    fn read_exact(&mut self, mut buffer: &mut [u8]) -> Result<(), ()> {
        while !buffer.is_empty() {
            match self.read(buffer)? {
                0 => return Err(()),
                got => buffer = &mut buffer[got..],
            }
        }
        Ok(())
    }
}
