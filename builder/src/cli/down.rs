//! `sealift down`

use anyhow::Result;
use clap::Args;
use sealift_deployment::failure::Failure;
use sealift_deployment::host::{Data, Stopped};
use sealift_deployment::machine::Machine;
use sealift_deployment::ui;

use super::Context;
use super::deployment::DeploymentOptions;

/// Stop the services of an unpacked bundle; the data stays
///
/// Removes the containers, or the units of a bundle without containers. Volumes, certificates and
/// secrets stay: `up` starts the services again with the same data. It is an error when there is nothing
/// to stop.
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
        let runtime = self.deployment.runtime(&deployment, &machine)?;
        let Stopped { services, volumes } = runtime.stop(data)?;
        if services == 0 && volumes == 0 {
            let place = runtime.engine().unwrap_or("systemd");
            return Err(Failure::failed(format!(
                "{place} has nothing of the deployment in {}",
                deployment.folder.display()
            ))
            .hint(
                "`sealift status` shows its services; --engine looks at another engine, --directory at another folder",
            )
            .into());
        }
        let stopped = format!("stopped {}", ui::count(services, "service"));
        context.note(match data {
            Data::Keep => format!("{stopped}; the data stays"),
            Data::Delete => format!("{stopped}; deleted {}", ui::count(volumes, "volume")),
        });
        Ok(())
    }
}
