//! Options of the commands that run in an unpacked bundle.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use sealift_deployment::bundle;
use sealift_deployment::failure::Failure;
use sealift_deployment::host::{self, Deployment, Runtime};
use sealift_deployment::machine::Machine;
use sealift_deployment::signature::{PublicKey, Trust};

/// Which deployment, and which engine runs it.
#[derive(Args, Debug)]
pub(super) struct DeploymentOptions {
    /// Folder of the unpacked bundle [default: the current folder, else the folder of this program]
    #[arg(long, short = 'C', value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Container engine: podman, docker or auto [default: SEALIFT_ENGINE, else auto: podman before Docker]
    #[arg(long, value_name = "ENGINE")]
    engine: Option<String>,
    /// Use the bundle although no key that this machine trusts has signed it
    #[arg(long)]
    insecure_unsigned: bool,
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
        let folder = self.folder(machine);
        self.open_trusting(&folder, Trust::of(machine, Some(&folder.join("site")))?)
    }

    /// Opens the deployment, and trusts the keys in these files: see [`Trust::admit`]. Returns these keys, too.
    pub(super) fn open_with_keys(&self, machine: &Machine, keys: &[PathBuf]) -> Result<(Deployment, Vec<PublicKey>)> {
        let folder = self.folder(machine);
        let mut trust = Trust::of(machine, Some(&folder.join("site")))?;
        let known = trust.keys.len();
        let mut given = Trust::default();
        for file in keys {
            // The first one has nobody to vouch for it; further ones are given by the same person.
            if known == 0 {
                given.keys.extend(Trust::in_files(std::slice::from_ref(file))?.keys)
            } else {
                trust.admit(file)?
            }
        }
        trust.keys.append(&mut given.keys);
        let new = trust.keys[known..].iter().map(|trusted| trusted.key.clone()).collect();
        Ok((self.open_trusting(&folder, trust)?, new))
    }

    fn open_trusting(&self, folder: &Path, trust: Trust) -> Result<Deployment> {
        if !self.insecure_unsigned {
            return Deployment::open(folder, &trust);
        }
        anstream::eprintln!("warning: the signature of the bundle is not checked (--insecure-unsigned)");
        Deployment::open(folder, &Trust::default())
    }

    fn folder(&self, machine: &Machine) -> PathBuf {
        let current = PathBuf::from(".");
        match &self.directory {
            Some(folder) => folder.clone(),
            None if current.join(bundle::MANIFEST).is_file() => current,
            None => {
                let beside = machine.program().and_then(Path::parent);
                let beside = beside.filter(|folder| folder.join(bundle::MANIFEST).is_file());
                beside.map_or(current, Path::to_owned)
            }
        }
    }

    pub(super) fn runtime<'a>(
        &self,
        deployment: &'a Deployment,
        machine: &'a Machine,
    ) -> Result<Box<dyn Runtime + 'a>> {
        host::runtime(deployment, self.engine.as_deref(), machine)
    }
}
