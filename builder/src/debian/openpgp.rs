//! Verification of clear-signed texts with the keys of a keyring (RFC 9580).
//!
//! The `pgp` crate does the cryptography. This module decides which signatures are accepted at the time `now`. Signatures
//! of the text, and those that are part of the key, must use SHA-256, SHA-384 or SHA-512, must not be from the future and
//! must not have expired. The key must be neither expired nor revoked, and must have the flag for signing. A subkey and its
//! primary key must confirm each other. Revocations by designated revokers are not evaluated.

use std::collections::BTreeMap;
use std::io::Read;

use anyhow::{Context, Result};
use pgp::armor::{BlockType, Dearmor};
use pgp::composed::{Deserializable, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::errors::Error;
use pgp::packet::{Packet, PacketParser, PacketTrait, Signature, SignatureType, SignatureVersion};
use pgp::types::{Duration, KeyDetails, KeyVersion, Tag, Timestamp};
use sealift_deployment::failure::Failure;

use super::clearsign::Clearsigned;
use super::date;

/// Tolerated clock difference in seconds: only a later date than `now` plus this is in the future.
pub(super) const CLOCK_TOLERANCE: u64 = 24 * 60 * 60;

const BEGIN_KEY: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
const BEGIN_SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";

/// Trusted keys.
#[derive(Clone, Debug)]
pub struct Keyring {
    label: String,
    keys: Vec<SignedPublicKey>,
}

impl Keyring {
    /// Parses the public keys of a file, binary (`.gpg`, `.pgp`) or armoured (`.asc`, one or several blocks). `label` is
    /// the file's name in messages.
    ///
    /// # Errors
    /// A verification failure if the file is malformed or has no key.
    pub fn parse(label: &str, bytes: &[u8]) -> Result<Self> {
        let mut keys = BTreeMap::new();
        for block in
            binary_blocks(bytes, BEGIN_KEY, &BlockType::PublicKey).with_context(|| format!("keyring {label}"))?
        {
            let packets = PacketParser::new(&block[..]).filter(is_relevant).peekable();
            for key in SignedPublicKey::from_packets(packets) {
                let key = key.map_err(|error| unreadable(&error)).with_context(|| format!("keyring {label}"))?;
                merge(&mut keys, key);
            }
        }
        if keys.is_empty() {
            return Err(Failure::verification(format!("the keyring {label} has no OpenPGP public key"))
                .hint("export the archive's key with `gpg --export KEY > FILE`")
                .into());
        }
        Ok(Self { label: label.to_owned(), keys: keys.into_values().collect() })
    }

    /// The file's name, for messages.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }
}

/// The binary form of a file of keys or signatures: one block, or those within the armour, each from a line `begin`.
fn binary_blocks(bytes: &[u8], begin: &str, typ: &BlockType) -> Result<Vec<Vec<u8>>> {
    // The first byte of a binary packet has its highest bit set; armour is ASCII.
    if bytes.first().is_some_and(|byte| byte & 0x80 != 0) {
        return Ok(vec![bytes.to_vec()]);
    }
    let text = String::from_utf8_lossy(bytes);
    let mut starts: Vec<usize> = text.match_indices(begin).map(|(start, _)| start).collect();
    starts.push(text.len());
    starts.windows(2).map(|pair| dearmor(&text[pair[0]..pair[1]], typ)).collect()
}

fn dearmor(block: &str, wanted: &BlockType) -> Result<Vec<u8>> {
    let mut reader = Dearmor::new(block.as_bytes());
    let mut binary = Vec::new();
    // The reader's own message contains all bytes.
    if reader.read_to_end(&mut binary).is_err() || reader.typ.as_ref() != Some(wanted) {
        return Err(Failure::verification("the ASCII armour is damaged").into());
    }
    Ok(binary)
}

fn unreadable(error: &dyn std::fmt::Display) -> Failure {
    Failure::verification(format!("not readable as OpenPGP: {error}"))
}

/// Whether a packet is relevant: not one of gpg's local trust packets, and not of an unknown kind or version, which the
/// specification requires to be ignored.
fn is_relevant(packet: &pgp::errors::Result<Packet>) -> bool {
    match packet {
        Ok(Packet::Trust(_) | Packet::Marker(_) | Packet::Padding(_)) | Err(Error::Unsupported { .. }) => false,
        Err(Error::InvalidPacketContent { source }) => !matches!(**source, Error::Unsupported { .. }),
        Ok(_) | Err(_) => true,
    }
}

/// Adds `key`. If it is there already, adds its signatures: a revocation in one copy applies to all copies.
fn merge(keys: &mut BTreeMap<Vec<u8>, SignedPublicKey>, key: SignedPublicKey) {
    let fingerprint = key.fingerprint().as_bytes().to_vec();
    let Some(known) = keys.get_mut(&fingerprint) else {
        keys.insert(fingerprint, key);
        return;
    };
    known.details.revocation_signatures.extend(key.details.revocation_signatures);
    known.details.direct_signatures.extend(key.details.direct_signatures);
    known.details.users.extend(key.details.users);
    for subkey in key.public_subkeys {
        match known.public_subkeys.iter_mut().find(|known| known.key == subkey.key) {
            Some(known) => known.signatures.extend(subkey.signatures),
            None => known.public_subkeys.push(subkey),
        }
    }
}

/// A text with a valid signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The signed text only, with LF after each line.
    pub text: String,
    /// Fingerprint of the signing key's primary key, in upper-case hex.
    pub signed_by: String,
}

/// Why a signature is rejected.
enum Rejection {
    /// It is by this key, which is not in the keyring.
    UnknownKey(String),
    /// It is by this key, which is valid, but of another text.
    OtherText(String),
    /// Any other reason.
    Other(String),
}

/// Verifies a clear-signed text at the time `now` (seconds since 1970). One valid signature is enough. `name` is the text's
/// name in messages.
///
/// # Errors
/// A verification failure if the text is malformed or has no valid signature; it has a reason for each signature.
pub fn verify(name: &str, bytes: &[u8], keyring: &Keyring, now: u64) -> Result<Signed> {
    let parsed = Clearsigned::parse(name, bytes)?;
    let hashed = parsed.hashed();
    let blocks = parsed.signatures.iter().map(|block| dearmor(block, &BlockType::Signature));
    let blocks = blocks.collect::<Result<Vec<_>>>().with_context(|| format!("signature of {name}"))?;
    let message = Message { bytes: hashed.as_bytes(), types: &[SignatureType::Text] };
    Ok(Signed { signed_by: signer(name, message, &blocks, keyring, now)?, text: parsed.text() })
}

/// Verifies a text with a signature in a file of its own, binary or armoured, at the time `now` (seconds since 1970). One
/// valid signature is enough. `name` is the text's name in messages.
///
/// # Errors
/// A verification failure if the signature is malformed or not valid; it has a reason for each signature.
pub fn verify_detached(name: &str, bytes: &[u8], signature: &[u8], keyring: &Keyring, now: u64) -> Result<Signed> {
    let blocks = binary_blocks(signature, BEGIN_SIGNATURE, &BlockType::Signature)
        .with_context(|| format!("signature of {name}"))?;
    let message = Message { bytes, types: &[SignatureType::Binary, SignatureType::Text] };
    let signed_by = signer(name, message, &blocks, keyring, now)?;
    // Names of maintainers and descriptions may have any encoding. The fields that are used are ASCII.
    Ok(Signed { text: String::from_utf8_lossy(bytes).into_owned(), signed_by })
}

/// What signatures are checked against.
#[derive(Clone, Copy)]
struct Message<'a> {
    bytes: &'a [u8],
    /// The types of signature that are accepted.
    types: &'a [SignatureType],
}

/// The fingerprint of the primary key of the first valid signature in `blocks`.
fn signer(name: &str, message: Message<'_>, blocks: &[Vec<u8>], keyring: &Keyring, now: u64) -> Result<String> {
    let mut rejections = Vec::new();
    for binary in blocks {
        for packet in PacketParser::new(&binary[..]) {
            let outcome = match packet {
                Ok(Packet::Signature(signature)) => check(&signature, message, keyring, now),
                Ok(packet) => Err(Rejection::Other(format!("a {:?} packet is not a signature", packet.tag()))),
                Err(error) => Err(Rejection::Other(format!("a signature is unreadable: {error}"))),
            };
            match outcome {
                Ok(signed_by) => return Ok(signed_by),
                Err(rejection) => rejections.push(rejection),
            }
        }
    }
    Err(no_valid_signature(name, keyring, &rejections).into())
}

fn no_valid_signature(name: &str, keyring: &Keyring, rejections: &[Rejection]) -> Failure {
    let unknown: Vec<&str> = rejections
        .iter()
        .filter_map(|rejection| match rejection {
            Rejection::UnknownKey(key) => Some(key.as_str()),
            Rejection::OtherText(_) | Rejection::Other(_) => None,
        })
        .collect();
    let label = &keyring.label;
    let message = match unknown[..] {
        [key] if rejections.len() == 1 => {
            format!("{name} is signed by the key {key}, which is not in the keyring {label}")
        }
        [_, ..] if rejections.len() == unknown.len() => {
            format!("{name} is signed by the keys {}, none of which is in the keyring {label}", unknown.join(", "))
        }
        _ => {
            let reasons: Vec<String> = rejections
                .iter()
                .map(|rejection| match rejection {
                    Rejection::UnknownKey(key) => format!("key {key} is not in the keyring {label}"),
                    Rejection::OtherText(key) => {
                        format!("the signature by key {key} does not match the text, which was changed or damaged")
                    }
                    Rejection::Other(reason) => reason.clone(),
                })
                .collect();
            format!("{name} has no valid signature: {}", reasons.join("; "))
        }
    };
    // Another keyring does not help against a changed text.
    Failure::verification(message).hint(if rejections.iter().any(|rejection| matches!(rejection, Rejection::OtherText(_))) {
        "the mirror or a proxy has changed the file: try another mirror"
    } else {
        "install a newer debian-archive-keyring, or set `keyring` in [debian] of the profile to a file with the archive's key"
    })
}

/// Checks one signature of the text. Returns the fingerprint of the primary key.
fn check(signature: &Signature, message: Message<'_>, keyring: &Keyring, now: u64) -> Result<String, Rejection> {
    let other = |reason: String| Err(Rejection::Other(reason));
    let issuer = issuer(signature);
    if !matches!(signature.version(), SignatureVersion::V4 | SignatureVersion::V6) {
        return other("a signature has an unsupported version (not 4 or 6)".into());
    }
    let Some(issuer) = issuer else { return other("a signature does not name its key".into()) };
    if !signature.typ().is_some_and(|typ| message.types.contains(&typ)) {
        return other(format!("the signature by key {issuer} is not a signature of a text"));
    }
    let mut rejection = Rejection::UnknownKey(issuer.clone());
    for key in &keyring.keys {
        let subkeys = key.public_subkeys.iter().map(Some);
        for subkey in std::iter::once(None).chain(subkeys) {
            let verified = match subkey {
                None if is_issuer(signature, key) => signature.verify(&key.primary_key, message.bytes),
                Some(subkey) if is_issuer(signature, subkey) => signature.verify(&subkey.key, message.bytes),
                _ => continue,
            };
            rejection = match is_acceptable(signature, now).and_then(|()| may_sign(key, subkey, signature, now)) {
                Err(reason) => Rejection::Other(format!("the signature by key {issuer} is not accepted: {reason}")),
                Ok(()) if verified.is_ok() => return Ok(format!("{:X}", key.fingerprint())),
                Ok(()) => Rejection::OtherText(issuer.clone()),
            };
        }
    }
    Err(rejection)
}

/// The fingerprint, or else the key ID, of the key that `signature` names as its issuer, in upper-case hex.
fn issuer(signature: &Signature) -> Option<String> {
    let fingerprint = signature.issuer_fingerprint().first().map(|fingerprint| format!("{fingerprint:X}"));
    fingerprint.or_else(|| signature.issuer_key_id().first().map(|id| hex::encode_upper(id.as_ref())))
}

fn is_issuer(signature: &Signature, key: &impl KeyDetails) -> bool {
    let fingerprints = signature.issuer_fingerprint();
    if fingerprints.is_empty() {
        return signature.issuer_key_id().contains(&&key.legacy_key_id());
    }
    fingerprints.contains(&&key.fingerprint())
}

/// Whether `key`, or its `subkey`, is allowed to sign texts.
fn may_sign(
    key: &SignedPublicKey,
    subkey: Option<&SignedPublicSubKey>,
    signature: &Signature,
    now: u64,
) -> Result<(), String> {
    let primary = &key.primary_key;
    if !matches!(primary.version(), KeyVersion::V4 | KeyVersion::V6) {
        return Err("the key has an unsupported version (not 4 or 6)".into());
    }
    // Age and hash do not matter: only the key's owner can revoke it.
    if key.details.revocation_signatures.iter().any(|revocation| revocation.verify_key(primary).is_ok()) {
        return Err("the key is revoked".into());
    }
    let direct = newest(&key.details.direct_signatures, now, |own| {
        own.typ() == Some(SignatureType::Key) && own.verify_key(primary).is_ok()
    });
    let user = newest_user_certification(key, now);
    // Direct signatures are authoritative for version 6 keys (section 10.1.1). Those of version 4 keys often have no flags.
    let own = if primary.version() == KeyVersion::V6 { direct } else { user.or(direct) };
    let own = own.ok_or("the key has no valid self-signature")?;
    for own in [Some(own), direct].into_iter().flatten() {
        is_acceptable(own, now)?;
        unexpired("the key", primary.created_at(), own.key_expiration_time(), now)?;
    }
    let (component, flags) = match subkey {
        None => (primary.created_at(), own.key_flags()),
        Some(subkey) => (subkey.created_at(), valid_binding(key, subkey, now)?.key_flags()),
    };
    if !flags.sign() {
        return Err("the key is not for signing".into());
    }
    if signature.created().is_none_or(|created| created < component) {
        return Err("it is older than the key".into());
    }
    Ok(())
}

/// The newest certification of a user ID by the key itself that is not revoked later.
fn newest_user_certification(key: &SignedPublicKey, now: u64) -> Option<&Signature> {
    let of_users = key.details.users.iter().filter_map(|user| {
        let verifies = |own: &Signature| own.verify_certification(&key.primary_key, Tag::UserId, &user.id).is_ok();
        let certification =
            newest(&user.signatures, now, |own| own.typ() != Some(SignatureType::CertRevocation) && verifies(own))?;
        let revoked = user.signatures.iter().any(|own| {
            own.typ() == Some(SignatureType::CertRevocation)
                && own.created() >= certification.created()
                && verifies(own)
        });
        (!revoked).then_some(certification)
    });
    of_users.max_by_key(|certification| certification.created())
}

/// The valid signature that binds `subkey` to `key`.
fn valid_binding<'k>(key: &SignedPublicKey, subkey: &'k SignedPublicSubKey, now: u64) -> Result<&'k Signature, String> {
    let primary = &key.primary_key;
    let of_type =
        |own: &Signature, wanted| own.typ() == Some(wanted) && own.verify_subkey_binding(primary, &subkey.key).is_ok();
    if subkey.signatures.iter().any(|own| of_type(own, SignatureType::SubkeyRevocation)) {
        return Err("the subkey is revoked".into());
    }
    let binding = newest(&subkey.signatures, now, |own| of_type(own, SignatureType::SubkeyBinding))
        .ok_or("the subkey is not bound to its primary key")?;
    is_acceptable(binding, now)?;
    unexpired("the subkey", subkey.created_at(), binding.key_expiration_time(), now)?;
    // Without this, a key could claim another key's subkey, and its signatures.
    let back = binding
        .embedded_signature()
        .filter(|back| back.verify_primary_key_binding(&subkey.key, primary).is_ok())
        .ok_or("the subkey does not confirm its primary key")?;
    is_acceptable(back, now)?;
    Ok(binding)
}

/// The newest of `signatures` that passes `verifies` and is neither weak nor from the future. It may have expired: an older
/// one does not replace it.
fn newest(signatures: &[Signature], now: u64, verifies: impl Fn(&Signature) -> bool) -> Option<&Signature> {
    let usable = |own: &&Signature| is_strong(own) && !is_future(own, now) && verifies(own);
    signatures.iter().filter(usable).max_by_key(|own| own.created())
}

/// Whether a signature is acceptable: strong hash, valid at the time `now`.
fn is_acceptable(signature: &Signature, now: u64) -> Result<(), String> {
    if !is_strong(signature) {
        let hash = signature.hash_alg().map_or("an unknown hash".into(), |hash| hash.to_string());
        return Err(format!("the hash {hash} is too weak"));
    }
    if is_future(signature, now) {
        return Err("its date is in the future".into());
    }
    let created = signature.created().ok_or("it has no date")?;
    unexpired("a signature", created, signature.signature_expiration_time(), now)
}

fn is_strong(signature: &Signature) -> bool {
    matches!(signature.hash_alg(), Some(HashAlgorithm::Sha256 | HashAlgorithm::Sha384 | HashAlgorithm::Sha512))
}

fn is_future(signature: &Signature, now: u64) -> bool {
    signature.created().is_none_or(|created| u64::from(created.as_secs()) > now.saturating_add(CLOCK_TOLERANCE))
}

/// No lifetime, or one of zero seconds, means no expiry (sections 5.2.3.13 and 5.2.3.18).
fn unexpired(what: &str, created: Timestamp, lifetime: Option<Duration>, now: u64) -> Result<(), String> {
    let lifetime = lifetime.map_or(0, |lifetime| u64::from(lifetime.as_secs()));
    let end = u64::from(created.as_secs()) + lifetime;
    if lifetime > 0 && end <= now {
        return Err(format!("{what} expired on {}", date::day(end)));
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
