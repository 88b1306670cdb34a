//! `sealift lock`

use std::io::Write;

use clap::Args;
use sealift_deployment::machine::Machine;
use sealift_deployment::profile::Profile;

use super::Context;
use super::common::{self, PlatformOption, Servers};
use crate::build;
use crate::lock::{self, FILE, Lock};

/// Resolve a profile to exact packages and wheels
///
/// Reads the signed package index of the profile's Debian suite, chooses the packages that each image
/// needs, resolves Python requirements with uv (wheels only), and writes `sealift.lock` beside the
/// profile: names, versions, paths within the archive, sizes and SHA-256, never a host. Commit it:
/// `sealift build` makes the same bytes from it on any machine.
///
/// Examples:
///   sealift lock standalone
///   sealift lock standalone --explain | grep libicu
///   sealift lock ./my-profile --debian-mirror http://mirror.example/debian
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct LockCommand {
    /// Name of a profile, or path of its folder
    profile: String,
    #[command(flatten)]
    platform: PlatformOption,
    #[command(flatten)]
    servers: Servers,
    /// Accept a package index past its Valid-Until: for mirrors that lag or are frozen on purpose
    #[arg(long)]
    allow_expired: bool,
    /// Print why each package is there: image, package, reason
    #[arg(long)]
    explain: bool,
    /// Print the lock as JSON on standard output, too
    #[arg(long, conflicts_with = "explain")]
    json: bool,
}

impl LockCommand {
    pub(super) fn run(&self, context: &mut Context) -> anyhow::Result<()> {
        let machine = Machine::here();
        let ui = common::ui(&machine, context);
        let profile = Profile::find(&self.profile)?;
        let platform = self.platform.of(&profile)?;
        let upstream = self.servers.open(&machine, false)?;
        let options = lock::resolve::Options {
            platform,
            now: sealift_deployment::clock::now(),
            allow_expired: self.allow_expired,
        };
        let resolved = build::relock(&profile, &upstream, options, Lock::read(&profile)?, &ui)?;
        if self.explain {
            for (image, reasons) in &resolved.reasons {
                for (package, because) in reasons {
                    writeln!(context.out, "{image}\t{package}\t{because}")?;
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
