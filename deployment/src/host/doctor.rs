//! How a deployment is.

use std::collections::BTreeMap;

use anyhow::Result;

use super::preflight::Host;
use super::{Deployment, Health, State, Status, load};
use crate::finding::{Finding, Findings};
use crate::site;
use crate::ui;

/// Fewer days than this that a certificate is valid are worth a warning.
const DAYS: i64 = 30;

impl Deployment {
    /// Looks at everything: the host, the images, the services with the last log lines of those that are not healthy, the
    /// certificates, and who can read the secrets. Nothing is changed.
    ///
    /// # Errors
    /// When the engine fails; what is found to be wrong is none.
    pub fn examine(&self, host: Host<'_>) -> Result<Findings> {
        let mut findings = self.check_host(host, &BTreeMap::new())?;
        let images = &self.manifest.images;
        match load::missing(self, host.engine)?.len() {
            0 => findings.ok("images", format!("all {} are loaded", ui::count(images.len(), "image"))),
            missing => {
                findings.error("images", format!("{} of {} are not loaded", missing, images.len()), "./sealift up")
            }
        }
        for status in self.statuses(host.engine)? {
            self.examine_service(host, &status, &mut findings)?;
        }
        self.examine_site(host, &mut findings)?;
        Ok(findings)
    }

    fn examine_service(&self, host: Host<'_>, status: &Status, findings: &mut Findings) -> Result<()> {
        let service = status.service.as_str();
        match (&status.state, status.health) {
            (State::Absent, _) => findings.error(service, "is not there", "./sealift up"),
            (_, Health::Healthy) => findings.ok(service, "healthy"),
            (state, _) => {
                let what =
                    if *state == State::Running { "runs, and is not healthy".into() } else { format!("is {state}") };
                findings.error(service, what, format!("its last log lines are above; more: ./sealift logs {service}"));
                findings.lines(self.last_lines(host.engine, service)?);
            }
        }
        if let Some(why) = status.outdated() {
            findings.warn(service, format!("is not what is here: {why}"), "./sealift up makes it anew");
        }
        Ok(())
    }

    fn examine_site(&self, host: Host<'_>, findings: &mut Findings) -> Result<()> {
        let (directory, model) = (self.folder.join("site"), &self.profile.model);
        if !directory.join("site.toml").is_file() {
            findings.error("site", "there is none yet", "./sealift up --host HOST makes it");
            return Ok(());
        }
        let certificates = site::certificates(&directory, model, host.now).unwrap_or_else(|error| {
            findings.error("certificates", format!("{error:#}"), "./sealift up tells all that is wrong in site/");
            Vec::new()
        });
        for certificate in certificates.into_iter().filter(|found| !found.not_yet_valid) {
            let topic = format!("site/{}", certificate.path);
            let renew = "./sealift site renew, then ./sealift up";
            match (certificate.invalid, certificate.days_left) {
                (Some(invalid), _) => findings.error(topic, invalid, format!("if the clock is right: {renew}")),
                (None, days) if days < DAYS => {
                    findings.warn(
                        topic,
                        format!("valid for {}", ui::count(days.unsigned_abs() as usize, "day")),
                        renew,
                    );
                }
                (None, days) => findings.ok(topic, format!("valid for {days} days")),
            }
        }
        let rootless = host.engine.facts()?.rootless;
        let loose = site::permissions(&directory, model, !rootless)?;
        if loose.0.is_empty() {
            findings.ok("secrets", "only their services can read them");
        }
        findings.0.extend(loose.0.into_iter().map(|found| Finding { topic: format!("site/{}", found.topic), ..found }));
        Ok(())
    }
}
