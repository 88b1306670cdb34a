//! Options that several commands have.

use std::num::NonZero;
use std::path::PathBuf;

use clap::Args;
use sealift_deployment::machine::Machine;
use sealift_deployment::ui::Ui;

use crate::store::Store;
use crate::upstream::{Choices, Upstream};

/// Which servers to ask.
#[derive(Args, Debug)]
pub(super) struct Servers {
    /// Root of a Debian mirror, in place of the one this machine is set up to use
    ///
    /// Otherwise SEALIFT_DEBIAN_MIRROR, then `debian-mirror` in ~/.config/sealift/config.toml, then the
    /// machine's apt sources.
    #[arg(long, value_name = "URL", verbatim_doc_comment)]
    debian_mirror: Option<String>,
    /// Root of a Python index's simple API, in place of the one this machine is set up to use
    ///
    /// Otherwise PIP_INDEX_URL or UV_DEFAULT_INDEX, then pip's and uv's configuration, then what uv
    /// says its default is.
    #[arg(long, value_name = "URL", verbatim_doc_comment)]
    python_index: Option<String>,
}

impl Servers {
    pub(super) fn open<'m>(&self, machine: &'m Machine, offline: bool) -> anyhow::Result<Upstream<'m>> {
        let choices =
            Choices { debian_mirror: self.debian_mirror.clone(), python_index: self.python_index.clone(), offline };
        Upstream::new(machine, choices)
    }
}

/// Where the store is.
#[derive(Args, Debug)]
pub(super) struct StoreOption {
    /// Folder of fetched artifacts and finished layers
    ///
    /// Otherwise SEALIFT_STORE, then `sealift` in the user's cache folder (~/.cache).
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
}

impl StoreOption {
    pub(super) fn open(&self, machine: &Machine) -> anyhow::Result<Store> {
        Store::open(&Store::place(self.store.as_deref(), machine)?)
    }
}

/// What somebody else has fetched.
#[derive(Args, Debug)]
pub(super) struct Artifacts {
    /// Files, or folders of files, to use in place of fetching: what counts is their SHA-256; may be repeated
    #[arg(long, value_name = "PATH")]
    artifacts: Vec<PathBuf>,
}

impl Artifacts {
    /// Puts what is needed of them into the store.
    pub(super) fn take(&self, plan: &crate::plan::Plan<'_>, store: &Store) -> anyhow::Result<()> {
        if self.artifacts.is_empty() { Ok(()) } else { crate::exchange::take_artifacts(plan, store, &self.artifacts) }
    }
}

/// What is built for.
#[derive(Args, Debug)]
pub(super) struct PlatformOption {
    /// Platform of the images, as OCI writes it
    #[arg(long, value_name = "OS/ARCH", default_value = "linux/amd64")]
    platform: String,
}

impl PlatformOption {
    /// The platform, if the profile is made for it.
    pub(super) fn of(&self, profile: &sealift_deployment::profile::Profile) -> anyhow::Result<&str> {
        let known: Vec<&str> = profile.model.platforms.iter().map(|platform| platform.get_ref().as_str()).collect();
        if known.contains(&self.platform.as_str()) {
            return Ok(&self.platform);
        }
        let name = profile.model.name.get_ref();
        Err(sealift_deployment::failure::Failure::usage(format!(
            "the profile {name} is not made for {}",
            self.platform
        ))
        .hint(format!("its platforms: {}", known.join(", ")))
        .into())
    }
}

/// How many threads work.
#[derive(Args, Debug)]
pub(super) struct Jobs {
    /// Threads that unpack and compress; the result does not depend on it [default: one per processor]
    #[arg(long, short, value_name = "N")]
    jobs: Option<NonZero<usize>>,
}

impl Jobs {
    pub(super) fn count(&self) -> usize {
        self.jobs.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZero::get)
    }
}

pub(super) fn ui(machine: &Machine, context: &super::Context) -> Ui {
    Ui::stderr(machine, context.quiet)
}
