//! `sealift site renew`: renews certificates before they expire.

use std::fmt;

use anyhow::Result;
use serde::Serialize;

use super::create::{SiteRequest, create};
use super::report::Action;
use super::status::{Validity, certificates};
use crate::finding::Findings;
use crate::profile::names::mounted_path;
use crate::ui::count;

/// The result of [`renew`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Renewal {
    /// Paths of the certificates that were issued.
    pub renewed: Vec<String>,
    /// All certificates as they are now, the authority's first.
    pub certificates: Vec<Validity>,
    /// The services that read a renewed certificate: they use it after a restart.
    pub services: Vec<String>,
    /// Warnings, such as a certificate that is due but cannot be signed here.
    pub warnings: Findings,
}

/// Brings a site up to date as [`create`] does, and reports its certificates.
///
/// # Errors
/// Those of [`create`].
pub fn renew(request: &SiteRequest<'_>) -> Result<Renewal> {
    let report = create(request)?;
    let certificates = certificates(request.directory, request.model, request.now)?;
    let is_certificate = |path: &&str| certificates.iter().any(|found| found.path == *path);
    let changed = report.paths(Action::Replaced).chain(report.paths(Action::Created));
    let renewed: Vec<String> = changed.filter(is_certificate).map(str::to_owned).collect();
    let reads = |name: &str| mounted_path(request.model, name).is_some_and(|path| renewed.contains(&path));
    let services = request.model.services.iter();
    let services = services.filter(|(_, service)| service.secrets.iter().any(|name| reads(name.get_ref())));
    let services = services.map(|(name, _)| name.get_ref().clone()).collect();
    Ok(Renewal { renewed, certificates, services, warnings: report.warnings })
}

impl fmt::Display for Renewal {
    /// A line for each certificate, and the next step when some were renewed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for certificate in &self.certificates {
            let what = if self.renewed.contains(&certificate.path) { "renewed" } else { "kept" };
            match &certificate.invalid {
                Some(invalid) => writeln!(f, "{what} {}: {invalid}", certificate.path)?,
                None => {
                    let days = usize::try_from(certificate.days_left).unwrap_or_default();
                    writeln!(f, "{what} {}: valid for {}", certificate.path, count(days, "day"))?;
                }
            }
        }
        if self.services.is_empty() {
            return Ok(());
        }
        writeln!(f, "next: ./sealift up, or restart by hand: {}", self.services.join(", "))
    }
}
