//! The `sealift` program in a bundle, so that the host needs nothing but a container engine.

use std::path::{Path, PathBuf};

use anyhow::Result;
use sealift_deployment::bundle::ProgramCrate;
use sealift_deployment::failure::Failure;
use sealift_deployment::files::open;
use sealift_deployment::profile::model::{Health, Model, Service};
use sealift_layers::digest::Digest;
use sealift_layers::platform::Architecture;

use super::crates;
use crate::elf;
use crate::store::facts::Texts;

/// The program for the host.
#[derive(Clone, Debug)]
pub struct HostProgram {
    /// Its file.
    pub path: PathBuf,
    /// The crates that it consists of; empty when it does not contain their list.
    pub crates: Vec<ProgramCrate>,
    /// The texts of their licences.
    pub texts: Texts,
    /// Its SHA-256.
    pub digest: Digest,
}

/// The program for the bundle: the file `named`, or else `own`, this program itself, if it runs on any host of
/// `architecture`; else none.
///
/// # Errors
/// When `named` cannot be read, is not statically linked, or is for another architecture.
pub fn choose(named: Option<&Path>, own: Option<&Path>, architecture: Architecture) -> Result<Option<HostProgram>> {
    let host = |path: &Path| -> Result<Option<HostProgram>> {
        let crates::Contents { crates, texts } = crates::of(|| open(path))?;
        let digest = Digest::of_reader(open(path)?)?.digest;
        Ok(Some(HostProgram { path: path.to_owned(), crates, texts, digest }))
    };
    let Some(path) = named else {
        return match own {
            Some(own) if elf::is_static_executable(own, architecture)? => host(own),
            _ => Ok(None),
        };
    };
    let is_static = elf::is_static_executable(path, architecture)
        .map_err(|error| Failure::usage("cannot read the program for the host").because(error))?;
    if is_static {
        return host(path);
    }
    let message = format!("{} is not a statically linked program for {architecture}", path.display());
    let hint = "build it with RUSTFLAGS=\"-C target-feature=+crt-static\" and --target";
    Err(Failure::usage(message).hint(hint).into())
}

/// Refuses services whose health the program checks, in a bundle without the program.
///
/// # Errors
/// There is such a service, and no `program`.
pub fn check_probes(model: &Model, program: Option<&HostProgram>) -> Result<()> {
    let is_probed = |service: &Service| service.health.as_ref().is_some_and(Health::is_probe);
    match model.services.iter().find(|(_, service)| is_probed(service)).filter(|_| program.is_none()) {
        None => Ok(()),
        Some((name, _)) => {
            let message = format!("the health check of `{}` needs this program in the bundle", name.get_ref());
            let hint = "this program is not statically linked for the platform: name one that is with --program";
            Err(Failure::usage(message).hint(hint).into())
        }
    }
}
