//! Checks that the finished images can run, so that a missing program or library stops the build and not the host.

use std::collections::BTreeMap;

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::profile::model::{Deployed, Image as ImageModel, Model, Run, Service};
use sealift_deployment::ui::{self, Ui};
use sealift_layers::listing::Listing;
use sealift_layers::programs::{ImageFiles, Missing, MissingKind, NotRunnable, Programs};
use sealift_layers::tree::{Pattern, TreePath};
use toml::Spanned;

use crate::plan::{FinishedLayers, Image, Plan};
use crate::recipe;
use crate::store::{Key, Store};

/// The search path of engines for an image that sets none.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// At most this many of the files that need something are named.
const NAMED: usize = 3;

/// What the check of an image found.
#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Verdict {
    errors: Vec<String>,
    warnings: Vec<String>,
    /// Debian packages that probably have the missing libraries.
    packages: Vec<String>,
}

/// Checks the images of `plan`. The store remembers what was found: checking again costs little.
///
/// # Errors
/// A program that a container starts, a loader or a library is missing, and the profile does not allow that.
pub(super) fn check(plan: &Plan<'_>, layers: &FinishedLayers, store: &Store, ui: &Ui) -> Result<()> {
    let mut all = Verdict::default();
    for image in &plan.images {
        let verdict = verdict(plan, image, layers, store)?;
        for warning in verdict.warnings {
            ui.warn(&format!("image {}: {warning}", image.name));
        }
        all.errors.extend(verdict.errors.into_iter().map(|error| format!("  image {}: {error}", image.name)));
        all.packages.extend(verdict.packages);
    }
    if all.errors.is_empty() {
        return Ok(());
    }
    all.packages.sort();
    all.packages.dedup();
    let mut hint =
        "add the packages that have them, `drop` the files that need them, or write in `allow-missing` why they are not needed".to_owned();
    if !all.packages.is_empty() {
        hint = format!("{hint}; by their names the libraries are in: {}", all.packages.join(", "));
    }
    let count = ui::count(all.errors.len(), "error");
    Err(Failure::failed(format!("the images would not run ({count}):\n{}", all.errors.join("\n"))).hint(hint).into())
}

fn verdict(plan: &Plan<'_>, image: &Image, layers: &FinishedLayers, store: &Store) -> Result<Verdict> {
    let checks = Checks::new(plan, image);
    let mut key = Key::builder(recipe::RUNNABLE).field("platform", plan.inputs.options.platform);
    for layer in &image.layers {
        key = key.field("layer", layers.record(&layer.key).layer.digest);
    }
    let key = key.field("checks", serde_json::to_string(&checks)?).finish();
    // Their listings are not of this build's making: what follows from them is not kept.
    let is_borrowed = image.layers.iter().any(|layer| store.is_borrowed(&layer.key));
    if let Some(path) = store.derived(&key).filter(|_| !is_borrowed) {
        return Ok(serde_json::from_slice(&fs_err::read(path)?)?);
    }
    let (mut listing, mut programs) = (Listing::new(), Programs::new());
    for layer in &image.layers {
        let above = store.listing(&layer.key)?;
        // A file of an upper layer replaces one below.
        programs.retain(|path, _| !above.contains_key(path));
        listing.extend(above);
        let blob = layers.record(&layer.key).layer.digest;
        programs.extend(store.programs(&layer.key, blob, plan.inputs.options.codec)?);
    }
    let verdict = checks.run(&listing, &programs, plan);
    if !is_borrowed {
        store.put_derived(&key, |path| Ok(fs_err::write(path, serde_json::to_vec(&verdict)?)?))?;
    }
    Ok(verdict)
}

/// Everything outside of the layers that decides the result.
#[derive(serde::Serialize)]
struct Checks {
    /// What runs: where the profile says so, the program, and `PATH`.
    commands: Vec<(String, String, String)>,
    workdir: Option<String>,
    path: String,
    ld_library_path: String,
    mounted: Vec<String>,
    /// Patterns of what may be missing in this image.
    allowed: Vec<String>,
    /// The same for all images: not every one needs each of them.
    allowed_everywhere: Vec<String>,
    /// Debian packages of the image.
    packages: Vec<String>,
}

impl Checks {
    fn new(plan: &Plan<'_>, image: &Image) -> Self {
        let model = &plan.inputs.profile.model;
        let own = plan.inputs.model(&image.name);
        let services: Vec<(&str, &Service)> = model
            .services
            .iter()
            .filter(|(_, service)| *service.image.get_ref() == image.name)
            .map(|(name, service)| (name.get_ref().as_str(), service))
            .collect();
        let names = |table: &BTreeMap<Spanned<String>, String>| -> Vec<String> {
            table.keys().map(|pattern| pattern.get_ref().clone()).collect()
        };
        let path = image.env.get("PATH").map_or(PATH, String::as_str);
        let mut checks = Self {
            commands: Vec::new(),
            workdir: None,
            path: path.to_owned(),
            ld_library_path: image.env.get("LD_LIBRARY_PATH").cloned().unwrap_or_default(),
            mounted: mounted(own, &services),
            allowed: names(&own.allow_missing),
            allowed_everywhere: names(&model.base.allow_missing),
            packages: plan.inputs.image(&image.name).locked().packages.clone(),
        };
        if model.deployment == Deployed::Systemd {
            // Without containers, programs are started by units of the host, whose files are not in the image.
            checks.path.clear();
        } else {
            checks.workdir.clone_from(&own.workdir);
            checks.commands = commands(model, &image.name, own, &services, path);
        }
        checks
    }

    fn run(&self, listing: &Listing, programs: &Programs, plan: &Plan<'_>) -> Verdict {
        let mut files = ImageFiles {
            listing,
            programs,
            architecture: plan.inputs.architecture(),
            path: split(&self.path),
            ld_library_path: split(&self.ld_library_path),
            mounted: self.mounted.iter().filter_map(|path| TreePath::new(path).ok()).collect(),
        };
        let mut allowed = Allowed::new(self);
        let mut verdict = Verdict::default();
        let mut needed = self.run_commands(&mut files, &mut allowed, &mut verdict);
        for missing in files.missing().iter().filter(|missing| !allowed.contains(&missing.name)) {
            // Programs that are run need it.
            let is_needed = needed.remove(&missing.name).is_some();
            self.judge(missing, is_needed, &mut verdict);
        }
        verdict.errors.extend(needed.into_values());
        if let Some(workdir) = self.workdir.as_ref().filter(|workdir| !files.has_directory(workdir)) {
            verdict.warnings.push(format!("workdir: the image has no folder `{workdir}`; `directories` makes one"));
        }
        verdict.warnings.extend(allowed.unused());
        verdict
    }

    /// Checks the commands. Returns the libraries that they lack, each with the message for it.
    fn run_commands(
        &self,
        files: &mut ImageFiles<'_>,
        allowed: &mut Allowed<'_>,
        verdict: &mut Verdict,
    ) -> BTreeMap<String, String> {
        let mut libraries = BTreeMap::new();
        for (place, command, path) in &self.commands {
            files.path = split(path);
            let Err(error) = files.runs(command) else { continue };
            let message = format!("{place}: {error}");
            match error.cause() {
                // Reported for all of the image's files.
                NotRunnable::NoLoader { .. } => {}
                NotRunnable::NoLibrary { library, .. } => {
                    if !allowed.contains(library) {
                        libraries.insert(library.clone(), message);
                    }
                }
                _ if allowed.contains(command) => {}
                // Services may be started in other ways, and volumes or mounted files may bring what the image lacks.
                _ => verdict.warnings.push(message),
            }
        }
        files.path = split(&self.path);
        libraries
    }

    fn judge(&self, missing: &Missing, is_needed: bool, verdict: &mut Verdict) {
        let package = missing.debian_package().and_then(|name| self.own_package(&name));
        // What a Debian package cannot do without is among its dependencies, and those that the profile excludes have a
        // reason: everything else serves optional parts.
        let is_debian = missing.needed_by.iter().all(|(_, origin)| origin.starts_with("package "));
        let is_optional = missing.kind == MissingKind::Interpreter
            || missing.kind == MissingKind::Library && is_debian && package.is_none();
        let message = describe(missing);
        if is_optional && !is_needed {
            verdict.warnings.push(message);
            return;
        }
        if let Some(package) = package {
            let why = "is in the image, but its maintainer scripts, which may create a link, are not run: see `links`";
            verdict.errors.push(format!("{message}; the package {package} {why}"));
        } else {
            verdict.packages.extend(missing.debian_package());
            verdict.errors.push(message);
        }
    }

    /// The package `name`, if the image has it.
    fn own_package(&self, name: &str) -> Option<String> {
        // The suffix of libraries with 64-bit times.
        let names = [name.to_owned(), format!("{name}t64")];
        self.packages.iter().find(|package| names.contains(package)).cloned()
    }
}

/// What may be missing, and which of the patterns have been of use.
struct Allowed<'a> {
    checks: &'a Checks,
    used: Vec<bool>,
}

impl<'a> Allowed<'a> {
    fn new(checks: &'a Checks) -> Self {
        Self { checks, used: vec![false; checks.allowed.len()] }
    }

    fn contains(&mut self, name: &str) -> bool {
        let Ok(path) = TreePath::new(name) else { return false };
        let matches = |pattern: &String| Pattern::new(pattern).matches(&path);
        let mut is_allowed = self.checks.allowed_everywhere.iter().any(matches);
        for (pattern, used) in self.checks.allowed.iter().zip(&mut self.used) {
            if matches(pattern) {
                (*used, is_allowed) = (true, true);
            }
        }
        is_allowed
    }

    fn unused(&self) -> impl Iterator<Item = String> {
        let unused = self.checks.allowed.iter().zip(&self.used).filter(|(_, used)| !**used);
        unused.map(|(pattern, _)| format!("allow-missing: nothing that is missing matches `{pattern}`"))
    }
}

/// The directories of a search path.
fn split(path: &str) -> Vec<String> {
    path.split(':').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// What containers of the image run.
fn commands(
    model: &Model,
    name: &str,
    image: &ImageModel,
    services: &[(&str, &Service)],
    path: &str,
) -> Vec<(String, String, String)> {
    let mut commands = Vec::new();
    let mut add = |place: String, command: &[String], path: &str| {
        commands.extend(command.first().map(|program| (place, program.clone(), path.to_owned())));
    };
    add(format!("images.{name}.entrypoint"), &image.entrypoint, path);
    for (name, service) in services {
        let path = service.environment.get("PATH").map_or(path, String::as_str);
        if let Some(health) = &service.health {
            add(format!("services.{name}.health"), &health.command, path);
        }
        for (task, model) in &model.tasks {
            if model.service.get_ref() == name && model.run == Run::Exec {
                add(format!("tasks.{}", task.get_ref()), &model.command, path);
            }
        }
    }
    commands
}

/// Paths that a container has besides those of its image.
fn mounted(image: &ImageModel, services: &[(&str, &Service)]) -> Vec<String> {
    let fixed = ["/proc", "/sys", "/dev", "/run/secrets"].map(str::to_owned);
    let mut paths: Vec<String> = fixed.into_iter().chain(image.volumes.iter().cloned()).collect();
    for (_, service) in services {
        paths.extend(service.volumes.values().chain(service.config_files.values()).chain(&service.tmpfs).cloned());
    }
    paths.sort();
    paths.dedup();
    paths
}

fn describe(missing: &Missing) -> String {
    let what = match missing.kind {
        MissingKind::Loader => "the dynamic loader",
        MissingKind::Library => "the library",
        MissingKind::Interpreter => "the interpreter",
    };
    let files: BTreeMap<&TreePath, &str> =
        missing.needed_by.iter().map(|(path, origin)| (path, origin.as_str())).collect();
    let mut named: Vec<String> = files.iter().take(NAMED).map(|(path, origin)| format!("/{path} ({origin})")).collect();
    if files.len() > NAMED {
        named.push(format!("{} more", files.len() - NAMED));
    }
    format!("{what} {} is missing, needed by {}", missing.name, named.join(", "))
}
