//! `sealift status`

use std::io::Write;

use anyhow::Result;
use clap::Args;
use sealift_deployment::host::ServiceStatus;
use sealift_deployment::machine::Machine;

use super::Context;
use super::deployment::DeploymentOptions;

/// Show the services of an unpacked bundle: state, health, and whether they are up to date
///
/// Runs the health check of each service. A service is outdated when its image, its settings or its
/// unit file differ from those of the bundle and the site in this folder: `sealift up` recreates it.
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct Status {
    #[command(flatten)]
    deployment: DeploymentOptions,
    /// Print JSON: an array of objects with service, container, state, health, outdated and ports
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(super) fn run(&self, context: &mut Context) -> Result<()> {
        let machine = Machine::here();
        let deployment = self.deployment.open(&machine)?;
        let services = self.deployment.runtime(&deployment, &machine)?.status()?;
        if self.json {
            return context.out.json(&services);
        }
        writeln!(context.out, "{:24} {:12} {:10} configuration", "service", "state", "health")?;
        for status in services {
            let ServiceStatus { service, state, health, outdated, .. } = &status;
            let configuration = match outdated {
                Some(reason) => format!("outdated: {reason}"),
                None if status.is_absent() => String::new(),
                None => "up to date".to_owned(),
            };
            let line = format!("{service:24} {state:12} {health:10} {configuration}");
            writeln!(context.out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}
