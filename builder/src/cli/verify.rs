//! `sealift verify`

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use sealift_deployment::failure::Failure;
use sealift_layers::validate::Depth;
use serde::Serialize;

use super::Context;
use sealift_deployment::{bundle, ui};

/// Check a bundle: every digest, every diff ID, both tables of contents
///
/// Reads every byte once. Checks that each blob has the digest that names it, that each layer unpacks
/// to the diff ID in its image's configuration, that index.json (for podman and containerd) and
/// manifest.json (for Docker) list the same images, that bundle.json tells of them, and that all other
/// files are as SHA256SUMS says. All problems are listed. What is kept below site/ is not part of it.
///
/// Examples:
///   sealift verify parsec-standalone-3.10.0-linux-amd64.tar
///   tar xf parsec-standalone-3.10.0-linux-amd64.tar && sealift verify .
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct Verify {
    /// A bundle's file, or the folder that it was unpacked into
    bundle: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Verdict {
    sound: bool,
    images: Vec<String>,
    problems: Vec<Wrong>,
}

#[derive(Serialize)]
struct Wrong {
    file: String,
    what: String,
}

impl Verify {
    pub(super) fn run(&self, context: &mut Context) -> Result<()> {
        let bundle = bundle::open(&self.bundle)?;
        let findings = bundle.verify(Depth::Blobs);
        let problems = findings.violations;
        let images: Vec<String> = findings.images.into_iter().map(|image| image.name).collect();
        if self.json {
            let wrong = problems.iter().map(|p| Wrong { file: p.file.clone(), what: p.message.clone() }).collect();
            context.out.json(&Verdict { sound: problems.is_empty(), images, problems: wrong })?;
        } else {
            for problem in &problems {
                writeln!(context.out, "{problem}")?;
            }
            if problems.is_empty() {
                let (files, images) = (ui::count(bundle.files.len(), "file"), ui::count(images.len(), "image"));
                writeln!(context.out, "{}: {files}, {images}, all sound", self.bundle.display())?;
            }
        }
        if problems.is_empty() {
            return Ok(());
        }
        // What was found goes out before the error about it.
        context.out.finish()?;
        let count = problems.len();
        let message = format!("{} has {}", self.bundle.display(), ui::count(count, "problem"));
        Err(Failure::verification(message).hint("do not load it; copy it again from where it was built").into())
    }
}
