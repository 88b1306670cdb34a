//! `sealift logs`

use anyhow::Result;
use clap::Args;
use sealift_deployment::host::LogOptions;
use sealift_deployment::machine::Machine;

use super::Context;
use super::deployment::DeploymentOptions;

/// Print the log of a service of an unpacked bundle
#[derive(Args, Debug)]
pub(super) struct Logs {
    #[command(flatten)]
    deployment: DeploymentOptions,
    /// Name of the service; with a number, as `status` shows it, for one of several containers
    service: String,
    /// Follow new output
    #[arg(long, short)]
    follow: bool,
    /// Print only the last N lines
    #[arg(long, value_name = "N")]
    tail: Option<u32>,
}

impl Logs {
    pub(super) fn run(&self, _context: &mut Context) -> Result<()> {
        let machine = Machine::here();
        let deployment = self.deployment.open(&machine)?;
        deployment.instance(&self.service)?;
        let options = LogOptions { follow: self.follow, tail: self.tail };
        self.deployment.runtime(&deployment, &machine)?.logs(&self.service, options)
    }
}
