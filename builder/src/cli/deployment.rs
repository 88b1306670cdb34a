//! Options of the commands that run in an unpacked bundle.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use sealift_deployment::bundle;
use sealift_deployment::failure::Failure;
use sealift_deployment::host::{self, Deployment, Runtime};
use sealift_deployment::machine::Machine;

/// Which deployment, and which engine runs it.
#[derive(Args, Debug)]
pub(super) struct DeploymentOptions {
    /// Folder of the unpacked bundle [default: the current folder, else the folder of this program]
    #[arg(long, short = 'C', value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Container engine: podman, docker or auto [default: SEALIFT_ENGINE, else auto: podman before Docker]
    #[arg(long, value_name = "ENGINE")]
    engine: Option<String>,
}

/// The failure of a command that found nothing of a deployment: where it looked, and where else something is.
pub(super) fn nothing_found(deployment: &Deployment, runtime: &dyn Runtime) -> Failure {
    let message = format!("{} has nothing of the deployment in {}", runtime.place(), deployment.folder.display());
    Failure::failed(message).hint(match (runtime.elsewhere(), runtime.engine()) {
        (Some((found, option)), _) => format!("{found}: add {option}"),
        (None, Some("podman")) => {
            "`./sealift up` starts it; each user has a podman of its own: use the user (root, with sudo) \
                                   that started it, or --directory for another folder"
                .to_owned()
        }
        (None, _) => "`./sealift up` starts it; --directory looks at another folder".to_owned(),
    })
}

impl DeploymentOptions {
    pub(super) fn open(&self, machine: &Machine) -> Result<Deployment> {
        let current = PathBuf::from(".");
        let folder = match &self.directory {
            Some(folder) => folder.clone(),
            None if current.join(bundle::MANIFEST).is_file() => current,
            None => {
                let beside = machine.program().and_then(Path::parent);
                let beside = beside.filter(|folder| folder.join(bundle::MANIFEST).is_file());
                beside.map_or(current, Path::to_owned)
            }
        };
        Deployment::open(&folder)
    }

    pub(super) fn runtime<'a>(
        &self,
        deployment: &'a Deployment,
        machine: &'a Machine,
    ) -> Result<Box<dyn Runtime + 'a>> {
        host::runtime(deployment, self.engine.as_deref(), machine)
    }
}
