//! `sealift verify`

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use sealift_deployment::bundle::{Bundle, Form};
use sealift_deployment::failure::Failure;
use sealift_deployment::host::{self, Deployment};
use sealift_deployment::machine::Machine;
use sealift_deployment::site::KnownSites;
use sealift_layers::limits::{self, Limits, PROBLEMS};
use sealift_layers::tree::Kind;
use sealift_layers::validate::{Depth, Violation};
use serde::Serialize;

use super::Context;
use sealift_deployment::{bundle, ui};

/// Verify a bundle: all digests, all diff IDs, both tables of contents
///
/// Reads every byte once. Checks that each blob has the digest in its name, that each layer unpacks to
/// the diff ID in its image's configuration, that index.json (for podman and containerd) and
/// manifest.json (for Docker) list the same images, that bundle.json describes them, and that all
/// other files match SHA256SUMS. There may be nothing else: no other files, links, modes or owners. In an unpacked
/// bundle, the site (`site/`, `.env`) must have been made on this host, or be named in SHA256SUMS. Reports every problem.
///
/// Examples:
///   sealift verify parsec-standalone-3.10.0-linux-amd64.tar
///   tar xf parsec-standalone-3.10.0-linux-amd64.tar && sealift verify .
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct Verify {
    /// File of a bundle, or the folder that it was unpacked into
    bundle: PathBuf,
    /// How much each layer and the whole bundle may unpack to (default: 200 times the packed size, at least 1 GiB)
    #[arg(long, value_name = "SIZE", value_parser = limits::parse_bytes)]
    limit_unpacked: Option<u64>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Verdict {
    sound: bool,
    images: Vec<String>,
    problems: Vec<Problem>,
}

#[derive(Serialize)]
struct Problem {
    file: String,
    what: String,
}

impl Verify {
    /// The site in an unpacked bundle, if nobody knows where it comes from.
    fn site_problem(&self, bundle: &Bundle) -> Result<Option<Violation>> {
        if bundle.form == Form::Archive || bundle.manifest.is_none() || !bundle.verify_types().is_empty() {
            return Ok(None);
        }
        let deployment = Deployment::open(&self.bundle)?;
        let found = host::objection(&deployment, None, &KnownSites::of(&Machine::here()))?;
        Ok(found.map(|found| Violation { file: "site".to_owned(), message: found.message }))
    }

    pub(super) fn run(&self, context: &mut Context) -> Result<()> {
        let bundle = bundle::open_within(&self.bundle, Limits { unpacked: self.limit_unpacked })?;
        let report = bundle.verify(Depth::Blobs);
        let mut problems = report.violations;
        // A damaged bundle need not have a profile that can be read.
        if problems.is_empty() {
            problems.extend(self.site_problem(&bundle)?);
        }
        let images: Vec<String> = report.images.into_iter().map(|image| image.name).collect();
        if self.json {
            let wrong = problems.iter().map(|p| Problem { file: p.file.clone(), what: p.message.clone() }).collect();
            context.out.json(&Verdict { sound: problems.is_empty(), images, problems: wrong })?;
        } else {
            for problem in &problems {
                writeln!(context.out, "{problem}")?;
            }
            if problems.is_empty() {
                let files = bundle.files.iter().filter(|(_, entry)| !matches!(entry.kind, Kind::Directory)).count();
                let (files, images) = (ui::count(files, "file"), ui::count(images.len(), "image"));
                writeln!(context.out, "{}: {files}, {images}, no problems", self.bundle.display())?;
            }
        }
        if problems.is_empty() {
            return Ok(());
        }
        // Standard output is written before the error.
        context.out.finish()?;
        let count = ui::count(problems.len(), "problem");
        let more = if problems.len() >= PROBLEMS { " or more" } else { "" };
        let message = format!("{} has {count}{more}", self.bundle.display());
        Err(Failure::verification(message).hint("do not load it: copy the bundle again from where it was built").into())
    }
}
