//! `sealift down`

use anyhow::Result;
use clap::Args;
use sealift_deployment::failure::Failure;
use sealift_deployment::host::{self, Data, Stopped};
use sealift_deployment::machine::Machine;
use sealift_deployment::site::KnownSites;
use sealift_deployment::ui::{self, Ui};

use super::Context;
use super::deployment::{DeploymentOptions, nothing_found};

/// Stop the services of an unpacked bundle; the data stays
///
/// Removes the containers, or the units of a bundle without containers. Volumes, certificates and
/// secrets stay: `up` starts the services again with the same data. It is an error when there is
/// nothing to stop.
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
        host::refuse_former(&deployment, &KnownSites::of(&machine))?;
        let data = if self.volumes { Data::Delete } else { Data::Keep };
        let runtime = self.deployment.runtime(&deployment, &machine)?;
        let ui = Ui::stderr(&machine, context.quiet);
        let Stopped { services, volumes } = runtime.stop(data, &ui)?;
        if services == 0 && volumes == 0 {
            return Err(nothing_found(&deployment, &*runtime).into());
        }
        let stopped = format!("stopped {}", ui::count(services, "service"));
        context.note(match data {
            Data::Keep => format!("{stopped}; the data stays"),
            Data::Delete if volumes == 0 => format!("{stopped}; there was no volume to delete"),
            Data::Delete => format!("{stopped}; deleted {}", ui::count(volumes, "volume")),
        });
        Ok(())
    }
}
