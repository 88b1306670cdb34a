//! The rendered files of a site: templates of the profile, and variables of the compose file.

use std::collections::BTreeMap;

use anyhow::Result;
use sealift_layers::digest::Digest;

use super::update::{SiteRequest, SiteUpdate};
use crate::profile::model::Deployed;
use crate::profile::names::template_mode;
use crate::site::files::{self, Access};
use crate::site::layout::PORTS;
use crate::site::load::private_directories;
use crate::site::ports::Chosen;
use crate::site::report::Action;
use crate::site::templates::render;
use crate::site::{networks, ports};

/// The compose variables beside an unpacked bundle's compose file, relative to the site.
const BUNDLE_ENV: &str = "../.env";

/// Whether the site's directory is in an unpacked bundle of containers, which has a file [`BUNDLE_ENV`].
fn is_in_bundle(request: &SiteRequest<'_>) -> bool {
    request.model.deployment == Deployed::Compose && request.directory.join("../bundle.json").is_file()
}

/// Whether there is an `.env` in the unpacked bundle that the site is in.
pub(super) fn has_variables(request: &SiteRequest<'_>) -> bool {
    is_in_bundle(request) && request.directory.join(BUNDLE_ENV).symlink_metadata().is_ok()
}

/// The ports in the `.env` of the unpacked bundle that the site is in: the operator may have edited them.
pub(super) fn edited_ports(request: &SiteRequest<'_>) -> Result<BTreeMap<String, u16>> {
    if !is_in_bundle(request) {
        return Ok(BTreeMap::new());
    }
    let text = files::read_text(request.directory, BUNDLE_ENV)?.unwrap_or_default();
    ports::edited_ports(request.model, &ports::compose_variables(&text))
}

/// A file and its new text.
struct RenderedFile<'m> {
    path: &'m str,
    text: String,
    access: Access,
}

impl SiteUpdate<'_> {
    pub(super) fn rendered_files(&mut self, secrets: &BTreeMap<String, String>) -> Result<()> {
        let SiteRequest { directory, model, sources, .. } = *self.request;
        let mut rendered = Vec::new();
        for (path, template) in &model.site.templates {
            let text = render(model, sources, path.get_ref(), template, &self.parameters, secrets)?;
            let access = self.access(template_mode(template), &template.group);
            rendered.push(RenderedFile { path: path.get_ref(), text, access });
        }
        let chosen = Chosen {
            internal: networks::internal(model, &self.parameters.settings)?,
            paths: networks::host_paths(model, &self.parameters.settings),
        };
        let text = ports::ports_env(model, self.new.project.as_deref(), &self.parameters.ports, &chosen);
        let variables = |path| RenderedFile { path, text: text.clone(), access: Access::mode(0o644) };
        rendered.push(variables(PORTS));
        if is_in_bundle(self.request) {
            rendered.push(variables(BUNDLE_ENV));
        }
        let private = private_directories(model);
        for file in &rendered {
            if let Some((above, _)) = file.path.rsplit_once('/').filter(|(above, _)| *above != "..") {
                let mode = if private.contains(above) { files::PRIVATE } else { 0o755 };
                files::directory(directory, above, mode)?;
            }
            self.rendered_file(file, &chosen)?;
        }
        let current = |path: &str| path == BUNDLE_ENV || rendered.iter().any(|file| file.path == path);
        self.new.rendered.retain(|path, _| current(path));
        Ok(())
    }

    /// Writes a rendered file, unless it was edited: its bytes are neither the new ones nor those of the last run.
    fn rendered_file(&mut self, file: &RenderedFile<'_>, chosen: &Chosen) -> Result<()> {
        let path = file.path;
        let digest = Digest::of(file.text.as_bytes());
        let old = files::read(self.request.directory, path)?;
        let edited = old.as_ref().is_some_and(|old| {
            let old = Digest::of(old);
            old != digest && self.old.rendered.get(path) != Some(&old)
        });
        if let (true, BUNDLE_ENV, Some(old)) = (edited, path, &old) {
            // Its other lines stay. Its ports are those of the site, which took over the edited ones.
            let text =
                ports::updated(self.request.model, &String::from_utf8_lossy(old), &self.parameters.ports, chosen);
            return self.put(path, text.as_bytes(), file.access, "its ports, networks or folders changed");
        }
        if edited {
            let hint = format!("to render it again, remove {path} and run this again");
            self.report.warnings.warn(path, "was edited, and is kept unchanged", hint);
            self.report.add(path, Action::Kept, "");
            return Ok(());
        }
        self.new.rendered.insert(path.to_owned(), digest);
        self.put(path, file.text.as_bytes(), file.access, "its template or values changed")
    }
}
