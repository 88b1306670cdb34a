//! The wheels of a virtual environment: from the requirements in a profile or in a file of the user's project.

use std::path::Path;

use anyhow::Result;
use sealift_deployment::diagnostic::Diagnostic;
use sealift_deployment::failure::Failure;
use sealift_deployment::files;
use sealift_deployment::profile::Profile;
use sealift_deployment::profile::model::{RequirementsFile, Venv};
use sealift_deployment::ui::Ui;
use sealift_layers::ingredients::wheel::normalize;
use toml::Spanned;

use crate::lock::Wheel;
use crate::parallel::in_parallel;
use crate::python::explain::Unsatisfiable;
use crate::python::local::{self, Absent, LocalWheels};
use crate::python::pylock::{self, Choice, Chosen};
use crate::python::requirements::{Hashes, Requirements, distribution};
use crate::python::resolve::{Project, Request, Resolution};
use crate::python::tags::Target;
use crate::servers::Servers;

/// Number of wheels about which indexes are asked at a time, if they do not say everything about them at once.
const LOOKUPS: usize = 8;

/// Most distributions that are missing that are told at once.
const MISSING: usize = 8;

/// The wheels of an environment, sorted by file name.
///
/// # Errors
/// A requirement that nothing satisfies, a file that cannot be read, or an index that cannot be reached.
pub(super) fn wheels(
    profile: &Profile,
    venv: &Venv,
    target: &Target,
    servers: &Servers<'_>,
    ui: &Ui,
) -> Result<Vec<Wheel>> {
    let local = local::choose(profile, venv, target, Absent::Refused)?;
    let exclude: Vec<String> = venv.exclude.keys().map(|name| normalize(name.get_ref())).collect();
    let environment = Environment { profile, venv, target, servers, local: &local, exclude: &exclude };
    let requirements = venv.requirements.get_ref();
    match requirements.file().and_then(|file| Some((profile.sources.path(file), RequirementsFile::of(file)?))) {
        Some((path, RequirementsFile::Pylock)) => {
            let text = files::read_text(&path).map_err(|error| environment.explain(error.into()))?;
            environment.of_pylock(&text, &path.display().to_string())
        }
        Some((path, RequirementsFile::Project)) => environment.of_project(&path),
        Some((path, RequirementsFile::Text)) => {
            let required = Requirements::read(&path).map_err(|error| environment.explain(error))?;
            required.ignored.iter().for_each(|ignored| ui.warn(ignored));
            environment.resolve(required)
        }
        None => environment.resolve(Requirements::default()),
    }
}

struct Environment<'a> {
    profile: &'a Profile,
    venv: &'a Venv,
    target: &'a Target,
    servers: &'a Servers<'a>,
    local: &'a LocalWheels,
    exclude: &'a [String],
}

impl Environment<'_> {
    /// Resolves `required` together with what the profile lists.
    fn resolve(&self, mut required: Requirements) -> Result<Vec<Wheel>> {
        let listed = self.venv.requirements.get_ref().listed().iter().map(|text| (text, false));
        for (text, is_constraint) in listed.chain(self.venv.constraints.iter().map(|text| (text, true))) {
            required
                .add(text.get_ref(), is_constraint)
                .map_err(|why| self.profile.diagnostic_at(text.span(), why, "write the hash as --hash=sha256:HEX"))?;
        }
        let (mut exclude, mut found) = (self.exclude.to_vec(), Vec::<Unsatisfiable>::new());
        // uv tells of one distribution that is missing: the next is found without it.
        loop {
            let request = Request {
                required: &required,
                exclude: &exclude,
                target: self.target,
                local: self.local,
                indexes: self.servers.python_indexes()?,
            };
            match self.servers.uv().resolve(&request) {
                Ok(Resolution::Found(chosen)) if found.is_empty() => return self.complete(&chosen, &required.hashes),
                Ok(Resolution::Unsatisfiable(next)) => {
                    let missing = next.missing.clone().filter(|name| !exclude.contains(name));
                    if found.is_empty() || missing.is_some() {
                        found.push(next);
                    }
                    match missing {
                        Some(name) if found.len() < MISSING => exclude.push(name),
                        _ => return Err(self.refuse(found)),
                    }
                }
                Err(error) if found.is_empty() => return Err(error),
                Ok(Resolution::Found(_)) | Err(_) => return Err(self.refuse(found)),
            }
        }
    }

    /// The wheels that the lock of a project has.
    fn of_project(&self, file: &Path) -> Result<Vec<Wheel>> {
        let lock = file.with_file_name("uv.lock");
        let folder = lock.parent().unwrap_or(&lock);
        if !lock.exists() {
            let message = format!("the project {} has no uv.lock", folder.display());
            let hint = format!("make it with: uv lock --project {}", folder.display());
            return Err(self.profile.diagnostic_at(self.venv.requirements.span(), message, hint));
        }
        let names =
            |list: &'_ [Spanned<String>]| -> Vec<String> { list.iter().map(|name| name.get_ref().clone()).collect() };
        let (extras, groups) = (names(&self.venv.extras), names(&self.venv.groups));
        let (extras, groups): (Vec<&str>, Vec<&str>) =
            (extras.iter().map(String::as_str).collect(), groups.iter().map(String::as_str).collect());
        let project =
            Project { folder: &folder.canonicalize()?, extras: &extras, groups: &groups, exclude: self.exclude };
        self.of_pylock(&self.servers.uv().export(&project)?, &lock.display().to_string())
    }

    /// The wheels of a lock that others made.
    fn of_pylock(&self, text: &str, origin: &str) -> Result<Vec<Wheel>> {
        let Self { target, local, exclude, .. } = *self;
        // Without indexes the lock can be made, unless it does not say everything.
        let indexes = self.servers.python_indexes().ok();
        let hashes = Hashes::new();
        self.complete(
            &pylock::wheels(text, Choice { target, local, hashes: &hashes, exclude, indexes, origin })?,
            &hashes,
        )
    }

    /// The entries of the lock: asks for what indexes do not say, and compares hashes that were not known before.
    fn complete(&self, chosen: &[Chosen], hashes: &Hashes) -> Result<Vec<Wheel>> {
        let wheels = in_parallel(LOOKUPS, chosen, |wheel| self.servers.complete(wheel))?;
        let is_other =
            |wheel: &&Wheel| hashes.get(&wheel.name).is_some_and(|hashes| !hashes.contains(&wheel.sha256.hex()));
        match wheels.iter().find(is_other) {
            None => Ok(wheels),
            Some(wheel) => {
                let message = format!("{} has none of the hashes in the requirements", wheel.file_name());
                let hint = format!("its hash is sha256:{}", wheel.sha256.hex());
                Err(Failure::verification(message).hint(hint).into())
            }
        }
    }

    /// An error about the file with the requirements, at its name in the profile.
    fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        if Failure::within(&error).is_some_and(|failure| failure.hint.is_some()) {
            return error;
        }
        let hint = "name a file relative to the profile's folder";
        self.profile.diagnostic_at(self.venv.requirements.span(), format!("{error:#}"), hint)
    }

    /// The error for requirements that nothing satisfies, each at the one that it is about, if the profile lists it.
    fn refuse(&self, found: Vec<Unsatisfiable>) -> anyhow::Error {
        let requirements = &self.venv.requirements;
        let python = self.venv.python.get_ref();
        let diagnostic = |found: Unsatisfiable| {
            let unfit = self.local.unfit_in(&found.message, self.target);
            let Unsatisfiable { message, hint, required, .. } = found.with_unfit(&unfit, python);
            let is_meant = |text: &&Spanned<String>| required.contains(&distribution(text.get_ref()));
            let span = match requirements.get_ref().listed().iter().find(is_meant) {
                Some(listed) => listed.span(),
                None => requirements.span(),
            };
            Diagnostic::new(span, message, hint)
        };
        self.profile.diagnostics(found.into_iter().map(diagnostic).collect())
    }
}
