//! Reading a finished site, to check it or to put it into a bundle.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use anyhow::{Context, Result};

use super::create::secret_text;
use super::env::is_env_file;
use super::env::parse_env;
use super::files;
use super::layout::{self, PORTS, certificate_path, key_path};
use super::operator_input::certificates::{self, OperatorCertificate};
use super::operator_input::{folders, weak_secret};
use super::pki::{self, Certificate};
use super::record::{self, Record};
use super::values::SiteParameters;
use super::{ports, settings};
use crate::failure::{Failure, Kind, one_line};
use crate::finding::{Findings, Level};
use crate::profile::model::{self, Groups, Model};
use crate::profile::names::{CA_CERTIFICATE, copy_path, secret_path, template_mode};

/// A whole site, as it goes into a bundle. The authority's private key is never part of it.
#[derive(Clone, Debug)]
pub struct Site {
    /// What the site's templates were rendered with.
    pub parameters: SiteParameters,
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
        self.file(CA_CERTIFICATE).map(|file| (file.path.clone(), pem(file))).into_iter().collect()
    }

    /// The variables of the compose file: the contents of the bundle's `.env`.
    #[must_use]
    pub fn ports_env(&self) -> &[u8] {
        self.file(PORTS).map_or(&[], |file| &file.bytes)
    }
}

/// Reads the site in `directory` and checks it at `now` (seconds since 1970): no file is missing, keys and certificates
/// match, certificates are valid, env files and secrets can be read.
///
/// # Errors
/// [`Failure::failed`] with everything that is wrong, one finding a line; [`Failure::usage`] when the operator's input is
/// among it, or when it is not a site of this profile.
pub fn load(directory: &Path, model: &Model, now: i64) -> Result<Site> {
    layout::check(model)?;
    let record = Record::read(directory, model.name.get_ref())?.ok_or_else(|| {
        Failure::usage(format!("{} is not a site: it has no {}", directory.display(), record::FILE))
            .hint(format!("create one: sealift site new {} --profile ... --host ...", directory.display()))
    })?;
    let host = record.host.parse().with_context(|| format!("{}/{}", directory.display(), record::FILE))?;
    let mut findings = Findings::default();
    let parameters = SiteParameters {
        host,
        ports: ports::choose(model, &record.ports, &BTreeMap::new())?,
        settings: settings::read(directory, model, None, &mut findings)?,
        trusted: certificates::trusted(directory, model, now, &mut findings)?,
        files: folders::check(directory, model, now, &mut findings)?,
    };
    let mut operators = BTreeSet::new();
    for (name, wanted) in model.site.certificates.iter().filter(|(_, wanted)| wanted.provided) {
        let certificate = OperatorCertificate { directory, name, wanted, host: &parameters.host, record: &record };
        if !certificate.belongs_to_site(false)? {
            certificate.check(now, &mut findings)?;
            operators.insert(name.as_str());
        }
    }
    let is_input_wrong = findings.of(Level::Error).next().is_some();
    let files = read_files(directory, model, &operators, &parameters.files, &mut findings)?;
    let site = Site { parameters, files };
    site.check_certificates(model, &operators, now, &mut findings);
    site.check_secrets(model, &mut findings);
    site.check_env_files(model, &mut findings);
    let refused = findings.refuse(
        &format!("the site in {} cannot be used:", directory.display()),
        &format!("update it: sealift site new {} --profile ...", directory.display()),
    );
    // As for `site new`, with which the operator corrects it.
    let kind = if is_input_wrong { Kind::Usage } else { Kind::Failed };
    refused.map_err(|failure| failure.of_kind(kind))?;
    Ok(site)
}

/// The files of the site, sorted by path. Certificates of the `operators` that are missing were reported before.
fn read_files(
    directory: &Path,
    model: &Model,
    operators: &BTreeSet<&str>,
    folders: &BTreeMap<String, Vec<String>>,
    findings: &mut Findings,
) -> Result<Vec<SiteFile>> {
    let mut files = Vec::new();
    for ExpectedFile { path, mode, group } in expected_files(model) {
        match files::read(directory, &path)? {
            Some(bytes) => files.push(SiteFile { path, mode, gid: group.unwrap_or(0), bytes }),
            None if operators.iter().any(|name| [key_path(name), certificate_path(name)].contains(&path)) => {}
            None => findings.error(path, "missing", ""),
        }
    }
    for path in folders.iter().flat_map(|(name, paths)| paths.iter().map(move |path| folders::path(name, path))) {
        // One that cannot be read was reported before.
        if let Ok(Some(bytes)) = files::read(directory, &path) {
            files.push(SiteFile { path, mode: folders::MODE, gid: 0, bytes });
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

impl Site {
    fn text(&self, path: &str) -> Option<Cow<'_, str>> {
        self.file(path).map(|file| String::from_utf8_lossy(&file.bytes))
    }

    /// Checks the authority's certificate and those that it issued. A missing file was reported before.
    fn check_certificates(&self, model: &Model, operators: &BTreeSet<&str>, now: i64, findings: &mut Findings) {
        let authority = model.site.authority.as_ref().and_then(|_| self.text(CA_CERTIFICATE));
        if let Some(pem) = &authority {
            check_certificate(pem, None, CA_CERTIFICATE, now, findings);
        }
        let authority = authority.and_then(|pem| Certificate::parse(&pem, CA_CERTIFICATE).ok());
        for name in model.site.certificates.keys().filter(|name| !operators.contains(name.as_str())) {
            let path = certificate_path(name);
            if let (Some(pem), Some(key)) = (self.text(&path), self.text(&key_path(name))) {
                check_certificate(&pem, Some(&key), &path, now, findings);
                let damage = |certificate: Certificate| certificate.damage(authority.as_ref()?);
                if let Some(damage) = Certificate::parse(&pem, &path).ok().and_then(damage) {
                    findings.error(path, damage, "");
                }
            }
        }
    }

    fn check_secrets(&self, model: &Model, findings: &mut Findings) {
        for path in model.site.secrets.keys().map(|name| secret_path(name)) {
            let Some(text) = self.text(&path) else { continue };
            findings.0.extend(weak_secret(&path, &text));
            if let Err(failure) = secret_text(&text) {
                findings.error(path, failure.message, failure.hint.unwrap_or_default());
            }
        }
    }

    fn check_env_files(&self, model: &Model, findings: &mut Findings) {
        for path in model.site.templates.keys().map(|path| path.get_ref()).filter(|path| is_env_file(model, path)) {
            if let Some(Err(error)) = self.text(path).map(|text| parse_env(&text)) {
                findings.error(path, one_line(error.as_ref()), Failure::hint_in(&error).unwrap_or_default());
            }
        }
    }
}

fn check_certificate(pem: &str, key: Option<&str>, path: &str, now: i64, findings: &mut Findings) {
    let certificate = match Certificate::parse(pem, path) {
        Ok(certificate) => certificate,
        Err(error) => {
            let hint = Failure::hint_in(&error).unwrap_or_default();
            return findings.error(path, one_line(error.as_ref()), hint);
        }
    };
    if let Some(invalid) = certificate.invalid_at(now) {
        findings.error(path, invalid, "");
    }
    if let Some(damage) = certificate.damage(&certificate) {
        findings.error(path, damage, "");
    }
    // A key of a kind that cannot be read here (such as P-521) is the operator's own: it cannot be compared.
    if key.and_then(pki::parse_key).is_some_and(|key| !certificate.belongs_to(&key)) {
        findings.error(path, "it is not the certificate of the key beside it", "");
    }
}

/// The directories of a site, as paths below it, that only their owner may enter: those with keys and secrets. An empty path
/// is the site itself.
///
/// Files that services read by a group have the number of that group within the container. On the host it may be the number
/// of any other group, whose members must not get to the file.
#[must_use]
pub fn private_directories(model: &Model) -> BTreeSet<String> {
    let by_group = |file: &ExpectedFile| file.mode & 0o040 != 0 && file.mode & 0o004 == 0;
    let parent =
        |file: ExpectedFile| file.path.rsplit_once('/').map_or_else(String::new, |(parent, _)| parent.to_owned());
    let mut directories: BTreeSet<String> = expected_files(model).into_iter().filter(by_group).map(parent).collect();
    let site = &model.site;
    directories.extend((!site.secrets.is_empty()).then(|| "secrets".to_owned()));
    directories.extend((!site.certificates.is_empty()).then(|| "tls".to_owned()));
    directories.extend((!site.files.is_empty()).then(|| folders::FOLDER.to_owned()));
    directories
}

/// A file of a site that goes into a bundle.
pub(super) struct ExpectedFile {
    /// Path below the site.
    pub(super) path: String,
    /// Permission bits.
    pub(super) mode: u32,
    /// Numeric group, if it has one of its own.
    pub(super) group: Option<u32>,
}

/// The files of a site that go into a bundle.
pub(super) fn expected_files(model: &Model) -> Vec<ExpectedFile> {
    let site = &model.site;
    let file = |path: String, mode, group| ExpectedFile { path, mode, group };
    let mut files = vec![file(record::FILE.to_owned(), 0o644, None), file(PORTS.to_owned(), 0o644, None)];
    files.extend((!site.settings.is_empty()).then(|| file(settings::FILE.to_owned(), 0o600, None)));
    files.extend(site.trusted.keys().map(|name| file(certificate_path(name), 0o644, None)));
    files.extend(site.authority.iter().map(|_| file(CA_CERTIFICATE.to_owned(), 0o644, None)));
    files.extend(site.certificates.keys().map(|name| file(certificate_path(name), 0o644, None)));
    files.extend(grouped(model).into_iter().map(|(path, mode, groups)| file(path, mode, groups.first())));
    files.extend(copies(model).into_iter().map(|copy| file(copy.path, copy.mode, Some(copy.group))));
    files
}

/// The files that groups may read: path, mode and groups.
fn grouped(model: &Model) -> Vec<(String, u32, &Groups)> {
    let model::Site { certificates, secrets, templates, .. } = &model.site;
    let keys = certificates.iter().map(|(name, spec)| (key_path(name), spec.key_mode.0, &spec.key_group));
    let secrets = secrets.iter().map(|(name, secret)| (secret_path(name), secret.mode.0, &secret.group));
    let templates =
        templates.iter().map(|(path, template)| (path.get_ref().clone(), template_mode(template), &template.group));
    keys.chain(secrets).chain(templates).collect()
}

/// A copy of a file that several groups read: a file has one group only.
pub(super) struct Copy {
    /// The path of the file.
    pub(super) of: String,
    /// The path of the copy.
    pub(super) path: String,
    /// Permission bits.
    pub(super) mode: u32,
    /// Numeric group.
    pub(super) group: u32,
}

/// The copies of a site.
pub(super) fn copies(model: &Model) -> Vec<Copy> {
    let copies = grouped(model).into_iter().flat_map(|(of, mode, groups)| {
        let copy = move |group: &u32| Copy { path: copy_path(&of, *group), of: of.clone(), mode, group: *group };
        groups.others().iter().map(copy).collect::<Vec<_>>()
    });
    copies.collect()
}
