//! `sealift audit`

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use sealift_deployment::failure::Failure;
use sealift_deployment::machine::Machine;
use sealift_deployment::{bundle, clock, files, ui};
use serde::Serialize;

use super::Context;
use super::common::{self, ServerOptions};
use crate::audit::{self, FailOn, Pinned};

/// Show what is outdated in a bundle, and which vulnerabilities are known
///
/// Compares the Debian packages with the signed indexes of today: of the archives that the
/// bundle's profile names, and of Debian's security updates and other updates of its suite. They
/// are verified with the profile's keys, and come from the mirrors that this machine is set up to
/// use. An index that is older than the one in the bundle's lock is refused. Packages that a
/// security archive has newer versions of are marked. The wheels are compared with the Python
/// index, if it can be reached.
///
/// Vulnerabilities come from snapshots, which are files: advisories in OSV's format (--osv), and
/// the JSON of Debian's security tracker (--debian-tracker). The report has the SHA-256 of each;
/// `FILE@sha256:HEX` refuses any other. docs/audit.md tells how to get them. With --offline,
/// nothing else is used. The crates of the program `sealift` in the bundle are looked up, too.
///
/// OpenVEX documents (--vex) silence findings: with the status `not_affected` or `fixed`, by the
/// name of the vulnerability and the package URL of the component, or of the bundle or image with
/// the component as a subcomponent. --vex-output writes a document with the status of each
/// finding: what the given ones state, and `under_investigation` for all others.
///
/// What cannot be checked is listed, too. The bundle is not changed, and nothing is built; `sealift
/// lock` and `sealift build` make a bundle with the newer versions. `sealift verify` checks the
/// bundle itself.
///
/// The exit code is 5 when something is found that --fail-on names. It takes one of the kinds
/// below, and includes those that follow it.
///
/// Examples:
///   sealift audit parsec-standalone-3.10.0-linux-amd64.tar
///   sealift audit . --offline --osv osv.zip@sha256:1fd4...e2 --debian-tracker tracker.json
///   sealift audit . --osv osv.zip --vex ours.vex.json --fail-on high
///   sealift audit . --fail-on none --json | jq -r '.outdated[].name'
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct Audit {
    /// File of a bundle, or the folder that it was unpacked into
    bundle: PathBuf,
    /// What to end with exit code 5 for
    #[arg(long, value_enum, value_name = "KIND", default_value_t = FailOn::Security)]
    fail_on: FailOn,
    /// Advisories in OSV's format: a zip archive, a folder or a file; may be repeated
    #[arg(long, value_name = "PATH[@sha256:HEX]", help_heading = SNAPSHOTS)]
    osv: Vec<Pinned>,
    /// The JSON of Debian's security tracker
    #[arg(long, value_name = "FILE[@sha256:HEX]", help_heading = SNAPSHOTS)]
    debian_tracker: Option<Pinned>,
    /// OpenVEX document with statements about the bundle; may be repeated: the latest statement counts
    #[arg(long, value_name = "FILE[@sha256:HEX]", help_heading = SNAPSHOTS)]
    vex: Vec<Pinned>,
    /// Write an OpenVEX document with the status of each finding
    #[arg(long, value_name = "FILE", requires = "vex_author", help_heading = SNAPSHOTS)]
    vex_output: Option<PathBuf>,
    /// Who makes the statements of --vex-output
    #[arg(long, value_name = "NAME", help_heading = SNAPSHOTS)]
    vex_author: Option<String>,
    /// The time of the statements of --vex-output, such as 2026-11-06T08:00:00Z [default: that of the bundle]
    #[arg(long, value_name = "TIME", value_parser = super::lock::time, help_heading = SNAPSHOTS)]
    vex_time: Option<u64>,
    /// Ask no server
    #[arg(long)]
    offline: bool,
    /// Fail if the Python index cannot be asked
    #[arg(long, conflicts_with = "offline")]
    require_index: bool,
    /// Accept a package index past its Valid-Until date, from a mirror that is not up to date
    #[arg(long)]
    allow_expired: bool,
    #[command(flatten)]
    servers: ServerOptions,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Heading in `--help` for the options about vulnerabilities.
const SNAPSHOTS: &str = "Vulnerabilities";

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Document<'a> {
    #[serde(flatten)]
    audit: &'a audit::Audit,
    /// What to fail on.
    fail_on: FailOn,
    /// How many findings are of that kind.
    reached: usize,
}

impl Audit {
    pub(super) fn run(&self, context: &mut Context) -> Result<()> {
        let machine = Machine::here();
        let ui = common::ui(&machine, context);
        let bundle = bundle::open(&self.bundle)?;
        let request = audit::Request {
            bundle: &bundle,
            path: &self.bundle,
            offline: self.offline,
            now: clock::now(),
            allow_expired: self.allow_expired,
            require_index: self.require_index,
            osv: &self.osv,
            tracker: self.debian_tracker.as_ref(),
            vex: &self.vex,
        };
        let servers = self.servers.open(&machine, self.offline)?;
        let audit = audit::audit(&request, &servers, &ui)?;
        if let (Some(path), Some(author)) = (&self.vex_output, &self.vex_author) {
            let document = audit.vex(audit::manifest(&bundle, &self.bundle)?, author, self.vex_time)?;
            files::write_atomically(path, |file| Ok(file.write_all(document.as_bytes())?))?;
        }
        let reached = audit.reached(self.fail_on);
        if self.json {
            context.out.json(&Document { audit: &audit, fail_on: self.fail_on, reached })?;
        } else {
            context.out.write_all(audit::text(&audit).as_bytes())?;
        }
        if reached == 0 {
            return Ok(());
        }
        let (findings, kind) = (ui::count(reached, "finding"), self.fail_on.word());
        let message = format!("{findings} of the kind `{kind}` or above (--fail-on {kind})");
        let hint = "`sealift lock` and `sealift build` take newer versions; what does no harm can be stated with --vex";
        Err(Failure::found(message).hint(hint).into())
    }
}
