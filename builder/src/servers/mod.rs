//! The servers that this machine is set up to use: signed package indexes for a lock, artifacts for a build.
//!
//! [`Servers`] decides which mirror or index is contacted. The formats that it reads are in [`crate::debian`] and
//! [`crate::python`], the transport is in [`crate::fetch`].

mod archives;
mod debian;
mod python;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use anyhow::Result;
use sealift_deployment::machine::Machine;

pub use archives::HINT as ARCHIVE_HINT;
pub use debian::{PackageIndex, ReleaseRequest, SignedRelease};

use crate::cargo::Cargo;
use crate::fetch::Client;
use crate::mirrors::Mirror;
use crate::mirrors::access::Access;
use crate::python::index::Indexes;
use crate::python::resolve::Uv;

/// The user's options about servers. They take precedence over the machine's settings.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `--debian-mirror`: URLs of Debian mirrors, each for one archive of the profile or for all.
    pub debian_mirrors: Vec<String>,
    /// `--at`: use the archives as they were at this time, in seconds since 1970.
    pub at: Option<u64>,
    /// `--python-index`: URL of a Python index.
    pub python_index: Option<String>,
    /// `--archives`: folders and URLs of servers that have archives.
    pub archives: Vec<String>,
    /// `--offline`: contact no server.
    pub offline: bool,
}

/// The mirrors of archives that were looked up so far, by name of the archive, and its suite or a time.
type ArchiveMirrors = BTreeMap<(String, String), Arc<[Mirror]>>;

/// The servers of a machine. Each is looked up when it is first needed: a build that finds all artifacts in the store
/// needs none of them.
pub struct Servers<'m> {
    machine: &'m Machine,
    options: Options,
    client: Client,
    debian: Mutex<ArchiveMirrors>,
    python: OnceLock<Result<Indexes, python::IndexError>>,
}

impl<'m> Servers<'m> {
    /// The servers of `machine`, with the user's `options`.
    ///
    /// # Errors
    /// A proxy variable of the machine is malformed.
    pub fn new(machine: &'m Machine, options: Options) -> Result<Self> {
        Access::of_environment(machine)?;
        let client = Client::new(options.offline);
        Ok(Self { machine, options, client, debian: Mutex::default(), python: OnceLock::new() })
    }

    /// The HTTP client for all requests.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The machine's cargo, which has its own configuration of registries.
    ///
    /// # Errors
    /// The machine has no Rust toolchain.
    pub fn cargo(&self) -> Result<Cargo> {
        Cargo::new(self.machine, self.options.offline)
    }

    /// The resolver of Python requirements.
    #[must_use]
    pub fn uv(&self) -> Uv {
        Uv::new(self.machine.var("SEALIFT_UV").map(Into::into))
    }
}

/// The last component of a path in an archive.
fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests;
