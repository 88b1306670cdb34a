//! `sealift up`

use std::io::Write;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use sealift_deployment::failure::Failure;
use sealift_deployment::finding::Level;
use sealift_deployment::host::{self, Deadline, Deployment, Host};
use sealift_deployment::machine::Machine;
use sealift_deployment::site::{self, SiteRequest};
use sealift_deployment::ui::Ui;

use super::Context;
use super::common;
use super::deployment::DeploymentOptions;
use super::site::port;

/// Load and start an unpacked bundle, and wait until it is healthy
///
/// Checks every digest of the bundle, and the host: engine, space, ports, clock, data that is there.
/// When something stands in the way, it says all of it and changes nothing. Then it makes the
/// certificates and secrets if there are none, loads the images that the engine does not have yet, and
/// starts the services in order: each after those that it depends on, with the tasks that belong to a
/// start (such as migrations) before it.
///
/// Running it again does no harm: what runs stays, secrets and data stay. A service is made anew when
/// its image or something that it reads changed: a port, a file below site/ (edited settings, renewed
/// certificates), the folder. So is one that was made by hand.
///
/// A bundle without containers is started by systemd, as root: its units are put into
/// /etc/systemd/system. Elsewhere `up` makes the site, and prints the commands that come next.
///
/// Where the bundle needs values or certificates of yours, the first run writes `site/settings.toml`,
/// says all that is still to be filled in, and exits with 2 before anything is loaded.
///
/// Examples:
///   ./sealift up --host parsec.example.com
///   ./sealift up --host 192.0.2.10 --port https=8443 --port http=8080
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct Up {
    #[command(flatten)]
    deployment: DeploymentOptions,
    /// Public name or address of the installation; needed once, when there is no site yet
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// A published port: its name in the profile and the host's port number; may be repeated
    #[arg(long = "port", value_name = "NAME=NUMBER", value_parser = port)]
    ports: Vec<(String, u16)>,
    /// Let the site's own authority make certificates that you would have to bring: for trials
    #[arg(long)]
    self_signed: bool,
    /// Seconds that all of the start may take until the services are healthy
    #[arg(long, value_name = "SECONDS", default_value_t = 180)]
    timeout: u64,
}

impl Up {
    pub(super) fn run(&self, context: &mut Context) -> Result<()> {
        let machine = Machine::here();
        let ui = common::ui(&machine, context);
        let deployment = self.deployment.open()?;
        if !deployment.folder.join("site/site.toml").is_file() && self.host.is_none() {
            let hint = "name what clients connect to: --host parsec.example.com";
            return Err(Failure::usage("there is no site yet, and it needs a host").hint(hint).into());
        }
        if deployment.is_bare() {
            return self.without_containers(context, &deployment, &machine, &ui);
        }
        let engine = self.deployment.engine(&deployment)?;
        deployment.verify_beside(&engine)?;
        ui.note("ok: bundle: every digest is right");
        let host = Host { engine: &engine, machine: &machine, now: sealift_deployment::clock::now().cast_signed() };
        let ports = self.ports.iter().cloned().collect();
        let findings = deployment.check_host(host, &ports)?;
        for finding in &findings.0 {
            match finding.level {
                Level::Ok => ui.note(&finding.to_string()),
                Level::Warning => ui.warn(finding.to_string().trim_start_matches("warning: ")),
                Level::Error => {}
            }
        }
        findings.refuse("this host is not ready:", "nothing was changed; `sealift doctor` looks again")?;

        let report = deployment.prepare_site(host, self.host.as_deref(), &ports, self.self_signed)?;
        report.warnings.0.iter().for_each(|warning| ui.finding(warning));
        ui.note(report.to_string().trim_end());
        host::load(&deployment, &engine, &ui)?;
        deployment.start(&engine, Deadline::after(Duration::from_secs(self.timeout)), &ui)?;
        for line in deployment.addresses(&report.host.parse()?)? {
            writeln!(context.out, "{line}")?;
        }
        if let Some(next) = &deployment.profile.model.next {
            writeln!(context.out, "next: {next}")?;
        }
        Ok(())
    }

    fn without_containers(
        &self,
        context: &mut Context,
        deployment: &Deployment,
        machine: &Machine,
        ui: &Ui,
    ) -> Result<()> {
        let in_charge = host::systemd::is_in_charge(machine);
        if in_charge {
            host::systemd::visible(&deployment.folder)?;
        }
        deployment.verify()?;
        ui.note("ok: bundle: every digest is right");
        let report = site::create(&SiteRequest {
            directory: &deployment.folder.join("site"),
            model: &deployment.profile.model,
            sources: &deployment.profile.sources,
            host: self.host.as_deref(),
            ports: self.ports.iter().cloned().collect(),
            days_left: None,
            leave_groups: false,
            self_signed: self.self_signed,
            now: sealift_deployment::clock::now().cast_signed(),
        })?;
        report.warnings.0.iter().for_each(|warning| ui.finding(warning));
        ui.note(report.to_string().trim_end());
        if in_charge {
            let renew = report.changes.iter().any(|change| change.action != site::Action::Kept);
            host::systemd::start(deployment, renew, Duration::from_secs(self.timeout), ui)?;
            for (name, port) in &report.ports {
                writeln!(context.out, "{name}: {}:{port}", report.host)?;
            }
        } else {
            ui.note("nothing is started: that needs root and systemd. By hand, in this order:");
            for command in host::systemd::by_hand(deployment) {
                writeln!(context.out, "{command}")?;
            }
        }
        Ok(())
    }
}
