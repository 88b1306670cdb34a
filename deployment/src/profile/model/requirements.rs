//! Requirements of a virtual environment: listed, or in a file of the user's project.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use toml::Spanned;

/// Python requirements.
#[derive(Clone, Debug)]
pub enum Requirements {
    /// Each as in a `requirements.txt` (PEP 508), perhaps with hashes.
    Listed(Vec<Spanned<String>>),
    /// Path of a file, relative to the profile's folder.
    File(String),
}

/// What kind of file has requirements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequirementsFile {
    /// A `requirements.txt`, by any name in `.txt` or `.in`.
    Text,
    /// A `pylock.toml` or `pylock.NAME.toml` (PEP 751).
    Pylock,
    /// The `pyproject.toml` of a project with a `uv.lock` beside it.
    Project,
}

impl RequirementsFile {
    /// By the name of the file; `None` for other files.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        let name = path.rsplit('/').next().unwrap_or(path);
        match name {
            "pyproject.toml" | "uv.lock" => Some(Self::Project),
            "pylock.toml" => Some(Self::Pylock),
            name if name.starts_with("pylock.") && name.ends_with(".toml") => Some(Self::Pylock),
            name if name.ends_with(".txt") || name.ends_with(".in") => Some(Self::Text),
            _ => None,
        }
    }
}

impl Requirements {
    /// The requirements that the profile lists itself.
    #[must_use]
    pub fn listed(&self) -> &[Spanned<String>] {
        match self {
            Self::Listed(list) => list,
            Self::File(_) => &[],
        }
    }

    /// The file, if they are in one.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        match self {
            Self::Listed(_) => None,
            Self::File(path) => Some(path),
        }
    }
}

impl<'de> Deserialize<'de> for Requirements {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListOrFile;

        impl<'de> Visitor<'de> for ListOrFile {
            type Value = Requirements;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of requirements or the name of a file")
            }

            fn visit_str<E: Error>(self, path: &str) -> Result<Requirements, E> {
                Ok(Requirements::File(path.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Requirements, A::Error> {
                let mut list = Vec::new();
                while let Some(element) = elements.next_element()? {
                    list.push(element);
                }
                Ok(Requirements::Listed(list))
            }
        }

        deserializer.deserialize_any(ListOrFile)
    }
}
