//! `sealift task`

use std::io::Write;

use anyhow::Result;
use clap::Args;
use sealift_deployment::host;

use super::Context;
use super::deployment::DeploymentOptions;

/// List what operators of an unpacked bundle can have done, or do one of it
///
/// The profile says what there is: commands in the containers of its services.
///
/// Examples:
///   ./sealift task
///   ./sealift task create-organization MyOrg
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct Task {
    #[command(flatten)]
    deployment: DeploymentOptions,
    /// The task; without it all are listed
    name: Option<String>,
    /// What the task asks for, in the order of the list
    arguments: Vec<String>,
}

impl Task {
    pub(super) fn run(&self, context: &mut Context) -> Result<()> {
        let deployment = self.deployment.open()?;
        let Some(name) = &self.name else {
            for (name, task) in &deployment.profile.model.tasks {
                let words = task.arguments.iter().map(|argument| argument.get_ref().to_uppercase());
                let words: Vec<String> = std::iter::once(name.get_ref().clone()).chain(words).collect();
                writeln!(context.out, "{:40} {}", words.join(" "), task.title)?;
            }
            return Ok(());
        };
        let task = deployment.task(name, &self.arguments)?;
        // It runs what the profile says.
        deployment.verify_files()?;
        if deployment.is_bare() {
            return host::systemd::run_task(&deployment, name, &self.arguments);
        }
        deployment.run_task(&self.deployment.engine(&deployment)?, name, task, &self.arguments)
    }
}
