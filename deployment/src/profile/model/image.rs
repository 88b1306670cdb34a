//! `[images.NAME]`: an image. Each kind of ingredient with a table of its own has a file beside this one.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::archive_file::ArchiveFile;
use super::crate_::Crate;
use super::debian::Requested;
use super::mode::{Mode, directory_mode};
use super::nix::Nix;
use super::venv::Venv;

/// One image.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Image {
    /// One line, for the image's label `title`.
    pub title: String,
    /// Requested Debian packages. Dependencies are added.
    #[serde(default)]
    pub packages: Vec<Spanned<Requested>>,
    /// Whether it has the packages that each Debian system has and that no package names as a dependency: a shell, the
    /// basic tools (`Essential: yes`, policy 3.8). Default: that of the base.
    pub essential: Option<bool>,
    /// Files and folders of packages that the image does not have. In these paths, `*` matches within a component, `**`
    /// matches any depth.
    #[serde(default)]
    pub drop: Vec<Spanned<String>>,
    /// Libraries, programs, interpreters, folders and links that the image lacks on purpose: file name or path,
    /// with the wildcards of `drop`, to reason.
    #[serde(default)]
    pub allow_missing: BTreeMap<Spanned<String>, String>,
    /// Files with private keys that everybody may have, such as examples: path, with the wildcards of `drop`, to reason.
    #[serde(default)]
    pub allow_secrets: BTreeMap<Spanned<String>, String>,
    /// Python virtual environment.
    pub venv: Option<Venv>,
    /// A program built from its crate.
    #[serde(rename = "crate")]
    pub krate: Option<Crate>,
    /// A closure of a Nix store.
    pub nix: Option<Nix>,
    /// Archives that are unpacked into it, and single files, by name.
    #[serde(default)]
    pub archives: BTreeMap<Spanned<String>, ArchiveFile>,
    /// Accounts beyond root, nobody and their groups.
    #[serde(default)]
    pub users: Vec<User>,
    /// The user that the program runs as, `UID:GID` or a name. Not root.
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
    /// Names of non-secret `site.templates` that are rendered, with the values of a site or the defaults, into the env layer
    /// and into the image's `Env`.
    #[serde(default)]
    pub env_files: Vec<Spanned<String>>,
    /// Folder of these files in the image.
    #[serde(default = "default_env_directory")]
    pub env_directory: String,
    /// Non-secret templates in the configuration layer: name in `site.templates` to image path.
    #[serde(default)]
    pub config_files: BTreeMap<Spanned<String>, String>,
    /// Files of the profile in the configuration layer.
    #[serde(default)]
    pub files: Vec<ImageFile>,
    /// Directories in the configuration layer.
    #[serde(default)]
    pub directories: Vec<ImageDirectory>,
    /// Symbolic links in the configuration layer: image path to target.
    #[serde(default)]
    pub links: BTreeMap<String, String>,
    /// TCP ports the program listens on.
    #[serde(default)]
    pub ports: Vec<u16>,
    /// Paths whose contents are kept when a container is removed.
    #[serde(default)]
    pub volumes: Vec<String>,
    /// The signal that stops the program, such as `SIGINT`.
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

/// A file of the profile, or all files below a folder of it, in an image. Exactly one of `source` and `tree` is set.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ImageFile {
    /// A file: its path relative to the profile's folder.
    pub source: Option<Spanned<String>>,
    /// A folder: its path relative to the profile's folder.
    pub tree: Option<Spanned<String>>,
    /// Image path of the file, or of the folder.
    pub path: Spanned<String>,
    /// Of a folder only the files that one of these patterns matches, with the wildcards of [`Image::drop`].
    #[serde(default)]
    pub only: Vec<Spanned<String>>,
    /// Permission bits of files, in octal. Default: `0644`, and in a folder `0755` for programs.
    pub mode: Option<Mode>,
    /// `UID:GID` or a user's name. Default: root.
    pub owner: Option<Spanned<String>>,
}

/// A directory in an image.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ImageDirectory {
    /// Image path.
    pub path: Spanned<String>,
    /// Permission bits, in octal.
    #[serde(default = "directory_mode")]
    pub mode: Mode,
    /// `UID:GID` or a user's name. Default: root.
    pub owner: Option<Spanned<String>>,
}
