//! The machine that the program runs on, as far as it decides anything: its environment and its root directory.
//! Handed in everywhere, so that tests bring their own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// An environment and a root directory.
#[derive(Clone, Debug)]
pub struct Machine {
    root: PathBuf,
    environment: BTreeMap<String, String>,
}

impl Machine {
    /// The real one. Variables that are not UTF-8 are left out.
    #[must_use]
    pub fn here() -> Self {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self { root: PathBuf::from("/"), environment }
    }

    /// One with this root directory and these variables only.
    #[must_use]
    pub fn of(root: &Path, variables: &[(&str, &str)]) -> Self {
        let own = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        Self { root: root.to_owned(), environment: variables.iter().map(own).collect() }
    }

    /// The value of an environment variable. Set but empty counts as not set.
    #[must_use]
    pub fn var(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str).filter(|value| !value.is_empty())
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

    /// The user's folder for what can be made again: `$XDG_CACHE_HOME` or `~/.cache`.
    #[must_use]
    pub fn cache_home(&self) -> Option<PathBuf> {
        self.home_folder("XDG_CACHE_HOME", ".cache")
    }

    /// The specification has relative values ignored.
    fn home_folder(&self, variable: &str, below_home: &str) -> Option<PathBuf> {
        self.var(variable)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .or_else(|| Some(Path::new(self.var("HOME")?).join(below_home)))
    }
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
    }
}
