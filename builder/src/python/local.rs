//! Wheels of the user: files that the profile names, such as those in the `dist` folder of a project.
//!
//! Of each distribution the newest version that fits the target is used. A distribution of the same name on the index never
//! takes its place.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use sealift_deployment::failure::Failure;
use sealift_deployment::files::{self, sorted_dir};
use sealift_deployment::profile::{Profile, model};
use sealift_layers::digest::Digest;
use sealift_layers::ingredients::wheel::{self, WheelFileName};
use url::Url;

use super::pylock::Chosen;
use super::tags::Target;
use crate::lock;

/// A wheel of the user that was chosen.
#[derive(Clone, Debug)]
pub struct LocalWheel {
    /// Its file.
    pub file: PathBuf,
    /// What the lock says of it.
    pub chosen: Chosen,
}

/// The user's wheels for one virtual environment.
#[derive(Clone, Debug, Default)]
pub struct LocalWheels {
    /// The chosen wheels by the normalised names of their distributions.
    pub chosen: BTreeMap<String, LocalWheel>,
    /// Distributions none of whose wheels fits the target: name to one of the files.
    pub unfit: BTreeMap<String, PathBuf>,
}

/// What becomes of files and folders that do not exist or have no wheel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// They are an error: the lock needs them.
    Refused,
    /// They are ignored: the store, or another folder, may have the wheels of the lock.
    Ignored,
}

/// The best wheel for `target` of each distribution in the files and folders that `venv` names.
///
/// # Errors
/// Diagnostics of the profile: a file or folder does not exist, or has no wheels; or the failure to read one.
pub fn choose(profile: &Profile, venv: &model::Venv, target: &Target, absent: Absent) -> Result<LocalWheels> {
    let mut candidates: BTreeMap<String, Vec<(WheelFileName, PathBuf)>> = BTreeMap::new();
    for entry in &venv.wheels {
        let found = match wheels_in(&profile.sources.path(entry.get_ref())) {
            Err(_) if absent == Absent::Ignored => Vec::new(),
            found => found.map_err(|wrong| wrong.diagnostic(profile, entry.span(), entry.get_ref()))?,
        };
        for file in found {
            let name: WheelFileName = file_name(&file).parse().map_err(|error| {
                let hint = "give the file the name that the build gave it, such as own-1.0-py3-none-any.whl";
                profile.diagnostic_at(entry.span(), format!("{error}"), hint)
            })?;
            candidates.entry(name.name.clone()).or_default().push((name, file));
        }
    }
    let mut local = LocalWheels::default();
    for (name, wheels) in candidates {
        let (mut fit, other): (Vec<_>, Vec<_>) =
            wheels.into_iter().partition(|(wheel, _)| target.rank(wheel).is_some());
        let newest = fit.iter().map(|(wheel, _)| wheel.version.clone()).max();
        fit.retain(|(wheel, _)| Some(&wheel.version) == newest.as_ref());
        if let Some((wheel, file)) = target.best(fit, |(_, file)| file_name(file)) {
            let chosen = describe(&file, &wheel).with_context(|| format!("cannot read {}", file.display()))?;
            local.chosen.insert(name, LocalWheel { file, chosen });
        } else if let Some((_, file)) = other.into_iter().next() {
            local.unfit.insert(name, file);
        }
    }
    Ok(local)
}

/// Checks that the files and folders that the profile names in `wheels` are there and have wheels: it is the first thing to do
/// for a lock, before anything is fetched.
///
/// # Errors
/// Diagnostics of the profile, for the first one.
pub fn check(profile: &Profile) -> Result<()> {
    for entry in profile.model.images.values().filter_map(|image| image.venv.as_ref()).flat_map(|venv| &venv.wheels) {
        wheels_in(&profile.sources.path(entry.get_ref()))
            .map_err(|wrong| wrong.diagnostic(profile, entry.span(), entry.get_ref()))?;
    }
    Ok(())
}

impl LocalWheels {
    /// The user's wheels that do not fit `target` of the distributions whose names are words of `text`: a line for each.
    #[must_use]
    pub fn unfit_in(&self, text: &str, target: &Target) -> Vec<String> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let names: BTreeSet<String> = text.split(|c| !is_part(c)).map(wheel::normalize).collect();
        let unfit = self.unfit.iter().filter(|(name, _)| names.contains(*name));
        let lines = unfit.filter_map(|(_, file)| {
            let name = file_name(file);
            let parsed: WheelFileName = name.parse().ok()?;
            Some(format!("{name} among `wheels` {}", target.misfit(&parsed)))
        });
        lines.collect()
    }

    /// Checks that no wheel of an index took the place of one of the user's that does not fit.
    ///
    /// # Errors
    /// A failure that names the user's wheel.
    pub fn check(&self, resolved: &[Chosen], target: &Target) -> Result<()> {
        let Some(file) = resolved.iter().find_map(|wheel| self.unfit.get(&wheel.name)) else { return Ok(()) };
        let why = file_name(file).parse().map_or_else(|_| format!("is not for {target}"), |name| target.misfit(&name));
        Err(Failure::failed(format!("the wheel {} {why}", file.display()))
            .hint("build it for this Python, or remove it to use the distribution of the index")
            .into())
    }
}

/// Why a local wheel of a lock is not the one that [`choose`] gives now; `None` if all are, or their files are not here.
pub fn change(locked: &[&lock::Wheel], now: &LocalWheels) -> Option<String> {
    locked.iter().find_map(|locked| {
        let current = &now.chosen.get(&locked.name)?.chosen;
        if current.sha256 == Some(locked.sha256) {
            return None;
        }
        Some(match current.file_name() == locked.file_name() {
            true => format!("{} was built anew", locked.file_name()),
            false => format!("{} took the place of {}", current.file_name(), locked.file_name()),
        })
    })
}

/// All wheels in the files and folders that the profile names, as far as these exist.
///
/// # Errors
/// A folder cannot be read.
pub fn files(profile: &Profile) -> Result<Vec<PathBuf>> {
    let venvs = profile.model.images.values().filter_map(|image| image.venv.as_ref());
    let mut files = Vec::new();
    for entry in venvs.flat_map(|venv| &venv.wheels) {
        match wheels_in(&profile.sources.path(entry.get_ref())) {
            Ok(found) => files.extend(found),
            Err(Wrong::Read(error)) => return Err(error),
            Err(_) => {}
        }
    }
    Ok(files)
}

/// What is wrong with a path among `wheels`.
enum Wrong {
    Missing,
    Source,
    OnlySources,
    Empty { is_project: bool },
    NotWheel,
    Read(anyhow::Error),
}

impl Wrong {
    fn diagnostic(self, profile: &Profile, span: Range<usize>, path: &str) -> anyhow::Error {
        let (message, hint) = match self {
            Self::Read(error) => return error,
            Self::Missing => (
                format!("`{path}` does not exist"),
                "make the wheels first, such as with `uv build --wheel` in the project".to_owned(),
            ),
            Self::Source => (
                format!("`{path}` is a source distribution: building it would run its code"),
                format!("make a wheel of it and name that: uv build --wheel {path}"),
            ),
            Self::OnlySources => (
                format!("`{path}` has source distributions, but no wheel: building them would run their code"),
                "make wheels of them: uv build --wheel FILE.tar.gz --out-dir DIR".to_owned(),
            ),
            Self::Empty { is_project: true } => (
                format!("`{path}` is a project, and has no wheel"),
                format!("make its wheel with `uv build --wheel`, and name the folder with it: \"{path}/dist\""),
            ),
            Self::Empty { is_project: false } => (
                format!("`{path}` has no wheel"),
                "make the wheels first, such as with `uv build --wheel --out-dir DIR`".to_owned(),
            ),
            Self::NotWheel => (
                format!("`{path}` is neither a wheel nor a folder"),
                "name a file in .whl, or a folder with some".to_owned(),
            ),
        };
        profile.diagnostic_at(span, message, hint)
    }
}

/// The wheels in a folder, sorted, or the wheel `path` itself.
fn wheels_in(path: &Path) -> Result<Vec<PathBuf>, Wrong> {
    let is_source = |path: &Path| [".tar.gz", ".zip"].iter().any(|end| file_name(path).ends_with(end));
    let is_wheel = |path: &Path| file_name(path).ends_with(".whl");
    if !path.exists() {
        return Err(Wrong::Missing);
    }
    if path.is_file() {
        return match path {
            path if is_wheel(path) => Ok(vec![path.to_owned()]),
            path if is_source(path) => Err(Wrong::Source),
            _ => Err(Wrong::NotWheel),
        };
    }
    let all = sorted_dir(path).map_err(|error| Wrong::Read(error.into()))?;
    let wheels: Vec<PathBuf> = all.iter().filter(|file| is_wheel(file) && file.is_file()).cloned().collect();
    if wheels.is_empty() {
        let is_project = path.join("pyproject.toml").exists();
        return Err(if all.iter().any(|file| is_source(file)) {
            Wrong::OnlySources
        } else {
            Wrong::Empty { is_project }
        });
    }
    Ok(wheels)
}

/// Everything that a lock says of a file.
fn describe(file: &Path, name: &WheelFileName) -> Result<Chosen> {
    let file = fs_err::canonicalize(file)?;
    let measured = Digest::of_reader(files::open(&file)?)?;
    Ok(Chosen {
        name: name.name.clone(),
        version: name.version.to_string(),
        path: file_name(&file).to_owned(),
        size: Some(measured.size),
        sha256: Some(measured.digest),
        uploaded: Some(wheel::newest_member(files::open(&file)?.into_parts().0)?),
        index: None,
        local: true,
        url: Url::from_file_path(&file).ok().context("its path is not absolute")?,
    })
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}
