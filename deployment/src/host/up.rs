//! The steps from an unpacked bundle to healthy services.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;

use super::deployment::Deployment;
use super::runtime::{Deadline, Runtime, Started};
use crate::failure::Failure;
use crate::finding::Level;
use crate::site::{self, SiteRequest};
use crate::ui::Ui;

/// The operator's choices for a start.
#[derive(Clone, Debug)]
pub struct UpRequest<'a> {
    /// The public host, a DNS name or an IP address. Required while there is no site.
    pub host: Option<&'a str>,
    /// Published ports that differ from those of the site, by name.
    pub ports: BTreeMap<String, u16>,
    /// Certificates that the operator would have to bring are made by the site's authority.
    pub self_signed: bool,
    /// How long the services may take to become healthy.
    pub timeout: Duration,
    /// The time, in seconds since 1970.
    pub now: i64,
}

impl UpRequest<'_> {
    /// Checks the request alone, without the host.
    ///
    /// # Errors
    /// [`Failure::usage`] when the host's name is missing.
    pub fn check(&self, deployment: &Deployment) -> Result<()> {
        if deployment.has_site() || self.host.is_some() {
            return Ok(());
        }
        Err(Failure::usage("the first start needs the name or address of this installation")
            .hint("add --host, such as --host parsec.example.com")
            .into())
    }
}

/// Checks the bundle and the host, makes the site or brings it up to date, loads what is missing, and starts the services.
///
/// # Errors
/// Those of each step. Nothing was changed when the checks fail; the site was not changed, either, when it is incomplete.
pub fn up(deployment: &Deployment, runtime: &dyn Runtime, request: &UpRequest<'_>, ui: &Ui) -> Result<Started> {
    preflight(runtime, request, ui)?;
    let site = prepare_site(deployment, runtime, request, ui)?;
    runtime.load(ui)?;
    runtime.start(&site, Deadline::after(request.timeout), ui)
}

/// Checks the bundle and the host; reports every error at once.
fn preflight(runtime: &dyn Runtime, request: &UpRequest<'_>, ui: &Ui) -> Result<()> {
    runtime.verify()?;
    ui.note("ok: bundle: all digests match");
    let findings = runtime.check_host(&request.ports, request.now)?;
    findings.0.iter().filter(|finding| finding.level != Level::Error).for_each(|finding| ui.finding(finding));
    findings.refuse("this host is not ready:", "nothing was changed; `sealift doctor` repeats the checks")?;
    Ok(())
}

/// Makes the site in the folder `site`, or brings it up to date, so that the services can read it.
fn prepare_site(
    deployment: &Deployment,
    runtime: &dyn Runtime,
    request: &UpRequest<'_>,
    ui: &Ui,
) -> Result<site::SiteReport> {
    let report = site::create(&SiteRequest {
        directory: &deployment.site(),
        model: &deployment.profile.model,
        sources: &deployment.profile.sources,
        host: request.host,
        ports: request.ports.clone(),
        days_left: None,
        leave_groups: runtime.maps_groups()?,
        self_signed: request.self_signed,
        now: request.now,
    })?;
    runtime.set_key_groups()?;
    report.warnings.0.iter().for_each(|warning| ui.finding(warning));
    ui.note(report.to_string().trim_end());
    Ok(report)
}
