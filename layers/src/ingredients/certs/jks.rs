//! A Java keystore (JKS, version 2) of trusted certificates, as `keytool -importcert` makes it: big-endian numbers, texts with
//! their length before them, and at the end a digest that takes the password in.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

const MAGIC: u32 = 0xfeed_feed;
const VERSION: u32 = 2;
/// The tag of an entry that is a trusted certificate.
const TRUSTED: u32 = 2;
/// The password of `cacerts` on all systems. It guards nothing: certificates are public.
const PASSWORD: &str = "changeit";
/// What the format puts between password and content.
const SALT: &[u8] = b"Mighty Aphrodite";

/// The keystore of the certificates in `pem`, each once, named by their position. `time` is in seconds since 1970.
pub(super) fn keystore(pem: &str, time: u64) -> Vec<u8> {
    let mut certificates: Vec<Vec<u8>> = Vec::new();
    for certificate in certificates_in(pem) {
        if !certificates.contains(&certificate) {
            certificates.push(certificate);
        }
    }
    let mut bytes = Vec::new();
    let number =
        |bytes: &mut Vec<u8>, number: usize| bytes.extend(u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend([MAGIC, VERSION].into_iter().flat_map(u32::to_be_bytes));
    number(&mut bytes, certificates.len());
    for (index, certificate) in certificates.iter().enumerate() {
        bytes.extend(TRUSTED.to_be_bytes());
        text(&mut bytes, &format!("debian:{index:04}"));
        // Milliseconds.
        bytes.extend((time * 1000).to_be_bytes());
        text(&mut bytes, "X.509");
        number(&mut bytes, certificate.len());
        bytes.extend(certificate);
    }
    let mut digest = Sha1::new();
    for unit in PASSWORD.encode_utf16() {
        digest.update(unit.to_be_bytes());
    }
    digest.update(SALT);
    digest.update(&bytes);
    bytes.extend(digest.finalize());
    bytes
}

/// A text of ASCII characters in the modified UTF-8 of Java.
fn text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    bytes.extend(text.as_bytes());
}

/// The certificates of a file, DER (RFC 7468). What is no certificate is passed over, as Java does.
fn certificates_in(pem: &str) -> impl Iterator<Item = Vec<u8>> + '_ {
    let blocks = pem.split("-----BEGIN CERTIFICATE-----").skip(1);
    blocks.filter_map(|block| {
        let (body, _) = block.split_once("-----END CERTIFICATE-----")?;
        STANDARD.decode(body.split_ascii_whitespace().collect::<String>()).ok().filter(|der| !der.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keystore_has_each_certificate_once() {
        let pem = "x\n-----BEGIN CERTIFICATE-----\nAQID\nBA==\n-----END CERTIFICATE-----\n".repeat(2)
            + "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
        let bytes = keystore(&pem, 1);
        let (content, digest) = bytes.split_at(bytes.len() - 20);
        assert_eq!(
            hex::encode(content),
            "feedfeed0000000200000001\
             00000002000b64656269616e3a30303030\
             00000000000003e80005582e3530390000000401020304"
        );
        assert_eq!(hex::encode(digest).len(), 40);
        assert_ne!(keystore(&pem, 2)[bytes.len() - 20..], *digest);
    }
}
