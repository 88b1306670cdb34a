//! `sealift doctor`

use std::io::Write;

use anyhow::Result;
use clap::Args;
use sealift_deployment::failure::Failure;
use sealift_deployment::finding::Level;
use sealift_deployment::host::Host;
use sealift_deployment::machine::Machine;
use sealift_deployment::ui;

use super::Context;
use super::deployment::DeploymentOptions;

/// Examine an unpacked bundle and its host: what is wrong, and what to do about it
///
/// Looks at the engine, architecture, clock, kernel settings, space, ports, images, data, services (with
/// the last log lines of those that are not healthy), certificates, and who can read the secrets. One line
/// for each thing, and a hint where there is something to do. Nothing is changed.
///
/// Exits with 1 when there is an error; warnings are no errors.
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct Doctor {
    #[command(flatten)]
    deployment: DeploymentOptions,
    /// Print it as JSON: an array of objects with level, topic, message, hint and lines
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(super) fn run(&self, context: &mut Context) -> Result<()> {
        let machine = Machine::here();
        let deployment = self.deployment.open()?;
        let engine = self.deployment.engine(&deployment)?;
        let now = sealift_deployment::clock::now().cast_signed();
        let findings = deployment.examine(Host { engine: &engine, machine: &machine, now })?;
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
