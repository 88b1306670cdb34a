//! The bundle without containers, without any network: run by an ordinary user, and by systemd, with a PostgreSQL from
//! Debian's packages.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sealift_tests::bundle::{Bundle, program};
use sealift_tests::command::{self, Ran, report};
use sealift_tests::sandbox::Sandbox;
use sealift_tests::systemd::Systemd;
use serde_json::Value;

/// The public name of the installation.
const HOST: &str = "parsec.test";
/// A user ID that the machine does not use.
const USER: &str = "4321";
/// Timeout of one command.
const LIMIT: Duration = Duration::from_secs(120);

/// Checks that the interpreter and its libraries come from the bundle's folder and not from the machine.
const SELF_TEST: &str = r#"
import locale, os, ssl, subprocess, sys, time, zoneinfo
from pathlib import Path
root = Path(sys.argv[1])
def own(path): return Path(path).resolve().is_relative_to(root)
assert own(sys.executable) and own(sys.prefix) and own(sys.base_prefix), sys.prefix
assert sys.prefix != sys.base_prefix, "the venv is not active"
assert all(own(path) for path in sys.path if path), sys.path
assert locale.setlocale(locale.LC_ALL, "") == "C.UTF-8" and sys.getfilesystemencoding() == "utf-8"
assert own(ssl.get_default_verify_paths().cafile) and len(ssl.create_default_context().get_ca_certs()) > 100
assert own(zoneinfo.TZPATH[0]) and zoneinfo.ZoneInfo("Europe/Paris")
os.environ["TZ"] = "Asia/Tokyo"; time.tzset(); assert time.localtime(0).tm_hour == 9
import socket; assert socket.gethostbyname("localhost") == "127.0.0.1"
libraries = {line.split(maxsplit=5)[-1].strip() for line in open("/proc/self/maps") if ".so" in line}
assert any("/libc.so.6" in path for path in libraries)
foreign = {path for path in libraries if not own(path) and "libnss_" not in path and "/libcap.so" not in path}
assert not foreign, foreign
again = "import sys; print(sys.executable, sys.prefix, sep='\\n')"
found = subprocess.check_output([sys.executable, "-c", again], text=True).splitlines()
assert found == [sys.executable, sys.prefix], found
import multiprocessing
with multiprocessing.get_context("spawn").Pool(1) as pool:
    assert pool.map(abs, [-1]) == [1]
print("ok")
"#;

#[test]
#[ignore = "needs root: tests/run"]
fn without_containers() -> Result<()> {
    let start = Instant::now();
    let bundle = Bundle::build("bare-metal", |_, _| Ok(Vec::new()))?;
    report(&format!("build: {:.0} s, {:.0} MB", start.elapsed().as_secs_f64(), size(&bundle.tar)? / 1e6));
    let sandbox = Sandbox::new()?;
    fs_err::set_permissions(sandbox.folder(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let _postgres = Postgres::start(&sandbox)?;
    let host = Host::unpack(&sandbox, &bundle)?;
    by_hand(&host)?;
    by_systemd(&host)
}

fn size(file: &Path) -> Result<f64> {
    Ok(fs_err::metadata(file)?.len() as f64)
}

/// PostgreSQL 18 of Debian's packages, in a folder that is its root: Debian 12 has 15, the server needs 16 or newer.
struct Postgres {
    server: Child,
}

impl Postgres {
    fn start(sandbox: &Sandbox) -> Result<Self> {
        let bundle = Bundle::build("standalone", |_, _| Ok(Vec::new()))?;
        let root = sandbox.folder().join("postgres");
        fs_err::create_dir(&root)?;
        let image = bundle.manifest.images.iter().find(|image| image.name == "parsec-postgres");
        for layer in &image.context("standalone has a database")?.layers {
            let blob = bundle.folder.join("blobs/sha256").join(layer.digest.hex());
            command::output(Command::new("tar").arg("-xpzf").arg(blob).arg("-C").arg(&root))?;
        }
        let script = "mount --rbind /dev dev && mount -t tmpfs none tmp && mkdir -p tmp/data && chown -R 999:999 tmp";
        command::output(sandbox.command(LIMIT, &root, "sh").args(["-c", script]))?;
        let inside = |arguments: &[&str]| {
            let mut command = sandbox.command(Duration::from_secs(600), &root, "chroot");
            command.args(["--userspec=999:999", ".", "/usr/bin/env", "LANG=C.UTF-8", "PGHOST=/tmp"]);
            command.arg("PATH=/usr/lib/postgresql/18/bin:/usr/bin").args(arguments).stdin(Stdio::null());
            command
        };
        fs_err::write(root.join("password"), "secret")?;
        command::output(&mut inside(&[
            "initdb",
            "-D",
            "/tmp/data",
            "-U",
            "parsec",
            "--auth-host=scram-sha-256",
            "--pwfile=/password",
        ]))?;
        let settings = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=/tmp", "-c", "fsync=off"];
        let server = inside(&["postgres", "-D", "/tmp/data"]).args(settings).stderr(Stdio::null()).spawn()?;
        retry(|| command::output(&mut inside(&["createdb", "-U", "parsec", "parsec"])))?;
        Ok(Self { server })
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // The sandbox ends the server itself.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The unpacked bundle in the sandbox.
struct Host<'a> {
    sandbox: &'a Sandbox,
    folder: PathBuf,
    sealift: PathBuf,
}

impl<'a> Host<'a> {
    /// As an ordinary user, at a place with a blank in its name.
    fn unpack(sandbox: &'a Sandbox, bundle: &Bundle) -> Result<Self> {
        let folder = sandbox.folder().join("any place");
        fs_err::create_dir(&folder)?;
        fs_err::create_dir(sandbox.folder().join("state"))?;
        for own in [&folder, &sandbox.folder().join("state")] {
            std::os::unix::fs::chown(own, Some(4321), Some(4321))?;
        }
        let (tar, sealift) = (sandbox.folder().join("bundle.tar.gz"), sandbox.folder().join("sealift"));
        fs_err::copy(&bundle.tar, &tar)?;
        fs_err::copy(program()?, &sealift)?;
        let host = Self { sandbox, folder, sealift };
        command::output(host.user("tar").arg("xf").arg(tar))?;
        command::output(host.user("sha256sum").args(["--quiet", "-c", "SHA256SUMS"]))?;
        Ok(host)
    }

    /// A command of an ordinary user with nothing in the environment.
    fn user(&self, program: &str) -> Command {
        let mut command = self.sandbox.command(LIMIT, &self.folder, "setpriv");
        command.args(["--reuid", USER, "--regid", USER, "--clear-groups", "--no-new-privs", "env", "-i"]);
        // Where the host remembers that the site is its own.
        let state = format!("XDG_STATE_HOME={}", self.folder.with_file_name("state").display());
        command.args(["PATH=/usr/bin:/bin", &state, program]);
        command
    }

    fn bin(&self, program: &str) -> Command {
        self.user(&self.folder.join("bin").join(program).display().to_string())
    }

    fn user_sealift(&self, arguments: &[&str]) -> Result<Ran> {
        command::run(self.user(&self.sealift.display().to_string()).args(arguments))
    }

    fn token(&self) -> Result<String> {
        Ok(fs_err::read_to_string(self.folder.join("site/secrets/admin-token"))?.trim().to_owned())
    }

    /// The HTTP status of a request for an organization to the administration API.
    fn organization_status(&self, token: &str, organization: &str) -> Result<String> {
        let mut curl = self.sandbox.command(LIMIT, &self.folder, "curl");
        curl.args(["--silent", "--show-error", "--output", "/dev/null", "--write-out", "%{http_code}"]);
        curl.args(["--cacert", "site/custom-ca.crt", "--connect-to", "::127.0.0.1:", "--header"]);
        curl.arg(format!("Authorization: Bearer {token}"));
        curl.arg(format!("https://{HOST}:6777/administration/organizations/{organization}"));
        command::output(&mut curl)
    }
}

/// Repeats `attempt` until it succeeds, for a minute at most.
fn retry<T>(mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        match attempt() {
            Err(_) if start.elapsed() < Duration::from_secs(60) => std::thread::sleep(Duration::from_millis(100)),
            result => return result.context("it failed for a minute"),
        }
    }
}

fn by_hand(host: &Host<'_>) -> Result<()> {
    let python = host.folder.join("root/opt/parsec/bin/python").display().to_string();
    let root = host.folder.canonicalize()?.join("root").display().to_string();
    // Variables that a user's shell may have.
    let mut command = host.user("env");
    command.args(["LANG=C.UTF-8", "LD_LIBRARY_PATH=/usr/lib/x86_64-linux-gnu", "PYTHONHOME=/usr", &python]);
    let printed = command::output(command.args(["-c", SELF_TEST, &root]))?;
    ensure!(printed.trim() == "ok", "{printed}");

    // Without a site, the programs say what is missing.
    let refused = command::run(&mut host.bin("run-parsec-server"))?;
    ensure!(refused.code == Some(1) && refused.stderr.contains("./sealift site new"), "{refused:?}");

    // Without the operator's settings, nothing is created.
    let folder = host.folder.display().to_string();
    let refused = host.user_sealift(&["up", "--host", HOST])?;
    ensure!(refused.code == Some(2) && refused.stderr.contains("database-url"), "{refused:?}");
    configure(host)?;
    // Without root and systemd, `up` creates the site and prints the commands that start the services.
    let up = host.user_sealift(&["up", "--self-signed"])?;
    ensure!(up.code == Some(0), "{up:?}");
    let commands: Vec<&str> = up.stdout.lines().collect();
    ensure!(commands == ["migrate", "run-parsec-server"].map(|name| format!("{folder}/bin/{name}")), "{up:?}");

    let start = Instant::now();
    command::output(&mut host.bin("migrate"))?;
    report(&format!("migrate: {:.1} s", start.elapsed().as_secs_f64()));
    let server = Server::start(host)?;
    let link = command::output(host.bin("create-organization").arg("MyOrg"))?;
    ensure!(link.starts_with(&format!("parsec3://{HOST}:6777/MyOrg?")), "{link}");
    let (wrong, token) = ("x".repeat(84), host.token()?);
    ensure!(host.organization_status(&wrong, "MyOrg")? == "403" && host.organization_status(&token, "MyOrg")? == "200");
    server.stop(host)?;
    let server = Server::start(host)?;
    ensure!(host.organization_status(&token, "MyOrg")? == "200" && host.organization_status(&token, "Other")? == "404");
    server.stop(host)?;

    // Only the site was written.
    let verified = host.user_sealift(&["verify", &folder])?;
    ensure!(verified.code == Some(0), "{verified:?}");
    Ok(())
}

/// Fills in the operator's settings.
fn configure(host: &Host<'_>) -> Result<()> {
    let file = host.folder.join("site/settings.toml");
    let mut text = String::new();
    for line in fs_err::read_to_string(&file)?.lines() {
        // Only the required settings.
        let value = match line.split_once(" =").map_or(line, |(name, _)| name).trim_start_matches('#') {
            "database-url" => Some("\"postgresql://parsec:secret@127.0.0.1:5432/parsec\""),
            "smtp-host" => Some("\"127.0.0.1\""),
            "smtp-sender" => Some("\"parsec@parsec.test\""),
            _ => None,
        };
        let name = line.split(" =").next().unwrap_or_default().trim_start_matches('#');
        text += &value.map_or_else(|| format!("{line}\n"), |value| format!("{name} = {value}\n"));
    }
    Ok(fs_err::write(&file, text)?)
}

/// The server in the foreground.
struct Server {
    child: Child,
}

impl Server {
    fn start(host: &Host<'_>) -> Result<Self> {
        let start = Instant::now();
        let log = fs_err::File::create(host.sandbox.folder().join("log"))?.into_parts().0;
        // Each script replaces itself with the next program (exec): the process ID stays the same.
        let script = "echo $$ >\"$0\"; exec bin/run-parsec-server";
        let pid = host.sandbox.folder().join("pid");
        fs_err::write(&pid, "")?;
        std::os::unix::fs::chown(&pid, Some(4321), Some(4321))?;
        let child = host.user("sh").args(["-c", script]).arg(pid).stdout(log.try_clone()?).stderr(log).spawn()?;
        let server = Self { child };
        retry(|| command::output(&mut host.bin("health-parsec-server")))?;
        report(&format!("run-parsec-server, until it is healthy: {:.1} s", start.elapsed().as_secs_f64()));
        Ok(server)
    }

    /// Stops it with SIGTERM, as systemd does, and checks that it shuts down.
    fn stop(mut self, host: &Host<'_>) -> Result<()> {
        let pid = fs_err::read_to_string(host.sandbox.folder().join("pid"))?;
        command::output(host.user("sh").args(["-c", "kill -TERM \"$0\"", pid.trim()]))?;
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(20) {
            if let Some(status) = self.child.try_wait()? {
                let log = fs_err::read_to_string(host.sandbox.folder().join("log"))?;
                // It ends by the same signal after its shutdown.
                ensure!(log.contains("Finished server process"), "{status}\n{log}");
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        anyhow::bail!("it does not end after SIGTERM")
    }
}

fn by_systemd(host: &Host<'_>) -> Result<()> {
    let systemd = Systemd::start(host.sandbox)?;
    // Copied to a folder that services can read, and owned by root.
    let source = host.folder.display().to_string();
    let root = |program: &str, arguments: &[&str]| -> Result<Ran> {
        command::run(systemd.command(Path::new("/opt"), program).args(arguments))
    };
    let sealift =
        |arguments: &[&str]| root(&host.sealift.display().to_string(), &[arguments, &["-C", "/opt/parsec"]].concat());
    let refused = root(&host.sealift.display().to_string(), &["up", "-C", &source])?;
    ensure!(refused.code == Some(1) && refused.stderr.contains("services cannot be run from"), "{refused:?}");
    for (program, arguments) in [("cp", ["-r", &source, "/opt/parsec"]), ("chown", ["-R", "0:0", "/opt/parsec"])] {
        ensure!(root(program, &arguments)?.code == Some(0));
    }
    // The site was made by another user.
    let refused = sealift(&["up"])?;
    ensure!(refused.code == Some(1) && refused.stderr.contains("use --accept-site"), "{refused:?}");
    let start = Instant::now();
    let up = sealift(&["up", "--accept-site"])?;
    ensure!(up.code == Some(0) && up.stdout.contains("https: parsec.test:6777"), "{up:?}");
    report(&format!("up with systemd: {:.1} s", start.elapsed().as_secs_f64()));
    ensure!(host.organization_status(&host.token()?, "MyOrg")? == "200");

    confined(&root)?;
    let pid = || Ok::<_, anyhow::Error>(root("systemctl", &["show", "-P", "MainPID", "parsec-server"])?.stdout);
    let first = pid()?;
    ensure!(sealift(&["up"])?.code == Some(0) && first == pid()?, "a repeated `up` restarted the server");
    ensure!(root("systemctl", &["kill", "--signal=KILL", "parsec-server"])?.code == Some(0));
    retry(|| {
        let status = sealift(&["status", "--json"])?.stdout;
        let services: Value = serde_json::from_str(&status)?;
        ensure!(services[0]["health"] == "healthy" && services[0]["outdated"].is_null() && first != pid()?, "{status}");
        Ok(())
    })?;
    let examined = sealift(&["doctor"])?.stdout;
    for line in ["ok: folder: /opt/parsec", "ok: parsec-server: healthy"] {
        ensure!(examined.contains(line), "no line {line}:\n{examined}");
    }
    let logs = sealift(&["logs", "parsec-server"])?;
    ensure!(logs.stdout.contains("Uvicorn running"), "{logs:?}");
    ensure!(sealift(&["task", "create-organization", "Second"])?.stdout.starts_with("parsec3://"));
    // A task that is a request: to the server itself.
    let shown = sealift(&["task", "show-organization", "Second"])?;
    ensure!(shown.stdout.starts_with("bootstrapped: no\n"), "{shown:?}");
    let unit = "/etc/systemd/system/parsec-server.service";
    ensure!(root("sed", &["-i", "s/^UMask=.*/UMask=0027/", unit])?.code == Some(0));
    let status = sealift(&["status"])?.stdout;
    ensure!(status.contains("outdated: its unit file changed"), "{status}");
    ensure!(sealift(&["up"])?.code == Some(0) && sealift(&["status"])?.stdout.contains("up to date"));
    ensure!(sealift(&["down"])?.code == Some(0));
    let status = sealift(&["status"])?.stdout;
    ensure!(status.contains("absent"), "{status}");
    let left = root("ls", &["-A", "/etc/systemd/system"])?;
    ensure!(!left.stdout.contains("parsec"), "{left:?}");
    Ok(())
}

/// The unit's sandbox is in effect: a user of its own, without capabilities and without access to the site.
fn confined(root: &dyn Fn(&str, &[&str]) -> Result<Ran>) -> Result<()> {
    let unit = "/etc/systemd/system/parsec-server.service";
    let verified = root("systemd-analyze", &["verify", unit])?;
    ensure!(verified.code == Some(0) && verified.stderr.is_empty(), "{verified:?}");
    let security = root("systemd-analyze", &["security", "--offline=true", "--threshold=15", unit])?;
    ensure!(security.code == Some(0), "{}", security.stdout);
    report(security.stdout.lines().last().unwrap_or_default());
    let script = r#"
set -eu
pid=$(systemctl show -P MainPID parsec-server)
grep -E '^(Uid|Seccomp|NoNewPrivs|CapEff|CapBnd):' /proc/$pid/status | tr '\t' ' '
uid=$(awk '/^Uid:/ { print $2 }' /proc/$pid/status)
# It has copies of its keys, and no access to the site.
as_service() { nsenter --target $pid --mount setpriv --reuid $uid --regid $uid --clear-groups "$@"; }
as_service test -r /run/credentials/parsec-server.service/parsec-server.key && echo copies
as_service test -r /opt/parsec/site/tls/parsec-server.key || echo 'no key of the site'
as_service touch /opt/parsec/root/x 2>/dev/null || echo 'no writing'
tr '\0' '\n' </proc/$pid/environ | grep -c '^PARSEC_' >/dev/null && echo settings
"#;
    let ran = root("sh", &["-c", script])?;
    ensure!(ran.code == Some(0), "{ran:?}");
    let lines: Vec<&str> = ran.stdout.lines().collect();
    ensure!(!lines[0].starts_with("Uid: 0 "), "{ran:?}");
    let rest = ["NoNewPrivs: 1", "Seccomp: 2", "copies", "no key of the site", "no writing", "settings"];
    for expected in rest.iter().chain(&["CapEff: 0000000000000000", "CapBnd: 0000000000000000"]) {
        ensure!(lines.contains(expected), "{expected} is missing: {ran:?}");
    }
    Ok(())
}
