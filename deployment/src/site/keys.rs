//! The public half of private keys of all kinds that servers use: RSA, P-256, P-384, P-521, Ed25519, in PKCS #8
//! (RFC 5958), PKCS #1 (RFC 8017, A.1.2) or SEC 1 (RFC 5915). `pki` can sign with only some of these.

use x509_parser::pem::Pem;

use super::pki;

/// DER tags in private keys (X.690).
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;
/// `[1]`, constructed and primitive.
const PUBLIC_KEY: [u8; 2] = [0xa1, 0x81];

/// Why a key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyError {
    /// What is wrong with it.
    pub(super) message: &'static str,
    /// What to do about it.
    pub(super) hint: &'static str,
}

/// The public key that belongs to the private key in `pem`, as a certificate has it: the contents of
/// `subjectPublicKey` (RFC 5280, section 4.1.2.7).
pub(super) fn public_key(pem: &str) -> Result<Vec<u8>, KeyError> {
    if pem.contains("ENCRYPTED") {
        let hint = "remove its password, which services cannot ask for: openssl pkey -in OLD -out NEW";
        return Err(KeyError { message: "it is encrypted", hint });
    }
    let none = KeyError {
        message: "it is not a private key",
        hint: "use PEM: it begins with -----BEGIN PRIVATE KEY-----; openssl pkey converts other formats",
    };
    let mut blocks = Pem::iter_from_buffer(pem.as_bytes()).filter_map(Result::ok);
    let block = blocks.find(|block| block.label.ends_with("PRIVATE KEY")).ok_or(none)?;
    if let Some(key) = pki::parse_key(pem) {
        return Ok(key.public_key_raw().to_vec());
    }
    let found = match block.label.as_str() {
        "RSA PRIVATE KEY" => rsa(&block.contents),
        "EC PRIVATE KEY" => elliptic(&block.contents),
        _ => pkcs8(&block.contents),
    };
    found.ok_or(KeyError { message: "it has no public key", hint: "add it: openssl pkey -in OLD -out NEW" })
}

/// PrivateKeyInfo: a version, the algorithm, the key within an octet string, perhaps attributes and the public key.
fn pkcs8(der: &[u8]) -> Option<Vec<u8>> {
    let parts = parts(only(der, SEQUENCE)?)?;
    let key = parts.iter().find(|part| part.tag == OCTET_STRING)?.contents;
    if let Some(public) = parts.iter().find(|part| part.tag == PUBLIC_KEY[1]) {
        return bits(public.contents);
    }
    elliptic(key).or_else(|| rsa(key))
}

/// ECPrivateKey: version 1, the key, `[0]` the curve, `[1]` the public key in a bit string.
fn elliptic(der: &[u8]) -> Option<Vec<u8>> {
    let parts = parts(only(der, SEQUENCE)?)?;
    let public = parts.iter().find(|part| part.tag == PUBLIC_KEY[0])?;
    bits(only(public.contents, BIT_STRING)?)
}

/// RSAPrivateKey: version 0, modulus, public exponent, more; the public key is a sequence of the second and third.
fn rsa(der: &[u8]) -> Option<Vec<u8>> {
    let parts = parts(only(der, SEQUENCE)?)?;
    let [version, modulus, exponent, ..] = &parts[..] else { return None };
    if [version, modulus, exponent].iter().any(|part| part.tag != INTEGER) {
        return None;
    }
    let body = [modulus.whole, exponent.whole].concat();
    // DER requires the shortest form of the length.
    let length = body.len();
    let head = match u16::try_from(length).ok()?.to_be_bytes() {
        _ if length < 0x80 => vec![SEQUENCE, u8::try_from(length).ok()?],
        [0, low] => vec![SEQUENCE, 0x81, low],
        [high, low] => vec![SEQUENCE, 0x82, high, low],
    };
    Some([head, body].concat())
}

/// The bytes of a bit string that has no unused bits.
fn bits(contents: &[u8]) -> Option<Vec<u8>> {
    contents.strip_prefix(&[0]).map(<[u8]>::to_vec)
}

/// An element of DER.
struct Part<'a> {
    tag: u8,
    contents: &'a [u8],
    whole: &'a [u8],
}

/// The contents of the one element that `der` begins with, if it has this tag.
fn only(der: &[u8], tag: u8) -> Option<&[u8]> {
    let (part, _) = element(der)?;
    (part.tag == tag).then_some(part.contents)
}

/// The elements that `der` consists of.
fn parts(mut der: &[u8]) -> Option<Vec<Part<'_>>> {
    let mut parts = Vec::new();
    while !der.is_empty() {
        let (part, rest) = element(der)?;
        parts.push(part);
        der = rest;
    }
    Some(parts)
}

/// The first element, and what follows it. Lengths have at most two bytes.
fn element(der: &[u8]) -> Option<(Part<'_>, &[u8])> {
    let (&[tag, first], _) = der.split_first_chunk()?;
    let (header, length) = match first {
        0..=0x7f => (2, usize::from(first)),
        0x81 => (3, usize::from(*der.get(2)?)),
        0x82 => (4, usize::from(u16::from_be_bytes([*der.get(2)?, *der.get(3)?]))),
        _ => return None,
    };
    let (whole, rest) = der.split_at_checked(header + length)?;
    Some((Part { tag, contents: &whole[header..], whole }, rest))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;
    use x509_parser::prelude::parse_x509_pem;

    use super::*;

    /// Keys and certificates are created for this test by another program.
    #[test]
    fn keys_of_all_kinds_belong_to_their_certificates() {
        if Command::new("openssl").arg("version").output().is_err() {
            return;
        }
        let place = tempfile::tempdir().unwrap();
        let run = |arguments: &str| {
            let mut command = Command::new("openssl");
            let output = command.args(arguments.split(' ')).current_dir(place.path()).output().unwrap();
            assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
        };
        let read = |name: &str| fs_err::read_to_string(place.path().join(name)).unwrap();
        for kind in [
            "rsa:2048",
            "ec -pkeyopt ec_paramgen_curve:P-256",
            "ec -pkeyopt ec_paramgen_curve:P-384",
            "ec -pkeyopt ec_paramgen_curve:P-521",
            "ed25519",
        ] {
            run(&format!("req -x509 -newkey {kind} -nodes -keyout key -out crt -subj /CN=x -days 1"));
            let certificate = read("crt");
            let (_, block) = parse_x509_pem(certificate.as_bytes()).unwrap();
            let wanted = block.parse_x509().unwrap().public_key().subject_public_key.data.to_vec();
            assert_eq!(public_key(&read("key")), Ok(wanted.clone()), "{kind}");
            if kind != "ed25519" {
                run("pkey -in key -traditional -out old");
                assert!(read("old").contains("RSA PRIVATE") || read("old").contains("EC PRIVATE"));
                assert_eq!(public_key(&read("old")), Ok(wanted), "{kind}, traditional");
            }
            run("pkey -in key -aes256 -passout pass:abcd -out locked");
            assert_eq!(public_key(&read("locked")).unwrap_err().message, "it is encrypted");
        }
        assert_eq!(public_key(&read("crt")).unwrap_err().message, "it is not a private key");
        assert_eq!(public_key("").unwrap_err().message, "it is not a private key");
    }

    proptest! {
        #[test]
        fn broken_keys_do_not_panic(der in proptest::collection::vec(any::<u8>(), 0..64)) {
            for der in [der.clone(), [vec![SEQUENCE, 40], der].concat()] {
                let _ = (pkcs8(&der), elliptic(&der), rsa(&der));
            }
        }
    }
}
