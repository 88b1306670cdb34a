//! The bundle: one tar that engines load as it is, and that is a deployment directory when it is unpacked. Where it is
//! deployed without containers, it has the image's files in the place of images.

mod describe;
mod digest_cache;
pub mod program;
mod root;

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use sealift_deployment::bundle::{LINKS, MANIFEST, SUMS};
use sealift_deployment::failure::Failure;
use sealift_deployment::files::Pending;
use sealift_deployment::profile::model::Deployed;
use sealift_deployment::render::{self, systemd};
use sealift_deployment::site::Site;
use sealift_layers::archive;
use sealift_layers::digest::{Digest, HashingWriter, Measured};
use sealift_layers::image::{Image, ImageLayer, ImageSpec, timestamp};
use sealift_layers::tar;
use sealift_layers::tree::{Content, Entry, Kind, SourceFile, Tree, TreePath};

use digest_cache::DigestCache;

use crate::assemble::{Layers, owner_ids, users};
use crate::lock::{self, Lock};
use crate::plan::Plan;
use crate::store::Store;

/// What goes into a bundle besides what the plan says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extras<'a> {
    /// The site that it is for.
    pub site: Option<&'a Site>,
    /// The program, for the host ([`program::choose`]).
    pub program: Option<&'a Path>,
    /// Threads that compress, where the bundle as a whole is compressed.
    pub jobs: usize,
}

/// The images of a plan whose layers are made.
///
/// # Errors
/// When an image's user is not known, or its documents cannot be made.
pub fn images(plan: &Plan<'_>, layers: &Layers) -> Result<Vec<Image>> {
    let profile = &plan.profile.model;
    let mut images = Vec::new();
    for image in &plan.images {
        let model = plan.model(&image.name);
        let (uid, gid) = owner_ids(model.user.get_ref(), &users(model))?;
        let mut labels: BTreeMap<String, String> = profile.labels.clone();
        labels.insert("title".to_owned(), model.title.clone());
        labels.insert("version".to_owned(), profile.version.get_ref().clone());
        labels.insert("ref.name".to_owned(), image.reference.clone());
        labels.insert("created".to_owned(), timestamp(plan.epoch).unwrap_or_default());
        let recipe = ImageSpec {
            name: image.reference.clone(),
            platform: plan.options.platform.parse()?,
            created: plan.epoch,
            user: format!("{uid}:{gid}"),
            entrypoint: model.entrypoint.clone(),
            command: model.command.clone(),
            workdir: model.workdir.clone(),
            env: image.env.clone(),
            ports: model.ports.iter().map(|port| format!("{port}/tcp")).collect(),
            volumes: model.volumes.clone(),
            stop_signal: model.stop_signal.clone(),
            labels: labels.into_iter().map(|(name, text)| (format!("org.opencontainers.image.{name}"), text)).collect(),
            layers: layers
                .of(image)
                .into_iter()
                .map(|built| ImageLayer { layer: built.layer, created_by: format!("sealift: {}", built.title) })
                .collect(),
        };
        images.push(Image::new(recipe).with_context(|| format!("cannot make the image {}", image.name))?);
    }
    Ok(images)
}

/// Writes the bundle of finished `images` to `output`, whole or not at all; gives its digest and its size in bytes.
///
/// # Errors
/// When a file of the profile or a blob of the store cannot be read, or the disk is full.
pub fn write(
    plan: &Plan<'_>,
    lock: &Lock,
    images: &[Image],
    layers: &Layers,
    extras: &Extras<'_>,
    store: &Store,
    output: &Path,
) -> Result<(Digest, u64)> {
    let mut files = files(plan, lock, images, layers, extras.program)?;
    let mut sums: BTreeMap<String, Digest> = BTreeMap::new();
    let parts = match plan.profile.model.deployment {
        Deployed::Systemd => {
            add_root(plan, layers, store, &mut files)?;
            None
        }
        Deployed::Compose => Some(archive::documents(images, |digest| {
            let file = fs_err::File::open(store.blob_path(&digest))?.into_parts().0;
            let length = file.metadata()?.len();
            Ok(Content::range(&SourceFile::new(file), 0, length))
        })?),
    };
    if let Some(parts) = &parts {
        for (name, bytes) in
            [(archive::LAYOUT, &parts.layout), (archive::INDEX, &parts.index), (archive::MANIFEST, &parts.manifest)]
        {
            sums.insert(name.to_owned(), Digest::of(bytes));
        }
        for digest in parts.blobs.keys() {
            sums.insert(archive::blob_path(*digest), *digest);
        }
    }
    for (path, entry) in files.iter() {
        if let Kind::File(content) = &entry.kind {
            sums.insert(path.to_string(), content.digest()?);
        }
    }
    let text: String = sums.iter().map(|(path, digest)| format!("{}  {path}\n", digest.hex())).collect();
    let origin: Arc<str> = "bundle".into();
    // What a site has is not in the sums.
    let known = (parts.is_some() && extras.site.is_none()).then(|| DigestCache::find(store, &text, &files, plan.epoch));
    let expected = known.as_ref().and_then(|known| known.digest);
    files.insert(TreePath::new(SUMS)?, Entry::file(text, 0o644, &origin));
    if let Some(site) = extras.site {
        for file in &site.files {
            let entry = Entry::file(file.bytes.clone(), file.mode, &origin).owned_by(0, file.gid);
            files.insert(TreePath::new("site")?.join(&file.path)?, entry);
        }
        if parts.is_some() {
            files.insert(TreePath::new(".env")?, Entry::file(site.ports_env().to_vec(), 0o644, &origin));
        }
    }

    let mut pending = Pending::create(output)?;
    if extras.site.is_some() {
        // It holds the installation's keys and secrets.
        pending.keep_private()?;
    }
    let mut meter = HashingWriter::new(BufWriter::with_capacity(1 << 20, &mut pending));
    let blobs = parts.as_ref().filter(|_| expected.is_some()).map(|parts| parts.blobs.clone());
    match parts {
        Some(parts) => {
            let trusted = |digest: &Digest| expected.is_some() || store.wrote(digest);
            archive::write(parts, &files, plan.epoch, trusted, &mut meter)
                .map_err(|error| unwritten(error, store, output))?;
        }
        None => {
            root::add_directories(&mut files)?;
            compress(&files, plan, extras.jobs, &mut meter)
                .map_err(|error| sealift_deployment::files::explain(output, error.into()))?;
        }
    }
    let (_, Measured { digest, size }) = meter.finish();
    if expected.is_some_and(|expected| expected != digest) {
        for (digest, content) in blobs.into_iter().flatten() {
            if content.digest()? != digest {
                return Err(damaged(&store.blob_path(&digest)).into());
            }
        }
    }
    pending.commit()?;
    if let Some(known) = known {
        known.keep(digest)?;
    }
    Ok((digest, size))
}

/// Writes a bundle without images.
fn compress(files: &Tree, plan: &Plan<'_>, jobs: usize, out: impl Write) -> std::io::Result<()> {
    let mut encoder = plan.options.codec.encoder(out, jobs)?;
    tar::write(files, tar::Options { epoch: plan.epoch, file_digests: false }, &mut encoder)?;
    encoder.finish()?.flush()
}

/// Why an archive of images could not be written.
fn unwritten(error: archive::ArchiveError, store: &Store, output: &Path) -> anyhow::Error {
    match error {
        archive::ArchiveError::Blob(digest) => damaged(&store.blob_path(&digest)).into(),
        archive::ArchiveError::Io(error) => sealift_deployment::files::explain(output, error.into()),
        error => error.into(),
    }
}

fn damaged(blob: &Path) -> Failure {
    let message = format!("a layer is damaged in the store: {} is not what its name says", blob.display());
    Failure::verification(message).hint("sealift store check --repair removes what is damaged")
}

/// Adds the files of the one image, with a launcher for its Python, and the table of all links.
fn add_root(plan: &Plan<'_>, layers: &Layers, store: &Store, files: &mut Tree) -> Result<()> {
    let model = &plan.profile.model;
    let origin: Arc<str> = "bundle".into();
    let below = TreePath::new(systemd::ROOT)?;
    for image in &plan.images {
        let mut tree = root::tree(&layers.of(image), plan.options.codec, store)?;
        if let Some(venv) = &plan.model(&image.name).venv {
            let (path, text) = systemd::launcher(venv, plan.architecture())
                .ok_or_else(|| Failure::failed(format!("no Python can be run on {}", plan.architecture())))?;
            tree.insert(TreePath::new(&path)?, Entry::file(text, 0o755, &origin));
        }
        for (path, entry) in tree.into_entries() {
            files.insert(below.join(path.as_str())?, entry);
        }
    }
    for (path, target) in systemd::links(model) {
        files.insert(TreePath::new(&path)?, Entry::symlink(target, &origin));
    }
    let links = files.iter().filter_map(|(path, entry)| match &entry.kind {
        Kind::Symlink(target) => Some(format!("{path}\t{target}\n")),
        _ => None,
    });
    let links: String = links.collect();
    files.insert(TreePath::new(LINKS)?, Entry::file(links, 0o644, &origin));
    Ok(())
}

/// Everything but images, the image's files, the sums and the site.
fn files(plan: &Plan<'_>, lock: &Lock, images: &[Image], layers: &Layers, program: Option<&Path>) -> Result<Tree> {
    let profile = plan.profile;
    let origin: Arc<str> = "bundle".into();
    let mut tree = Tree::new();
    let mut add = |path: &str, content: Content, mode: u32| -> Result<()> {
        tree.insert(TreePath::new(path)?, Entry::file(content, mode, &origin));
        Ok(())
    };
    let manifest = describe::manifest(plan, images, layers)?;
    let mut json = serde_json::to_string_pretty(&manifest)?;
    json.push('\n');
    add(MANIFEST, json.into(), 0o644)?;
    let notes = match &profile.model.readme {
        Some(file) => fs_err::read_to_string(profile.sources.path(file.get_ref()))?,
        None => String::new(),
    };
    let readme = match profile.model.deployment {
        Deployed::Compose => {
            let names: Vec<&str> = plan.images.iter().map(|image| image.name.as_str()).collect();
            render::readme::render(&profile.model, &plan.options.platform, &names, program.is_some(), &notes)
        }
        Deployed::Systemd => systemd::readme::render(&profile.model, &plan.file_name(), program.is_some(), &notes),
    };
    add("README.md", readme.into(), 0o644)?;
    match profile.model.deployment {
        Deployed::Compose => {
            let compose = render::compose::render(&profile.model, &plan.options.platform);
            add("compose.yaml", compose.into(), 0o644)?;
            for (path, text) in &plan.rendered {
                add(path, text.as_str().into(), 0o644)?;
            }
        }
        Deployed::Systemd => {
            for (path, systemd::TextFile { text, mode }) in systemd::files(&profile.model) {
                add(&path, text.into(), mode)?;
            }
        }
    }
    if let Some(program) = program {
        let file = SourceFile::new(fs_err::File::open(program)?.into_parts().0);
        let length = file.size()?;
        add("sealift", Content::range(&file, 0, length), 0o755)?;
    }
    // The profile goes along: `sealift site new` makes the site from it on the host, and the bundle can be made again.
    add("profile/profile.toml", profile.text.as_str().into(), 0o644)?;
    add(&format!("profile/{}", lock::FILE), lock.text()?.into(), 0o644)?;
    for source in profile.files() {
        let path = profile.sources.path(&source);
        let mode = if is_executable(&path)? { 0o755 } else { 0o644 };
        add(&format!("profile/{source}"), fs_err::read(&path)?.into(), mode)?;
    }
    Ok(tree)
}

fn is_executable(path: &Path) -> Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs_err::metadata(path)?.permissions().mode() & 0o100 != 0)
}
