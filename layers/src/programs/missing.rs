//! What is missing in an image, and why a program cannot start.

use std::collections::BTreeSet;

use thiserror::Error;

use crate::listing::ListedEntry;
use crate::platform::Architecture;
use crate::tree::TreePath;

/// Something that files of an image need and the image does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The file name of a library (`libz.so.1`), the path of a loader, or the path or name of an interpreter.
    pub name: String,
    /// What it is.
    pub kind: MissingKind,
    /// The files that need it, each with the ingredient that it comes from; sorted by path.
    pub needed_by: Vec<(TreePath, String)>,
}

/// The kind of a missing file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MissingKind {
    /// The dynamic loader of an executable.
    Loader,
    /// A shared library.
    Library,
    /// The interpreter of a script.
    Interpreter,
}

impl Missing {
    fn new(name: &str, kind: MissingKind, path: &TreePath, entry: &ListedEntry) -> Self {
        Self { name: name.to_owned(), kind, needed_by: vec![(path.clone(), entry.origin.clone())] }
    }

    pub(super) fn loader(name: &str, path: &TreePath, entry: &ListedEntry) -> Self {
        Self::new(name, MissingKind::Loader, path, entry)
    }

    pub(super) fn library(name: &str, path: &TreePath, entry: &ListedEntry) -> Self {
        Self::new(name, MissingKind::Library, path, entry)
    }

    pub(super) fn interpreter(line: &str, path: &TreePath, entry: &ListedEntry) -> Self {
        Self::new(interpreter(line), MissingKind::Interpreter, path, entry)
    }

    /// The Debian package that has a library, by the naming rule of Debian policy 8.1: `libz.so.1` is in `libz1`,
    /// `libicuuc.so.76` in `libicuuc76`, `libgd-3.so.0` in `libgd-3-0`, `libdb-5.3.so` in `libdb5.3`. Packages with several libraries have other names.
    #[must_use]
    pub fn debian_package(&self) -> Option<String> {
        let (stem, version) = match self.name.strip_suffix(".so") {
            Some(name) => {
                name.rsplit_once('-').filter(|(_, version)| version.starts_with(|c: char| c.is_ascii_digit()))?
            }
            None => self.name.split_once(".so.")?,
        };
        if self.kind != MissingKind::Library || !stem.starts_with("lib") {
            return None;
        }
        let dash = if stem.ends_with(|last: char| last.is_ascii_digit()) { "-" } else { "" };
        Some(format!("{stem}{dash}{version}").to_lowercase().replace('_', "-"))
    }
}

/// The interpreter in the line of a script: what `env` starts, or else the first word.
pub(super) fn interpreter(line: &str) -> &str {
    let mut words = line.split_ascii_whitespace();
    let first = words.next().unwrap_or_default();
    let name = words.find(|word| !word.starts_with('-') && !word.contains('='));
    name.filter(|_| first.ends_with("/env")).unwrap_or(first)
}

/// Commands that a script calls and the image does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostCalls {
    /// The script with the ingredient that it comes from. `None`: it is the text that was asked about.
    pub script: Option<(TreePath, String)>,
    /// Names that are in no folder of `PATH`, sorted.
    pub names: BTreeSet<String>,
}

/// Why a container cannot run a command.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotRunnable {
    /// No such path.
    #[error("the image has no `{path}`")]
    Absent {
        /// The path.
        path: String,
    },
    /// No directory in `PATH` has it.
    #[error("the image has no `{name}` in PATH ({path})")]
    NotInPath {
        /// The name.
        name: String,
        /// The directories, with colons between them.
        path: String,
    },
    /// A directory is no program.
    #[error("`{path}` is a directory")]
    Directory {
        /// The path.
        path: String,
    },
    /// Nobody may execute it.
    #[error("`{path}` is not executable: its mode is {mode:04o}")]
    NotExecutable {
        /// The path.
        path: String,
        /// Permission bits.
        mode: u32,
    },
    /// It is neither an ELF file nor a script with `#!`.
    #[error("`{path}` is neither a program nor a script that begins with `#!`")]
    NotAProgram {
        /// The path.
        path: String,
    },
    /// It is for another processor.
    #[error("`{path}` is not a program for {architecture}")]
    OtherProcessor {
        /// The path.
        path: String,
        /// The processor of the image.
        architecture: Architecture,
    },
    /// Its dynamic loader is missing.
    #[error("`{path}` needs the dynamic loader `{loader}`, which the image does not have")]
    NoLoader {
        /// The path.
        path: String,
        /// The path of the loader.
        loader: String,
    },
    /// It, or a library that it loads, needs a library that is missing.
    #[error("`{path}` needs the library {library}, which the image does not have where it is looked for")]
    NoLibrary {
        /// The path of the program or library.
        path: String,
        /// The name of the missing library.
        library: String,
    },
    /// The interpreter of a script cannot run.
    #[error("`{path}` is a script for `{line}`: {source}")]
    Script {
        /// The path.
        path: String,
        /// The line after `#!`.
        line: String,
        /// Why.
        source: Box<NotRunnable>,
    },
}

impl NotRunnable {
    /// The path or name of the program that the image lacks, where that is the reason.
    #[must_use]
    pub fn absent(&self) -> Option<&str> {
        match self.cause() {
            Self::Absent { path } => Some(path),
            Self::NotInPath { name, .. } => Some(name),
            _ => None,
        }
    }

    /// The reason at the end of a chain of scripts and interpreters.
    #[must_use]
    pub fn cause(&self) -> &Self {
        match self {
            Self::Script { source, .. } => source.cause(),
            other => other,
        }
    }
}
