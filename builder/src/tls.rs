//! What connections by TLS believe: `ring`, and signatures with keys on the curve P-521, which `ring` does not know.
//!
//! Such certificates are not rare at sites with an authority of their own, and the Parsec project's guide makes them. Only
//! signatures of others are checked here, in TLS 1.3: with a P-521 key of its own, for a client certificate, this program cannot
//! sign, and in TLS 1.2 the curve of the certificate would have to be one for the exchange of keys, too.

use std::sync::{Arc, LazyLock};

use p521::ecdsa::signature::hazmat::PrehashVerifier;
use p521::ecdsa::{Signature, VerifyingKey};
use rustls::SignatureScheme;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};
use sha2::{Digest, Sha256, Sha384, Sha512};

/// The cryptography of all connections.
#[must_use]
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        let ring = ring::default_provider();
        let known = ring.signature_verification_algorithms;
        let all = [known.all, P521].concat();
        let scheme = (SignatureScheme::ECDSA_NISTP521_SHA512, &P521[..1]);
        let mapping = [known.mapping, &[scheme]].concat();
        let signature_verification_algorithms = WebPkiSupportedAlgorithms { all: all.leak(), mapping: mapping.leak() };
        Arc::new(CryptoProvider { signature_verification_algorithms, ..ring })
    });
    Arc::clone(&PROVIDER)
}

type Algorithm = &'static dyn SignatureVerificationAlgorithm;

/// TLS itself only has the first; authorities sign with all of them.
static P521: &[Algorithm] = &[
    &OnP521 { hashed: alg_id::ECDSA_SHA512, hash: |message| Sha512::digest(message).to_vec() },
    &OnP521 { hashed: alg_id::ECDSA_SHA384, hash: |message| Sha384::digest(message).to_vec() },
    &OnP521 { hashed: alg_id::ECDSA_SHA256, hash: |message| Sha256::digest(message).to_vec() },
];

/// ECDSA on P-521 (FIPS 186-5) with a hash function.
#[derive(Debug)]
struct OnP521 {
    hashed: AlgorithmIdentifier,
    hash: fn(&[u8]) -> Vec<u8>,
}

impl SignatureVerificationAlgorithm for OnP521 {
    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let key = VerifyingKey::from_sec1_bytes(key).map_err(|_| InvalidSignature)?;
        let signature = Signature::from_der(signature).map_err(|_| InvalidSignature)?;
        // A number of 66 bytes: the crate refuses shorter hashes than half of that.
        let digest = (self.hash)(message);
        let mut number = [0; 66];
        number[66 - digest.len()..].copy_from_slice(&digest);
        key.verify_prehash(&number, &signature).map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P521
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.hashed
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Keys and signatures are made by another program.
    #[test]
    fn signatures_on_p521_are_checked() {
        if Command::new("openssl").arg("version").output().is_err() {
            return;
        }
        let place = tempfile::tempdir().unwrap();
        fs_err::write(place.path().join("message"), "text").unwrap();
        let run = |arguments: &str| {
            let mut command = Command::new("openssl");
            let output = command.args(arguments.split(' ')).current_dir(place.path()).output().unwrap();
            assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
        };
        run("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521 -out key");
        run("pkey -in key -pubout -outform DER -out public");
        let public = fs_err::read(place.path().join("public")).unwrap();
        let point = &public[public.len() - 133..];
        for (algorithm, hash) in P521.iter().zip(["sha512", "sha384", "sha256"]) {
            run(&format!("dgst -{hash} -sign key -out signature message"));
            let signature = fs_err::read(place.path().join("signature")).unwrap();
            assert!(algorithm.verify_signature(point, b"text", &signature).is_ok(), "{hash}");
            assert!(algorithm.verify_signature(point, b"test", &signature).is_err(), "{hash}");
            assert!(algorithm.verify_signature(&point[1..], b"text", &signature).is_err(), "{hash}");
            assert!(algorithm.verify_signature(point, b"text", &signature[1..]).is_err(), "{hash}");
        }
    }
}
