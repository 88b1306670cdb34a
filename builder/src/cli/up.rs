//! `sealift up`

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::Context;
use super::common;
use super::deployment::DeploymentOptions;
use super::site::port;
use crate::failure::Failure;
use crate::host;
use crate::machine::Machine;
use crate::site::{self, SiteRequest};

/// Load and start an unpacked bundle, and wait until it is healthy
///
/// Checks every digest of the bundle, makes the certificates and secrets if there are none, loads the
/// images that the engine does not have yet, and starts the services in order: each after those that it
/// depends on, with the tasks that belong to a start (such as migrations) before it. Running it again
/// does no harm: what runs stays, secrets and data stay.
///
/// Where the bundle needs values or certificates of yours, the first run writes `site/settings.toml`,
/// says all that is still to be filled in, and exits with 2 before anything is loaded.
///
/// Examples:
///   ./sealift up --host parsec.example.com
///   ./sealift up --host 192.0.2.10 --port https=8443 --port http=8080
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct Up {
    #[command(flatten)]
    deployment: DeploymentOptions,
    /// Public name or address of the installation; needed once, when there is no site yet
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// A published port: its name in the profile and the host's port number; may be repeated
    #[arg(long = "port", value_name = "NAME=NUMBER", value_parser = port)]
    ports: Vec<(String, u16)>,
    /// Let the site's own authority make certificates that you would have to bring: for trials
    #[arg(long)]
    self_signed: bool,
    /// Seconds that services may take to become healthy
    #[arg(long, value_name = "SECONDS", default_value_t = 180)]
    timeout: u64,
}

impl Up {
    pub(super) fn run(&self, context: &mut Context) -> Result<()> {
        let ui = common::ui(&Machine::here(), context);
        let deployment = self.deployment.open()?;
        let engine = self.deployment.engine(&deployment)?;
        ui.note(&format!("ok: {} {}, {}", engine.program(), engine.version, engine.compose.join(" ")));
        deployment.verify()?;
        ui.note("ok: the bundle is sound");

        let directory = deployment.folder.join("site");
        let known = directory.join("site.toml").is_file();
        if !known && self.host.is_none() {
            let hint = "name what clients connect to: --host parsec.example.com";
            return Err(Failure::usage("there is no site yet, and it needs a host").hint(hint).into());
        }
        let report = site::create(&SiteRequest {
            directory: &directory,
            model: &deployment.profile.model,
            sources: &deployment.profile.sources,
            host: self.host.as_deref(),
            ports: self.ports.iter().cloned().collect::<BTreeMap<_, _>>(),
            self_signed: self.self_signed,
            now: crate::clock::now().cast_signed(),
        })?;
        for warning in &report.warnings {
            ui.warn(&format!("{}\n  hint: {}", warning.message, warning.hint));
        }
        ui.note(report.to_string().trim_end());

        host::load(&deployment, &engine, &ui)?;
        deployment.start(&engine, Duration::from_secs(self.timeout), &ui)?;
        for (name, port) in &report.ports {
            writeln!(context.out, "{name}: {}:{port}", report.host)?;
        }
        Ok(())
    }
}
