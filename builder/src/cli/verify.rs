//! `sealift verify`

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use sealift_deployment::bundle::{Bundle, Form};
use sealift_deployment::failure::Failure;
use sealift_deployment::finding::{Findings, Level};
use sealift_deployment::host::{self, Deployment};
use sealift_deployment::machine::Machine;
use sealift_deployment::signature::{Signature, Trust};
use sealift_deployment::site::KnownSites;
use sealift_layers::digest::Digest;
use sealift_layers::escape::line;
use sealift_layers::limits::{self, Limits, PROBLEMS};
use sealift_layers::tree::Kind;
use sealift_layers::validate::{Depth, Violation};
use serde::Serialize;

use super::rebuild::RebuildOptions;
use super::{Context, common};
use crate::rebuild::Rebuilt;
use sealift_deployment::{bundle, ui};

/// Verify a bundle: all digests, all diff IDs, both tables of contents
///
/// Reads every byte once. Checks that each blob has the digest in its name, that each layer
/// unpacks to the diff ID in its image's configuration, that index.json (for podman and
/// containerd) and manifest.json (for Docker) list the same images, that bundle.json describes
/// them, and that all other files match SHA256SUMS. There may be nothing else: no other files,
/// links, modes or owners. In an unpacked bundle, the site (`site/`, `.env`) must have been made
/// on this host, or be named in SHA256SUMS. Reports every problem.
///
/// With --key, or on a machine that trusts keys (/etc/sealift/keys.d, ~/.config/sealift/keys.d),
/// one of them must have signed the bundle. That is checked before anything else in it is read:
/// FILE.minisig, if it is there, and the signature of SHA256SUMS in the bundle.
///
/// With --engine, in an unpacked bundle, what podman or Docker has loaded is compared, too: the
/// engine gives out each image, and its configuration and layers must have the digests that the
/// bundle states.
///
/// With --rebuild, the bundle is built again: from the profile, the lock and the program in it,
/// and from the artifacts that the lock names, which are fetched or taken from --artifacts
/// (`sealift fetch`). No layer that the store has is used. All bytes but those of signatures must
/// be the same; differences are told by image, layer and path. It needs the version of sealift
/// that built the bundle.
///
/// Examples:
///   sealift verify parsec-standalone-3.10.0-linux-amd64.tar --key release.pub
///   sealift verify parsec-standalone-3.10.0-linux-amd64.tar --rebuild
///   sealift verify parsec-standalone-3.10.0-linux-amd64.tar --rebuild --offline --artifacts /srv/kept
///   tar xf parsec-standalone-3.10.0-linux-amd64.tar && sealift verify .
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct Verify {
    /// File of a bundle, or the folder that it was unpacked into
    bundle: PathBuf,
    /// How much each layer and the whole bundle may unpack to (default: 200 times the packed size, at least 1 GiB)
    #[arg(long, value_name = "SIZE", value_parser = limits::parse_bytes)]
    limit_unpacked: Option<u64>,
    /// Public key that must have signed the bundle; may be repeated [default: the keys that this machine trusts]
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,
    /// Do not ask for a signature by a key that this machine trusts
    #[arg(long, conflicts_with = "key")]
    insecure_unsigned: bool,
    /// Compare the images that an engine has loaded, too: podman, docker or auto
    #[arg(long, value_name = "ENGINE", num_args = 0..=1, default_missing_value = "auto")]
    engine: Option<String>,
    #[command(flatten)]
    rebuild: RebuildOptions,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Verdict {
    sound: bool,
    images: Vec<String>,
    signatures: Vec<SignedBy>,
    /// With `--rebuild`: SHA-256 of the bundle that was built again, which has no signatures.
    #[serde(skip_serializing_if = "Option::is_none")]
    rebuilt: Option<Digest>,
    problems: Vec<Problem>,
}

/// A signature in the bundle.
#[derive(Serialize)]
struct SignedBy {
    key: String,
    /// What its maker says of the bundle.
    comment: String,
    /// Whether a trusted key made it. Others are not checked.
    trusted: bool,
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
        let deployment = Deployment::open(&self.bundle, &Trust::default())?;
        let found = host::objection(&deployment, None, &KnownSites::of(&Machine::here()))?;
        Ok(found.map(|found| Violation { file: "site".to_owned(), message: found.message }))
    }

    /// What differs in the images that an engine has loaded.
    fn image_problems(&self, engine: &str, trust: &Trust, context: &Context) -> Result<Vec<Violation>> {
        if !self.bundle.is_dir() {
            let failure = Failure::usage("--engine compares the images of an unpacked bundle");
            return Err(failure.hint("name the folder that `up` runs in, such as: sealift verify . --engine").into());
        }
        let machine = Machine::here();
        let deployment = Deployment::open(&self.bundle, trust)?;
        let mut findings = Findings::default();
        host::runtime(&deployment, Some(engine), &machine)?
            .compare_images(&common::ui(&machine, context), &mut findings)?;
        let errors = findings.0.into_iter().filter(|finding| finding.level == Level::Error);
        Ok(errors.map(|finding| Violation { file: finding.topic, message: finding.message }).collect())
    }

    /// The keys that must have signed the bundle.
    fn trust(&self) -> Result<Trust> {
        if self.insecure_unsigned {
            return Ok(Trust::default());
        }
        if !self.key.is_empty() {
            return Trust::in_files(&self.key);
        }
        let site = self.bundle.join("site");
        Trust::of(&Machine::here(), self.bundle.is_dir().then_some(site.as_path()))
    }

    /// The signatures in the bundle. The trusted one has been checked.
    fn signatures(bundle: &Bundle) -> Vec<SignedBy> {
        let signed = |signature: Signature| SignedBy {
            key: signature.key.to_string(),
            trusted: bundle.signature.as_ref().is_some_and(|trusted| trusted.key == signature.key),
            comment: signature.comment,
        };
        bundle.signatures().map(signed).collect()
    }

    pub(super) fn run(&self, context: &mut Context) -> Result<()> {
        let trust = self.trust()?;
        trust.check_beside(&self.bundle)?;
        let bundle = bundle::open_trusted(&self.bundle, Limits { unpacked: self.limit_unpacked }, &trust)?;
        let signatures = Self::signatures(&bundle);
        let report = bundle.verify(Depth::Blobs);
        let mut problems = report.violations;
        // A damaged bundle need not have a profile that can be read.
        if problems.is_empty() {
            problems.extend(self.site_problem(&bundle)?);
        }
        let is_sound = problems.is_empty();
        if let Some(engine) = self.engine.as_deref().filter(|_| is_sound) {
            problems.extend(self.image_problems(engine, &trust, context)?);
        }
        let limits = Limits { unpacked: self.limit_unpacked };
        let mut rebuilt = if is_sound { self.rebuild.run(&bundle, &self.bundle, limits, context)? } else { None };
        let differences = rebuilt.as_mut().map(|rebuilt| std::mem::take(&mut rebuilt.differences)).unwrap_or_default();
        let is_same = differences.is_empty();
        problems.extend(differences);
        let images: Vec<String> = report.images.into_iter().map(|image| image.name).collect();
        if self.json {
            let wrong = problems.iter().map(|p| Problem { file: p.file.clone(), what: p.message.clone() }).collect();
            context.out.json(&Verdict {
                sound: problems.is_empty(),
                images,
                signatures,
                rebuilt: rebuilt.map(|rebuilt| rebuilt.digest),
                problems: wrong,
            })?;
        } else {
            for problem in &problems {
                writeln!(context.out, "{problem}")?;
            }
            for SignedBy { key, comment, trusted } in &signatures {
                let checked = if *trusted { "good signature" } else { "signature that was not checked" };
                writeln!(context.out, "{checked} by key {key}: {}", line(comment))?;
            }
            if problems.is_empty() {
                let files = bundle.files.iter().filter(|(_, entry)| !matches!(entry.kind, Kind::Directory)).count();
                let (files, images) = (ui::count(files, "file"), ui::count(images.len(), "image"));
                let engine = if self.engine.is_some() { ", also in the engine" } else { "" };
                writeln!(context.out, "{}: {files}, {images}{engine}, no problems", self.bundle.display())?;
                if let Some(Rebuilt { digest, artifacts, .. }) = &rebuilt {
                    let artifacts = ui::count(*artifacts, "artifact");
                    writeln!(context.out, "built again from {artifacts}: the same bytes, {digest} without signatures")?;
                }
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
        let made_by = bundle.manifest.as_ref().map_or("", |manifest| manifest.sealift.as_str());
        let hint = match is_sound {
            true if !is_same && made_by != env!("CARGO_PKG_VERSION") => {
                "another version of sealift built it: build it again with that one"
            }
            true if !is_same => {
                "it was built with other files, by another program or on a machine with another compiler, or it was changed: do \
                 not use it before you know which"
            }
            true => "stop the services, remove these images from the engine, and let `./sealift up` load them again",
            false => "do not load it: copy the bundle again from where it was built",
        };
        Err(Failure::verification(message).hint(hint).into())
    }
}
