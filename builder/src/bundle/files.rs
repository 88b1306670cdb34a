//! The files of a bundle besides images and checksums.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use sealift_deployment::bundle::{LINKS, MANIFEST, SiteMember};
use sealift_deployment::failure::Failure;
use sealift_deployment::files;
use sealift_deployment::profile::model::{Deployed, Mode};
use sealift_deployment::profile::names::PROGRAM;
use sealift_deployment::render::{self, systemd};
use sealift_deployment::site::{SiteFile, private_directories, uses_host};
use sealift_layers::digest::Digest;
use sealift_layers::tree::{Content, Entry, Kind, SourceFile, Tree, TreePath};

use super::contents::{Bundle, ORIGIN};
use super::{bills, describe, root};
use crate::lock;
use crate::store::Store;

/// All of them: description, README, deployment files, program and profile.
pub(super) fn common(bundle: &Bundle<'_>, store: &Store) -> Result<Tree> {
    let mut files = Files(Tree::new());
    let mut manifest = describe::manifest(bundle.plan, bundle.images, bundle.layers)?;
    manifest.program = bundle.program.map(|program| program.crates.clone()).unwrap_or_default();
    manifest.site = site(bundle).into_iter().map(SitePart::described).collect();
    let mut json = serde_json::to_string_pretty(&manifest)?;
    json.push('\n');
    files.add(MANIFEST, json, 0o644)?;
    files.add("README.md", readme(bundle)?, 0o644)?;
    add_deployment(bundle, &mut files)?;
    if let Some(program) = bundle.program {
        let file = SourceFile::new(files::open(&program.path)?.into_parts().0);
        let length = file.size()?;
        files.add(PROGRAM, Content::range(&file, 0, length), 0o755)?;
    }
    add_profile(bundle, &mut files)?;
    bills::add(bundle, &manifest, store, &mut files)?;
    Ok(files.0)
}

/// Adds the files of the one image, with a launcher for its Python, and the table of all links: for deployments without
/// containers.
pub(super) fn add_root(bundle: &Bundle<'_>, store: &Store, files: &mut Tree) -> Result<()> {
    let inputs = &bundle.plan.inputs;
    let architecture = inputs.architecture();
    let origin: Arc<str> = ORIGIN.into();
    let below = TreePath::new(systemd::ROOT)?;
    for image in &bundle.plan.images {
        let mut tree = root::tree(&bundle.layers.of(image), inputs.options.codec, store)?;
        if let Some(venv) = &inputs.model(&image.name).venv {
            let (path, text) = systemd::launcher(venv, architecture.as_str())
                .ok_or_else(|| Failure::failed(format!("Python cannot be run on {architecture}")))?;
            tree.insert(TreePath::new(&path)?, Entry::file(text, 0o755, &origin));
        }
        for (path, entry) in tree.into_entries() {
            files.insert(below.join(path.as_str())?, entry);
        }
    }
    for (path, target) in systemd::links(&inputs.profile.model) {
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

/// A file or a folder of the site.
pub(super) struct SitePart<'b> {
    /// Path in the bundle.
    pub(super) path: String,
    pub(super) mode: u32,
    pub(super) group: u32,
    /// The contents of a file; `None` for a folder.
    pub(super) bytes: Option<&'b [u8]>,
}

impl SitePart<'_> {
    /// As `bundle.json` has it.
    fn described(self) -> (String, SiteMember) {
        let path = if self.bytes.is_some() { self.path } else { format!("{}/", self.path) };
        (path, SiteMember { mode: Mode(self.mode), group: self.group })
    }
}

/// The site: its private folders, its files, and with containers the variables of the compose file. Nothing for a bundle
/// without a site.
pub(super) fn site<'b>(bundle: &Bundle<'b>) -> Vec<SitePart<'b>> {
    let Some(site) = bundle.site else { return Vec::new() };
    let model = &bundle.plan.inputs.profile.model;
    let folders = private_directories(model).into_iter().map(|name| {
        let path = format!("site/{name}").trim_end_matches('/').to_owned();
        SitePart { path, mode: 0o700, group: 0, bytes: None }
    });
    let files = site.files.iter().map(|SiteFile { path, mode, gid, bytes }| SitePart {
        path: format!("site/{path}"),
        mode: *mode,
        group: *gid,
        bytes: Some(bytes),
    });
    let env = SitePart { path: ".env".to_owned(), mode: 0o644, group: 0, bytes: Some(site.ports_env()) };
    let env = (model.deployment == Deployed::Compose).then_some(env);
    folders.chain(files).chain(env).collect()
}

pub(super) struct Files(Tree);

impl Files {
    /// The digest of a file; `None` if there is none of this name.
    pub(super) fn digest(&self, path: &str) -> Result<Option<Digest>> {
        match self.0.get(&TreePath::new(path)?).map(|entry| &entry.kind) {
            Some(Kind::File(content)) => Ok(Some(content.digest()?)),
            _ => Ok(None),
        }
    }

    pub(super) fn add(&mut self, path: &str, content: impl Into<Content>, mode: u32) -> Result<()> {
        self.0.insert(TreePath::new(path)?, Entry::file(content, mode, &Arc::from(ORIGIN)));
        Ok(())
    }
}

fn readme(bundle: &Bundle<'_>) -> Result<String> {
    let plan = bundle.plan;
    let (profile, has_program) = (plan.inputs.profile, bundle.program.is_some());
    let notes = match &profile.model.readme {
        Some(file) => files::read_text(&profile.sources.path(file.get_ref()))?,
        None => String::new(),
    };
    Ok(match profile.model.deployment {
        Deployed::Compose => {
            let names: Vec<&str> = plan.images.iter().map(|image| image.name.as_str()).collect();
            let platform = plan.inputs.options.platform.to_string();
            let has_host = uses_host(&profile.model, &profile.sources);
            render::readme::render(&profile.model, &platform, &names, has_program, has_host, &notes)
        }
        Deployed::Systemd => systemd::readme::render(&profile.model, &plan.file_name(), has_program, &notes),
    })
}

/// Adds the compose file and the templates without secrets, or the systemd units.
fn add_deployment(bundle: &Bundle<'_>, files: &mut Files) -> Result<()> {
    let inputs = &bundle.plan.inputs;
    let model = &inputs.profile.model;
    match model.deployment {
        Deployed::Compose => {
            let compose = render::compose::render(model, &inputs.options.platform.to_string());
            files.add("compose.yaml", compose, 0o644)?;
            for (path, text) in &inputs.rendered {
                files.add(path, text.as_str(), 0o644)?;
            }
        }
        Deployed::Systemd => {
            for (path, systemd::TextFile { text, mode }) in systemd::files(model) {
                files.add(&path, text, mode)?;
            }
        }
    }
    Ok(())
}

/// Adds the profile: `sealift site new` makes the site from it on the host, and the bundle can be built again.
fn add_profile(bundle: &Bundle<'_>, files: &mut Files) -> Result<()> {
    let profile = bundle.plan.inputs.profile;
    files.add("profile/profile.toml", profile.text.as_str(), 0o644)?;
    files.add(&format!("profile/{}", lock::FILE), bundle.lock.text()?, 0o644)?;
    for source in profile.files()? {
        let path = profile.sources.path(&source);
        let mode = if is_executable(&path)? { 0o755 } else { 0o644 };
        files.add(&format!("profile/{source}"), files::read_within(&path, files::FILE_LIMIT)?, mode)?;
    }
    Ok(())
}

fn is_executable(path: &Path) -> Result<bool> {
    Ok(fs_err::metadata(path)?.permissions().mode() & 0o100 != 0)
}
