//! Public keys and signatures as text (minisign(1), "Signature format" and "Public key format").

use std::fmt;
use std::io::{self, Read};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Bytes of a private key.
const PRIVATE: usize = 158;
/// Largest size of a key or signature file in bytes.
pub(crate) const LIMIT: u64 = 1 << 14;
/// Algorithm of keys and of signatures over the file itself.
const ED25519: [u8; 2] = *b"Ed";
/// Algorithm of signatures over the BLAKE2b-512 hash of the file.
const HASHED: [u8; 2] = *b"ED";
const UNTRUSTED: &str = "untrusted comment: ";
const TRUSTED: &str = "trusted comment: ";

/// The number that a key pair got when it was made. It tells keys apart, and proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId(pub u64);

impl fmt::Display for KeyId {
    /// As minisign shows it: 16 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", self.0)
    }
}

/// A key that signatures are checked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// Its number.
    pub id: KeyId,
    /// Its bytes (RFC 8032).
    pub(super) raw: [u8; 32],
    line: String,
    key: minisign_verify::PublicKey,
}

impl PublicKey {
    /// Reads a file with a public key: a line of comment and a line with the key, or the latter alone.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with(UNTRUSTED.trim()));
        let line = line.ok_or("it is empty")?;
        if line.starts_with("-----BEGIN") {
            return Err("it is in the format of other tools".to_owned());
        }
        let bytes = STANDARD.decode(line).map_err(|_| "its key is not base64")?;
        if bytes.len() == PRIVATE && bytes[..2] == ED25519 {
            return Err("it is a private one".to_owned());
        }
        if bytes.len() != 42 || bytes[..2] != ED25519 {
            return Err("its key is not one of minisign".to_owned());
        }
        let key = minisign_verify::PublicKey::from_base64(line).map_err(|error| error.to_string())?;
        let raw = bytes.get(10..).and_then(|raw| raw.try_into().ok()).unwrap_or_default();
        Ok(Self { id: id(&bytes), raw, line: line.to_owned(), key })
    }

    /// The text of a file with the key, as minisign writes it.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{UNTRUSTED}minisign public key {}\n{}\n", self.id, self.line)
    }

    /// Whether `signature` was made by this key for the bytes of `data`.
    ///
    /// # Errors
    /// When `data` cannot be read.
    pub fn verify(&self, signature: &Signature, mut data: impl Read) -> io::Result<bool> {
        let Ok(mut verifier) = self.key.verify_stream(&signature.signature) else { return Ok(false) };
        let mut buffer = vec![0; 1 << 16];
        loop {
            match data.read(&mut buffer) {
                Ok(0) => return Ok(verifier.finalize().is_ok()),
                Ok(length) => verifier.update(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// A signature of a file.
#[derive(Clone)]
pub struct Signature {
    /// Number of the key that made it, as it says itself.
    pub key: KeyId,
    /// What its maker says of the file. It is signed, too.
    pub comment: String,
    signature: minisign_verify::Signature,
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({}, {})", self.key, self.comment)
    }
}

impl Signature {
    /// Reads the text of a signature. Those of old versions of minisign, over the file itself, are refused.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |_| "is not a signature of minisign".to_owned();
        let signature = minisign_verify::Signature::decode(text).map_err(|error| wrong(error.to_string()))?;
        let line = text.lines().nth(1).unwrap_or_default();
        let bytes = STANDARD.decode(line).map_err(|error| wrong(error.to_string()))?;
        if bytes.get(..2) != Some(&HASHED) {
            return Err("is a signature of an old kind: sign with `minisign -H`".to_owned());
        }
        Ok(Self { key: id(&bytes), comment: signature.trusted_comment().to_owned(), signature })
    }

    /// Reads a signature that [`Signature::text`] wrote, and nothing that differs from it in any byte: nothing in it may
    /// be changed unnoticed.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse_own(text: &str) -> Result<Self, String> {
        let signature = Self::parse(text)?;
        let decoded = |line: usize| STANDARD.decode(text.lines().nth(line).unwrap_or_default()).unwrap_or_default();
        let own = match (decoded(1).get(10..).and_then(|raw| raw.try_into().ok()), decoded(3).try_into().ok()) {
            (Some(raw), Some(global)) => Self::text(signature.key, &raw, &signature.comment, &global),
            _ => String::new(),
        };
        if own == text { Ok(signature) } else { Err("is not in the form that sealift writes".to_owned()) }
    }

    /// The text of a signature: `signature` is of the file's BLAKE2b-512 hash, `global` of the bytes of `signature` followed
    /// by those of `comment`.
    #[must_use]
    pub fn text(key: KeyId, signature: &[u8; 64], comment: &str, global: &[u8; 64]) -> String {
        let bytes = [&HASHED[..], &key.0.to_le_bytes(), signature].concat();
        format!(
            "{UNTRUSTED}signature by key {key}\n{}\n{TRUSTED}{comment}\n{}\n",
            STANDARD.encode(bytes),
            STANDARD.encode(global)
        )
    }
}

/// The number of a key, which follows the two bytes of the algorithm.
fn id(bytes: &[u8]) -> KeyId {
    KeyId(bytes.get(2..10).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by minisign 0.11 of Debian 12.
    const KEY: &str = "untrusted comment: minisign public key 73367D4BE4370A66\nRWRmCjfkS302cz6vZmt0l72q+CJdYCPZyg6bSkRzFe6es819f32QWvSv\n";
    const SIGNED: &str = "untrusted comment: signature from minisign secret key\nRURmCjfkS302c9ecc0eYTY29nPHABsyzcFs66k00A6C5AR5/DYvLRUM+5zNPyaT7clkQFyigni+NuJGZSYzrmBxxfHVBG8ORTQ0=\ntrusted comment: a comment\nWqqa8OX15OXf50grtAKXgxsdMM7dhIR9YGJ4HEBeZcLs+omwGmQ4O4UCBeh7Joum/hEWXDV14CcMAQzIEPmcAQ==\n";

    #[test]
    fn signatures_of_minisign_are_checked() {
        let key = PublicKey::parse(KEY).unwrap();
        assert_eq!(key.to_text(), KEY);
        let signature = Signature::parse(SIGNED).unwrap();
        assert_eq!((signature.key, signature.comment.as_str()), (key.id, "a comment"));
        assert!(key.verify(&signature, &b"hello\n"[..]).unwrap());
        assert!(!key.verify(&signature, &b"hellp\n"[..]).unwrap());
        let other = SIGNED.replace("a comment", "b comment");
        assert!(!key.verify(&Signature::parse(&other).unwrap(), &b"hello\n"[..]).unwrap());
    }

    /// The first comment is not signed, and base64 has bits that nobody reads.
    #[test]
    fn own_signatures_have_one_form() {
        let text = Signature::text(KeyId(1), &[1; 64], "c", &[2; 64]);
        assert_eq!(Signature::parse_own(&text).unwrap().key, KeyId(1));
        // Changes of the other lines are found when the signature is checked.
        for at in 0..text.find('\n').unwrap() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            assert!(Signature::parse_own(std::str::from_utf8(&bytes).unwrap()).is_err(), "{at}");
        }
        let line = text.lines().nth(3).unwrap();
        let bits = line.replace("Ag==", "Ah==");
        assert!(bits != line && Signature::parse_own(&text.replace(line, &bits)).is_err());
        assert!(Signature::parse_own(&text.replace("signature by", "Signature by")).is_err());
        assert!(Signature::parse_own(&format!("{text}\n")).is_err());
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "x", "untrusted comment: x\n!!\n", "untrusted comment: x\nRWQ=\n"] {
            assert!(PublicKey::parse(text).is_err() && Signature::parse(text).is_err());
        }
        let old = SIGNED.replacen("\nRU", "\nRW", 1);
        assert!(Signature::parse(&old).is_err());
    }
}
