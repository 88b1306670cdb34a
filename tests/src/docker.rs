//! Docker's daemon, and containerd without it, in a [`Sandbox`].

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::command;
use crate::sandbox::Sandbox;

/// Timeout of one command.
const LIMIT: Duration = Duration::from_secs(180);
/// Timeout of the start of a daemon.
const START: Duration = Duration::from_secs(60);

/// A running daemon without images and containers.
#[derive(Debug)]
pub struct Engine {
    sandbox: Sandbox,
    client: &'static str,
}

impl Engine {
    /// `dockerd` that sets no rules of the firewall; its client is `docker`. Needs root.
    ///
    /// # Errors
    /// When it does not start: the error has its log.
    pub fn docker() -> Result<Self> {
        Self::dockerd(&["--iptables=false", "--ip6tables=false"])
    }

    /// `dockerd` that keeps networks apart by rules of the firewall, as on a host; its client is `docker`. Needs root.
    ///
    /// # Errors
    /// When it does not start: the error has its log.
    pub fn with_firewall() -> Result<Self> {
        Self::dockerd(&[])
    }

    fn dockerd(arguments: &[&str]) -> Result<Self> {
        let engine = Self { sandbox: Sandbox::new()?, client: "docker" };
        let data = engine.data();
        let start = |driver| {
            engine.start("dockerd", "version", |daemon| {
                daemon.arg("--data-root").arg(&data).args(["--storage-driver", driver]);
                daemon.arg("--bridge=none").args(arguments);
                daemon.args(["--exec-opt", "native.cgroupdriver=cgroupfs"]);
                // Below those of a container that the test itself may run in.
                daemon.args(["--default-ulimit", "nofile=1024:1024"]);
            })
        };
        // The first is refused where the folder itself is on an overlay.
        if start("overlay2").is_err() {
            start("vfs")?;
        }
        Ok(engine)
    }

    /// `containerd`; its client is `ctr`. Needs root.
    ///
    /// # Errors
    /// When it does not start: the error has its log.
    pub fn containerd() -> Result<Self> {
        let engine = Self { sandbox: Sandbox::new()?, client: "ctr" };
        let config = engine.sandbox.folder().join("config.toml");
        let root = engine.data();
        fs_err::write(
            &config,
            format!(
                "version = 2\nroot = \"{}\"\nstate = \"/run/containerd\"\n\
                 disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n",
                root.display()
            ),
        )?;
        engine.start("containerd", "version", |daemon| {
            daemon.arg("--config").arg(&config);
        })?;
        Ok(engine)
    }

    /// Starts the daemon and waits until the client's command `probe` succeeds.
    fn start(&self, program: &str, probe: &str, arguments: impl FnOnce(&mut Command)) -> Result<()> {
        let path = self.sandbox.folder().join("daemon.log");
        let log = fs_err::File::create(&path)?.into_parts().0;
        // It ends with the sandbox.
        let mut command = self.sandbox.command(Duration::from_secs(3600), Path::new("/"), program);
        arguments(&mut command);
        let mut daemon: Child = command.stdout(Stdio::null()).stderr(log).spawn()?;
        let start = Instant::now();
        while start.elapsed() < START && daemon.try_wait()?.is_none() {
            if command::run(self.command(Path::new("/")).arg(probe))?.code == Some(0) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("{program} does not start:\n{}", fs_err::read_to_string(&path)?)
    }

    /// A command of its client in `directory`.
    #[must_use]
    pub fn command(&self, directory: &Path) -> Command {
        self.beside(directory, self.client)
    }

    /// A command in `directory` that can connect to the daemon.
    #[must_use]
    pub fn beside(&self, directory: &Path, program: &str) -> Command {
        let mut command = self.sandbox.command(LIMIT, directory, program);
        for name in ["DOCKER_HOST", "DOCKER_CONTEXT", "CONTAINERD_ADDRESS", "CONTAINERD_NAMESPACE"] {
            command.env_remove(name);
        }
        command
    }

    /// The folder of its storage.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.sandbox.folder().join("data")
    }

    /// What its client prints.
    ///
    /// # Errors
    /// When it fails.
    pub fn client(&self, arguments: &[&str]) -> Result<String> {
        command::output(self.command(Path::new("/")).args(arguments))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if self.client == "docker" {
            // Only the engine removes the control groups of its containers.
            let remove = "docker ps --all --quiet | xargs --no-run-if-empty docker rm --force --volumes";
            let mut command = self.sandbox.command(LIMIT, Path::new("/"), "sh");
            let _ = command::run(command.args(["-c", remove]).env_remove("DOCKER_HOST"));
        }
    }
}
