//! `sealift status`

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use clap::Args;
use sealift_deployment::failure::Failure;
use sealift_deployment::finding::Findings;
use sealift_deployment::host::{self, HealthState, ServiceStatus};
use sealift_deployment::machine::Machine;
use sealift_deployment::site::KnownSites;
use sealift_deployment::ui::{self, Ui};

use super::Context;
use super::deployment::{DeploymentOptions, nothing_found};

/// Show the services of an unpacked bundle: state, health, whether they are up to date
///
/// Runs the health check of each service. A service is outdated when its image, its settings or its
/// unit file differ from those of the bundle and the site in this folder: `sealift up` recreates it.
/// A service is starting while its health check may still fail. One that runs at times is healthy when
/// its last run did not fail. Exits with 1 when a service is unhealthy or down, when nothing of the
/// deployment is there, or when its containers belong to another folder.
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct Status {
    #[command(flatten)]
    deployment: DeploymentOptions,
    /// Print JSON: an array of objects with service, container, state, health, restarts,
    /// outdated and ports; check-output of a failed health check, last-run of a scheduled service,
    /// last-end of another one that ended again and again or does not run, memory-kills of one whose
    /// processes the kernel ended for memory, owner of containers of another folder
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(super) fn run(&self, context: &mut Context) -> Result<()> {
        let machine = Machine::here();
        let deployment = self.deployment.open(&machine)?;
        let runtime = self.deployment.runtime(&deployment, &machine)?;
        let services = host::statuses(&deployment, &*runtime, &KnownSites::of(&machine))?;
        if self.json {
            context.out.json(&services)?;
        } else {
            print(&services, context)?;
        }
        context.out.finish()?;
        let mut findings = Findings::default();
        for ServiceStatus { service, memory_kills, .. } in &services {
            memory_kills.iter().for_each(|kills| kills.tell(service, &mut findings));
        }
        let ui = Ui::stderr(&machine, context.quiet);
        findings.0.iter().for_each(|finding| ui.finding(finding));
        host::refuse_former(&deployment, &KnownSites::of(&machine))?;
        if services.iter().all(ServiceStatus::is_absent) {
            return Err(nothing_found(&deployment, &*runtime).into());
        }
        if let Some(owner) = services.iter().find_map(|status| status.owner.as_deref()) {
            return Err(belongs_to(&runtime.place(), owner).into());
        }
        not_healthy(&services).map_or(Ok(()), |failure| Err(failure.into()))
    }
}

fn print(services: &[ServiceStatus], context: &mut Context) -> Result<()> {
    writeln!(context.out, "{:24} {:12} {:10} configuration", "service", "state", "health")?;
    for status in services {
        let ServiceStatus { service, state, health, outdated, owner, last_run, restarts, .. } = status;
        let configuration = match (outdated, owner) {
            (_, Some(owner)) => format!("of the folder {}", owner.display()),
            (Some(reason), None) => format!("outdated: {reason}"),
            (None, None) if status.is_absent() => String::new(),
            (None, None) => "up to date".to_owned(),
        };
        let last_run = last_run.as_ref().map(|run| format!("; {run}")).unwrap_or_default();
        let restarts = match usize::try_from(*restarts).unwrap_or(usize::MAX) {
            0 => String::new(),
            times => format!("; ended and started again {}", ui::count(times, "time")),
        };
        let line = format!("{service:24} {state:12} {health:10} {configuration}{restarts}{last_run}");
        writeln!(context.out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// The failure for services that are neither healthy nor starting; `None` if there are none.
fn not_healthy(services: &[ServiceStatus]) -> Option<Failure> {
    let wrong = services.iter().filter(|status| !matches!(status.health, HealthState::Healthy | HealthState::Starting));
    let wrong: Vec<String> = wrong
        .map(|status| match status.health {
            HealthState::Down => format!("{} is down ({})", status.service, status.state),
            health => format!("{} is {health}", status.service),
        })
        .collect();
    let hint = "./sealift doctor shows why; ./sealift up starts what is down";
    (!wrong.is_empty()).then(|| Failure::failed(wrong.join(", ")).hint(hint))
}

/// The failure of a look at containers that another folder made with another site.
fn belongs_to(place: &str, owner: &Path) -> Failure {
    let owner = owner.display();
    Failure::failed(format!("{place}: these containers belong to the deployment in {owner}, not to this folder"))
        .hint(format!("run the command there: sealift status --directory {owner}"))
}
