//! Programs built from their crates: by the machine's own cargo, from wherever that is set up to get crates.
//!
//! Compiling runs code of the crate and of what it depends on. It is one of the two places where a build does that (the
//! other is Python bytecode), and the bundle records it. What is compiled is pinned all the way: the lock has the SHA-256 of
//! the crate, the crate holds its own `Cargo.lock`, and that has the checksum of every dependency.

mod compile;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result};
use sealift_deployment::bundle::Toolchain;
use sealift_deployment::failure::Failure;
use sealift_deployment::machine::Machine;
use sealift_layers::digest::Digest;
use serde::Deserialize;

pub use compile::{Program, RECIPE};

use crate::lock;
use crate::store::Store;

/// The machine's cargo.
#[derive(Clone, Debug)]
pub struct Cargo {
    cargo: OsString,
    home: PathBuf,
    offline: bool,
    toolchain: Toolchain,
}

impl Cargo {
    /// The cargo that `CARGO` names, or the one that the system finds. With `offline` it asks no server.
    ///
    /// # Errors
    /// When there is no cargo, rustc or C compiler.
    pub fn new(machine: &Machine, offline: bool) -> Result<Self> {
        let cargo = OsString::from(machine.var("CARGO").unwrap_or("cargo"));
        let home = machine.var("CARGO_HOME").map(PathBuf::from);
        let home = home.or_else(|| Some(Path::new(machine.var("HOME")?).join(".cargo")));
        let home = home.ok_or_else(|| Failure::usage("no folder of cargo: neither CARGO_HOME nor HOME is set"))?;
        let rustc = said(machine.var("RUSTC").unwrap_or("rustc"), "-vV")?;
        let rustc = rustc.lines().collect::<Vec<_>>().join(", ");
        let cc = said(machine.var("CC").unwrap_or("cc"), "--version")?;
        let cc = cc.lines().next().unwrap_or_default().to_owned();
        // What it keeps is looked for there whatever the current directory is.
        Ok(Self { cargo, home: std::path::absolute(home)?, offline, toolchain: Toolchain { rustc, cc } })
    }

    /// What compiles.
    #[must_use]
    pub fn toolchain(&self) -> &Toolchain {
        &self.toolchain
    }

    /// Finds a crate in the registry that cargo is set up to use.
    ///
    /// # Errors
    /// When there is no such crate or version, or it is no program that pins what it depends on.
    pub fn resolve(&self, name: &str, version: &str) -> Result<lock::Crate> {
        let package = dependent(name, version)?;
        // cargo writes the checksum, as the registry's index has it, into its lock.
        self.run(package.path(), &["generate-lockfile"]).with_context(|| format!("cannot find {name} {version}"))?;
        let sha256 = checksum(&fs_err::read_to_string(package.path().join("Cargo.lock"))?, name, version)?;

        let file = self.file(name, version, &sha256)?;
        let size = file.metadata()?.len();
        let found = lock::Crate { name: name.to_owned(), version: version.to_owned(), size, sha256 };
        compile::pins_its_dependencies(&found, &file)?;
        Ok(found)
    }

    /// Puts a locked crate into the store, if it is not there.
    ///
    /// # Errors
    /// When cargo cannot get it, or gets another one than the lock's.
    pub fn fetch(&self, locked: &lock::Crate, store: &Store) -> Result<()> {
        if store.artifact(&locked.sha256, locked.size).is_none() {
            let file = self.file(&locked.name, &locked.version, &locked.sha256)?;
            let name = format!("the crate {} {}", locked.name, locked.version);
            store.add_artifact(&name, fs_err::File::open(file)?, &locked.sha256)?;
        }
        Ok(())
    }

    /// The crate's archive in cargo's own cache, where cargo puts it if it has to.
    fn file(&self, name: &str, version: &str, sha256: &Digest) -> Result<PathBuf> {
        if let Some(file) = self.cached(name, version, sha256)? {
            return Ok(file);
        }
        // Prints what the crate's manifest says, for which it fetches the crate alone; where the default registry is
        // replaced by a mirror it does not work, and all that the crate depends on has to come along.
        let package = dependent(name, version)?;
        if self.run(package.path(), &["info", "--quiet", &format!("{name}@{version}")]).is_err() {
            let fetched = self.run(package.path(), &["fetch"]);
            fetched.with_context(|| format!("cannot fetch the crate {name} {version}"))?;
        }
        self.cached(name, version, sha256)?.ok_or_else(|| {
            Failure::verification(format!("cargo has no crate {name} {version} with the digest {sha256}"))
                .hint("the registry has another one than the lock: sealift lock, if that is right")
                .into()
        })
    }

    fn cached(&self, name: &str, version: &str, sha256: &Digest) -> Result<Option<PathBuf>> {
        let cache = self.home.join("registry/cache");
        if !cache.is_dir() {
            return Ok(None);
        }
        // One folder per registry; the digest tells whose it is.
        for registry in sealift_deployment::files::sorted_dir(&cache)? {
            let file = registry.join(format!("{name}-{version}.crate"));
            if file.is_file() && Digest::of(&fs_err::read(&file)?) == *sha256 {
                return Ok(Some(file));
            }
        }
        Ok(None)
    }

    /// Runs cargo in `directory`, with nothing of the environment that changes what it makes.
    fn run(&self, directory: &Path, arguments: &[&str]) -> Result<Output> {
        self.run_with(directory, arguments, &[])
    }

    fn run_with(&self, directory: &Path, arguments: &[&str], variables: &[(&str, &OsStr)]) -> Result<Output> {
        let mut command = Command::new(&self.cargo);
        command.args(arguments).current_dir(directory).stdin(Stdio::null());
        if self.offline {
            command.arg("--offline");
        }
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(decides) {
                command.env_remove(name);
            }
        }
        command.env("CARGO_HOME", &self.home).env("CARGO_TERM_COLOR", "never").env("CARGO_TERM_PROGRESS_WHEN", "never");
        let output = command.envs(variables.iter().copied()).output().map_err(|error| missing(&self.cargo, &error))?;
        if output.status.success() { Ok(output) } else { Err(explain(&output, self.offline).into()) }
    }
}

/// A package that depends on a crate and on nothing else.
fn dependent(name: &str, version: &str) -> Result<tempfile::TempDir> {
    let package = tempfile::tempdir().context("a directory for cargo")?;
    let manifest = format!(
        "[package]\nname = \"sealift-lock\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n\
         [dependencies]\n{name} = \"={version}\"\n\n[workspace]\n"
    );
    fs_err::create_dir(package.path().join("src"))?;
    fs_err::write(package.path().join("src/lib.rs"), "")?;
    fs_err::write(package.path().join("Cargo.toml"), manifest)?;
    Ok(package)
}

/// Whether a variable of the environment changes what cargo and compilers make.
fn decides(name: &str) -> bool {
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

/// What a program says of itself.
fn said(program: &str, option: &str) -> Result<String> {
    let output = Command::new(program).arg(option).env("LC_ALL", "C").stdin(Stdio::null()).output();
    let output = output.map_err(|error| missing(OsStr::new(program), &error))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::failed(format!("`{program} {option}` failed:\n{}", words.trim())).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn missing(program: &OsStr, error: &std::io::Error) -> Failure {
    let message = format!("the profile has a program built from its crate, and `{}` cannot be run", program.display());
    Failure::failed(format!("{message}: {error}")).hint("install Rust with cargo, and a C compiler (gcc and libc6-dev)")
}

/// What cargo said last, and whether it is about the network.
fn explain(output: &Output, offline: bool) -> Failure {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = stderr.lines().collect();
    let said = lines[lines.len().saturating_sub(40)..].join("\n").trim().to_owned();
    let message = format!("cargo failed ({}):\n{said}", output.status);
    let has = |signs: &[&str]| signs.iter().any(|sign| said.contains(sign));
    if offline && has(&["--offline"]) {
        Failure::network(message).hint("--offline takes only what cargo has fetched before: build once without it")
    } else if has(&["failed to download", "Could not resolve host", "Could not connect", "spurious network error"]) {
        Failure::network(message).hint("crates come from where cargo is set up to get them: check its configuration")
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
    let lock: Lock = toml::from_str(text).context("cannot read the lock that cargo made")?;
    let found = lock.package.into_iter().find(|package| package.name == name && package.version == version);
    let checksum = found.and_then(|package| package.checksum).ok_or_else(|| {
        Failure::failed(format!("the registry has no checksum of the crate {name} {version}"))
            .hint("cargo must be set up to get crates from a registry")
    })?;
    Ok(format!("sha256:{checksum}").parse()?)
}

#[cfg(test)]
mod tests;
