//! `sealift build`

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use sealift_deployment::machine::Machine;
use sealift_deployment::ui;
use sealift_layers::digest::{Digest, Measured};
use serde::Serialize;

use super::Context;
use super::common::{self, Jobs, PasswordOption};
use super::options::{BuildOptions, Run};
use crate::build::{LockPolicy, Target};
use crate::signing::SigningKey;

/// Build a profile's bundle: one file with all images and everything to deploy them
///
/// Fetches what the lock names (each file is verified by size and SHA-256), assembles the images
/// without a container engine and without root, and writes one tar. `podman load -i` and
/// `docker load -i` load it as it is; unpacked, it is the deployment: compose file, env files, the
/// operator's README. The same lock gives the same bytes on any machine.
///
/// Without --locked, a lock that is older than the profile, or names files that no server has any
/// more, is resolved again, and the changes are printed.
///
/// Examples:
///   sealift build standalone
///   sealift build standalone --site ./site --output /srv/parsec.tar
///   sealift build standalone --locked --offline --json
///   sealift build standalone --from ./parsec-server --from ./parsec-postgres
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct Build {
    #[command(flatten)]
    options: BuildOptions,
    /// Output file [default: PRODUCT-PROFILE-VERSION-OS-ARCH.tar]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Fail instead of changing the lock
    #[arg(long)]
    locked: bool,
    /// Contact no server: everything must be in the store
    #[arg(long)]
    offline: bool,
    /// Statically linked sealift for the host [default: this program, if it is statically linked]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Sign the bundle with this private key (`sealift key new`), as `sealift sign` does
    #[arg(long, value_name = "FILE")]
    sign: Option<PathBuf>,
    #[command(flatten)]
    password: PasswordOption,
    #[command(flatten)]
    jobs: Jobs,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Output {
    output: PathBuf,
    size: u64,
    sha256: Digest,
    images: Vec<Image>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Image {
    reference: String,
    digest: Digest,
    id: Digest,
}

impl Build {
    pub(super) fn run(&self, context: &mut Context) -> Result<()> {
        let machine = Machine::here();
        let key = self.sign.as_ref().map(|path| SigningKey::open(path, &self.password.password())).transpose()?;
        let run = Run {
            lock: if self.locked { LockPolicy::Keep } else { LockPolicy::Update },
            offline: self.offline,
            jobs: self.jobs.count(),
            target: Target::Bundle {
                output: self.output.clone(),
                program: self.program.clone(),
                own_program: machine.program().map(Path::to_owned),
                key: key.map(Box::new),
            },
        };
        let built = self.options.run(context, &machine, run)?;
        let written = built.output.context("nothing was written")?;
        let output = written.path;
        let Measured { digest: sha256, size } = written.bundle.context("no bundle was written")?;
        if self.json {
            let images = built.images.into_iter();
            let images = images.map(|image| Image { reference: image.reference, digest: image.digest, id: image.id });
            context.out.json(&Output { output, size, sha256, images: images.collect() })?;
        } else {
            let ui = common::ui(&machine, context);
            ui.done(&format!("{}: {}, {sha256}", output.display(), ui::bytes(size)));
        }
        Ok(())
    }
}
