//! Finding a profile by its name or path.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::suggest;
use crate::failure::Failure;
use crate::machine::Machine;

/// The file that makes a folder a profile.
pub(super) const FILE: &str = "profile.toml";

/// The folders that are searched for profiles.
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

    /// Searches `roots`; those that do not exist are skipped.
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
            let message = match path.metadata() {
                Ok(metadata) if metadata.is_dir() => format!("`{name}` is not a profile: it has no {FILE}"),
                Ok(_) => format!("`{name}` is a file, not the folder of a profile"),
                Err(error) => format!("cannot open the profile `{name}`: {error}"),
            };
            let hint = "use a folder with the file profile.toml, or a name that `sealift profiles` lists";
            return Err(Failure::usage(message).hint(hint).into());
        }
        let mut all = self.all()?;
        if let Some(path) = all.remove(name) {
            return Ok(path);
        }
        let hint = if all.is_empty() {
            "there is no folder `profiles` here or in a parent folder: change the directory, set SEALIFT_PROFILES, or use the \
             profile's path with a `/` in it"
                .into()
        } else {
            suggest::hint(name, "profiles", all.keys().map(String::as_str))
        };
        let hint =
            if PathBuf::from(name).join(FILE).is_file() { format!("to use the folder here: ./{name}") } else { hint };
        Err(Failure::usage(format!("there is no profile `{name}`")).hint(hint).into())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::failure::Kind;

    const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/profiles");

    fn hint(error: &anyhow::Error) -> &str {
        Failure::hint_in(error).unwrap()
    }

    #[test]
    fn earlier_folder_hides_a_later_one() {
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
    fn unknown_name_has_a_hint_with_all_profiles() {
        let search = Search::new([Path::new(SAMPLES).join("valid")]);
        let error = search.find("smal").unwrap_err();
        insta::assert_snapshot!(error, @"there is no profile `smal`");
        insta::assert_snapshot!(hint(&error), @"did you mean `small`? profiles: `full`, `small`");
        let error = Search::new([]).find("small").unwrap_err();
        assert!(hint(&error).contains("SEALIFT_PROFILES"));
        assert_eq!(Kind::of(&error), Kind::Usage);
    }

    #[test]
    fn path_is_used_unchanged() {
        let search = Search::new([]);
        let path = format!("{SAMPLES}/valid/small");
        assert_eq!(search.find(&path).unwrap(), PathBuf::from(&path));
        let error = search.find("./nowhere").unwrap_err();
        insta::assert_snapshot!(error, @"cannot open the profile `./nowhere`: No such file or directory (os error 2)");
    }
}
