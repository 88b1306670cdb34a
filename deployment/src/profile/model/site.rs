//! What one installation has of its own: ports, certificates, secrets, settings, rendered files.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::mode::Mode;
use crate::profile::setting::Setting;

fn secret_mode() -> Mode {
    Mode(0o600)
}

/// What one installation must have: made by `sealift site new`, kept outside the images.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Site {
    /// Published ports, by name. Templates read `ports.NAME`.
    #[serde(default)]
    pub ports: BTreeMap<String, SitePort>,
    /// The private certificate authority; without it there are no certificates.
    pub authority: Option<Authority>,
    /// TLS key and certificate of a service, by name.
    #[serde(default)]
    pub certificates: BTreeMap<String, Certificate>,
    /// Random secrets, by name. Templates read `secrets.NAME` with `-` written as `_`.
    #[serde(default)]
    pub secrets: BTreeMap<String, Secret>,
    /// Values that the operator gives, by name. Templates read `settings.NAME` with `-` written as `_`.
    #[serde(default)]
    pub settings: BTreeMap<String, Setting>,
    /// What must hold between settings, by name.
    #[serde(default)]
    pub rules: BTreeMap<String, Rule>,
    /// Authorities that the operator may bring for a program to trust, by name: `tls/NAME.crt`. Templates read
    /// `trusted.NAME`, how many certificates are in it.
    #[serde(default)]
    pub trusted: BTreeMap<String, Trusted>,
    /// Files rendered for the site, by their path below it (`env/parsec.env`).
    #[serde(default)]
    pub templates: BTreeMap<Spanned<String>, Template>,
}

/// A port published on the host.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SitePort {
    /// The host's port unless the site says otherwise.
    pub default: u16,
    /// The host's address it is published on.
    pub address: String,
}

/// A private certificate authority.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Authority {
    /// Its common name.
    pub name: String,
    /// Days its certificate is valid.
    pub days: u32,
}

/// A TLS key and certificate.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Certificate {
    /// Subject alternative names: DNS names and IP addresses.
    pub names: Vec<String>,
    /// Add the site's public host to them.
    #[serde(default)]
    pub host: bool,
    /// Days it is valid.
    pub days: u32,
    /// The operator brings it: it is made only when that is asked for.
    #[serde(default)]
    pub provided: bool,
    /// Permission bits of the key file.
    #[serde(default = "secret_mode")]
    pub key_mode: Mode,
    /// Numeric group of the key file.
    pub key_group: Option<u32>,
}

/// Something that must hold between settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Rule {
    /// A Jinja expression over `settings` that must be true.
    pub test: String,
    /// What is wrong when it is not.
    pub message: String,
    /// What to do then.
    #[serde(default)]
    pub hint: String,
}

/// A file of authorities' certificates that the operator may fill.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Trusted {
    /// What they are trusted for, for the operator.
    pub title: String,
}

/// A random secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Secret {
    /// How many random bytes.
    pub bytes: u32,
    /// How they are written.
    pub encoding: Encoding,
    /// What stands before them: some programs tell kinds of keys by it.
    #[serde(default)]
    pub prefix: String,
    /// Permission bits of its file.
    #[serde(default = "secret_mode")]
    pub mode: Mode,
    /// Numeric group of its file.
    pub group: Option<u32>,
}

/// How random bytes become text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// Standard base64 with padding.
    Base64,
    /// Lower-case hex digits.
    Hex,
}

/// A file rendered for the site.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Template {
    /// The template: a file of the profile.
    pub source: Spanned<String>,
    /// It holds secrets: it exists only in the site (mode 0600), never in an image or the bundle's own files.
    #[serde(default)]
    pub secret: bool,
    /// Permission bits; without it 0644, and 0600 for a secret one.
    pub mode: Option<Mode>,
    /// Numeric group.
    pub group: Option<u32>,
}
