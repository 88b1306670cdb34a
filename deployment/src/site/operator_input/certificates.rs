//! What operators bring as files: certificates of their own, and authorities that a program is to trust.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use sealift_layers::digest::Digest;
use x509_parser::pem::Pem;

use super::faults::Faults;
use super::files::{self, Access};
use super::host::Host;
use super::keys;
use super::pki::Certificate;
use super::record::Record;
use super::report::{Action, Report};
use super::{CA_CERTIFICATE, certificate_path, key_path};
use crate::profile::model::{Certificate as Wanted, Model};

/// Most days before its end that a certificate is warned about; one that lives for less than five times as long is
/// warned about when a fifth of its life is left.
const SOON: i64 = 30;

/// A certificate that the profile leaves to the operator, and where it is looked for.
pub(super) struct Place<'a> {
    pub(super) directory: &'a Path,
    pub(super) name: &'a str,
    pub(super) wanted: &'a Wanted,
    pub(super) host: &'a Host,
    pub(super) record: &'a Record,
}

/// Whether the certificate is the site's business after all: its authority made it before, or there is none and it may
/// `make` one.
pub(super) fn is_ours(place: &Place<'_>, make: bool) -> Result<bool> {
    let path = certificate_path(place.name);
    let Some(pem) = files::read_text(&place.directory.join(&path))? else { return Ok(make) };
    if place.record.certificates.get(place.name) == Some(&Digest::of(pem.as_bytes())) {
        return Ok(true);
    }
    let Some(authority) = files::read_text(&place.directory.join(CA_CERTIFICATE))? else { return Ok(false) };
    let pair = (Certificate::parse(&authority, CA_CERTIFICATE), Certificate::parse(&pem, &path));
    Ok(matches!(pair, (Ok(authority), Ok(certificate)) if certificate.signed_by(&authority)))
}

/// Checks the certificate and the key that the operator brought.
pub(super) fn check(place: &Place<'_>, now: i64, faults: &mut Faults, report: &mut Report) -> Result<()> {
    let (key_path, path) = (key_path(place.name), certificate_path(place.name));
    let pem = files::read_text(&place.directory.join(&path))?;
    let key = files::read_text(&place.directory.join(&key_path))?;
    if pem.is_none() {
        let hint = "the certificate, then intermediate ones, in PEM; or --self-signed to have one made for trials";
        faults.add(format!("{path} is not there"), hint);
    }
    if key.is_none() {
        faults.add(format!("{key_path} is not there"), "the certificate's private key in PEM, without a password");
    }
    let public = key.and_then(|key| match keys::public_key(&key) {
        Ok(public) => Some(public),
        Err((what, hint)) => {
            faults.add(format!("{key_path} {what}"), hint);
            None
        }
    });
    if let Some(pem) = &pem {
        let names = match place.wanted.host {
            true => vec![place.host.as_str()],
            false => place.wanted.names.iter().map(String::as_str).collect(),
        };
        certificate((pem, &path), &names, public.as_deref(), now, faults, report);
    }
    Ok(())
}

/// Checks one certificate with its chain.
fn certificate(
    (pem, path): (&str, &str),
    wanted: &[&str],
    key: Option<&[u8]>,
    now: i64,
    faults: &mut Faults,
    report: &mut Report,
) {
    let chain = match chain(pem) {
        Ok(chain) => chain,
        Err(what) => return faults.add(format!("{path}: {what}"), "PEM: it begins with -----BEGIN CERTIFICATE-----"),
    };
    let leaf = &chain[0];
    if key.is_some_and(|key| !leaf.has_key(key)) {
        if chain.iter().any(|other| key.is_some_and(|key| other.has_key(key))) {
            faults.add(format!("{path}: the server's own certificate is not the first"), "put it before the others");
        } else {
            faults.add(
                format!("{path}: it is not the certificate of the key beside it"),
                "bring the two that belong together",
            );
        }
    }
    for name in wanted.iter().filter(|name| !leaf.covers(name)) {
        let names: Vec<&str> = leaf.names.iter().map(String::as_str).collect();
        let hint = if names.is_empty() { "it names no host".into() } else { format!("it is for {}", names.join(", ")) };
        faults.add(format!("{path}: it is not for {name}"), hint);
    }
    for (index, certificate) in chain.iter().enumerate() {
        let which = if index == 0 { String::new() } else { format!("certificate {}: ", index + 1) };
        if let Some(invalid) = certificate.invalid_at(now) {
            faults.add(format!("{path}: {which}{invalid}"), "bring a valid one; is the clock right?");
        } else if let Some(soon) = certificate.ends_within(now, SOON) {
            report.warn(format!("{path}: {which}{soon}"), "bring a new one before");
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
    if chain.is_empty() { Err("it holds no certificate".into()) } else { Ok(chain) }
}

/// How many certificates each file of authorities holds, by name.
pub(super) fn trusted(
    directory: &Path,
    model: &Model,
    now: i64,
    faults: &mut Faults,
    report: &mut Report,
) -> Result<BTreeMap<String, usize>> {
    let mut counts = BTreeMap::new();
    for (name, trusted) in &model.site.trusted {
        let path = certificate_path(name);
        let count = match files::read_text(&directory.join(&path))? {
            None => 0,
            Some(text) if !text.contains("-----BEGIN") => 0,
            Some(text) => match chain(&text) {
                Ok(chain) => {
                    for certificate in &chain {
                        if let Some(invalid) = certificate.invalid_at(now) {
                            report.warn(format!("{path}: {invalid}"), format!("bring a valid one: {}", trusted.title));
                        }
                    }
                    chain.len()
                }
                Err(what) => {
                    faults.add(format!("{path}: {what}"), trusted.title.clone());
                    0
                }
            },
        };
        counts.insert(name.clone(), count);
    }
    Ok(counts)
}

/// Writes the files of authorities that are not there, so that containers find something in their place.
pub(super) fn offer_trusted(directory: &Path, model: &Model, report: &mut Report) -> Result<()> {
    for (name, trusted) in &model.site.trusted {
        let path = certificate_path(name);
        if files::read(&directory.join(&path))?.is_some() {
            report.add(&path, Action::Kept, "");
            continue;
        }
        let title: String = trusted.title.trim().lines().map(|line| format!("# {line}\n")).collect();
        let text = format!("{title}# Put their certificates below, in PEM; with none, this file has no effect.\n");
        files::write(directory, &path, text.as_bytes(), Access::mode(0o644), report)?;
        report.add(&path, Action::Made, "");
    }
    Ok(())
}
