//! An image with only a Nix closure, and a configuration in the form that Nix users write.

use std::collections::BTreeMap;
use std::io::BufWriter;
use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use sealift_deployment::failure::Failure;
use sealift_deployment::files::{self, Pending};
use sealift_deployment::ui::Phase;
use sealift_layers::archive;
use sealift_layers::codec::Codec;
use sealift_layers::digest::{Digest, HashingWriter, Measured};
use sealift_layers::image::{Image, ImageLayer, ImageSpec};
use sealift_layers::ingredients::nix_store::{self, Closure, pack};
use sealift_layers::layer::Layer;
use sealift_layers::limits::DOCUMENT;
use sealift_layers::listing::Listing;
use sealift_layers::platform::{Architecture, Platform};
use sealift_layers::tree::{self, Entry, Kind, Overlap, Prefer, Tree, TreePath};
use serde::Deserialize;
use serde_json::Value;

use crate::parallel::in_parallel;
use crate::recipe;
use crate::store::layer::{LayerWriter, Remarks};
use crate::store::{Key, Store};

/// The `config` of an image, with the keys of the OCI image specification ("Image Configuration"). nixpkgs'
/// `dockerTools` uses the same ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub struct Config {
    /// `UID:GID`.
    pub user: String,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Program and fixed arguments.
    pub entrypoint: Vec<String>,
    /// Default arguments, or the whole command if there is no entry point.
    pub cmd: Vec<String>,
    /// Working directory.
    pub working_dir: Option<String>,
    /// Ports such as `80/tcp`, each with an empty object.
    pub exposed_ports: BTreeMap<String, Value>,
    /// Paths, each with an empty object.
    pub volumes: BTreeMap<String, Value>,
    /// Signal that stops the container: `SIGINT`.
    pub stop_signal: Option<String>,
    /// Labels of the configuration and annotations of the manifest.
    pub labels: BTreeMap<String, String>,
}

/// An image to build.
#[derive(Clone, Debug)]
pub struct Request {
    /// Full name and tag: `localhost/hello:latest`.
    pub name: String,
    /// OCI name of the architecture: `amd64`.
    pub architecture: Architecture,
    /// All store paths of the image.
    pub closure: Closure,
    /// Names of store paths whose files are linked into the image's root.
    pub contents: Vec<String>,
    /// How the image is run.
    pub config: Config,
    /// Maximum number of layers for the closure. The links are one more.
    pub layers: NonZero<usize>,
    /// Compression of the layers.
    pub codec: Codec,
    /// Creation time of the image, in seconds since 1970.
    pub epoch: u64,
}

impl Config {
    /// Reads the configuration from a JSON file, or from Nix's structured attributes (`.attrs.json`).
    ///
    /// # Errors
    /// A usage failure if the file cannot be read or parsed.
    pub fn read(path: &Path) -> Result<Self> {
        let malformed = || Failure::usage(format!("{} is not the configuration of an image", path.display()));
        let text = files::read_within(path, DOCUMENT)
            .map_err(|error| Failure::usage("cannot read the configuration of the image").because(error))?;
        let mut document: Value = serde_json::from_slice(&text).map_err(|error| malformed().because(error))?;
        if document.get("closure").is_some() {
            document = document.get_mut("config").map(Value::take).unwrap_or_else(|| Value::Object(Default::default()));
        }
        let config = serde_json::from_value(document).map_err(|error| {
            malformed().because(error).hint("use the keys of OCI: Entrypoint, Cmd, Env, User, WorkingDir ...")
        })?;
        Ok(config)
    }

    /// All texts that may name a store path.
    fn texts(&self) -> impl Iterator<Item = &str> {
        let lists = self.env.iter().chain(&self.entrypoint).chain(&self.cmd).chain(&self.working_dir);
        lists.chain(self.labels.values()).map(String::as_str)
    }
}

/// A written image archive.
#[derive(Debug)]
pub struct Archive {
    /// The image in it.
    pub image: Image,
    /// SHA-256 of the archive.
    pub sha256: Digest,
    /// Size of the archive in bytes.
    pub size: u64,
}

/// Builds an image from a [`Request`].
pub struct ImageBuilder<'a> {
    /// The image to build.
    pub request: &'a Request,
    /// The folder that is `/nix/store` to Nix: see [`super::store`].
    pub nix_store: &'a Path,
    /// Where finished layers are kept.
    pub store: &'a Store,
    /// Number of threads.
    pub jobs: usize,
}

impl ImageBuilder<'_> {
    /// Builds the layers that are not in the store, and writes the image to `output`: an archive for `podman load` and
    /// `docker load`. `progress` counts layers.
    ///
    /// # Errors
    /// A store path does not exist or does not match its hash, the configuration names a path that is not in the closure,
    /// a path of `contents` is not a folder, two of them have the same file, or `output` cannot be written.
    pub fn write(&self, output: &Path, progress: &Phase<'_>) -> Result<Archive> {
        check_paths(self.request)?;
        let mut layers = self.closure_layers(progress)?;
        if !self.request.contents.is_empty() {
            // Part of the image's bytes.
            let created_by = "links to what is in the Nix store".to_owned();
            layers.push(ImageLayer { layer: self.links_layer()?, created_by });
        }
        let image = Image::new(image_spec(self.request, layers)?).context("cannot create the image")?;
        self.write_archive(image, output)
    }

    fn layer_writer(&self) -> LayerWriter<'_> {
        let Request { codec, epoch, .. } = *self.request;
        LayerWriter { store: self.store, codec, epoch, jobs: self.jobs, is_borrowed: false }
    }

    /// The layers with the closure, and their titles.
    fn closure_layers(&self, progress: &Phase<'_>) -> Result<Vec<ImageLayer>> {
        let packed = pack(&self.request.closure, self.request.layers);
        // Two at a time: while one is read from or written to the disk, the other is compressed.
        in_parallel(self.jobs.min(2), &packed, |names| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            let title = super::title(&names);
            let Request { closure, codec, epoch, .. } = self.request;
            let key = super::key(closure, &names, codec.recipe(), *epoch);
            let layer = match self.store.finished_layer(&key) {
                Some(found) => found.layer,
                None => {
                    progress.item(&title);
                    self.build_layer(&key, &names, |files| Ok(files.clone()))?
                }
            };
            progress.inc(1);
            Ok(ImageLayer { layer, created_by: title })
        })
    }

    /// The layer with links to the files of `contents`.
    fn links_layer(&self) -> Result<Layer> {
        let Request { contents: names, closure, epoch, codec, .. } = self.request;
        let key = names.iter().fold(Key::builder(recipe::STORE_LINKS).field("epoch", *epoch), |key, name| {
            key.field("path", name).field("nar", closure.get(name).map_or(String::new(), |path| path.nar_hash.hex()))
        });
        let key = key.field("codec", codec.recipe()).finish();
        match self.store.finished_layer(&key) {
            Some(found) => Ok(found.layer),
            // Verifies the paths again: their layers may come from the store, and the disk may have changed since.
            None => self.build_layer(&key, names, |files| links(names, files)),
        }
    }

    /// Builds a layer from the files of these store paths, which are verified at the same time.
    fn build_layer(&self, key: &Key, names: &[String], tree: impl FnOnce(&Tree) -> Result<Tree>) -> Result<Layer> {
        let files = super::tree(names, self.nix_store)?;
        let seated = tree::overlay(tree(&files)?, &Listing::new(), Overlap::MustAgree)?;
        let verify = || super::verify(&self.request.closure, names, &files, self.jobs);
        Ok(self.layer_writer().write(key, seated, Remarks::default(), Some(Box::new(verify)))?.layer)
    }

    fn write_archive(&self, image: Image, output: &Path) -> Result<Archive> {
        let parts = archive::documents(std::slice::from_ref(&image), |digest| self.store.blob(digest))?;
        let mut pending = Pending::create(output)?;
        let mut meter = HashingWriter::new(BufWriter::with_capacity(1 << 20, &mut pending));
        let known = |digest: &Digest| self.store.wrote(digest);
        archive::write(parts, &Tree::new(), self.request.epoch, known, &mut meter)?;
        let (_, Measured { digest: sha256, size }) = meter.finish();
        pending.commit()?;
        Ok(Archive { image, sha256, size })
    }
}

fn image_spec(request: &Request, layers: Vec<ImageLayer>) -> Result<ImageSpec> {
    let config = &request.config;
    let env = config.env.iter().map(|variable| {
        let split = variable.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        split.ok_or_else(|| Failure::usage(format!("`{variable}` in Env does not have the form NAME=value")).into())
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

/// Checks that all store paths in the configuration and in `contents` are in the closure.
fn check_paths(request: &Request) -> Result<()> {
    let hint = "add it, or a path that depends on it, to the closure";
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
                let message = format!("the configuration names /nix/store/{name}, which is not in the closure");
                return Err(Failure::usage(message).hint(hint).into());
            }
        }
    }
    Ok(())
}

/// A link in the image's root for every file of these store paths, at the same path as below the store path. Folders are
/// real folders. Files for Nix itself (`nix-support`) are left out.
fn links(names: &[String], files: &Tree) -> Result<Tree> {
    let mut all = Tree::new();
    for name in names {
        let root = contents_root(name, files)?;
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
            Failure::failed("cannot link the contents into the image's root").because(error).hint(
                "leave one of the paths out of the contents, or link the files that you need in a path of your own",
            )
        })?;
    }
    Ok(all)
}

/// The folder whose files are linked for the store path `name`.
fn contents_root(name: &str, files: &Tree) -> Result<TreePath> {
    let root = TreePath::new(nix_store::STORE)?.join(name)?;
    let (what, target) = match files.get(&root).map(|entry| &entry.kind) {
        Some(Kind::Directory) => return Ok(root),
        Some(Kind::Symlink(target)) => ("a link to", target.as_str()),
        _ => ("a file", ""),
    };
    let message = format!("/nix/store/{name} is {what} {target}");
    let hint = match what {
        "a file" => "name a store path that is a folder, for example one with the file in its bin/".to_owned(),
        _ => format!("name the folder instead: --contents {target}"),
    };
    Err(Failure::usage(format!("{}, so that it has no files to link into the image's root", message.trim_end()))
        .hint(hint)
        .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Contents that are a link or a file linked nothing, without a word.
    #[test]
    fn contents_that_are_no_folder_are_an_error() {
        let origin = Arc::from("test");
        let mut files = Tree::new();
        let mut add = |path: &str, entry| files.insert(TreePath::new(path).unwrap(), entry);
        add("nix/store/a", Entry::directory(0o755, &origin));
        add("nix/store/a/bin", Entry::directory(0o755, &origin));
        add("nix/store/a/bin/x", Entry::file("x", 0o755, &origin));
        add("nix/store/b", Entry::symlink("/nix/store/a", &origin));
        add("nix/store/c", Entry::file("x", 0o644, &origin));
        let linked = |name: &str| {
            links(&[name.to_owned()], &files)
                .map(|tree| tree.iter().map(|(path, _)| path.to_string()).collect::<Vec<_>>())
        };
        assert_eq!(linked("a").unwrap(), ["bin", "bin/x"]);
        for (name, message) in
            [("b", "/nix/store/b is a link to /nix/store/a, so"), ("c", "/nix/store/c is a file, so")]
        {
            let error = linked(name).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }
}
