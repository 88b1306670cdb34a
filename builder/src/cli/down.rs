//! `sealift down`

use anyhow::Result;
use clap::Args;
use sealift_deployment::failure::Failure;
use sealift_deployment::host;

use super::Context;
use super::deployment::DeploymentOptions;

/// Stop the services of an unpacked bundle; the data stays
///
/// Containers are removed. Volumes, certificates and secrets stay, so that `up` goes on where it was.
/// Of a bundle without containers, the units are taken away.
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct Down {
    #[command(flatten)]
    deployment: DeploymentOptions,
    /// Delete the volumes, too: all data of the services is lost; needs --yes
    #[arg(long)]
    volumes: bool,
    /// Mean it
    #[arg(long)]
    yes: bool,
}

impl Down {
    pub(super) fn run(&self, context: &mut Context) -> Result<()> {
        if self.volumes && !self.yes {
            let failure = Failure::usage("--volumes deletes all data of the services");
            return Err(failure.hint("say --volumes --yes if that is meant").into());
        }
        let deployment = self.deployment.open()?;
        if deployment.is_bare() {
            host::systemd::stop(&deployment)?;
            context.note("stopped");
            return Ok(());
        }
        let engine = self.deployment.engine(&deployment)?;
        deployment.stop(&engine)?;
        if self.volumes {
            for (_, volume) in deployment.volumes()? {
                if engine.ask(&["volume", "inspect", &volume])?.is_some() {
                    engine.run(&["volume", "rm", &volume])?;
                }
            }
        }
        context.note(if self.volumes { "stopped; the data is deleted" } else { "stopped; the data stays" });
        Ok(())
    }
}
