//! Programs built from crates, with the machine's own cargo and its configuration of registries.
//!
//! Compiling runs code of the crate and its dependencies. It is one of two steps of a build that run such code (the other
//! compiles Python bytecode), and the bundle records it. All sources are pinned: the lock has the SHA-256 of the crate, the
//! crate contains a `Cargo.lock`, and that has the checksum of every dependency.

mod compile;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use sealift_deployment::bundle::Toolchain;
use sealift_deployment::failure::Failure;
use sealift_deployment::files::{self, temporary_directory};
use sealift_deployment::machine::Machine;
use sealift_deployment::process::{self, Finished, Keep, MESSAGES};
use sealift_layers::digest::Digest;
use serde::Deserialize;

pub use compile::{MANIFEST, Program, documents};

use crate::lock;
use crate::store::Store;

/// The longest run of cargo: it may compile for hours, but not for ever.
const LONGEST: Duration = Duration::from_secs(12 * 3600);

/// The machine's cargo.
#[derive(Clone, Debug)]
pub struct Cargo {
    cargo: OsString,
    /// `CARGO_HOME`.
    home: PathBuf,
    offline: bool,
    toolchain: Toolchain,
    /// Variables of the environment that would change the output of compilers.
    removed_variables: Vec<String>,
}

impl Cargo {
    /// The program that `CARGO` names, or else `cargo` in `PATH`. With `offline` it contacts no server.
    ///
    /// # Errors
    /// There is no cargo, rustc or C compiler.
    pub fn new(machine: &Machine, offline: bool) -> Result<Self> {
        let cargo = OsString::from(machine.var("CARGO").unwrap_or("cargo"));
        let home = machine.var("CARGO_HOME").map(PathBuf::from);
        let home = home.or_else(|| Some(Path::new(machine.var("HOME")?).join(".cargo")));
        let home =
            home.ok_or_else(|| Failure::usage("cannot find cargo's home: neither CARGO_HOME nor HOME is set"))?;
        let rustc = version_of(machine.var("RUSTC").unwrap_or("rustc"), "-vV")?;
        let rustc = rustc.lines().collect::<Vec<_>>().join(", ");
        let cc = version_of(machine.var("CC").unwrap_or("cc"), "--version")?;
        let cc = cc.lines().next().unwrap_or_default().to_owned();
        let removed_variables = machine.variables().filter(|name| affects_output(name)).map(str::to_owned).collect();
        // cargo is run in other directories.
        let home = std::path::absolute(home)?;
        Ok(Self { cargo, home, offline, toolchain: Toolchain { rustc, cc }, removed_variables })
    }

    /// The versions of the compilers.
    #[must_use]
    pub fn toolchain(&self) -> &Toolchain {
        &self.toolchain
    }

    /// Looks up a crate in cargo's registry.
    ///
    /// # Errors
    /// There is no such crate or version, or it has no `Cargo.lock` that pins its dependencies.
    pub fn resolve(&self, name: &str, version: &str) -> Result<lock::Crate> {
        let package = dependent(name, version)?;
        // cargo writes the checksum of the registry's index into its lock file.
        self.run(package.path(), &["generate-lockfile"])
            .with_context(|| format!("cannot find the crate {name} {version}"))?;
        let sha256 = checksum(&files::read_text(&package.path().join("Cargo.lock"))?, name, version)?;

        let file = self.file(name, version, &sha256)?;
        let size = file.metadata()?.len();
        let found = lock::Crate { name: name.to_owned(), version: version.to_owned(), size, sha256 };
        compile::pins_its_dependencies(&found, &file)?;
        Ok(found)
    }

    /// Fetches a locked crate into the store, unless it is there.
    ///
    /// # Errors
    /// cargo cannot fetch it, or its digest differs from the lock.
    pub fn fetch(&self, locked: &lock::Crate, store: &Store) -> Result<()> {
        if store.artifact(&locked.sha256, locked.size).is_none() {
            let file = self.file(&locked.name, &locked.version, &locked.sha256)?;
            let name = format!("the crate {} {}", locked.name, locked.version);
            store.add_artifact(&name, files::open(&file)?, &locked.sha256)?;
        }
        Ok(())
    }

    /// The crate's archive in cargo's cache. If it is not there, cargo fetches it.
    fn file(&self, name: &str, version: &str, sha256: &Digest) -> Result<PathBuf> {
        if let Some(file) = self.cached(name, version, sha256)? {
            return Ok(file);
        }
        // `cargo info` fetches only the crate, but does not work with a mirror in place of the default registry;
        // `cargo fetch` also fetches the dependencies.
        let package = dependent(name, version)?;
        if self.run(package.path(), &["info", "--quiet", &format!("{name}@{version}")]).is_err() {
            let fetched = self.run(package.path(), &["fetch"]);
            fetched.with_context(|| format!("cannot fetch the crate {name} {version}"))?;
        }
        self.cached(name, version, sha256)?.ok_or_else(|| {
            Failure::verification(format!("the crate {name} {version} does not have the digest {sha256} of the lock"))
                .hint("if the registry's content is right, run sealift lock")
                .into()
        })
    }

    fn cached(&self, name: &str, version: &str, sha256: &Digest) -> Result<Option<PathBuf>> {
        let cache = self.home.join("registry/cache");
        if !cache.is_dir() {
            return Ok(None);
        }
        // One folder per registry.
        for registry in files::sorted_dir(&cache)? {
            let file = registry.join(format!("{name}-{version}.crate"));
            if file.is_file() && Digest::of_reader(files::open(&file)?)?.digest == *sha256 {
                return Ok(Some(file));
            }
        }
        Ok(None)
    }

    /// Runs cargo in `directory`, without variables that affect its output.
    fn run(&self, directory: &Path, arguments: &[&str]) -> Result<Output> {
        self.run_with(directory, arguments, &[])
    }

    fn run_with(&self, directory: &Path, arguments: &[&str], variables: &[(&str, &OsStr)]) -> Result<Output> {
        let mut command = Command::new(&self.cargo);
        command.args(arguments).current_dir(directory).stdin(Stdio::null());
        if self.offline {
            command.arg("--offline");
        }
        for name in &self.removed_variables {
            command.env_remove(name);
        }
        command.env("CARGO_HOME", &self.home).env("CARGO_TERM_COLOR", "never").env("CARGO_TERM_PROGRESS_WHEN", "never");
        command.envs(variables.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|error| cannot_run(&self.cargo, error))?;
        let output = process::finish(child, Vec::new(), Keep::Last(MESSAGES), Keep::Last(MESSAGES), Some(LONGEST))
            .and_then(Finished::output)
            .with_context(|| format!("`{}` failed", self.cargo.display()))?;
        if output.status.success() { Ok(output) } else { Err(explain(&output, self.offline).into()) }
    }
}

/// A temporary package that depends on one crate.
fn dependent(name: &str, version: &str) -> Result<tempfile::TempDir> {
    let package = temporary_directory()?;
    let manifest = format!(
        "[package]\nname = \"sealift-lock\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n\
         [dependencies]\n{name} = \"={version}\"\n\n[workspace]\n"
    );
    fs_err::create_dir(package.path().join("src"))?;
    fs_err::write(package.path().join("src/lib.rs"), "")?;
    fs_err::write(package.path().join("Cargo.toml"), manifest)?;
    Ok(package)
}

/// Whether an environment variable affects the output of cargo or a compiler.
fn affects_output(name: &str) -> bool {
    const PREFIXES: [&str; 8] = [
        "CARGO_BUILD_",
        "CARGO_PROFILE_",
        "CARGO_TARGET_",
        "CARGO_ENCODED_",
        "RUSTC_",
        "CFLAGS",
        "CXXFLAGS",
        "CPPFLAGS",
    ];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || ["RUSTFLAGS", "LDFLAGS", "CARGO_INCREMENTAL"].contains(&name)
}

/// The version that a program prints.
fn version_of(program: &str, option: &str) -> Result<String> {
    let output = process::answer(Command::new(program).arg(option).env("LC_ALL", "C").stdin(Stdio::null()));
    let output = output.map_err(|error| cannot_run(OsStr::new(program), error))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::failed(format!("`{program} {option}` failed:\n{}", stderr.trim())).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn cannot_run(program: &OsStr, error: std::io::Error) -> Failure {
    let program = program.display();
    Failure::failed(format!("cannot run `{program}`, which builds the profile's crates"))
        .because(error)
        .hint("install Rust with cargo, and a C compiler (packages gcc and libc6-dev)")
}

/// The error for a failed run of cargo: the last lines of its output, and its kind.
fn explain(output: &Output, offline: bool) -> Failure {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = stderr.lines().collect();
    let text = lines[lines.len().saturating_sub(40)..].join("\n").trim().to_owned();
    let message = format!("cargo failed ({}):\n{text}", output.status);
    let has = |signs: &[&str]| signs.iter().any(|sign| text.contains(sign));
    if offline && has(&["--offline"]) {
        Failure::network(message)
            .hint("with --offline cargo uses only crates that it has fetched before: run once without --offline")
    } else if has(&["failed to download", "Could not resolve host", "Could not connect", "spurious network error"]) {
        Failure::network(message).hint("check the registry in cargo's configuration, and the network")
    } else {
        Failure::failed(message)
    }
}

/// The checksum of a package in the text of a `Cargo.lock`.
fn checksum(text: &str, name: &str, version: &str) -> Result<Digest> {
    #[derive(Deserialize)]
    struct Lock {
        package: Vec<Package>,
    }
    #[derive(Deserialize)]
    struct Package {
        name: String,
        version: String,
        checksum: Option<String>,
    }
    let lock: Lock = toml::from_str(text).context("cannot parse the Cargo.lock that cargo wrote")?;
    let found = lock.package.into_iter().find(|package| package.name == name && package.version == version);
    let checksum = found.and_then(|package| package.checksum).ok_or_else(|| {
        Failure::failed(format!("the registry has no checksum for the crate {name} {version}"))
            .hint("configure cargo to use a registry")
    })?;
    Ok(format!("sha256:{checksum}").parse()?)
}

#[cfg(test)]
mod tests;
