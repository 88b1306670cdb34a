//! `sealift verify --rebuild`

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use sealift_deployment::bundle::Bundle;
use sealift_deployment::clock;
use sealift_deployment::machine::Machine;
use sealift_layers::limits::Limits;

use super::Context;
use super::common::{self, Jobs, ServerOptions, StoreOption};
use crate::nix;
use crate::rebuild::{self, Rebuilt};

/// How a bundle is built again.
#[derive(Args, Debug)]
pub(super) struct RebuildOptions {
    /// Build the bundle again from its own profile and lock, and compare all bytes but its signatures
    #[arg(long)]
    rebuild: bool,
    /// Use a file, or the files in a folder, instead of fetching them; may be repeated
    #[arg(long, value_name = "PATH", requires = "rebuild")]
    artifacts: Vec<PathBuf>,
    /// Contact no server: all artifacts must be in the store or in --artifacts
    #[arg(long, requires = "rebuild")]
    offline: bool,
    #[command(flatten)]
    store: StoreOption,
    #[command(flatten)]
    servers: ServerOptions,
    #[command(flatten)]
    jobs: Jobs,
}

impl RebuildOptions {
    /// Builds the bundle at `path` again, if that is asked for.
    pub(super) fn run(
        &self,
        bundle: &Bundle,
        path: &Path,
        limits: Limits,
        context: &Context,
    ) -> Result<Option<Rebuilt>> {
        if !self.rebuild {
            return Ok(None);
        }
        let machine = Machine::here();
        let ui = common::ui(&machine, context);
        let request = rebuild::Request {
            bundle,
            path,
            artifacts: self.artifacts.clone(),
            nix_store: nix::store(&machine),
            limits,
            now: clock::now(),
            jobs: self.jobs.count(),
        };
        let servers = self.servers.open(&machine, self.offline)?;
        rebuild::rebuild(&request, &servers, &self.store.open(&machine)?, &ui).map(Some)
    }
}
