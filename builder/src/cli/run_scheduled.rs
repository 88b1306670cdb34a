//! `sealift run-scheduled`

use std::io::Write;

use anyhow::Result;
use clap::Args;
use sealift_deployment::clock;
use sealift_deployment::failure::Failure;
use sealift_deployment::host;
use sealift_deployment::machine::Machine;
use sealift_deployment::site::KnownSites;

use super::Context;
use super::deployment::DeploymentOptions;

/// List the scheduled services of an unpacked bundle, or run one now
///
/// The profile says at which times they run (systemd.time(7), "Calendar events"). A timer of systemd,
/// or cron, runs this command at these times: `sealift doctor` prints the commands that make the
/// timers.
///
/// The service is run in its container, which `sealift up` has made; what it prints goes to its log,
/// too. Exits with 1 when it fails, when it runs already, when a service is not ready that it depends
/// on, or when the deployment is down; `status` and `doctor` tell the first and the third.
///
/// Examples:
///   ./sealift run-scheduled
///   ./sealift run-scheduled backup
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct RunScheduled {
    #[command(flatten)]
    deployment: DeploymentOptions,
    /// Name of the service; without it, all scheduled services are listed
    name: Option<String>,
}

impl RunScheduled {
    pub(super) fn run(&self, context: &mut Context) -> Result<()> {
        let machine = Machine::here();
        let deployment = self.deployment.open(&machine)?;
        let scheduled = deployment.profile.model.scheduled();
        let Some(name) = &self.name else {
            if scheduled.is_empty() {
                context.note("the profile of this bundle has no scheduled services");
            }
            for (name, event) in scheduled {
                writeln!(context.out, "{name:24} {event}")?;
            }
            return Ok(());
        };
        if deployment.service(name)?.schedule().is_none() {
            let names: Vec<&str> = scheduled.iter().map(|(name, _)| *name).collect();
            let failure = Failure::usage(format!("{name} is not a scheduled service"));
            let hint =
                if names.is_empty() { "`up` starts it".to_owned() } else { format!("those are {}", names.join(", ")) };
            return Err(failure.hint(hint).into());
        }
        host::refuse_former(&deployment, &KnownSites::of(&machine))?;
        deployment.verify_files()?;
        let runtime = self.deployment.runtime(&deployment, &machine)?;
        host::run_scheduled(&deployment, &*runtime, &KnownSites::of(&machine), name, clock::now().cast_signed())
    }
}
