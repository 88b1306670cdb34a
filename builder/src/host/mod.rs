//! The host side: a deployment in the folder that a bundle was unpacked into.
//!
//! Everything here also works by hand with the engine and compose: nothing is kept but what they keep. Health is asked
//! by running the service's own health command in its container, since podman tells none where systemd does not run.

mod engine;
mod load;
mod services;
mod tasks;

use std::path::{Path, PathBuf};

use anyhow::Result;
use sealift_layers::validate::Depth;

pub use engine::{Engine, Kind};
pub use load::load;
pub use services::{Health, State, Status};

use crate::bundle::{self, Bundle, Manifest};
use crate::failure::Failure;
use crate::profile::Profile;

/// A bundle's folder on the host, and what it says of itself.
#[derive(Debug)]
pub struct Deployment {
    /// The folder.
    pub folder: PathBuf,
    /// Its `bundle.json`.
    pub manifest: Manifest,
    /// Its profile.
    pub profile: Profile,
    bundle: Bundle,
}

impl Deployment {
    /// Opens the bundle that was unpacked in `folder`; nothing is checked but its form.
    ///
    /// # Errors
    /// [`Failure::usage`] when there is none.
    pub fn open(folder: &Path) -> Result<Self> {
        let folder = std::path::absolute(folder)?;
        let hint = "run it in the folder where the bundle was unpacked, or name that with --directory";
        let none = || Failure::usage(format!("{} is no unpacked bundle", folder.display())).hint(hint);
        if !folder.join(bundle::MANIFEST).is_file() {
            return Err(none().into());
        }
        let bundle = bundle::open(&folder)?;
        let manifest = bundle.manifest.clone().ok_or_else(none)?;
        let profile = Profile::load(&folder.join("profile"))?;
        Ok(Self { folder, manifest, profile, bundle })
    }

    /// Checks every digest of the bundle.
    ///
    /// # Errors
    /// [`Failure::verification`] with all that is wrong.
    pub fn verify(&self) -> Result<()> {
        let problems = self.bundle.verify(Depth::Blobs).problems;
        if problems.is_empty() {
            return Ok(());
        }
        let lines: Vec<String> = problems.iter().map(|problem| format!("  {problem}")).collect();
        let message = format!("the bundle in {} is damaged:\n{}", self.folder.display(), lines.join("\n"));
        Err(Failure::verification(message).hint("nothing was loaded or started: unpack the bundle again").into())
    }
}
