//! The options that `build`, `image` and `plan` share, and how they become a request.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use sealift_deployment::machine::Machine;
use sealift_deployment::profile::Profile;
use sealift_deployment::{clock, site};
use sealift_layers::codec::Codec;
use sealift_layers::limits::{self, Limits};

use super::Context;
use super::common::{self, PlatformOption, ServerOptions, StoreOption};
use crate::build::{self, BuildRequest, Built, LockPolicy, Target};
use crate::nix;

/// Everything that decides what is built.
#[derive(Args, Debug)]
pub(super) struct BuildOptions {
    /// Name of the profile, or path of its folder
    profile: String,
    /// Build for the installation of this site, made by `sealift site new`
    ///
    /// The images trust the site's CA. A bundle also contains the site's keys and secrets, beside the images.
    #[arg(long, value_name = "DIR")]
    site: Option<PathBuf>,
    /// Reuse the layers in a folder written by `sealift image`; may be repeated
    ///
    /// The folder is trusted for this build: only making a layer shows that it is the right one. The store does not keep its
    /// layers.
    #[arg(long, value_name = "DIR")]
    from: Vec<PathBuf>,
    /// Use a file, or the files in a folder, instead of fetching them; may be repeated
    ///
    /// Files are found by their SHA-256; their names do not matter.
    #[arg(long, value_name = "PATH")]
    artifacts: Vec<PathBuf>,
    /// Give the build an optional archive of the profile, such as web-app=parsec-web-3.10.0.zip; may be repeated
    ///
    /// The bundle has its SHA-256; the profile's lock is not changed. To have an archive in every build, extend the profile and
    /// set `optional = false`.
    #[arg(long, value_name = "NAME=FILE", value_parser = given)]
    with: Vec<(String, PathBuf)>,
    #[command(flatten)]
    platform: PlatformOption,
    /// Compression of the layers: gzip, zstd or none
    ///
    /// Every engine loads gzip; podman and Docker from 23 on load zstd, which is smaller and loads faster. With none, the
    /// bundle is two to three times as large, and `podman load`, which decompresses gzip twice, takes half the time.
    #[arg(long, value_name = "CODEC", default_value = "gzip")]
    layers: Codec,
    /// What one package, wheel or crate may unpack to, such as 8GiB
    ///
    /// Default: 200 times its size, but at least 64 MiB and at most 4 GiB. With this option, the packages and wheels of a
    /// build may also have more than 150000 files together.
    #[arg(long, value_name = "SIZE", value_parser = limits::parse_bytes)]
    limit_unpacked: Option<u64>,
    #[command(flatten)]
    store: StoreOption,
    #[command(flatten)]
    servers: ServerOptions,
}

fn given(text: &str) -> Result<(String, PathBuf), String> {
    let (name, file) = text.split_once('=').filter(|(_, file)| !file.is_empty()).ok_or("write NAME=FILE")?;
    Ok((name.to_owned(), file.into()))
}

/// How a command runs a build.
pub(super) struct Run {
    /// What happens to a lock that does not fit.
    pub(super) lock: LockPolicy,
    /// Contact no server.
    pub(super) offline: bool,
    /// Number of threads.
    pub(super) jobs: usize,
    /// What to make: a plan, an image or a bundle.
    pub(super) target: Target,
}

impl BuildOptions {
    /// Runs a build with these options.
    pub(super) fn run(&self, context: &Context, machine: &Machine, run: Run) -> Result<Built> {
        let ui = common::ui(machine, context);
        let mut profile = Profile::find(&self.profile)?;
        let with = build::give(&mut profile, &self.with)?;
        let now = clock::now();
        let site =
            self.site.as_ref().map(|folder| site::load(folder, &profile.model, now.cast_signed())).transpose()?;
        let servers = self.servers.open(machine, run.offline)?;
        let request = BuildRequest {
            profile: &profile,
            platform: self.platform.of(&profile)?,
            codec: self.layers,
            site,
            lock: run.lock,
            artifacts: self.artifacts.iter().chain(self.with.iter().map(|(_, file)| file)).cloned().collect(),
            with,
            layers_from: self.from.clone(),
            epoch: build::source_date_epoch(machine)?,
            nix_store: nix::store(machine),
            limits: Limits { unpacked: self.limit_unpacked },
            now,
            jobs: run.jobs,
            target: run.target,
        };
        build::run(&request, &servers, &self.store.open(machine)?, &ui)
    }
}
