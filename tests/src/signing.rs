//! OpenPGP keys that are always the same, and texts signed with them.

use pgp::composed::{
    ArmorOptions, CleartextSignedMessage, DetachedSignature, KeyType, SignedKeyDetails, SignedPublicKey,
};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{
    KeyFlags, PubKeyInner, PublicKey, SecretKey, SignatureConfig, SignatureType, Subpacket, SubpacketData, UserId,
};
use pgp::types::{KeyDetails as _, KeyVersion, Password, SignedUser, Tag, Timestamp};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::packed::THEN;

/// An archive's key.
#[derive(Debug)]
pub struct Key(SecretKey);

impl Key {
    /// The Ed25519 key for this seed, created at [`THEN`].
    ///
    /// # Panics
    /// The OpenPGP library fails.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let typ = KeyType::Ed25519Legacy;
        let (public, secret) = typ.generate(StdRng::seed_from_u64(seed)).expect("a key");
        let inner = PubKeyInner::new(KeyVersion::V4, typ.to_alg(), then(), None, public).expect("a key");
        Self(SecretKey::new(PublicKey::from_inner(inner).expect("a key"), secret).expect("a key"))
    }

    /// The fingerprint, in upper-case hex.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        format!("{:X}", self.0.fingerprint())
    }

    /// The armoured certificate.
    ///
    /// # Panics
    /// The OpenPGP library fails.
    #[must_use]
    pub fn certificate(&self) -> String {
        let id = UserId::from_str(Default::default(), "Archive <archive@mirror.example>").expect("a user ID");
        let mut flags = KeyFlags::default();
        flags.set_sign(true);
        let config = self.config(SignatureType::CertPositive, vec![SubpacketData::KeyFlags(flags)]);
        let signature = config
            .sign_certification(&self.0, self.0.public_key(), &Password::empty(), Tag::UserId, &id)
            .expect("a signature");
        let details = SignedKeyDetails::new(vec![], vec![], vec![SignedUser::new(id, vec![signature])], vec![]);
        let certificate = SignedPublicKey::new(self.0.public_key().clone(), details, vec![]);
        certificate.to_armored_string(ArmorOptions::default()).expect("armour")
    }

    /// `text`, clear-signed.
    ///
    /// # Panics
    /// The OpenPGP library fails.
    #[must_use]
    pub fn clearsign(&self, text: &str) -> String {
        let message = CleartextSignedMessage::new_many(text, |text| {
            let config = self.config(SignatureType::Text, vec![]);
            Ok(vec![config.sign(&self.0, &Password::empty(), text.as_bytes())?])
        });
        message.and_then(|message| message.to_armored_string(ArmorOptions::default())).expect("a signature")
    }

    /// The armoured signature of `bytes`, for a file of its own.
    ///
    /// # Panics
    /// The OpenPGP library fails.
    #[must_use]
    pub fn detached(&self, bytes: &[u8]) -> String {
        let signature = self.config(SignatureType::Binary, vec![]).sign(&self.0, &Password::empty(), bytes);
        let signature = DetachedSignature::new(signature.expect("a signature"));
        signature.to_armored_string(ArmorOptions::default()).expect("armour")
    }

    /// The configuration of a signature. Not the library's default, which adds a salt: signatures would differ.
    fn config(&self, typ: SignatureType, more: Vec<SubpacketData>) -> SignatureConfig {
        let mut config = SignatureConfig::v4(typ, self.0.algorithm(), HashAlgorithm::Sha256);
        let own =
            [SubpacketData::SignatureCreationTime(then()), SubpacketData::IssuerFingerprint(self.0.fingerprint())];
        config.hashed_subpackets =
            own.into_iter().chain(more).map(|data| Subpacket::regular(data).expect("a short subpacket")).collect();
        config
    }
}

fn then() -> Timestamp {
    Timestamp::from_secs(u32::try_from(THEN).expect("before 2106"))
}
