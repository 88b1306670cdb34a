//! An empty virtual environment (PEP 405).

use std::sync::Arc;

use crate::tree::{Entry, PathError, Tree, TreePath};

/// A virtual environment in an image, for Debian's interpreter `/usr/bin/pythonX.Y`.
///
/// ```
/// use sealift_layers::ingredients::wheel::Venv;
/// use sealift_layers::tree::TreePath;
///
/// let venv = Venv::new(TreePath::new("/opt/app")?, "python3.14")?;
/// assert_eq!(venv.interpreter(), "/opt/app/bin/python");
/// assert_eq!(venv.site_packages().as_str(), "opt/app/lib/python3.14/site-packages");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Venv {
    path: TreePath,
    python: String,
}

/// Why a virtual environment cannot be made.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum VenvError {
    /// The name of the interpreter is not of the form `python3.N`.
    #[error("`{0}` is not the name of a Python interpreter such as `python3.14`")]
    Python(String),
    /// The path cannot be in the first line of scripts, which the kernel splits at white space and truncates.
    #[error(
        "the environment's path `/{0}` has white space or is longer than 100 bytes: scripts could not start with it"
    )]
    Path(TreePath),
}

impl Venv {
    /// An environment at `path`, for the interpreter `/usr/bin/PYTHON` (`python3.14`).
    ///
    /// # Errors
    /// [`VenvError`].
    pub fn new(path: TreePath, python: &str) -> Result<Self, VenvError> {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let fits = python.strip_prefix("python3.").is_some_and(digits);
        if !fits {
            return Err(VenvError::Python(python.to_owned()));
        }
        if path.as_str().contains(char::is_whitespace) || path.as_str().len() > 100 {
            return Err(VenvError::Path(path));
        }
        Ok(Self { path, python: python.to_owned() })
    }

    /// Path of the environment.
    #[must_use]
    pub fn path(&self) -> &TreePath {
        &self.path
    }

    /// Absolute path of its interpreter in the image.
    #[must_use]
    pub fn interpreter(&self) -> String {
        format!("/{}/bin/python", self.path)
    }

    /// Path of the directory in which distributions are installed.
    #[must_use]
    pub fn site_packages(&self) -> TreePath {
        let path = format!("{}/{}", self.path, self.site());
        TreePath::new(&path).expect("a path and plain components make a path")
    }

    /// Path of `site-packages`, relative to the environment.
    pub(super) fn site(&self) -> String {
        format!("lib/{}/site-packages", self.python)
    }

    /// Path of the headers of distributions, relative to the environment.
    pub(super) fn headers(&self) -> String {
        format!("include/site/{}", self.python)
    }

    /// The files of an empty environment: `pyvenv.cfg`, links to the interpreter, directories. `version` is the full version of
    /// the interpreter (`3.14.2`), which tools read from `pyvenv.cfg`.
    #[must_use]
    pub fn skeleton(&self, version: &str) -> Tree {
        let Self { path, python } = self;
        let origin: Arc<str> = format!("virtual environment /{path}").into();
        let config = format!(
            "home = /usr/bin\n\
             include-system-site-packages = false\n\
             version = {version}\n\
             executable = /usr/bin/{python}\n"
        );
        let mut tree = Tree::new();
        let mut add = |relative: &str, entry| {
            self.add(&mut tree, relative, entry).expect("all paths of the skeleton are valid");
        };
        add("pyvenv.cfg", Entry::file(config, 0o644, &origin));
        add("bin/python", Entry::symlink(format!("/usr/bin/{python}"), &origin));
        add("bin/python3", Entry::symlink("python", &origin));
        add(&format!("bin/{python}"), Entry::symlink("python", &origin));
        add("lib64", Entry::symlink("lib", &origin));
        add("include", Entry::directory(0o755, &origin));
        add(&self.site(), Entry::directory(0o755, &origin));
        tree
    }

    /// Inserts `entry` at a path relative to the environment, with all directories above it. Returns the entry that it
    /// replaced. Directories have no time of their own, so that they are the same in every layer.
    pub(super) fn add(&self, tree: &mut Tree, relative: &str, entry: Entry) -> Result<Option<Entry>, PathError> {
        let path = self.path.join(relative)?;
        let mut above = path.parent();
        while let Some(directory) = above.filter(|directory| tree.get(directory).is_none()) {
            above = directory.parent();
            tree.insert(directory, Entry::directory(0o755, &entry.origin));
        }
        Ok(tree.insert(path, entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Kind;

    #[test]
    fn a_skeleton_has_what_python_expects() {
        let venv = Venv::new(TreePath::new("/opt/parsec").unwrap(), "python3.14").unwrap();
        let lines: Vec<String> = venv
            .skeleton("3.14.2")
            .iter()
            .map(|(path, entry)| match &entry.kind {
                Kind::Directory => format!("{path}/"),
                Kind::Symlink(target) => format!("{path} -> {target}"),
                Kind::File(content) => {
                    format!("{path}:\n{}", String::from_utf8(content.read().unwrap()).unwrap().trim())
                }
                Kind::Hardlink(_) => unreachable!(),
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @"
        opt/
        opt/parsec/
        opt/parsec/bin/
        opt/parsec/bin/python -> /usr/bin/python3.14
        opt/parsec/bin/python3 -> python
        opt/parsec/bin/python3.14 -> python
        opt/parsec/include/
        opt/parsec/lib/
        opt/parsec/lib/python3.14/
        opt/parsec/lib/python3.14/site-packages/
        opt/parsec/lib64 -> lib
        opt/parsec/pyvenv.cfg:
        home = /usr/bin
        include-system-site-packages = false
        version = 3.14.2
        executable = /usr/bin/python3.14
        ");
    }

    #[test]
    fn paths_that_scripts_cannot_start_with_are_rejected() {
        let new = |path: &str, python| Venv::new(TreePath::new(path).unwrap(), python).map(|_| ());
        assert!(matches!(new("opt/my venv", "python3.14"), Err(VenvError::Path(_))));
        assert!(matches!(new(&"x".repeat(101), "python3.14"), Err(VenvError::Path(_))));
        assert!(matches!(new("opt/x", "python3"), Err(VenvError::Python(_))));
        assert!(matches!(new("opt/x", "python3.14/../x"), Err(VenvError::Python(_))));
    }
}
