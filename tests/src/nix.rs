//! Nix with temporary stores: the machine's own store does not change.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sealift_deployment::files::sorted_dir;
use serde_json::Value;
use tempfile::TempDir;

use crate::{bundle, command, real};

/// Timeout of one command: some compile the program.
const LIMIT: Duration = Duration::from_secs(1800);

/// A temporary folder with Nix stores.
#[derive(Debug)]
pub struct Nix {
    place: TempDir,
    /// What every expression begins with: `lib`, the library of this repository.
    pub prelude: String,
    /// Another system's `/usr`, for its Nix.
    usr: Option<PathBuf>,
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
        Ok(Self { place: real::place(), prelude, usr: None })
    }

    /// A path in the folder.
    #[must_use]
    pub fn path(&self, relative: &str) -> PathBuf {
        self.place.path().join(relative)
    }

    /// The same stores for the Nix in `usr`, the `/usr` of another system: its commands have it mounted at `/usr`.
    #[must_use]
    pub fn with_usr(mut self, usr: PathBuf) -> Self {
        self.usr = Some(usr);
        self
    }

    /// A command with the settings of the tests.
    fn bare(&self, program: &str) -> Command {
        let mut command = match &self.usr {
            None => command::limited(LIMIT, program),
            Some(usr) => {
                let mut command = command::limited(LIMIT, "unshare");
                command.args(["--mount", "--propagation", "private", "sh", "-c"]);
                command.arg("mount --bind \"$0\" /usr && exec \"$@\"").arg(usr).arg(program);
                command
            }
        };
        // The program under test need not be linked statically, so its libraries are let in.
        let settings = "build-users-group =\nsubstituters =\nsandbox = true\n\
                        experimental-features = nix-command flakes\nextra-sandbox-paths = /lib? /lib64? /usr/lib? /usr/lib64?\n";
        command.env("NIX_CONFIG", settings).env("HOME", self.place.path()).current_dir(self.place.path());
        for variable in ["XDG_CACHE_HOME", "NIX_REMOTE", "NIX_PATH"] {
            command.env_remove(variable);
        }
        command
    }

    /// One of the commands `nix-build`, `nix-store` and so on, on the store of this name.
    #[must_use]
    pub fn command(&self, store: &str, program: &str) -> Command {
        let mut command = self.bare(program);
        command.arg("--store").arg(self.path(store));
        command
    }

    /// What `nix` prints with these arguments and the store of this name.
    ///
    /// # Errors
    /// When that fails.
    pub fn nix(&self, store: &str, arguments: &[&str]) -> Result<String> {
        command::output(self.bare("nix").args(arguments).arg("--store").arg(self.path(store)))
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

    /// The store path of the derivation that an expression is, without building it.
    ///
    /// # Errors
    /// When that fails.
    pub fn instantiate(&self, store: &str, expression: &str) -> Result<String> {
        let mut command = self.command(store, "nix-instantiate");
        command.args(["--expr", &format!("{}{expression}", self.prelude)]);
        Ok(command::output(&mut command)?.trim().to_owned())
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

/// Makes, in `place`, the `/usr` of Debian's next release with its Nix: an image that Sealift builds, unpacked.
///
/// # Errors
/// When the image cannot be built.
pub fn current(place: &Path) -> Result<PathBuf> {
    let profile = bundle::profile_at(&real::repository().join("tests/profiles/nix"), place)?;
    let layout = place.join("layout");
    command::output(bundle::sealift(place)?.arg("lock").arg(&profile))?;
    command::output(bundle::sealift(place)?.arg("image").arg(&profile).arg("nix").arg("--output").arg(&layout))?;
    let blob = |digest: &Value| -> Result<PathBuf> {
        let hex = digest.as_str().and_then(|text| text.strip_prefix("sha256:")).context("a digest")?;
        Ok(layout.join("blobs/sha256").join(hex))
    };
    let read = |path: PathBuf| -> Result<Value> { Ok(serde_json::from_slice(&fs_err::read(path)?)?) };
    let index = read(layout.join("index.json"))?;
    let manifest = read(blob(&index["manifests"][0]["digest"])?)?;
    let root = place.join("root");
    fs_err::create_dir(&root)?;
    for layer in manifest["layers"].as_array().context("layers")? {
        command::output(Command::new("tar").arg("-xzf").arg(blob(&layer["digest"])?).arg("-C").arg(&root))?;
    }
    Ok(root.join("usr"))
}

/// The machine's Rust toolchain, for derivations.
#[derive(Debug)]
pub struct Rust {
    /// Its folders, as Nix writes a list.
    pub toolchain: String,
    /// The arguments with which Nix lets them into the sandbox.
    pub sandbox: [String; 3],
    /// The folder where cargo has all crates of this repository's lock.
    pub crates: PathBuf,
}

impl Rust {
    /// Finds it. Cargo fetches the crates that only other platforms need, so that all are there.
    ///
    /// # Errors
    /// When there is no Rust, or the crates are not where cargo keeps them.
    pub fn here() -> Result<Self> {
        let (manifest, lock) = (real::repository().join("Cargo.toml"), real::repository().join("Cargo.lock"));
        let mut fetch = command::limited(LIMIT, "cargo");
        command::output(fetch.args(["fetch", "--quiet", "--locked", "--manifest-path"]).arg(manifest))?;
        let lock: toml::Table = toml::from_str(&fs_err::read_to_string(lock)?)?;
        let packages = lock["package"].as_array().context("a list of packages")?;
        let locked = packages.iter().filter(|package| package.get("checksum").is_some());
        let files: Vec<String> = locked
            .map(|package| Some(format!("{}-{}.crate", package["name"].as_str()?, package["version"].as_str()?)))
            .collect::<Option<_>>()
            .context("packages have a name and a version")?;
        let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
        let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo"))).context("a home")?;
        let caches = sorted_dir(&home.join("registry/cache"))?;
        let complete = |cache: &PathBuf| files.iter().all(|file| cache.join(file).exists());
        let crates = caches.into_iter().find(complete).with_context(|| {
            format!(
                "no folder in {} has all {} crates of Cargo.lock",
                home.join("registry/cache").display(),
                files.len()
            )
        })?;
        let sysroot = command::output(command::limited(LIMIT, "rustc").args(["--print", "sysroot"]))?;
        let sysroot = sysroot.trim();
        // The compiler of C is a link to a link.
        let places = format!("/usr /lib? /lib64? /etc/alternatives? {sysroot}");
        Ok(Self {
            toolchain: format!("[ \"/usr\" \"{sysroot}\" ]"),
            sandbox: ["--option".into(), "extra-sandbox-paths".into(), places],
            crates,
        })
    }
}
