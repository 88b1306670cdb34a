//! The files of a bundle besides images, checksums and the site.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use sealift_deployment::bundle::{LINKS, MANIFEST};
use sealift_deployment::failure::Failure;
use sealift_deployment::profile::model::Deployed;
use sealift_deployment::render::{self, systemd};
use sealift_layers::tree::{Content, Entry, Kind, SourceFile, Tree, TreePath};

use super::contents::{Bundle, ORIGIN};
use super::{describe, root};
use crate::lock;
use crate::store::Store;

/// All of them: description, README, deployment files, program and profile.
pub(super) fn common(bundle: &Bundle<'_>) -> Result<Tree> {
    let mut files = Files(Tree::new());
    let manifest = describe::manifest(bundle.plan, bundle.images, bundle.layers)?;
    let mut json = serde_json::to_string_pretty(&manifest)?;
    json.push('\n');
    files.add(MANIFEST, json, 0o644)?;
    files.add("README.md", readme(bundle)?, 0o644)?;
    add_deployment(bundle, &mut files)?;
    if let Some(program) = bundle.program {
        let file = SourceFile::new(fs_err::File::open(program)?.into_parts().0);
        let length = file.size()?;
        files.add("sealift", Content::range(&file, 0, length), 0o755)?;
    }
    add_profile(bundle, &mut files)?;
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

struct Files(Tree);

impl Files {
    fn add(&mut self, path: &str, content: impl Into<Content>, mode: u32) -> Result<()> {
        self.0.insert(TreePath::new(path)?, Entry::file(content, mode, &Arc::from(ORIGIN)));
        Ok(())
    }
}

fn readme(bundle: &Bundle<'_>) -> Result<String> {
    let plan = bundle.plan;
    let (profile, has_program) = (plan.inputs.profile, bundle.program.is_some());
    let notes = match &profile.model.readme {
        Some(file) => fs_err::read_to_string(profile.sources.path(file.get_ref()))?,
        None => String::new(),
    };
    Ok(match profile.model.deployment {
        Deployed::Compose => {
            let names: Vec<&str> = plan.images.iter().map(|image| image.name.as_str()).collect();
            let platform = plan.inputs.options.platform.to_string();
            render::readme::render(&profile.model, &platform, &names, has_program, &notes)
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
    for source in profile.files() {
        let path = profile.sources.path(&source);
        let mode = if is_executable(&path)? { 0o755 } else { 0o644 };
        files.add(&format!("profile/{source}"), fs_err::read(&path)?, mode)?;
    }
    Ok(())
}

fn is_executable(path: &Path) -> Result<bool> {
    Ok(fs_err::metadata(path)?.permissions().mode() & 0o100 != 0)
}
