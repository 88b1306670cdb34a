//! The private certificate authority of a site.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::IpAddr;

use anyhow::Result;
use rcgen::KeyPair;

use super::update::{SiteRequest, SiteUpdate};
use crate::failure::Failure;
use crate::files::{self as any_files, Pending};
use crate::profile::model;
use crate::profile::names::CA_CERTIFICATE;
use crate::site::files::{self, Access};
use crate::site::layout::{CA_KEY, wanted_names};
use crate::site::pki::{self, Certificate};
use crate::site::public_host::PublicHost;
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
    /// The authority, created if the site has none. A self-signed one gets a new certificate for its key when it has
    /// expired, when it may not sign for a name of the site, and when the request asks for it.
    pub(super) fn authority(&mut self, wanted: &model::Authority) -> Result<Authority> {
        let now = self.request.now;
        let key = self.authority_key()?;
        let Some(pem) = files::read_text(self.request.directory, CA_CERTIFICATE)? else {
            return self.new_authority(wanted, key, None);
        };
        let certificate = Certificate::parse(&pem, CA_CERTIFICATE)?;
        check_authority(&certificate, key.as_ref())?;
        if let Some(damage) = certificate.damage(&certificate) {
            return match key {
                Some(key) => self.new_authority(wanted, Some(key), Some(damage.to_owned())),
                None => Err(Failure::failed(format!("{CA_CERTIFICATE}: {damage}"))
                    .hint(format!("restore it, or put {CA_KEY} beside it, and it is issued again"))
                    .into()),
            };
        }
        if let Some(invalid) = certificate.invalid_at(now) {
            if key.is_some() && certificate.self_issued && now > certificate.not_after {
                return self.new_authority(wanted, key, Some(invalid));
            }
            let failure = Failure::failed(format!("{CA_CERTIFICATE}: {invalid}"));
            return Err(failure.hint(self.way_out(&certificate, key.is_some())).into());
        }
        let reason = self.reason_to_renew(&certificate)?;
        match (reason, key) {
            (None, key) => self.keep_authority(Authority { certificate, pem, key }),
            (Some(reason), key @ Some(_)) if certificate.self_issued => self.new_authority(wanted, key, Some(reason)),
            (Some(_), None) if self.request.renew_authority => {
                Err(Failure::failed(format!("{CA_CERTIFICATE} cannot be issued again without its key"))
                    .hint(format!("put {CA_KEY} beside it for this run, or name it with --authority-key FILE"))
                    .into())
            }
            // Without the key, a certificate that it may not sign cannot be issued anyway.
            (Some(_), None) => self.keep_authority(Authority { certificate, pem, key: None }),
            (Some(reason), Some(_)) => Err(Failure::failed(format!("{CA_CERTIFICATE}: {reason}"))
                .hint("provide an authority that may sign for it, or remove it and its key to have one created")
                .into()),
        }
    }

    /// Why a valid authority is issued again.
    fn reason_to_renew(&self, certificate: &Certificate) -> Result<Option<String>> {
        let names = self.authority_names()?;
        let lacking: Vec<&str> = names.iter().map(String::as_str).filter(|name| !certificate.allows(name)).collect();
        Ok(match &lacking[..] {
            [] if self.request.renew_authority => Some("as it was asked for".to_owned()),
            [] => None,
            lacking => Some(format!("it may not sign for {}", lacking.join(", "))),
        })
    }

    /// The names that the authority may sign for: those of all certificates of the site.
    fn authority_names(&self) -> Result<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for (name, certificate) in &self.request.model.site.certificates {
            let wanted = wanted_names(name, certificate, &self.parameters.host)?;
            // Programs take the common name for a host where a certificate names no other.
            if wanted.iter().all(|name| name.parse::<IpAddr>().is_ok()) && name.parse::<PublicHost>().is_ok() {
                names.insert(name.to_ascii_lowercase());
            }
            names.extend(wanted);
        }
        Ok(names)
    }

    /// The private key of the authority: from the file that the request names, else from the site. `None` if it is kept
    /// elsewhere, or there is none yet.
    fn authority_key(&mut self) -> Result<Option<KeyPair>> {
        let SiteRequest { directory, authority_key, .. } = *self.request;
        let own = files::read_text(directory, CA_KEY)?;
        let (path, text) = match authority_key {
            None => (CA_KEY.to_owned(), own),
            Some(path) => {
                if own.is_some() {
                    let hint = format!("if it is the same key: rm {}", directory.join(CA_KEY).display());
                    self.report.warnings.warn(CA_KEY, "is in the site, and is not used", hint);
                }
                let text = if path.exists() { Some(any_files::read_text(path)?) } else { None };
                (path.display().to_string(), text)
            }
        };
        let Some(text) = text else { return Ok(None) };
        let key = pki::parse_key(&text).ok_or_else(|| {
            Failure::failed(format!("{path} cannot be read as a private key")).hint(
                "it must be PKCS #8 PEM with an ECDSA P-256 or P-384, Ed25519 or RSA key: \
                 openssl pkcs8 -topk8 -nodes",
            )
        })?;
        Ok(Some(key))
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
            let hint =
                "sealift site renew --authority issues a new one: everyone who trusts it needs that before this day";
            self.report.warnings.warn(CA_CERTIFICATE, soon, hint);
        }
        if authority.key.is_some() && self.request.authority_key.is_none() {
            self.keep(CA_KEY, Access::mode(0o600))?;
        }
        self.keep(CA_CERTIFICATE, Access::mode(0o644))?;
        Ok(authority)
    }

    /// Issues the authority's certificate for `key`, or for a new key. `reason` is why the old one is replaced.
    fn new_authority(
        &mut self,
        wanted: &model::Authority,
        key: Option<KeyPair>,
        reason: Option<String>,
    ) -> Result<Authority> {
        let key = match (key, self.request.authority_key) {
            (Some(key), None) => {
                self.report.add(CA_KEY, Action::Kept, "");
                key
            }
            (Some(key), Some(_)) => key,
            (None, None) => {
                let key = pki::new_key()?;
                self.put(CA_KEY, key.serialize_pem().as_bytes(), Access::mode(0o600), "")?;
                key
            }
            (None, Some(path)) => {
                let key = pki::new_key()?;
                let mut file = Pending::private(path)?;
                file.write_all(key.serialize_pem().as_bytes())?;
                file.commit()?;
                key
            }
        };
        let names = self.authority_names()?;
        let pem = pki::authority(&key, &wanted.name, &names, wanted.days, self.request.now)?;
        let reason = reason.unwrap_or_default();
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
