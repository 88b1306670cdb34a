//! `sealift doctor`

use std::io::Write;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use sealift_deployment::failure::Failure;
use sealift_deployment::finding::Level;
use sealift_deployment::host;
use sealift_deployment::machine::Machine;
use sealift_deployment::site::KnownSites;
use sealift_deployment::ui;

use super::deployment::DeploymentOptions;
use super::{Context, gateway};

/// Examine an unpacked bundle and its host, and report every problem with a hint
///
/// Checks the signature, the engine or systemd, architecture, clock, kernel settings, disk space,
/// ports, images, data, services (with the last log lines of those that are not healthy), published
/// ports where nobody listens, web addresses that answer 502 or 504, processes that the kernel ended
/// for memory, certificates, and who can read the secrets. Prints one line for each check, and a hint
/// below each problem. Changes nothing.
///
/// Exits with 1 if there are errors. Warnings do not change the exit code.
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct Doctor {
    #[command(flatten)]
    deployment: DeploymentOptions,
    /// Print JSON: an array of objects with level, topic, message, hint and lines
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(super) fn run(&self, context: &mut Context) -> Result<()> {
        let machine = Machine::here();
        let deployment = self.deployment.open(&machine)?;
        let runtime = self.deployment.runtime(&deployment, &machine)?;
        let now = sealift_deployment::clock::now().cast_signed();
        let mut findings = host::examine(&deployment, &*runtime, &KnownSites::of(&machine), now)?;
        gateway::check(&deployment, Duration::ZERO, &mut findings);
        if self.json {
            context.out.json(&findings)?;
        } else {
            for finding in &findings.0 {
                writeln!(context.out, "{finding}")?;
            }
        }
        context.out.finish()?;
        match findings.of(Level::Error).count() {
            0 => Ok(()),
            errors => Err(Failure::failed(format!("{} found", ui::count(errors, "error"))).into()),
        }
    }
}
