//! Deployments on a host, each in the folder that a bundle was unpacked into.
//!
//! The engine or systemd have the whole state, so everything can also be done by hand with them, or with compose.
//!
//! - [`Deployment`]: the unpacked bundle.
//! - [`Runtime`]: starts, stops and examines its services. [`containers`] does so with podman or Docker, [`systemd`] with
//!   units.
//! - [`up`] and [`examine`]: the steps of `sealift up` and `sealift doctor`, for any runtime.

mod checks;
mod containers;
mod control_group;
mod deployment;
mod doctor;
mod ending;
mod ipv6;
mod look;
mod origin;
mod passed_on;
mod pause;
mod ports;
pub mod probe;
mod repeated;
pub mod request;
mod runtime;
mod scheduled;
mod sockets;
mod status;
mod systemd;
#[cfg(test)]
mod testing;
mod up;

use anyhow::Result;

pub use deployment::Deployment;
pub use doctor::examine;
pub use look::{Contents, LOOK, look};
pub use origin::{Objection, objection, refuse_former, successor};
pub use runtime::{Data, Deadline, KeyGroups, LogOptions, Ran, Runtime, Started, Stopped};
pub use scheduled::{run_scheduled, statuses};
pub use status::{HealthState, LastRun, MemoryKills, Outdated, ServiceState, ServiceStatus};
pub use up::{UpRequest, up};

use crate::machine::Machine;
use crate::profile::model::Deployed;
use crate::site;

/// What runs the services of `deployment` on `machine`. With containers, `engine` chooses `podman`, `docker` or `auto`;
/// without it, `SEALIFT_ENGINE` does, else the engine that the site was started with. `auto` is the default: the first of
/// podman and Docker that works.
///
/// # Errors
/// [`crate::failure::Failure`] with what each engine lacks, when none works.
pub fn runtime<'a>(
    deployment: &'a Deployment,
    engine: Option<&str>,
    machine: &'a Machine,
) -> Result<Box<dyn Runtime + 'a>> {
    Ok(match deployment.profile.model.deployment {
        Deployed::Compose => {
            let recorded = site::recorded_engine(&deployment.site(), &deployment.profile.model);
            let wanted = engine.or_else(|| machine.var("SEALIFT_ENGINE")).or(recorded.as_deref());
            Box::new(containers::Containers::find(deployment, wanted, machine)?)
        }
        Deployed::Systemd => Box::new(systemd::Systemd::new(deployment, machine)),
    })
}
