//! `sealift status`

use std::io::Write;

use anyhow::Result;
use clap::Args;
use sealift_deployment::host::{self, State, Status as Service};

use super::Context;
use super::deployment::DeploymentOptions;

/// Show the services of an unpacked bundle: state, health, what they were made from
///
/// Health is asked anew, by running each service's health command in its container.
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct Status {
    #[command(flatten)]
    deployment: DeploymentOptions,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(super) fn run(&self, context: &mut Context) -> Result<()> {
        let deployment = self.deployment.open()?;
        let services: Vec<Service> = if deployment.is_bare() {
            let order = deployment.order().into_iter();
            order.map(|name| host::systemd::status(&deployment, name)).collect::<Result<_>>()?
        } else {
            deployment.statuses(&self.deployment.engine(&deployment)?)?
        };
        if self.json {
            return context.out.json(&services);
        }
        writeln!(context.out, "{:24} {:12} {:10} made from", "service", "state", "health")?;
        for status in services {
            let made = status.outdated().unwrap_or(if status.state == State::Absent { "" } else { "what is here" });
            let Service { service, state, health, .. } = &status;
            let line = format!("{service:24} {state:12} {health:10} {made}");
            writeln!(context.out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}
