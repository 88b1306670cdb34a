//! Zip archives for tests, made byte by byte.

use std::io::Write as _;

/// A member with the values of its headers, which may be wrong.
#[derive(Clone)]
pub(crate) struct Packed {
    pub(crate) name: String,
    pub(crate) local_name: Option<String>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) method: u16,
    pub(crate) crc: u32,
    pub(crate) size: u32,
    pub(crate) mode: u32,
    pub(crate) flags: u16,
}

impl Packed {
    pub(crate) fn new(name: &str, bytes: &[u8]) -> Self {
        Self {
            name: name.into(),
            local_name: None,
            bytes: bytes.to_vec(),
            method: 0,
            crc: rawzip::crc32(bytes),
            size: bytes.len() as u32,
            mode: 0o100_644,
            flags: 0,
        }
    }

    pub(crate) fn deflated(mut self) -> Self {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(&self.bytes).unwrap();
        (self.bytes, self.method) = (encoder.finish().unwrap(), 8);
        self
    }

    /// The fields that both headers have, from `flags` to the length of the extra field.
    fn common(&self, name: &str) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(self.flags.to_le_bytes());
        out.extend(self.method.to_le_bytes());
        out.extend([0; 4]);
        out.extend(self.crc.to_le_bytes());
        out.extend((self.bytes.len() as u32).to_le_bytes());
        out.extend(self.size.to_le_bytes());
        out.extend((name.len() as u16).to_le_bytes());
        out.extend([0; 2]);
        out
    }
}

pub(crate) fn zip(members: &[Packed]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for member in members {
        let offset = out.len() as u32;
        let local = member.local_name.as_ref().unwrap_or(&member.name);
        out.extend(b"PK\x03\x04\x14\x00");
        out.extend(member.common(local));
        out.extend(local.as_bytes());
        out.extend(&member.bytes);
        directory.extend(b"PK\x01\x02\x14\x03\x14\x00");
        directory.extend(member.common(&member.name));
        directory.extend([0; 6]);
        directory.extend((member.mode << 16).to_le_bytes());
        directory.extend(offset.to_le_bytes());
        directory.extend(member.name.as_bytes());
    }
    let (start, count) = (out.len() as u32, members.len() as u16);
    out.extend(&directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend([count.to_le_bytes(), count.to_le_bytes()].concat());
    out.extend((directory.len() as u32).to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0; 2]);
    out
}
