//! `sealift sbom`

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use sealift_deployment::failure::Failure;
use sealift_deployment::files;

use super::Context;
use sealift_deployment::bundle::{self, sbom};

/// Print the software bill of materials of a bundle, as CycloneDX 1.6 in JSON
///
/// Lists the images, Debian packages, wheels, crates and Nix store paths, with versions, digests and
/// package URLs; the contents of each image; and exclusions with their reasons. Reads only the
/// bundle's `bundle.json`, which `sealift verify` checks, and needs no network. The output is the same
/// for the same bundle. Licenses are not included.
///
/// Examples:
///   sealift sbom parsec-standalone-3.10.0-linux-amd64.tar --output parsec.cdx.json
///   sealift sbom . | jq -r '.components[].purl // empty'
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct Sbom {
    /// File of a bundle, or the folder that it was unpacked into
    bundle: PathBuf,
    /// Write to a file instead of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Sbom {
    pub(super) fn run(&self, context: &mut Context) -> Result<()> {
        let bundle = bundle::open(&self.bundle)?;
        let Some(manifest) = &bundle.manifest else {
            let message = format!("{} is not a bundle: it has no {}", self.bundle.display(), bundle::MANIFEST);
            let hint = "name a file that `sealift build` wrote, or the folder that it was unpacked into";
            return Err(Failure::usage(message).hint(hint).into());
        };
        let bom = sbom::of(manifest, bundle.sum("sealift"));
        match &self.output {
            None => context.out.json(&bom),
            Some(path) => {
                files::write_atomically(path, |file| Ok(writeln!(file, "{}", serde_json::to_string_pretty(&bom)?)?))
            }
        }
    }
}
