//! `[images.NAME]`: an image. Each kind of ingredient with a table of its own has a file beside this one.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::crate_::Crate;
use super::mode::{Mode, directory_mode, file_mode};
use super::nix::Nix;
use super::venv::Venv;

/// One image.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Image {
    /// One line: the image's `title` label.
    pub title: String,
    /// Debian packages asked for; their dependencies follow.
    #[serde(default)]
    pub packages: Vec<Spanned<String>>,
    /// Files and folders of packages that are left out: image paths, `*` matches within a component, `**` any depth.
    #[serde(default)]
    pub drop: Vec<Spanned<String>>,
    /// Python virtual environment.
    pub venv: Option<Venv>,
    /// A program built from its crate.
    #[serde(rename = "crate")]
    pub krate: Option<Crate>,
    /// A closure of a Nix store.
    pub nix: Option<Nix>,
    /// Accounts beyond root, nobody and their groups.
    #[serde(default)]
    pub users: Vec<User>,
    /// `UID:GID` or a user's name: who the program runs as. Never root's by default.
    pub user: Spanned<String>,
    /// The program and its fixed arguments.
    pub entrypoint: Vec<String>,
    /// Default arguments.
    #[serde(default)]
    pub command: Vec<String>,
    /// Working directory.
    pub workdir: Option<String>,
    /// Environment variables.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Non-secret site templates, rendered with the site's values or the defaults, that go into the env layer under
    /// `env-directory` and into the image's `Env`: names of `site.templates`.
    #[serde(default)]
    pub env_files: Vec<Spanned<String>>,
    /// Where the env layer keeps those files.
    #[serde(default = "default_env_directory")]
    pub env_directory: String,
    /// Non-secret site templates put into the configuration layer: name of `site.templates` to image path.
    #[serde(default)]
    pub config_files: BTreeMap<Spanned<String>, String>,
    /// Files of the profile put into the configuration layer.
    #[serde(default)]
    pub files: Vec<ImageFile>,
    /// Directories made in the configuration layer.
    #[serde(default)]
    pub directories: Vec<ImageDirectory>,
    /// Symbolic links made in the configuration layer: image path to target.
    #[serde(default)]
    pub links: BTreeMap<String, String>,
    /// TCP ports the program listens on.
    #[serde(default)]
    pub ports: Vec<u16>,
    /// Paths whose contents outlive a container.
    #[serde(default)]
    pub volumes: Vec<String>,
    /// The signal that stops it, such as `SIGINT`.
    pub stop_signal: Option<String>,
}

fn default_env_directory() -> String {
    "/etc/sealift/env".into()
}

/// An account: a line of `/etc/passwd` and one of `/etc/group`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct User {
    /// Login name; also the group's.
    pub name: Spanned<String>,
    /// Numeric user.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Home directory.
    #[serde(default = "default_home")]
    pub home: String,
}

fn default_home() -> String {
    "/nonexistent".into()
}

/// A file of the profile, put into an image.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ImageFile {
    /// Relative to the profile's folder.
    pub source: Spanned<String>,
    /// Image path.
    pub path: Spanned<String>,
    /// Permission bits, in octal.
    #[serde(default = "file_mode")]
    pub mode: Mode,
}

/// A directory made in an image.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ImageDirectory {
    /// Image path.
    pub path: Spanned<String>,
    /// Permission bits, in octal.
    #[serde(default = "directory_mode")]
    pub mode: Mode,
    /// `UID:GID` or a user's name; root without it.
    pub owner: Option<Spanned<String>>,
}
