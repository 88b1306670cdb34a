//! `sealift site new`: makes a site, or brings one up to date.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::TryLockError;
use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::KeyPair;
use sealift_layers::digest::Digest;

use super::files::{self, Access};
use super::host::Host;
use super::pki::{self, Certificate, Signer};
use super::provided;
use super::record::{self, Record};
use super::report::{Action, Report};
use super::settings::Settings;
use super::templates::{Parameters, render, template_mode};
use super::{CA_CERTIFICATE, CA_KEY, PORTS, certificate_path, key_path, ports, secret_path, wanted_names};
use crate::failure::Failure;
use crate::profile::Sources;
use crate::profile::model::{self, Deployed, Encoding, Model};

/// What is asked of [`create`].
#[derive(Clone, Debug)]
pub struct SiteRequest<'a> {
    /// The site's directory: made when it is not there.
    pub directory: &'a Path,
    /// The profile.
    pub model: &'a Model,
    /// Where the profile's templates are.
    pub sources: &'a Sources,
    /// The public host, a DNS name or an IP address. Without it, the one that the site was made for.
    pub host: Option<&'a str>,
    /// Published ports that are not as recorded or, at first, as the profile has them: name to port.
    pub ports: BTreeMap<String, u16>,
    /// Certificates with fewer days left are issued again; without it, those with less than a fifth of their life.
    pub days_left: Option<u32>,
    /// The caller gives files to their groups: an engine whose group numbers are not the host's.
    pub leave_groups: bool,
    /// Certificates that the operator would have to bring are made by the site's authority where there are none.
    pub self_signed: bool,
    /// The time, in seconds since 1970.
    pub now: i64,
}

/// Makes the site, or brings it up to date; what is there and right stays byte for byte.
///
/// A certificate is issued again when less than a fifth of its life is left or it has expired, when it is not signed by
/// the site's authority or not for its key, or when it lacks a name. Its key stays. The authority's own certificate is
/// issued again, for the same key, only when it has expired: everyone who trusts it has to be given the new one.
///
/// When the directory above is an unpacked bundle (it has a `bundle.json`) of containers, its `.env` is written as well.
///
/// What the operator has to give (`settings.toml`, certificates of the operator's own) is looked at first. When
/// something is missing or wrong, all of it is told in one error and nothing is made but `settings.toml` and the record
/// of host and ports.
///
/// # Errors
/// [`Failure::usage`] for a profile, host or port that cannot be used, and with all that the operator has to give or to
/// mend; [`Failure::failed`] where a file cannot be read or written, or a certificate is due and the authority's key is
/// not there.
pub fn create(request: &SiteRequest<'_>) -> Result<Report> {
    super::check(request.model)?;
    let directory = request.directory;
    let record = Record::read(directory, request.model.name.get_ref())?;
    let host: Host = match (request.host, &record) {
        (Some(host), _) => host.parse()?,
        (None, Some(record)) => record.host.parse()?,
        (None, None) => {
            return Err(Failure::usage("a new site needs the name or address that its users reach it by")
                .hint("add --host, such as --host parsec.example.com")
                .into());
        }
    };
    let old = record.unwrap_or_else(|| Record {
        schema: 1,
        profile: request.model.name.get_ref().clone(),
        host: String::new(),
        ports: BTreeMap::new(),
        settings: BTreeSet::new(),
        rendered: BTreeMap::new(),
        certificates: BTreeMap::new(),
    });
    let ports = ports::choose(request.model, &old.ports, &request.ports)?;
    let report = Report { host: host.to_string(), ports: ports.clone(), ..Report::default() };
    files::directory(directory, 0o755)?;
    let lock = fs_err::File::open(directory)?;
    // A file system without locks is no reason to refuse: two at once would be a rare accident.
    if let Err(TryLockError::WouldBlock) = lock.file().try_lock() {
        return Err(Failure::failed(format!("another program is at work on {}", directory.display()))
            .hint("wait for it to end")
            .into());
    }
    let new = Record { host: host.to_string(), ports: ports.clone(), ..old.clone() };
    let parameters = Parameters { host, ports, settings: Settings::default(), trusted: BTreeMap::new() };
    let mut work = Work { request, parameters, old, new, report, theirs: BTreeSet::new() };
    work.given()?;
    work.certificates()?;
    let secrets = work.secrets()?;
    work.templates(&secrets)?;
    // Last: what it says has happened.
    let text = work.new.text()?;
    work.put(record::FILE, text.as_bytes(), Access::mode(0o644), "it records what changed")?;
    Ok(work.report)
}

/// A site being made.
pub(super) struct Work<'a> {
    pub(super) request: &'a SiteRequest<'a>,
    pub(super) parameters: Parameters,
    pub(super) old: Record,
    pub(super) new: Record,
    pub(super) report: Report,
    /// Certificates that are the operator's.
    pub(super) theirs: BTreeSet<String>,
}

impl Work<'_> {
    fn access(&self, mode: u32, group: Option<u32>) -> Access {
        Access { mode, group: group.filter(|_| !self.request.leave_groups) }
    }

    fn key_access(&self, wanted: &model::Certificate) -> Access {
        self.access(wanted.key_mode.0, wanted.key_group)
    }

    /// Writes a file unless it has these bytes.
    pub(super) fn put(&mut self, name: &str, bytes: &[u8], access: Access, reason: &str) -> Result<()> {
        let directory = self.request.directory;
        let action = match files::read(&directory.join(name))? {
            Some(old) if old == bytes => Action::Kept,
            Some(_) => Action::Replaced,
            None => Action::Made,
        };
        if action == Action::Kept {
            files::settle(directory, name, access, &mut self.report)?;
        } else {
            files::write(directory, name, bytes, access, &mut self.report)?;
        }
        self.report.add(name, action, if action == Action::Replaced { reason } else { "" });
        Ok(())
    }

    fn certificates(&mut self) -> Result<()> {
        let SiteRequest { directory, model, .. } = *self.request;
        provided::offer_trusted(directory, model, &mut self.report)?;
        for name in self.theirs.clone() {
            let wanted = &model.site.certificates[&name];
            files::settle(directory, &key_path(&name), self.key_access(wanted), &mut self.report)?;
            for path in [key_path(&name), certificate_path(&name)] {
                self.report.add(&path, Action::Kept, "");
            }
        }
        let Some(authority) = &model.site.authority else { return Ok(()) };
        let ca = self.authority(authority)?;
        for (name, certificate) in &model.site.certificates {
            if !self.theirs.contains(name) {
                self.certificate(name, certificate, &ca)?;
            }
        }
        self.new.certificates.retain(|name, _| model.site.certificates.contains_key(name));
        Ok(())
    }

    /// The authority of the site, made where there is none.
    fn authority(&mut self, wanted: &model::Authority) -> Result<Authority> {
        let (directory, now) = (self.request.directory, self.request.now);
        let key_text = files::read_text(&directory.join(CA_KEY))?;
        let old = files::read_text(&directory.join(CA_CERTIFICATE))?;
        let mut key = match &key_text {
            Some(text) => Some(pki::parse_key(text).ok_or_else(|| {
                Failure::failed(format!("{CA_KEY} cannot be read as a private key"))
                    .hint("PKCS #8 PEM with an ECDSA P-256 or P-384, Ed25519 or RSA key: openssl pkcs8 -topk8 -nodes")
            })?),
            None => None,
        };
        let mut reason = String::new();
        if let Some(pem) = old {
            let certificate = Certificate::parse(&pem, CA_CERTIFICATE)?;
            check_authority(&certificate, key.as_ref())?;
            match (certificate.invalid_at(now), &key) {
                (None, _) => {
                    if let Some(soon) = certificate.ends_soon(now) {
                        self.report.warn(
                            format!("{CA_CERTIFICATE}: {soon}"),
                            "plan its replacement: everyone who trusts it has to be given the new one",
                        );
                    }
                    for (name, mode) in [(CA_KEY, 0o600), (CA_CERTIFICATE, 0o644)] {
                        if name == CA_CERTIFICATE || key.is_some() {
                            files::settle(directory, name, Access::mode(mode), &mut self.report)?;
                            self.report.add(name, Action::Kept, "");
                        }
                    }
                    return Ok(Authority { certificate, pem, key });
                }
                (Some(invalid), Some(_)) if certificate.self_issued && now > certificate.not_after => reason = invalid,
                (Some(invalid), _) => {
                    return Err(Failure::failed(format!("{CA_CERTIFICATE}: {invalid}"))
                        .hint(format!(
                            "is the clock right? If so, bring a valid certificate, or put {CA_KEY} beside a \
                             self-signed one that has expired to have it renewed"
                        ))
                        .into());
                }
            }
        }
        if key.is_none() {
            let new = pki::new_key()?;
            self.put(CA_KEY, new.serialize_pem().as_bytes(), Access::mode(0o600), "")?;
            key = Some(new);
        } else {
            self.report.add(CA_KEY, Action::Kept, "");
        }
        let signing = key.as_ref().context("the authority has a key by now")?;
        let pem = pki::authority(signing, &wanted.name, wanted.days, now)?;
        if !reason.is_empty() {
            self.report.warn(
                format!("{CA_CERTIFICATE} is a new one: {reason}"),
                "give it to everyone who trusted the old one",
            );
        }
        self.put(CA_CERTIFICATE, pem.as_bytes(), Access::mode(0o644), &reason)?;
        Ok(Authority { certificate: Certificate::parse(&pem, CA_CERTIFICATE)?, pem, key })
    }

    /// One key and certificate, made or kept.
    fn certificate(&mut self, name: &str, wanted: &model::Certificate, ca: &Authority) -> Result<()> {
        let (directory, now) = (self.request.directory, self.request.now);
        let (key_path, path) = (key_path(name), certificate_path(name));
        let access = self.key_access(wanted);
        let names = wanted_names(name, wanted, &self.parameters.host)?;
        let key_text = files::read_text(&directory.join(&key_path))?;
        let key = key_text.as_deref().and_then(pki::parse_key);
        let mut reason = String::new();
        if let Some(pem) = files::read_text(&directory.join(&path))? {
            let certificate = Certificate::parse(&pem, &path)?;
            let own = !certificate.signed_by(&ca.certificate)
                && self.old.certificates.get(name) != Some(&Digest::of(pem.as_bytes()));
            let lacking: Vec<&str> =
                names.iter().filter(|name| !certificate.names.contains(*name)).map(String::as_str).collect();
            let problem = if key_text.is_none() {
                Some(format!("{key_path} is not there"))
            } else if key.as_ref().is_some_and(|key| !certificate.belongs_to(key)) {
                Some(format!("it is not the certificate of {key_path}"))
            } else if !own && key.is_none() {
                Some(format!("{key_path} cannot be read"))
            } else if !own && !certificate.signed_by(&ca.certificate) {
                Some(format!("{CA_CERTIFICATE} did not sign it"))
            } else if !lacking.is_empty() {
                Some(format!("it lacks {}", lacking.join(", ")))
            } else {
                certificate.invalid_at(now)
            };
            let soon = match self.request.days_left {
                Some(days) => certificate.due_within(now, days),
                None => certificate.ends_soon(now),
            };
            let keep = own || problem.is_none() && (soon.is_none() || ca.key.is_none());
            if keep {
                let whose = if own { "is not one that sealift made" } else { "needs a new one" };
                if let Some(text) = problem.or(soon) {
                    self.report.warn(
                        format!("{path} {whose} and was kept, but {text}"),
                        if own {
                            format!("bring a better one, or remove {path} and {key_path} to have them made")
                        } else {
                            format!("run this again with {CA_KEY} in its place")
                        },
                    );
                }
                // Permissions of the operator's own files are the operator's.
                if !own {
                    files::settle(directory, &key_path, access, &mut self.report)?;
                    self.new.certificates.insert(name.to_owned(), Digest::of(pem.as_bytes()));
                }
                for kept in [&key_path, &path] {
                    self.report.add(kept, Action::Kept, "");
                }
                return Ok(());
            }
            reason = problem.or(soon).unwrap_or_default();
        }
        let Some(ca_key) = &ca.key else {
            let why = if reason.is_empty() { "it is not there".to_owned() } else { reason };
            return Err(Failure::failed(format!("{path} has to be made ({why}), but {CA_KEY} is not here to sign it"))
                .hint(format!("put {CA_KEY} into {} for this run, or bring {path} and {key_path}", directory.display()))
                .into());
        };
        let key = match (key, key_text) {
            (Some(key), _) => {
                files::settle(directory, &key_path, access, &mut self.report)?;
                self.report.add(&key_path, Action::Kept, "");
                key
            }
            (None, Some(_)) => {
                return Err(Failure::failed(format!("{key_path} cannot be read as a private key"))
                    .hint("remove it to have a new one made, or bring its certificate along")
                    .into());
            }
            (None, None) => {
                let key = pki::new_key()?;
                self.put(&key_path, key.serialize_pem().as_bytes(), access, "")?;
                key
            }
        };
        let signer = Signer { certificate: &ca.certificate, pem: &ca.pem, key: ca_key };
        let pem = signer.sign(&key, name, &names, wanted.days, now)?;
        self.new.certificates.insert(name.to_owned(), Digest::of(pem.as_bytes()));
        self.put(&path, pem.as_bytes(), Access::mode(0o644), &reason)
    }

    /// The secrets by name: kept where they are, random where they are not.
    fn secrets(&mut self) -> Result<BTreeMap<String, String>> {
        let (directory, model) = (self.request.directory, self.request.model);
        let mut texts = BTreeMap::new();
        if !model.site.secrets.is_empty() {
            files::directory(&directory.join("secrets"), 0o700)?;
        }
        for (name, secret) in &model.site.secrets {
            let path = secret_path(name);
            let access = self.access(secret.mode.0, secret.group);
            let text = match files::read_text(&directory.join(&path))? {
                Some(text) => {
                    files::settle(directory, &path, access, &mut self.report)?;
                    self.report.add(&path, Action::Kept, "");
                    text
                }
                None => {
                    let text = random(secret)?;
                    self.put(&path, text.as_bytes(), access, "")?;
                    text
                }
            };
            texts.insert(name.clone(), secret_text(&path, &text)?);
        }
        Ok(texts)
    }

    fn templates(&mut self, secrets: &BTreeMap<String, String>) -> Result<()> {
        let SiteRequest { directory, model, sources, .. } = *self.request;
        let mut rendered = Vec::new();
        for (path, template) in &model.site.templates {
            let text = render(model, sources, path.get_ref(), template, &self.parameters, secrets)?;
            let access = self.access(template_mode(template), template.group);
            rendered.push((path.get_ref().as_str(), text, access));
        }
        let variables = ports::ports_env(model, &self.parameters.ports);
        rendered.push((PORTS, variables.clone(), Access::mode(0o644)));
        for (path, text, access) in &rendered {
            if let Some((above, _)) = path.rsplit_once('/') {
                files::directory(&directory.join(above), 0o755)?;
            }
            self.rendered(path, text, *access)?;
        }
        if model.deployment == Deployed::Compose && directory.join("../bundle.json").is_file() {
            self.rendered("../.env", &variables, Access::mode(0o644))?;
        }
        let current = |path: &str| path == "../.env" || rendered.iter().any(|(known, ..)| *known == path);
        self.new.rendered.retain(|path, _| current(path));
        Ok(())
    }

    /// Writes a rendered file, unless it is there and no longer what was rendered last: then it has been edited.
    fn rendered(&mut self, path: &str, text: &str, access: Access) -> Result<()> {
        let digest = Digest::of(text.as_bytes());
        let old = files::read(&self.request.directory.join(path))?;
        let edited = old.is_some_and(|old| {
            let old = Digest::of(&old);
            old != digest && self.old.rendered.get(path) != Some(&old)
        });
        if edited {
            self.report.warn(
                format!("{path} was edited and is kept as it is"),
                "to have it rendered anew, move it away and run this again",
            );
            self.report.add(path, Action::Kept, "");
            return Ok(());
        }
        self.new.rendered.insert(path.to_owned(), digest);
        self.put(path, text.as_bytes(), access, "what it is rendered from changed")
    }
}

/// The authority of a site; without a key it cannot sign.
struct Authority {
    certificate: Certificate,
    pem: String,
    key: Option<KeyPair>,
}

fn check_authority(certificate: &Certificate, key: Option<&KeyPair>) -> Result<()> {
    if !certificate.is_authority {
        return Err(Failure::failed(format!("{CA_CERTIFICATE} is not the certificate of an authority"))
            .hint("bring one with basicConstraints CA:TRUE, or move it away to have one made")
            .into());
    }
    if key.is_some_and(|key| !certificate.belongs_to(key)) {
        return Err(Failure::failed(format!("{CA_KEY} is not the key of {CA_CERTIFICATE}"))
            .hint("bring the two that belong together, or move both away to have new ones made")
            .into());
    }
    Ok(())
}

/// A secret's text without the newline that an editor may have put behind it.
pub(super) fn secret_text(path: &str, text: &str) -> Result<String> {
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() || text.contains(['\r', '\n', '\0']) {
        return Err(Failure::failed(format!("{path} does not hold one line of text"))
            .hint("put the secret back; if it was never used, remove the file to have one made")
            .into());
    }
    Ok(text.to_owned())
}

fn random(secret: &model::Secret) -> Result<String> {
    let mut bytes = vec![0; secret.bytes as usize];
    getrandom::fill(&mut bytes).context("the system gives no random bytes")?;
    let text = match secret.encoding {
        Encoding::Base64 => STANDARD.encode(bytes),
        Encoding::Hex => hex::encode(bytes),
    };
    Ok(format!("{}{text}", secret.prefix))
}
