//! The forms of a SHA-256 in Nix's documents.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::digest::Digest;

/// The digits of Nix's base 32. Without `e`, `o`, `t` and `u`, so that hashes do not form words.
pub(super) const DIGITS: &[u8; 32] = b"0123456789abcdfghijklmnpqrsvwxyz";

/// Parses `sha256:HEX`, `sha256:BASE32`, `sha256-BASE64`, or an object with `algorithm` and `hash`, where `hash` is one of
/// these without the algorithm.
pub(super) fn read(value: &Value) -> Option<Digest> {
    let text = match value {
        Value::Object(parts) => match (parts.get("algorithm")?.as_str()?, parts.get("hash")?.as_str()?) {
            ("sha256", hash) => hash.strip_prefix("sha256-").unwrap_or(hash),
            _ => return None,
        },
        text => text.as_str()?.strip_prefix("sha256")?.strip_prefix([':', '-'])?,
    };
    let bytes = match text.len() {
        64 => hex::decode(text).ok()?,
        52 => base32(text.as_bytes())?,
        _ => STANDARD.decode(text).ok()?,
    };
    hex::encode(bytes).parse().ok()
}

/// Decodes 32 bytes in Nix's base 32: the last digit has the lowest five bits, starting with bit 0 of byte 0.
fn base32(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = vec![0_u8; 32];
    for (place, digit) in text.iter().rev().enumerate() {
        let digit = DIGITS.iter().position(|known| known == digit)?;
        for bit in (0..5).filter(|bit| digit >> bit & 1 == 1) {
            let at = place * 5 + bit;
            *bytes.get_mut(at / 8)? |= 1 << (at % 8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_give_the_same_digest() {
        // The same hash as three versions of Nix write it.
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let expected: Digest = hex.parse().unwrap();
        let base32 = "0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73";
        let base64 = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        for text in [format!("sha256:{hex}"), format!("sha256:{base32}"), format!("sha256-{base64}")] {
            assert_eq!(read(&Value::from(text.as_str())), Some(expected), "{text}");
        }
        for text in [hex, base64] {
            assert_eq!(
                read(&serde_json::json!({ "algorithm": "sha256", "format": "any", "hash": text })),
                Some(expected)
            );
        }
    }

    #[test]
    fn other_forms_are_rejected() {
        for text in
            ["", "sha256", "sha256:", "sha256-AAAA", "sha512-AAAA", "md5:00", &format!("sha256:{}", "e".repeat(52))]
        {
            assert_eq!(read(&Value::from(text)), None, "{text}");
        }
        // The first digit may have only one bit.
        assert_eq!(read(&Value::from(format!("sha256:{}", "z".repeat(52)))), None);
        assert_eq!(read(&Value::Null), None);
    }
}
