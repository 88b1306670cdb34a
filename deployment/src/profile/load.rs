//! Finding and reading profiles.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use toml::Spanned;
use toml::de::Deserializer;

use super::diagnostic::{Diagnostic, Diagnostics, Part};
use super::model::Model;
use super::{Sources, check, extend, suggest, syntax};
use crate::failure::Failure;
use crate::machine::Machine;

/// The file that makes a folder a profile.
pub(super) const FILE: &str = "profile.toml";

/// Begins the text of a profile that extended another.
const FLATTENED: &str = "# This profile together with those that it extends, in one file.\n";

/// A profile that was read and checked.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The folder, where its lock is.
    pub directory: PathBuf,
    /// Where the files that it names are.
    pub sources: Sources,
    /// A `profile.toml` that says all of it: its own, or one that holds what it extends as well.
    pub text: String,
    /// The files that it was read from: spans are ranges of their texts, see [`Diagnostics`].
    parts: Vec<Part>,
    /// The same, parsed.
    pub model: Model,
}

impl Profile {
    /// Finds the profile that a user named, and reads it. See [`Search::find`].
    ///
    /// # Errors
    /// Those of [`Search::find`] and [`Profile::load`].
    pub fn find(name: &str) -> anyhow::Result<Self> {
        Self::load(&Search::of(&Machine::here())?.find(name)?)
    }

    /// Reads and checks `directory/profile.toml`.
    ///
    /// # Errors
    /// The file cannot be read, or all its [`Diagnostics`].
    pub fn load(directory: &Path) -> anyhow::Result<Self> {
        let (parts, sources) = extend::read(directory)?;
        let table = extend::merge(&parts);
        let deserializer = || Deserializer::from(Spanned::new(0..0, table.clone()));
        let model = match Model::deserialize(deserializer()) {
            Ok(model) => model,
            Err(error) => {
                let diagnostic = syntax::diagnostic("", Some(table.clone()), &error);
                return Err(Diagnostics::across(parts.clone(), vec![diagnostic]).into());
            }
        };
        let list = check::all(directory, &sources, table.clone(), &model);
        if !list.is_empty() {
            return Err(Diagnostics::across(parts.clone(), list).into());
        }
        let text = match &parts[..] {
            [only] => only.text.clone(),
            _ => format!("{FLATTENED}\n{}", toml::to_string_pretty(&toml::Table::deserialize(deserializer())?)?),
        };
        Ok(Self { directory: directory.to_owned(), sources, text, model, parts })
    }

    /// The files that it names, sorted, each once: what makes it whole besides `profile.toml`.
    #[must_use]
    pub fn files(&self) -> BTreeSet<String> {
        let model = &self.model;
        let images = model.images.values().flat_map(|image| &image.files).map(|file| &file.source);
        let templates = model.site.templates.values().map(|template| &template.source);
        let closures = model.images.values().filter_map(|image| Some(&image.nix.as_ref()?.closure));
        let single = model.readme.iter().chain(&model.debian.get_ref().keyring);
        images.chain(templates).chain(closures).chain(single).map(|source| source.get_ref().clone()).collect()
    }

    /// An error that points into the profile: for what other modules find wrong, such as an unknown package. `span` is a
    /// range of bytes of the text; [`toml::Spanned::span`] gives it.
    pub fn diagnostic_at(
        &self,
        span: Range<usize>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> anyhow::Error {
        self.diagnostics(vec![Diagnostic::new(span, message, hint)])
    }

    /// An error that points to several places of the profile.
    #[must_use]
    pub fn diagnostics(&self, list: Vec<Diagnostic>) -> anyhow::Error {
        Diagnostics::across(self.parts.clone(), list).into()
    }
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
    pub fn of(machine: &Machine) -> anyhow::Result<Self> {
        let named = machine.var_os("SEALIFT_PROFILES").unwrap_or_default();
        let named = std::env::split_paths(named).filter(|path| !path.as_os_str().is_empty());
        let current = machine.current_directory()?;
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

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/profiles");

    fn hint(error: &anyhow::Error) -> &str {
        Failure::within(error).and_then(|failure| failure.hint.as_deref()).unwrap()
    }

    #[test]
    fn an_earlier_folder_hides_a_later_one() {
        let place = tempfile::tempdir().unwrap();
        let valid = Path::new(SAMPLES).join("valid");
        fs_err::create_dir(place.path().join("small")).unwrap();
        fs_err::copy(valid.join("small/profile.toml"), place.path().join("small/profile.toml")).unwrap();
        let roots = [place.path().join("missing"), place.path().to_owned(), valid.clone()];
        let search = Search::new(roots);
        assert_eq!(search.find("small").unwrap(), place.path().join("small"));
        assert_eq!(search.find("full").unwrap(), valid.join("full"));
    }

    #[test]
    fn an_unknown_name_is_answered_with_those_there_are() {
        let search = Search::new([Path::new(SAMPLES).join("valid")]);
        let error = search.find("smal").unwrap_err();
        insta::assert_snapshot!(error, @"no profile is called `smal`");
        insta::assert_snapshot!(hint(&error), @"did you mean `small`? profiles: `full`, `small`");
        let error = Search::new([]).find("small").unwrap_err();
        assert!(hint(&error).contains("SEALIFT_PROFILES"));
        assert_eq!(crate::failure::Kind::of(&error), crate::failure::Kind::Usage);
    }

    #[test]
    fn a_path_is_taken_as_it_is() {
        let search = Search::new([]);
        let path = format!("{SAMPLES}/valid/small");
        assert_eq!(search.find(&path).unwrap(), PathBuf::from(&path));
        let error = search.find("./nowhere").unwrap_err();
        insta::assert_snapshot!(error, @"no profile in `./nowhere`: it has no profile.toml");
    }

    #[test]
    fn others_can_point_into_the_file() {
        let profile = Profile::load(&Path::new(SAMPLES).join("valid/small")).unwrap();
        let package = &profile.model.images["web"].packages[0];
        let error = profile.diagnostic_at(package.span(), "no such package", "look for another");
        insta::assert_snapshot!(error, @r#"
        error: no such package
          --> tests/profiles/valid/small/profile.toml:13:13
           |
        13 | packages = ["busybox-static"]
           |             ^^^^^^^^^^^^^^^^
           |
           = hint: look for another
        "#);
    }

    #[test]
    fn a_link_must_not_lead_out_of_the_profile() {
        let place = tempfile::tempdir().unwrap();
        let small = fs_err::read_to_string(Path::new(SAMPLES).join("valid/small/profile.toml")).unwrap();
        fs_err::write(place.path().join("profile.toml"), format!("readme = \"link\"\n{small}")).unwrap();
        fs_err::write(place.path().join("inside"), "").unwrap();
        fs_err::os::unix::fs::symlink(place.path().join("inside"), place.path().join("link")).unwrap();
        Profile::load(place.path()).unwrap();
        fs_err::remove_file(place.path().join("link")).unwrap();
        fs_err::os::unix::fs::symlink(Path::new(SAMPLES).join("valid/small/profile.toml"), place.path().join("link"))
            .unwrap();
        let error = Profile::load(place.path()).unwrap_err();
        assert!(error.to_string().starts_with("error: `link` is a link that leaves the profile's folder\n"), "{error}");
    }
}
