//! `sealift fetch`

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use sealift_deployment::machine::Machine;
use sealift_deployment::profile::Profile;
use sealift_deployment::{clock, ui};
use sealift_layers::codec::Codec;
use sealift_layers::limits::Limits;
use serde::Serialize;

use super::Context;
use super::common::{self, PlatformOption, ServerOptions, StoreOption};
use crate::build::{self, BuildRequest, LockPolicy, Target};
use crate::nix;

/// Keep everything that a lock names as files: packages, wheels, crates and archives
///
/// Servers forget versions: the pool of a Debian suite under development within days. With these
/// files, a bundle can be built again in years and without a network. They are in the folders
/// `packages`, `wheels`, `crates` and `archives`, and `SHA256SUMS` lists them. The lock is never
/// changed. What the crates depend on, which cargo fetches, is not among them.
///
/// Examples:
///   sealift fetch standalone --output /srv/parsec-3.10.0
///   sha256sum --check SHA256SUMS
///   sealift build standalone --locked --offline --artifacts /srv/parsec-3.10.0
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct Fetch {
    /// Name of the profile, or path of its folder
    profile: String,
    /// Folder for the files; what it has already is not fetched again
    #[arg(long, short, value_name = "DIR")]
    output: PathBuf,
    #[command(flatten)]
    platform: PlatformOption,
    #[command(flatten)]
    store: StoreOption,
    #[command(flatten)]
    servers: ServerOptions,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Output<'a> {
    output: &'a Path,
    files: usize,
    size: u64,
}

impl Fetch {
    pub(super) fn run(&self, context: &mut Context) -> Result<()> {
        let machine = Machine::here();
        let ui = common::ui(&machine, context);
        let profile = Profile::find(&self.profile)?;
        let servers = self.servers.open(&machine, false)?;
        let request = BuildRequest {
            profile: &profile,
            platform: self.platform.of(&profile)?,
            limits: Limits::default(),
            codec: Codec::None,
            site: None,
            lock: LockPolicy::Keep,
            artifacts: Vec::new(),
            with: Vec::new(),
            layers_from: Vec::new(),
            epoch: None,
            nix_store: nix::store(&machine),
            now: clock::now(),
            jobs: 1,
            target: Target::Plan,
        };
        let kept = build::keep(&request, &self.output, &servers, &self.store.open(&machine)?, &ui)?;
        if self.json {
            return context.out.json(&Output { output: &self.output, files: kept.count, size: kept.bytes });
        }
        ui.done(&format!("{}: {}, {}", self.output.display(), ui::count(kept.count, "file"), ui::bytes(kept.bytes)));
        Ok(())
    }
}
