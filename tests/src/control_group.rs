//! A control group (version 2) for a systemd of a test.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

/// Removed, with its processes and the groups below it, when this is dropped.
#[derive(Debug)]
pub struct ControlGroup {
    path: PathBuf,
}

impl ControlGroup {
    /// Makes one below the root of the hierarchy. Needs root.
    ///
    /// # Errors
    /// Control groups of version 2 are not mounted, or cannot be made.
    pub fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("sealift-tests-").tempdir_in(hierarchy()?)?;
        Ok(Self { path: folder.keep() })
    }

    /// Its folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The process number of the systemd in it, once that has begun to work: it then moves itself to `init.scope`.
    #[must_use]
    pub fn systemd(&self) -> Option<String> {
        let pids = fs_err::read_to_string(self.path.join("init.scope/cgroup.procs")).ok()?;
        pids.lines().next().map(str::to_owned)
    }

    /// Whether containers in it can be limited in this way, such as `pids`.
    #[must_use]
    pub fn has_controller(&self, name: &str) -> bool {
        let names = fs_err::read_to_string(self.path.join("cgroup.controllers")).unwrap_or_default();
        names.split_whitespace().any(|word| word == name)
    }

    /// Kills all its processes. Linux 5.14 or newer; elsewhere this does nothing.
    pub fn kill(&self) {
        let _ = fs_err::write(self.path.join("cgroup.kill"), "1");
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        self.kill();
        for _ in 0..50 {
            remove(&self.path);
            if !self.path.exists() {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Control groups are removed from below.
fn remove(group: &Path) {
    for path in sealift_deployment::files::sorted_dir(group).unwrap_or_default().iter().filter(|path| path.is_dir()) {
        remove(path);
    }
    let _ = fs_err::remove_dir(group);
}

/// Where control groups of version 2 are mounted.
fn hierarchy() -> Result<PathBuf> {
    let mounts = fs_err::read_to_string("/proc/self/mounts")?;
    let found =
        mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).find(|words| words.get(2) == Some(&"cgroup2"));
    Ok(found.context("no control groups of version 2 are mounted")?[1].into())
}
