//! Reading a finished site, to check it or to put it into a bundle.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use anyhow::{Context, Result};

use super::create::secret_text;
use super::faults::Faults;
use super::files;
use super::given::weak_secret;
use super::pki::{self, Certificate};
use super::record::{self, Record};
use super::report::Report;
use super::templates::{Parameters, is_env_file, template_mode};
use super::{CA_CERTIFICATE, PORTS, certificate_path, key_path, parse_env, ports, provided, secret_path, settings};
use crate::failure::Failure;
use crate::profile::model::Model;

/// A whole site, as it goes into a bundle. The authority's key is not in it: it stays with its owner.
#[derive(Clone, Debug)]
pub struct Site {
    /// What the site was made for.
    pub parameters: Parameters,
    /// Its files, sorted by path.
    pub files: Vec<SiteFile>,
}

/// One file of a site.
#[derive(Clone)]
pub struct SiteFile {
    /// Path below the site.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Numeric group; the owner is always root.
    pub gid: u32,
    /// Contents.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for SiteFile {
    /// Leaves the contents out: they may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:04o} 0:{} {} bytes", self.path, self.mode, self.gid, self.bytes.len())
    }
}

impl Site {
    /// The file at `path` below the site.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&SiteFile> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The certificates that images are to trust, name to PEM: the private authority's.
    #[must_use]
    pub fn authorities(&self) -> Vec<(String, String)> {
        let pem = |file: &SiteFile| String::from_utf8_lossy(&file.bytes).into_owned();
        self.file(super::CA_CERTIFICATE).map(|file| (file.path.clone(), pem(file))).into_iter().collect()
    }

    /// What the bundle's `.env` holds: the variables of the compose file.
    #[must_use]
    pub fn ports_env(&self) -> &[u8] {
        self.file(PORTS).map_or(&[], |file| &file.bytes)
    }
}

/// Reads the site in `directory` and checks it at `now` (seconds since 1970): nothing is missing, keys and certificates
/// belong together, certificates are valid, env files and secrets can be read.
///
/// # Errors
/// [`Failure::failed`] with all that is wrong, one thing a line; [`Failure::usage`] when it is no site of this profile.
pub fn load(directory: &Path, model: &Model, now: i64) -> Result<Site> {
    super::check(model)?;
    let again = || format!("bring it up to date: sealift site new {} --profile ...", directory.display());
    let record = Record::read(directory, model.name.get_ref())?.ok_or_else(|| {
        Failure::usage(format!("{} is not a site: it has no {}", directory.display(), record::FILE))
            .hint(format!("make one: sealift site new {} --profile ... --host ...", directory.display()))
    })?;
    let host = record.host.parse().with_context(|| format!("{}/{}", directory.display(), record::FILE))?;
    let (mut given, mut report) = (Faults::default(), Report::default());
    let parameters = Parameters {
        host,
        ports: ports::choose(model, &record.ports, &BTreeMap::new())?,
        settings: settings::read(directory, model, None, &mut given)?,
        trusted: provided::trusted(directory, model, now, &mut given, &mut report)?,
    };
    let mut theirs = BTreeSet::new();
    for (name, wanted) in model.site.certificates.iter().filter(|(_, wanted)| wanted.provided) {
        let place = provided::Place { directory, name, wanted, host: &parameters.host, record: &record };
        if !provided::is_ours(&place, false)? {
            provided::check(&place, now, &mut given, &mut report)?;
            theirs.insert(name);
        }
    }

    let mut files = Vec::new();
    let mut faults: Vec<String> = given.lines().collect();
    for (path, mode, group) in wanted(model) {
        match files::read(&directory.join(&path))? {
            Some(bytes) => files.push(SiteFile { path, mode, gid: group.unwrap_or(0), bytes }),
            // Told already, and better.
            None if theirs.iter().any(|name| [key_path(name), certificate_path(name)].contains(&path)) => {}
            None => faults.push(format!("{path} is missing")),
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let site = Site { parameters, files };
    let text = |path: &str| site.file(path).map(|file| String::from_utf8_lossy(&file.bytes));
    let mut weak = Faults::default();
    for path in model.site.secrets.keys().map(|name| secret_path(name)) {
        text(&path).iter().for_each(|text| weak_secret(&path, text, &mut weak));
    }
    faults.extend(weak.lines());
    let mut fault = |path: &str, what: &dyn fmt::Display| faults.push(format!("{path}: {what}"));

    if let Some(pem) = model.site.authority.as_ref().and_then(|_| text(CA_CERTIFICATE)) {
        check_certificate(&pem, None, CA_CERTIFICATE, now, &mut fault);
    }
    for name in model.site.certificates.keys().filter(|name| !theirs.contains(name)) {
        let path = certificate_path(name);
        if let (Some(pem), Some(key)) = (text(&path), text(&key_path(name))) {
            check_certificate(&pem, Some(&key), &path, now, &mut fault);
        }
    }
    for name in model.site.secrets.keys() {
        let path = secret_path(name);
        if let Some(Err(error)) = text(&path).map(|text| secret_text(&path, &text)) {
            fault(&path, &error);
        }
    }
    for path in model.site.templates.keys().filter(|path| is_env_file(model, path.get_ref())) {
        if let Some(Err(error)) = text(path.get_ref()).map(|text| parse_env(&text)) {
            fault(path.get_ref(), &error);
        }
    }
    if faults.is_empty() {
        return Ok(site);
    }
    let message = format!("the site in {} cannot be used:\n  {}", directory.display(), faults.join("\n  "));
    Err(Failure::failed(message).hint(again()).into())
}

fn check_certificate(
    pem: &str,
    key: Option<&str>,
    path: &str,
    now: i64,
    fault: &mut impl FnMut(&str, &dyn fmt::Display),
) {
    let certificate = match Certificate::parse(pem, path) {
        Ok(certificate) => certificate,
        Err(error) => return fault(path, &error),
    };
    if let Some(invalid) = certificate.invalid_at(now) {
        fault(path, &invalid);
    }
    // A key of a kind that cannot be read here (P-521, say) is the operator's own: it cannot be compared.
    if key.and_then(pki::parse_key).is_some_and(|key| !certificate.belongs_to(&key)) {
        fault(path, &"it is not the certificate of the key beside it");
    }
}

/// Path, mode and group of each file of a site that goes into a bundle.
pub(super) fn wanted(model: &Model) -> Vec<(String, u32, Option<u32>)> {
    let site = &model.site;
    let mut files = vec![(record::FILE.to_owned(), 0o644, None), (PORTS.to_owned(), 0o644, None)];
    files.extend((!site.settings.is_empty()).then(|| (settings::FILE.to_owned(), 0o600, None)));
    files.extend(site.trusted.keys().map(|name| (certificate_path(name), 0o644, None)));
    files.extend(site.authority.iter().map(|_| (CA_CERTIFICATE.to_owned(), 0o644, None)));
    for (name, certificate) in &site.certificates {
        files.push((certificate_path(name), 0o644, None));
        files.push((key_path(name), certificate.key_mode.0, certificate.key_group));
    }
    files.extend(site.secrets.iter().map(|(name, secret)| (secret_path(name), secret.mode.0, secret.group)));
    for (path, template) in &site.templates {
        files.push((path.get_ref().clone(), template_mode(template), template.group));
    }
    files
}
