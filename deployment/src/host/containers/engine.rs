//! podman or Docker: the only module that runs their programs.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result};

use super::information::{self, EngineInfo};
use super::kind::EngineKind;
use super::output;
use crate::failure::Failure;
use crate::machine::Machine;
use crate::process::{self, Keep, MESSAGES};

/// How many last bytes of what a health check prints are kept.
const MOST_OUTPUT: usize = 4096;

/// The result of [`Engine::run_within`].
#[derive(Debug)]
pub(super) struct Attempt {
    /// Its exit code; `None` when it took too long, or a signal ended it.
    pub(super) code: Option<i32>,
    /// The end of what it printed.
    pub(super) printed: String,
}

/// The engine of the host.
#[derive(Debug)]
pub(super) struct Engine {
    /// podman or Docker.
    pub(super) kind: EngineKind,
    /// Its version, in its own words.
    pub(super) version: String,
    /// The folder that commands run in.
    folder: PathBuf,
    /// `PATH` of the machine.
    path: Option<String>,
    info: OnceLock<EngineInfo>,
}

impl Engine {
    /// Finds the engine for the deployment in `folder`. `wanted` is `podman`, `docker` or `auto`; without it,
    /// `SEALIFT_ENGINE` of the machine decides. `auto` is the default: the first of podman and Docker that works.
    ///
    /// # Errors
    /// [`Failure`] with the reason why each of them does not work.
    pub(super) fn find(folder: &Path, wanted: Option<&str>, machine: &Machine) -> Result<Self> {
        let kinds: &[EngineKind] = match wanted.or_else(|| machine.var("SEALIFT_ENGINE")).unwrap_or("auto") {
            "auto" => &[EngineKind::Podman, EngineKind::Docker],
            "podman" => &[EngineKind::Podman],
            "docker" => &[EngineKind::Docker],
            other => {
                return Err(Failure::usage(format!("`{other}` is not a container engine"))
                    .hint("set --engine or SEALIFT_ENGINE to podman, docker or auto")
                    .into());
            }
        };
        let mut reasons = Vec::new();
        for kind in kinds {
            match Self::probe(*kind, folder, machine) {
                Ok(engine) => return Ok(engine),
                Err(error) => {
                    let hint = Failure::hint_in(&error).map(|hint| format!("\n    hint: {hint}"));
                    let hint = hint.unwrap_or_default();
                    reasons.push(format!("  {error:#}{hint}"));
                }
            }
        }
        Err(Failure::failed(format!("no container engine works here:\n{}", reasons.join("\n")))
            .hint("install podman, or install Docker and start its daemon; nothing else is needed")
            .into())
    }

    /// The engine of this kind, if it reports its version. Docker's program asks its daemon for that; podman has none.
    fn probe(kind: EngineKind, folder: &Path, machine: &Machine) -> Result<Self> {
        let path = machine.var("PATH").map(str::to_owned);
        let mut engine = Self { kind, version: String::new(), folder: folder.to_owned(), path, info: OnceLock::new() };
        let format = if kind == EngineKind::Podman { "{{.Version}}" } else { "{{.Server.Version}}" };
        engine.version = engine.run(&["version", "--format", format])?.trim().to_owned();
        Ok(engine)
    }

    /// An engine for tests, without a program.
    #[cfg(test)]
    pub(super) fn of(kind: EngineKind, version: &str) -> Self {
        let (version, folder) = (version.to_owned(), PathBuf::new());
        Self { kind, version, folder, path: None, info: OnceLock::new() }
    }

    /// The name of its program.
    #[must_use]
    pub(super) fn program(&self) -> &'static str {
        self.kind.program()
    }

    /// Its information about itself and the host. It is asked for once.
    ///
    /// # Errors
    /// When the engine fails, or its output cannot be parsed.
    pub(super) fn info(&self) -> Result<&EngineInfo> {
        if let Some(info) = self.info.get() {
            return Ok(info);
        }
        let info = match self.kind {
            EngineKind::Podman => information::podman_info(&self.run(&["info", "--format", "json"])?)?,
            EngineKind::Docker => information::docker_info(&self.run(&["info", "--format", "{{json .}}"])?)?,
        };
        Ok(self.info.get_or_init(|| info))
    }

    /// The message of errors of programs that cannot be started.
    pub(super) fn cannot_run(&self) -> String {
        format!("cannot run {}", self.program())
    }

    /// A command of the engine in the deployment's folder, with an empty standard input: in its site, if there is one. podman's
    /// conmon writes an empty file `oom` there when memory is exceeded, and the folder of a bundle may have no other files.
    #[must_use]
    pub(super) fn command(&self, arguments: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new(self.program());
        let site = self.folder.join("site");
        command.args(arguments).current_dir(if site.is_dir() { &site } else { &self.folder }).stdin(Stdio::null());
        command.envs(self.path.iter().map(|path| ("PATH", path)));
        command
    }

    /// The standard output of a command.
    ///
    /// # Errors
    /// [`Failure`] with the command's standard error when it fails.
    pub(super) fn run(&self, arguments: &[impl AsRef<OsStr>]) -> Result<String> {
        let mut command = self.command(arguments);
        let result = collect_output(&mut command)?;
        if result.status.success() {
            return Ok(String::from_utf8_lossy(&result.stdout).into_owned());
        }
        Err(failure(self.kind, &command, &result.stderr).into())
    }

    /// As [`Engine::run`], for a command that inspects one object; `None` when the engine has no such object.
    ///
    /// # Errors
    /// When the engine fails in any other way.
    pub(super) fn query(&self, arguments: &[&str]) -> Result<Option<String>> {
        let mut command = self.command(arguments);
        let result = collect_output(&mut command)?;
        if result.status.success() {
            return Ok(Some(String::from_utf8_lossy(&result.stdout).into_owned()));
        }
        if output::is_absent(&String::from_utf8_lossy(&result.stderr)) {
            return Ok(None);
        }
        Err(failure(self.kind, &command, &result.stderr).into())
    }

    /// The output of `KIND inspect` (`container`, `image`) for those of `names` that exist: a JSON array.
    ///
    /// # Errors
    /// When the engine fails in any other way.
    pub(super) fn inspect(&self, kind: &str, names: &[String]) -> Result<String> {
        if names.is_empty() {
            return Ok("[]".to_owned());
        }
        let mut command = self.command(&[kind, "inspect"]);
        let result = collect_output(command.args(names))?;
        // When some are missing, it prints the others and fails.
        if result.status.success() || output::is_absent(&String::from_utf8_lossy(&result.stderr)) {
            return Ok(String::from_utf8_lossy(&result.stdout).into_owned());
        }
        Err(failure(self.kind, &command, &result.stderr).into())
    }

    /// Creates a network or a volume (`kind`) unless one of that name exists.
    ///
    /// # Errors
    /// When the engine fails in any other way.
    pub(super) fn create_if_missing(&self, kind: &str, arguments: &[String]) -> Result<()> {
        let mut command = self.command(&[kind, "create"]);
        let result = collect_output(command.args(arguments))?;
        if result.status.success() || String::from_utf8_lossy(&result.stderr).contains("already exists") {
            return Ok(());
        }
        Err(failure(self.kind, &command, &result.stderr).into())
    }

    /// Removes a network, if it exists and no container uses it. Returns whether there is none of this name any more.
    ///
    /// # Errors
    /// When the engine fails in any other way.
    pub(super) fn remove_network(&self, name: &str) -> Result<bool> {
        let mut command = self.command(&["network", "rm", name]);
        let result = collect_output(&mut command)?;
        let stderr = String::from_utf8_lossy(&result.stderr);
        if result.status.success() || output::is_absent(&stderr) {
            return Ok(true);
        }
        if output::is_in_use(&stderr) {
            return Ok(false);
        }
        Err(failure(self.kind, &command, &result.stderr).into())
    }

    /// Runs a command that may take `limit`. After that it is killed.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn run_within(&self, arguments: &[&str], limit: Duration) -> Result<Attempt> {
        let mut command = self.command(arguments);
        let (printed, writer) = std::io::pipe()?;
        command.stdout(writer.try_clone()?).stderr(writer);
        let child = command.spawn().with_context(|| self.cannot_run())?;
        // The command has the other end of the pipe, too.
        drop(command);
        let (status, printed) = process::finish_joined(child, printed, Keep::Last(MOST_OUTPUT), limit)?;
        let code = status.and_then(|status| status.code());
        Ok(Attempt { code, printed: String::from_utf8_lossy(&printed).into_owned() })
    }

    /// Runs a command whose standard output is read while it runs. Returns what `read` returns.
    ///
    /// # Errors
    /// [`Failure`] with the command's standard error when it fails.
    pub(super) fn output<T>(&self, arguments: &[&str], read: impl FnOnce(&mut ChildStdout) -> T) -> Result<T> {
        let mut command = self.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| self.cannot_run())?;
        let mut output = child.stdout.take().context("standard output is a pipe")?;
        let errors = child.stderr.take().context("standard error is a pipe")?;
        // Read at the same time: a full pipe would block both.
        let (result, stderr) = std::thread::scope(|scope| {
            let errors = scope.spawn(|| process::end_of(errors, MESSAGES));
            let result = read(&mut output);
            // A command that still writes ends: nobody reads it.
            drop(output);
            (result, errors.join().expect("reading does not panic"))
        });
        if child.wait()?.success() {
            return Ok(result);
        }
        Err(failure(self.kind, &command, &stderr).into())
    }

    /// Runs a command whose standard input is what `write` writes.
    ///
    /// # Errors
    /// [`Failure`] with the command's standard error when it fails; errors of `write`.
    pub(super) fn pipe(
        &self,
        arguments: &[&str],
        write: impl FnOnce(&mut ChildStdin) -> std::io::Result<()>,
    ) -> Result<()> {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| self.cannot_run())?;
        let mut input = child.stdin.take().context("standard input is a pipe")?;
        let errors = child.stderr.take().context("standard error is a pipe")?;
        // Read while writing: a full pipe would block both.
        let (written, stderr) = std::thread::scope(|scope| {
            let reader = scope.spawn(|| process::end_of(errors, MESSAGES));
            let written = write(&mut input);
            drop(input);
            (written, reader.join().expect("reading does not panic"))
        });
        if child.wait()?.success() {
            return Ok(written?);
        }
        Err(failure(self.kind, &command, &stderr).into())
    }
}

fn collect_output(command: &mut Command) -> Result<Output> {
    process::answer(command).with_context(|| format!("cannot run {}", command.get_program().to_string_lossy()))
}

/// The failure of a command with this standard error. Only its first words are shown: the rest is long.
fn failure(kind: EngineKind, command: &Command, stderr: &[u8]) -> Failure {
    let words: Vec<_> = std::iter::once(command.get_program()).chain(command.get_args()).collect();
    let words: Vec<_> = words.iter().take(3).map(|word| word.to_string_lossy()).collect();
    let stderr = String::from_utf8_lossy(stderr);
    let failure = Failure::failed(format!("`{} ...` failed: {}", words.join(" "), stderr.trim()));
    match output::hint(kind, &stderr) {
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
    fn docker_is_used_where_podman_does_not_work() {
        let found = find(&[PODMAN, DOCKER], None).unwrap();
        assert_eq!((found.kind, found.version.as_str()), (EngineKind::Podman, "4.3.1"));
        let broken = ("podman", "echo 'Error: cannot set up namespace' >&2; exit 125");
        let found = find(&[broken, DOCKER], None).unwrap();
        assert_eq!((found.kind, found.version.as_str()), (EngineKind::Docker, "20.10.24"));
        let stopped = ("docker", "echo 'Cannot connect to the Docker daemon' >&2; exit 1");
        let error = find(&[broken, stopped], None).unwrap_err();
        insta::assert_snapshot!(error, @"
        no container engine works here:
          `podman version --format ...` failed: Error: cannot set up namespace
          `docker version --format ...` failed: Cannot connect to the Docker daemon
        ");
    }

    #[test]
    fn the_hint_of_an_engine_that_fails_is_kept() {
        let full = ("podman", "echo 'Error: mkdir /run/x: no space left on device' >&2; exit 125");
        let error = find(&[full], Some("podman")).unwrap_err();
        assert!(error.to_string().contains("hint: the disk is full"), "{error}");
    }

    #[test]
    fn the_choice_of_the_user_decides() {
        assert_eq!(find(&[PODMAN, DOCKER], Some("docker")).unwrap().kind, EngineKind::Docker);
        let error = find(&[PODMAN, DOCKER], Some("runc")).unwrap_err();
        assert_eq!(error.to_string(), "`runc` is not a container engine");
        assert!(find(&[DOCKER], Some("podman")).is_err());
    }

    #[test]
    fn a_missing_object_differs_from_a_failing_engine() {
        let podman = "case $3 in
            here) echo '[]';;
            gone) echo 'Error: inspecting object: no such container gone' >&2; exit 125;;
            *) echo 'Error: database is locked' >&2; exit 125;;
        esac";
        let version = format!("[ $1 = version ] && exit 0\n{podman}");
        let (place, machine) = machine(&[("podman", &version)]);
        let engine = Engine::find(place.path(), None, &machine).unwrap();
        assert_eq!(engine.query(&["container", "inspect", "here"]).unwrap().as_deref(), Some("[]\n"));
        assert_eq!(engine.query(&["container", "inspect", "gone"]).unwrap(), None);
        let error = engine.query(&["container", "inspect", "other"]).unwrap_err();
        assert_eq!(error.to_string(), "`podman container inspect ...` failed: Error: database is locked");
    }

    /// All that a check printed was written into a temporary file, until the disk was full.
    #[test]
    fn the_end_of_what_a_check_prints_is_kept_until_its_time_is_over() {
        let podman = "[ $1 = version ] && exit 0; [ $1 = short ] && { echo out; echo err >&2; exit 3; }
            while :; do echo again; done";
        let (place, machine) = machine(&[("podman", podman)]);
        let engine = Engine::find(place.path(), None, &machine).unwrap();
        let short = engine.run_within(&["short"], Duration::from_secs(60)).unwrap();
        assert_eq!((short.code, short.printed.as_str()), (Some(3), "out\nerr\n"));
        let endless = engine.run_within(&["exec", "x"], Duration::from_millis(300)).unwrap();
        assert_eq!((endless.code, endless.printed.len()), (None, MOST_OUTPUT));
    }
}
