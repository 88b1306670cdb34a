//! `sealift up`, killed at random moments: the next `up` succeeds, nothing is lost, and nothing is left behind.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sealift_tests::archive::Archive;
use sealift_tests::bundle::program;
use sealift_tests::chaos::{Chance, Tally, rounds};
use sealift_tests::command::{self, report};
use sealift_tests::lab::{Lab, without_digests};
use sealift_tests::podman::Podman;

/// Two services that only sleep, with a secret, settings and data.
const PROFILE: &str = r#"
schema = 1
name = "up"
product = "demo"
version = "1"
title = "Two services"

[debian]
suite = "tiny"
components = ["main"]
keyring = "archive-key.asc"

[base]
packages = ["base-files", "busybox-static"]

[images.sleeper]
title = "A program that sleeps"
user = "1000:1000"
entrypoint = ["/usr/bin/busybox", "sleep", "100000"]
stop-signal = "SIGKILL"

[services.store]
image = "sleeper"
volumes = { data = "/data" }

[services.web]
image = "sleeper"
env-files = ["env/web.env"]
secrets = ["token", "web.key", "web.crt"]
depends-on = ["store"]

[site.authority]
name = "Authority"
days = 100

[site.certificates.web]
names = ["web"]
host = true
days = 30
key-mode = "0640"
key-group = 1000

[site.secrets.token]
bytes = 32
encoding = "hex"
mode = "0640"
group = 1000

[site.templates."env/web.env"]
source = "web.env"
secret = true
"#;

/// An unpacked bundle of the profile.
fn unpacked(lab: &Lab) -> Result<()> {
    let profile = lab.path("up");
    fs_err::create_dir(&profile)?;
    fs_err::write(profile.join("profile.toml"), PROFILE)?;
    fs_err::write(profile.join("web.env"), "TOKEN={{ secrets.token }}\nHOST={{ host }}\n")?;
    fs_err::copy(lab.path("tiny/files/archive-key.asc"), profile.join("archive-key.asc"))?;
    for arguments in [&["lock", "up"][..], &["build", "up", "--locked", "--output", "up.tar"]] {
        let ended = lab.run(arguments);
        ensure!(ended.code == Some(0), "{arguments:?}: {}", ended.stderr);
    }
    fs_err::create_dir(lab.path("folder"))?;
    command::output(Command::new("tar").args(["xpf", "up.tar", "-C", "folder"]).current_dir(lab.path("")))?;
    Ok(())
}

struct Host<'a> {
    podman: &'a Podman,
    folder: &'a Path,
}

impl Host<'_> {
    fn sealift(&self, arguments: &[&str]) -> Result<()> {
        let mut command = self.podman.command(self.folder, &program()?.display().to_string());
        command::output(command.args(arguments)).map(drop)
    }

    /// Starts `up` and kills it after `moment`. Returns whether it was still running. What it started stays.
    fn killed_up(&self, moment: Duration) -> Result<bool> {
        const SCRIPT: &str =
            "\"$1\" up --host web.test >/dev/null 2>&1 & sleep $2; kill -9 $! 2>/dev/null; wait $!; echo $?";
        let mut command = self.podman.command(self.folder, "sh");
        command.args(["-c", SCRIPT, "sh"]).arg(program()?).arg(format!("{:.3}", moment.as_secs_f64()));
        Ok(command::output(&mut command)?.trim() == "137")
    }

    fn list(&self, arguments: &[&str]) -> Result<Vec<String>> {
        let mut lines: Vec<String> = self.podman.podman(arguments)?.lines().map(str::to_owned).collect();
        lines.sort();
        Ok(lines)
    }

    /// What a start gives: containers and how they run, volumes, networks, images, and the files of the folder with their
    /// modes. It is the same after every start.
    fn state(&self) -> Result<String> {
        let mut lines = Vec::new();
        for name in ["demo-up_store", "demo-up_web"] {
            let text = self.podman.podman(&["inspect", name])?;
            let container = &serde_json::from_str::<serde_json::Value>(&text)?[0];
            let mut mounts: Vec<String> =
                container["Mounts"].as_array().into_iter().flatten().map(ToString::to_string).collect();
            mounts.sort();
            lines.push(format!("{name} {} {}", container["ImageName"], container["State"]["Status"]));
            for part in ["Labels", "User", "Entrypoint", "Cmd", "StopSignal"] {
                lines.push(format!("  {part} {}", container["Config"][part]));
            }
            lines.push(format!("  {}", container["HostConfig"]["RestartPolicy"]));
            lines.extend(mounts);
        }
        lines.extend(self.list(&["volume", "ls", "--format", "{{.Name}}"])?);
        lines.extend(self.list(&["network", "ls", "--format", "{{.Name}} {{.Driver}}"])?);
        lines.extend(self.list(&["images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"])?);
        let mut find = Command::new("find");
        find.arg(self.folder).args(["-printf", "%P %y %m %u %g\n"]);
        let mut files: Vec<String> = command::output(&mut find)?.lines().map(str::to_owned).collect();
        files.sort();
        lines.extend(files);
        // A label has the digest of the secrets, which a new site has of its own.
        Ok(without_digests(&lines.join("\n")))
    }

    /// Makes the next `up` one of three kinds: on an empty host, of stopped services, of services of which one has ended.
    fn prepare(&self, kind: usize) -> Result<()> {
        match kind {
            0 => {
                self.sealift(&["down", "--volumes", "--yes"])?;
                self.podman.podman(&["rmi", "--all", "--force"])?;
                fs_err::remove_dir_all(self.folder.join("site"))?;
                let _ = fs_err::remove_file(self.folder.join(".env"));
            }
            1 => self.sealift(&["down"])?,
            _ => drop(self.podman.podman(&["kill", "demo-up_web"])?),
        }
        Ok(())
    }

    /// How long `up` takes after [`Self::prepare`].
    fn undisturbed(&self, kind: usize) -> Result<Duration> {
        self.prepare(kind)?;
        let start = Instant::now();
        self.sealift(&["up", "--host", "web.test"])?;
        let whole = start.elapsed();
        report(&format!("up, undisturbed: {:.1} s", whole.as_secs_f64()));
        Ok(whole)
    }

    /// Files with the token in the folder or in that for temporary files, other than those that have it on purpose. The
    /// engine's own storage is not looked at.
    fn litter(&self) -> Result<Vec<String>> {
        let Some(token) = self.token() else { return Ok(Vec::new()) };
        let storage = self.podman.sandbox().folder();
        let mut grep = Command::new("grep");
        grep.args(["-rlF", "--exclude-dir=storage", "-e", str::from_utf8(&token)?.trim()])
            .arg(self.folder)
            .arg(storage);
        let found = command::run(&mut grep)?.stdout;
        let meant = ["site/secrets/token", "site/env/web.env"].map(|name| self.folder.join(name).display().to_string());
        Ok(found.lines().map(str::to_owned).filter(|path| !meant.contains(path)).collect())
    }

    /// Everything is there once, and nothing else.
    fn is_whole(&self) -> Result<()> {
        let running = self.list(&["ps", "--format", "{{.Names}}"])?;
        ensure!(running == ["demo-up_store", "demo-up_web"], "running: {running:?}");
        let all = self.list(&["ps", "--all", "--format", "{{.Names}}"])?;
        ensure!(all == running, "all containers: {all:?}");
        let volumes = self.list(&["volume", "ls", "--format", "{{.Name}}"])?;
        ensure!(volumes == ["demo-up_data"], "volumes: {volumes:?}");
        let mut find = Command::new("find");
        find.arg(self.folder).args([
            "-name",
            ".*",
            "!",
            "-name",
            ".env",
            "!",
            "-path",
            self.folder.to_str().context("UTF-8")?,
        ]);
        let left = command::output(&mut find)?;
        ensure!(left.is_empty(), "left behind: {left}");
        Ok(())
    }

    fn token(&self) -> Option<Vec<u8>> {
        fs_err::read(self.folder.join("site/secrets/token")).ok()
    }
}

#[test]
#[ignore = "needs root, podman and busybox-static: tests/chaos/run"]
fn a_killed_up() -> Result<()> {
    let lab = Lab::with(&Archive::with_busybox()?);
    unpacked(&lab)?;
    let podman = Podman::new()?;
    let folder = lab.path("folder");
    let host = Host { podman: &podman, folder: &folder };
    host.sealift(&["up", "--host", "web.test"])?;
    host.is_whole()?;
    let expected = host.state()?;
    let whole = [host.undisturbed(0)?, host.undisturbed(1)?, host.undisturbed(2)?];
    let (mut chance, mut tally) = (Chance::new("up"), Tally::default());
    let start = Instant::now();
    for round in 0.. {
        if tally.of("killed") == rounds(4) {
            break;
        }
        let kind = chance.below(whole.len());
        host.prepare(kind)?;
        let before = host.token();
        let moment = chance.moment(whole[kind]);
        tally.count(if host.killed_up(moment)? { "killed" } else { "had ended" });
        let after = host.token();
        let litter = host.litter()?;
        ensure!(litter.is_empty(), "round {round}, after {moment:?}: the token is in {litter:?}");
        ensure!(before.is_none() || before == after, "round {round}, {moment:?}: the secret was made again");
        host.sealift(&["up", "--host", "web.test"]).with_context(|| format!("round {round}, after {moment:?}"))?;
        host.is_whole().with_context(|| format!("round {round}, after {moment:?}"))?;
        ensure!(after.is_none() || after == host.token(), "round {round}, {moment:?}: the secret was made again");
        let state = host.state()?;
        ensure!(state == expected, "round {round}, after {moment:?}: expected\n{expected}\n\nis\n{state}");
        tally.count("started by the next up, nothing lost and nothing left");
    }
    tally.print("up, killed", start);
    Ok(())
}
