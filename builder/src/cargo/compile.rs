//! One compilation: a verified crate in, a stripped, statically linked program out.

use std::ffi::{OsStr, OsString};
use std::io::{BufReader, Read, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use flate2::read::GzDecoder;
use sealift_deployment::failure::Failure;
use sealift_layers::tree::TreePath;

use super::Cargo;
use crate::bundle::program;
use crate::lock;
use crate::store::Store;

/// Part of the keys: changes whenever the same crate and toolchain give another program.
pub const RECIPE: &str = "crate/1: release profile, locked, crt-static, stripped, paths remapped";

/// A crate does not hold more than this when it is unpacked, in bytes.
const UNPACKED_LIMIT: u64 = 1 << 30;

/// What is to be compiled.
#[derive(Clone, Copy, Debug)]
pub struct Program<'a> {
    /// The crate, which is in the store.
    pub locked: &'a lock::Crate,
    /// The program's name.
    pub binary: &'a str,
    /// Features besides the default ones.
    pub features: &'a [String],
    /// The architecture as OCI names it: `amd64`.
    pub architecture: &'a str,
}

impl Cargo {
    /// Compiles `program` from `archive`, the verified crate, and writes it to `output`. `jobs` processes work at a time.
    ///
    /// # Errors
    /// When the crate is not what it should be, cargo fails, or the program needs a dynamic loader.
    pub fn compile(
        &self,
        program: &Program<'_>,
        archive: &Path,
        store: &Store,
        jobs: usize,
        output: &Path,
    ) -> Result<()> {
        let Program { locked, binary, features, architecture } = *program;
        let target = target(architecture)?;
        // cargo runs here, beside the crate: nothing that the crate holds for developers, such as a choice of toolchain,
        // counts.
        let work = store.temporary_directory()?;
        let work = work.path().canonicalize()?;
        let sources = unpacked(locked, archive, &work)?;
        let manifest = sources.join("Cargo.toml");
        // It is its own workspace, whatever lies above the store.
        let mut text = fs_err::OpenOptions::new().append(true).open(&manifest)?;
        text.write_all(b"\n[workspace]\n")?;
        drop(text);

        let manifest = manifest.display().to_string();
        let common = ["--locked", "--manifest-path", &manifest, "--target", target];
        let what = || format!("cannot compile {} {}", locked.name, locked.version);
        self.run(&work, &[&["fetch"][..], &common].concat()).with_context(what)?;

        let folder = work.join("target");
        let (rust, c) = self.flags(&work)?;
        let variables: [(&str, &OsStr); 9] = [
            ("CARGO_TARGET_DIR", folder.as_os_str()),
            ("CARGO_ENCODED_RUSTFLAGS", &rust),
            ("CFLAGS", &c),
            ("CXXFLAGS", &c),
            ("CARGO_PROFILE_RELEASE_STRIP", OsStr::new("symbols")),
            ("CARGO_PROFILE_RELEASE_DEBUG", OsStr::new("false")),
            ("CARGO_INCREMENTAL", OsStr::new("0")),
            // For what writes the time into what it makes; no crate is from before this.
            ("SOURCE_DATE_EPOCH", OsStr::new("1431648000")),
            ("LC_ALL", OsStr::new("C")),
        ];
        let (jobs, features) = (jobs.to_string(), features.join(","));
        let own = ["build", "--release", "--bin", binary, "--features", &features, "--jobs", &jobs];
        self.run_with(&work, &[&own[..], &common].concat(), &variables).with_context(what)?;

        let made = folder.join(target).join("release").join(binary);
        if !program::runs_anywhere(&made, architecture)? {
            let message = format!("{binary} of {} {} is not statically linked", locked.name, locked.version);
            return Err(Failure::failed(message).hint("it would need the libraries of this very machine").into());
        }
        fs_err::copy(made, output)?;
        Ok(())
    }

    /// Flags of rustc, as `CARGO_ENCODED_RUSTFLAGS` wants them, and of C compilers: no path of this machine gets into the
    /// program. Each registry's sources are in a folder that is named after its host.
    fn flags(&self, work: &Path) -> Result<(OsString, OsString)> {
        let mut folders = vec![(self.home.clone(), "/cargo"), (work.to_owned(), "/build")];
        let sources = self.home.join("registry/src");
        if sources.is_dir() {
            folders.extend(
                sealift_deployment::files::sorted_dir(&sources)?.into_iter().map(|folder| (folder, "/registry")),
            );
        }
        let (mut rust, mut c) = (OsString::from("-Ctarget-feature=+crt-static"), OsString::new());
        // The last one that fits wins.
        for (folder, name) in folders {
            rust.push("\u{1f}--remap-path-prefix=");
            rust.push(&folder);
            rust.push(format!("={name}"));
            c.push(" -ffile-prefix-map=");
            c.push(&folder);
            c.push(format!("={name}"));
        }
        Ok((rust, c))
    }
}

/// Fails for a crate that lets its dependencies float.
pub(super) fn pins_its_dependencies(locked: &lock::Crate, archive: &Path) -> Result<()> {
    let mut pins = false;
    files(locked, archive, |path, _| {
        pins |= path.as_str().split_once('/').is_some_and(|(_, path)| path == "Cargo.lock");
        Ok(())
    })?;
    if pins {
        return Ok(());
    }
    let message =
        format!("the crate {} {} has no Cargo.lock: it does not pin its dependencies", locked.name, locked.version);
    Err(Failure::failed(message).hint("only crates of programs can be used; a later version may have one").into())
}

/// Unpacks a crate below `work`; gives the folder of its manifest.
fn unpacked(locked: &lock::Crate, archive: &Path, work: &Path) -> Result<PathBuf> {
    files(locked, archive, |path, content| {
        let file = work.join(path.as_str());
        fs_err::create_dir_all(file.parent().unwrap_or(work))?;
        std::io::copy(content, &mut fs_err::File::create_new(file)?)?;
        Ok(())
    })?;
    Ok(work.join(folder(locked)))
}

fn folder(locked: &lock::Crate) -> String {
    format!("{}-{}", locked.name, locked.version)
}

/// Calls `each` for every file of a crate. Crates hold files below one folder and nothing else: a link could lead cargo to
/// something that nobody pinned. (Their headers leave numbers out that other archives have.)
fn files(
    locked: &lock::Crate,
    archive: &Path,
    mut each: impl FnMut(&TreePath, &mut dyn Read) -> Result<()>,
) -> Result<()> {
    let name = || format!("the crate {} {}", locked.name, locked.version);
    let gzip = GzDecoder::new(BufReader::new(fs_err::File::open(archive)?));
    let mut tar = tar::Archive::new(gzip.take(UNPACKED_LIMIT));
    for entry in tar.entries().with_context(name)? {
        let mut entry = entry.with_context(name)?;
        let kind = entry.header().entry_type();
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let inside = path.strip_prefix(&folder(locked)).is_some_and(|rest| rest.starts_with('/'));
        let path = TreePath::new(&path).with_context(name)?;
        if kind.is_dir() {
            continue;
        }
        if !kind.is_file() || !inside {
            return Err(Failure::failed(format!("{} holds `{path}`, which no crate should", name())).into());
        }
        each(&path, &mut entry).with_context(name)?;
    }
    Ok(())
}

/// The target as rustc names it, if it is this machine's own.
fn target(architecture: &str) -> Result<&'static str> {
    let (machine, target) = match architecture {
        "amd64" => ("x86_64", "x86_64-unknown-linux-gnu"),
        "arm64" => ("aarch64", "aarch64-unknown-linux-gnu"),
        other => return Err(Failure::failed(format!("crates cannot be compiled for {other}")).into()),
    };
    if std::env::consts::ARCH != machine {
        let message = format!("crates for {machine} cannot be compiled on {}", std::env::consts::ARCH);
        return Err(Failure::failed(message).hint("build the bundle on such a machine").into());
    }
    Ok(target)
}
