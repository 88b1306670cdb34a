//! podman and podman-compose in a [`Sandbox`].

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::command::{self, Ran};
use crate::sandbox::Sandbox;

/// Timeout of one podman command: well above that of `up`, which says what it has waited for.
const LIMIT: Duration = Duration::from_secs(600);

/// Settings for hosts of all kinds: runc also runs under hybrid cgroups, limits stay below those of a container that
/// the test itself may run in, and systemd is not used.
const CONTAINERS_CONF: &str = r#"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
[network]
network_backend = "netavark"
"#;

/// The ordinary user of [`Podman::rootless`]: user and group number.
pub const USER: u32 = 4242;

/// Creates that user inside the sandbox only, with subordinate IDs and what a login and udev would set up. `$1` is a folder
/// for its files.
const MAKE_USER: &str = r#"
set -eu
cd "$1"
mkdir -p etc home tmp
for file in passwd group subuid subgid; do cat /etc/$file >etc/$file 2>/dev/null || true; done
echo "operator:x:4242:4242::$1/home:/bin/sh" >>etc/passwd
echo "operator:x:4242:" >>etc/group
for file in subuid subgid; do
    echo "operator:300000:65536" >>etc/$file
    [ -e /etc/$file ] || : >/etc/$file
done
for file in passwd group subuid subgid; do mount --bind etc/$file /etc/$file; done
mkdir -p /run/user/4242
mknod /run/tun c 10 200
chmod 666 /run/tun
mount --bind /run/tun /dev/net/tun
chown 4242:4242 . home tmp networks /run/user/4242
chmod 700 /run/user/4242
"#;

/// An engine without images and containers.
#[derive(Debug)]
pub struct Podman {
    sandbox: Sandbox,
    settings: Vec<(&'static str, PathBuf)>,
    rootless: bool,
}

impl Podman {
    /// Makes one. Needs root.
    ///
    /// # Errors
    /// podman is missing or does not work here.
    pub fn new() -> Result<Self> {
        Self::make(false)
    }

    /// Makes one that an ordinary user runs, all of whose commands are that user's. Needs root.
    ///
    /// # Errors
    /// As [`Podman::new`], and where ordinary users may have no namespaces.
    pub fn rootless() -> Result<Self> {
        Self::make(true)
    }

    fn make(rootless: bool) -> Result<Self> {
        let sandbox = Sandbox::new()?;
        let folder = sandbox.folder().to_owned();
        let mut podman = Self { sandbox, settings: Vec::new(), rootless };
        let networks = folder.join("networks");
        fs_err::create_dir(&networks)?;
        let conf = folder.join("containers.conf");
        fs_err::write(&conf, format!("{CONTAINERS_CONF}network_config_dir = \"{}\"\n", networks.display()))?;
        podman.settings.push(("CONTAINERS_CONF", conf));
        podman.settings.push(("CONTAINERS_STORAGE_CONF", folder.join("storage.conf")));
        if rootless {
            let mut make = podman.sandbox.command(LIMIT, Path::new("/"), "sh");
            command::output(make.args(["-c", MAKE_USER, "sh"]).arg(&folder))?;
            podman.settings.push(("HOME", folder.join("home")));
            podman.settings.push(("USER", "operator".into()));
            podman.settings.push(("XDG_RUNTIME_DIR", format!("/run/user/{USER}").into()));
        }
        podman.settings.push(("TMPDIR", if rootless { folder.join("tmp") } else { folder.clone() }));
        podman.storage("overlay")?;
        if podman.podman(&["info"]).is_err() {
            // Where the folder itself is on an overlay.
            podman.storage("vfs")?;
            podman.podman(&["info"])?;
        }
        Ok(podman)
    }

    fn storage(&self, driver: &str) -> Result<()> {
        let folder = self.sandbox.folder();
        let run = if self.rootless { format!("/run/user/{USER}") } else { "/run".to_owned() };
        let text = format!(
            "[storage]\ndriver = \"{driver}\"\ngraphroot = \"{}\"\nrunroot = \"{run}/containers/storage\"\n",
            folder.join("storage").display()
        );
        Ok(fs_err::write(folder.join("storage.conf"), text)?)
    }

    /// The sandbox that it runs in.
    #[must_use]
    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// Another command in its sandbox, which finds its storage.
    #[must_use]
    pub fn command(&self, directory: &Path, program: &str) -> Command {
        let mut command = if self.rootless {
            let mut command = self.sandbox.command(LIMIT, directory, "setpriv");
            let numbers = [format!("--reuid={USER}"), format!("--regid={USER}")];
            command.args(numbers).args(["--init-groups", program]);
            command
        } else {
            self.sandbox.command(LIMIT, directory, program)
        };
        command.envs(self.settings.iter().map(|(name, value)| (name, value))).env_remove("CONTAINER_HOST");
        command
    }

    /// What a podman command prints.
    ///
    /// # Errors
    /// When it fails.
    pub fn podman(&self, arguments: &[&str]) -> Result<String> {
        command::output(self.command(Path::new("/"), "podman").args(arguments))
    }

    /// A podman command, whatever its exit code.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn try_podman(&self, arguments: &[&str]) -> Result<Ran> {
        command::run(self.command(Path::new("/"), "podman").args(arguments))
    }

    /// What a compose command in the deployment's folder prints.
    ///
    /// # Errors
    /// When it fails.
    pub fn compose(&self, folder: &Path, arguments: &[&str]) -> Result<String> {
        command::output(self.command(folder, "podman-compose").args(arguments))
    }

    /// State and logs of all containers, to report after a failure.
    #[must_use]
    pub fn story(&self) -> String {
        let all = |arguments: &[&str]| match self.try_podman(arguments) {
            Ok(ran) => ran.stdout + &ran.stderr,
            Err(error) => format!("{error:#}\n"),
        };
        let mut story = all(&["ps", "--all"]);
        for name in all(&["ps", "--all", "--format", "{{.Names}}"]).lines() {
            story += &format!("--- {name}\n{}", all(&["logs", "--tail", "60", name]));
        }
        story
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        // The sandbox ends every process, but only the engine removes its control groups.
        let _ = self.try_podman(&["rm", "--all", "--force", "--time", "0"]);
    }
}
