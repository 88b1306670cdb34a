use pgp::composed::{ArmorOptions, CleartextSignedMessage, KeyType, SignedKeyDetails};
use pgp::packet::{KeyFlags, PubKeyInner, PublicKey, PublicSubkey, SecretKey, SecretSubkey, SignatureConfig};
use pgp::packet::{Subpacket, SubpacketData, UserId};
use pgp::ser::Serialize;
use pgp::types::{Password, SignedUser, SigningKey};
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;

/// The default date of keys and signatures.
const THEN: u64 = 1_700_000_000;
const NOW: u64 = THEN + 3600;
const YEAR: u64 = 365 * 24 * 3600;
const TEXT: &str = "Suite: testing\n\n- a dash\nFrom: me \nEnd";

/// Properties of a signature and of its key.
#[derive(Clone)]
struct Spec {
    hash: HashAlgorithm,
    created: u64,
    lifetime: u64,
    key_lifetime: u64,
    may_sign: Option<bool>,
    back: Option<Signature>,
}

impl Default for Spec {
    fn default() -> Self {
        Self { hash: HashAlgorithm::Sha256, created: THEN, lifetime: 0, key_lifetime: 0, may_sign: None, back: None }
    }
}

impl Spec {
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

/// The certificate of `key`, with a user ID and a certification for each of `specs`.
fn certificate(key: &SecretKey, specs: &[Spec]) -> SignedPublicKey {
    let id = UserId::from_str(Default::default(), "Archive <archive@mirror.example>").unwrap();
    let signatures = specs
        .iter()
        .map(|spec| {
            let config = spec.config(key, SignatureType::CertPositive);
            config.sign_certification(key, key.public_key(), &Password::empty(), Tag::UserId, &id).unwrap()
        })
        .collect();
    let details = SignedKeyDetails::new(vec![], vec![], vec![SignedUser::new(id, signatures)], vec![]);
    SignedPublicKey::new(key.public_key().clone(), details, vec![])
}

/// Binds `subkey` to `key`; `back` adds the subkey's own signature (a primary key binding).
fn bind(certificate: &mut SignedPublicKey, key: &SecretKey, subkey: &SecretSubkey, spec: Spec, back: Option<Spec>) {
    let none = Password::empty();
    let back = back.map(|back| {
        let config = back.config(subkey, SignatureType::KeyBinding);
        config.sign_primary_key_binding(subkey, subkey.public_key(), &none, key.public_key()).unwrap()
    });
    let config = Spec { back, ..spec }.config(key, SignatureType::SubkeyBinding);
    let binding = config.sign_subkey_binding(key, key.public_key(), &none, subkey.public_key()).unwrap();
    certificate.public_subkeys.push(SignedPublicSubKey::new(subkey.public_key().clone(), vec![binding]));
}

fn keyring(certificates: &[SignedPublicKey]) -> Keyring {
    let bytes: Vec<u8> = certificates.iter().flat_map(|key| key.to_bytes().unwrap()).collect();
    Keyring::parse("keys.gpg", &bytes).unwrap()
}

fn sign(key: &impl SigningKey, spec: &Spec, text: &str) -> Signature {
    spec.config(key, SignatureType::Text).sign(key, &Password::empty(), text.as_bytes()).unwrap()
}

fn clearsigned(text: &str, make: impl FnOnce(&str) -> Vec<Signature>) -> String {
    // Trailing spaces are not signed.
    let signed: Vec<&str> = text.lines().map(str::trim_end).collect();
    let message = CleartextSignedMessage::new_many(&signed.join("\n"), |text| Ok(make(text))).unwrap();
    message.to_armored_string(ArmorOptions::default()).unwrap()
}

/// `text` signed, and a keyring with the key.
pub(crate) fn signed(text: &str) -> (String, Keyring) {
    let key = primary(1);
    let keyring = keyring(&[certificate(&key, &[Spec::signing()])]);
    (clearsigned(text, |text| vec![sign(&key, &Spec::default(), text)]), keyring)
}

/// A keyring file with one key.
pub(crate) fn armoured_key() -> String {
    certificate(&primary(1), &[Spec::signing()]).to_armored_string(ArmorOptions::default()).unwrap()
}

/// Outcome of verifying [`TEXT`], signed by `key`.
fn outcome(keyring: &Keyring, key: &impl SigningKey, spec: &Spec) -> String {
    outcome_of(keyring, &clearsigned(TEXT, |text| vec![sign(key, spec, text)]))
}

fn outcome_of(keyring: &Keyring, text: &str) -> String {
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
fn a_valid_signature_returns_the_text_and_the_primary_key() {
    let (key, sub) = (primary(1), subkey(2));
    let mut certificate = certificate(&key, &[Spec::signing()]);
    bind(&mut certificate, &key, &sub, Spec::signing(), Some(Spec::default()));
    let keyring = keyring(&[certificate]);
    let by_subkey = clearsigned(TEXT, |text| vec![sign(&sub, &Spec::default(), text)]);
    let signed = verify("InRelease", by_subkey.as_bytes(), &keyring, NOW).unwrap();
    assert_eq!(signed.text, "Suite: testing\n\n- a dash\nFrom: me\nEnd\n");
    assert_eq!(signed.signed_by, format!("{:X}", key.fingerprint()));
    assert_eq!(outcome(&keyring, &key, &Spec::default()), format!("good, by {:X}", key.fingerprint()));
    // Trailing spaces and the kind of line ends are not signed.
    let converted = by_subkey.replace("Suite: testing\n", "Suite: testing \t\r\n");
    assert_eq!(verify("InRelease", converted.as_bytes(), &keyring, NOW).unwrap(), signed);
}

#[test]
fn changed_texts_are_refused() {
    let key = primary(1);
    let keyring = keyring(&[certificate(&key, &[Spec::signing()])]);
    let good = clearsigned(TEXT, |text| vec![sign(&key, &Spec::default(), text)]);
    insta::assert_snapshot!(shown(&[
        outcome_of(&keyring, &good.replace("testing", "tasting")),
        outcome_of(&keyring, &good.replace("End", "End\nMore: 1")),
        outcome_of(&keyring, &good.replace("Suite:", "\nSuite:")),
        outcome_of(&keyring, &format!("{good}SHA256: 1\n")),
        outcome_of(&keyring, &format!("SHA256: 1\n{good}")),
        outcome_of(&keyring, &good.replace("SIGNATURE-----\n\n", "SIGNATURE-----\n\nAAAA")),
        outcome_of(&keyring, &good.replace("SIGNATURE-----\n\n", "SIGNATURE-----\n\n-")),
    ]), @"
    InRelease has no valid signature: the signature by key FIRST does not match the text, which was changed or damaged
    InRelease has no valid signature: the signature by key FIRST does not match the text, which was changed or damaged
    InRelease has no valid signature: the signature by key FIRST does not match the text, which was changed or damaged
    InRelease is not a clear-signed text: text follows the signature
    InRelease is not a clear-signed text: it begins with `SHA256: 1`
    InRelease has no valid signature: a signature is unreadable: IO error: unknown packet header version 0
    signature of InRelease: the ASCII armour is damaged
    ");
}

#[test]
fn one_known_key_suffices() {
    let (known, unknown, other) = (primary(1), primary(2), primary(3));
    let keyring = keyring(&[certificate(&known, &[Spec::signing()])]);
    let spec = Spec::default();
    let both = clearsigned(TEXT, |text| vec![sign(&unknown, &spec, text), sign(&known, &spec, text)]);
    assert_eq!(outcome_of(&keyring, &both), format!("good, by {:X}", known.fingerprint()));
    // A second signature that does not match is ignored.
    let damaged = clearsigned(TEXT, |text| vec![sign(&known, &spec, "other"), sign(&known, &spec, text)]);
    assert_eq!(outcome_of(&keyring, &damaged), format!("good, by {:X}", known.fingerprint()));
    let neither = clearsigned(TEXT, |text| vec![sign(&unknown, &spec, text), sign(&other, &spec, text)]);
    let mixed = clearsigned(TEXT, |text| vec![sign(&unknown, &spec, text), sign(&known, &spec, "other")]);
    insta::assert_snapshot!(shown(&[
        outcome(&keyring, &unknown, &spec),
        outcome_of(&keyring, &neither),
        outcome_of(&keyring, &mixed),
    ]), @"
    InRelease is signed by the key SECOND, which is not in the keyring keys.gpg
    InRelease is signed by the keys SECOND, THIRD, none of which is in the keyring keys.gpg
    InRelease has no valid signature: key SECOND is not in the keyring keys.gpg; the signature by key FIRST does not match the text, which was changed or damaged
    ");
}

#[test]
fn dates_and_lifetimes_are_checked() {
    let key = primary(1);
    let check = |own: &[Spec], spec: Spec| outcome(&keyring(&[certificate(&key, own)]), &key, &spec);
    let signing = Spec::signing;
    insta::assert_snapshot!(shown(&[
        check(&[signing()], Spec { created: NOW + 3600, ..Spec::default() }),
        check(&[signing()], Spec { created: NOW + YEAR, ..Spec::default() }),
        check(&[signing()], Spec { created: THEN - 1, ..Spec::default() }),
        check(&[signing()], Spec { lifetime: 60, ..Spec::default() }),
        check(&[signing()], Spec { lifetime: 7200, ..Spec::default() }),
        check(&[Spec { key_lifetime: 60, ..signing() }], Spec::default()),
        check(&[Spec { lifetime: 60, ..signing() }], Spec::default()),
        // A later self-signature extends the key's lifetime; one from the future does not.
        check(&[Spec { key_lifetime: 60, ..signing() }, Spec { created: THEN + 9, ..signing() }], Spec::default()),
        check(&[Spec { key_lifetime: 60, ..signing() }, Spec { created: NOW + YEAR, ..signing() }], Spec::default()),
    ]), @"
    good, by FIRST
    InRelease has no valid signature: the signature by key FIRST is not accepted: its date is in the future
    InRelease has no valid signature: the signature by key FIRST is not accepted: it is older than the key
    InRelease has no valid signature: the signature by key FIRST is not accepted: a signature expired on 2023-11-14
    good, by FIRST
    InRelease has no valid signature: the signature by key FIRST is not accepted: the key expired on 2023-11-14
    InRelease has no valid signature: the signature by key FIRST is not accepted: a signature expired on 2023-11-14
    good, by FIRST
    InRelease has no valid signature: the signature by key FIRST is not accepted: the key expired on 2023-11-14
    ");
}

#[test]
fn keys_must_have_the_signing_flag() {
    let (key, sub) = (primary(1), subkey(2));
    let other = certificate(&key, &[Spec { may_sign: Some(false), ..Spec::default() }]);
    let check = |spec: Spec, back: Option<Spec>| {
        let mut certificate = other.clone();
        bind(&mut certificate, &key, &sub, spec, back);
        outcome(&keyring(&[certificate]), &sub, &Spec::default())
    };
    let back = || Some(Spec::default());
    insta::assert_snapshot!(shown(&[
        outcome(&keyring(std::slice::from_ref(&other)), &key, &Spec::default()),
        outcome(&keyring(&[certificate(&key, &[Spec::default()])]), &key, &Spec::default()),
        outcome(&keyring(&[certificate(&primary(1), &[])]), &key, &Spec::default()),
        check(Spec::signing(), back()),
        check(Spec::default(), back()),
        check(Spec::signing(), None),
        check(Spec { key_lifetime: 60, ..Spec::signing() }, back()),
        check(Spec::signing(), Some(Spec { lifetime: 60, ..Spec::default() })),
    ]), @"
    InRelease has no valid signature: the signature by key FIRST is not accepted: the key is not for signing
    InRelease has no valid signature: the signature by key FIRST is not accepted: the key is not for signing
    InRelease has no valid signature: the signature by key FIRST is not accepted: the key has no valid self-signature
    good, by FIRST
    InRelease has no valid signature: the signature by key SECOND is not accepted: the key is not for signing
    InRelease has no valid signature: the signature by key SECOND is not accepted: the subkey does not confirm its primary key
    InRelease has no valid signature: the signature by key SECOND is not accepted: the subkey expired on 2023-11-14
    InRelease has no valid signature: the signature by key SECOND is not accepted: a signature expired on 2023-11-14
    ");
}

#[test]
fn subkeys_of_others_cannot_be_claimed() {
    let (owner, sub, other) = (primary(1), subkey(2), primary(3));
    let mut own = certificate(&owner, &[Spec::signing()]);
    bind(&mut own, &owner, &sub, Spec::signing(), Some(Spec::default()));
    // The other key uses the confirmation that the subkey made for its owner.
    let confirmation = own.public_subkeys[0].signatures[0].embedded_signature().cloned();
    let mut claim = certificate(&other, &[Spec::signing()]);
    bind(&mut claim, &other, &sub, Spec::signing(), None);
    let config = Spec { back: confirmation, ..Spec::signing() }.config(&other, SignatureType::SubkeyBinding);
    let binding = config.sign_subkey_binding(&other, other.public_key(), &Password::empty(), sub.public_key()).unwrap();
    claim.public_subkeys[0].signatures = vec![binding];
    // A binding by another primary key.
    let mut stray = certificate(&other, &[Spec::signing()]);
    stray.public_subkeys = own.public_subkeys.clone();
    insta::assert_snapshot!(shown(&[
        outcome(&keyring(&[claim]), &sub, &Spec::default()),
        outcome(&keyring(&[stray]), &sub, &Spec::default()),
    ]), @"
    InRelease has no valid signature: the signature by key SECOND is not accepted: the subkey does not confirm its primary key
    InRelease has no valid signature: the signature by key SECOND is not accepted: the subkey is not bound to its primary key
    ");
}

#[test]
fn revoked_keys_are_refused() {
    let (key, sub) = (primary(1), subkey(2));
    let none = Password::empty();
    let mut good = certificate(&key, &[Spec::signing()]);
    bind(&mut good, &key, &sub, Spec::signing(), Some(Spec::default()));

    let mut revoked = good.clone();
    let config = Spec::default().config(&key, SignatureType::KeyRevocation);
    revoked.details.revocation_signatures.push(config.sign_key(&key, &none, key.public_key()).unwrap());

    let mut subkey_revoked = good.clone();
    let config = Spec::default().config(&key, SignatureType::SubkeyRevocation);
    let revocation = config.sign_subkey_binding(&key, key.public_key(), &none, sub.public_key()).unwrap();
    subkey_revoked.public_subkeys[0].signatures.push(revocation);

    let mut id_revoked = good.clone();
    let config = Spec { created: THEN + 9, ..Spec::default() }.config(&key, SignatureType::CertRevocation);
    let user = &mut id_revoked.details.users[0];
    let revocation = config.sign_certification(&key, key.public_key(), &none, Tag::UserId, &user.id).unwrap();
    user.signatures.push(revocation);

    let mut by_stranger = good.clone();
    let config = Spec::default().config(&primary(3), SignatureType::KeyRevocation);
    by_stranger.details.revocation_signatures.push(config.sign_key(&primary(3), &none, key.public_key()).unwrap());

    insta::assert_snapshot!(shown(&[
        outcome(&keyring(&[revoked.clone()]), &key, &Spec::default()),
        outcome(&keyring(&[revoked.clone()]), &sub, &Spec::default()),
        // A copy without the revocation does not hide it, in either order.
        outcome(&keyring(&[revoked.clone(), good.clone()]), &key, &Spec::default()),
        outcome(&keyring(&[good.clone(), revoked]), &key, &Spec::default()),
        outcome(&keyring(&[good, subkey_revoked]), &sub, &Spec::default()),
        outcome(&keyring(&[id_revoked]), &key, &Spec::default()),
        outcome(&keyring(&[by_stranger]), &key, &Spec::default()),
    ]), @"
    InRelease has no valid signature: the signature by key FIRST is not accepted: the key is revoked
    InRelease has no valid signature: the signature by key SECOND is not accepted: the key is revoked
    InRelease has no valid signature: the signature by key FIRST is not accepted: the key is revoked
    InRelease has no valid signature: the signature by key FIRST is not accepted: the key is revoked
    InRelease has no valid signature: the signature by key SECOND is not accepted: the subkey is revoked
    InRelease has no valid signature: the signature by key FIRST is not accepted: the key has no valid self-signature
    good, by FIRST
    ");
}

#[test]
fn weak_hashes_are_refused() {
    // Ed25519 cannot sign such short hashes. The key is small, because generating it takes long.
    let (public, secret) = inner(&KeyType::Rsa(1024), 1);
    let key = SecretKey::new(PublicKey::from_inner(public).unwrap(), secret).unwrap();
    let sha = |hash| Spec { hash, ..Spec::signing() };
    let check =
        |own: &Spec, spec: &Spec| outcome(&keyring(&[certificate(&key, std::slice::from_ref(own))]), &key, spec);
    let strong = sha(HashAlgorithm::Sha512);
    let outcomes = [
        check(&strong, &sha(HashAlgorithm::Sha1)),
        check(&strong, &sha(HashAlgorithm::Sha224)),
        check(&strong, &sha(HashAlgorithm::Sha384)),
        check(&sha(HashAlgorithm::Sha1), &strong),
    ];
    insta::assert_snapshot!(outcomes.join("\n").replace(&format!("{:X}", key.fingerprint()), "RSA"), @"
    InRelease has no valid signature: the signature by key RSA is not accepted: the hash SHA1 is too weak
    InRelease has no valid signature: the signature by key RSA is not accepted: the hash SHA224 is too weak
    good, by RSA
    InRelease has no valid signature: the signature by key RSA is not accepted: the key has no valid self-signature
    ");
}

#[test]
fn keyrings_may_be_binary_or_armoured() {
    let keys = [certificate(&primary(1), &[Spec::signing()]), certificate(&primary(2), &[Spec::signing()])];
    let armoured: String =
        keys.iter().map(|key| key.to_armored_string(ArmorOptions::default()).unwrap() + "\n").collect();
    let read = Keyring::parse("keys.asc", format!("A comment.\n{armoured}").as_bytes()).unwrap();
    assert_eq!(read.keys, keyring(&keys).keys);
    assert_eq!(read.keys.len(), 2);
    let messages: Vec<String> = [&b""[..], b"text", b"\x98", &armoured.as_bytes()[..300]]
        .iter()
        .map(|bytes| format!("{:#}", Keyring::parse("keys.asc", bytes).unwrap_err()))
        .collect();
    insta::assert_snapshot!(shown(&messages), @"
    the keyring keys.asc has no OpenPGP public key
    the keyring keys.asc has no OpenPGP public key
    the keyring keys.asc has no OpenPGP public key
    keyring keys.asc: the ASCII armour is damaged
    ");
}

proptest! {
    #[test]
    fn every_change_is_detected(place in any::<prop::sample::Index>(), byte in any::<u8>(), insert in any::<bool>()) {
        let (text, keyring) = signed(TEXT);
        let good = verify("InRelease", text.as_bytes(), &keyring, NOW).unwrap();
        let mut changed = text.into_bytes();
        let place = place.index(changed.len());
        if insert {
            changed.insert(place, byte);
        } else {
            changed[place] = byte;
        }
        // Some bytes are not significant: headers of the armour, spaces at the end of a line.
        if let Ok(read) = verify("InRelease", &changed, &keyring, NOW) {
            prop_assert_eq!(read, good);
        }
    }
}

#[test]
fn signatures_in_files_of_their_own_are_verified() {
    use pgp::composed::DetachedSignature;

    let key = primary(1);
    let keyring = keyring(&[certificate(&key, &[Spec::signing()])]);
    let text = b"Suite: tiny\nDescription: J\xf6rg's \n";
    for typ in [SignatureType::Binary, SignatureType::Text] {
        let signature = Spec::default().config(&key, typ).sign(&key, &Password::empty(), &text[..]).unwrap();
        let signature = DetachedSignature::new(signature);
        let armoured = signature.to_armored_string(ArmorOptions::default()).unwrap().into_bytes();
        for form in [signature.to_bytes().unwrap(), armoured] {
            let signed = verify_detached("Release", text, &form, &keyring, NOW).unwrap();
            assert!(signed.text.starts_with("Suite: tiny\n"), "{signed:?}");
            let changed = [&text[..], b"more"].concat();
            let error = verify_detached("Release", &changed, &form, &keyring, NOW).unwrap_err().to_string();
            assert!(error.contains("does not match the text"), "{error}");
        }
    }
    for bad in [&b""[..], b"<html></html>", b"\xff\xff"] {
        assert!(verify_detached("Release", text, bad, &keyring, NOW).is_err(), "{bad:?}");
    }
}
