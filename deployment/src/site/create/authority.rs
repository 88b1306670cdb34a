//! The private certificate authority of a site.

use anyhow::Result;
use rcgen::KeyPair;

use super::update::{SiteRequest, SiteUpdate};
use crate::failure::Failure;
use crate::profile::model;
use crate::profile::names::CA_CERTIFICATE;
use crate::site::files::{self, Access};
use crate::site::layout::CA_KEY;
use crate::site::pki::{self, Certificate};
use crate::site::report::Action;

/// The authority of a site.
pub(super) struct Authority {
    pub(super) certificate: Certificate,
    /// The certificate as text.
    pub(super) pem: String,
    /// Its private key; `None` when the operator keeps it elsewhere: then nothing can be signed.
    pub(super) key: Option<KeyPair>,
}

impl SiteUpdate<'_> {
    /// The authority, created if the site has none. An expired self-signed one gets a new certificate for its key.
    pub(super) fn authority(&mut self, wanted: &model::Authority) -> Result<Authority> {
        let (directory, now) = (self.request.directory, self.request.now);
        let key = match files::read_text(directory, CA_KEY)? {
            Some(text) => Some(pki::parse_key(&text).ok_or_else(|| {
                Failure::failed(format!("{CA_KEY} cannot be read as a private key")).hint(
                    "it must be PKCS #8 PEM with an ECDSA P-256 or P-384, Ed25519 or RSA key: \
                     openssl pkcs8 -topk8 -nodes",
                )
            })?),
            None => None,
        };
        let Some(pem) = files::read_text(directory, CA_CERTIFICATE)? else {
            return self.new_authority(wanted, key, None);
        };
        let certificate = Certificate::parse(&pem, CA_CERTIFICATE)?;
        check_authority(&certificate, key.as_ref())?;
        match certificate.invalid_at(now) {
            None => self.keep_authority(Authority { certificate, pem, key }),
            Some(invalid) if key.is_some() && certificate.self_issued && now > certificate.not_after => {
                self.new_authority(wanted, key, Some(invalid))
            }
            Some(invalid) => Err(Failure::failed(format!("{CA_CERTIFICATE}: {invalid}"))
                .hint(self.way_out(&certificate, key.is_some()))
                .into()),
        }
    }

    /// The hint for a certificate of the authority that is not valid now.
    fn way_out(&self, certificate: &Certificate, has_key: bool) -> String {
        let SiteRequest { directory, now, .. } = self.request;
        let path = directory.join(CA_CERTIFICATE);
        let path = path.display();
        let today = pki::date(*now);
        if *now < certificate.not_before {
            let slow = format!("the clock says {today}: if it is slow, set it");
            return if certificate.self_issued && has_key {
                format!(
                    "{slow}; if it was fast when the certificate was made, remove {path} and run this again: it is \
                     issued anew for the same key, and everyone who trusts the old one needs the new one"
                )
            } else {
                format!("{slow}; if it is right, wait for that day, or replace {path} by a valid certificate")
            };
        }
        let fast = format!("the clock says {today}: if it is fast, set it; if it is right,");
        if certificate.self_issued {
            format!("{fast} put {CA_KEY} beside it, and it is renewed; or replace {path} by a valid certificate")
        } else {
            format!("{fast} replace {path} by a new certificate of its issuer")
        }
    }

    fn keep_authority(&mut self, authority: Authority) -> Result<Authority> {
        if let Some(soon) = authority.certificate.ends_soon(self.request.now) {
            let hint = "plan its replacement: everyone who trusts it needs the new one";
            self.report.warnings.warn(CA_CERTIFICATE, soon, hint);
        }
        if authority.key.is_some() {
            self.keep(CA_KEY, Access::mode(0o600))?;
        }
        self.keep(CA_CERTIFICATE, Access::mode(0o644))?;
        Ok(authority)
    }

    /// Issues the authority's certificate for `key`, or for a new key. `expired` is the reason why the old one is replaced.
    fn new_authority(
        &mut self,
        wanted: &model::Authority,
        key: Option<KeyPair>,
        expired: Option<String>,
    ) -> Result<Authority> {
        let key = match key {
            Some(key) => {
                self.report.add(CA_KEY, Action::Kept, "");
                key
            }
            None => {
                let key = pki::new_key()?;
                self.put(CA_KEY, key.serialize_pem().as_bytes(), Access::mode(0o600), "")?;
                key
            }
        };
        let pem = pki::authority(&key, &wanted.name, wanted.days, self.request.now)?;
        let reason = expired.unwrap_or_default();
        if !reason.is_empty() {
            let message = format!("was renewed: {reason}");
            self.report.warnings.warn(CA_CERTIFICATE, message, "distribute it to everyone who trusted the old one");
        }
        self.put(CA_CERTIFICATE, pem.as_bytes(), Access::mode(0o644), &reason)?;
        Ok(Authority { certificate: Certificate::parse(&pem, CA_CERTIFICATE)?, pem, key: Some(key) })
    }
}

fn check_authority(certificate: &Certificate, key: Option<&KeyPair>) -> Result<()> {
    if !certificate.is_authority {
        return Err(Failure::failed(format!("{CA_CERTIFICATE} is not the certificate of an authority"))
            .hint("provide one with basicConstraints CA:TRUE, or remove it to have one created")
            .into());
    }
    if key.is_some_and(|key| !certificate.belongs_to(key)) {
        return Err(Failure::failed(format!("{CA_KEY} is not the key of {CA_CERTIFICATE}"))
            .hint("provide a matching pair, or remove both to have new ones created")
            .into());
    }
    Ok(())
}
