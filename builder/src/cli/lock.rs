//! `sealift lock`

use std::io::Write;

use clap::Args;
use sealift_deployment::machine::Machine;
use sealift_deployment::profile::Profile;

use super::Context;
use super::common::{self, PlatformOption, ServerOptions};
use crate::build;
use crate::debian::date;
use crate::lock::{FILE, Lock};
use crate::resolve;

/// Resolve a profile to exact packages, wheels and crates, and write its lock
///
/// Reads the signed package index of the profile's Debian suite, chooses the packages of each image,
/// resolves Python requirements with uv (wheels only), and writes `sealift.lock` into the profile's
/// folder: names, versions, paths within the archive, sizes and SHA-256 digests, but no hosts. Commit
/// the file: `sealift build` makes the same bytes from it on any machine.
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
    servers: ServerOptions,
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
        ui.done(&format!("locked {}", profile.directory.join(FILE).display()));
        Ok(())
    }
}
