//! The real program and a real bundle.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sealift_deployment::bundle::Manifest;
use tempfile::TempDir;

use crate::command;

/// Timeout of a build with an empty store, which may compile a program of 600 crates on a loaded machine.
const BUILD: Duration = Duration::from_secs(3600);

/// The program under test: `SEALIFT_BIN`, or what cargo built beside this test.
///
/// # Errors
/// When it has not been built.
pub fn program() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("SEALIFT_BIN") {
        return Ok(path.into());
    }
    // target/debug/deps/TEST-HASH -> target/debug/sealift
    let test = std::env::current_exe()?;
    let path = test.parent().and_then(Path::parent).context("a test is within target/")?.join("sealift");
    ensure!(
        path.exists(),
        "{} is not there: run cargo build first, or name the program in SEALIFT_BIN",
        path.display()
    );
    Ok(path)
}

/// The program under test, statically linked, for bundles that contain it. What cargo built is linked once more, since its
/// own is not; one that `SEALIFT_BIN` names is taken as it is.
///
/// # Errors
/// When it has not been built, or rustc cannot link it.
pub fn linked_statically(directory: &Path) -> Result<PathBuf> {
    let built = program()?;
    if std::env::var_os("SEALIFT_BIN").is_some() {
        return Ok(built);
    }
    let libraries = built.parent().context("the program is in a folder")?.join("deps");
    let mut newest = None;
    for path in sealift_deployment::files::sorted_dir(&libraries)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("libsealift-") && name.ends_with(".rlib") {
            newest = newest.max(Some((fs_err::metadata(&path)?.modified()?, path)));
        }
    }
    let (_, library) = newest.with_context(|| format!("no library of the program in {}", libraries.display()))?;
    let linked = directory.join("sealift");
    let mut rustc = Command::new("rustc");
    rustc.args([
        "--edition",
        "2024",
        "--crate-name",
        "sealift",
        "-C",
        "target-feature=+crt-static",
        "-C",
        "strip=symbols",
    ]);
    rustc.arg("-L").arg(format!("dependency={}", libraries.display()));
    rustc.arg("--extern").arg(format!("sealift={}", library.display()));
    rustc.arg("-o").arg(&linked).arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../builder/src/main.rs"));
    command::output(&mut rustc)?;
    Ok(linked)
}

/// A `sealift` command in `directory`.
///
/// # Errors
/// As [`program`].
pub fn sealift(directory: &Path) -> Result<Command> {
    let program = program()?;
    let mut command = command::limited(BUILD, program.to_str().context("a path in UTF-8")?);
    command.current_dir(directory).stdin(Stdio::null()).env_remove("SOURCE_DATE_EPOCH");
    Ok(command)
}

/// A copy of a profile of this repository: a build may change its lock when mirrors have moved on. The other profiles are
/// copied beside it, as it may extend one of them.
///
/// # Errors
/// When it cannot be copied.
pub fn profile(name: &str, into: &Path) -> Result<PathBuf> {
    let profiles = Path::new(env!("CARGO_MANIFEST_DIR")).join("../profiles");
    command::output(Command::new("cp").arg("-r").arg(profiles.join(".")).arg(into))?;
    Ok(into.join(name))
}

/// As [`profile`], of one that is elsewhere and extends none.
///
/// # Errors
/// When it cannot be copied.
pub fn profile_at(source: &Path, into: &Path) -> Result<PathBuf> {
    let target = into.join(source.file_name().context("a profile has a name")?);
    command::output(Command::new("cp").arg("-r").arg(source).arg(&target))?;
    Ok(target)
}

/// A bundle: the tar, and the folder it was unpacked in.
#[derive(Debug)]
pub struct Bundle {
    /// The tar.
    pub tar: PathBuf,
    /// Its contents: the deployment.
    pub folder: PathBuf,
    /// Its `bundle.json`.
    pub manifest: Manifest,
    place: TempDir,
}

impl Bundle {
    /// Builds a profile of this repository; `arguments` are further ones of `sealift build`, `prepare` gets the place
    /// (its `profile` folder is the copy that is built) and runs before.
    ///
    /// # Errors
    /// When the build fails.
    pub fn build(profile_name: &str, prepare: impl FnOnce(&Path, &Path) -> Result<Vec<String>>) -> Result<Self> {
        let place = tempfile::Builder::new().prefix("sl-bundle").tempdir()?;
        let profile = profile(profile_name, place.path())?;
        let arguments = prepare(place.path(), &profile)?;
        let tar = place.path().join("bundle.tar");
        let mut build = sealift(place.path())?;
        build.arg("build").arg(&profile).arg("--output").arg(&tar).args(arguments);
        command::output(&mut build)?;
        let folder = place.path().join("unpacked");
        fs_err::create_dir(&folder)?;
        command::output(Command::new("tar").arg("-xpf").arg(&tar).arg("-C").arg(&folder))?;
        let manifest = serde_json::from_slice(&fs_err::read(folder.join("bundle.json"))?)?;
        Ok(Self { tar, folder, manifest, place })
    }

    /// A folder beside the bundle that goes with it.
    #[must_use]
    pub fn place(&self) -> &Path {
        self.place.path()
    }
}
