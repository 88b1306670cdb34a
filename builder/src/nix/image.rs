//! An image of nothing but a closure, with a configuration as Nix users write it.

use std::collections::BTreeMap;
use std::io::BufWriter;
use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use sealift_deployment::failure::Failure;
use sealift_deployment::files::Pending;
use sealift_deployment::ui::Phase;
use sealift_layers::archive;
use sealift_layers::codec::Codec;
use sealift_layers::digest::{Digest, HashingWriter, Measured};
use sealift_layers::image::{Image, ImageLayer, ImageSpec};
use sealift_layers::ingredients::nix_store::{self, Closure, pack};
use sealift_layers::listing::Listing;
use sealift_layers::platform::{Architecture, Platform};
use sealift_layers::tree::{self, Content, Entry, Kind, Overlap, Prefer, SourceFile, Tree, TreePath};
use serde::Deserialize;
use serde_json::Value;

use crate::assemble::{LayerStore, in_parallel, stored};
use crate::store::{Key, Store};

/// The `config` of an image, spelled as in the OCI image specification ("Image Configuration"), which is how
/// nixpkgs' `dockerTools` takes it, too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub struct Config {
    /// `UID:GID`.
    pub user: String,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// The program and its fixed arguments.
    pub entrypoint: Vec<String>,
    /// Default arguments, or all of the command.
    pub cmd: Vec<String>,
    /// Working directory.
    pub working_dir: Option<String>,
    /// `80/tcp`, each with an empty object.
    pub exposed_ports: BTreeMap<String, Value>,
    /// Paths, each with an empty object.
    pub volumes: BTreeMap<String, Value>,
    /// Such as `SIGINT`.
    pub stop_signal: Option<String>,
    /// Labels of the configuration and annotations of the manifest.
    pub labels: BTreeMap<String, String>,
}

/// What is made.
#[derive(Clone, Debug)]
pub struct Request {
    /// Full name and tag.
    pub name: String,
    /// Architecture as OCI has it.
    pub architecture: Architecture,
    /// All paths of the image.
    pub closure: Closure,
    /// Paths of it whose files are linked into the image's root.
    pub contents: Vec<String>,
    /// How it is run.
    pub config: Config,
    /// How many layers the closure makes at most.
    pub layers: NonZero<usize>,
    /// Compression of the layers.
    pub codec: Codec,
    /// When it is made, in seconds since 1970.
    pub epoch: u64,
}

impl Config {
    /// Reads it from a document of its own, or from Nix's structured attributes (`.attrs.json`).
    ///
    /// # Errors
    /// When the file cannot be read or is something else (usage).
    pub fn read(path: &Path) -> Result<Self> {
        let wrong = |why: String| Failure::usage(format!("{} is not an image's config: {why}", path.display()));
        let text = fs_err::read(path).map_err(|error| Failure::usage(error.to_string()))?;
        let mut document: Value = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
        if document.get("closure").is_some() {
            document = document.get_mut("config").map(Value::take).unwrap_or_else(|| Value::Object(Default::default()));
        }
        let config = serde_json::from_value(document).map_err(|error| {
            wrong(error.to_string()).hint("its keys are those of OCI: Entrypoint, Cmd, Env, User, WorkingDir ...")
        })?;
        Ok(config)
    }

    /// All its texts, each of which may name a store path.
    fn texts(&self) -> impl Iterator<Item = &str> {
        let lists = self.env.iter().chain(&self.entrypoint).chain(&self.cmd).chain(&self.working_dir);
        lists.chain(self.labels.values()).map(String::as_str)
    }
}

/// Makes the image, its layers in `store`, and writes it to `output`: an archive that `podman load` and `docker load` take.
/// `nix` is where the paths are. Gives the image, the archive's digest and its size in bytes.
///
/// # Errors
/// When a path is not there or not what it must be, the config names a path that the closure lacks, two paths of `contents`
/// have one file, or `output` cannot be written.
pub fn make(
    request: &Request,
    nix: &Path,
    store: &Store,
    jobs: usize,
    output: &Path,
    progress: &Phase<'_>,
) -> Result<(Image, Digest, u64)> {
    complete(request)?;
    let layers = LayerStore { store, codec: request.codec, epoch: request.epoch, jobs };
    // Two at a time: while one is read or brought to the disk, the other is compressed.
    let packed = pack(&request.closure, request.layers);
    let mut made = in_parallel(jobs.min(2), &packed, |names| {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let title = super::title(&names);
        let key = super::key(&request.closure, &names, request.codec.recipe(), request.epoch);
        let record = match stored(store, &key) {
            Some(found) => found,
            None => {
                progress.item(&title);
                let tree = super::tree(&names, nix)?;
                let seated = tree::overlay(tree.clone(), &Listing::new(), Overlap::MustAgree)?;
                layers.write(
                    &key,
                    seated,
                    BTreeMap::new(),
                    Some(|| super::verify(&request.closure, &names, &tree, jobs)),
                )?
            }
        };
        progress.inc(1);
        Ok(ImageLayer { layer: record.layer, created_by: title })
    })?;
    if !request.contents.is_empty() {
        let names = &request.contents;
        let key = names.iter().fold(Key::builder("store-links/1").field("epoch", request.epoch), |key, name| {
            key.field("path", name).field("nar", request.closure.get(name).map_or(String::new(), |p| p.nar_hash.hex()))
        });
        let key = key.field("codec", request.codec.recipe()).finish();
        let record = match stored(store, &key) {
            Some(found) => found,
            None => {
                // The layers of these paths may be older than what is on the disk now.
                let tree = super::tree(names, nix)?;
                let seated = tree::overlay(links(names, &tree)?, &Listing::new(), Overlap::MustAgree)?;
                layers.write(
                    &key,
                    seated,
                    BTreeMap::new(),
                    Some(|| super::verify(&request.closure, names, &tree, jobs)),
                )?
            }
        };
        made.push(ImageLayer { layer: record.layer, created_by: "links to what is in the Nix store".to_owned() });
    }
    let image = Image::new(recipe(request, made)?).context("cannot make the image")?;
    let parts = archive::documents(std::slice::from_ref(&image), |digest| {
        let file = fs_err::File::open(store.blob_path(&digest))?.into_parts().0;
        let length = file.metadata()?.len();
        Ok(Content::range(&SourceFile::new(file), 0, length))
    })?;
    let mut pending = Pending::create(output)?;
    let mut meter = HashingWriter::new(BufWriter::with_capacity(1 << 20, &mut pending));
    archive::write(parts, &Tree::new(), request.epoch, |digest| store.wrote(digest), &mut meter)?;
    let (_, Measured { digest, size }) = meter.finish();
    pending.commit()?;
    Ok((image, digest, size))
}

fn recipe(request: &Request, layers: Vec<ImageLayer>) -> Result<ImageSpec> {
    let config = &request.config;
    let env = config.env.iter().map(|variable| {
        let split = variable.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        split.ok_or_else(|| Failure::usage(format!("`{variable}` in Env is not NAME=value")).into())
    });
    Ok(ImageSpec {
        name: request.name.clone(),
        platform: Platform::linux(request.architecture),
        created: request.epoch,
        user: config.user.clone(),
        entrypoint: config.entrypoint.clone(),
        command: config.cmd.clone(),
        workdir: config.working_dir.clone(),
        env: env.collect::<Result<_>>()?,
        ports: config.exposed_ports.keys().cloned().collect(),
        volumes: config.volumes.keys().cloned().collect(),
        stop_signal: config.stop_signal.clone(),
        labels: config.labels.clone(),
        layers,
    })
}

/// Whether all that the config and `contents` name is in the closure.
fn complete(request: &Request) -> Result<()> {
    let hint = "add it to `contents`, or what has it in its closure";
    for name in &request.contents {
        if request.closure.get(name).is_none() {
            return Err(Failure::usage(format!("/nix/store/{name} is not in the closure")).hint(hint).into());
        }
    }
    for text in request.config.texts() {
        for (at, _) in text.match_indices("/nix/store/") {
            let end = |c: char| !(c.is_ascii_alphanumeric() || "+-._?=".contains(c));
            let rest = &text[at + "/nix/store/".len()..];
            let name = &rest[..rest.find(end).unwrap_or(rest.len())];
            if nix_store::name(name).is_ok() && request.closure.get(name).is_none() {
                let message = format!("the config names /nix/store/{name}, which is not in the closure");
                return Err(Failure::usage(message).hint(hint).into());
            }
        }
    }
    Ok(())
}

/// A link in the image's root for every file of these paths, at the same place as below the path; folders are real. What is
/// meant for Nix alone (`nix-support`) is left out.
fn links(names: &[String], files: &Tree) -> Result<Tree> {
    let mut all = Tree::new();
    for name in names {
        let root = TreePath::new(nix_store::STORE)?.join(name)?;
        let origin: Arc<str> = format!("/nix/store/{name}").into();
        let mut links = Tree::new();
        for (path, entry) in files.below(&root) {
            let below = path.as_str()[root.as_str().len()..].trim_start_matches('/');
            if below.is_empty() || below.split('/').next() == Some("nix-support") {
                continue;
            }
            let link = match &entry.kind {
                Kind::Directory => Entry::directory(0o755, &origin),
                _ => Entry::symlink(format!("/{path}"), &origin).modified(nix_store::TIME),
            };
            links.insert(TreePath::new(below)?, link);
        }
        all.merge(links, |_, _| Prefer::Neither).map_err(|error| {
            Failure::failed(error.to_string())
                .hint("leave one of the paths out of `contents`, or link what you need yourself")
        })?;
    }
    Ok(all)
}
