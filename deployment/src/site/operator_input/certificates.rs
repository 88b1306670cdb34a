//! Files that operators provide: certificates of their own, and authorities that a program trusts.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use sealift_layers::digest::Digest;
use x509_parser::pem::Pem;

use crate::finding::Findings;
use crate::profile::model::{self, Model};
use crate::profile::names::CA_CERTIFICATE;
use crate::site::files::{self, Access};
use crate::site::keys::{self, KeyError};
use crate::site::layout::{certificate_path, key_path};
use crate::site::pki::Certificate;
use crate::site::public_host::PublicHost;
use crate::site::record::Record;
use crate::site::report::{Action, SiteReport};

/// Days before its end from which a certificate is warned about; one with a lifetime of less than five times as many is
/// warned about when a fifth of its lifetime is left.
const WARNING_DAYS: i64 = 30;

/// A certificate that the profile leaves to the operator, and where it is looked for.
pub(in crate::site) struct OperatorCertificate<'a> {
    /// The site's directory.
    pub(in crate::site) directory: &'a Path,
    pub(in crate::site) name: &'a str,
    pub(in crate::site) wanted: &'a model::Certificate,
    pub(in crate::site) host: &'a PublicHost,
    /// What the site's authority issued in earlier runs.
    pub(in crate::site) record: &'a Record,
}

impl OperatorCertificate<'_> {
    /// Whether the site's authority issues the certificate after all: it issued the existing one, or there is none and
    /// `self_signed` allows it.
    pub(in crate::site) fn belongs_to_site(&self, self_signed: bool) -> Result<bool> {
        let path = certificate_path(self.name);
        let Some(pem) = files::read_text(self.directory, &path)? else { return Ok(self_signed) };
        if self.record.certificates.get(self.name) == Some(&Digest::of(pem.as_bytes())) {
            return Ok(true);
        }
        let Some(authority) = files::read_text(self.directory, CA_CERTIFICATE)? else { return Ok(false) };
        let pair = (Certificate::parse(&authority, CA_CERTIFICATE), Certificate::parse(&pem, &path));
        Ok(matches!(pair, (Ok(authority), Ok(certificate)) if certificate.signed_by(&authority)))
    }

    /// Checks the certificate and its key.
    pub(in crate::site) fn check(&self, now: i64, findings: &mut Findings) -> Result<()> {
        let (key_path, path) = (key_path(self.name), certificate_path(self.name));
        let pem = files::read_text(self.directory, &path)?;
        let key = files::read_text(self.directory, &key_path)?;
        if pem.is_none() {
            let hint = "put the certificate there, then intermediate ones, in PEM; or use --self-signed for a trial";
            findings.error(&path, "missing", hint);
        }
        if key.is_none() {
            findings.error(&key_path, "missing", "put the certificate's private key there, in PEM, without a password");
        }
        let public = key.and_then(|key| match keys::public_key(&key) {
            Ok(public) => Some(public),
            Err(KeyError { message, hint }) => {
                findings.error(&key_path, message, hint);
                None
            }
        });
        let Some(pem) = &pem else { return Ok(()) };
        match chain(pem) {
            Ok(chain) => {
                check_key(&path, &chain, public.as_deref(), findings);
                self.check_names(&path, &chain[0], findings);
                check_validity(&path, &chain, now, findings);
            }
            Err(message) => findings.error(&path, message, "use PEM: it begins with -----BEGIN CERTIFICATE-----"),
        }
        Ok(())
    }

    fn check_names(&self, path: &str, leaf: &Certificate, findings: &mut Findings) {
        let wanted: Vec<&str> = match self.wanted.host {
            true => vec![self.host.as_str()],
            false => self.wanted.names.iter().map(String::as_str).collect(),
        };
        for name in wanted.iter().filter(|name| !leaf.covers(name)) {
            let names: Vec<&str> = leaf.names.iter().map(String::as_str).collect();
            let hint = match &names[..] {
                [] => "it names no host".into(),
                names => format!("it is for {}", names.join(", ")),
            };
            findings.error(path, format!("it is not for {name}"), hint);
        }
    }
}

/// The first certificate of the chain must be the one of the public `key`.
fn check_key(path: &str, chain: &[Certificate], key: Option<&[u8]>, findings: &mut Findings) {
    let Some(key) = key.filter(|key| !chain[0].has_key(key)) else { return };
    if chain.iter().any(|other| other.has_key(key)) {
        findings.error(path, "the server's own certificate is not the first", "move it before the others");
    } else {
        findings.error(path, "it is not the certificate of the key beside it", "provide a matching pair");
    }
}

fn check_validity(path: &str, chain: &[Certificate], now: i64, findings: &mut Findings) {
    for (index, certificate) in chain.iter().enumerate() {
        let which = if index == 0 { String::new() } else { format!("certificate {}: ", index + 1) };
        if let Some(invalid) = certificate.invalid_at(now) {
            let hint = if now < certificate.not_before {
                "set the clock if it is slow; else wait for that day, or provide a certificate that is valid now"
            } else {
                "provide a new one; if it should still be valid, the clock is fast: set it"
            };
            findings.error(path, format!("{which}{invalid}"), hint);
        } else if let Some(soon) = certificate.ends_within(now, WARNING_DAYS) {
            findings.warn(path, format!("{which}{soon}"), "provide a new one before that day");
        }
    }
}

/// All certificates of a PEM file; at least one.
fn chain(pem: &str) -> Result<Vec<Certificate>, String> {
    let mut chain = Vec::new();
    for block in Pem::iter_from_buffer(pem.as_bytes()) {
        let block = block.map_err(|_| "it is cut off or damaged".to_owned())?;
        if block.label == "CERTIFICATE" {
            let certificate =
                Certificate::of(&block).map_err(|_| format!("certificate {} cannot be read", chain.len() + 1))?;
            chain.push(certificate);
        }
    }
    if chain.is_empty() { Err("it contains no certificate".into()) } else { Ok(chain) }
}

/// The number of certificates in each file of authorities, by name. A missing file counts as empty.
pub(in crate::site) fn trusted(
    directory: &Path,
    model: &Model,
    now: i64,
    findings: &mut Findings,
) -> Result<BTreeMap<String, usize>> {
    let mut counts = BTreeMap::new();
    for (name, trusted) in &model.site.trusted {
        let path = certificate_path(name);
        let count = match files::read_text(directory, &path)? {
            None => 0,
            Some(text) if !text.contains("-----BEGIN") => 0,
            Some(text) => match chain(&text) {
                Ok(chain) => {
                    for certificate in &chain {
                        if let Some(invalid) = certificate.invalid_at(now) {
                            findings.warn(&path, invalid, format!("provide a valid one: {}", trusted.title));
                        }
                    }
                    chain.len()
                }
                Err(message) => {
                    findings.error(&path, message, trusted.title.as_str());
                    0
                }
            },
        };
        counts.insert(name.clone(), count);
    }
    Ok(counts)
}

/// Writes the files of authorities that are missing: containers mount them, so they must exist.
pub(in crate::site) fn offer_trusted(directory: &Path, model: &Model, report: &mut SiteReport) -> Result<()> {
    for (name, trusted) in &model.site.trusted {
        let path = certificate_path(name);
        if files::read(directory, &path)?.is_some() {
            report.add(&path, Action::Kept, "");
            continue;
        }
        let title: String = trusted.title.trim().lines().map(|line| format!("# {line}\n")).collect();
        let text = format!("{title}# Add the certificates below, in PEM. Without any, this file has no effect.\n");
        files::write(directory, &path, text.as_bytes(), Access::mode(0o644), &mut report.warnings)?;
        report.add(&path, Action::Created, "");
    }
    Ok(())
}
