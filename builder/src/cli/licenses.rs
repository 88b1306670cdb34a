//! `sealift licenses`

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use sealift_deployment::bundle::licenses::{self, Owners, Use};
use sealift_deployment::bundle::{self, Bundle, Manifest, sbom};
use sealift_deployment::failure::Failure;
use sealift_deployment::ui;
use sealift_layers::tree::{Kind, TreePath};
use serde::Serialize;

use super::Context;

/// Show the licenses of everything in a bundle
///
/// Prints each license by its SPDX identifier, and what it is the license of. What has several
/// licenses is listed with each. `LicenseRef-NAME-HASH` is one that SPDX's list does not have: its
/// text is in the bundle. Packages say their licenses in their copyright files, wheels in their
/// metadata, crates in their manifests.
///
/// The texts that must be passed on with the bundle are in its folder `sbom/licenses`, also where a
/// profile leaves them out of images, and those of the crates that the program `sealift` consists
/// of. `--texts` prints them.
///
/// Examples:
///   sealift licenses parsec-standalone-3.10.0-linux-amd64.tar
///   sealift licenses . --texts > LICENSES.txt
///   sealift licenses . --json | jq -r '.licenses[].license'
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct Licenses {
    /// File of a bundle, or the folder that it was unpacked into
    bundle: PathBuf,
    /// Print the texts, each with the names of what it is for
    #[arg(long, conflicts_with = "json")]
    texts: bool,
    /// Print the licenses as JSON, with the names of the files with texts
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Document<'m> {
    licenses: Vec<Use>,
    texts: Vec<Text<'m>>,
    /// Crates of the program in the bundle, by name and version.
    without_text: Vec<String>,
}

#[derive(Serialize)]
struct Text<'m> {
    file: String,
    #[serde(flatten)]
    of: Owners<'m>,
}

/// Width of the lines with names.
const WIDTH: usize = 100;

impl Licenses {
    pub(super) fn run(&self, context: &mut Context) -> Result<()> {
        let bundle = bundle::open(&self.bundle)?;
        let Some(manifest) = &bundle.manifest else {
            let message = format!("{} is not a bundle: it has no {}", self.bundle.display(), bundle::MANIFEST);
            let hint = "name a file that `sealift build` wrote, or the folder that it was unpacked into";
            return Err(Failure::usage(message).hint(hint).into());
        };
        if self.texts {
            return write_texts(&bundle, manifest, &mut context.out);
        }
        let texts = licenses::texts(manifest).into_iter();
        let texts: Vec<Text<'_>> = texts.map(|(digest, of)| Text { file: sbom::text_path(digest), of }).collect();
        let (licenses, without_text) = (licenses::of(manifest)?, licenses::without_text(manifest));
        if self.json {
            let without_text = without_text.collect();
            return context.out.json(&Document { licenses, texts, without_text });
        }
        for found in &licenses {
            context.out.write_all(entry(found).as_bytes())?;
        }
        context.note(format!(
            "{}; --texts prints the {}",
            ui::count(licenses.len(), "license"),
            ui::count(texts.len(), "text")
        ));
        let without_text: Vec<String> = without_text.collect();
        if !without_text.is_empty() {
            let names = without_text.join(", ");
            context.note(format!("no text is in the packages of these crates of the program: {names}"));
        }
        Ok(())
    }
}

/// A licence, and below it what it is the licence of.
fn entry(found: &Use) -> String {
    let named = [&found.packages, &found.wheels, &found.crates, &found.archives, &found.store_paths];
    let names: BTreeSet<&str> = named.into_iter().flatten().map(String::as_str).collect();
    let mut words: Vec<String> = names.into_iter().map(str::to_owned).collect();
    words.extend(of_program(found.program.len(), words.is_empty()));
    let mut text = format!("{}\n", found.license);
    let mut line = String::new();
    let last = words.len().saturating_sub(1);
    for (index, word) in words.iter().enumerate() {
        let word = if index < last { format!("{word},") } else { word.clone() };
        if !line.is_empty() && line.len() + 1 + word.len() > WIDTH - 4 {
            text.push_str(&format!("    {line}\n"));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
    }
    text.push_str(&format!("    {line}\n"));
    text
}

/// The crates of the program, as the last words of a list of names.
fn of_program(count: usize, is_all: bool) -> Option<String> {
    let and = if is_all { "" } else { "and " };
    (count > 0).then(|| format!("{and}{} of the program `sealift`", ui::count(count, "crate")))
}

fn write_texts(bundle: &Bundle, manifest: &Manifest, out: &mut impl Write) -> Result<()> {
    let texts = licenses::texts(manifest);
    if texts.is_empty() {
        let message = "the bundle has no texts of licenses";
        return Err(Failure::failed(message).hint("it was built by an earlier version: build it again").into());
    }
    for (digest, of) in texts {
        let path = sbom::text_path(digest);
        let Some(Kind::File(content)) = bundle.files.get(&TreePath::new(&path)?).map(|entry| &entry.kind) else {
            return Err(Failure::verification(format!("the bundle has no {path}")).into());
        };
        let own = of.of.iter().copied().collect::<Vec<_>>().join(", ");
        let crates = of.program.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let crates = if crates.is_empty() { crates } else { format!("in the program `sealift`: {crates}") };
        let names = [own, crates].into_iter().filter(|names| !names.is_empty()).collect::<Vec<_>>().join("; ");
        let bytes = content.read().with_context(|| path.clone())?;
        writeln!(out, "--- {}: {path}\n\n{}\n", names, String::from_utf8_lossy(&bytes).trim_end())?;
    }
    Ok(())
}
