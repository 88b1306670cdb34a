//! Nix with stores of its own: nothing of the machine's changes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::{bundle, command, real};

/// Most that one command may take.
const LIMIT: Duration = Duration::from_secs(600);

/// A place with stores, which goes with it.
#[derive(Debug)]
pub struct Nix {
    place: TempDir,
    /// What every expression begins with: `lib`, the library of this repository.
    pub prelude: String,
}

impl Nix {
    /// Makes one. Needs root.
    ///
    /// # Errors
    /// Without root.
    pub fn new() -> Result<Self> {
        ensure!(rustix::process::geteuid().is_root(), "this test needs root: sudo tests/run");
        let (program, repository) = (bundle::program()?, real::repository().canonicalize()?);
        let program = program.canonicalize()?;
        let prelude = format!(
            "let lib = import {}/nix/lib.nix {{ sealift = {}; }}; in ",
            repository.display(),
            program.display()
        );
        Ok(Self { place: real::place(), prelude })
    }

    /// A path in the place.
    #[must_use]
    pub fn path(&self, relative: &str) -> PathBuf {
        self.place.path().join(relative)
    }

    /// A Nix command on the store of this name.
    #[must_use]
    pub fn command(&self, store: &str, program: &str) -> Command {
        let mut command = command::limited(LIMIT, program);
        // The program under test need not be linked statically, so its libraries are let in.
        let settings = "build-users-group =\nsubstituters =\nsandbox = true\n\
                        experimental-features = nix-command flakes\nextra-sandbox-paths = /lib? /lib64? /usr/lib?\n";
        command.arg("--store").arg(self.path(store)).env("NIX_CONFIG", settings).env("HOME", self.place.path());
        command.env_remove("XDG_CACHE_HOME").env_remove("NIX_REMOTE").env_remove("NIX_PATH");
        command.current_dir(self.place.path());
        command
    }

    /// Builds an expression, which may use `lib`; gives the path that it has in its store.
    ///
    /// # Errors
    /// When that fails.
    pub fn build(&self, store: &str, expression: &str, arguments: &[&str]) -> Result<String> {
        let mut build = self.command(store, "nix-build");
        build.args(["--no-out-link", "--expr", &format!("{}{expression}", self.prelude)]).args(arguments);
        Ok(command::output(&mut build)?.trim().to_owned())
    }

    /// Where a store path of the store of this name really is.
    #[must_use]
    pub fn real(&self, store: &str, path: &str) -> PathBuf {
        self.path(store).join(path.trim_start_matches('/'))
    }

    /// Adds a file or folder to a store; gives its path there.
    ///
    /// # Errors
    /// When that fails.
    pub fn add(&self, store: &str, path: &Path) -> Result<String> {
        let path = path.to_str().context("a path in UTF-8")?;
        Ok(command::output(self.command(store, "nix-store").args(["--add", path]))?.trim().to_owned())
    }
}
