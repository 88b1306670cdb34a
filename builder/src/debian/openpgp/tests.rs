use pgp::composed::{ArmorOptions, CleartextSignedMessage, KeyType, SignedKeyDetails};
use pgp::packet::{KeyFlags, PubKeyInner, PublicKey, PublicSubkey, SecretKey, SecretSubkey, SignatureConfig};
use pgp::packet::{Subpacket, SubpacketData, UserId};
use pgp::ser::Serialize;
use pgp::types::{Password, SignedUser, SigningKey};
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;

/// When keys and signatures are made unless told otherwise.
const THEN: u64 = 1_700_000_000;
const NOW: u64 = THEN + 3600;
const YEAR: u64 = 365 * 24 * 3600;
const TEXT: &str = "Suite: testing\n\n- a dash\nFrom: me \nEnd";

/// What a signature says of itself and of its key.
#[derive(Clone)]
struct Say {
    hash: HashAlgorithm,
    created: u64,
    lifetime: u64,
    key_lifetime: u64,
    may_sign: Option<bool>,
    back: Option<Signature>,
}

impl Default for Say {
    fn default() -> Self {
        Self { hash: HashAlgorithm::Sha256, created: THEN, lifetime: 0, key_lifetime: 0, may_sign: None, back: None }
    }
}

impl Say {
    fn signing() -> Self {
        Self { may_sign: Some(true), ..Self::default() }
    }

    /// The beginning of a signature by `key`.
    fn config(&self, key: &impl SigningKey, typ: SignatureType) -> SignatureConfig {
        let mut config = SignatureConfig::v4(typ, key.algorithm(), self.hash);
        let mut data = vec![
            SubpacketData::SignatureCreationTime(seconds(self.created)),
            SubpacketData::IssuerFingerprint(key.fingerprint()),
        ];
        if self.lifetime > 0 {
            data.push(SubpacketData::SignatureExpirationTime(Duration::from_secs(self.lifetime as u32)));
        }
        if self.key_lifetime > 0 {
            data.push(SubpacketData::KeyExpirationTime(Duration::from_secs(self.key_lifetime as u32)));
        }
        if let Some(may_sign) = self.may_sign {
            let mut flags = KeyFlags::default();
            flags.set_sign(may_sign);
            data.push(SubpacketData::KeyFlags(flags));
        }
        data.extend(self.back.clone().map(|back| SubpacketData::EmbeddedSignature(Box::new(back))));
        config.hashed_subpackets = data.into_iter().map(|data| Subpacket::regular(data).unwrap()).collect();
        config
    }
}

fn seconds(time: u64) -> Timestamp {
    Timestamp::from_secs(time as u32)
}

fn inner(typ: &KeyType, seed: u64) -> (PubKeyInner, pgp::types::SecretParams) {
    let (public, secret) = typ.generate(StdRng::seed_from_u64(seed)).unwrap();
    (PubKeyInner::new(KeyVersion::V4, typ.to_alg(), seconds(THEN), None, public).unwrap(), secret)
}

/// A primary key; `certificate` makes the rest.
fn primary(seed: u64) -> SecretKey {
    let (public, secret) = inner(&KeyType::Ed25519Legacy, seed);
    SecretKey::new(PublicKey::from_inner(public).unwrap(), secret).unwrap()
}

fn subkey(seed: u64) -> SecretSubkey {
    let (public, secret) = inner(&KeyType::Ed25519Legacy, seed);
    SecretSubkey::new(PublicSubkey::from_inner(public).unwrap(), secret).unwrap()
}

/// The certificate of `key` with a user ID about which it says all of `says`.
fn certificate(key: &SecretKey, says: &[Say]) -> SignedPublicKey {
    let id = UserId::from_str(Default::default(), "Archive <archive@mirror.example>").unwrap();
    let signatures = says
        .iter()
        .map(|say| {
            let config = say.config(key, SignatureType::CertPositive);
            config.sign_certification(key, key.public_key(), &Password::empty(), Tag::UserId, &id).unwrap()
        })
        .collect();
    let details = SignedKeyDetails::new(vec![], vec![], vec![SignedUser::new(id, signatures)], vec![]);
    SignedPublicKey::new(key.public_key().clone(), details, vec![])
}

/// Binds `subkey`, which consents if `back` says so.
fn bind(certificate: &mut SignedPublicKey, key: &SecretKey, subkey: &SecretSubkey, say: Say, back: Option<Say>) {
    let none = Password::empty();
    let back = back.map(|back| {
        let config = back.config(subkey, SignatureType::KeyBinding);
        config.sign_primary_key_binding(subkey, subkey.public_key(), &none, key.public_key()).unwrap()
    });
    let config = Say { back, ..say }.config(key, SignatureType::SubkeyBinding);
    let binding = config.sign_subkey_binding(key, key.public_key(), &none, subkey.public_key()).unwrap();
    certificate.public_subkeys.push(SignedPublicSubKey::new(subkey.public_key().clone(), vec![binding]));
}

fn keyring(certificates: &[SignedPublicKey]) -> Keyring {
    let bytes: Vec<u8> = certificates.iter().flat_map(|key| key.to_bytes().unwrap()).collect();
    Keyring::parse("keys.gpg", &bytes).unwrap()
}

fn sign(key: &impl SigningKey, say: &Say, text: &str) -> Signature {
    say.config(key, SignatureType::Text).sign(key, &Password::empty(), text.as_bytes()).unwrap()
}

fn clearsigned(text: &str, make: impl FnOnce(&str) -> Vec<Signature>) -> String {
    // What is signed has no trailing spaces; they may come in on the way.
    let signed: Vec<&str> = text.lines().map(str::trim_end).collect();
    let message = CleartextSignedMessage::new_many(&signed.join("\n"), |text| Ok(make(text))).unwrap();
    message.to_armored_string(ArmorOptions::default()).unwrap()
}

/// `text` signed, and the keyring that vouches for it.
pub(in crate::debian) fn signed(text: &str) -> (String, Keyring) {
    let key = primary(1);
    let keyring = keyring(&[certificate(&key, &[Say::signing()])]);
    (clearsigned(text, |text| vec![sign(&key, &Say::default(), text)]), keyring)
}

/// Outcome of verifying [`TEXT`], signed by `key`.
fn outcome(keyring: &Keyring, key: &impl SigningKey, say: &Say) -> String {
    told(keyring, &clearsigned(TEXT, |text| vec![sign(key, say, text)]))
}

fn told(keyring: &Keyring, text: &str) -> String {
    match verify("InRelease", text.as_bytes(), keyring, NOW) {
        Ok(signed) => format!("good, by {}", signed.signed_by),
        Err(error) => {
            assert_eq!(Failure::within(&error).unwrap().kind, sealift_deployment::failure::Kind::Verification);
            format!("{error:#}")
        }
    }
}

/// The outcomes, a line each, with short names for keys.
fn shown(outcomes: &[String]) -> String {
    let names = [(1, "FIRST"), (2, "SECOND"), (3, "THIRD")];
    names.iter().fold(outcomes.join("\n"), |text, (seed, name)| {
        text.replace(&format!("{:X}", primary(*seed).fingerprint()), name)
    })
}

#[test]
fn good_signatures_give_the_signed_text_and_the_primary_key() {
    let (key, sub) = (primary(1), subkey(2));
    let mut certificate = certificate(&key, &[Say::signing()]);
    bind(&mut certificate, &key, &sub, Say::signing(), Some(Say::default()));
    let keyring = keyring(&[certificate]);
    let by_subkey = clearsigned(TEXT, |text| vec![sign(&sub, &Say::default(), text)]);
    let signed = verify("InRelease", by_subkey.as_bytes(), &keyring, NOW).unwrap();
    assert_eq!(signed.text, "Suite: testing\n\n- a dash\nFrom: me\nEnd\n");
    assert_eq!(signed.signed_by, format!("{:X}", key.fingerprint()));
    assert_eq!(outcome(&keyring, &key, &Say::default()), format!("good, by {:X}", key.fingerprint()));
    // Spaces at line ends and the kind of line ends are not signed.
    let carried = by_subkey.replace("Suite: testing\n", "Suite: testing \t\r\n");
    assert_eq!(verify("InRelease", carried.as_bytes(), &keyring, NOW).unwrap(), signed);
}

#[test]
fn changed_texts_are_refused() {
    let key = primary(1);
    let keyring = keyring(&[certificate(&key, &[Say::signing()])]);
    let good = clearsigned(TEXT, |text| vec![sign(&key, &Say::default(), text)]);
    insta::assert_snapshot!(shown(&[
        told(&keyring, &good.replace("testing", "tasting")),
        told(&keyring, &good.replace("End", "End\nMore: 1")),
        told(&keyring, &good.replace("Suite:", "\nSuite:")),
        told(&keyring, &format!("{good}SHA256: 1\n")),
        told(&keyring, &format!("SHA256: 1\n{good}")),
        told(&keyring, &good.replace("SIGNATURE-----\n\n", "SIGNATURE-----\n\nAAAA")),
        told(&keyring, &good.replace("SIGNATURE-----\n\n", "SIGNATURE-----\n\n-")),
    ]), @r"
    InRelease has no good signature: the signature by key FIRST does not fit the text, which was changed or damaged
    InRelease has no good signature: the signature by key FIRST does not fit the text, which was changed or damaged
    InRelease has no good signature: the signature by key FIRST does not fit the text, which was changed or damaged
    InRelease is not a clear-signed text: something follows its signature
    InRelease is not a clear-signed text: it begins with `SHA256: 1`
    InRelease has no good signature: a signature is unreadable: IO error: unknown packet header version 0
    signature of InRelease: its armour is damaged
    ");
}

#[test]
fn one_known_key_suffices() {
    let (known, unknown, other) = (primary(1), primary(2), primary(3));
    let keyring = keyring(&[certificate(&known, &[Say::signing()])]);
    let say = Say::default();
    let both = clearsigned(TEXT, |text| vec![sign(&unknown, &say, text), sign(&known, &say, text)]);
    assert_eq!(told(&keyring, &both), format!("good, by {:X}", known.fingerprint()));
    // One that is damaged, too, does no harm: the other one vouches for the text.
    let damaged = clearsigned(TEXT, |text| vec![sign(&known, &say, "other"), sign(&known, &say, text)]);
    assert_eq!(told(&keyring, &damaged), format!("good, by {:X}", known.fingerprint()));
    let neither = clearsigned(TEXT, |text| vec![sign(&unknown, &say, text), sign(&other, &say, text)]);
    let mixed = clearsigned(TEXT, |text| vec![sign(&unknown, &say, text), sign(&known, &say, "other")]);
    insta::assert_snapshot!(shown(&[
        outcome(&keyring, &unknown, &say),
        told(&keyring, &neither),
        told(&keyring, &mixed),
    ]), @r"
    the signature of InRelease is made by key SECOND, which is not in the keyring keys.gpg
    the signatures of InRelease are made by keys SECOND, THIRD, none of which is in the keyring keys.gpg
    InRelease has no good signature: key SECOND is not in the keyring keys.gpg; the signature by key FIRST does not fit the text, which was changed or damaged
    ");
}

#[test]
fn times_are_minded() {
    let key = primary(1);
    let told = |own: &[Say], say: Say| outcome(&keyring(&[certificate(&key, own)]), &key, &say);
    let signing = Say::signing;
    insta::assert_snapshot!(shown(&[
        told(&[signing()], Say { created: NOW + 3600, ..Say::default() }),
        told(&[signing()], Say { created: NOW + YEAR, ..Say::default() }),
        told(&[signing()], Say { created: THEN - 1, ..Say::default() }),
        told(&[signing()], Say { lifetime: 60, ..Say::default() }),
        told(&[signing()], Say { lifetime: 7200, ..Say::default() }),
        told(&[Say { key_lifetime: 60, ..signing() }], Say::default()),
        told(&[Say { lifetime: 60, ..signing() }], Say::default()),
        // A later statement lengthens the key's life; one from the future does not.
        told(&[Say { key_lifetime: 60, ..signing() }, Say { created: THEN + 9, ..signing() }], Say::default()),
        told(&[Say { key_lifetime: 60, ..signing() }, Say { created: NOW + YEAR, ..signing() }], Say::default()),
    ]), @r"
    good, by FIRST
    InRelease has no good signature: the signature by key FIRST does not count: it is made in the future
    InRelease has no good signature: the signature by key FIRST does not count: it is older than the key
    InRelease has no good signature: the signature by key FIRST does not count: a signature expired on 2023-11-14
    good, by FIRST
    InRelease has no good signature: the signature by key FIRST does not count: the key expired on 2023-11-14
    InRelease has no good signature: the signature by key FIRST does not count: a signature expired on 2023-11-14
    good, by FIRST
    InRelease has no good signature: the signature by key FIRST does not count: the key expired on 2023-11-14
    ");
}

#[test]
fn keys_must_be_meant_for_signing() {
    let (key, sub) = (primary(1), subkey(2));
    let other = certificate(&key, &[Say { may_sign: Some(false), ..Say::default() }]);
    let told = |say: Say, back: Option<Say>| {
        let mut certificate = other.clone();
        bind(&mut certificate, &key, &sub, say, back);
        outcome(&keyring(&[certificate]), &sub, &Say::default())
    };
    let back = || Some(Say::default());
    insta::assert_snapshot!(shown(&[
        outcome(&keyring(std::slice::from_ref(&other)), &key, &Say::default()),
        outcome(&keyring(&[certificate(&key, &[Say::default()])]), &key, &Say::default()),
        outcome(&keyring(&[certificate(&primary(1), &[])]), &key, &Say::default()),
        told(Say::signing(), back()),
        told(Say::default(), back()),
        told(Say::signing(), None),
        told(Say { key_lifetime: 60, ..Say::signing() }, back()),
        told(Say::signing(), Some(Say { lifetime: 60, ..Say::default() })),
    ]), @r"
    InRelease has no good signature: the signature by key FIRST does not count: the key is not meant for signing
    InRelease has no good signature: the signature by key FIRST does not count: the key is not meant for signing
    InRelease has no good signature: the signature by key FIRST does not count: the key has no valid signature of its own
    good, by FIRST
    InRelease has no good signature: the signature by key SECOND does not count: the key is not meant for signing
    InRelease has no good signature: the signature by key SECOND does not count: the subkey does not confirm its primary key
    InRelease has no good signature: the signature by key SECOND does not count: the subkey expired on 2023-11-14
    InRelease has no good signature: the signature by key SECOND does not count: a signature expired on 2023-11-14
    ");
}

#[test]
fn subkeys_of_others_cannot_be_claimed() {
    let (victim, sub, thief) = (primary(1), subkey(2), primary(3));
    let mut own = certificate(&victim, &[Say::signing()]);
    bind(&mut own, &victim, &sub, Say::signing(), Some(Say::default()));
    // The thief binds the subkey with the consent that it gave to its owner.
    let consent = own.public_subkeys[0].signatures[0].embedded_signature().cloned();
    let mut claim = certificate(&thief, &[Say::signing()]);
    bind(&mut claim, &thief, &sub, Say::signing(), None);
    let config = Say { back: consent, ..Say::signing() }.config(&thief, SignatureType::SubkeyBinding);
    let binding = config.sign_subkey_binding(&thief, thief.public_key(), &Password::empty(), sub.public_key()).unwrap();
    claim.public_subkeys[0].signatures = vec![binding];
    // And one whose binding is not the primary key's at all.
    let mut stray = certificate(&thief, &[Say::signing()]);
    stray.public_subkeys = own.public_subkeys.clone();
    insta::assert_snapshot!(shown(&[
        outcome(&keyring(&[claim]), &sub, &Say::default()),
        outcome(&keyring(&[stray]), &sub, &Say::default()),
    ]), @r"
    InRelease has no good signature: the signature by key SECOND does not count: the subkey does not confirm its primary key
    InRelease has no good signature: the signature by key SECOND does not count: the subkey is not bound to its primary key
    ");
}

#[test]
fn revoked_keys_are_refused() {
    let (key, sub) = (primary(1), subkey(2));
    let none = Password::empty();
    let mut good = certificate(&key, &[Say::signing()]);
    bind(&mut good, &key, &sub, Say::signing(), Some(Say::default()));

    let mut revoked = good.clone();
    let config = Say::default().config(&key, SignatureType::KeyRevocation);
    revoked.details.revocation_signatures.push(config.sign_key(&key, &none, key.public_key()).unwrap());

    let mut subkey_revoked = good.clone();
    let config = Say::default().config(&key, SignatureType::SubkeyRevocation);
    let revocation = config.sign_subkey_binding(&key, key.public_key(), &none, sub.public_key()).unwrap();
    subkey_revoked.public_subkeys[0].signatures.push(revocation);

    let mut id_revoked = good.clone();
    let config = Say { created: THEN + 9, ..Say::default() }.config(&key, SignatureType::CertRevocation);
    let user = &mut id_revoked.details.users[0];
    let revocation = config.sign_certification(&key, key.public_key(), &none, Tag::UserId, &user.id).unwrap();
    user.signatures.push(revocation);

    let mut by_stranger = good.clone();
    let config = Say::default().config(&primary(3), SignatureType::KeyRevocation);
    by_stranger.details.revocation_signatures.push(config.sign_key(&primary(3), &none, key.public_key()).unwrap());

    insta::assert_snapshot!(shown(&[
        outcome(&keyring(&[revoked.clone()]), &key, &Say::default()),
        outcome(&keyring(&[revoked.clone()]), &sub, &Say::default()),
        // A copy without the revocation does not hide it, in either order.
        outcome(&keyring(&[revoked.clone(), good.clone()]), &key, &Say::default()),
        outcome(&keyring(&[good.clone(), revoked]), &key, &Say::default()),
        outcome(&keyring(&[good, subkey_revoked]), &sub, &Say::default()),
        outcome(&keyring(&[id_revoked]), &key, &Say::default()),
        outcome(&keyring(&[by_stranger]), &key, &Say::default()),
    ]), @r"
    InRelease has no good signature: the signature by key FIRST does not count: the key is revoked
    InRelease has no good signature: the signature by key SECOND does not count: the key is revoked
    InRelease has no good signature: the signature by key FIRST does not count: the key is revoked
    InRelease has no good signature: the signature by key FIRST does not count: the key is revoked
    InRelease has no good signature: the signature by key SECOND does not count: the subkey is revoked
    InRelease has no good signature: the signature by key FIRST does not count: the key has no valid signature of its own
    good, by FIRST
    ");
}

#[test]
fn weak_hashes_are_refused() {
    // Ed25519 cannot sign so short hashes; the key is small because making it takes long.
    let (public, secret) = inner(&KeyType::Rsa(1024), 1);
    let key = SecretKey::new(PublicKey::from_inner(public).unwrap(), secret).unwrap();
    let sha = |hash| Say { hash, ..Say::signing() };
    let told = |own: &Say, say: &Say| outcome(&keyring(&[certificate(&key, std::slice::from_ref(own))]), &key, say);
    let strong = sha(HashAlgorithm::Sha512);
    let outcomes = [
        told(&strong, &sha(HashAlgorithm::Sha1)),
        told(&strong, &sha(HashAlgorithm::Sha224)),
        told(&strong, &sha(HashAlgorithm::Sha384)),
        told(&sha(HashAlgorithm::Sha1), &strong),
    ];
    insta::assert_snapshot!(outcomes.join("\n").replace(&format!("{:X}", key.fingerprint()), "RSA"), @r"
    InRelease has no good signature: the signature by key RSA does not count: its hash SHA1 is too weak
    InRelease has no good signature: the signature by key RSA does not count: its hash SHA224 is too weak
    good, by RSA
    InRelease has no good signature: the signature by key RSA does not count: the key has no valid signature of its own
    ");
}

#[test]
fn keyrings_may_be_binary_or_armoured() {
    let keys = [certificate(&primary(1), &[Say::signing()]), certificate(&primary(2), &[Say::signing()])];
    let armoured: String =
        keys.iter().map(|key| key.to_armored_string(ArmorOptions::default()).unwrap() + "\n").collect();
    let read = Keyring::parse("keys.asc", format!("A comment.\n{armoured}").as_bytes()).unwrap();
    assert_eq!(read.keys, keyring(&keys).keys);
    assert_eq!(read.keys.len(), 2);
    let messages: Vec<String> = [&b""[..], b"text", b"\x98", &armoured.as_bytes()[..300]]
        .iter()
        .map(|bytes| format!("{:#}", Keyring::parse("keys.asc", bytes).unwrap_err()))
        .collect();
    insta::assert_snapshot!(shown(&messages), @r"
    keyring keys.asc holds no OpenPGP public key
    keyring keys.asc holds no OpenPGP public key
    keyring keys.asc holds no OpenPGP public key
    keyring keys.asc: its armour is damaged
    ");
}

proptest! {
    #[test]
    fn no_change_goes_unseen(place in any::<prop::sample::Index>(), byte in any::<u8>(), insert in any::<bool>()) {
        let (text, keyring) = signed(TEXT);
        let good = verify("InRelease", text.as_bytes(), &keyring, NOW).unwrap();
        let mut changed = text.into_bytes();
        let place = place.index(changed.len());
        if insert {
            changed.insert(place, byte);
        } else {
            changed[place] = byte;
        }
        // Some bytes mean nothing: those of the armour's headers, or spaces at the end of a line.
        if let Ok(read) = verify("InRelease", &changed, &keyring, NOW) {
            prop_assert_eq!(read, good);
        }
    }
}
