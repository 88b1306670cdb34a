//! The `sealift` program in a bundle, so that the host needs nothing but a container engine.

use std::path::{Path, PathBuf};

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_layers::platform::Architecture;

use crate::elf;

/// The program for the bundle: the file `named`, or else `own`, this program itself, if it runs on any host of
/// `architecture`; else none.
///
/// # Errors
/// When `named` cannot be read, is not statically linked, or is for another architecture.
pub fn choose(named: Option<&Path>, own: Option<&Path>, architecture: Architecture) -> Result<Option<PathBuf>> {
    let Some(path) = named else {
        return match own {
            Some(own) if elf::is_static_executable(own, architecture)? => Ok(Some(own.to_owned())),
            _ => Ok(None),
        };
    };
    let is_static = elf::is_static_executable(path, architecture)
        .map_err(|error| Failure::usage("cannot read the program for the host").because(error))?;
    if is_static {
        return Ok(Some(path.to_owned()));
    }
    let message = format!("{} is not a statically linked program for {architecture}", path.display());
    let hint = "build it with RUSTFLAGS=\"-C target-feature=+crt-static\" and --target";
    Err(Failure::usage(message).hint(hint).into())
}
