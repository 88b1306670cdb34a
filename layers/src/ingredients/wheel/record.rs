//! `RECORD`: the list of a distribution's files with their hashes and sizes ("Recording installed projects").

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Read};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use super::WheelErrorKind;
use super::archive::{Member, check_name};

/// What a line of `RECORD` claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RecordEntry {
    /// `sha256=...`, or nothing.
    pub(super) hash: String,
    /// Bytes.
    pub(super) size: Option<u64>,
}

/// What was found to be in a file: its line in the `RECORD` that we write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileHash {
    /// `sha256=` and unpadded URL-safe base64.
    pub(super) hash: String,
    /// Bytes.
    pub(super) size: u64,
}

impl FileHash {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self { hash: encode("sha256", &Sha256::digest(bytes)), size: bytes.len() as u64 }
    }
}

fn encode(algorithm: &str, digest: &[u8]) -> String {
    format!("{algorithm}={}", URL_SAFE_NO_PAD.encode(digest))
}

/// Reads `RECORD`: path to claim.
pub(super) fn parse(text: &str) -> Result<BTreeMap<String, RecordEntry>, WheelErrorKind> {
    let mut claims = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let bad = |why| WheelErrorKind::Record(index + 1, why);
        if line.is_empty() {
            continue;
        }
        let fields = fields(line).ok_or_else(|| bad("its quotes do not pair"))?;
        let [path, hash, size] = fields.as_slice() else { return Err(bad("it has not three fields")) };
        let size = match size.as_str() {
            "" => None,
            digits => Some(digits.parse().map_err(|_| bad("its size is not a number"))?),
        };
        check_name(path)?;
        if claims.insert(path.clone(), RecordEntry { hash: hash.clone(), size }).is_some() {
            return Err(bad("its path was listed before"));
        }
    }
    Ok(claims)
}

/// The fields of a line of CSV in the form that Python's `csv` module writes. No field may hold a line break: paths
/// with control characters are refused anyway.
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

/// Writes `RECORD`: sorted by path, and last of its kind the line of `RECORD` itself, without hash and size.
///
/// `.pyc` files are not in it, whether the caller adds some or not: the specification lets installers leave them out,
/// and so the list is a function of the wheel and of nothing else.
pub(super) fn write(files: &BTreeMap<String, FileHash>, itself: &str) -> String {
    let mut lines: BTreeMap<&str, String> =
        files.iter().map(|(path, found)| (path.as_str(), format!("{},{}", found.hash, found.size))).collect();
    lines.insert(itself, ",".into());
    let mut text = String::new();
    for (path, rest) in lines {
        let path = if path.contains([',', '"']) { format!("\"{}\"", path.replace('"', "\"\"")) } else { path.into() };
        let _ = writeln!(text, "{path},{rest}");
    }
    text
}

/// Reads a member once and holds it against its claim and the zip's checksum. Without a claim only the latter counts.
pub(super) fn verify(name: &str, member: &Member, claim: Option<&RecordEntry>) -> Result<FileHash, WheelErrorKind> {
    let wrong =
        |what, wanted: String, found: String| WheelErrorKind::Mismatch { name: name.into(), what, wanted, found };
    let algorithm = claim.map(|claim| claim.hash.split_once('=').map_or("", |(algorithm, _)| algorithm));
    let mut other = match algorithm {
        None | Some("sha256") => Other::None,
        Some("sha384") => Other::Sha384(Box::default()),
        Some("sha512") => Other::Sha512(Box::default()),
        Some("") => return Err(WheelErrorKind::Member(name.into(), "RECORD has no hash for it")),
        Some(_) => {
            return Err(WheelErrorKind::Member(name.into(), "RECORD's hash for it is none of SHA-256, -384, -512"));
        }
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
        return Err(wrong("CRC-32", format!("{:08x}", member.crc), format!("{:08x}", crc.checksum())));
    }
    let found = FileHash { hash: encode("sha256", &sha256.finalize()), size };
    if let Some(claim) = claim {
        let hash = other.finish().unwrap_or_else(|| found.hash.clone());
        // Some writers pad the base64; the bytes are what counts.
        if claim.hash.trim_end_matches('=') != hash {
            return Err(wrong("hash", claim.hash.clone(), hash));
        }
        if let Some(wanted) = claim.size.filter(|wanted| *wanted != size) {
            return Err(wrong("size", wanted.to_string(), size.to_string()));
        }
    }
    Ok(found)
}

/// The claimed hash where it is not SHA-256, which is computed in any case.
enum Other {
    None,
    Sha384(Box<Sha384>),
    Sha512(Box<Sha512>),
}

impl Other {
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
    fn lines_are_read_as_python_writes_them() {
        let text = "a.py,sha256=x,3\r\n\"b,\"\"c\"\".py\",,\n\nd,sha256=y,";
        let claims = parse(text).unwrap();
        let shown: Vec<_> = claims.iter().map(|(path, c)| (path.as_str(), c.hash.as_str(), c.size)).collect();
        assert_eq!(shown, [("a.py", "sha256=x", Some(3)), ("b,\"c\".py", "", None), ("d", "sha256=y", None)]);
    }

    #[test]
    fn a_bad_line_is_named() {
        for (text, message) in [
            ("a,b", "line 1 of RECORD: it has not three fields"),
            ("a,,\n\"b,,", "line 2 of RECORD: its quotes do not pair"),
            ("a,,x", "line 1 of RECORD: its size is not a number"),
            ("a,,\na,,", "line 2 of RECORD: its path was listed before"),
            ("../a,,", "the name `../a`: a component is `.` or `..`"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), message);
        }
    }

    proptest! {
        /// Whatever the names, what is written reads back, sorted.
        #[test]
        fn written_records_read_back(names in proptest::collection::btree_set("[a-z ,\"é.]{1,8}", 0..8)) {
            let files: BTreeMap<_, _> = names.iter()
                .filter(|name| check_name(name).is_ok())
                .map(|name| (name.clone(), FileHash::of(name.as_bytes()))).collect();
            let claims = parse(&write(&files, "x.dist-info/RECORD")).unwrap();
            prop_assert_eq!(claims.len(), files.len() + 1);
            for (name, found) in files {
                prop_assert_eq!(&claims[&name], &RecordEntry { hash: found.hash, size: Some(found.size) });
            }
        }

        /// No text makes the reader panic.
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            let _ = parse(&text);
            let _ = fields(&text);
        }
    }
}
