//! The material of one installation: its private authority, certificates, secrets and rendered files.
//!
//! A site is a directory beside the images, never in them:
//!
//! ```text
//! settings.toml                  what the operator gives: written once, then the operator's
//! site.toml                      what it was made for, and digests of what was put into it last
//! custom-ca.crt, custom-ca.key   the private authority; the key is needed only to sign, so it may be kept elsewhere
//! tls/NAME.crt, tls/NAME.key     of each `site.certificates`; tls/NAME.crt of each `site.trusted`
//! secrets/NAME                   of each `site.secrets`: its text, with no newline
//! env/..., nginx/...             the rendered `site.templates`
//! ports.env                      variables of the compose file; compose reads them as `.env` beside it
//! ```
//!
//! [`create`] makes what is missing and replaces what is no longer right. Whatever is random stays: a secret or a key
//! that is there is never made anew (remove it to have that). What the operator brought or edited stays too: a
//! certificate that neither the authority signed nor we wrote, a rendered file that differs from what was rendered last.

mod create;
mod env;
mod faults;
mod files;
mod given;
mod host;
mod keys;
mod load;
mod pki;
mod ports;
mod provided;
mod record;
mod renew;
mod report;
mod settings;
mod survey;
mod templates;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::Result;
use sealift_layers::tree::TreePath;

pub use create::{SiteRequest, create};
pub use env::parse_env;
pub use host::Host;
pub use load::{Site, SiteFile, load};
pub use ports::ports_env;
pub use renew::{Renewal, renew};
pub use report::{Action, Change, Report, Warning};
pub use settings::Settings;
pub use survey::{Validity, certificates, groups, permissions, ports};
pub use templates::{Parameters, render_public, template_mode};

use crate::failure::Failure;
use crate::profile::model::{Certificate, Model};
use crate::profile::names::{CA_CERTIFICATE, secret_path};

const CA_KEY: &str = "custom-ca.key";
const PORTS: &str = "ports.env";

fn key_path(name: &str) -> String {
    format!("tls/{name}.key")
}

fn certificate_path(name: &str) -> String {
    format!("tls/{name}.crt")
}

/// The names that a certificate must be valid for, each once, in the profile's order; the public host comes last.
fn wanted_names(name: &str, certificate: &Certificate, host: &Host) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for text in &certificate.names {
        let parsed: Host =
            text.parse().map_err(|error| Failure::usage(format!("site.certificates.{name}.names: {error}")))?;
        names.push(parsed.as_str().to_owned());
    }
    if certificate.host {
        names.push(host.as_str().to_owned());
    }
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    Ok(names)
}

/// Refuses a profile whose site cannot be laid out: names that are no file names, or paths that meet.
fn check(model: &Model) -> Result<()> {
    let site = &model.site;
    for name in site.certificates.keys().chain(site.secrets.keys()).chain(site.ports.keys()) {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(plain) {
            return Err(Failure::usage(format!("`{name}`: not a name for a certificate, a secret or a port"))
                .hint("letters, digits, `-`, `_` and `.`, the first a letter or digit")
                .into());
        }
    }
    for (name, port) in &site.ports {
        if port.address.parse::<IpAddr>().is_err() {
            return Err(Failure::usage(format!("site.ports.{name}.address: `{}` is not an IP address", port.address))
                .hint("0.0.0.0 for all of the host's, 127.0.0.1 for none but the host itself")
                .into());
        }
    }
    if site.authority.is_none() && !site.certificates.is_empty() {
        return Err(Failure::usage("the profile has certificates but no authority to sign them")
            .hint("add [site.authority] with a name and days")
            .into());
    }
    for (kind, names) in
        [("secrets", site.secrets.keys().collect::<Vec<_>>()), ("ports", site.ports.keys().collect::<Vec<_>>())]
    {
        let mut seen = BTreeSet::new();
        if let Some(name) = names.iter().find(|name| !seen.insert(templates::identifier(name))) {
            let message =
                format!("site.{kind}: `{name}` and another name are the same to templates, which write `-` as `_`");
            return Err(Failure::usage(message).into());
        }
    }
    for path in site.templates.keys() {
        let path = path.get_ref();
        let reserved = [record::FILE, settings::FILE, CA_CERTIFICATE, CA_KEY, PORTS, "tls", "secrets"];
        let top = path.split('/').next().unwrap_or(path);
        if TreePath::new(path).map(|clean| clean.as_str() != path).unwrap_or(true) || reserved.contains(&top) {
            return Err(Failure::usage(format!("`{path}` is not a path for a rendered file of the site"))
                .hint("write a relative path such as env/server.env, outside of tls/ and secrets/")
                .into());
        }
    }
    Ok(())
}
