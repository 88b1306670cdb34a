//! Whether a clear-signed text is signed by a key that one trusts (RFC 9580).
//!
//! The `pgp` crate does the cryptography. Which signatures count is decided here, at the time `now`: of the text and of
//! the key's own parts alike they must be made with SHA-256, SHA-384 or SHA-512, not in the future, and be unexpired; the
//! key must be neither expired nor revoked and say that it may sign; a subkey must be bound to its primary key in both
//! directions. Revocations by designated revokers are not looked at.

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

/// How far clocks may differ, in seconds: what is dated at most so much later than `now` is not from the future.
pub(super) const CLOCK_TOLERANCE: u64 = 24 * 60 * 60;

const BEGIN_KEY: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";

/// The keys that one trusts.
#[derive(Clone, Debug)]
pub struct Keyring {
    label: String,
    keys: Vec<SignedPublicKey>,
}

impl Keyring {
    /// Reads the public keys of a file, binary (`.gpg`, `.pgp`) or armoured (`.asc`, one block or several). `label` names
    /// the file in messages.
    ///
    /// # Errors
    /// When it cannot be read as such, or has no key.
    pub fn parse(label: &str, bytes: &[u8]) -> Result<Self> {
        let mut keys = BTreeMap::new();
        for block in binary_blocks(bytes).with_context(|| format!("keyring {label}"))? {
            let packets = PacketParser::new(&block[..]).filter(is_wanted).peekable();
            for key in SignedPublicKey::from_packets(packets) {
                let key = key.map_err(|error| unreadable(&error)).with_context(|| format!("keyring {label}"))?;
                merge(&mut keys, key);
            }
        }
        if keys.is_empty() {
            return Err(Failure::verification(format!("keyring {label} holds no OpenPGP public key"))
                .hint("write one with `gpg --export KEY`")
                .into());
        }
        Ok(Self { label: label.to_owned(), keys: keys.into_values().collect() })
    }

    /// The name of its file, for messages.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }
}

/// The binary form of a key file: one block, or those within the armour.
fn binary_blocks(bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
    // Binary packets have the highest bit of their first byte set, which no armour has.
    if bytes.first().is_some_and(|byte| byte & 0x80 != 0) {
        return Ok(vec![bytes.to_vec()]);
    }
    let text = String::from_utf8_lossy(bytes);
    let mut starts: Vec<usize> = text.match_indices(BEGIN_KEY).map(|(start, _)| start).collect();
    starts.push(text.len());
    starts.windows(2).map(|pair| dearmor(&text[pair[0]..pair[1]], &BlockType::PublicKey)).collect()
}

fn dearmor(block: &str, wanted: &BlockType) -> Result<Vec<u8>> {
    let mut reader = Dearmor::new(block.as_bytes());
    let mut binary = Vec::new();
    // The reader's own message is a dump of all bytes.
    if reader.read_to_end(&mut binary).is_err() || reader.typ.as_ref() != Some(wanted) {
        return Err(Failure::verification("its armour is damaged").into());
    }
    Ok(binary)
}

fn unreadable(error: &dyn std::fmt::Display) -> Failure {
    Failure::verification(format!("not readable as OpenPGP: {error}"))
}

/// Leaves out what does not concern us: gpg's notes of its own, and packets of kinds and versions yet unknown, which the
/// specification wants to be ignored.
fn is_wanted(packet: &pgp::errors::Result<Packet>) -> bool {
    match packet {
        Ok(Packet::Trust(_) | Packet::Marker(_) | Packet::Padding(_)) | Err(Error::Unsupported { .. }) => false,
        Err(Error::InvalidPacketContent { source }) => !matches!(**source, Error::Unsupported { .. }),
        Ok(_) | Err(_) => true,
    }
}

/// Adds `key`, or what it adds to another copy of the same key: a revocation in one copy counts for all.
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

/// A text that is signed by a trusted key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Nothing but the signed text, with LF after each line.
    pub text: String,
    /// Fingerprint of the primary key, in upper-case hex.
    pub signed_by: String,
}

/// Why a signature does not count.
enum Problem {
    /// It is made by this key, of which the keyring knows nothing.
    UnknownKey(String),
    /// It is made by this key, which would count, of another text.
    OtherText(String),
    /// Anything else.
    Other(String),
}

/// Verifies a clear-signed text at the time `now` (seconds since 1970): one good signature suffices. `name` is the text's
/// name in messages.
///
/// # Errors
/// When it is malformed, or no signature is good; the message says for each one why.
pub fn verify(name: &str, bytes: &[u8], keyring: &Keyring, now: u64) -> Result<Signed> {
    let parsed = Clearsigned::parse(name, bytes)?;
    let hashed = parsed.hashed();
    let mut problems = Vec::new();
    for block in &parsed.signatures {
        let binary = dearmor(block, &BlockType::Signature).with_context(|| format!("signature of {name}"))?;
        for packet in PacketParser::new(&binary[..]) {
            let outcome = match packet {
                Ok(Packet::Signature(signature)) => check(&signature, &hashed, keyring, now),
                Ok(packet) => Err(Problem::Other(format!("a {:?} packet is no signature", packet.tag()))),
                Err(error) => Err(Problem::Other(format!("a signature is unreadable: {error}"))),
            };
            match outcome {
                Ok(signed_by) => return Ok(Signed { text: parsed.text(), signed_by }),
                Err(problem) => problems.push(problem),
            }
        }
    }
    Err(no_good_signature(name, keyring, &problems).into())
}

fn no_good_signature(name: &str, keyring: &Keyring, problems: &[Problem]) -> Failure {
    let unknown: Vec<&str> = problems
        .iter()
        .filter_map(|problem| match problem {
            Problem::UnknownKey(key) => Some(key.as_str()),
            Problem::OtherText(_) | Problem::Other(_) => None,
        })
        .collect();
    let label = &keyring.label;
    let message = match unknown[..] {
        [key] if problems.len() == 1 => {
            format!("the signature of {name} is made by key {key}, which is not in the keyring {label}")
        }
        [_, ..] if problems.len() == unknown.len() => format!(
            "the signatures of {name} are made by keys {}, none of which is in the keyring {label}",
            unknown.join(", ")
        ),
        _ => {
            let reasons: Vec<String> = problems
                .iter()
                .map(|problem| match problem {
                    Problem::UnknownKey(key) => format!("key {key} is not in the keyring {label}"),
                    Problem::OtherText(key) => {
                        format!("the signature by key {key} does not fit the text, which was changed or damaged")
                    }
                    Problem::Other(reason) => reason.clone(),
                })
                .collect();
            format!("{name} has no good signature: {}", reasons.join("; "))
        }
    };
    // No keyring helps against a changed text.
    Failure::verification(message).hint(if problems.iter().any(|problem| matches!(problem, Problem::OtherText(_))) {
        "the mirror, or something on the way to it, has changed the text: try another mirror"
    } else {
        "install a newer debian-archive-keyring, or name a file with the archive's key as `keyring` in [debian] of the profile"
    })
}

/// Checks one signature of the text; gives the primary key's fingerprint.
fn check(signature: &Signature, hashed: &str, keyring: &Keyring, now: u64) -> Result<String, Problem> {
    let other = |reason: String| Err(Problem::Other(reason));
    let issuer = issuer(signature);
    if !matches!(signature.version(), SignatureVersion::V4 | SignatureVersion::V6) {
        return other("a signature is of a version other than 4 and 6".into());
    }
    let Some(issuer) = issuer else { return other("a signature does not tell its key".into()) };
    if signature.typ() != Some(SignatureType::Text) {
        return other(format!("the signature by key {issuer} is not one of a text"));
    }
    let mut problem = Problem::UnknownKey(issuer.clone());
    for key in &keyring.keys {
        let subkeys = key.public_subkeys.iter().map(Some);
        for subkey in std::iter::once(None).chain(subkeys) {
            let verified = match subkey {
                None if is_issuer(signature, key) => signature.verify(&key.primary_key, hashed.as_bytes()),
                Some(subkey) if is_issuer(signature, subkey) => signature.verify(&subkey.key, hashed.as_bytes()),
                _ => continue,
            };
            problem = match counts(signature, now).and_then(|()| may_sign(key, subkey, signature, now)) {
                Err(reason) => Problem::Other(format!("the signature by key {issuer} does not count: {reason}")),
                Ok(()) if verified.is_ok() => return Ok(format!("{:X}", key.fingerprint())),
                Ok(()) => Problem::OtherText(issuer.clone()),
            };
        }
    }
    Err(problem)
}

/// The fingerprint, or else the key ID, of the key that says to have made `signature`; upper-case hex.
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

/// Whether `key`, or its `subkey`, may make such a signature of a text.
fn may_sign(
    key: &SignedPublicKey,
    subkey: Option<&SignedPublicSubKey>,
    signature: &Signature,
    now: u64,
) -> Result<(), String> {
    let primary = &key.primary_key;
    if !matches!(primary.version(), KeyVersion::V4 | KeyVersion::V6) {
        return Err("the key is of a version other than 4 and 6".into());
    }
    // However old or weak: nobody but the key's owner can have made a revocation.
    if key.details.revocation_signatures.iter().any(|revocation| revocation.verify_key(primary).is_ok()) {
        return Err("the key is revoked".into());
    }
    let direct = newest(&key.details.direct_signatures, now, |own| {
        own.typ() == Some(SignatureType::Key) && own.verify_key(primary).is_ok()
    });
    let user = newest_user_certification(key, now);
    // Direct signatures speak for version 6 keys (section 10.1.1); version 4 keys often have one that says little.
    let own = if primary.version() == KeyVersion::V6 { direct } else { user.or(direct) };
    let own = own.ok_or("the key has no valid signature of its own")?;
    for own in [Some(own), direct].into_iter().flatten() {
        counts(own, now)?;
        unexpired("the key", primary.created_at(), own.key_expiration_time(), now)?;
    }
    let (component, flags) = match subkey {
        None => (primary.created_at(), own.key_flags()),
        Some(subkey) => (subkey.created_at(), valid_binding(key, subkey, now)?.key_flags()),
    };
    if !flags.sign() {
        return Err("the key is not meant for signing".into());
    }
    if signature.created().is_none_or(|created| created < component) {
        return Err("it is older than the key".into());
    }
    Ok(())
}

/// The newest certification of a user ID by the key itself that no later revocation takes back.
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

/// The signature that binds `subkey` to `key`, if it still does.
fn valid_binding<'k>(key: &SignedPublicKey, subkey: &'k SignedPublicSubKey, now: u64) -> Result<&'k Signature, String> {
    let primary = &key.primary_key;
    let of_type =
        |own: &Signature, wanted| own.typ() == Some(wanted) && own.verify_subkey_binding(primary, &subkey.key).is_ok();
    if subkey.signatures.iter().any(|own| of_type(own, SignatureType::SubkeyRevocation)) {
        return Err("the subkey is revoked".into());
    }
    let binding = newest(&subkey.signatures, now, |own| of_type(own, SignatureType::SubkeyBinding))
        .ok_or("the subkey is not bound to its primary key")?;
    counts(binding, now)?;
    unexpired("the subkey", subkey.created_at(), binding.key_expiration_time(), now)?;
    // Without the subkey's consent anybody could claim somebody else's key, and signatures, as theirs.
    let back = binding
        .embedded_signature()
        .filter(|back| back.verify_primary_key_binding(&subkey.key, primary).is_ok())
        .ok_or("the subkey does not confirm its primary key")?;
    counts(back, now)?;
    Ok(binding)
}

/// The newest of `signatures` that `verifies` and neither is weak nor from the future. It may have expired: then no
/// older one takes its place.
fn newest(signatures: &[Signature], now: u64, verifies: impl Fn(&Signature) -> bool) -> Option<&Signature> {
    let usable = |own: &&Signature| is_strong(own) && !is_future(own, now) && verifies(own);
    signatures.iter().filter(usable).max_by_key(|own| own.created())
}

/// Whether a signature that fits what it signs also counts: for its hash, and at this time.
fn counts(signature: &Signature, now: u64) -> Result<(), String> {
    if !is_strong(signature) {
        let hash = signature.hash_alg().map_or("an unknown hash".into(), |hash| hash.to_string());
        return Err(format!("its hash {hash} is too weak"));
    }
    if is_future(signature, now) {
        return Err("it is made in the future".into());
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

/// No lifetime, and one of zero seconds, last for ever (sections 5.2.3.13 and 5.2.3.18).
fn unexpired(what: &str, created: Timestamp, lifetime: Option<Duration>, now: u64) -> Result<(), String> {
    let lifetime = lifetime.map_or(0, |lifetime| u64::from(lifetime.as_secs()));
    let end = u64::from(created.as_secs()) + lifetime;
    if lifetime > 0 && end <= now {
        return Err(format!("{what} expired on {}", date::day(end)));
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests;
