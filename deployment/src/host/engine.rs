//! podman or Docker: the one place that runs them.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::answers::{self, Facts};
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

impl Kind {
    /// The name of its program.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::Podman => "podman",
            Self::Docker => "docker",
        }
    }
}

/// An engine that answers.
#[derive(Debug)]
pub struct Engine {
    /// Which one.
    pub kind: Kind,
    /// Its version, as it says it.
    pub version: String,
    folder: PathBuf,
    /// Where the machine has programs.
    path: Option<String>,
    facts: OnceLock<Facts>,
}

impl Engine {
    /// Finds the engine for the deployment in `folder`: `wanted` (`podman`, `docker` or `auto`), without it
    /// `SEALIFT_ENGINE` of the machine. With `auto`, or without a choice, the first of podman and Docker that answers.
    ///
    /// # Errors
    /// [`Failure`] with what each of them lacks.
    pub fn find(folder: &Path, wanted: Option<&str>, machine: &Machine) -> Result<Self> {
        let kinds: &[Kind] = match wanted.or_else(|| machine.var("SEALIFT_ENGINE")).unwrap_or("auto") {
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
            let path = machine.var("PATH").map(str::to_owned);
            let mut found =
                Self { kind: *kind, version: String::new(), folder: folder.to_owned(), path, facts: OnceLock::new() };
            // Asks Docker's daemon, too; podman has none.
            let format = if *kind == Kind::Podman { "{{.Version}}" } else { "{{.Server.Version}}" };
            match found.run(&["version", "--format", format]) {
                Ok(version) => {
                    version.trim().clone_into(&mut found.version);
                    return Ok(found);
                }
                Err(error) => said.push(format!("{error:#}")),
            }
        }
        Err(Failure::failed(format!("no container engine works here:\n  {}", said.join("\n  ")))
            .hint("install podman, or install Docker and start its daemon; nothing else is needed")
            .into())
    }

    /// One that nobody has looked for.
    #[cfg(test)]
    pub(super) fn of(kind: Kind, version: &str) -> Self {
        let (version, folder) = (version.to_owned(), PathBuf::new());
        Self { kind, version, folder, path: None, facts: OnceLock::new() }
    }

    /// As [`Kind::program`].
    #[must_use]
    pub fn program(&self) -> &'static str {
        self.kind.program()
    }

    /// What it tells of itself and the host; it is asked once.
    ///
    /// # Errors
    /// When it fails, or tells it in another form.
    pub(super) fn facts(&self) -> Result<&Facts> {
        if let Some(known) = self.facts.get() {
            return Ok(known);
        }
        let told = match self.kind {
            Kind::Podman => answers::podman(&self.run(&["info", "--format", "json"])?)?,
            Kind::Docker => answers::docker(&self.run(&["info", "--format", "{{json .}}"])?)?,
        };
        Ok(self.facts.get_or_init(|| told))
    }

    /// A command of it in the deployment's folder, with no input.
    #[must_use]
    pub fn command(&self, arguments: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new(self.program());
        command.args(arguments).current_dir(&self.folder).stdin(Stdio::null());
        command.envs(self.path.iter().map(|path| ("PATH", path)));
        command
    }

    /// What a command of it prints.
    ///
    /// # Errors
    /// [`Failure`] with what it said on its standard error.
    pub fn run(&self, arguments: &[impl AsRef<OsStr>]) -> Result<String> {
        let mut command = self.command(arguments);
        let output = output(&mut command)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(failed(&command, &output.stderr).into())
    }

    /// As [`Engine::run`] of a command that asks for one thing; `None` when there is no such thing.
    ///
    /// # Errors
    /// When the engine fails in any other way.
    pub fn ask(&self, arguments: &[&str]) -> Result<Option<String>> {
        let mut command = self.command(arguments);
        let output = output(&mut command)?;
        if output.status.success() {
            return Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()));
        }
        if answers::is_absent(&String::from_utf8_lossy(&output.stderr)) {
            return Ok(None);
        }
        Err(failed(&command, &output.stderr).into())
    }

    /// What `KIND inspect` (`container`, `image`) says of those of `names` that are there: a JSON array.
    ///
    /// # Errors
    /// When the engine fails in any other way.
    pub(super) fn inspect(&self, kind: &str, names: &[String]) -> Result<String> {
        if names.is_empty() {
            return Ok("[]".to_owned());
        }
        let mut command = self.command(&[kind, "inspect"]);
        let output = output(command.args(names))?;
        // With some missing, it tells the others and fails.
        if output.status.success() || answers::is_absent(&String::from_utf8_lossy(&output.stderr)) {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(failed(&command, &output.stderr).into())
    }

    /// Makes a network or a volume (`kind`) unless there is one of that name.
    ///
    /// # Errors
    /// When the engine fails in any other way.
    pub(super) fn make(&self, kind: &str, arguments: &[String]) -> Result<()> {
        let mut command = self.command(&[kind, "create"]);
        let output = output(command.args(arguments))?;
        if output.status.success() || String::from_utf8_lossy(&output.stderr).contains("already exists") {
            return Ok(());
        }
        Err(failed(&command, &output.stderr).into())
    }

    /// Removes a network unless something is on it that is not ours to end.
    ///
    /// # Errors
    /// When the engine fails in any other way.
    pub(super) fn remove_network(&self, name: &str) -> Result<()> {
        let mut command = self.command(&["network", "rm", name]);
        let output = output(&mut command)?;
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() || answers::is_absent(&said) || answers::is_in_use(&said) {
            return Ok(());
        }
        Err(failed(&command, &output.stderr).into())
    }

    /// Whether a command exits with 0 within `limit`; it is killed then.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn succeeds(&self, arguments: &[&str], limit: Duration) -> Result<bool> {
        let mut command = self.command(arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null());
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
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Gives what `write` writes to a command's standard input.
    ///
    /// # Errors
    /// [`Failure`] with what it said on its standard error.
    pub fn feed(&self, arguments: &[&str], write: impl FnOnce(&mut ChildStdin) -> std::io::Result<()>) -> Result<()> {
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

fn failed(command: &Command, said: &[u8]) -> Failure {
    let words: Vec<_> = std::iter::once(command.get_program()).chain(command.get_args()).collect();
    let words: Vec<_> = words.iter().take(3).map(|word| word.to_string_lossy()).collect();
    let said = String::from_utf8_lossy(said);
    let failure = Failure::failed(format!("`{} ...` failed: {}", words.join(" "), said.trim()));
    match answers::hint(&said) {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A machine whose only programs are these shell scripts.
    fn machine(scripts: &[(&str, &str)]) -> (tempfile::TempDir, Machine) {
        let place = tempfile::tempdir().unwrap();
        for (name, script) in scripts {
            let path = place.path().join(name);
            fs_err::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs_err::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        }
        let machine = Machine::of(Path::new("/"), &[("PATH", place.path().to_str().unwrap())]);
        (place, machine)
    }

    fn find(scripts: &[(&str, &str)], wanted: Option<&str>) -> Result<Engine> {
        let (place, machine) = machine(scripts);
        Engine::find(place.path(), wanted, &machine)
    }

    const PODMAN: (&str, &str) = ("podman", "[ $1 = version ] && echo 4.3.1");
    const DOCKER: (&str, &str) = ("docker", "[ $1 = version ] && echo 20.10.24");

    #[test]
    fn docker_is_taken_where_podman_does_not_work() {
        let found = find(&[PODMAN, DOCKER], None).unwrap();
        assert_eq!((found.kind, found.version.as_str()), (Kind::Podman, "4.3.1"));
        let broken = ("podman", "echo 'Error: cannot set up namespace' >&2; exit 125");
        let found = find(&[broken, DOCKER], None).unwrap();
        assert_eq!((found.kind, found.version.as_str()), (Kind::Docker, "20.10.24"));
        let stopped = ("docker", "echo 'Cannot connect to the Docker daemon' >&2; exit 1");
        let error = find(&[broken, stopped], None).unwrap_err();
        insta::assert_snapshot!(error, @"
        no container engine works here:
          `podman version --format ...` failed: Error: cannot set up namespace
          `docker version --format ...` failed: Cannot connect to the Docker daemon
        ");
    }

    #[test]
    fn the_users_choice_is_taken() {
        assert_eq!(find(&[PODMAN, DOCKER], Some("docker")).unwrap().kind, Kind::Docker);
        let error = find(&[PODMAN, DOCKER], Some("runc")).unwrap_err();
        assert_eq!(error.to_string(), "`runc` is no engine");
        assert!(find(&[DOCKER], Some("podman")).is_err());
    }

    #[test]
    fn what_is_not_there_differs_from_an_engine_that_fails() {
        let podman = "case $3 in
            here) echo '[]';;
            gone) echo 'Error: inspecting object: no such container gone' >&2; exit 125;;
            *) echo 'Error: database is locked' >&2; exit 125;;
        esac";
        let version = format!("[ $1 = version ] && exit 0\n{podman}");
        let (place, machine) = machine(&[("podman", &version)]);
        let engine = Engine::find(place.path(), None, &machine).unwrap();
        assert_eq!(engine.ask(&["container", "inspect", "here"]).unwrap().as_deref(), Some("[]\n"));
        assert_eq!(engine.ask(&["container", "inspect", "gone"]).unwrap(), None);
        let error = engine.ask(&["container", "inspect", "other"]).unwrap_err();
        assert_eq!(error.to_string(), "`podman container inspect ...` failed: Error: database is locked");
    }
}
