//! Deployments that look well and do not work: `sealift up` and `doctor` tell it, with the cause.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use sealift_tests::archive::Archive;
use sealift_tests::bundle::program;
use sealift_tests::command::{self, Ran};
use sealift_tests::lab::Lab;
use sealift_tests::podman::{Podman, USER};

/// The beginning of each profile. What comes before the images' `packages` differs.
const PROFILE: &str = r#"
schema = 1
product = "demo"
title = "What looks well"
name = "NAME"
version = "VERSION"

[debian]
suite = "tiny"
components = ["main"]
keyring = "archive-key.asc"

[base]
packages = ["base-files", "busybox-static"]

[images.box]
title = "A few small programs"
user = "USER:USER"
entrypoint = ["/usr/bin/busybox"]
stop-signal = "SIGKILL"
directories = [{ path = "/data", mode = "0700", owner = "USER:USER" }]
"#;

/// Ports that lead to where nobody listens, to where nobody gets, and to a server.
const PORTS: &str = r#"
[services.astray]
image = "box"
command = ["httpd", "-f", "-p", "8080"]
publish = { astray = 8090 }

[services.hidden]
image = "box"
command = ["httpd", "-f", "-p", "127.0.0.1:8080"]
publish = { hidden = 8080 }

[services.found]
image = "box"
command = ["httpd", "-f", "-p", "8080"]
publish = { found = 8080 }

[services.names]
image = "box"
command = ["httpd", "-f", "-p", "8080"]
publish = { names = 8080 }

[site.ports]
names = { default = 28093, address = "127.0.0.1", protocol = "udp" }
astray = { default = 28090, address = "127.0.0.1" }
hidden = { default = 28091, address = "127.0.0.1" }
found = { default = 28092, address = "127.0.0.1" }
"#;

/// Its check succeeds before it crashes.
const CRASH: &str = r#"
[services.crash]
image = "box"
command = ["sh", "-c", "/usr/bin/busybox sleep 0.8; exit 7"]
health = { command = ["/usr/bin/busybox", "true"] }
"#;

/// It reads more than it may keep.
const GREEDY: &str = r#"
[services.greedy]
image = "box"
command = ["tail", "/dev/zero"]
memory = "16M"
"#;

/// Its first process goes on when the kernel ends another one.
const WORKER: &str = r#"
[services.worker]
image = "box"
command = ["sh", "-c", "while :; do /usr/bin/busybox tail /dev/zero; /usr/bin/busybox sleep 0.2; done"]
memory = "16M"
"#;

/// Its first process ignores the signal to stop.
const DEAF: &str = r#"
[images.deaf]
title = "The same without a signal of its own"
user = "1000:1000"
entrypoint = ["/usr/bin/busybox"]

[services.other]
image = "box"
command = ["sleep", "100000"]

[services.deaf]
image = "deaf"
command = ["sh", "-c", "trap '' TERM; while :; do /usr/bin/busybox sleep 1; done"]
stop-grace = 2
"#;

const DATA: &str = r#"
[services.store]
image = "box"
command = ["sh", "-c", "/usr/bin/busybox touch /data/file && exec /usr/bin/busybox sleep 100000"]
volumes = { data = "/data" }
"#;

struct Hosts {
    lab: Lab,
    podman: Podman,
    /// Where its user can read it.
    program: PathBuf,
    rootless: bool,
}

impl Hosts {
    fn new(podman: Podman, rootless: bool) -> Result<Self> {
        let lab = Lab::with(&Archive::with_busybox()?);
        // The user can enter the folders.
        for above in lab.path("folder").ancestors().skip(1).take(2) {
            let mode = fs_err::metadata(above)?.permissions().mode();
            fs_err::set_permissions(above, Permissions::from_mode(mode | 0o055))?;
        }
        let own = podman.sandbox().folder().join("sealift");
        fs_err::copy(program()?, &own)?;
        Ok(Self { lab, podman, program: own, rootless })
    }

    /// An unpacked bundle of these services, and what the build printed.
    fn unpacked(&self, name: &str, version: &str, user: &str, services: &str) -> Result<(PathBuf, String)> {
        let (place, tar, folder) =
            (format!("{name}-{version}"), format!("{name}-{version}.tar"), format!("at-{name}-{version}"));
        let profile = self.lab.path(&place);
        fs_err::create_dir(&profile)?;
        let text = PROFILE.replace("NAME", name).replace("VERSION", version).replace("USER", user);
        fs_err::write(profile.join("profile.toml"), text + services)?;
        fs_err::copy(self.lab.path("tiny/files/archive-key.asc"), profile.join("archive-key.asc"))?;
        let mut printed = String::new();
        for arguments in [&["lock", &place][..], &["build", &place, "--locked", "--output", &tar]] {
            let ended = self.lab.run(arguments);
            ensure!(ended.code == Some(0), "{arguments:?}: {}", ended.stderr);
            printed += &ended.stderr;
        }
        fs_err::create_dir(self.lab.path(&folder))?;
        command::output(Command::new("tar").args(["xpf", &tar, "-C", &folder]).current_dir(self.lab.path("")))?;
        let folder = self.lab.path(&folder);
        self.give(&folder)?;
        Ok((folder, printed))
    }

    /// Gives a folder to the user who runs podman.
    fn give(&self, folder: &Path) -> Result<()> {
        if self.rootless {
            command::output(Command::new("chown").args(["-R", &format!("{USER}:{USER}")]).arg(folder))?;
        }
        Ok(())
    }

    fn sealift(&self, folder: &Path, arguments: &[&str]) -> Result<Ran> {
        let mut command = self.podman.command(folder, &self.program.display().to_string());
        command::run(command.args(arguments))
    }

    /// All that `up` of these services says; it ends with this code.
    fn up(&self, folder: &Path, code: i32) -> Result<String> {
        let ran = self.sealift(folder, &["up", "--host", "demo.test", "--timeout", "60"])?;
        ensure!(ran.code == Some(code), "up should exit with {code}: {ran:?}");
        Ok(ran.stdout + &ran.stderr)
    }
}

fn has(text: &str, words: &[&str]) -> Result<()> {
    let missing: Vec<&&str> = words.iter().filter(|word| !text.contains(**word)).collect();
    ensure!(missing.is_empty(), "{missing:?} not in:\n{text}");
    Ok(())
}

#[test]
#[ignore = "needs root, podman and busybox-static: tests/run"]
fn what_looks_well_and_does_not_work_is_told() -> Result<()> {
    let hosts = Hosts::new(Podman::new()?, false)?;
    ports(&hosts)?;
    crashes(&hosts)?;
    memory_of_a_worker(&hosts)?;
    signal_to_stop(&hosts)?;
    data(&hosts)
}

/// The kernel has other numbers for the users of the containers, and a program of podman's has the ports of the host.
#[test]
#[ignore = "needs root, podman and busybox-static: tests/run"]
fn an_ordinary_user_is_told_the_same() -> Result<()> {
    let hosts = Hosts::new(Podman::rootless()?, true)?;
    ports(&hosts)?;
    data(&hosts)
}

fn ports(hosts: &Hosts) -> Result<()> {
    let (folder, printed) = hosts.unpacked("ports", "1", "1000", &format!("ports = [8080]\n{PORTS}"))?;
    has(&printed, &["warning: `astray` publishes its port 8090, which image `box` does not declare"])?;
    let told = [
        "port astray: nothing listens on port 8090 of `astray`, which port 28090 of this host leads to; it listens on 8080",
        "port hidden: `hidden` listens on 127.0.0.1 only",
        "port names: nothing listens on UDP port 8080 of `names`, which port 28093 of this host leads to; it listens on no UDP port",
    ];
    let text = hosts.up(&folder, 0)?;
    has(&text, &told)?;
    ensure!(!text.contains("`found`"), "{text}");
    let doctor = hosts.sealift(&folder, &["doctor"])?;
    has(&(doctor.stdout + &doctor.stderr), &told)?;
    let down = hosts.sealift(&folder, &["down"])?;
    ensure!(down.code == Some(0), "{down:?}");
    Ok(())
}

fn crashes(hosts: &Hosts) -> Result<()> {
    let (folder, _) = hosts.unpacked("crash", "1", "1000", CRASH)?;
    has(&hosts.up(&folder, 1)?, &["crash does not stay up: it ended ", "exit code 7"])?;
    let (folder, _) = hosts.unpacked("greedy", "1", "1000", GREEDY)?;
    let text = hosts.up(&folder, 1)?;
    has(&text, &["greedy does not stay up: it ended ", "exit code 137: the kernel", "limit of 16M"])
}

fn memory_of_a_worker(hosts: &Hosts) -> Result<()> {
    let (folder, _) = hosts.unpacked("worker", "1", "1000", WORKER)?;
    let told = ["worker: runs, but the kernel has ended processes of it (", "its limit of 16M"];
    has(&hosts.up(&folder, 0)?, &told)?;
    for command in ["doctor", "status"] {
        let ran = hosts.sealift(&folder, &[command])?;
        ensure!(ran.code == Some(0), "{ran:?}");
        has(&(ran.stdout + &ran.stderr), &told)?;
    }
    let down = hosts.sealift(&folder, &["down"])?;
    // It is killed at once, as its signal says.
    ensure!(down.code == Some(0) && !down.stderr.contains("warning"), "{down:?}");
    Ok(())
}

fn signal_to_stop(hosts: &Hosts) -> Result<()> {
    let (folder, _) = hosts.unpacked("deaf", "1", "1000", DEAF)?;
    hosts.up(&folder, 0)?;
    let down = hosts.sealift(&folder, &["down"])?;
    ensure!(down.code == Some(0), "{down:?}");
    has(&down.stderr, &["warning: deaf: it did not end within 2 s after the signal to stop, and was killed", "`exec`"])
}

/// A new version runs as another user than the one that made the data. What runs stays.
fn data(hosts: &Hosts) -> Result<()> {
    let (old, _) = hosts.unpacked("data", "1", "1000", DATA)?;
    hosts.up(&old, 0)?;
    let (new, _) = hosts.unpacked("data", "2", "2000", DATA)?;
    command::output(Command::new("cp").arg("-a").arg(old.join("site")).arg(old.join(".env")).arg(&new))?;
    hosts.give(&new)?;
    let text = hosts.up(&new, 1)?;
    let message = "it belongs to 1000:1000 (mode 0700), but the service `store` runs as 2000:2000";
    has(&text, &[message, "chown -R 2000:2000 ", "nothing was changed"])?;
    let running = hosts.podman.podman(&["ps", "--format", "{{.Names}}"])?;
    ensure!(running.contains("demo-data_store"), "{running}");
    // As its hint says.
    let hint = text.lines().find_map(|line| line.split_once("and start again: ")).context("a hint")?.1;
    command::output(hosts.podman.command(&new, "sh").args(["-c", hint]))?;
    hosts.up(&new, 0)?;
    Ok(())
}
