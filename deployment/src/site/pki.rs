//! The private certificate authority of a site and the certificates it signs (RFC 5280).
//!
//! New keys are ECDSA P-256 in PKCS #8, which every client supports. The library (ring) can also create P-384, but neither
//! P-521 nor RSA keys.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SerialNumber,
};
use time::OffsetDateTime;
use x509_parser::error::X509Error;
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate, parse_x509_pem};

use super::constraints::{self, Constraints};
use crate::failure::Failure;
use crate::profile::names::CA_CERTIFICATE;

/// Certificates are valid from one hour before they are issued, as the clocks of hosts may be slow. In seconds.
const SKEW: i64 = 3600;
/// A certificate is due when less than this fraction of its lifetime is left (the authority's is only warned about).
const LAST_PART: i64 = 5;
const DAY: i64 = 86400;

/// The parts of a certificate that checks need. Times are seconds since 1970, both ends included.
pub(super) struct Certificate {
    der: Vec<u8>,
    pub(super) not_before: i64,
    pub(super) not_after: i64,
    /// DNS names in lower case and IP addresses.
    pub(super) names: BTreeSet<String>,
    public_key: Vec<u8>,
    pub(super) is_authority: bool,
    pub(super) self_issued: bool,
    /// Which names it may sign for; `None`: any.
    pub(super) constraints: Option<Constraints>,
}

impl Certificate {
    /// Reads the first certificate of a PEM file; `path` is for the message.
    pub(super) fn parse(pem: &str, path: &str) -> Result<Self> {
        let wrong = || {
            Failure::failed(format!("{path} is not a PEM certificate"))
                .hint("provide a valid one, or remove it to have one created")
        };
        // The parser takes any label at the end; programs that read the file do not.
        if !["-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"].iter().all(|line| pem.contains(line)) {
            return Err(wrong().into());
        }
        let (_, block) = parse_x509_pem(pem.as_bytes()).map_err(|_| wrong())?;
        Self::of(&block).map_err(|_| wrong().into())
    }

    /// Reads the certificate of a PEM block.
    pub(super) fn of(block: &Pem) -> Result<Self> {
        let x509 = block.parse_x509()?;
        let names = x509.subject_alternative_name().ok().flatten();
        let names = names.iter().flat_map(|extension| &extension.value.general_names).filter_map(general_name);
        Ok(Self {
            not_before: x509.validity().not_before.timestamp(),
            not_after: x509.validity().not_after.timestamp(),
            names: names.collect(),
            public_key: x509.public_key().subject_public_key.data.to_vec(),
            is_authority: x509.is_ca(),
            self_issued: x509.subject().as_raw() == x509.issuer().as_raw(),
            constraints: Constraints::of(&x509),
            der: block.contents.clone(),
        })
    }

    /// Whether `authority` signed it.
    pub(super) fn signed_by(&self, authority: &Self) -> bool {
        let (Ok((_, this)), Ok((_, ca))) =
            (X509Certificate::from_der(&self.der), X509Certificate::from_der(&authority.der))
        else {
            return false;
        };
        this.issuer().as_raw() == ca.subject().as_raw() && this.verify_signature(Some(ca.public_key())).is_ok()
    }

    /// What is wrong with it if it names `issuer` and its key as its issuer, but is not what that signed. Authorities of other
    /// sites have the same name: their certificates are no damaged ones of this.
    pub(super) fn damage(&self, issuer: &Self) -> Option<&'static str> {
        let (_, this) = X509Certificate::from_der(&self.der).ok()?;
        let (_, issuer) = X509Certificate::from_der(&issuer.der).ok()?;
        // Other errors are of algorithms that cannot be checked here.
        let is_issuer = this.issuer().as_raw() == issuer.subject().as_raw()
            && match authority_key(&this) {
                Some(key) => subject_key(&issuer) == Some(key),
                None => this.as_raw() == issuer.as_raw(),
            };
        let is_wrong =
            is_issuer && this.verify_signature(Some(issuer.public_key())) == Err(X509Error::SignatureVerificationError);
        is_wrong.then_some("it is damaged: its signature is wrong")
    }

    /// Whether it may sign for `name`, a DNS name in lower case or an IP address.
    pub(super) fn allows(&self, name: &str) -> bool {
        self.constraints.as_ref().is_none_or(|constraints| constraints.allow(name))
    }

    /// Whether it is the certificate of `key`.
    pub(super) fn belongs_to(&self, key: &KeyPair) -> bool {
        self.has_key(key.public_key_raw())
    }

    /// Whether it is the certificate of this public key, see [`super::keys::public_key`].
    pub(super) fn has_key(&self, public: &[u8]) -> bool {
        self.public_key == public
    }

    /// Whether it is valid for `host`: a name, an address, or a name below a wildcard's (RFC 6125, section 6.4.3).
    pub(super) fn covers(&self, host: &str) -> bool {
        let wildcard = host.split_once('.').map(|(_, domain)| format!("*.{domain}"));
        let address = host.parse::<IpAddr>().is_ok();
        self.names.contains(host) || !address && wildcard.is_some_and(|wildcard| self.names.contains(&wildcard))
    }

    /// Why it is not valid at `now`.
    pub(super) fn invalid_at(&self, now: i64) -> Option<String> {
        if now < self.not_before {
            return Some(format!("it is not valid before {}", date(self.not_before)));
        }
        (now > self.not_after).then(|| format!("it expired on {}", date(self.not_after)))
    }

    /// Why it is due at `now`: fewer than `days` days are left.
    pub(super) fn due_within(&self, now: i64, days: u32) -> Option<String> {
        (self.not_after - now < i64::from(days) * DAY).then(|| format!("it expires on {}", date(self.not_after)))
    }

    /// Why it is due at `now`: less than a fifth of its lifetime is left.
    pub(super) fn ends_soon(&self, now: i64) -> Option<String> {
        let life = self.not_after - self.not_before;
        self.ends_before(now + life / LAST_PART)
    }

    /// As [`Self::ends_soon`], but at most `days` days before its end.
    pub(super) fn ends_within(&self, now: i64, days: i64) -> Option<String> {
        self.ends_soon(now).and_then(|_| self.ends_before(now + days * DAY))
    }

    fn ends_before(&self, time: i64) -> Option<String> {
        (self.not_after < time).then(|| format!("it expires on {}", date(self.not_after)))
    }
}

fn general_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(|octets| IpAddr::V4(Ipv4Addr::from(octets)));
            let v6 = || <[u8; 16]>::try_from(*bytes).map(|octets| IpAddr::V6(Ipv6Addr::from(octets)));
            v4.or_else(|_| v6()).ok().map(|ip| ip.to_string())
        }
        _ => None,
    }
}

/// `2026-11-24`, in UTC.
pub(super) fn date(seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(seconds).map_or_else(|_| "a far day".into(), |time| time.date().to_string())
}

/// A new private key.
pub(super) fn new_key() -> Result<KeyPair> {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).context("cannot create a private key")
}

/// Reads a private key; `None` for other text, or a kind that ring cannot read (P-521, PKCS #1, SEC 1).
pub(super) fn parse_key(pem: &str) -> Option<KeyPair> {
    KeyPair::from_pem(pem).ok()
}

/// A self-signed certificate for an authority that signs only servers' certificates (path length 0) for these names, as
/// PEM.
pub(super) fn authority(key: &KeyPair, name: &str, names: &BTreeSet<String>, days: u32, now: i64) -> Result<String> {
    let mut params = params(name, now, now.saturating_add(i64::from(days) * DAY))?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.name_constraints = Some(constraints::permitting(names));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params.self_signed(key)?.pem())
}

/// The authority that signs: its certificate as PEM and its key.
pub(super) struct Signer<'a> {
    pub(super) certificate: &'a Certificate,
    pub(super) pem: &'a str,
    pub(super) key: &'a KeyPair,
}

impl Signer<'_> {
    /// A server's certificate for `names` (DNS names and IP addresses), as PEM. It never outlives the authority. When
    /// that is not self-signed, its certificate follows, as clients may know only the one above.
    pub(super) fn sign(&self, key: &KeyPair, name: &str, names: &[String], days: u32, now: i64) -> Result<String> {
        let end = now.saturating_add(i64::from(days) * DAY).min(self.certificate.not_after);
        let mut params = params(name, now, end)?;
        params.subject_alt_names = CertificateParams::new(names.to_vec())?.subject_alt_names;
        // "Explicit" adds the subject key identifier, which strict clients require.
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // This parser is stricter than the one that read it before.
        let issuer = Issuer::from_ca_cert_pem(self.pem, self.key).map_err(|error| {
            let hint = "restore it from your backup; `sealift site renew --authority` makes a new one that everyone has to trust";
            Failure::failed(format!("{CA_CERTIFICATE} cannot be used to sign certificates: {error}")).hint(hint)
        })?;
        let mut pem = params.signed_by(key, &issuer)?.pem();
        if !self.certificate.self_issued {
            pem.push_str(self.pem);
        }
        Ok(pem)
    }
}

fn params(name: &str, now: i64, end: i64) -> Result<CertificateParams> {
    let time = |seconds| {
        OffsetDateTime::from_unix_timestamp(seconds)
            .map_err(|_| Failure::usage(format!("the certificate of `{name}` would expire after the year 9999")))
    };
    // X.520 bounds the common name.
    if name.chars().count() > 64 {
        return Err(Failure::usage(format!("`{name}` is too long for a certificate: 64 characters at most")).into());
    }
    let mut params = CertificateParams::default();
    params.not_before = time(now - SKEW)?;
    params.not_after = time(end)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(serial()?);
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// 128 bits, of which the first is 0 (positive) and the second is 1 (always 16 bytes); the rest is random.
fn serial() -> Result<SerialNumber> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).context("cannot read random bytes from the system")?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

/// The identifier of the key that signed a certificate (RFC 5280, section 4.2.1.1).
fn authority_key<'a>(certificate: &X509Certificate<'a>) -> Option<&'a [u8]> {
    certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(found) => found.key_identifier.as_ref().map(|key| key.0),
        _ => None,
    })
}

/// The identifier of a certificate's own key (RFC 5280, section 4.2.1.2).
fn subject_key<'a>(certificate: &X509Certificate<'a>) -> Option<&'a [u8]> {
    certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(key) => Some(key.0),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn ca(days: u32) -> (KeyPair, String) {
        let key = new_key().unwrap();
        let names = ["a", "a.example", "2001:db8::7", "127.0.0.1"].map(str::to_owned).into();
        let pem = authority(&key, "Mini Authority", &names, days, NOW).unwrap();
        (key, pem)
    }

    /// Whoever got the key could pose as any server to everyone who trusts the site.
    #[test]
    fn an_authority_may_sign_for_the_names_of_its_site_only() {
        let allowed = |names: &[&str], name: &str| {
            let key = new_key().unwrap();
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            let pem = authority(&key, "Mini Authority", &names, 10, NOW).unwrap();
            Certificate::parse(&pem, "ca").unwrap().allows(name)
        };
        let both = ["a.example", "192.0.2.7", "db"];
        for name in ["a.example", "x.a.example", "192.0.2.7", "db"] {
            assert!(allowed(&both, name), "{name}");
        }
        for name in ["b.example", "example", "xa.example", "192.0.2.8", "2001:db8::7", "::192.0.2.7"] {
            assert!(!allowed(&both, name), "{name}");
        }
        assert!(!allowed(&["a.example"], "192.0.2.7") && !allowed(&["a.example"], "::1"));
        assert!(!allowed(&["2001:db8::7"], "a.example") && allowed(&["2001:db8::7"], "2001:db8::7"));
    }

    /// What other programs make of it.
    #[test]
    fn openssl_refuses_other_names() {
        if std::process::Command::new("openssl").arg("version").output().is_err() {
            return;
        }
        let place = tempfile::tempdir().unwrap();
        let (ca_key, ca_pem) = ca(100);
        let certificate = Certificate::parse(&ca_pem, "ca").unwrap();
        let signer = Signer { certificate: &certificate, pem: &ca_pem, key: &ca_key };
        fs_err::write(place.path().join("ca"), &ca_pem).unwrap();
        let accepts = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let pem = signer.sign(&new_key().unwrap(), "server", &names, 10, NOW).unwrap();
            fs_err::write(place.path().join("leaf"), pem).unwrap();
            let mut openssl = std::process::Command::new("openssl");
            openssl.args(["verify", "-x509_strict", "-attime", &(NOW + 60).to_string(), "-CAfile", "ca", "leaf"]);
            openssl.current_dir(place.path()).output().unwrap().status.success()
        };
        assert!(accepts(&["a.example"]) && accepts(&["a", "127.0.0.1"]) && accepts(&["2001:db8::7"]));
        assert!(!accepts(&["bank.example"]) && !accepts(&["a.example", "127.0.0.2"]) && !accepts(&["2001:db8::8"]));
    }

    #[test]
    fn issued_certificate_matches_authority_key_and_names() {
        let (ca_key, ca_pem) = ca(100);
        let ca = Certificate::parse(&ca_pem, "ca").unwrap();
        let key = new_key().unwrap();
        let names = ["a.example".to_owned(), "2001:db8::7".to_owned(), "127.0.0.1".to_owned()];
        let signer = Signer { certificate: &ca, pem: &ca_pem, key: &ca_key };
        let leaf = Certificate::parse(&signer.sign(&key, "a", &names, 10, NOW).unwrap(), "leaf").unwrap();
        assert!(ca.is_authority && ca.self_issued && !leaf.is_authority && !leaf.self_issued);
        assert!(leaf.signed_by(&ca) && !ca.signed_by(&leaf));
        assert!(leaf.belongs_to(&key) && !leaf.belongs_to(&ca_key));
        assert_eq!(leaf.names, names.into_iter().collect());
        assert_eq!((leaf.not_before, leaf.not_after), (NOW - 3600, NOW + 10 * DAY));
    }

    #[test]
    fn certificate_never_outlives_its_authority() {
        let (ca_key, ca_pem) = ca(3);
        let ca = Certificate::parse(&ca_pem, "ca").unwrap();
        let signer = Signer { certificate: &ca, pem: &ca_pem, key: &ca_key };
        let leaf = signer.sign(&new_key().unwrap(), "a", &["a".to_owned()], 10, NOW).unwrap();
        assert_eq!(Certificate::parse(&leaf, "leaf").unwrap().not_after, NOW + 3 * DAY);
    }

    #[test]
    fn lifetime_ends() {
        let certificate = Certificate::parse(&ca(10).1, "ca").unwrap();
        assert_eq!(certificate.invalid_at(NOW), None);
        assert_eq!(certificate.ends_soon(NOW + 7 * DAY), None);
        insta::assert_snapshot!(certificate.ends_soon(NOW + 9 * DAY).unwrap(), @"it expires on 2027-01-25");
        insta::assert_snapshot!(certificate.invalid_at(NOW + 10 * DAY + 1).unwrap(), @"it expired on 2027-01-25");
        insta::assert_snapshot!(certificate.invalid_at(NOW - 2 * DAY).unwrap(), @"it is not valid before 2027-01-15");
    }

    #[test]
    fn authority_of_the_same_name_is_not_the_signer() {
        let (key, pem) = ca(10);
        let (_, other) = ca(10);
        let ca = Certificate::parse(&pem, "ca").unwrap();
        let signer = Signer { certificate: &ca, pem: &pem, key: &key };
        let leaf = signer.sign(&new_key().unwrap(), "a", &["a".to_owned()], 10, NOW).unwrap();
        let leaf = Certificate::parse(&leaf, "leaf").unwrap();
        assert!(!leaf.signed_by(&Certificate::parse(&other, "other").unwrap()));
    }
}
