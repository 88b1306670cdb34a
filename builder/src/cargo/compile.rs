//! Compilation: from a verified crate to a stripped, statically linked program.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{BufReader, Read, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use flate2::read::GzDecoder;
use sealift_deployment::failure::Failure;
use sealift_layers::license::python;
use sealift_layers::limits::{DOCUMENT, Limits, Paths, Within};
use sealift_layers::platform::Architecture;
use sealift_layers::tar::{MemberKind, Members, Stream};
use sealift_layers::tree::TreePath;

use super::Cargo;
use crate::elf;
use crate::lock;
use crate::store::Store;

/// Where cargo puts its output, in the working directory.
const TARGET_DIRECTORY: &str = "target";

/// The manifest of a crate.
pub const MANIFEST: &str = "Cargo.toml";

/// A program to compile.
#[derive(Clone, Copy, Debug)]
pub struct Program<'a> {
    /// The crate. Its archive is in the store.
    pub locked: &'a lock::Crate,
    /// Name of the binary target.
    pub binary: &'a str,
    /// Features to enable besides the default ones.
    pub features: &'a [String],
    /// Architecture that it runs on.
    pub architecture: Architecture,
    /// Limits of what its crate unpacks to.
    pub limits: Limits,
}

impl Cargo {
    /// Compiles `program` from `archive`, the verified crate, with `jobs` parallel processes, and writes it to `output`.
    ///
    /// # Errors
    /// The crate is malformed, cargo fails, or the program needs a dynamic loader.
    pub fn compile(
        &self,
        program: &Program<'_>,
        archive: &Path,
        store: &Store,
        jobs: usize,
        output: &Path,
    ) -> Result<()> {
        let Program { locked, architecture, .. } = *program;
        let target = target(architecture)?;
        // cargo runs beside the crate, so that files for its developers, such as rust-toolchain.toml, are not used.
        let work = store.executable_directory()?;
        let work = work.path().canonicalize()?;
        let manifest = unpacked(locked, archive, program.limits, &work)?.join(MANIFEST);
        // Not part of a workspace that happens to be above the store.
        fs_err::OpenOptions::new().append(true).open(&manifest)?.write_all(b"\n[workspace]\n")?;
        let run = || {
            let common = ["--locked", "--manifest-path", &manifest.display().to_string(), "--target", target];
            self.run(&work, &[&["fetch"][..], &common].concat())?;
            self.build(program, &work, &common, jobs)
        };
        run().with_context(|| format!("cannot compile {} {}", locked.name, locked.version))?;
        let built = work.join(TARGET_DIRECTORY).join(target).join("release").join(program.binary);
        if !elf::is_static_executable(&built, architecture)? {
            let message = format!("{} of {} {} is not statically linked", program.binary, locked.name, locked.version);
            let hint = "use a crate that links statically with `-C target-feature=+crt-static`";
            return Err(Failure::failed(message).hint(hint).into());
        }
        fs_err::copy(built, output)?;
        Ok(())
    }

    /// Runs `cargo build`, with variables that make the program reproducible.
    fn build(&self, program: &Program<'_>, work: &Path, common: &[&str], jobs: usize) -> Result<()> {
        let folder = work.join(TARGET_DIRECTORY);
        let (rust, c) = self.flags(work)?;
        let variables: [(&str, &OsStr); 9] = [
            ("CARGO_TARGET_DIR", folder.as_os_str()),
            ("CARGO_ENCODED_RUSTFLAGS", &rust),
            ("CFLAGS", &c),
            ("CXXFLAGS", &c),
            ("CARGO_PROFILE_RELEASE_STRIP", OsStr::new("symbols")),
            ("CARGO_PROFILE_RELEASE_DEBUG", OsStr::new("false")),
            ("CARGO_INCREMENTAL", OsStr::new("0")),
            // For build scripts that write the time into their output; no crate is older than this.
            ("SOURCE_DATE_EPOCH", OsStr::new("1431648000")),
            ("LC_ALL", OsStr::new("C")),
        ];
        let (jobs, features) = (jobs.to_string(), program.features.join(","));
        let own = ["build", "--release", "--bin", program.binary, "--features", &features, "--jobs", &jobs];
        self.run_with(work, &[&own[..], common].concat(), &variables).map(drop)
    }

    /// Flags for rustc, in the form of `CARGO_ENCODED_RUSTFLAGS`, and for C compilers, that keep paths of this machine out of
    /// the program. The folders of registries are named after their hosts.
    fn flags(&self, work: &Path) -> Result<(OsString, OsString)> {
        let mut folders = vec![(self.home.clone(), "/cargo"), (work.to_owned(), "/build")];
        let sources = self.home.join("registry/src");
        if sources.is_dir() {
            folders.extend(
                sealift_deployment::files::sorted_dir(&sources)?.into_iter().map(|folder| (folder, "/registry")),
            );
        }
        let (mut rust, mut c) = (OsString::from("-Ctarget-feature=+crt-static"), OsString::new());
        // The last matching prefix is used.
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

/// Checks that a crate has a `Cargo.lock`.
pub(super) fn pins_its_dependencies(locked: &lock::Crate, archive: &Path) -> Result<()> {
    let mut pins = false;
    files(locked, archive, Limits::default(), |path, _| {
        pins |= path.as_str().split_once('/').is_some_and(|(_, path)| path == "Cargo.lock");
        Ok(())
    })?;
    if pins {
        return Ok(());
    }
    let message =
        format!("the crate {} {} has no Cargo.lock, so it does not pin its dependencies", locked.name, locked.version);
    Err(Failure::failed(message).hint("use a version of the crate that contains its Cargo.lock").into())
}

/// Most bytes of these files of a crate.
const DOCUMENTS: u64 = 32 << 20;

/// The files that say something of a crate: its manifest, and licences and notices beside it, by name.
///
/// # Errors
/// The crate is malformed.
pub fn documents(locked: &lock::Crate, archive: &Path, limits: Limits) -> Result<BTreeMap<String, Vec<u8>>> {
    let (mut documents, mut size) = (BTreeMap::new(), 0);
    files(locked, archive, limits, |path, content| {
        let name = path.as_str().split_once('/').map_or("", |(_, name)| name);
        if name == MANIFEST || python::is_license_file(name) {
            let mut bytes = Vec::new();
            content.take(DOCUMENT + 1).read_to_end(&mut bytes)?;
            // A file of nothing takes memory, too.
            size += bytes.len().max(1 << 10) as u64;
            if size > DOCUMENTS {
                let message = format!("its manifest and licences are larger than {} MiB", DOCUMENTS >> 20);
                return Err(Failure::failed(message).into());
            }
            if bytes.len() as u64 <= DOCUMENT {
                documents.insert(name.to_owned(), bytes);
            }
        }
        Ok(())
    })?;
    Ok(documents)
}

/// Unpacks a crate below `work`. Returns the folder of its manifest.
fn unpacked(locked: &lock::Crate, archive: &Path, limits: Limits, work: &Path) -> Result<PathBuf> {
    files(locked, archive, limits, |path, content| {
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

/// Calls `each` for every file of a crate. Anything other than files below one folder is refused: a link could lead cargo
/// to files that are not pinned.
fn files(
    locked: &lock::Crate,
    archive: &Path,
    limits: Limits,
    mut each: impl FnMut(&TreePath, &mut dyn Read) -> Result<()>,
) -> Result<()> {
    let name = || format!("the crate {} {}", locked.name, locked.version);
    let gzip = GzDecoder::new(BufReader::new(sealift_deployment::files::open(archive)?));
    let mut tar = Members::new(Stream(Within::new(gzip, limits.unpacked(locked.size))));
    let mut paths = Paths::default();
    while let Some(member) = tar.next().with_context(name)? {
        let path = &member.name;
        let inside = path.strip_prefix(&folder(locked)).is_some_and(|rest| rest.starts_with('/'));
        let path = TreePath::new(path).with_context(name)?;
        paths.add(path.as_str()).with_context(name)?;
        if member.kind == MemberKind::Directory {
            continue;
        }
        if member.kind != MemberKind::File || !inside {
            return Err(Failure::failed(format!(
                "{} contains `{path}`, which is not a file below {}/",
                name(),
                folder(locked)
            ))
            .into());
        }
        each(&path, &mut tar).with_context(name)?;
    }
    Ok(())
}

/// The rustc target for an architecture, which must be this machine's.
fn target(architecture: Architecture) -> Result<&'static str> {
    let (wanted, own) = (architecture.machine(), std::env::consts::ARCH);
    if wanted != own {
        return Err(Failure::failed(format!("cannot compile crates for {wanted} on a machine with {own}"))
            .hint("build the bundle on a machine with that architecture")
            .into());
    }
    Ok(architecture.rust_target())
}
