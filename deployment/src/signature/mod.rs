//! Signatures of bundles, and the keys that a machine trusts.
//!
//! A signature is in minisign's format: Ed25519 over the BLAKE2b-512 hash of a file, so that stock `minisign -V` checks it
//! too. In a bundle it signs `SHA256SUMS`, which has the digests of all other files.

mod attestation;
mod format;
mod trust;

pub use attestation::Attestation;
pub(crate) use format::LIMIT;
pub use format::{KeyId, PublicKey, Signature};
pub use trust::{Trust, TrustedKey, beside, read_key};
