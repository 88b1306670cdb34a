//! Paths inside an image.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A path inside an image: relative to its root, `/` between components, never empty, and with no component that is
/// empty, `.` or `..`. Ordered bytewise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TreePath(String);

/// Why a text is not a path inside an image.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PathError {
    /// Nothing is left after the leading `/` and `./`.
    #[error("the path is empty")]
    Empty,
    /// A component is `..`: it could leave the tree.
    #[error("`{0}` has a `..` component")]
    Parent(String),
    /// A NUL byte cannot stand in a path.
    #[error("`{0}` has a NUL character")]
    Nul(String),
}

impl TreePath {
    /// Reads a path as archives and profiles write it: leading `/` and `./`, trailing `/` and doubled `/` are dropped.
    ///
    /// # Errors
    /// [`PathError`] where nothing is left or a component would leave the tree.
    pub fn new(text: &str) -> Result<Self, PathError> {
        if text.contains('\0') {
            return Err(PathError::Nul(text.replace('\0', "\\0")));
        }
        let mut path = String::with_capacity(text.len());
        for component in text.split('/').filter(|c| !c.is_empty() && *c != ".") {
            if component == ".." {
                return Err(PathError::Parent(text.to_owned()));
            }
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(component);
        }
        if path.is_empty() { Err(PathError::Empty) } else { Ok(Self(path)) }
    }

    /// The text, without a leading `/`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The directory that holds it; `None` for what stands in the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(parent, _)| Self(parent.to_owned()))
    }

    /// The last component.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, name)| name)
    }

    /// This path with `relative` below it.
    ///
    /// # Errors
    /// As [`TreePath::new`].
    pub fn join(&self, relative: &str) -> Result<Self, PathError> {
        Self::new(&format!("{}/{relative}", self.0))
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for TreePath {
    type Error = PathError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}

impl From<TreePath> for String {
    fn from(path: TreePath) -> Self {
        path.0
    }
}

impl FromStr for TreePath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_and_profiles_write_paths_in_many_ways() {
        for text in ["usr/bin", "/usr/bin", "./usr/bin/", "//usr//./bin"] {
            assert_eq!(TreePath::new(text).unwrap().as_str(), "usr/bin");
        }
    }

    #[test]
    fn what_leaves_the_tree_is_refused() {
        assert_eq!(TreePath::new("./"), Err(PathError::Empty));
        assert_eq!(TreePath::new("a/../b"), Err(PathError::Parent("a/../b".into())));
        assert_eq!(TreePath::new("a\0"), Err(PathError::Nul("a\\0".into())));
    }
}
