//! Private keys and known secrets in files, found while they are read.
//!
//! ```
//! use std::io::Write;
//!
//! use sealift_layers::secrets::Scanner;
//!
//! let mut scanner = Scanner::new(&[("secrets/token", b"correct horse")]);
//! scanner.write_all(b"TOKEN=correct ")?;
//! scanner.write_all(b"horse battery")?;
//! assert_eq!(scanner.end(), ["secrets/token"]);
//! # Ok::<(), std::io::Error>(())
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};

use aho_corasick::{AhoCorasick, MatchKind};

use crate::tar::{MemberKind, Members, Stream};
use crate::tree::TreePath;

/// What private keys begin with, and what they are called.
const MARKS: [(&[u8], Mark); 4] = [
    // RFC 7468, RFC 1421 and OpenSSH's PROTOCOL.key; RFC 9580, 6.2 for OpenPGP.
    (b"-----BEGIN ", Mark::Armor),
    // The first bytes of a key of minisign or signify, `Ed`, `Sc` or none, `B2`, in base64.
    (b"RWRTY0Iy", Mark::Minisign),
    (b"AGE-SECRET-KEY-1", Mark::Age),
    (b"PuTTY-User-Key-File-", Mark::Putty),
];

/// How far a key reaches behind its mark, as far as it is looked at, in bytes.
const REACH: usize = 4096;

/// The length of the longest mark.
const MARK: usize = 20;

#[derive(Clone, Copy, Debug)]
enum Mark {
    Armor,
    Minisign,
    Age,
    Putty,
}

/// Files with secrets, by path: what was found in each.
pub type Found = BTreeMap<TreePath, BTreeSet<String>>;

/// Looks for private keys, and for the texts of secrets that are known, in the files that are written to it.
#[derive(Debug)]
pub struct Scanner {
    search: AhoCorasick,
    /// Names of the known secrets: the first patterns of `search`.
    names: Vec<String>,
    /// How much of the end of a window may be the start of something.
    keep: usize,
    window: Vec<u8>,
    found: BTreeSet<String>,
}

impl Scanner {
    /// A scanner for private keys and for the texts `known`, with their names. Empty texts are not looked for.
    ///
    /// # Panics
    /// There are more than thousands of texts, or they are longer than any.
    #[must_use]
    pub fn new(known: &[(&str, &[u8])]) -> Self {
        let known = || known.iter().filter(|(_, text)| !text.is_empty());
        let patterns = known().map(|(_, text)| *text).chain(MARKS.map(|(mark, _)| mark));
        let search = AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(patterns);
        Self {
            search: search.expect("a few patterns of a file's size"),
            names: known().map(|(name, _)| (*name).to_owned()).collect(),
            keep: known().map(|(_, text)| text.len()).max().unwrap_or(0).max(REACH + MARK),
            window: Vec::new(),
            found: BTreeSet::new(),
        }
    }

    /// Ends a file: what was found in it. The next bytes are those of another one.
    pub fn end(&mut self) -> BTreeSet<String> {
        self.search_window(true);
        self.window.clear();
        std::mem::take(&mut self.found)
    }

    fn search_window(&mut self, is_end: bool) {
        for found in self.search.find_iter(&self.window) {
            if let Some(name) = self.names.get(found.pattern().as_usize()) {
                self.found.insert(name.clone());
                continue;
            }
            let after = &self.window[found.end()..];
            // It is found again in the next window, when all of it is there.
            if after.len() < REACH && !is_end {
                continue;
            }
            let mark = MARKS[found.pattern().as_usize() - self.names.len()].1;
            if let Some(key) = mark.key(&after[..after.len().min(REACH)]) {
                self.found.insert(key);
            }
        }
    }
}

impl Write for Scanner {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.window.extend_from_slice(bytes);
        if self.window.len() >= 4 * self.keep {
            self.search_window(false);
            self.window.drain(..self.window.len() - self.keep);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Mark {
    /// What is called a key, if one follows this mark: documents and programs have the mark alone.
    fn key(self, after: &[u8]) -> Option<String> {
        match self {
            Self::Armor => {
                let end = after.iter().take(48).position(|byte| *byte == b'-')?;
                let label = std::str::from_utf8(&after[..end]).ok()?;
                let is_private = label.ends_with("PRIVATE KEY") || label.ends_with("PRIVATE KEY BLOCK");
                let body = after[end..].strip_prefix(b"-----")?;
                // To its end, or the next one's beginning.
                let length = body.windows(5).position(|bytes| bytes == b"-----").unwrap_or(body.len());
                (is_private && has_base64(&body[..length], 40)).then(|| format!("a private key ({label})"))
            }
            Self::Minisign => {
                let is_base64 = after.len() >= 200 && after[..200].iter().copied().all(is_base64);
                is_base64.then(|| "a private key of minisign".to_owned())
            }
            Self::Age => {
                let is_key = after.len() >= 58 && after[..58].iter().all(u8::is_ascii_alphanumeric);
                is_key.then(|| "a private key of age".to_owned())
            }
            Self::Putty => {
                let lines = b"\nPrivate-Lines: ";
                let at = after.windows(lines.len()).position(|bytes| bytes == lines)?;
                has_base64(&after[at + lines.len()..], 40).then(|| "a private key of PuTTY".to_owned())
            }
        }
    }
}

/// Whether there are `count` characters of base64 in a row.
fn has_base64(bytes: &[u8], count: usize) -> bool {
    bytes.split(|byte| !is_base64(*byte)).any(|run| run.len() >= count)
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

/// What `scanner` finds in the files of an uncompressed tar of a layer.
///
/// # Errors
/// It cannot be read.
pub fn of_tar(tar: impl Read, scanner: &mut Scanner) -> io::Result<Found> {
    let mut found = Found::new();
    let mut members = Members::new(Stream(tar));
    while let Some(member) = members.next().map_err(io::Error::other)? {
        if member.kind != MemberKind::File {
            continue;
        }
        io::copy(&mut members, scanner)?;
        let secrets = scanner.end();
        if !secrets.is_empty() {
            found.insert(TreePath::new(&member.name).map_err(io::Error::other)?, secrets);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::tar;
    use crate::tree::{Entry, Tree};

    fn found(known: &[(&str, &[u8])], text: &[u8]) -> Vec<String> {
        let mut scanner = Scanner::new(known);
        scanner.write_all(text).unwrap();
        scanner.end().into_iter().collect()
    }

    /// A block of a key of this kind, which is none.
    fn block(label: &str) -> String {
        let line = "MC4CAQAwBQYDK2VwBCIEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        format!("-----BEGIN {label}-----\n{line}\n-----END {label}-----\n")
    }

    #[test]
    fn every_kind_of_private_key_is_found() {
        for label in
            ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "OPENSSH PRIVATE KEY"]
        {
            assert_eq!(found(&[], block(label).as_bytes()), [format!("a private key ({label})")]);
        }
        assert_eq!(found(&[], block("PGP PRIVATE KEY BLOCK").as_bytes()), ["a private key (PGP PRIVATE KEY BLOCK)"]);
        // As a line of JSON, and with the headers of an encrypted key.
        assert_eq!(found(&[], block("PRIVATE KEY").replace('\n', "\\n").as_bytes()).len(), 1);
        let headers = "PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n";
        assert_eq!(
            found(&[], block("PRIVATE KEY").replace("PRIVATE KEY-----\nM", &format!("{headers}M")).as_bytes()).len(),
            1
        );
        let minisign = format!("untrusted comment: x\nRWRTY0Iy{}\n", "A".repeat(204));
        assert_eq!(found(&[], minisign.as_bytes()), ["a private key of minisign"]);
        let age = format!("# x\nAGE-SECRET-KEY-1{}\n", "Q".repeat(58));
        assert_eq!(found(&[], age.as_bytes()), ["a private key of age"]);
        let putty = format!("PuTTY-User-Key-File-3: ssh-ed25519\nPrivate-Lines: 1\n{}\n", "A".repeat(48));
        assert_eq!(found(&[], putty.as_bytes()), ["a private key of PuTTY"]);
    }

    /// Libraries and documents have the words, and certificates and public keys have other ones.
    #[test]
    fn what_is_no_private_key_is_not_called_one() {
        for text in [
            "-----BEGIN PRIVATE KEY-----\0-----END PRIVATE KEY-----\0RWRTY0Iy\0AGE-SECRET-KEY-1\0PuTTY-User-Key-File-",
            "-----BEGIN RSA PRIVATE KEY-----\n...\n-----END RSA PRIVATE KEY-----",
            &block("CERTIFICATE"),
            &block("PUBLIC KEY"),
            &format!("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n{}", block("CERTIFICATE")),
        ] {
            assert_eq!(found(&[], text.as_bytes()), [""; 0], "{text}");
        }
    }

    #[test]
    fn where_the_bytes_are_cut_does_not_matter() {
        let mut text = vec![b'x'; 40_000];
        let key = block("PRIVATE KEY");
        text.splice(20_000..20_000, key.bytes());
        text.splice(30_000..30_000, *b"correct horse");
        for size in [1, 7, 4096, 10_000, 65_536] {
            let mut scanner = Scanner::new(&[("secrets/token", b"correct horse")]);
            text.chunks(size).for_each(|chunk| scanner.write_all(chunk).unwrap());
            assert_eq!(scanner.end().len(), 2, "in parts of {size} bytes");
            assert_eq!(scanner.end().len(), 0, "the next file has none");
        }
    }

    #[test]
    fn files_of_a_tar_are_told_by_their_paths() {
        let origin: Arc<str> = "test".into();
        let mut tree = Tree::new();
        let mut add = |path: &str, text: &str| {
            tree.insert(TreePath::new(path).unwrap(), Entry::file(text.as_bytes().to_vec(), 0o644, &origin));
        };
        add("etc/a", "nothing");
        add("etc/b", &block("PRIVATE KEY"));
        add("etc/c", "PASSWORD=correct horse");
        let mut bytes = Vec::new();
        tar::write(&tree, tar::Options { epoch: 1, file_digests: false }, &mut bytes).unwrap();
        let mut scanner = Scanner::new(&[("secrets/token", b"correct horse"), ("empty", b"")]);
        let found = of_tar(&bytes[..], &mut scanner).unwrap();
        let told: Vec<String> = found.iter().map(|(path, what)| format!("{path}: {what:?}")).collect();
        assert_eq!(told, ["etc/b: {\"a private key (PRIVATE KEY)\"}", "etc/c: {\"secrets/token\"}"]);
    }
}
