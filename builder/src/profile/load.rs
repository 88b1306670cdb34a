//! Finding and reading profiles.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::diagnostic::{Problem, Problems};
use super::model::Model;
use super::{check, suggest, syntax};
use crate::failure::Failure;

/// The file that makes a folder a profile.
const FILE: &str = "profile.toml";

/// A profile that was read and checked.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The folder; the paths in the profile are relative to it.
    pub directory: PathBuf,
    /// What `profile.toml` holds: spans are ranges of its bytes.
    pub text: String,
    /// The same, parsed.
    pub model: Model,
}

impl Profile {
    /// Finds the profile that a user named, and reads it. See [`Search::find`].
    ///
    /// # Errors
    /// Those of [`Search::find`] and [`Profile::load`].
    pub fn find(name: &str) -> anyhow::Result<Self> {
        Self::load(&Search::from_environment()?.find(name)?)
    }

    /// Reads and checks `directory/profile.toml`.
    ///
    /// # Errors
    /// The file cannot be read, or all its [`Problems`].
    pub fn load(directory: &Path) -> anyhow::Result<Self> {
        let path = directory.join(FILE);
        let text = fs_err::read_to_string(&path)?;
        let problems = |list| Problems::new(shown(&path), text.clone(), list);
        let model: Model = toml::from_str(&text).map_err(|error| problems(vec![syntax::problem(&text, &error)]))?;
        let list = check::all(directory, &text, &model);
        if !list.is_empty() {
            return Err(problems(list).into());
        }
        Ok(Self { directory: directory.to_owned(), text, model })
    }

    /// An error that points into the profile: for what other modules find wrong, such as an unknown package. `span` is a
    /// range of bytes of the text; [`toml::Spanned::span`] gives it.
    pub fn problem_at(&self, span: Range<usize>, message: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
        self.problems(vec![Problem::new(span, message, hint)])
    }

    /// An error that points to several places of the profile.
    #[must_use]
    pub fn problems(&self, list: Vec<Problem>) -> anyhow::Error {
        Problems::new(shown(&self.directory.join(FILE)), self.text.clone(), list).into()
    }
}

/// A path as messages show it: relative to the current directory where it is below that.
fn shown(path: &Path) -> String {
    let current = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&current).unwrap_or(path).display().to_string()
}

/// Where profiles are looked for.
#[derive(Clone, Debug)]
pub struct Search {
    /// Folders of profiles; an earlier one hides the profiles of the same name in a later one.
    roots: Vec<PathBuf>,
}

impl Search {
    /// The folders that `SEALIFT_PROFILES` names, then `profiles` below the current directory and its parents.
    ///
    /// # Errors
    /// The current directory is gone.
    pub fn from_environment() -> anyhow::Result<Self> {
        let named = std::env::var_os("SEALIFT_PROFILES").unwrap_or_default();
        let named = std::env::split_paths(&named).filter(|path| !path.as_os_str().is_empty());
        let current = std::env::current_dir()?;
        Ok(Self::new(named.chain(current.ancestors().map(|parent| parent.join("profiles")))))
    }

    /// Looks into `roots`; those that do not exist are passed over.
    pub fn new(roots: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { roots: roots.into_iter().filter(|root| root.is_dir()).collect() }
    }

    /// The folders of all profiles, by the folders' names.
    ///
    /// # Errors
    /// A folder cannot be read.
    pub fn all(&self) -> anyhow::Result<BTreeMap<String, PathBuf>> {
        let mut found = BTreeMap::new();
        for root in self.roots.iter().rev() {
            #[expect(clippy::disallowed_methods, reason = "the map sorts")]
            for entry in fs_err::read_dir(root)? {
                let entry = entry?;
                if entry.path().join(FILE).is_file() {
                    found.insert(entry.file_name().to_string_lossy().into_owned(), entry.path());
                }
            }
        }
        Ok(found)
    }

    /// The folder of the profile `name`: a path when it has a `/` in it (or is `.` or `..`), else the name of a folder.
    ///
    /// # Errors
    /// A usage [`Failure`] that lists what there is.
    pub fn find(&self, name: &str) -> anyhow::Result<PathBuf> {
        if name.contains('/') || name == "." || name == ".." {
            let path = PathBuf::from(name);
            if path.join(FILE).is_file() {
                return Ok(path);
            }
            let failure = Failure::usage(format!("no profile in `{name}`: it has no {FILE}"));
            return Err(failure
                .hint("name a folder that holds one, or a profile that `sealift profiles` lists")
                .into());
        }
        let mut all = self.all()?;
        if let Some(path) = all.remove(name) {
            return Ok(path);
        }
        let hint = if all.is_empty() {
            "there is no `profiles` folder here or above: change to a folder that has one, set SEALIFT_PROFILES, or give \
             the profile's path with a `/` in it"
                .into()
        } else {
            suggest::hint(name, "profiles", all.keys().map(String::as_str))
        };
        Err(Failure::usage(format!("no profile is called `{name}`")).hint(hint).into())
    }
}
