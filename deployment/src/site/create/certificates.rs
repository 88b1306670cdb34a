//! Keys and certificates of the services.

use anyhow::Result;
use rcgen::KeyPair;
use sealift_layers::digest::Digest;

use super::authority::Authority;
use super::update::SiteUpdate;
use crate::failure::Failure;
use crate::profile::model;
use crate::profile::names::CA_CERTIFICATE;
use crate::site::files::{self, Access};
use crate::site::layout::{CA_KEY, certificate_path, key_path, wanted_names};
use crate::site::operator_input::certificates::offer_trusted;
use crate::site::pki::{self, Certificate, Signer};
use crate::site::report::Action;

/// A key and a certificate of the profile, as they are in the site.
struct Pair<'m> {
    name: &'m str,
    wanted: &'m model::Certificate,
    /// The names it must be valid for.
    names: Vec<String>,
    key_path: String,
    path: String,
    key_text: Option<String>,
    /// `None` also when the key is of a kind that cannot be read here.
    key: Option<KeyPair>,
}

/// What becomes of an existing certificate.
enum Decision {
    /// It stays, perhaps with a warning: message and hint. `own` is the operator's own certificate.
    Keep { own: bool, warning: Option<(String, String)> },
    /// It is issued again, for this reason.
    Issue(String),
}

impl SiteUpdate<'_> {
    pub(super) fn certificates(&mut self) -> Result<()> {
        let (directory, model) = (self.request.directory, self.request.model);
        offer_trusted(directory, model, &mut self.report)?;
        for name in self.operator_certificates.clone() {
            self.keep(&key_path(&name), self.key_access(&model.site.certificates[&name]))?;
            self.report.add(&certificate_path(&name), Action::Kept, "");
        }
        let Some(authority) = &model.site.authority else { return Ok(()) };
        let ca = self.authority(authority)?;
        for (name, wanted) in &model.site.certificates {
            if !self.operator_certificates.contains(name) {
                self.certificate(name, wanted, &ca)?;
            }
        }
        self.new.certificates.retain(|name, _| model.site.certificates.contains_key(name));
        Ok(())
    }

    /// Keeps or issues one certificate.
    fn certificate(&mut self, name: &str, wanted: &model::Certificate, ca: &Authority) -> Result<()> {
        let directory = self.request.directory;
        let (key_path, path) = (key_path(name), certificate_path(name));
        let key_text = files::read_text(directory, &key_path)?;
        let key = key_text.as_deref().and_then(pki::parse_key);
        let names = wanted_names(name, wanted, &self.parameters.host)?;
        let pair = Pair { name, wanted, names, key_path, path, key_text, key };
        let reason = match files::read_text(directory, &pair.path)? {
            None => None,
            Some(pem) => match self.decide(&pair, &pem, ca)? {
                Decision::Keep { own, warning } => return self.keep_certificate(&pair, &pem, own, warning),
                Decision::Issue(reason) => Some(reason),
            },
        };
        self.issue(pair, reason, ca)
    }

    /// Whether the certificate in `pem` is kept.
    fn decide(&self, pair: &Pair<'_>, pem: &str, ca: &Authority) -> Result<Decision> {
        let certificate = Certificate::parse(pem, &pair.path)?;
        let issued_here = self.old.certificates.get(pair.name) == Some(&Digest::of(pem.as_bytes()));
        let damage = certificate.damage(&ca.certificate).filter(|_| !issued_here);
        let own = !issued_here && damage.is_none() && !certificate.signed_by(&ca.certificate);
        let wrong = damage.map(str::to_owned).or_else(|| pair.wrong(&certificate, own, ca, self.request.now));
        let soon = match self.request.days_left {
            Some(days) => certificate.due_within(self.request.now, days),
            None => certificate.ends_soon(self.request.now),
        };
        if !own && (wrong.is_some() || soon.is_some() && ca.key.is_some()) {
            return Ok(Decision::Issue(wrong.or(soon).unwrap_or_default()));
        }
        let warning = wrong.or(soon).map(|text| match own {
            true => (
                format!("was not issued by sealift and is kept, but {text}"),
                format!("provide a better one, or remove {} and {} to have them created", pair.path, pair.key_path),
            ),
            false => (
                format!("is due and cannot be renewed without {CA_KEY}: {text}"),
                format!(
                    "put {CA_KEY} beside {CA_CERTIFICATE}, or name it with --authority-key FILE, and run this again"
                ),
            ),
        });
        // Told once: the record names only certificates that were issued here.
        let is_replaced = own && self.old.certificates.contains_key(pair.name);
        let warning = warning.or_else(|| {
            let message = "is not the certificate that sealift issued, and names another authority; it is kept";
            is_replaced.then(|| {
                (message.to_owned(), "if you did not replace it, remove it to have it issued again".to_owned())
            })
        });
        Ok(Decision::Keep { own, warning })
    }

    fn keep_certificate(
        &mut self,
        pair: &Pair<'_>,
        pem: &str,
        own: bool,
        warning: Option<(String, String)>,
    ) -> Result<()> {
        if let Some((message, hint)) = warning {
            self.report.warnings.warn(&pair.path, message, hint);
        }
        if own {
            // The operator also decides about the permissions of these files.
            self.report.add(&pair.key_path, Action::Kept, "");
            self.new.certificates.remove(pair.name);
        } else {
            self.keep(&pair.key_path, self.key_access(pair.wanted))?;
            self.new.certificates.insert(pair.name.to_owned(), Digest::of(pem.as_bytes()));
        }
        self.report.add(&pair.path, Action::Kept, "");
        Ok(())
    }

    /// Issues a certificate for the existing key, or for a new one.
    fn issue(&mut self, pair: Pair<'_>, reason: Option<String>, ca: &Authority) -> Result<()> {
        let Pair { name, wanted, names, key_path, path, key_text, key } = pair;
        let access = self.key_access(wanted);
        let Some(ca_key) = &ca.key else {
            let why = reason.as_deref().unwrap_or("it is missing");
            let directory = self.request.directory.display();
            return Err(Failure::failed(format!("{path} must be issued ({why}), but {CA_KEY} is missing"))
                .hint(format!(
                    "put {CA_KEY} into {directory} for this run, or name it with --authority-key FILE; or provide {path} \
                     and {key_path}"
                ))
                .into());
        };
        let key = match (key, key_text) {
            (Some(key), _) => {
                self.keep(&key_path, access)?;
                key
            }
            (None, Some(_)) => {
                return Err(Failure::failed(format!("{key_path} cannot be read as a private key"))
                    .hint("remove it to have a new one created, or provide its certificate as well")
                    .into());
            }
            (None, None) => {
                let key = pki::new_key()?;
                self.put(&key_path, key.serialize_pem().as_bytes(), access, "")?;
                key
            }
        };
        let signer = Signer { certificate: &ca.certificate, pem: &ca.pem, key: ca_key };
        let pem = signer.sign(&key, name, &names, wanted.days, self.request.now)?;
        self.new.certificates.insert(name.to_owned(), Digest::of(pem.as_bytes()));
        self.put(&path, pem.as_bytes(), Access::mode(0o644), reason.as_deref().unwrap_or_default())
    }
}

impl Pair<'_> {
    /// Why `certificate` cannot be used, if it cannot. `own` is the operator's own certificate.
    fn wrong(&self, certificate: &Certificate, own: bool, ca: &Authority, now: i64) -> Option<String> {
        let lacking: Vec<&str> =
            self.names.iter().filter(|name| !certificate.names.contains(*name)).map(String::as_str).collect();
        if self.key_text.is_none() {
            Some(format!("{} is missing", self.key_path))
        } else if self.key.as_ref().is_some_and(|key| !certificate.belongs_to(key)) {
            Some(format!("it is not the certificate of {}", self.key_path))
        } else if !own && self.key.is_none() {
            Some(format!("{} cannot be read", self.key_path))
        } else if !own && !certificate.signed_by(&ca.certificate) {
            Some(format!("{CA_CERTIFICATE} did not sign it"))
        } else if !lacking.is_empty() {
            Some(format!("it lacks {}", lacking.join(", ")))
        } else {
            certificate.invalid_at(now)
        }
    }
}
