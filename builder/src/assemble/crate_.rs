//! The layer of a program that is compiled from its crate.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use sealift_deployment::bundle;
use sealift_deployment::failure::Failure;
use sealift_deployment::files;
use sealift_layers::listing::Listing;
use sealift_layers::tree::{Content, Entry, SourceFile, Tree, TreePath};

use super::description::Description;
use super::ingredient::{Ingredient, Made, strings};
use super::workshop::{Workshop, artifact, overlay};
use crate::cargo::{Program, documents};
use crate::inputs::{Artifact, ImageInputs};
use crate::lock;
use crate::recipe;
use crate::store::facts::{Facts, Texts};
use crate::store::layer::{LayerRecord, Remarks};
use crate::store::{Builder, Key, Store};

/// The image's folder of compiled programs.
const FOLDER: &str = "usr/local/bin";

/// The program of the image's crate.
#[derive(Debug)]
struct Crate {
    title: String,
}

/// The layer of the image's program, if it has one.
pub(super) fn layers(image: ImageInputs<'_>) -> Result<Vec<Box<dyn Ingredient>>> {
    let Some(wanted) = &image.model().krate else { return Ok(Vec::new()) };
    let title = format!("{} {}, built from its crate", wanted.name.get_ref(), wanted.version.get_ref());
    Ok(vec![Box::new(Crate { title })])
}

impl Ingredient for Crate {
    fn title(&self) -> String {
        self.title.clone()
    }

    fn has_own_times(&self) -> bool {
        true
    }

    fn key(&self, image: ImageInputs<'_>, key: Builder) -> Result<Builder> {
        Ok(key.field("content", "crate").field("facts", 1).field("program", program_key(image)?.hex()))
    }

    fn needs<'a>(&self, image: ImageInputs<'a>, store: &Store) -> Result<Vec<Artifact<'a>>> {
        let program = program(image)?;
        let is_compiled =
            store.derived(&program_key(image)?).is_some() && store.derived(&facts_key(&program)).is_some();
        Ok(if is_compiled { Vec::new() } else { vec![Artifact::Crate(program.locked)] })
    }

    fn make<'a>(&'a self, workshop: &mut Workshop<'_>, image: ImageInputs<'a>, lower: &Listing) -> Result<Made<'a>> {
        let program = program(image)?;
        let file = files::open(&compiled(workshop, image, &program)?)?.into_parts().0;
        let size = file.metadata()?.len();
        let origin: Arc<str> = format!("the crate {} {}", program.locked.name, program.locked.version).into();
        let content = Content::range(&SourceFile::new(file), 0, size);
        let mut tree = Tree::new();
        tree.insert(TreePath::new(FOLDER)?.join(program.binary)?, Entry::file(content, 0o755, &origin));
        let (facts, texts) = facts(workshop, &program)?;
        let crates = BTreeMap::from([(program.locked.name.clone(), facts)]);
        let remarks = Remarks { crates, texts: workshop.store.put_texts(&texts)?, ..Remarks::default() };
        Ok(Made { tree: overlay(tree, lower)?, remarks, check: None })
    }

    fn describe(&self, image: ImageInputs<'_>, _record: &LayerRecord, description: &mut Description) -> Result<()> {
        let program = program(image)?;
        description.crates.push(bundle::Crate {
            image: image.name.to_owned(),
            name: program.locked.name.clone(),
            version: program.locked.version.clone(),
            sha256: program.locked.sha256,
            license: None,
            binary: program.binary.to_owned(),
            features: program.features.to_vec(),
        });
        let toolchain = image.inputs.cargo()?.toolchain().clone();
        description.compiled = Some(bundle::Compiled { recipe: recipe::CRATE.to_owned(), toolchain });
        Ok(())
    }
}

/// What the crate says of itself, from the store or its archive.
fn facts(workshop: &Workshop<'_>, program: &Program<'_>) -> Result<(Facts, Texts)> {
    let (store, key) = (workshop.store, facts_key(program));
    if let Some(path) = store.derived(&key) {
        return Ok(serde_json::from_slice(&files::read_within(&path, files::FILE_LIMIT)?)?);
    }
    let mut texts = Texts::new();
    let documents = documents(program.locked, &archive(store, program.locked)?, program.limits)?;
    let facts = super::facts::of_crate(documents, &mut texts);
    store.put_derived(&key, |path| Ok(fs_err::write(path, serde_json::to_vec(&(&facts, &texts))?)?))?;
    Ok((facts, texts))
}

/// The archive of a crate, verified once more.
fn archive(store: &Store, locked: &lock::Crate) -> Result<PathBuf> {
    artifact(store, &format!("{} {}", locked.name, locked.version), &locked.sha256, locked.size)?;
    Ok(store.artifact(&locked.sha256, locked.size).expect("it was just opened"))
}

fn facts_key(program: &Program<'_>) -> Key {
    Key::builder(recipe::CRATE_FACTS).field("crate", program.locked.sha256).finish()
}

/// The program, from the store or compiled.
fn compiled(workshop: &Workshop<'_>, image: ImageInputs<'_>, program: &Program<'_>) -> Result<PathBuf> {
    let (store, key) = (workshop.store, program_key(image)?);
    if let Some(path) = store.derived(&key) {
        return Ok(path);
    }
    let archive = archive(store, program.locked)?;
    let crate_ = format!("{} {}", program.locked.name, program.locked.version);
    workshop.progress.item(&format!("compiling {crate_}, which takes minutes"));
    let cargo = image.inputs.cargo()?;
    store.put_derived(&key, |output| cargo.compile(program, &archive, store, workshop.jobs, output))
}

fn program(image: ImageInputs<'_>) -> Result<Program<'_>> {
    let wanted = image.model().krate.as_ref().ok_or_else(|| Failure::failed("a program without a crate"))?;
    Ok(Program {
        locked: image.inputs.locked_crate(wanted.name.get_ref(), wanted.version.get_ref())?,
        binary: wanted.binary.get_ref(),
        features: &wanted.features,
        architecture: image.inputs.architecture(),
        limits: image.inputs.options.limits,
    })
}

/// The key of the compiled program: the crate, how it is compiled and with what.
fn program_key(image: ImageInputs<'_>) -> Result<Key> {
    let program = program(image)?;
    let toolchain = image.inputs.cargo()?.toolchain();
    let key = Key::builder(recipe::CRATE)
        .field("crate", program.locked.sha256)
        .field("binary", program.binary)
        .field("architecture", program.architecture)
        .field("rustc", &toolchain.rustc)
        .field("cc", &toolchain.cc);
    Ok(strings(key, "feature", program.features.iter().map(String::as_str)).finish())
}
