//! Isolation for container engines: a network without connection, and separate processes and mounts.
//!
//! Engines keep state in fixed folders (`/run`, `/dev/shm`, `/var/lib`), which private mounts hide. When the first process
//! of the sandbox is killed, the kernel ends all others and removes the mounts and the network, so that nothing is left
//! however a test ends.

use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tempfile::TempDir;

use crate::command;

/// Script of the first process. `sh` waits, and thereby reaps the orphans that engines leave.
///
/// A bridge without a fixed MAC address takes the lowest one of its ports, so the address can change when a container
/// joins. Containers with the old address in their caches then cannot resolve names, for up to a minute, as the bridge is
/// their name server. On a host udev fixes the address (`MACAddressPolicy`); here it does not run, so the loop does it.
const INIT: &str = r#"
set -eu
for place in /run /var/lib/containers; do
    if [ -d $place ]; then mount -t tmpfs -o mode=0755 none $place; fi
done
mount -t tmpfs -o mode=1777 none /dev/shm
ip link set lo up
mac=02:00:00:00:00:01
ip -oneline monitor link | while read -r _ name rest; do
    case $name$rest in
        *"link/ether $mac "*) ;;
        podman*"link/ether "*) ip link set dev "${name%:}" address $mac || true ;;
    esac
done >/dev/null 2>&1 &
echo ready
sleep infinity &
wait
"#;

/// A sandbox. It ends when this is dropped.
#[derive(Debug)]
pub struct Sandbox {
    holder: Child,
    folder: TempDir,
}

impl Sandbox {
    /// Creates a sandbox. Needs root.
    ///
    /// # Errors
    /// Without root, or where the kernel refuses namespaces.
    pub fn new() -> Result<Self> {
        ensure!(rustix::process::geteuid().is_root(), "this test needs root: sudo tests/run");
        // Short: paths of Unix sockets in it have at most 107 bytes.
        let folder = tempfile::Builder::new().prefix("sl").tempdir()?;
        let mut holder = Command::new("setpriv");
        // Killed together with this thread, so that a test that is killed leaves nothing either.
        holder.args(["--pdeathsig", "KILL", "unshare", "--net", "--mount", "--propagation", "private"]);
        holder.args(["--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", INIT, "sandbox"]);
        holder.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut holder = holder.spawn().context("cannot start setpriv (package util-linux)")?;
        let mut line = String::new();
        BufReader::new(holder.stdout.take().context("standard output is a pipe")?).read_line(&mut line)?;
        let sandbox = Self { holder, folder };
        ensure!(line == "ready\n", "no namespaces can be made here: see above");
        Ok(sandbox)
    }

    /// Its folder on disk, which is removed with it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A command in it that works in `directory` and is killed after `limit`.
    #[must_use]
    pub fn command(&self, limit: Duration, directory: &Path, program: &str) -> Command {
        let mut command = command::limited(limit, "nsenter");
        // The holder itself is outside of the process namespace that it made.
        let of = |kind: &str| format!("/proc/{}/ns/{kind}", self.holder.id());
        command.arg(format!("--pid={}", of("pid_for_children")));
        command.args([format!("--net={}", of("net")), format!("--mount={}", of("mnt"))]);
        command.arg(format!("--wdns={}", directory.display())).arg("--").arg(program);
        command
    }

    /// The result of `work`, run in the network of the sandbox.
    ///
    /// # Errors
    /// `work` fails, or the network cannot be entered.
    pub fn in_network<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let network = fs_err::File::open(format!("/proc/{}/ns/net", self.holder.id()))?;
        // A thread of its own: the network is the thread's.
        let enter = || {
            move_into_link_name_space(network.file().as_fd(), Some(LinkNameSpaceType::Network))?;
            work()
        };
        std::thread::scope(|scope| scope.spawn(enter).join().expect("the work does not panic"))
    }

    /// The command lines of all that runs in it.
    ///
    /// # Errors
    /// When it has ended.
    pub fn processes(&self) -> Result<Vec<String>> {
        let script = r#"for p in /proc/[0-9]*; do tr '\0' ' ' <"$p/cmdline" 2>/dev/null && echo; done"#;
        let text = command::output(self.command(Duration::from_secs(20), Path::new("/"), "sh").args(["-c", script]))?;
        Ok(text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect())
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
