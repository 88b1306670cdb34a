//! Options of the commands that run in an unpacked bundle.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use sealift_deployment::failure::Failure;
use sealift_deployment::host::{Deployment, Engine};
use sealift_deployment::machine::Machine;

use sealift_deployment::bundle;

/// Which deployment, and by what it is run.
#[derive(Args, Debug)]
pub(super) struct DeploymentOptions {
    /// Folder where the bundle was unpacked [default: the current one, else that of this program]
    #[arg(long, short = 'C', value_name = "DIR")]
    directory: Option<PathBuf>,
    /// podman, docker, or auto [default: SEALIFT_ENGINE, else auto: podman before Docker]
    #[arg(long, value_name = "ENGINE")]
    engine: Option<String>,
}

impl DeploymentOptions {
    pub(super) fn open(&self) -> Result<Deployment> {
        let current = PathBuf::from(".");
        let folder = match &self.directory {
            Some(folder) => folder.clone(),
            None if current.join(bundle::MANIFEST).is_file() => current,
            None => {
                let machine = Machine::here();
                let beside = machine.program().and_then(Path::parent);
                let beside = beside.filter(|folder| folder.join(bundle::MANIFEST).is_file());
                beside.map_or(current, Path::to_owned)
            }
        };
        Deployment::open(&folder)
    }

    pub(super) fn engine(&self, deployment: &Deployment) -> Result<Engine> {
        if deployment.is_bare() {
            let hint = "`status`, `logs` and systemctl show how its services are";
            return Err(Failure::usage("this bundle is run by systemd: there are no containers").hint(hint).into());
        }
        Engine::find(&deployment.folder, self.engine.as_deref(), &Machine::here())
    }
}
