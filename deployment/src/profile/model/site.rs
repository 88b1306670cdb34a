//! `[site]`: what each installation has of its own: ports, certificates, secrets, settings, rendered files.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::groups::Groups;
use super::limits::Size;
use super::mode::Mode;
use crate::profile::setting::Setting;

fn secret_mode() -> Mode {
    Mode(0o600)
}

/// What each installation has of its own: created by `sealift site new`, never part of images.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Site {
    /// Published ports, by name. Templates read `ports.NAME`.
    #[serde(default)]
    pub ports: BTreeMap<String, SitePort>,
    /// The private certificate authority. Certificates need one.
    pub authority: Option<Authority>,
    /// TLS keys and certificates of services, by name.
    #[serde(default)]
    pub certificates: BTreeMap<String, Certificate>,
    /// Random secrets, by name. Templates read `secrets.NAME` with `-` written as `_`.
    #[serde(default)]
    pub secrets: BTreeMap<String, Secret>,
    /// Values that the operator sets, by name. Templates read `settings.NAME` with `-` written as `_`.
    #[serde(default)]
    pub settings: BTreeMap<String, Setting>,
    /// Rules between settings, by name.
    #[serde(default)]
    pub rules: BTreeMap<String, Rule>,
    /// Files of authorities that a program trusts, provided by the operator in `tls/NAME.crt`. Templates read
    /// `trusted.NAME`, the number of certificates in the file.
    #[serde(default)]
    pub trusted: BTreeMap<String, Trusted>,
    /// Folders of files that the operator provides, by name: `files/NAME/` of the site. Templates read `files.NAME`, the
    /// paths of its files.
    #[serde(default)]
    pub files: BTreeMap<String, OperatorFolder>,
    /// Files rendered for the site, by path below it (`env/parsec.env`).
    #[serde(default)]
    pub templates: BTreeMap<Spanned<String>, Template>,
}

/// A port published on the host.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SitePort {
    /// Default port number on the host.
    pub default: u16,
    /// Address of the host that it is published on.
    pub address: String,
    /// Its protocol.
    #[serde(default)]
    pub protocol: Protocol,
    /// Number of ports that follow each other, from `default` on.
    #[serde(default = "one")]
    pub count: u16,
}

impl SitePort {
    /// The last of its ports when `first` is the first one.
    #[must_use]
    pub fn last(&self, first: u16) -> u16 {
        first.saturating_add(self.count.saturating_sub(1))
    }

    /// What follows a port in the syntax of engines and compose, and in messages: nothing for TCP.
    #[must_use]
    pub fn suffix(&self) -> &'static str {
        match self.protocol {
            Protocol::Tcp => "",
            Protocol::Udp => "/udp",
        }
    }

    /// Its ports, or its only one, when `first` is the first one: `10000-10099/udp`.
    #[must_use]
    pub fn shown(&self, first: u16) -> String {
        format!("{}{}", range(first, self.count), self.suffix())
    }
}

/// `count` ports from `first` on, as engines and compose write them.
#[must_use]
pub fn range(first: u16, count: u16) -> String {
    if count > 1 { format!("{first}-{}", first.saturating_add(count - 1)) } else { first.to_string() }
}

/// The protocol of a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

fn one() -> u16 {
    1
}

/// A private certificate authority.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Authority {
    /// Its common name.
    pub name: String,
    /// Validity of its certificate in days.
    pub days: u32,
}

/// A TLS key and certificate.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Certificate {
    /// Subject alternative names: DNS names and IP addresses.
    pub names: Vec<String>,
    /// Whether the site's public host is added to the names.
    #[serde(default)]
    pub host: bool,
    /// Validity in days.
    pub days: u32,
    /// Whether the operator provides it. The authority issues it only with `--self-signed`.
    #[serde(default)]
    pub provided: bool,
    /// Permission bits of the key file.
    #[serde(default = "secret_mode")]
    pub key_mode: Mode,
    /// Numeric groups that read the key file.
    #[serde(default)]
    pub key_group: Groups,
}

/// A rule between settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Rule {
    /// A Jinja expression of `settings` that must be true.
    pub test: String,
    /// What is wrong when the test is not true.
    pub message: String,
    /// What to do about it.
    #[serde(default)]
    pub hint: String,
}

/// A file for certificates of authorities, provided by the operator.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Trusted {
    /// Description for the operator.
    pub title: String,
}

/// A folder of files that the operator provides.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct OperatorFolder {
    /// Description for the operator.
    pub title: String,
    /// Patterns of the paths that its files may have. Empty: any.
    #[serde(default)]
    pub only: Vec<String>,
    /// Paths of files that must all be there as soon as there is any file.
    #[serde(default)]
    pub complete: Vec<String>,
    /// What each file has to be.
    pub format: Option<FileFormat>,
    /// Most bytes of a file.
    #[serde(default = "file_size")]
    pub size: Size,
    /// Most files.
    #[serde(default = "file_count")]
    pub count: u32,
}

/// What a file of the operator has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileFormat {
    /// One X.509 certificate in PEM.
    Certificate,
}

fn file_size() -> Size {
    Size(1 << 20)
}

fn file_count() -> u32 {
    100
}

/// A random secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Secret {
    /// Number of random bytes.
    pub bytes: u32,
    /// Encoding of the bytes.
    pub encoding: Encoding,
    /// Text before the encoded bytes; some programs distinguish kinds of keys by a prefix.
    #[serde(default)]
    pub prefix: String,
    /// Permission bits of its file.
    #[serde(default = "secret_mode")]
    pub mode: Mode,
    /// Numeric groups that read its file.
    #[serde(default)]
    pub group: Groups,
}

/// An encoding of random bytes as text.
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
    /// Whether it contains secrets: it is then rendered only into the site, with mode 0600, never into an image or bundle.
    #[serde(default)]
    pub secret: bool,
    /// Permission bits. Default: 0644, or 0600 for a secret template.
    pub mode: Option<Mode>,
    /// Numeric groups that read it.
    #[serde(default)]
    pub group: Groups,
}
