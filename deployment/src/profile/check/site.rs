//! Checks of `[site]`.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::{Range, RangeInclusive};

use sealift_layers::tree::TreePath;

use super::super::model::{Groups, Mode, SitePort};
use super::Check;
use crate::failure::Failure;
use crate::site::PublicHost;

/// Ports of a range: engines start a process, or make a rule, for each.
const PORT_COUNT: RangeInclusive<u16> = 1..=1000;

/// Random bytes of a secret: enough to be safe, few enough for an environment variable.
const SECRET_BYTES: RangeInclusive<u32> = 12..=1024;

impl Check<'_> {
    pub(super) fn site(&mut self) {
        self.ports();
        self.certificates();
        for (name, secret) in &self.model.site.secrets {
            self.name(self.document.key(&["site", "secrets", name]), name, "a secret");
            if !SECRET_BYTES.contains(&secret.bytes) {
                let span = self.document.value(&["site", "secrets", name, "bytes"]);
                self.report(
                    span,
                    format!("{} bytes are not possible for a secret", secret.bytes),
                    "use 12 to 1024 random bytes",
                );
            }
            if !secret.prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b)) {
                let span = self.document.value(&["site", "secrets", name, "prefix"]);
                let hint = "use letters, digits, `_` and `-` only";
                self.report(span, format!("`{}` cannot be a secret's prefix", secret.prefix), hint);
            }
            self.secret_mode(&["site", "secrets", name, "mode"], secret.mode);
            self.groups(&["site", "secrets", name, "group"], &secret.group, Some(secret.mode));
        }
        self.templates();
        self.settings();
    }

    fn ports(&mut self) {
        let mut seen: Vec<(&str, IpAddr, &SitePort)> = Vec::new();
        for (name, port) in &self.model.site.ports {
            let at = |check: &Self, key| check.document.value(&["site", "ports", name, key]);
            self.name(self.document.key(&["site", "ports", name]), name, "a port");
            if port.default == 0 {
                self.report(at(self, "default"), "0 is not a port", "use 1 to 65535");
            }
            if !PORT_COUNT.contains(&port.count) || u32::from(port.default) + u32::from(port.count) > 65_536 {
                let message = format!("{} ports from {} on are not possible", port.count, port.default);
                self.report(at(self, "count"), message, "use 1 to 1000, so that the last port is 65535 at most");
            }
            let Ok(address) = port.address.parse::<IpAddr>() else {
                let message = format!("`{}` is not an IP address", port.address);
                let hint = "use \"0.0.0.0\" for all addresses of the host, \"127.0.0.1\" for access from the host only";
                self.report(at(self, "address"), message, hint);
                continue;
            };
            // A wildcard takes the port on every address.
            let clash = seen.iter().find(|(_, other, known)| {
                let same = known.protocol == port.protocol
                    && port.default <= known.last(known.default)
                    && known.default <= port.last(port.default);
                same && (*other == address || other.is_unspecified() || address.is_unspecified())
            });
            if let Some((other, _, known)) = clash {
                let same = port.default.max(known.default);
                let message = format!("the site port `{other}` has the same port {same} of the host");
                self.report(at(self, "default"), message, "use another number or another address");
            }
            seen.push((name, address, port));
        }
    }

    fn certificates(&mut self) {
        let site = &self.model.site;
        if let Some(authority) = &site.authority {
            if authority.name.trim().is_empty() {
                let span = self.document.value(&["site", "authority", "name"]);
                self.report(span, "the name of the authority is empty", "set its common name, which certificates show");
            }
            self.days(&["site", "authority", "days"], authority.days);
        }
        for (name, certificate) in &site.certificates {
            let key = self.document.key(&["site", "certificates", name]);
            self.name(key.clone(), name, "a certificate");
            if site.authority.is_none() {
                let hint = "add [site.authority] with `name` and `days`";
                self.report(key.clone(), format!("there is no authority to sign the certificate `{name}`"), hint);
            }
            if name == "custom-ca" {
                self.report(key, "`custom-ca` is reserved for the authority", "choose another name");
            }
            let names = ["site", "certificates", name, "names"];
            if certificate.names.is_empty() && !certificate.host {
                let hint = "add DNS names or IP addresses to `names`, or `host = true`";
                self.report(self.document.value(&names), format!("the certificate `{name}` has no names"), hint);
            }
            for (index, host) in certificate.names.iter().enumerate() {
                // The type that the site reads it with.
                if let Err(Failure { message, hint, .. }) = host.parse::<PublicHost>() {
                    let span = self.document.value(&[&names[..], &[&index.to_string()]].concat());
                    self.report(span, message, hint.unwrap_or_default());
                }
            }
            self.days(&["site", "certificates", name, "days"], certificate.days);
            self.secret_mode(&["site", "certificates", name, "key-mode"], certificate.key_mode);
            self.groups(
                &["site", "certificates", name, "key-group"],
                &certificate.key_group,
                Some(certificate.key_mode),
            );
        }
    }

    fn days(&mut self, path: &[&str], days: u32) {
        if !(1..=36_500).contains(&days) {
            self.report(
                self.document.value(path),
                format!("a certificate cannot be valid for {days} days"),
                "use 1 to 36500 days",
            );
        }
    }

    fn templates(&mut self) {
        let mut seen: Vec<TreePath> = Vec::new();
        for (key, template) in &self.model.site.templates {
            let name = key.get_ref().as_str();
            self.source(&template.source);
            if let (true, Some(mode)) = (template.secret, template.mode) {
                self.secret_mode(&["site", "templates", name, "mode"], mode);
            }
            self.groups(&["site", "templates", name, "group"], &template.group, template.mode);
            self.template_path(key.span(), name, &mut seen);
        }
    }

    /// Checks the groups that read a file of the site, whose mode is this, where it is written.
    fn groups(&mut self, path: &[&str], groups: &Groups, mode: Option<Mode>) {
        let span = self.document.value(path);
        let mut seen = BTreeSet::new();
        if let Some(group) = groups.0.iter().find(|group| !seen.insert(**group)) {
            self.report(span, format!("the group {group} is listed twice"), "remove one");
        } else if !groups.0.is_empty() && mode.is_some_and(|mode| mode.0 & 0o040 == 0) {
            self.report(span, "the mode of this file does not let a group read it", "use the mode \"0640\"");
        }
    }

    /// Checks the path that a template is rendered to: below the site, each path once.
    fn template_path(&mut self, span: Range<usize>, name: &str, seen: &mut Vec<TreePath>) {
        let path = match TreePath::new(name) {
            Ok(path) if !name.starts_with('/') && !name.ends_with('/') => path,
            _ => {
                let message = format!("`{name}` is not a path within the site");
                self.report(span, message, "use a relative path without `..`, such as \"env/server.env\"");
                return;
            }
        };
        if !self.plain_path(span.clone(), name) {
            return;
        }
        let below =
            |a: &TreePath, b: &TreePath| a.as_str().strip_prefix(b.as_str()).is_some_and(|r| r.starts_with('/'));
        if seen.contains(&path) {
            self.report(span, format!("two templates are rendered to `{path}`"), "use different paths");
        } else if let Some(other) = seen.iter().find(|other| below(&path, other) || below(other, &path)) {
            let message = format!("`{other}` and `{path}` cannot both exist");
            self.report(span, message, "one would be a folder within the other: use another path");
        } else {
            seen.push(path);
        }
    }
}
