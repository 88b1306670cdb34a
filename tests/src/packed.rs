//! Debian packages and wheels, written byte by byte, so that they can also be malformed.

use std::fmt::Write as _;
use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sealift_layers::digest::Digest;
use sha2::{Digest as _, Sha256};

/// Default modification time of files: 2026-01-01, in seconds since 1970.
pub const THEN: u64 = 1_767_225_600;

/// A member of a tar archive: the fields of its header, which need not be valid.
#[derive(Clone, Debug)]
pub struct Member {
    path: String,
    kind: u8,
    mode: u32,
    owner: u32,
    link: String,
    bytes: Vec<u8>,
}

impl Member {
    fn new(path: &str, kind: u8, mode: u32) -> Self {
        Self { path: path.into(), kind, mode, owner: 0, link: String::new(), bytes: Vec::new() }
    }

    /// A regular file.
    #[must_use]
    pub fn file(path: &str, text: &str) -> Self {
        Self { bytes: text.into(), ..Self::new(path, b'0', 0o644) }
    }

    /// A directory; `path` ends in a slash.
    #[must_use]
    pub fn directory(path: &str) -> Self {
        Self::new(path, b'5', 0o755)
    }

    /// A symbolic link.
    #[must_use]
    pub fn symlink(path: &str, target: &str) -> Self {
        Self { link: target.into(), ..Self::new(path, b'2', 0o777) }
    }

    /// A hard link.
    #[must_use]
    pub fn hardlink(path: &str, target: &str) -> Self {
        Self { link: target.into(), ..Self::new(path, b'1', 0o644) }
    }

    /// Sets the permission bits.
    #[must_use]
    pub fn mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }

    /// Sets its content.
    #[must_use]
    pub fn content(self, bytes: Vec<u8>) -> Self {
        Self { bytes, ..self }
    }

    /// Sets the type flag of its header.
    #[must_use]
    pub fn kind(self, kind: u8) -> Self {
        Self { kind, ..self }
    }

    /// Sets user and group.
    #[must_use]
    pub fn owner(self, owner: u32) -> Self {
        Self { owner, ..self }
    }
}

/// A ustar archive (POSIX.1-2017); names must be short.
#[must_use]
pub fn tar(members: &[Member]) -> Vec<u8> {
    let mut out = Vec::new();
    for member in members {
        let mut header = [0_u8; 512];
        let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, &member.path);
        put(100, &format!("{:07o}", member.mode));
        put(108, &format!("{:07o}", member.owner));
        put(116, &format!("{:07o}", member.owner));
        put(124, &format!("{:011o}", member.bytes.len()));
        put(136, &format!("{THEN:011o}"));
        put(148, "        ");
        put(157, &member.link);
        put(257, "ustar\x0000");
        header[156] = member.kind;
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        out.extend(header);
        out.extend(&member.bytes);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.extend([0; 1024]);
    out
}

/// Compressed with xz.
#[must_use]
pub fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 6);
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory takes everything")
}

/// The smallest file that is accepted as a statically linked program: an ELF header for x86-64 and one empty entry of the
/// program header table. The real program would change the digests with every change of the code.
#[must_use]
pub fn static_program() -> Vec<u8> {
    let mut elf = vec![0; 64 + 56];
    elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
    for (at, value) in [(6, 1), (16, 2), (18, 62), (32, 64), (54, 56), (56, 1)] {
        elf[at] = value;
    }
    elf
}

/// An archive in the format of ar(5).
#[must_use]
pub fn ar(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut out = b"!<arch>\n".to_vec();
    for (name, body) in members {
        let head = format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", THEN, 0, 0, "100644", body.len());
        out.extend(head.as_bytes());
        out.extend(body);
        out.resize(out.len().next_multiple_of(2), b'\n');
    }
    out
}

/// A Debian package (deb(5)) and its entry in a package index.
#[derive(Clone, Debug)]
pub struct Package {
    /// Name in the index.
    pub name: String,
    /// Version in the index.
    pub version: String,
    /// More fields of its stanza, such as `Depends`, one per line.
    pub fields: String,
    /// Name in its control file.
    pub stated: String,
    /// The files that it installs.
    pub members: Vec<Member>,
    /// Bytes in the place of all of these.
    pub raw: Option<Vec<u8>>,
}

impl Package {
    /// An architecture-independent package.
    #[must_use]
    pub fn new(name: &str, version: &str, fields: &str, members: &[Member]) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            fields: fields.into(),
            stated: name.into(),
            members: members.to_vec(),
            raw: None,
        }
    }

    /// Path below the archive's root.
    #[must_use]
    pub fn path(&self) -> String {
        let Self { name, version, .. } = self;
        format!("pool/main/{}/{name}/{name}_{version}_all.deb", &name[..1])
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        if let Some(raw) = &self.raw {
            return raw.clone();
        }
        let control =
            format!("Package: {}\nVersion: {}\nArchitecture: all\n{}", self.stated, self.version, self.fields);
        ar(&[
            ("debian-binary", b"2.0\n".to_vec()),
            ("control.tar", tar(&[Member::file("./control", &control)])),
            ("data.tar.xz", xz(&tar(&self.members))),
        ])
    }

    /// The stanza in the index.
    #[must_use]
    pub fn stanza(&self) -> String {
        let bytes = self.bytes();
        format!(
            "Package: {}\nVersion: {}\nArchitecture: all\n{}Filename: {}\nSize: {}\nSHA256: {}\n\n",
            self.name,
            self.version,
            self.fields,
            self.path(),
            bytes.len(),
            Digest::of(&bytes).hex(),
        )
    }
}

/// A zip archive of stored members: path and text.
#[must_use]
pub fn zip(files: &[(&str, &str)]) -> Vec<u8> {
    let (mut out, mut directory, mut count) = (Vec::new(), Vec::new(), 0_u16);
    for (path, text) in files {
        let mut crc = flate2::Crc::new();
        crc.update(text.as_bytes());
        let size = u32::try_from(text.len()).expect("small files").to_le_bytes();
        let mut common = vec![0; 8];
        common.extend(crc.sum().to_le_bytes());
        common.extend([size, size].concat());
        common.extend(u16::try_from(path.len()).expect("short names").to_le_bytes());
        common.extend([0; 2]);
        let offset = u32::try_from(out.len()).expect("small archives");
        out.extend(b"PK\x03\x04\x14\x00");
        out.extend(&common);
        out.extend(path.as_bytes());
        out.extend(text.as_bytes());
        directory.extend(b"PK\x01\x02\x14\x03\x14\x00");
        directory.extend(&common);
        directory.extend([0; 6]);
        directory.extend((0o100_644_u32 << 16).to_le_bytes());
        directory.extend(offset.to_le_bytes());
        directory.extend(path.as_bytes());
        count += 1;
    }
    let start = u32::try_from(out.len()).expect("small archives");
    out.extend(&directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend([count.to_le_bytes(), count.to_le_bytes()].concat());
    out.extend(u32::try_from(directory.len()).expect("small archives").to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0; 2]);
    out
}

/// A wheel (PEP 427) of pure Python.
#[derive(Clone, Debug)]
pub struct Wheel {
    /// Name of the distribution.
    pub name: String,
    /// Version of the distribution.
    pub version: String,
    /// Files: path and text.
    pub files: Vec<(String, String)>,
    /// `RECORD` has a wrong hash for this file.
    pub lie: Option<String>,
    /// `RECORD` does not have this file.
    pub unlisted: Option<String>,
    /// Bytes in the place of all of these.
    pub raw: Option<Vec<u8>>,
}

impl Wheel {
    /// A wheel with these files and the required metadata.
    #[must_use]
    pub fn new(name: &str, version: &str, files: &[(&str, &str)]) -> Self {
        let info = format!("{name}-{version}.dist-info");
        let mut all: Vec<(String, String)> =
            files.iter().map(|(path, text)| (path.replace("INFO", &info), (*text).to_owned())).collect();
        all.push((format!("{info}/METADATA"), format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")));
        all.push((
            format!("{info}/WHEEL"),
            "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n".to_owned(),
        ));
        Self { name: name.into(), version: version.into(), files: all, lie: None, unlisted: None, raw: None }
    }

    /// The file name.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}-{}-py3-none-any.whl", self.name, self.version)
    }

    /// The content of the file: a zip archive of stored members.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        if let Some(raw) = &self.raw {
            return raw.clone();
        }
        let record = format!("{}-{}.dist-info/RECORD", self.name, self.version);
        let mut lines = String::new();
        for (path, text) in self.files.iter().filter(|(path, _)| self.unlisted.as_ref() != Some(path)) {
            let lies = self.lie.as_ref() == Some(path);
            let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(if lies { "something else" } else { text }));
            let _ = writeln!(lines, "{path},sha256={hash},{}", text.len());
        }
        let _ = writeln!(lines, "{record},,");
        let record = (record, lines);
        zip(&self.files.iter().chain([&record]).map(|(path, text)| (path.as_str(), text.as_str())).collect::<Vec<_>>())
    }
}

/// Name, and offset and size of the content, of each member of an uncompressed tar with short names.
///
/// # Panics
/// It is not such a tar.
#[must_use]
pub fn members(tar: &[u8]) -> Vec<(String, usize, usize)> {
    let text =
        |bytes: &[u8]| String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned();
    let (mut at, mut found) = (0, Vec::new());
    while tar[at] != 0 {
        let size = usize::from_str_radix(text(&tar[at + 124..at + 136]).trim(), 8).expect("a size in octal digits");
        found.push((text(&tar[at..at + 100]), at + 512, size));
        at += 512 + size.next_multiple_of(512);
    }
    found
}
