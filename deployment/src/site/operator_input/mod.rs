//! The operator's input, checked before anything else is written: settings, certificates, edited files, secrets.

pub(super) mod certificates;
pub(super) mod folders;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use super::create::{SiteRequest, SiteUpdate};
use super::env::is_env_file;
use super::env::parse_env;
use super::files;
use super::networks;
use super::settings;
use crate::failure::{Failure, Kind, one_line};
use crate::finding::{Finding, Findings, Level};
use crate::profile::Sources;
use crate::profile::model::Model;
use crate::profile::names::secret_path;
use certificates::OperatorCertificate;

/// Fewest characters of a secret: as many as the fewest random bytes that a profile may ask for have when encoded.
const SECRET_LENGTH: usize = 16;

impl SiteUpdate<'_> {
    /// Checks the operator's input. The error lists all that is missing or wrong.
    pub(super) fn check_operator_input(&mut self) -> Result<()> {
        let SiteRequest { directory, model, sources, self_signed, now, .. } = *self.request;
        let site = &model.site;
        if !site.certificates.is_empty() || !site.trusted.is_empty() {
            files::directory(directory, "tls", files::PRIVATE)?;
        }
        folders::offer(directory, model, &mut self.report)?;
        settings::offer(directory, model, &self.old.settings, &mut self.report)?;
        self.new.settings = site.settings.keys().cloned().collect();
        let mut findings = Findings::default();
        self.parameters.settings = settings::read(directory, model, Some(sources), &mut findings)?;
        self.parameters.trusted = certificates::trusted(directory, model, now, &mut findings)?;
        self.parameters.files = folders::check(directory, model, now, &mut findings)?;
        for (name, wanted) in site.certificates.iter().filter(|(_, wanted)| wanted.provided) {
            let certificate =
                OperatorCertificate { directory, name, wanted, host: &self.parameters.host, record: &self.old };
            if !certificate.belongs_to_site(self_signed)? {
                certificate.check(now, &mut findings)?;
                self.operator_certificates.insert(name.clone());
            }
        }
        check_files(directory, model, &mut findings)?;
        if findings.of(Level::Error).next().is_some() && self.old.rendered.is_empty() {
            // The next run of a new site then needs no options again.
            self.write_record()?;
        }
        let summary = format!("{}: the operator's input is incomplete or wrong:", directory.display());
        let hint =
            format!("edit these files in {}, then run this again; nothing else was changed", directory.display());
        findings.refuse(&summary, &hint).map_err(|failure| failure.of_kind(Kind::Usage))?;
        self.report.warnings.0.extend(findings.0);
        Ok(())
    }
}

/// Checks secrets, and edited env files: a file is kept when it was edited, so it must be valid.
fn check_files(directory: &Path, model: &Model, findings: &mut Findings) -> Result<()> {
    for path in model.site.secrets.keys().map(|name| secret_path(name)) {
        if let Some(text) = files::read_text(directory, &path)? {
            findings.0.extend(weak_secret(&path, &text));
        }
    }
    for path in model.site.templates.keys().map(|path| path.get_ref()).filter(|path| is_env_file(model, path)) {
        let text = files::read_text(directory, path)?.unwrap_or_default();
        if let Err(error) = parse_env(&text) {
            findings.error(path, one_line(error.as_ref()), Failure::hint_in(&error).unwrap_or_default());
        }
    }
    Ok(())
}

/// Checks the operator's input that is there, and writes nothing: settings, provided files, secrets and edited env files.
/// [`super::create`] checks the same, and certificates.
///
/// # Errors
/// When a file cannot be read. What is wrong is a finding.
pub fn check(directory: &Path, model: &Model, sources: &Sources, now: i64, findings: &mut Findings) -> Result<()> {
    if directory.is_dir() {
        settings::read_written(directory, model, Some(sources), findings)?;
        folders::check(directory, model, now, findings)?;
        check_files(directory, model, findings)?;
    }
    Ok(())
}

/// The folders of the host that the settings name, by the names of those; without the settings that are wrong.
///
/// # Errors
/// When the settings cannot be read.
pub fn host_paths(directory: &Path, model: &Model) -> Result<BTreeMap<String, String>> {
    let settings = settings::read_written(directory, model, None, &mut Findings::default())?;
    Ok(settings.map(|settings| networks::host_paths(model, &settings)).unwrap_or_default())
}

/// The error about a secret that is too short to have been created here.
pub(super) fn weak_secret(path: &str, text: &str) -> Option<Finding> {
    let length = text.trim().chars().count();
    let mut findings = Findings::default();
    if (1..SECRET_LENGTH).contains(&length) {
        let hint = format!("use at least {SECRET_LENGTH}: openssl rand -hex 32");
        findings.error(path, format!("too weak: {length} characters"), hint);
    }
    findings.0.pop()
}
