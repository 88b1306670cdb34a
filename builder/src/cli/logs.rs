//! `sealift logs`

use anyhow::Result;
use clap::Args;
use sealift_deployment::failure::Failure;
use sealift_deployment::host;

use super::Context;
use super::deployment::DeploymentOptions;

/// Show what a service of an unpacked bundle logged
#[derive(Args, Debug)]
pub(super) struct Logs {
    #[command(flatten)]
    deployment: DeploymentOptions,
    /// The service
    service: String,
    /// Go on with what it logs from now on
    #[arg(long, short)]
    follow: bool,
    /// Only so many of the last lines
    #[arg(long, value_name = "N")]
    tail: Option<u32>,
}

impl Logs {
    pub(super) fn run(&self, _context: &mut Context) -> Result<()> {
        let deployment = self.deployment.open()?;
        let container = deployment.service(&self.service)?;
        if deployment.is_bare() {
            if host::systemd::logs(&self.service, self.follow, self.tail).status()?.success() {
                return Ok(());
            }
            return Err(Failure::failed(format!("journalctl has no logs of {}", self.service)).into());
        }
        let engine = self.deployment.engine(&deployment)?;
        let mut command = engine.command(&["logs"]);
        if self.follow {
            command.arg("--follow");
        }
        if let Some(lines) = self.tail {
            command.args(["--tail", &lines.to_string()]);
        }
        if command.arg(container).status()?.success() {
            return Ok(());
        }
        Err(Failure::failed(format!("{} has no logs of {}", engine.program(), self.service)).into())
    }
}
