//! `RECORD`, the list of a distribution's files with their hashes and sizes ("Recording installed projects").

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Read};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use super::WheelErrorKind;
use crate::zip::{Member, check_name};

/// Hash and size of a file as `RECORD` lists them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordEntry {
    /// `ALGORITHM=BASE64`; empty if the line has none.
    pub hash: String,
    /// Size in bytes.
    pub size: Option<u64>,
}

/// Hash and size of a file as computed from its contents, for the `RECORD` that is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileHash {
    /// `sha256=` and unpadded URL-safe base64.
    pub hash: String,
    /// Size in bytes.
    pub size: u64,
}

impl FileHash {
    /// Those of a file with this content.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self { hash: encode("sha256", &Sha256::digest(bytes)), size: bytes.len() as u64 }
    }
}

fn encode(algorithm: &str, digest: &[u8]) -> String {
    format!("{algorithm}={}", URL_SAFE_NO_PAD.encode(digest))
}

/// Parses `RECORD`: path to hash and size. Adds what is wrong to `wrong`; of two lines with one path the first one counts.
pub fn parse(text: &str, wrong: &mut Vec<WheelErrorKind>) -> BTreeMap<String, RecordEntry> {
    let mut entries = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let error = |why| WheelErrorKind::Record(index + 1, why);
        match parse_line(line, error) {
            Err(kind) => wrong.push(kind),
            Ok(Some((path, _))) if entries.contains_key(&path) => wrong.push(error("its path is already listed")),
            Ok(entry) => entries.extend(entry),
        }
    }
    entries
}

/// `None` for lines that name no file.
fn parse_line(
    line: &str,
    error: impl Fn(&'static str) -> WheelErrorKind,
) -> Result<Option<(String, RecordEntry)>, WheelErrorKind> {
    if line.is_empty() {
        return Ok(None);
    }
    let fields = fields(line).ok_or_else(|| error("it has an unpaired quote"))?;
    let [path, hash, size] = fields.as_slice() else { return Err(error("it does not have three fields")) };
    let size = match size.as_str() {
        "" => None,
        digits => Some(digits.parse().map_err(|_| error("its size is not a number"))?),
    };
    check_name(path)?;
    // Some tools list directories, which a wheel does not install.
    Ok((!path.ends_with('/')).then(|| (path.clone(), RecordEntry { hash: hash.clone(), size })))
}

/// The fields of a CSV line as Python's `csv` module writes it; `None` for an unpaired quote. Fields have no line breaks,
/// since paths with control characters are rejected.
fn fields(line: &str) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let mut field = String::new();
        if let Some(quoted) = rest.strip_prefix('"') {
            rest = quoted;
            loop {
                let (text, after) = rest.split_once('"')?;
                field.push_str(text);
                rest = after;
                let Some(more) = rest.strip_prefix('"') else { break };
                field.push('"');
                rest = more;
            }
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            field.push_str(&rest[..end]);
            rest = &rest[end..];
        }
        fields.push(field);
        if rest.is_empty() {
            return Some(fields);
        }
        rest = rest.strip_prefix(',')?;
    }
}

/// The text of a `RECORD` of `files`, sorted by path. `itself` is the path of `RECORD`, which has neither hash nor size.
///
/// `.pyc` files are not listed, even if the caller adds some to the layer. The specification allows that, and it makes
/// `RECORD` depend only on the wheel.
#[must_use]
pub fn write(files: &BTreeMap<String, FileHash>, itself: &str) -> String {
    let mut lines: BTreeMap<&str, String> =
        files.iter().map(|(path, file)| (path.as_str(), format!("{},{}", file.hash, file.size))).collect();
    lines.insert(itself, ",".into());
    let mut text = String::new();
    for (path, rest) in lines {
        let path = if path.contains([',', '"']) { format!("\"{}\"", path.replace('"', "\"\"")) } else { path.into() };
        let _ = writeln!(text, "{path},{rest}");
    }
    text
}

/// Reads a member and compares it with the checksum of the zip archive and, if given, with its entry in `RECORD`: adds a
/// difference to `wrong`. Returns hash and size of the member.
///
/// # Errors
/// The member cannot be read, or its checksum is wrong.
pub(super) fn verify(
    name: &str,
    member: &Member,
    listed: Option<&RecordEntry>,
    wrong: &mut Vec<WheelErrorKind>,
) -> Result<FileHash, WheelErrorKind> {
    let algorithm = listed.and_then(|entry| entry.hash.split_once('=')).map(|(algorithm, _)| algorithm);
    let mut other = match algorithm {
        Some("sha384") => OtherHash::Sha384(Box::default()),
        Some("sha512") => OtherHash::Sha512(Box::default()),
        _ => OtherHash::None,
    };
    let (mut sha256, mut crc, mut size) = (Sha256::new(), rawzip::Crc32::new(), 0);
    let mut reader = member.content.reader();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let got = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(WheelErrorKind::Unreadable { name: name.into(), source }),
        };
        let bytes = &buffer[..got];
        size += got as u64;
        crc.update(bytes);
        sha256.update(bytes);
        other.update(bytes);
    }
    if crc.checksum() != member.crc {
        return Err(mismatch(name, "CRC-32", format!("{:08x}", member.crc), format!("{:08x}", crc.checksum())));
    }
    let found = FileHash { hash: encode("sha256", &sha256.finalize()), size };
    if let Some(entry) = listed {
        let hash = other.finish().unwrap_or_else(|| found.hash.clone());
        wrong.extend(difference(name, entry, algorithm, hash, size));
    }
    Ok(found)
}

fn mismatch(name: &str, what: &'static str, expected: String, found: String) -> WheelErrorKind {
    WheelErrorKind::Mismatch { name: name.into(), what, expected, found }
}

/// How a member with this `hash` and `size` differs from its entry in `RECORD`.
fn difference(
    name: &str,
    entry: &RecordEntry,
    algorithm: Option<&str>,
    hash: String,
    size: u64,
) -> Option<WheelErrorKind> {
    let member = |why| Some(WheelErrorKind::Member(name.into(), why));
    match algorithm {
        Some("sha256" | "sha384" | "sha512") => {}
        None | Some("") => return member("RECORD has no hash for it"),
        Some(_) => return member("its hash in RECORD is none of SHA-256, SHA-384 and SHA-512"),
    }
    // Some tools write base64 with padding.
    if entry.hash.trim_end_matches('=') != hash {
        return Some(mismatch(name, "hash", entry.hash.clone(), hash));
    }
    let expected = entry.size.filter(|expected| *expected != size)?;
    Some(mismatch(name, "size", expected.to_string(), size.to_string()))
}

/// The hash in `RECORD` if it is not SHA-256, which is always computed.
enum OtherHash {
    None,
    Sha384(Box<Sha384>),
    Sha512(Box<Sha512>),
}

impl OtherHash {
    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::None => {}
            Self::Sha384(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    fn finish(self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Sha384(hasher) => Some(encode("sha384", &hasher.finalize())),
            Self::Sha512(hasher) => Some(encode("sha512", &hasher.finalize())),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_parsed_as_python_writes_them() {
        let text = "a.py,sha256=x,3\r\n\"b,\"\"c\"\".py\",,\n\nd/,sha256=z,0\nd,sha256=y,";
        let mut wrong = Vec::new();
        let claims = parse(text, &mut wrong);
        assert!(wrong.is_empty(), "{wrong:?}");
        let shown: Vec<_> = claims.iter().map(|(path, c)| (path.as_str(), c.hash.as_str(), c.size)).collect();
        assert_eq!(shown, [("a.py", "sha256=x", Some(3)), ("b,\"c\".py", "", None), ("d", "sha256=y", None)]);
    }

    #[test]
    fn an_error_names_its_line() {
        for (text, message) in [
            ("a,b", "line 1 of RECORD: it does not have three fields"),
            ("a,,\n\"b,,", "line 2 of RECORD: it has an unpaired quote"),
            ("a,,x", "line 1 of RECORD: its size is not a number"),
            ("a,,\na,,", "line 2 of RECORD: its path is already listed"),
            ("../a,,", "the name `../a`: a component is `.` or `..`"),
        ] {
            let mut wrong = Vec::new();
            parse(text, &mut wrong);
            assert_eq!(wrong.iter().map(ToString::to_string).collect::<Vec<_>>(), [message]);
        }
    }

    proptest! {
        /// A written record reads back, whatever the names are.
        #[test]
        fn written_records_read_back(names in proptest::collection::btree_set("[a-z ,\"é.]{1,8}", 0..8)) {
            let files: BTreeMap<_, _> = names.iter()
                .filter(|name| check_name(name).is_ok())
                .map(|name| (name.clone(), FileHash::of(name.as_bytes()))).collect();
            let claims = parse(&write(&files, "x.dist-info/RECORD"), &mut Vec::new());
            prop_assert_eq!(claims.len(), files.len() + 1);
            for (name, found) in files {
                prop_assert_eq!(&claims[&name], &RecordEntry { hash: found.hash, size: Some(found.size) });
            }
        }

        /// No text makes the parser panic.
        #[test]
        fn any_text_is_parsed_or_rejected(text in ".{0,40}") {
            let _ = parse(&text, &mut Vec::new());
            let _ = fields(&text);
        }
    }
}
