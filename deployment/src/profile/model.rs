//! The shape of `profile.toml`. Every key is explained in `profiles/README.md`.
//!
//! Strings that a message may have to point at are [`Spanned`]: byte ranges of the file.

mod site;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use toml::Spanned;

pub use site::*;

/// A whole profile: what is deployed.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Model {
    /// Version of this format: 1.
    pub schema: Spanned<u32>,
    /// The profile's own name; the folder's name by convention.
    pub name: Spanned<String>,
    /// What is deployed: first part of the bundle's file name and of image names.
    pub product: Spanned<String>,
    /// Version of the product: part of the bundle's file name, tag of the images.
    pub version: Spanned<String>,
    /// One line for lists and image labels.
    pub title: String,
    /// A few sentences for the operator's README.
    #[serde(default)]
    pub description: String,
    /// How the bundle is run on the host.
    #[serde(default)]
    pub deployment: Deployed,
    /// `org.opencontainers.image.*` labels common to all images, by the part after `image.`: `licenses`, `source` ...
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Platforms it can be locked and built for, as OCI writes them (`linux/amd64`).
    #[serde(default = "default_platforms")]
    pub platforms: Vec<Spanned<String>>,
    /// Where Debian packages come from.
    pub debian: Spanned<Debian>,
    /// What every image begins with.
    #[serde(default)]
    pub base: Base,
    /// The images, by name.
    pub images: BTreeMap<Spanned<String>, Image>,
    /// The services of the deployment, by name; the name is also the host name on their network.
    pub services: BTreeMap<Spanned<String>, Service>,
    /// Volumes whose contents only one version can read, by name.
    #[serde(default)]
    pub volumes: BTreeMap<Spanned<String>, Volume>,
    /// What operators can have done, by name: `sealift task NAME`.
    #[serde(default)]
    pub tasks: BTreeMap<Spanned<String>, Task>,
    /// What one installation must have.
    #[serde(default)]
    pub site: Site,
    /// One line that `sealift up` ends with: what to do next.
    pub next: Option<String>,
    /// Text for the operator, appended to the bundle's README: a file of the profile (Markdown).
    pub readme: Option<Spanned<String>>,
}

fn default_platforms() -> Vec<Spanned<String>> {
    vec![Spanned::new(0..0, "linux/amd64".into())]
}

/// How a bundle is run on the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deployed {
    /// As containers, by podman or Docker; a compose file lies beside them for the way by hand.
    #[default]
    Compose,
    /// Without containers: the image's files lie in a folder, and its services are units of systemd.
    Systemd,
}

/// The Debian suite that packages are resolved in.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Debian {
    /// Suite or codename: the folder below `dists/`.
    pub suite: Spanned<String>,
    /// Components, such as `main`.
    pub components: Vec<String>,
    /// Keyring file, relative to the profile; without it the machine's Debian archive keyring.
    pub keyring: Option<Spanned<String>>,
    /// Accept a Release file past its `Valid-Until`: for mirrors that lag or are frozen on purpose.
    #[serde(default)]
    pub allow_expired: bool,
    /// Packages left out of every image though something depends on them, and why.
    #[serde(default)]
    pub exclude: BTreeMap<Spanned<String>, String>,
}

/// What every image begins with: put before the image's own lists, so that all images share one base layer.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Base {
    /// Debian packages of every image.
    #[serde(default)]
    pub packages: Vec<Spanned<String>>,
    /// Files and folders of packages that every image leaves out, as [`Image::drop`].
    #[serde(default)]
    pub drop: Vec<Spanned<String>>,
    /// What stays although a `drop` pattern, the base's or the image's, matches it or a folder above it: licences.
    #[serde(default)]
    pub keep: Vec<Spanned<String>>,
    /// Symbolic links of every image, as [`Image::links`].
    #[serde(default)]
    pub links: BTreeMap<String, String>,
}

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

/// A Python virtual environment.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Venv {
    /// Its image path.
    pub path: Spanned<String>,
    /// The interpreter: a Debian package such as `python3.14`, among the image's packages.
    pub python: Spanned<String>,
    /// What is wanted, as pip writes it (PEP 508).
    pub requirements: Vec<Spanned<String>>,
    /// Distributions that belong to the application's own layer; all others are third-party.
    #[serde(default)]
    pub application: Vec<Spanned<String>>,
    /// Distributions left out though something requires them, and why.
    #[serde(default)]
    pub exclude: BTreeMap<Spanned<String>, String>,
    /// Compile bytecode for the venv and the standard library.
    #[serde(default = "yes")]
    pub bytecode: bool,
}

fn yes() -> bool {
    true
}

/// A program that is built from its crate, statically linked, and put into `/usr/local/bin`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Crate {
    /// The crate's name.
    pub name: Spanned<String>,
    /// Its exact version.
    pub version: Spanned<String>,
    /// The program: one of the crate's binaries.
    pub binary: Spanned<String>,
    /// Features besides the default ones.
    #[serde(default)]
    pub features: Vec<String>,
}

/// A closure of a Nix store: its paths are in the image, each where it is on a machine with Nix.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Nix {
    /// What `nix path-info --json --recursive` says of it: a file of the profile.
    pub closure: Spanned<String>,
    /// How many layers it makes at most.
    #[serde(default = "default_nix_layers")]
    pub layers: Spanned<u32>,
}

fn default_nix_layers() -> Spanned<u32> {
    Spanned::new(0..0, super::names::NIX_LAYERS)
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

/// Permission bits, written as an octal string: `"0750"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode(pub u32);

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match u32::from_str_radix(&text, 8) {
            Ok(mode) if mode <= 0o7777 => Ok(Self(mode)),
            _ => Err(serde::de::Error::custom(format!("`{text}` is not a mode: write octal digits such as \"0644\""))),
        }
    }
}

fn file_mode() -> Mode {
    Mode(0o644)
}

fn directory_mode() -> Mode {
    Mode(0o755)
}

/// One service of the deployment.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Service {
    /// The image it runs.
    pub image: Spanned<String>,
    /// One line for the operator.
    #[serde(default)]
    pub title: String,
    /// Arguments in the place of the image's command.
    #[serde(default)]
    pub command: Vec<String>,
    /// Environment variables that are not secret.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Site templates whose variables it gets, secret or not: names of `site.templates`.
    #[serde(default)]
    pub env_files: Vec<Spanned<String>>,
    /// Files of the site mounted read-only under `/run/secrets/`: secrets with a file (`site.secrets`), `NAME.key`
    /// and `NAME.crt` of `site.certificates`, `custom-ca.crt`.
    #[serde(default)]
    pub secrets: Vec<Spanned<String>>,
    /// Site templates mounted read-only: name of `site.templates` to container path.
    #[serde(default)]
    pub config_files: BTreeMap<Spanned<String>, String>,
    /// Named volumes: name to container path.
    #[serde(default)]
    pub volumes: BTreeMap<String, String>,
    /// The container's own files cannot be changed: it writes to volumes and `tmpfs` only.
    #[serde(default)]
    pub read_only: bool,
    /// Container paths that are empty and in memory at each start.
    #[serde(default)]
    pub tmpfs: Vec<String>,
    /// Published ports: name of `site.ports` to container port. No others are reachable from outside.
    #[serde(default)]
    pub publish: BTreeMap<Spanned<String>, u16>,
    /// Services started before it.
    #[serde(default)]
    pub depends_on: Vec<Spanned<String>>,
    /// How its health is told.
    pub health: Option<Health>,
}

/// A health check: a command inside the container that exits with 0 when all is well.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Health {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Seconds between two checks.
    #[serde(default = "default_interval")]
    pub interval: u32,
    /// Seconds that one check may take.
    #[serde(default = "default_interval")]
    pub timeout: u32,
    /// Failures in a row that make it unhealthy.
    #[serde(default = "default_retries")]
    pub retries: u32,
    /// Seconds after the start in which failures do not count.
    #[serde(default)]
    pub start_period: u32,
}

fn default_interval() -> u32 {
    5
}

fn default_retries() -> u32 {
    12
}

/// A volume whose contents only one version of a program can read.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Volume {
    /// Files in it whose first line is the version that wrote it: paths below the volume, `*` for any name.
    pub version_files: Vec<String>,
    /// The version that the images have. The volume is as good as empty when there are no such files.
    pub version: String,
    /// What the operator does about another version.
    pub upgrade: String,
}

/// Something that operators can have done: a command in a service's container.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Task {
    /// One line: its help.
    pub title: String,
    /// The service whose container it is run in.
    pub service: Spanned<String>,
    /// With `run = "exec"` the program and its arguments; with `"once"` arguments in the place of the service's.
    pub command: Vec<String>,
    /// What the operator gives beside the name, in this order; appended to the command.
    #[serde(default)]
    pub arguments: Vec<Spanned<String>>,
    /// Which container.
    #[serde(default)]
    pub run: Run,
    /// When it is run by itself.
    pub on: Option<On>,
}

/// Which container a task is run in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Run {
    /// The service's own, which is running.
    #[default]
    Exec,
    /// One of its own, made as the service's and removed afterwards.
    Once,
}

/// When a task is run by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum On {
    /// By `sealift up`, before it starts the service; not when that runs already.
    Up,
}
