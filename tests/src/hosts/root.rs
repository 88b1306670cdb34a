//! Root file systems of Debian suites, made by debootstrap with the machine's own Debian mirror.
//!
//! They are kept in `~/.cache/sealift-tests/hosts`, or in the folder that `SEALIFT_TEST_HOSTS` names, and made once: remove
//! them to get newer packages.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sealift::mirrors::{self, ArchiveName};
use sealift_deployment::machine::Machine;
use sealift_deployment::profile::model::MAIN_ARCHIVE;

use super::USER;
use crate::command::{self, report};

/// Most that debootstrap may take.
const LIMIT: Duration = Duration::from_secs(3600);

/// What every host has beside the base system: a login with systemd, both engines with what they recommend, and
/// their compose programs.
const PACKAGES: &[&str] = &[
    "systemd",
    "systemd-sysv",
    "libpam-systemd",
    "dbus",
    "dbus-user-session",
    "iproute2",
    "iptables",
    "nftables",
    "podman",
    "crun",
    "netavark",
    "aardvark-dns",
    "passt",
    "uidmap",
    "fuse-overlayfs",
    "docker.io",
    "containerd",
    "docker-cli",
    "docker-compose",
    "podman-compose",
];

/// The root file system of a suite, such as `forky`. It is made when there is none with these packages.
///
/// # Errors
/// Without debootstrap or a mirror, or when debootstrap fails.
pub fn of(suite: &str) -> Result<PathBuf> {
    let folder = folder()?;
    let (root, packages) = (folder.join(suite), PACKAGES.join(","));
    // Written last.
    let stamp = root.join("etc/sealift-tests-packages");
    if fs_err::read_to_string(&stamp).is_ok_and(|made| made == packages) {
        return Ok(root);
    }
    fs_err::create_dir_all(&folder)?;
    let start = Instant::now();
    // Two tests may make it at the same time.
    let made = tempfile::Builder::new().prefix(&format!("{suite}-")).tempdir_in(&folder)?;
    debootstrap(suite, made.path(), &packages)?;
    let script = format!("useradd --create-home --shell /bin/sh {USER} && touch /var/lib/systemd/linger/{USER}");
    let linger = made.path().join("var/lib/systemd/linger");
    fs_err::create_dir_all(&linger)?;
    command::output(Command::new("chroot").arg(made.path()).args(["sh", "-c", &script]))?;
    fs_err::set_permissions(made.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    fs_err::write(made.path().join("etc/sealift-tests-packages"), &packages)?;
    let _ = fs_err::remove_dir_all(&root);
    if let Err(error) = fs_err::rename(made.path(), &root) {
        // The other test was faster.
        fs_err::read_to_string(&stamp).map_err(|_| error)?;
    }
    report(&format!("{suite}: made the root file system in {:.1} s", start.elapsed().as_secs_f64()));
    Ok(root)
}

fn folder() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("SEALIFT_TEST_HOSTS") {
        return Ok(folder.into());
    }
    let cache = Machine::here().cache_home().context("HOME is not set: name a folder in SEALIFT_TEST_HOSTS")?;
    Ok(cache.join("sealift-tests/hosts"))
}

fn debootstrap(suite: &str, target: &Path, packages: &str) -> Result<()> {
    // Suites that are newer than debootstrap are made as sid is.
    let scripts = Path::new("/usr/share/debootstrap/scripts");
    let script = scripts.join(if scripts.join(suite).exists() { suite } else { "sid" });
    let mut result = Ok(());
    for mirror in mirrors::debian(&[], &Machine::here(), ArchiveName { name: MAIN_ARCHIVE, suite })? {
        // What it mounts goes with the namespace.
        let mut make = command::limited(LIMIT, "unshare");
        make.args(["--mount", "debootstrap", "--variant=minbase", &format!("--include={packages}"), suite]);
        make.arg(target).arg(mirror.address.url().as_str()).arg(&script).env("DPKG_FORCE", "unsafe-io");
        result = command::output(&mut make).map(drop);
        if result.is_ok() {
            // The packages are not needed any more.
            command::output(Command::new("chroot").arg(target).args(["apt-get", "clean"]))?;
            break;
        }
        let _ = fs_err::remove_dir_all(target);
        fs_err::create_dir(target)?;
    }
    result.context("debootstrap cannot make the root file system of a host")
}
