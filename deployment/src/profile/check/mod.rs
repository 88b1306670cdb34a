//! Checks of a whole profile, beyond what its types express. Reports every problem, not only the first.

mod archive_files;
mod debian;
mod deployment;
mod doubtful;
mod images;
mod limits;
mod networks;
mod plain_secrets;
mod requests;
mod secret_paths;
mod services;
mod settings;
mod site;
mod tasks;
mod texts;
mod unused;
mod volumes;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Component, Path};

use sealift_layers::tree::{PathError, TreePath};
use toml::Spanned;
use toml::de::DeTable;

use super::document::Document;
use super::model::{Mode, Model, Service};
use super::sources::Sources;
use super::{suggest, syntax, words};
use crate::diagnostic::Diagnostic;

pub(super) use doubtful::doubtful;

/// Platforms that packages and wheels can be chosen for.
const PLATFORMS: [&str; 2] = ["linux/amd64", "linux/arm64"];

/// All diagnostics of `model`, which was read from `table`. The profile is in `directory`; its files are in `sources`.
pub(super) fn all(directory: &Path, sources: &Sources, table: DeTable<'_>, model: &Model) -> Vec<Diagnostic> {
    let mut check = Check { directory, sources, model, document: Document::new(table), diagnostics: Vec::new() };
    check.characters();
    check.root();
    check.lines();
    check.literals();
    check.debian();
    check.base();
    for (name, image) in &model.images {
        check.image(name, image);
    }
    for (name, service) in &model.services {
        check.service(name, service);
    }
    for (name, network) in &model.networks {
        check.network(name, network);
    }
    for (name, endpoint) in &model.endpoints {
        check.endpoint(name, endpoint);
    }
    for (name, task) in &model.tasks {
        check.task(name, task);
    }
    for (name, volume) in &model.volumes {
        check.volume(name, volume);
    }
    check.archive_versions();
    check.cycles();
    check.published_twice();
    check.site();
    check.deployment();
    check.diagnostics
}

/// What uses a site template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TemplateUser {
    Image,
    Service,
}

/// A check in progress.
struct Check<'a> {
    directory: &'a Path,
    sources: &'a Sources,
    model: &'a Model,
    document: Document<'a>,
    diagnostics: Vec<Diagnostic>,
}

/// The first port that a program can listen on without a right of root, with every engine.
const FIRST_PORT: u16 = 1024;
const HIGH_PORT: &str = "let it listen on a higher port, which `publish` and [site.ports] lead to from the one that you want; or \
                         give its service capabilities = { NET_BIND_SERVICE = \"REASON\" }";

fn needs_root(port: u16) -> String {
    format!("no program can listen on port {port} with every engine without a right of root")
}

/// Whether the service has a right, or its kernel a setting, with which its program can listen on ports below [`FIRST_PORT`].
fn has_low_ports(service: &Service) -> bool {
    let has = |name: &'static str| move |key: &Spanned<String>| key.get_ref() == name;
    service.root.is_some()
        || service.privileged.is_some()
        || service.capabilities.keys().any(has("NET_BIND_SERVICE"))
        || service.sysctls.keys().any(has("net.ipv4.ip_unprivileged_port_start"))
}

impl Check<'_> {
    fn report(&mut self, span: Range<usize>, message: impl Into<String>, hint: impl Into<String>) {
        self.diagnostics.push(Diagnostic::new(span, message, hint));
    }

    fn root(&mut self) {
        let model = self.model;
        self.diagnostics.extend(syntax::schema_diagnostic(&model.schema));
        self.name(model.name.span(), model.name.get_ref(), "a profile");
        self.name(model.product.span(), model.product.get_ref(), "a product");
        if !words::is_tag(model.version.get_ref()) {
            let message = format!("`{}` cannot be the tag of an image", model.version.get_ref());
            self.report(model.version.span(), message, "use letters, digits, `.`, `-` and `_` only");
        }
        self.distinct(&model.platforms, "platform");
        for platform in &model.platforms {
            if !PLATFORMS.contains(&platform.get_ref().as_str()) {
                let hint = suggest::hint(platform.get_ref(), "platforms", PLATFORMS);
                self.report(platform.span(), format!("unknown platform `{}`", platform.get_ref()), hint);
            }
        }
        let tables = [("platforms", model.platforms.is_empty()), ("images", model.images.is_empty())];
        for (key, empty) in tables.into_iter().chain([("services", model.services.is_empty())]) {
            if empty {
                self.report(self.document.key(&[key]), format!("`{key}` is empty"), "a profile needs at least one");
            }
        }
        if let Some(readme) = &model.readme {
            self.source(readme);
        }
    }

    /// Checks a name of the profile, see [`words::is_name`]. `what` is a noun phrase such as `a service`.
    fn name(&mut self, span: Range<usize>, name: &str, what: &str) {
        if !words::is_name(name) {
            let hint = "use lower-case letters and digits, with single `-` between them, at most 63 characters";
            self.report(span, format!("`{name}` cannot be the name of {what}"), hint);
        }
    }

    fn package(&mut self, name: &Spanned<String>) {
        if !words::is_package(name.get_ref()) {
            let message = format!("`{}` is not the name of a Debian package", name.get_ref());
            self.report(name.span(), message, "use only the name, as in `apt install NAME`: the lock has the version");
        }
    }

    /// Checks that what departs from the rule has a reason.
    fn reason(&mut self, path: &[&str], why: &str) {
        if why.trim().is_empty() {
            self.report(self.document.value(path), "the reason is missing", "write why");
        }
    }

    /// Checks that no text is listed twice.
    fn distinct(&mut self, list: &[Spanned<String>], what: &str) {
        for (index, item) in list.iter().enumerate() {
            if list[..index].contains(item) {
                self.report(item.span(), format!("the {what} `{}` is listed twice", item.get_ref()), "remove one");
            }
        }
    }

    /// Checks the names of the environment variables at `path`.
    fn variables(&mut self, path: &[&str], variables: &BTreeMap<String, String>) {
        for name in variables.keys().filter(|name| !words::is_variable(name)) {
            let span = self.document.key(&[path, &[name]].concat());
            let hint = "use letters, digits and `_`, not starting with a digit";
            self.report(span, format!("`{name}` cannot be the name of an environment variable"), hint);
        }
    }

    /// Checks an absolute path within an image or container, other than `/`, and returns it in normal form.
    fn image_path(&mut self, span: Range<usize>, path: &str) -> Option<TreePath> {
        let message = match TreePath::new(path) {
            _ if path.contains(char::is_control) => format!("`{}` has a line break or a tab", path.escape_debug()),
            _ if !path.starts_with('/') => format!("`{path}` is not absolute"),
            Ok(path) => return Some(path),
            Err(PathError::Empty) => format!("`{path}` is the root directory"),
            Err(error) => error.to_string(),
        };
        self.report(span, message, "write an absolute path in the image, without `..`");
        None
    }

    /// Checks a path of a file of the profile: relative, existing, and within the folder after links are resolved.
    fn source(&mut self, source: &Spanned<String>) {
        let text = source.get_ref().as_str();
        let path = self.sources.path(text);
        let message = if let Some(message) = leaves(text) {
            message
        } else if !path.exists() {
            format!("the file `{text}` does not exist")
        } else if !path.is_file() {
            format!("`{text}` is not a file")
        } else if !self.sources.contain(&path) {
            format!("`{text}` is a link to a file outside of the profile's folder")
        } else {
            return;
        };
        self.outside(source.span(), message);
    }

    /// As [`Self::source`], for a folder. Returns whether it can be used.
    fn source_folder(&mut self, source: &Spanned<String>) -> bool {
        let text = source.get_ref().as_str();
        let path = self.sources.path(text);
        let message = if let Some(message) = leaves(text) {
            message
        } else if !path.exists() {
            format!("the folder `{text}` does not exist")
        } else if !path.is_dir() {
            format!("`{text}` is not a folder")
        } else if !self.sources.contain(&path) {
            format!("`{text}` is a link to a folder outside of the profile's folder")
        } else {
            return true;
        };
        self.outside(source.span(), message);
        false
    }

    /// Checks a path below the profile's folder, which need not exist: hosts read the profile without these files.
    fn release_side_source(&mut self, source: &Spanned<String>) {
        if let Some(message) = leaves(source.get_ref()) {
            self.outside(source.span(), message);
        }
    }

    fn outside(&mut self, span: Range<usize>, message: String) {
        let hint = format!("paths are relative to the profile's folder, {}", self.directory.display());
        self.report(span, message, hint);
    }

    /// Checks the name of a site template. An image cannot use a secret one.
    fn template(&mut self, name: &Spanned<String>, user: TemplateUser) {
        let templates = &self.model.site.templates;
        match templates.get(name) {
            None => {
                let known = templates.keys().map(|name| name.get_ref().as_str());
                let hint = suggest::hint(name.get_ref(), "site.templates", known);
                self.report(name.span(), format!("there is no site template `{}`", name.get_ref()), hint);
            }
            Some(template) if template.secret && user == TemplateUser::Image => {
                let message = format!("the site template `{}` is secret: an image cannot contain it", name.get_ref());
                self.report(
                    name.span(),
                    message,
                    "use it in a service instead: secrets are mounted, never part of an image",
                );
            }
            Some(_) => {}
        }
    }

    /// Checks the permission bits of a secret file.
    fn secret_mode(&mut self, path: &[&str], mode: Mode) {
        if mode.0 & 0o007 != 0 {
            let message = format!("mode {:04o} lets all users read or change a secret", mode.0);
            self.report(self.document.value(path), message, "use \"0600\", or \"0640\" with a group");
        }
    }
}

/// What is wrong with a path of a file of the profile, as far as the text shows it.
fn leaves(text: &str) -> Option<String> {
    let outside = |part: Component| !matches!(part, Component::Normal(_) | Component::CurDir);
    if text.is_empty() {
        return Some("the file name is empty".into());
    }
    Path::new(text).components().any(outside).then(|| format!("`{text}` is outside of the profile's folder"))
}
