//! `sealift image`

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use sealift_deployment::machine::Machine;
use sealift_layers::digest::Digest;
use serde::Serialize;

use super::Context;
use super::common::{self, Jobs};
use super::options::{BuildOptions, Run};
use crate::build::{LockPolicy, Target};

/// Build one image of a profile, as a folder whose layers other builds can reuse
///
/// For builds that are shared between machines: each builds some of the images, and one machine joins
/// them with `sealift build --from`, to the same bytes as if it had built all of them. The folder is an
/// OCI image layout, which engines load, too. The lock is never changed.
///
/// Examples:
///   sealift image standalone parsec-server --output ./parsec-server
///   podman pull oci:./parsec-server
///   sealift build standalone --from ./parsec-server
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct ImageCommand {
    #[command(flatten)]
    options: BuildOptions,
    /// Name of the image in the profile
    image: String,
    /// Output folder, which must not exist [default: the image's name]
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Contact no server: everything must be in the store
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    jobs: Jobs,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Output<'a> {
    output: &'a Path,
    reference: String,
    digest: Digest,
    id: Digest,
}

impl ImageCommand {
    pub(super) fn run(&self, context: &mut Context) -> Result<()> {
        let machine = Machine::here();
        let output = self.output.clone().unwrap_or_else(|| self.image.clone().into());
        let run = Run {
            lock: LockPolicy::Keep,
            offline: self.offline,
            jobs: self.jobs.count(),
            target: Target::Image { name: self.image.clone(), output: output.clone() },
        };
        for image in self.options.run(context, &machine, run)?.images {
            let (reference, digest, id) = (image.reference, image.digest, image.id);
            if self.json {
                context.out.json(&Output { output: &output, reference, digest, id })?;
            } else {
                common::ui(&machine, context).done(&format!("{}: {reference}, {digest}", output.display()));
            }
        }
        Ok(())
    }
}
