//! The machine that the program runs on: its environment and its root directory. The only module that reads the
//! environment of the process: everything else takes a [`Machine`], which tests replace.

#![allow(clippy::disallowed_methods, reason = "the one place that reads the process's environment")]

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// An environment and a root directory.
#[derive(Clone, Debug)]
pub struct Machine {
    root: PathBuf,
    environment: BTreeMap<String, OsString>,
    current_directory: Option<PathBuf>,
    program: Option<PathBuf>,
}

impl Machine {
    /// The real machine. Variables whose name is not UTF-8 are left out.
    #[must_use]
    pub fn here() -> Self {
        let environment = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        Self {
            root: PathBuf::from("/"),
            environment: environment.collect(),
            current_directory: std::env::current_dir().ok(),
            program: std::env::current_exe().ok(),
        }
    }

    /// A machine with this root directory and these variables only, for tests. It has no current directory and no
    /// program.
    #[must_use]
    pub fn of(root: &Path, variables: &[(&str, &str)]) -> Self {
        let variable = |&(name, value): &(&str, &str)| (name.to_owned(), value.into());
        let environment = variables.iter().map(variable).collect();
        Self { root: root.to_owned(), environment, current_directory: None, program: None }
    }

    /// The value of an environment variable. `None` if it is not set, empty or not UTF-8.
    #[must_use]
    pub fn var(&self, name: &str) -> Option<&str> {
        self.var_os(name).and_then(OsStr::to_str)
    }

    /// The value of an environment variable, which need not be UTF-8. `None` if it is not set or empty.
    #[must_use]
    pub fn var_os(&self, name: &str) -> Option<&OsStr> {
        self.environment.get(name).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// Names of all environment variables, sorted.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.environment.keys().map(String::as_str)
    }

    /// The current directory.
    ///
    /// # Errors
    /// The directory was removed, or cannot be accessed.
    pub fn current_directory(&self) -> anyhow::Result<&Path> {
        self.current_directory.as_deref().context("cannot find the current directory: it does not exist any more")
    }

    /// Path of the running program, if it is known.
    #[must_use]
    pub fn program(&self) -> Option<&Path> {
        self.program.as_deref()
    }

    /// Where an absolute path of the machine is found.
    #[must_use]
    pub fn path(&self, absolute: &str) -> PathBuf {
        self.root.join(absolute.trim_start_matches('/'))
    }

    /// The user's folder for settings (XDG base directory specification): `$XDG_CONFIG_HOME` or `~/.config`.
    #[must_use]
    pub fn config_home(&self) -> Option<PathBuf> {
        self.home_folder("XDG_CONFIG_HOME", ".config")
    }

    /// The user's folder for files that can be created again: `$XDG_CACHE_HOME` or `~/.cache`.
    #[must_use]
    pub fn cache_home(&self) -> Option<PathBuf> {
        self.home_folder("XDG_CACHE_HOME", ".cache")
    }

    /// The folder for what programs remember between runs: `$XDG_STATE_HOME`, else `/var/lib` for root and
    /// `~/.local/state` for other users.
    #[must_use]
    pub fn state_home(&self, is_root: bool) -> Option<PathBuf> {
        let root = || is_root.then(|| self.path("/var/lib"));
        self.absolute("XDG_STATE_HOME").or_else(root).or_else(|| self.below_home(".local/state"))
    }

    fn home_folder(&self, variable: &str, below_home: &str) -> Option<PathBuf> {
        self.absolute(variable).or_else(|| self.below_home(below_home))
    }

    /// The specification says that relative values are ignored.
    fn absolute(&self, variable: &str) -> Option<PathBuf> {
        self.var(variable).map(PathBuf::from).filter(|path| path.is_absolute())
    }

    fn below_home(&self, name: &str) -> Option<PathBuf> {
        Some(Path::new(self.var("HOME")?).join(name))
    }
}

/// A path for messages: relative to the current directory if it is below that.
#[must_use]
pub fn shown(path: &Path) -> String {
    let current = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&current).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_follow_xdg() {
        let machine = Machine::of(Path::new("/r"), &[("HOME", "/home/a"), ("XDG_CACHE_HOME", "/c"), ("EMPTY", "")]);
        assert_eq!(machine.cache_home(), Some("/c".into()));
        assert_eq!(machine.config_home(), Some("/home/a/.config".into()));
        assert_eq!(machine.path("/etc/apt"), Path::new("/r/etc/apt"));
        assert_eq!(machine.var("EMPTY"), None);
        let relative = Machine::of(Path::new("/"), &[("XDG_CONFIG_HOME", "here")]);
        assert_eq!(relative.config_home(), None);
        assert_eq!(machine.state_home(false), Some("/home/a/.local/state".into()));
        assert_eq!(machine.state_home(true), Some("/r/var/lib".into()));
    }

    #[test]
    fn a_test_machine_reads_nothing_of_the_process() {
        let machine = Machine::of(Path::new("/"), &[("A", "1")]);
        assert_eq!(machine.variables().collect::<Vec<_>>(), ["A"]);
        assert!(machine.current_directory().is_err() && machine.program().is_none());
        assert!(Machine::here().current_directory().unwrap().is_absolute());
    }
}
