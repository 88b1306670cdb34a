//! `sealift sbom`

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use sealift_deployment::bundle::{self, Bundle, Manifest, sbom};
use sealift_deployment::failure::Failure;
use sealift_deployment::files;
use sealift_layers::tree::{Kind, TreePath};

use super::Context;

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
        let text = self.bill(&bundle, manifest)?;
        match &self.output {
            None => Ok(context.out.json_text(&text)?),
            Some(path) => files::write_atomically(path, |file| Ok(file.write_all(text.as_bytes())?)),
        }
    }

    /// The bill in the bundle. Bundles of earlier versions have none: it is made then.
    fn bill(&self, bundle: &Bundle, manifest: &Manifest) -> Result<String> {
        let (image, format) = (self.image.as_deref(), self.format.into());
        let names: Vec<&str> = manifest.images.iter().map(|image| image.name.as_str()).collect();
        if let Some(image) = image.filter(|image| !names.contains(image)) {
            let failure = Failure::usage(format!("the bundle has no image `{image}`"));
            return Err(failure.hint(format!("it has: {}", names.join(", "))).into());
        }
        let path = TreePath::new(&sbom::path(image, format))?;
        if let Some(Kind::File(content)) = bundle.files.get(&path).map(|entry| &entry.kind) {
            let text = content.read().with_context(|| path.to_string())?;
            return String::from_utf8(text).map_err(|_| Failure::verification(format!("{path} is not UTF-8")).into());
        }
        let of_image = image.and_then(|name| sbom::of_image(manifest, name));
        let bom = of_image.unwrap_or_else(|| sbom::of(manifest, bundle.sum("sealift")));
        let text = match format {
            sbom::Format::CycloneDx => serde_json::to_string_pretty(&bom)?,
            sbom::Format::Spdx => serde_json::to_string_pretty(&sbom::spdx::of(&bom, &Default::default()))?,
        };
        Ok(format!("{text}\n"))
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
