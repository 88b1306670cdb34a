//! Hosts with a release of Debian of their own, each booted with its own systemd in namespaces.
//!
//! Such a host shares the kernel with the machine, and nothing else: it has its own files, processes, control groups and
//! network, whose only card leads nowhere. Its root file system is made once per suite, see [`root`]; what a host writes
//! lies on top of it and goes with the host.

pub mod root;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::command::{self, Ran, report};
use crate::control_group::ControlGroup;
use crate::real;

/// Most that one command in a host may take, also on a loaded machine.
const LIMIT: Duration = Duration::from_secs(900);
/// Most that a boot may take.
const BOOT: Duration = Duration::from_secs(300);

/// The ordinary user of every host, who may run rootless containers.
pub const USER: &str = "ordinary";

/// A booted host; it ends when this is dropped.
#[derive(Debug)]
pub struct Host {
    suite: String,
    root: PathBuf,
    // Dropped first: nothing uses the folder any more when that goes.
    system: System,
    place: TempDir,
}

/// The processes of a host from one boot to the next.
#[derive(Debug)]
struct System {
    child: Child,
    group: ControlGroup,
    pid: String,
}

impl Host {
    /// Boots a host of a Debian suite, such as `forky`, with these files (absolute path and content) in it. Needs root.
    ///
    /// # Errors
    /// Where the root file system cannot be made, or systemd does not start in namespaces.
    pub fn boot(suite: &str, files: &[(&str, &str)]) -> Result<Self> {
        ensure!(rustix::process::geteuid().is_root(), "this test needs root: sudo tests/run");
        let root = root::of(suite)?;
        let place = real::place();
        for (path, text) in files {
            let path = place.path().join("upper").join(path.trim_start_matches('/'));
            fs_err::create_dir_all(path.parent().context("a file has a folder")?)?;
            fs_err::write(path, text)?;
        }
        let system = System::start(suite, &root, place.path())?;
        let host = Self { suite: suite.to_owned(), root, system, place };
        host.booted()?;
        Ok(host)
    }

    /// Waits until all units of the boot were started.
    fn booted(&self) -> Result<()> {
        let start = Instant::now();
        let state = loop {
            let ran = command::run(self.command("systemctl").arg("is-system-running"))?;
            let state = ran.stdout.trim().to_owned();
            if ["running", "degraded"].contains(&state.as_str()) {
                break state;
            }
            ensure!(start.elapsed() < BOOT, "the host is {state}: {}", self.run("systemctl list-jobs")?.stdout);
            std::thread::sleep(Duration::from_millis(100));
        };
        let failed = self.run("systemctl --failed --plain --no-legend")?.stdout;
        report(&format!("{} booted in {:.1} s: {state} {failed}", self.suite, start.elapsed().as_secs_f64()));
        Ok(())
    }

    /// Reboots as an operator does: services are stopped, and all that is enabled starts again.
    ///
    /// # Errors
    /// When it does not stop or start in time.
    pub fn reboot(&mut self) -> Result<()> {
        self.run("systemctl reboot --no-wall")?;
        let start = Instant::now();
        while self.system.child.try_wait()?.is_none() {
            ensure!(start.elapsed() < BOOT, "the host does not stop");
            std::thread::sleep(Duration::from_millis(100));
        }
        self.start_again()
    }

    /// Kills all its processes at once, and boots.
    ///
    /// # Errors
    /// When it does not start in time.
    pub fn power_cut(&mut self) -> Result<()> {
        self.system.kill();
        self.start_again()
    }

    fn start_again(&mut self) -> Result<()> {
        self.system = System::start(&self.suite, &self.root, self.place.path())?;
        self.booted()
    }

    /// A path in the host, as the machine sees it.
    #[must_use]
    pub fn path(&self, absolute: &str) -> PathBuf {
        Path::new("/proc").join(&self.system.pid).join("root").join(absolute.trim_start_matches('/'))
    }

    /// A command of the host's root, which works in `/root`.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = command::limited(LIMIT, "nsenter");
        command.args(["--target", &self.system.pid, "--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup"]);
        command.args(["--wdns=/root", "--", "env", "-i", "HOME=/root", "USER=root", "LANG=C.UTF-8"]);
        command.args(["PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", program]);
        command
    }

    /// A command of the ordinary user, in a session as after a login.
    #[must_use]
    pub fn user_command(&self, program: &str) -> Command {
        let mut command = self.command("systemd-run");
        command.args(["--quiet", "--wait", "--pipe", "--collect", "--service-type=exec", "--property=PAMName=login"]);
        command.args([&format!("--uid={USER}"), "--setenv=LANG=C.UTF-8", "--", program]);
        command
    }

    /// A command of the machine in the host's network.
    #[must_use]
    pub fn beside(&self, program: &str) -> Command {
        let mut command = command::limited(LIMIT, "nsenter");
        command.args(["--target", &self.system.pid, "--net", "--", program]);
        command
    }

    /// Runs a shell command of the host's root, whatever its exit code.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn run(&self, script: &str) -> Result<Ran> {
        command::run(self.command("sh").args(["-c", script]))
    }

    /// What a shell command of the host's root prints.
    ///
    /// # Errors
    /// When it fails.
    pub fn output(&self, script: &str) -> Result<String> {
        Ok(command::output(self.command("sh").args(["-ec", script]))?.trim().to_owned())
    }

    /// The versions of these packages in it.
    ///
    /// # Errors
    /// When one is not installed.
    pub fn versions(&self, packages: &str) -> Result<String> {
        let format = "${Package} ${Version}, ";
        let text = self.output(&format!("dpkg-query --show --showformat='{format}' {packages}"))?;
        Ok(text.trim_end_matches(',').to_owned())
    }
}

impl System {
    fn start(name: &str, root: &Path, place: &Path) -> Result<Self> {
        let group = ControlGroup::new()?;
        if !group.has_controller("pids") {
            // podman asks for a limit by default, and crun fails where none can be set.
            let folder = place.join("upper/etc/containers/containers.conf.d");
            fs_err::create_dir_all(&folder)?;
            fs_err::write(folder.join("tests.conf"), "[containers]\npids_limit = 0\n")?;
        }
        let script = "echo 0 >\"$0/cgroup.procs\"; exec unshare --mount --net --uts --ipc --cgroup --pid --fork \
                      --kill-child sh -c \"$@\"";
        // Killed together with this thread, so that a test that is killed leaves nothing either.
        let mut boot = Command::new("setpriv");
        boot.args(["--pdeathsig", "KILL", "sh", "-c", script]).arg(group.path()).arg(include_str!("boot.sh"));
        boot.arg("boot").arg(place).arg(root).arg(name).stdin(Stdio::null());
        let child = boot.spawn().context("cannot start setpriv (package util-linux)")?;
        let mut system = Self { child, group, pid: String::new() };
        let start = Instant::now();
        loop {
            if let Some(pid) = system.group.systemd() {
                system.pid = pid;
                return Ok(system);
            }
            if start.elapsed() > BOOT || system.child.try_wait()?.is_some() {
                bail!("the systemd of {name} does not start in namespaces here");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn kill(&mut self) {
        self.group.kill();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for System {
    fn drop(&mut self) {
        self.kill();
    }
}
