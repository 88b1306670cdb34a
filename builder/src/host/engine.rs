//! podman or Docker, and the compose that goes with it: the one place that runs them.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::failure::Failure;
use crate::machine::Machine;

/// Which container engine the host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// podman, as root or as an ordinary user.
    Podman,
    /// Docker.
    Docker,
}

/// An engine that answers, and its compose.
#[derive(Debug)]
pub struct Engine {
    /// Which one.
    pub kind: Kind,
    /// Its version, as it says it.
    pub version: String,
    /// The words that its compose commands start with.
    pub compose: Vec<String>,
    folder: PathBuf,
}

impl Engine {
    /// Finds the engine and the compose program for the deployment in `folder`. `wanted` is `podman`, `docker` or
    /// `auto`; without it `SEALIFT_ENGINE` of the machine decides. `auto` takes podman before Docker.
    ///
    /// # Errors
    /// [`Failure`] when there is none, or it does not answer.
    pub fn find(folder: &Path, wanted: Option<&str>, machine: &Machine) -> Result<Self> {
        let wanted = wanted.or_else(|| machine.var("SEALIFT_ENGINE")).unwrap_or("auto");
        let kinds: &[Kind] = match wanted {
            "auto" => &[Kind::Podman, Kind::Docker],
            "podman" => &[Kind::Podman],
            "docker" => &[Kind::Docker],
            other => {
                return Err(Failure::usage(format!("`{other}` is no engine"))
                    .hint("--engine or SEALIFT_ENGINE: podman, docker or auto")
                    .into());
            }
        };
        let mut said = Vec::new();
        for kind in kinds {
            let mut engine =
                Self { kind: *kind, version: String::new(), compose: Vec::new(), folder: folder.to_owned() };
            // Asks Docker's daemon, too; podman has none.
            let format = if *kind == Kind::Podman { "{{.Version}}" } else { "{{.Server.Version}}" };
            match engine.run(&["version", "--format", format]) {
                Ok(version) => {
                    engine.version = version.trim().to_owned();
                    engine.compose = engine.find_compose()?;
                    return Ok(engine);
                }
                Err(error) => said.push(format!("{error:#}")),
            }
        }
        Err(Failure::failed(format!("no container engine works here:\n  {}", said.join("\n  ")))
            .hint("install podman with podman-compose, or Docker with compose, and start Docker's daemon")
            .into())
    }

    fn find_compose(&self) -> Result<Vec<String>> {
        let ways: &[&[&str]] = match self.kind {
            Kind::Podman => &[&["podman-compose"]],
            Kind::Docker => &[&["docker", "compose"], &["docker-compose"]],
        };
        let answers = |way: &&&[&str]| {
            let mut command = Command::new(way[0]);
            command.args(&way[1..]).arg("version").current_dir(&self.folder);
            output(command.stdin(Stdio::null())).is_ok_and(|output| output.status.success())
        };
        let found = ways.iter().find(answers).ok_or_else(|| {
            let names: Vec<String> = ways.iter().map(|way| way.join(" ")).collect();
            Failure::failed(format!("there is no compose program for {}", self.program()))
                .hint(format!("install {}", names.join(" or ")))
        })?;
        Ok(found.iter().map(|&word| word.to_owned()).collect())
    }

    /// The name of its program.
    #[must_use]
    pub fn program(&self) -> &'static str {
        match self.kind {
            Kind::Podman => "podman",
            Kind::Docker => "docker",
        }
    }

    /// A command of it in the deployment's folder.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.program());
        command.args(arguments).current_dir(&self.folder);
        command
    }

    /// A command of its compose in the deployment's folder.
    #[must_use]
    pub fn compose_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.compose[0]);
        command.args(&self.compose[1..]).args(arguments).current_dir(&self.folder);
        command
    }

    /// What a command of it prints.
    ///
    /// # Errors
    /// [`Failure`] with what it said on its standard error.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        succeed(self.command(arguments).stdin(Stdio::null()))
    }

    /// Runs a compose command.
    ///
    /// # Errors
    /// [`Failure`] with what it said on its standard error.
    pub fn compose(&self, arguments: &[&str]) -> Result<()> {
        succeed(self.compose_command(arguments).stdin(Stdio::null())).map(|_| ())
    }

    /// Whether a command exits with 0 within `limit`; it is killed then.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn succeeds(&self, arguments: &[&str], limit: Duration) -> Result<bool> {
        let mut command = self.command(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().with_context(|| format!("cannot run {}", self.program()))?;
        let start = Instant::now();
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status.success());
            }
            if start.elapsed() > limit {
                child.kill()?;
                child.wait()?;
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Gives `bytes` to a command's standard input.
    ///
    /// # Errors
    /// [`Failure`] with what it said on its standard error.
    pub fn feed(
        &self,
        arguments: &[&str],
        write: impl FnOnce(&mut std::process::ChildStdin) -> std::io::Result<()>,
    ) -> Result<()> {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot run {}", self.program()))?;
        let mut input = child.stdin.take().context("standard input is a pipe")?;
        let mut errors = child.stderr.take().context("standard error is a pipe")?;
        // Read beside the writing: a full pipe would stop both.
        let (written, said) = std::thread::scope(|scope| {
            let reader = scope.spawn(move || {
                let mut said = Vec::new();
                let _ = errors.read_to_end(&mut said);
                said
            });
            let written = write(&mut input);
            drop(input);
            (written, reader.join().expect("reading does not panic"))
        });
        if child.wait()?.success() {
            return Ok(written?);
        }
        Err(failed(&command, &said).into())
    }
}

fn output(command: &mut Command) -> Result<Output> {
    command.output().with_context(|| format!("cannot run {}", command.get_program().to_string_lossy()))
}

fn succeed(command: &mut Command) -> Result<String> {
    let output = output(command)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(failed(command, &output.stderr).into())
}

fn failed(command: &Command, said: &[u8]) -> Failure {
    let words: Vec<_> = std::iter::once(command.get_program()).chain(command.get_args()).collect();
    let words: Vec<_> = words.iter().take(3).map(|word| word.to_string_lossy()).collect();
    Failure::failed(format!("`{} ...` failed: {}", words.join(" "), String::from_utf8_lossy(said).trim()))
}
