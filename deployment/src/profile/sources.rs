//! Where the files of a profile are.

use std::path::{Path, PathBuf};

/// A profile's folder and those of the profiles that it extends, nearest first.
#[derive(Clone, Debug)]
pub struct Sources(Vec<PathBuf>);

impl Sources {
    /// `folders`: the profile's own, then those of the profiles that it extends, nearest first.
    pub(super) fn new(folders: Vec<PathBuf>) -> Self {
        Self(folders)
    }

    /// The folder of a profile that extends none.
    #[must_use]
    pub fn of(directory: &Path) -> Self {
        Self(vec![directory.to_owned()])
    }

    /// Path of the profile's file `name`: in the nearest folder that has it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        let mut paths = self.0.iter().map(|folder| folder.join(name));
        paths.find(|path| path.exists()).unwrap_or_else(|| self.0[0].join(name))
    }

    /// Whether `path`, with links resolved, is below one of the folders.
    #[must_use]
    pub fn contain(&self, path: &Path) -> bool {
        let Ok(path) = path.canonicalize() else { return false };
        self.0.iter().any(|folder| folder.canonicalize().is_ok_and(|folder| path.starts_with(folder)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_folder_with_the_file_is_used() {
        let place = tempfile::tempdir().unwrap();
        let folders = ["own", "base"].map(|name| place.path().join(name));
        folders.iter().for_each(|folder| fs_err::create_dir(folder).unwrap());
        let sources = Sources::new(folders.to_vec());
        assert_eq!(sources.path("notes"), folders[0].join("notes"));
        fs_err::write(folders[1].join("notes"), "").unwrap();
        assert_eq!(sources.path("notes"), folders[1].join("notes"));
        assert!(sources.contain(&folders[1].join("notes")));
        assert!(!sources.contain(&folders[1].join("../own/../..")));
    }
}
