//! `sealift status`

use std::io::Write;

use anyhow::Result;
use clap::Args;

use super::Context;
use super::deployment::DeploymentOptions;
use crate::host::Status as Service;

/// Show the services of an unpacked bundle: state, health, image
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
        let engine = self.deployment.engine(&deployment)?;
        let services: Vec<Service> =
            deployment.order().into_iter().map(|name| deployment.status(&engine, name)).collect::<Result<_>>()?;
        if self.json {
            return context.out.json(&services);
        }
        writeln!(context.out, "{:24} {:12} {:10} image", "service", "state", "health")?;
        for Service { service, state, health, drifted, .. } in services {
            let image = if drifted { "another version's" } else { "as in the bundle" };
            writeln!(context.out, "{service:24} {state:12} {health:10} {image}")?;
        }
        Ok(())
    }
}
