//! Paths of a site, and checks that a profile's names fit into it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::Result;
use sealift_layers::tree::TreePath;

use super::operator_input::folders;
use super::public_host::PublicHost;
use super::{record, settings};
use crate::failure::Failure;
use crate::profile::model::{Certificate, Model};
use crate::profile::names::{BY_GROUP, CA_CERTIFICATE};
use crate::profile::template::identifier;

/// The private key of the authority.
pub(super) const CA_KEY: &str = "custom-ca.key";
/// Variables of the compose file.
pub(super) const PORTS: &str = "ports.env";

/// Path of the private key of the certificate `name`.
pub(super) fn key_path(name: &str) -> String {
    format!("tls/{name}.key")
}

/// Path of the certificate `name`.
pub(super) fn certificate_path(name: &str) -> String {
    format!("tls/{name}.crt")
}

/// The names that a certificate must be valid for, each once, in the profile's order; the public host comes last.
pub(super) fn wanted_names(name: &str, certificate: &Certificate, host: &PublicHost) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for text in &certificate.names {
        let parsed: PublicHost = text.parse().map_err(|error: Failure| {
            Failure::usage(format!("site.certificates.{name}.names has an invalid name")).because(error)
        })?;
        names.push(parsed.as_str().to_owned());
    }
    if certificate.host {
        names.push(host.as_str().to_owned());
    }
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    Ok(names)
}

/// Refuses a profile whose site would not work: names that are not file names, or paths that collide.
pub(super) fn check(model: &Model) -> Result<()> {
    let site = &model.site;
    for name in site.certificates.keys().chain(site.secrets.keys()).chain(site.ports.keys()) {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(plain) {
            return Err(Failure::usage(format!("`{name}` cannot be the name of a certificate, a secret or a port"))
                .hint("use letters, digits, `-`, `_` and `.`, starting with a letter or digit")
                .into());
        }
    }
    for (name, port) in &site.ports {
        if port.address.parse::<IpAddr>().is_err() {
            return Err(Failure::usage(format!("site.ports.{name}.address: `{}` is not an IP address", port.address))
                .hint("use 0.0.0.0 for all addresses of the host, 127.0.0.1 for access from the host only")
                .into());
        }
    }
    if site.authority.is_none() && !site.certificates.is_empty() {
        return Err(Failure::usage("the profile has certificates but no authority to sign them")
            .hint("add [site.authority] with a name and days")
            .into());
    }
    check_identifiers("secrets", site.secrets.keys())?;
    check_identifiers("ports", site.ports.keys())?;
    for path in site.templates.keys() {
        check_template_path(path.get_ref())?;
    }
    Ok(())
}

/// Templates write `-` as `_`: names must differ in other characters.
fn check_identifiers<'m>(table: &str, mut names: impl Iterator<Item = &'m String>) -> Result<()> {
    let mut seen = BTreeSet::new();
    match names.find(|name| !seen.insert(identifier(name))) {
        None => Ok(()),
        Some(name) => {
            let message = format!("site.{table}: templates cannot distinguish `{name}` from another name");
            Err(Failure::usage(message).hint("templates write `-` as `_`: rename one of them").into())
        }
    }
}

fn check_template_path(path: &str) -> Result<()> {
    let reserved =
        [record::FILE, settings::FILE, CA_CERTIFICATE, CA_KEY, PORTS, "tls", "secrets", folders::FOLDER, BY_GROUP];
    let top = path.split('/').next().unwrap_or(path);
    if TreePath::new(path).map(|clean| clean.as_str() != path).unwrap_or(true) || reserved.contains(&top) {
        return Err(Failure::usage(format!("`{path}` cannot be the path of a rendered file of the site"))
            .hint("use a relative path outside of tls/, secrets/, by-group/ and files/, such as env/server.env")
            .into());
    }
    Ok(())
}
