//! Options that several commands share.

use std::num::NonZero;
use std::path::PathBuf;

use clap::Args;
use sealift_deployment::failure::Failure;
use sealift_deployment::machine::Machine;
use sealift_deployment::profile::Profile;
use sealift_deployment::ui::Ui;
use sealift_layers::platform::Platform;

use crate::servers::{self, Servers};
use crate::signing::Password;
use crate::store::Store;

/// Heading in `--help` for the options about servers.
const SERVERS: &str = "Servers";

/// The servers to fetch from.
#[derive(Args, Debug)]
pub(super) struct ServerOptions {
    /// URL of the Debian mirror's root; may be repeated: if one fails, the next is tried
    ///
    /// NAME=URL is for the profile's archive NAME. Default: SEALIFT_DEBIAN_MIRROR, else `debian-mirror` in
    /// ~/.config/sealift/config.toml, else the machine's apt sources. `sealift mirrors` shows what is used.
    #[arg(long, value_name = "[NAME=]URL", help_heading = SERVERS)]
    debian_mirror: Vec<String>,
    /// URL of the Python index's simple API
    ///
    /// Default: PIP_INDEX_URL or UV_DEFAULT_INDEX, else `python-index` in ~/.config/sealift/config.toml,
    /// else the configuration of pip, then of uv, else uv's default index. Further indexes are those of pip and uv.
    #[arg(long, value_name = "URL", help_heading = SERVERS)]
    python_index: Option<String>,
    /// Folder, or URL of a server, that has the profile's archives; may be repeated: if one fails, the next is tried
    ///
    /// Default: SEALIFT_ARCHIVES, else `archive-mirror` in ~/.config/sealift/config.toml. Archives in the profile's folder are
    /// used without it.
    #[arg(long, value_name = "DIR|URL", help_heading = SERVERS)]
    archives: Vec<String>,
}

impl ServerOptions {
    pub(super) fn open<'m>(&self, machine: &'m Machine, offline: bool) -> anyhow::Result<Servers<'m>> {
        self.open_at(machine, offline, None)
    }

    /// The servers, with the Debian archives as they were at a time in seconds since 1970.
    pub(super) fn open_at<'m>(
        &self,
        machine: &'m Machine,
        offline: bool,
        at: Option<u64>,
    ) -> anyhow::Result<Servers<'m>> {
        let options = servers::Options {
            debian_mirrors: self.debian_mirror.clone(),
            python_index: self.python_index.clone(),
            archives: self.archives.clone(),
            at,
            offline,
        };
        Servers::new(machine, options)
    }
}

/// The folder of the store.
#[derive(Args, Debug)]
pub(super) struct StoreOption {
    /// Folder for fetched artifacts and finished layers
    ///
    /// Default: SEALIFT_STORE, else `sealift` in the user's cache folder (~/.cache).
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
}

impl StoreOption {
    pub(super) fn open(&self, machine: &Machine) -> anyhow::Result<Store> {
        Store::open(&Store::place(self.store.as_deref(), machine)?)
    }

    /// The store, for commands that have nothing to do in a new one.
    ///
    /// # Errors
    /// When it does not exist, which is a mistyped path more often than an unused store.
    pub(super) fn open_existing(&self, machine: &Machine) -> anyhow::Result<Store> {
        let root = Store::place(self.store.as_deref(), machine)?;
        if !root.is_dir() {
            return Err(Failure::usage(format!("no store in {}", root.display()))
                .hint("the first build makes it; `--store` names another folder")
                .into());
        }
        Store::open(&root)
    }
}

/// The platform of the images.
#[derive(Args, Debug)]
pub(super) struct PlatformOption {
    /// Platform of the images, as OCI writes it
    #[arg(long, value_name = "OS/ARCH", default_value = "linux/amd64")]
    platform: Platform,
}

impl PlatformOption {
    /// The platform.
    ///
    /// # Errors
    /// A usage failure if the profile does not support it.
    pub(super) fn of(&self, profile: &Profile) -> anyhow::Result<Platform> {
        let supported: Vec<&str> = profile.model.platforms.iter().map(|platform| platform.get_ref().as_str()).collect();
        if supported.contains(&self.platform.to_string().as_str()) {
            return Ok(self.platform);
        }
        let name = profile.model.name.get_ref();
        Err(Failure::usage(format!("the profile {name} does not support {}", self.platform))
            .hint(format!("supported platforms: {}", supported.join(", ")))
            .into())
    }
}

/// The number of threads.
#[derive(Args, Debug)]
pub(super) struct Jobs {
    /// Number of threads; does not affect the result [default: one per processor]
    #[arg(long, short, value_name = "N", value_parser = threads)]
    jobs: Option<NonZero<usize>>,
}

fn threads(text: &str) -> Result<NonZero<usize>, &'static str> {
    text.parse().map_err(|_| "the number of threads is at least 1")
}

impl Jobs {
    pub(super) fn count(&self) -> usize {
        self.jobs.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZero::get)
    }
}

/// How the password of a private key is given.
#[derive(Args, Debug)]
pub(super) struct PasswordOption {
    /// File whose first line is the private key's password, instead of asking for it
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl PasswordOption {
    pub(super) fn password(&self) -> Password {
        self.password_file.clone().map_or(Password::Ask, Password::File)
    }
}

/// Progress and messages on standard error.
pub(super) fn ui(machine: &Machine, context: &super::Context) -> Ui {
    Ui::stderr(machine, context.quiet)
}
