//! What is checked in an image, and what is an error.

use std::collections::BTreeMap;

use sealift_deployment::profile::model::{Deployed, Service};
use sealift_deployment::ui;
use sealift_layers::ingredients::accounts::Account;
use sealift_layers::listing::Listing;
use sealift_layers::programs::{ImageFiles, LostCalls, LostLink, Missing, MissingKind, NotRunnable, Programs, shell};
use sealift_layers::tree::{Pattern, TreePath};
use toml::Spanned;

use super::Verdict;
use super::commands::{self, Command};
use super::mounts::{self, Mounted};
use super::readable::Readable;
use super::suggestions::{DID_YOU_MEAN, DID_YOU_MEAN_FOR, THERE_ARE, programs_of, similar};
use crate::assemble::{BASE_LINKS, OF_PROFILE};
use crate::debian::contents::Wanted;
use crate::plan::{Image, Plan};

/// The search path of engines for an image that sets none.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The shell of health commands.
const SHELL: &str = "/bin/sh";
/// At most this many of the files that need something are named.
const NAMED: usize = 3;

/// Everything outside of the layers that decides the result.
#[derive(serde::Serialize)]
pub(super) struct Checks {
    commands: Vec<Command>,
    workdir: Option<String>,
    /// Links of the profile: image path to target.
    links: BTreeMap<String, String>,
    path: String,
    ld_library_path: String,
    mounted: Vec<String>,
    /// Folders in memory, and volumes.
    to_write: Vec<Mounted>,
    /// The files of the profile.
    readable: Readable,
    /// Patterns of what may be missing in this image.
    allowed: Vec<String>,
    /// The same for all images: not every one needs each of them.
    allowed_everywhere: Vec<String>,
    /// Debian packages of the image.
    packages: Vec<String>,
    /// Those of them that the profile names.
    named: Vec<String>,
    /// Patterns of what the image leaves out.
    dropped: Vec<String>,
}

impl Checks {
    /// `users` are the accounts of the image.
    pub(super) fn new(plan: &Plan<'_>, image: &Image, users: &[Account]) -> Self {
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
            links: BTreeMap::new(),
            path: path.to_owned(),
            ld_library_path: image.env.get("LD_LIBRARY_PATH").cloned().unwrap_or_default(),
            mounted: mounts::mounted(own, &services),
            to_write: mounts::to_write(model, users, own, &services),
            readable: Readable::new(users, own, &services),
            allowed: names(&own.allow_missing),
            allowed_everywhere: names(&model.base.allow_missing),
            packages: plan.inputs.image(&image.name).locked().packages.clone(),
            named: own.packages.iter().map(|package| package.get_ref().name.clone()).collect(),
            dropped: model.base.drop.iter().chain(&own.drop).map(|pattern| pattern.get_ref().clone()).collect(),
        };
        if model.deployment == Deployed::Systemd {
            // Without containers, programs are started by units of the host, whose files are not in the image.
            checks.path.clear();
        } else {
            checks.workdir.clone_from(&own.workdir);
            checks.links.clone_from(&own.links);
            checks.commands = commands::of(model, &image.name, own, &services, path);
        }
        checks
    }

    /// Looks at the files of the image: the union of its layers.
    pub(super) fn run(&self, listing: &Listing, programs: &Programs, plan: &Plan<'_>) -> Verdict {
        let mut files = ImageFiles {
            listing,
            programs,
            architecture: plan.inputs.architecture(),
            path: split(&self.path),
            ld_library_path: split(&self.ld_library_path),
            mounted: self.mounted.iter().filter_map(|path| TreePath::new(path).ok()).collect(),
        };
        // Without any program it is an image of data, whose commands another image may bring.
        let is_strict = files.has_program();
        let (allowed, verdict) = (Allowed::new(self), Verdict::default());
        let mut judge = Judge { checks: self, is_strict, allowed, verdict };
        let mut needed = judge.commands(&mut files);
        for missing in &files.missing() {
            if !judge.allowed.contains(&missing.name) {
                // Programs that are run need it.
                let is_needed = needed.remove(&missing.name).is_some();
                judge.missing(missing, is_needed);
            }
        }
        judge.verdict.errors.extend(needed.into_values());
        judge.health_shell(&mut files);
        let not_writable = self.to_write.iter().filter_map(|folder| folder.warning(listing));
        judge.verdict.warnings.extend(not_writable);
        judge.verdict.warnings.extend(self.readable.warning(listing));
        judge.places(&files);
        judge.modules(&files);
        judge.lost_links(&files);
        let Judge { allowed, mut verdict, .. } = judge;
        verdict.warnings.extend(allowed.unused());
        verdict
    }

    /// The package `name`, if the image has it.
    fn own_package(&self, name: &str) -> Option<String> {
        // The suffix of libraries with 64-bit times.
        let names = [name.to_owned(), format!("{name}t64")];
        self.packages.iter().find(|package| names.contains(package)).cloned()
    }
}

/// A check in progress.
struct Judge<'a> {
    checks: &'a Checks,
    /// What cannot start is an error, not a warning.
    is_strict: bool,
    allowed: Allowed<'a>,
    verdict: Verdict,
}

impl Judge<'_> {
    /// Reports something that does not work: an error in an image that has programs.
    fn fault(&mut self, message: String, wanted: impl IntoIterator<Item = Wanted>) {
        if self.is_strict {
            self.verdict.errors.push(message);
            self.verdict.missing.extend(wanted.into_iter().map(|wanted| (wanted, None)));
        } else {
            self.verdict.warnings.push(message);
        }
    }

    /// Checks the commands. Returns the libraries that they lack, each with the message for it.
    fn commands(&mut self, files: &mut ImageFiles<'_>) -> BTreeMap<String, String> {
        let mut libraries = BTreeMap::new();
        for command in &self.checks.commands {
            let Command { place, program, path, .. } = command;
            files.path = split(path);
            let Err(error) = files.runs(program) else {
                self.calls(files, command);
                continue;
            };
            let message = format!("{place}: {error}");
            match error.cause() {
                // Reported for all of the image's files.
                NotRunnable::NoLoader { .. } => {}
                NotRunnable::NoLibrary { library, .. } => {
                    if !self.allowed.contains(library) {
                        libraries.insert(library.clone(), message);
                    }
                }
                _ => {
                    let absent = error.absent();
                    let is_allowed =
                        [Some(program.as_str()), absent].into_iter().flatten().any(|name| self.allowed.contains(name));
                    if !is_allowed {
                        let near = absent.and_then(|name| similar(files.listing, name));
                        // The programs of its packages help where the command itself is none.
                        let named = if absent == Some(program) { &self.checks.named[..] } else { &[] };
                        let message = match (near, programs_of(named, files.listing)) {
                            (Some(near), _) => format!("{message}{DID_YOU_MEAN}`{near}`?"),
                            (None, there) if there.is_empty() => message,
                            (None, there) => format!("{message}{THERE_ARE}{}", there.join(", ")),
                        };
                        self.fault(message, absent.map(Wanted::program));
                    }
                }
            }
        }
        files.path = split(&self.checks.path);
        libraries
    }

    /// Checks what the scripts call that a command starts. Others than the profile's have the programs of their package's
    /// dependencies, or can do without them; nobody states those that every Debian system has.
    fn calls(&mut self, files: &ImageFiles<'_>, command: &Command) {
        for LostCalls { script, names } in files.lost_calls(&command.calls) {
            let is_own = script.as_ref().is_none_or(|(_, origin)| origin.starts_with(OF_PROFILE));
            let lost = |name: &&String| {
                let is_allowed = self.allowed.contains(name);
                !is_allowed && (is_own || shell::essential(name).is_some())
            };
            let names: Vec<&String> = names.iter().filter(lost).collect();
            if names.is_empty() {
                continue;
            }
            let mut near = names.iter().filter(|name| shell::essential(name).is_none());
            let near = near.find_map(|name| Some((*name, similar(files.listing, name)?)));
            let near =
                near.map(|(name, near)| format!("; for `{name}`{DID_YOU_MEAN_FOR}`{near}`?")).unwrap_or_default();
            let script = match script {
                Some((path, origin)) => format!("the script `/{path}` ({origin})"),
                None => "its shell".to_owned(),
            };
            let named: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            let folders = match names.iter().all(|name| name.contains('/')) {
                true => String::new(),
                false => format!(" in PATH ({})", command.path),
            };
            let message = format!(
                "{}: {script} calls {}, which the image does not have{folders}{near}",
                command.place,
                named.join(", ")
            );
            self.fault(message, names.into_iter().map(|name| Wanted::program(name)));
        }
    }

    /// Checks that there is a shell for health commands: Docker and compose start them with one.
    fn health_shell(&mut self, files: &mut ImageFiles<'_>) {
        let with_command: Vec<&str> = self
            .checks
            .commands
            .iter()
            .map(|command| command.place.as_str())
            .filter(|place| place.starts_with("services.") && place.ends_with(".health"))
            .collect();
        let has_shell = with_command.is_empty() || files.runs(SHELL).is_ok() || self.allowed.contains(SHELL);
        if !has_shell {
            let message = format!(
                "{}: the image has no {SHELL}, with which Docker and compose start `command`: `http` and `tcp` need none; or \
                 add a shell, or say in `allow-missing` that only `sealift up` with podman is used",
                with_command.join(", ")
            );
            self.verdict.warnings.push(message);
        }
    }

    /// Checks the working directory and the targets of links.
    fn places(&mut self, files: &ImageFiles<'_>) {
        if let Some(workdir) = &self.checks.workdir
            && !files.has_directory(workdir)
            && !self.allowed.contains(workdir)
        {
            self.fault(format!("workdir: the image has no folder `{workdir}`; `directories` makes one"), None);
        }
        for (link, target) in &self.checks.links {
            if !files.exists(link) && ![link, target].into_iter().any(|path| self.allowed.contains(path)) {
                let wanted = target.starts_with('/').then(|| Wanted::program(target));
                self.fault(format!("links: `{link}` leads to `{target}`, which the image does not have"), wanted);
            }
        }
    }

    /// Checks the modules that commands of wheels import.
    fn modules(&mut self, files: &ImageFiles<'_>) {
        for lost in files.lost_modules() {
            let script = format!("/{}", lost.path);
            if !self.allowed.contains(&script) {
                let message = format!(
                    "`{script}` ({}) imports the module {}, of which the image has no file",
                    lost.origin, lost.module
                );
                self.fault(message, None);
            }
        }
    }

    /// Checks the symbolic links of everything in the image; those of the profile were checked before.
    fn lost_links(&mut self, files: &ImageFiles<'_>) {
        let dropped: Vec<Pattern> = self.checks.dropped.iter().map(|pattern| Pattern::new(pattern)).collect();
        let is_dropped = |link: &LostLink| dropped.iter().any(|pattern| pattern.matches(&link.leads_to));
        let lost = files.lost_links().filter(|link| !is_expected(link) && !is_dropped(link));
        // Links of the base are for all images, and not each has what they lead to.
        let lost = lost
            .filter(|link| link.origin != BASE_LINKS && !self.checks.links.contains_key(&format!("/{}", link.path)));
        let lost: Vec<LostLink> = lost.filter(|link| !self.allowed.contains(&format!("/{}", link.path))).collect();
        let named = lost.iter().take(NAMED).map(|link| format!("/{} -> {} ({})", link.path, link.target, link.origin));
        let mut named: Vec<String> = named.collect();
        if lost.len() > NAMED {
            named.push(format!("{} more", lost.len() - NAMED));
        }
        if !lost.is_empty() {
            let count = ui::count(lost.len(), "symbolic link");
            self.verdict.warnings.push(format!("{count} to what the image does not have: {}", named.join(", ")));
        }
    }

    fn missing(&mut self, missing: &Missing, is_needed: bool) {
        let package = missing.debian_package().and_then(|name| self.checks.own_package(&name));
        let is_debian = missing.needed_by.iter().all(|(_, origin)| origin.starts_with("package "));
        // What a Debian package cannot do without is among its dependencies, and those that the profile excludes have a
        // reason: everything else serves optional parts. Scripts that are run are checked as commands. Nearly every package
        // has others in `PATH`, for administrators: they are not worth a word.
        let is_optional = missing.kind == MissingKind::Interpreter
            || is_debian && missing.kind == MissingKind::Library && package.is_none();
        if !is_needed && is_debian && missing.kind == MissingKind::Interpreter {
            return;
        }
        let message = describe(missing);
        if is_optional && !is_needed {
            self.verdict.warnings.push(message);
        } else if let Some(package) = package {
            let why = "is in the image, but the link that its maintainer scripts make is not: see `links`";
            self.verdict.errors.push(format!("{message}; the package {package} {why}"));
        } else {
            let wanted = match missing.kind {
                MissingKind::Library => Wanted::library(&missing.name),
                _ => Wanted::program(&missing.name),
            };
            self.verdict.missing.insert(wanted, missing.debian_package());
            self.verdict.errors.push(message);
        }
    }
}

/// Whether a link that leads nowhere is as it should be: what it leads to is made when a container starts; or it is a link of
/// a Debian package for what an administrator or another package may add.
fn is_expected(link: &LostLink) -> bool {
    let is_below = |path: &TreePath, folders: &[&str]| {
        folders.iter().any(|folder| path.as_str() == *folder || path.as_str().starts_with(&format!("{folder}/")))
    };
    let is_debian = link.origin.starts_with("package ") || link.origin.starts_with("maintainer scripts");
    is_below(&link.leads_to, &["proc", "sys", "dev", "run", "tmp", "var/run", "var/tmp"])
        || is_below(&link.path, &["usr/share/doc", "usr/share/man", "usr/share/info"])
        || is_debian && (is_below(&link.path, &["etc", "usr/share"]) || is_below(&link.leads_to, &["etc"]))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Nearly every image has `/usr/share/zoneinfo/localtime` of tzdata, which nobody can act on.
    #[test]
    fn links_for_administrators_and_containers_are_expected() {
        let link = |path: &str, leads_to: &str, origin: &str| LostLink {
            path: TreePath::new(path).unwrap(),
            target: leads_to.into(),
            leads_to: TreePath::new(leads_to).unwrap(),
            origin: origin.into(),
        };
        let (tzdata, own) = ("package tzdata 2026c-1", "archive site 1");
        assert!(is_expected(&link("usr/share/zoneinfo/localtime", "etc/localtime", tzdata)));
        assert!(is_expected(&link("srv/state", "run/state", own)));
        assert!(!is_expected(&link("srv/state", "runs/state", own)));
        assert!(!is_expected(&link("usr/share/site/x", "etc/x", own)));
        assert!(!is_expected(&link("usr/lib/x.so", "usr/lib/y.so", tzdata)));
    }
}
