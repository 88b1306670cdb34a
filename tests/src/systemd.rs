//! A systemd of its own in a sandbox: it starts none of the machine's units, and units are installed in a tmpfs.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use crate::command;
use crate::control_group::ControlGroup;
use crate::sandbox::Sandbox;

/// Timeout of one command.
const LIMIT: Duration = Duration::from_secs(300);

/// Script of the first process. It has the machine's files, with its own `/run`, `/opt` and units.
///
/// Mounts are shared, as systemd makes them on a host: otherwise services would not have the credentials that it mounts.
const BOOT: &str = r#"
set -eu
mount --make-rprivate /
umount -R /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
for place in /run /opt /etc/systemd/system; do mount -t tmpfs -o mode=0755 none $place; done
mkdir -p /run/own
for unit in basic sysinit shutdown umount sockets timers paths slices final multi-user network-online; do
    cp /lib/systemd/system/$unit.target /run/own/
done
for unit in systemd-journald.service systemd-journald.socket systemd-journald-dev-log.socket; do
    cp /lib/systemd/system/$unit /run/own/
done
mkdir /run/own/sockets.target.wants
ln -s ../systemd-journald.socket ../systemd-journald-dev-log.socket /run/own/sockets.target.wants/
printf '[Unit]\nRequires=basic.target\nAfter=basic.target\n' >/run/own/default.target
mount --make-rshared /
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=tests SYSTEMD_UNIT_PATH=/etc/systemd/system:/run/own \
    /lib/systemd/systemd --system --unit=default.target --log-target=null --show-status=no
"#;

/// A running systemd. It ends when this is dropped, before its sandbox does.
#[derive(Debug)]
pub struct Systemd {
    child: Child,
    cgroup: ControlGroup,
    pid: String,
}

impl Systemd {
    /// Starts one.
    ///
    /// # Errors
    /// Without systemd, or where no control group can be made.
    pub fn start(sandbox: &Sandbox) -> Result<Self> {
        ensure!(Path::new("/lib/systemd/systemd").exists(), "there is no systemd here (package systemd)");
        let cgroup = ControlGroup::new()?;
        let script = format!(
            "echo 0 >{}/cgroup.procs; exec unshare --cgroup --mount --pid --uts --ipc --fork --kill-child --mount-proc sh -c \"$0\"",
            cgroup.path().display()
        );
        let mut boot = sandbox.command(LIMIT, Path::new("/"), "sh");
        boot.args(["-c", &script, BOOT]).stdin(Stdio::null());
        let mut systemd = Self { child: boot.spawn()?, cgroup, pid: String::new() };
        let start = Instant::now();
        loop {
            if let Some(pid) = systemd.cgroup.systemd() {
                systemd.pid = pid;
                let state = command::run(systemd.command(Path::new("/"), "systemctl").arg("is-system-running"))?;
                if state.stdout.trim() == "running" {
                    return Ok(systemd);
                }
            }
            if start.elapsed() > Duration::from_secs(30) || systemd.child.try_wait()?.is_some() {
                bail!("systemd does not start in a sandbox here");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// A command in the namespaces of its services.
    #[must_use]
    pub fn command(&self, directory: &Path, program: &str) -> Command {
        let mut command = command::limited(LIMIT, "nsenter");
        command.args(["--target", &self.pid, "--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup"]);
        command.arg(format!("--wdns={}", directory.display())).arg("--").arg(program);
        command
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        // Where the kernel cannot kill a control group, the sandbox ends it.
        self.cgroup.kill();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
