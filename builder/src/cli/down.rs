//! `sealift down`

use anyhow::Result;
use clap::Args;
use sealift_deployment::failure::Failure;
use sealift_deployment::host::Data;
use sealift_deployment::machine::Machine;

use super::Context;
use super::deployment::DeploymentOptions;

/// Stop the services of an unpacked bundle; the data stays
///
/// Removes the containers, or the units of a bundle without containers. Volumes, certificates and
/// secrets stay: `up` starts the services again with the same data.
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct Down {
    #[command(flatten)]
    deployment: DeploymentOptions,
    /// Delete the volumes, and with them all data of the services; needs --yes
    #[arg(long)]
    volumes: bool,
    /// Skip the confirmation check of --volumes
    #[arg(long)]
    yes: bool,
}

impl Down {
    pub(super) fn run(&self, context: &mut Context) -> Result<()> {
        if self.volumes && !self.yes {
            let failure = Failure::usage("--volumes deletes all data of the services");
            return Err(failure.hint("to delete it, repeat the command with --volumes --yes").into());
        }
        let machine = Machine::here();
        let deployment = self.deployment.open(&machine)?;
        let data = if self.volumes { Data::Delete } else { Data::Keep };
        self.deployment.runtime(&deployment, &machine)?.stop(data)?;
        context.note(if self.volumes { "stopped; the data is deleted" } else { "stopped; the data stays" });
        Ok(())
    }
}
