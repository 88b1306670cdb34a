//! `sealift lock`

use std::io::Write;
use std::num::NonZero;

use clap::Args;
use sealift_deployment::failure::Failure;
use sealift_deployment::machine::Machine;
use sealift_deployment::profile::Profile;
use sealift_deployment::ui::Ui;
use sealift_layers::codec::Codec;
use sealift_layers::limits::Limits;

use super::Context;
use super::common::{self, PlatformOption, ServerOptions, StoreOption};
use crate::build::{self, BuildRequest, LockPolicy, Target};
use crate::debian::date;
use crate::lock::{FILE, Lock};
use crate::nix;
use crate::resolve;
use crate::servers::Servers;

/// Resolve a profile to exact packages, wheels and crates, and write its lock
///
/// Reads the signed package index of the profile's Debian suite, chooses the packages of each image,
/// resolves Python requirements with uv (wheels only), and writes `sealift.lock` into the profile's
/// folder: names, versions, paths within the archive, sizes and SHA-256 digests, but no hosts. Commit
/// the file: `sealift build` makes the same bytes from it on any machine.
///
/// Then it fetches the Debian packages and makes their layers, which the build finds in the store, to
/// warn of what maintainer scripts would have done and nothing does. `--resolve-only` leaves that to
/// the build.
///
/// Examples:
///   sealift lock standalone
///   sealift lock standalone --explain | grep libicu
///   sealift lock ./my-profile --debian-mirror http://mirror.example/debian
///   sealift lock ./my-profile --at 2026-11-06
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct LockCommand {
    /// Name of the profile, or path of its folder
    profile: String,
    #[command(flatten)]
    platform: PlatformOption,
    #[command(flatten)]
    store: StoreOption,
    #[command(flatten)]
    servers: ServerOptions,
    /// Only write the lock: fetch no packages, and do not look into them
    #[arg(long)]
    resolve_only: bool,
    /// Accept a package index past its Valid-Until date, from a mirror that is not up to date or is a snapshot
    #[arg(long)]
    allow_expired: bool,
    /// Resolve with the Debian archives as they were at this time: `2026-11-06`, or `2026-11-06T08:00:00Z`
    ///
    /// They are fetched from the archives of past times that `debian-snapshots` in
    /// ~/.config/sealift/config.toml names. Wheels and crates are those of now.
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<u64>,
    /// Print the reason for each package: image, package and reason, separated by tabs
    #[arg(long)]
    explain: bool,
    /// Print the lock as JSON
    #[arg(long, conflicts_with = "explain")]
    json: bool,
}

/// A time as users write it, in seconds since 1970.
pub(super) fn time(text: &str) -> Result<u64, String> {
    date::moment(text)
        .ok_or_else(|| "write a day such as 2026-11-06, or a time such as 2026-11-06T08:00:00Z".to_owned())
}

impl LockCommand {
    pub(super) fn run(&self, context: &mut Context) -> anyhow::Result<()> {
        let machine = Machine::here();
        let ui = common::ui(&machine, context);
        let profile = Profile::find(&self.profile)?;
        build::warn_of_profile(&profile, &ui);
        let platform = self.platform.of(&profile)?;
        let servers = self.servers.open_at(&machine, false, self.at)?;
        let options = resolve::Options {
            platform,
            now: sealift_deployment::clock::now(),
            // What was valid then has expired since.
            allow_expired: self.allow_expired || self.at.is_some(),
        };
        let resolved = build::relock(&profile, &servers, options, Lock::read(&profile)?, &ui)?;
        if self.explain {
            for (image, reasons) in &resolved.reasons {
                for (package, reason) in reasons {
                    writeln!(context.out, "{image}\t{package}\t{reason}")?;
                }
            }
        }
        if self.json {
            context.out.json(&resolved.lock)?;
        }
        if !self.resolve_only
            && let Err(error) = self.look_into_packages(&profile, &resolved.lock, options, &servers, &ui)
        {
            let hint = Failure::hint_in(&error).map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
            ui.warn(&format!("the lock is written, but its packages could not be looked into: {error:#}{hint}"));
        }
        ui.done(&format!("locked {}", profile.directory.join(FILE).display()));
        Ok(())
    }

    /// What the build would say of the packages' scripts.
    fn look_into_packages(
        &self,
        profile: &Profile,
        lock: &Lock,
        options: resolve::Options,
        servers: &Servers<'_>,
        ui: &Ui,
    ) -> anyhow::Result<()> {
        let machine = Machine::here();
        let request = BuildRequest {
            profile,
            platform: options.platform,
            codec: Codec::default(),
            site: None,
            lock: LockPolicy::Keep,
            artifacts: Vec::new(),
            with: Vec::new(),
            layers_from: Vec::new(),
            epoch: build::source_date_epoch(&machine)?,
            nix_store: nix::store(&machine),
            limits: Limits::default(),
            now: options.now,
            jobs: std::thread::available_parallelism().map_or(1, NonZero::get),
            target: Target::Plan,
        };
        build::make_packages(&request, lock, servers, &self.store.open(&machine)?, ui)
    }
}
