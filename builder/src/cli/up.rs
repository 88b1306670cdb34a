//! `sealift up`

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use sealift_deployment::finding::Findings;
use sealift_deployment::host::{self, Started, UpRequest};
use sealift_deployment::machine::Machine;
use sealift_deployment::site::KnownSites;
use sealift_layers::limits::{self, Limits};

use super::deployment::DeploymentOptions;
use super::site::port;
use super::{Context, common, gateway};

/// Load and start an unpacked bundle, and wait until its services are healthy
///
/// Checks the digests of the bundle, and the host: engine, disk space, ports, clock, existing data.
/// Reports every problem at once; nothing is changed while there is one. Then makes the certificates
/// and secrets if there are none, loads the images that the engine does not have yet, and starts the
/// services in order: each after those that it depends on, and after its start tasks (such as database
/// migrations).
///
/// It is safe to run it again: running services, secrets and data stay. A service is recreated when its
/// image or something that it reads changed (a port, a file in site/, the folder), or when it was not
/// created by `sealift up`. Services that depend on one that is recreated or started restart after it:
/// it has another address then, and many programs look a name up only once.
///
/// With podman, the first start ends with the commands that have `up` run at each boot.
///
/// Bundles without containers are started by systemd, which needs root: their units are installed in
/// /etc/systemd/system. Without root or systemd, `up` makes the site and prints the commands that start
/// the services by hand.
///
/// If the bundle needs settings or certificates of yours, the first run writes `site/settings.toml`,
/// lists what is missing, and exits with 2; nothing is loaded.
///
/// Examples:
///   ./sealift up --host server.example.com
///   ./sealift up --host 192.0.2.10 --port https=8443 --port http=8080
///   ./sealift up --host server.example.com --key release.pub
///   ./sealift up --host test.example.com --project parsec-test --port https=9443
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct Up {
    #[command(flatten)]
    deployment: DeploymentOptions,
    /// Public name or address of the installation; required for the first start if the profile uses it
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Port on the host for a published port of the profile; may be repeated
    #[arg(long = "port", value_name = "NAME=NUMBER", value_parser = port)]
    ports: Vec<(String, u16)>,
    /// Prefix of the names of containers and volumes, for a second deployment on a host; recorded at the first start
    /// [default: PRODUCT-PROFILE]
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// For trials: let the site's own authority issue certificates that you would have to provide
    #[arg(long)]
    self_signed: bool,
    /// File with the private key of the site's authority, where it is not kept in the site
    #[arg(long, value_name = "FILE")]
    authority_key: Option<PathBuf>,
    /// Public key that must have signed the bundle; may be repeated. The site keeps it: later commands require it, too
    ///
    /// Where keys are trusted already, a new one needs a signature by one of them beside it (`sealift key vouch`).
    #[arg(long, value_name = "FILE", conflicts_with = "insecure_unsigned")]
    key: Vec<PathBuf>,
    /// Use a site (`site/`, `.env`) that was not made on this host, such as one that you copied here
    #[arg(long)]
    accept_site: bool,
    /// Go back to this folder, from which the folder of a later version has taken over
    #[arg(long)]
    take_over: bool,
    /// How much each layer and all layers together may unpack to (default: 200 times the packed size, at least 1 GiB)
    #[arg(long, value_name = "SIZE", value_parser = limits::parse_bytes)]
    limit_unpacked: Option<u64>,
    /// Startup timeout in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 180)]
    timeout: u64,
}

impl Up {
    pub(super) fn run(&self, context: &mut Context) -> Result<()> {
        let machine = Machine::here();
        let ui = common::ui(&machine, context);
        let (mut deployment, keys) = self.deployment.open_with_keys(&machine, &self.key)?;
        deployment.limit(Limits { unpacked: self.limit_unpacked });
        if let Some(project) = &self.project {
            deployment.choose_project(project)?;
        }
        let request = UpRequest {
            host: self.host.as_deref(),
            ports: self.ports.iter().cloned().collect(),
            self_signed: self.self_signed,
            authority_key: self.authority_key.as_deref(),
            known: KnownSites::of(&machine),
            keys,
            accept_site: self.accept_site,
            take_over: self.take_over,
            timeout: Duration::from_secs(self.timeout),
            now: sealift_deployment::clock::now().cast_signed(),
        };
        request.check(&deployment)?;
        let runtime = self.deployment.runtime(&deployment, &machine)?;
        match host::up(&deployment, &*runtime, &request, &ui)? {
            Started::Healthy(addresses) => {
                let mut findings = Findings::default();
                gateway::check(&deployment, gateway::PATIENCE, &mut findings);
                findings.0.iter().for_each(|finding| ui.finding(finding));
                for line in addresses {
                    writeln!(context.out, "{line}")?;
                }
                if let Some(next) = &deployment.profile.model.next {
                    writeln!(context.out, "next: {next}")?;
                }
                if let Some(commands) = runtime.missing_boot_unit() {
                    ui.note(
                        "podman does not start the services of this folder after a reboot. Once, so that each boot runs `up`:",
                    );
                    ui.note(&commands.join("\n"));
                }
                if let Some(commands) = runtime.missing_timers() {
                    ui.note("Scheduled services need timers of systemd. Once, so that they run at their times:");
                    ui.note(&commands.join("\n"));
                }
                let unscheduled = runtime.unscheduled();
                if !unscheduled.is_empty() {
                    ui.warn("this host has no systemd: nothing runs the scheduled services. Have another scheduler run these:");
                    ui.note(&unscheduled.join("\n"));
                }
            }
            Started::ByHand(commands) => {
                ui.note("The site is ready. Start the services by hand, in this order:");
                for command in commands {
                    writeln!(context.out, "{command}")?;
                }
            }
        }
        Ok(())
    }
}
