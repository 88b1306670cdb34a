//! podman or Docker, and the compose that goes with it: the one place that runs them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::answers::{self, Facts};
use crate::deploy;
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

    /// The compose programs that work with it, best first.
    fn composes(self) -> &'static [&'static str] {
        match self {
            Self::Podman => &["podman-compose", "podman compose", "docker-compose"],
            Self::Docker => &["docker compose", "docker-compose"],
        }
    }
}

/// What the user wants of the two; `None` leaves the choice.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// `podman`, `docker` or `auto`; without it `SEALIFT_ENGINE` of the machine.
    pub engine: Option<&'a str>,
    /// A compose program with its first arguments, such as `docker compose`; without it `SEALIFT_COMPOSE`.
    pub compose: Option<&'a str>,
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
    /// What programs are given besides the environment.
    variables: BTreeMap<String, String>,
    facts: OnceLock<Facts>,
}

impl Engine {
    /// Finds the engine and the compose program for the deployment in `folder`. Without a choice the first of podman and
    /// Docker is taken that answers and has a compose program.
    ///
    /// # Errors
    /// [`Failure`] with what each of them lacks.
    pub fn find(folder: &Path, wanted: Wanted<'_>, machine: &Machine) -> Result<Self> {
        let engine = wanted.engine.or_else(|| machine.var("SEALIFT_ENGINE")).unwrap_or("auto");
        let compose = wanted.compose.or_else(|| machine.var("SEALIFT_COMPOSE"));
        let kinds: &[Kind] = match engine {
            "auto" => &[Kind::Podman, Kind::Docker],
            "podman" => &[Kind::Podman],
            "docker" => &[Kind::Docker],
            other => {
                return Err(Failure::usage(format!("`{other}` is no engine"))
                    .hint("--engine or SEALIFT_ENGINE: podman, docker or auto")
                    .into());
            }
        };
        let variables: BTreeMap<String, String> =
            machine.var("PATH").map(|path| ("PATH".to_owned(), path.to_owned())).into_iter().collect();
        let mut said = Vec::new();
        for kind in kinds {
            let found = Self {
                kind: *kind,
                version: String::new(),
                compose: Vec::new(),
                folder: folder.to_owned(),
                variables: variables.clone(),
                facts: OnceLock::new(),
            };
            match found.probe(compose, machine) {
                Ok(found) => return Ok(found),
                Err(error) => said.push(format!("{error:#}")),
            }
        }
        Err(Failure::failed(format!("no container engine works here:\n  {}", said.join("\n  ")))
            .hint("install podman with podman-compose, or Docker with compose, and start Docker's daemon")
            .into())
    }

    /// One that nobody has looked for.
    #[cfg(test)]
    pub(super) fn of(kind: Kind, version: &str) -> Self {
        let (version, compose) = (version.to_owned(), vec!["compose".to_owned()]);
        Self { kind, version, compose, folder: PathBuf::new(), variables: BTreeMap::new(), facts: OnceLock::new() }
    }

    fn probe(mut self, compose: Option<&str>, machine: &Machine) -> Result<Self> {
        // Asks Docker's daemon, too; podman has none.
        let format = if self.kind == Kind::Podman { "{{.Version}}" } else { "{{.Server.Version}}" };
        self.version = self.run(&["version", "--format", format])?.trim().to_owned();
        let chosen = [compose.unwrap_or_default()];
        let ways = if compose.is_some() { &chosen[..] } else { self.kind.composes() };
        for way in ways {
            let words: Vec<String> = way.split_whitespace().map(str::to_owned).collect();
            let Some(program) = words.first() else { continue };
            // Docker's compose reaches podman only through the socket of `podman system service`.
            if self.kind == Kind::Podman && program.starts_with("docker") && machine.var("DOCKER_HOST").is_none() {
                let Some(socket) = self.socket() else { continue };
                self.variables.insert("DOCKER_HOST".to_owned(), format!("unix://{socket}"));
            }
            self.compose = words;
            let answer = output(self.compose_command(&["version"]).stdin(Stdio::null()));
            if answer.is_ok_and(|answer| answer.status.success()) {
                return Ok(self);
            }
        }
        let program = self.kind.program();
        Err(Failure::failed(format!(
            "{program} {} works, but has no compose program: {}",
            self.version,
            ways.join(", ")
        ))
        .into())
    }

    /// The socket that podman serves Docker's interface on, if it does.
    fn socket(&self) -> Option<String> {
        let path = self.run(&["info", "--format", "{{.Host.RemoteSocket.Path}}"]).ok()?;
        let path = path.trim().trim_start_matches("unix://").to_owned();
        Path::new(&path).exists().then_some(path)
    }

    /// The name of its program.
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

    /// A command of it in the deployment's folder.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.program());
        command.args(arguments).current_dir(&self.folder).envs(&self.variables);
        command
    }

    /// A command of its compose in the deployment's folder.
    #[must_use]
    pub fn compose_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.compose[0]);
        command.args(&self.compose[1..]).args(arguments).current_dir(&self.folder).envs(&self.variables);
        // Only what `.env` says counts, as for everything else here.
        command.env_remove(deploy::PROJECT_VARIABLE);
        command
    }

    /// What a command of it prints.
    ///
    /// # Errors
    /// [`Failure`] with what it said on its standard error.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        succeed(self.command(arguments).stdin(Stdio::null()))
    }

    /// As [`Engine::run`] of a command that asks for one thing; `None` when there is no such thing.
    ///
    /// # Errors
    /// When the engine fails in any other way.
    pub fn ask(&self, arguments: &[&str]) -> Result<Option<String>> {
        let mut command = self.command(arguments);
        let output = output(command.stdin(Stdio::null()))?;
        if output.status.success() {
            return Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()));
        }
        if answers::is_absent(&String::from_utf8_lossy(&output.stderr)) {
            return Ok(None);
        }
        Err(failed(&command, &output.stderr).into())
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

    /// Runs a compose command and gives what it said on both streams.
    ///
    /// # Errors
    /// [`Failure`] with what it said on its standard error.
    pub fn compose(&self, arguments: &[&str], variables: &[(String, String)]) -> Result<String> {
        let mut command = self.compose_command(arguments);
        let output = output(command.envs(variables.iter().cloned()).stdin(Stdio::null()))?;
        if !output.status.success() {
            return Err(failed(&command, &output.stderr).into());
        }
        Ok([output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat())
    }

    /// Runs `compose run ...`, whose lines go to `out` as they come; whether the program in the container exited with 0.
    ///
    /// podman-compose 1.0 exits with 0 whatever happens, but prints the exit code among much else.
    ///
    /// # Errors
    /// When it cannot be started, or `out` fails.
    pub fn compose_run(&self, arguments: &[&str], out: &mut impl Write) -> Result<bool> {
        let mut command = self.compose_command(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot run {}", self.compose.join(" ")))?;
        let chatty = self.compose[0] == "podman-compose";
        let mut code = None;
        for line in BufReader::new(child.stdout.take().context("standard output is a pipe")?).split(b'\n') {
            let line = line?;
            let text = String::from_utf8_lossy(&line);
            match answers::chatter(&text).filter(|_| chatty) {
                Some(exit) => code = exit.or(code),
                None => writeln!(out, "{text}")?,
            }
        }
        out.flush()?;
        Ok(child.wait()?.success() && code.unwrap_or(0) == 0)
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

    fn find(scripts: &[(&str, &str)], wanted: Wanted<'_>) -> Result<Engine> {
        let (place, machine) = machine(scripts);
        Engine::find(place.path(), wanted, &machine)
    }

    const DOCKER: (&str, &str) = ("docker", r#"case $1 in version) echo 20.10.24;; *) exit 1;; esac"#);

    #[test]
    fn docker_is_taken_where_podman_has_no_compose() {
        let podman = ("podman", "case $1 in version) echo 4.3.1;; info) echo /nowhere;; *) exit 125;; esac");
        let found = find(&[podman, DOCKER, ("docker-compose", "exit 0")], Wanted::default()).unwrap();
        assert_eq!(
            (found.kind, found.version.as_str(), &found.compose[..]),
            (Kind::Docker, "20.10.24", &["docker-compose".to_owned()][..])
        );
        let found = find(&[podman, ("podman-compose", "exit 0"), DOCKER], Wanted::default()).unwrap();
        assert_eq!((found.kind, found.version.as_str()), (Kind::Podman, "4.3.1"));
        let error = find(&[podman, DOCKER], Wanted::default()).unwrap_err();
        insta::assert_snapshot!(error, @r"
        no container engine works here:
          podman 4.3.1 works, but has no compose program: podman-compose, podman compose, docker-compose
          docker 20.10.24 works, but has no compose program: docker compose, docker-compose
        ");
    }

    #[test]
    fn the_users_choice_is_taken() {
        let podman = ("podman", "case $1 in version|compose) echo 5.0;; *) exit 125;; esac");
        let both = [podman, ("podman-compose", "exit 0"), DOCKER, ("docker-compose", "exit 0")];
        let wanted = Wanted { engine: None, compose: Some("podman compose") };
        assert_eq!(find(&both, wanted).unwrap().compose, ["podman", "compose"]);
        let wanted = Wanted { engine: Some("docker"), compose: None };
        assert_eq!(find(&both, wanted).unwrap().kind, Kind::Docker);
        let wanted = Wanted { engine: Some("runc"), compose: None };
        assert_eq!(find(&both, wanted).unwrap_err().to_string(), "`runc` is no engine");
    }

    #[test]
    fn what_is_not_there_differs_from_an_engine_that_fails() {
        let podman = "case $3 in
            here) echo '[]';;
            gone) echo 'Error: inspecting object: no such container gone' >&2; exit 125;;
            *) echo 'Error: database is locked' >&2; exit 125;;
        esac";
        let version = format!("[ $1 = version ] && exit 0\n{podman}");
        let (place, machine) = machine(&[("podman", &version), ("podman-compose", "exit 0")]);
        let engine = Engine::find(place.path(), Wanted::default(), &machine).unwrap();
        assert_eq!(engine.ask(&["container", "inspect", "here"]).unwrap().as_deref(), Some("[]\n"));
        assert_eq!(engine.ask(&["container", "inspect", "gone"]).unwrap(), None);
        let error = engine.ask(&["container", "inspect", "other"]).unwrap_err();
        assert_eq!(error.to_string(), "`podman container inspect ...` failed: Error: database is locked");
    }

    #[test]
    fn a_failed_run_is_seen_though_podman_compose_exits_with_0() {
        let compose = "echo 'podman run --name=x'; echo done; echo \"exit code: $2\"";
        let (place, machine) = machine(&[("podman", "exit 0"), ("podman-compose", compose)]);
        let engine = Engine::find(place.path(), Wanted::default(), &machine).unwrap();
        let run = |code| {
            let mut out = Vec::new();
            (engine.compose_run(&["run", code], &mut out).unwrap(), String::from_utf8(out).unwrap())
        };
        assert_eq!(run("0"), (true, "done\n".to_owned()));
        assert_eq!(run("1"), (false, "done\n".to_owned()));
    }
}
