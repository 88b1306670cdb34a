//! The host side: a deployment in the folder that a bundle was unpacked into.
//!
//! Everything here also works by hand with the engine, or with compose: nothing is kept but what they keep. Health is asked
//! by running the service's own health command in its container, since podman tells none where systemd does not run.

mod answers;
mod doctor;
mod engine;
mod groups;
mod load;
mod made_from;
mod ports;
mod preflight;
mod services;
mod space;
mod start;
mod system;
pub mod systemd;
mod tasks;
mod volumes;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use sealift_layers::validate::{Depth, Violation};

pub use engine::{Engine, Kind};
pub use load::load;
pub use preflight::Host;
pub use services::{Health, Settings, State, Status};
pub use start::Deadline;

use crate::bundle::{self, Bundle, Manifest};
use crate::failure::Failure;
use crate::profile::Profile;
use crate::render::container::Place;

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

    /// Checks every digest of the bundle. Layers are not unpacked: the engine does that with those that it loads.
    ///
    /// # Errors
    /// [`Failure::verification`] with all that is wrong.
    pub fn verify(&self) -> Result<()> {
        self.sound(self.bundle.verify(Depth::Digests).violations)
    }

    /// As [`Deployment::verify`], while the engine tells of itself: podman takes as long for that.
    ///
    /// # Errors
    /// As [`Deployment::verify`]; what the engine cannot tell is the error of whoever asks it next.
    pub fn verify_beside(&self, engine: &Engine) -> Result<()> {
        std::thread::scope(|scope| {
            scope.spawn(|| engine.facts());
            self.verify()
        })
    }

    /// As [`Deployment::verify`], but without the images: what is run on the host by this program.
    ///
    /// # Errors
    /// As [`Deployment::verify`].
    pub fn verify_files(&self) -> Result<()> {
        self.sound(self.bundle.verify_files())
    }

    fn sound(&self, problems: Vec<Violation>) -> Result<()> {
        if problems.is_empty() {
            return Ok(());
        }
        let lines: Vec<String> = problems.iter().map(|problem| format!("  {problem}")).collect();
        let message = format!("the bundle in {} is damaged:\n{}", self.folder.display(), lines.join("\n"));
        Err(Failure::verification(message).hint("nothing was loaded or started: unpack the bundle again").into())
    }

    /// What `.env` sets: empty while there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn variables(&self) -> Result<BTreeMap<String, String>> {
        match fs_err::read_to_string(self.folder.join(".env")) {
            Ok(text) => Ok(variables(&text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(error.into()),
        }
    }

    /// What the host decides about its containers.
    ///
    /// # Errors
    /// As [`Deployment::variables`], and where the folder's path is not in UTF-8.
    pub fn place(&self) -> Result<Place> {
        let folder = self.folder.to_str().ok_or_else(|| {
            let folder = self.folder.display();
            Failure::usage(format!("{folder}: the folder's path is not in UTF-8"))
                .hint("move the bundle to another one")
        })?;
        Ok(Place::new(&self.profile.model, folder, self.variables()?))
    }
}

/// The variables of a text as compose reads it: `NAME=VALUE`, perhaps in quotes; comments and empty lines apart.
fn variables(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.trim_start_matches("export ").split_once('='));
    pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().trim_matches(['"', '\'']).to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_as_compose_reads_them() {
        let read = variables("# a comment\n\nA=1\n export B = \"two words\"\nC='x=y'\nD=\nno variable\n");
        let pairs: Vec<(&str, &str)> = read.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("A", "1"), ("B", "two words"), ("C", "x=y"), ("D", "")]);
    }
}
