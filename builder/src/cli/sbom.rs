//! `sealift sbom`

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use sealift_deployment::bundle::sbom::cyclonedx::Bom;
use sealift_deployment::bundle::sbom::spdx::Document;
use sealift_deployment::bundle::{self, Bundle, Manifest, sbom};
use sealift_deployment::failure::Failure;
use sealift_deployment::files;
use sealift_layers::tree::{Kind, TreePath};

use super::Context;
use super::output::Output;

/// Print the software bill of materials of a bundle (CycloneDX 1.6, SPDX 2.3)
///
/// Lists the images, Debian packages, wheels, crates and Nix store paths, with versions, digests,
/// package URLs and licenses; the contents of each image, and what depends on what; and exclusions
/// with their reasons. The bills are files of the bundle, in its folder `sbom`, with the texts of the
/// licenses: this command prints one. Needs no network.
///
/// Examples:
///   sealift sbom parsec-standalone-3.10.0-linux-amd64.tar --output parsec.cdx.json
///   sealift sbom . --format spdx --image server
///   sealift sbom . | jq -r '.components[].purl // empty'
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct Sbom {
    /// File of a bundle, or the folder that it was unpacked into
    bundle: PathBuf,
    /// Format of the bill
    #[arg(long, value_enum, default_value_t = Format::Cyclonedx)]
    format: Format,
    /// The bill of one image, instead of the whole bundle
    #[arg(long, value_name = "NAME")]
    image: Option<String>,
    /// Write to a file instead of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// CycloneDX 1.6
    Cyclonedx,
    /// SPDX 2.3
    Spdx,
}

impl Sbom {
    pub(super) fn run(&self, context: &mut Context) -> Result<()> {
        let bundle = bundle::open(&self.bundle)?;
        let Some(manifest) = &bundle.manifest else {
            let message = format!("{} is not a bundle: it has no {}", self.bundle.display(), bundle::MANIFEST);
            let hint = "name a file that `sealift build` wrote, or the folder that it was unpacked into";
            return Err(Failure::usage(message).hint(hint).into());
        };
        let bill = self.bill(&bundle, manifest)?;
        match &self.output {
            None => bill.print(&mut context.out),
            Some(path) => files::write_atomically(path, |file| {
                let mut file = BufWriter::new(file);
                bill.write(&mut file)?;
                Ok(file.flush()?)
            }),
        }
    }

    /// The bill in the bundle. Bundles of earlier versions have none: it is made then.
    fn bill(&self, bundle: &Bundle, manifest: &Manifest) -> Result<Bill> {
        let (image, format) = (self.image.as_deref(), self.format.into());
        let names: Vec<&str> = manifest.images.iter().map(|image| image.name.as_str()).collect();
        if let Some(image) = image.filter(|image| !names.contains(image)) {
            let failure = Failure::usage(format!("the bundle has no image `{image}`"));
            return Err(failure.hint(format!("it has: {}", names.join(", "))).into());
        }
        let path = TreePath::new(&sbom::path(image, format))?;
        if let Some(Kind::File(content)) = bundle.files.get(&path).map(|entry| &entry.kind) {
            let text = content.read().with_context(|| path.to_string())?;
            let text = String::from_utf8(text);
            return text.map(Bill::File).map_err(|_| Failure::verification(format!("{path} is not UTF-8")).into());
        }
        let of_image = image.and_then(|name| sbom::of_image(manifest, name));
        let bom = of_image.unwrap_or_else(|| sbom::of(manifest, bundle.sum("sealift")));
        Ok(match format {
            sbom::Format::CycloneDx => Bill::CycloneDx(Box::new(bom)),
            sbom::Format::Spdx => Bill::Spdx(Box::new(sbom::spdx::of(&bom, &Default::default()))),
        })
    }
}

/// A bill of materials. One that was made is never a text in memory as a whole.
enum Bill {
    /// The text of the bundle's file.
    File(String),
    CycloneDx(Box<Bom>),
    Spdx(Box<Document>),
}

impl Bill {
    fn print(&self, out: &mut Output) -> Result<()> {
        match self {
            Self::File(text) => Ok(out.json_text(text)?),
            Self::CycloneDx(bom) => out.json(bom),
            Self::Spdx(document) => out.json(document),
        }
    }

    fn write(&self, out: &mut impl Write) -> Result<()> {
        match self {
            Self::File(text) => return Ok(out.write_all(text.as_bytes())?),
            Self::CycloneDx(bom) => serde_json::to_writer_pretty(&mut *out, bom)?,
            Self::Spdx(document) => serde_json::to_writer_pretty(&mut *out, document)?,
        }
        Ok(out.write_all(b"\n")?)
    }
}

impl From<Format> for sbom::Format {
    fn from(format: Format) -> Self {
        match format {
            Format::Cyclonedx => Self::CycloneDx,
            Format::Spdx => Self::Spdx,
        }
    }
}
