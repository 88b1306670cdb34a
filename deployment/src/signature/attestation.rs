//! Signed statements about a bundle, as sigstore bundles that a key makes, without a certificate and without a transparency
//! log (sigstore protobuf-specs, "Bundle" v0.3; DSSE v1). `cosign verify-blob-attestation` checks them offline.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::Verifier as _;
use sealift_layers::digest::Digest;
use serde::Deserialize;
use serde_json::{Value, json};

use super::format::{KeyId, PublicKey};

const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// A statement in in-toto's format, and its signature.
#[derive(Clone, Debug)]
pub struct Attestation {
    /// Number of the key that made it, as it says itself.
    pub key: KeyId,
    /// The statement: JSON.
    pub statement: String,
    /// The signature of [`Attestation::signed`].
    pub signature: [u8; 64],
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    verification_material: Material,
    dsse_envelope: Envelope,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Material {
    public_key: Hint,
}

#[derive(Deserialize)]
struct Hint {
    hint: String,
}

#[derive(Deserialize)]
struct Envelope {
    payload: String,
    signatures: [Signed; 1],
}

#[derive(Deserialize)]
struct Signed {
    sig: String,
}

impl Attestation {
    /// The text of the sigstore bundle.
    #[must_use]
    pub fn text(&self) -> String {
        let bundle = json!({
            "mediaType": MEDIA_TYPE,
            "verificationMaterial": { "publicKey": { "hint": self.key.to_string() } },
            "dsseEnvelope": {
                "payload": STANDARD.encode(&self.statement),
                "payloadType": PAYLOAD_TYPE,
                "signatures": [{ "sig": STANDARD.encode(self.signature) }],
            },
        });
        bundle.to_string() + "\n"
    }

    /// Reads a text that [`Attestation::text`] wrote, and nothing that differs from it in any byte.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "is not a statement in the form that sealift writes".to_owned();
        let bundle: Bundle = serde_json::from_str(text).map_err(|_| wrong())?;
        let decoded = |text: &str| STANDARD.decode(text).map_err(|_| wrong());
        let [Signed { sig }] = &bundle.dsse_envelope.signatures;
        let attestation = Self {
            key: KeyId(u64::from_str_radix(&bundle.verification_material.public_key.hint, 16).map_err(|_| wrong())?),
            statement: String::from_utf8(decoded(&bundle.dsse_envelope.payload)?).map_err(|_| wrong())?,
            signature: decoded(sig)?.try_into().map_err(|_| wrong())?,
        };
        if attestation.text() == text { Ok(attestation) } else { Err(wrong()) }
    }

    /// The bytes that the signature of a statement is of (DSSE v1, "PAE").
    #[must_use]
    pub fn signed(statement: &str) -> Vec<u8> {
        format!("DSSEv1 {} {PAYLOAD_TYPE} {} {statement}", PAYLOAD_TYPE.len(), statement.len()).into_bytes()
    }

    /// Whether `key` made it for the file with this digest.
    #[must_use]
    pub fn is_by(&self, key: &PublicKey, file: Digest) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(&self.signature);
        let good = ed25519_dalek::VerifyingKey::from_bytes(&key.raw)
            .is_ok_and(|key| key.verify(&Self::signed(&self.statement), &signature).is_ok());
        // Only what the key signed is parsed: anyone can put a statement into a bundle.
        let statement = || serde_json::from_str::<Value>(&self.statement).unwrap_or_default();
        good && statement()["subject"][0]["digest"]["sha256"] == file.hex().as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_one_form() {
        let attestation = Attestation { key: KeyId(1), statement: "{\"a\":\"\u{e9}\"}".to_owned(), signature: [7; 64] };
        let text = attestation.text();
        let read = Attestation::parse(&text).unwrap();
        assert_eq!((read.key, read.statement), (attestation.key, attestation.statement));
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let Ok(changed) = String::from_utf8(bytes) else { continue };
            // What can be read is something else, which is not signed.
            if let Ok(read) = Attestation::parse(&changed) {
                assert_eq!(read.text(), changed);
            }
        }
        assert!(Attestation::parse(text.trim()).is_err());
    }

    #[test]
    fn lengths_are_those_of_bytes() {
        let text = String::from_utf8(Attestation::signed("{\"a\":\"\u{e9}\"}")).unwrap();
        assert_eq!(text, "DSSEv1 28 application/vnd.in-toto+json 10 {\"a\":\"\u{e9}\"}");
    }
}
