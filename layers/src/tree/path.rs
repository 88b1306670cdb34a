//! Paths inside an image.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::escape::line;

/// A path inside an image, relative to its root. Components are separated by `/`; none is empty, `.` or `..`, and there is
/// at least one. Ordered bytewise. A copy shares the text: a build has several trees with the same hundred thousand paths.
///
/// ```
/// use sealift_layers::tree::TreePath;
///
/// let path = TreePath::new("/usr//bin/./env")?;
/// assert_eq!(path.as_str(), "usr/bin/env");
/// assert_eq!(path.parent(), Some(TreePath::new("usr/bin")?));
/// assert!(TreePath::new("usr/../../etc").is_err());
/// # Ok::<(), sealift_layers::tree::PathError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TreePath(Arc<str>);

/// Why a text is not a path inside an image.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PathError {
    /// Nothing is left after the leading `/` and `./`.
    #[error("the path is empty")]
    Empty,
    /// A component is `..`: the path could leave the tree.
    #[error("`{}` has a `..` component", line(.0))]
    Parent(String),
    /// It has a NUL character, which no file system allows.
    #[error("`{}` has a NUL character", line(.0))]
    Nul(String),
}

impl TreePath {
    /// Parses a path in the forms of archives and profiles: leading `/` and `./`, trailing `/` and repeated `/` are dropped.
    ///
    /// # Errors
    /// [`PathError`].
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
        if path.is_empty() { Err(PathError::Empty) } else { Ok(Self(path.into())) }
    }

    /// The text, without a leading `/`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The directory that contains it; `None` for a path directly in the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(parent, _)| Self(parent.into()))
    }

    /// The last component.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, name)| name)
    }

    /// Whether a component starts with `.wh.`: in a layer, engines take such a file as an instruction to remove what lower
    /// layers have (image-spec 1.1, "Image Layer Filesystem Changeset", "Whiteouts").
    #[must_use]
    pub fn is_whiteout(&self) -> bool {
        self.0.split('/').any(|component| component.starts_with(".wh."))
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
        path.0.as_ref().to_owned()
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
    fn leading_trailing_and_repeated_slashes_are_dropped() {
        for text in ["usr/bin", "/usr/bin", "./usr/bin/", "//usr//./bin"] {
            assert_eq!(TreePath::new(text).unwrap().as_str(), "usr/bin");
        }
    }

    #[test]
    fn whiteouts_are_known_by_the_start_of_a_component() {
        for text in [".wh.a", "etc/.wh..wh..opq", "etc/.wh.x/y"] {
            assert!(TreePath::new(text).unwrap().is_whiteout(), "{text}");
        }
        for text in ["a.wh.b", "etc/.who", "wh./x", "etc/.whx"] {
            assert!(!TreePath::new(text).unwrap().is_whiteout(), "{text}");
        }
    }

    #[test]
    fn paths_that_leave_the_tree_are_rejected() {
        assert_eq!(TreePath::new("./"), Err(PathError::Empty));
        assert_eq!(TreePath::new("a/../b"), Err(PathError::Parent("a/../b".into())));
        assert_eq!(TreePath::new("a\0"), Err(PathError::Nul("a\\0".into())));
    }
}
