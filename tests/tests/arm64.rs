//! An image for another processor, locked and built without emulation, and run by QEMU's user mode emulation.

#![allow(clippy::disallowed_methods, reason = "a test")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sealift_tests::command::{self, report};
use sealift_tests::real;

/// Python, and a wheel with an extension module. Bytecode is compiled by the same version of Python for this processor.
const PROFILE: &str = r#"
schema = 1
name = "small"
product = "small"
version = "1.0"
title = "An extension module"
platforms = ["linux/amd64", "linux/arm64"]

[debian]
suite = "trixie"
components = ["main"]

[images.app]
title = "Python and a wheel"
packages = ["base-files", "python3.13"]
user = "nobody"
entrypoint = ["/opt/v/bin/python", "-m", "markupsafe"]

[images.app.venv]
path = "/opt/v"
python = "python3.13"
requirements = ["markupsafe"]

[services.app]
image = "app"
"#;

/// `EM_AARCH64` at its place in an ELF header.
const AARCH64: &[u8] = &[183, 0];

#[test]
#[ignore = "fetches packages for another processor: tests/run --gallery"]
fn an_image_for_arm64_has_files_for_arm64_only_and_runs() -> Result<()> {
    if std::env::var_os("SEALIFT_TEST_GALLERY").is_none() {
        report("not run: tests/run --gallery");
        return Ok(());
    }
    let place = real::place();
    let (folder, file) = (place.path().join("small"), place.path().join("small.tar"));
    fs_err::create_dir(&folder)?;
    fs_err::write(folder.join("profile.toml"), PROFILE)?;
    let (profile, bundle) = (folder.to_str().context("a path")?, file.to_str().context("a path")?);
    for platform in ["linux/amd64", "linux/arm64"] {
        command::output(&mut real::command(&["lock", profile, "--platform", platform]))?;
    }
    let platform = ["--platform", "linux/arm64", "--layers", "none", "--output", bundle];
    command::output(&mut real::command(&[&["build", profile], &platform[..]].concat()))?;

    let (unpacked, root) = (place.path().join("bundle"), place.path().join("root"));
    untar(&file, &unpacked)?;
    let index = json(&unpacked.join("index.json"))?;
    let manifest = json(&blob(&unpacked, &index["manifests"][0]["digest"])?)?;
    let config = json(&blob(&unpacked, &manifest["config"]["digest"])?)?;
    ensure!(config["architecture"] == "arm64", "{config}");
    for layer in manifest["layers"].as_array().context("no layers")? {
        untar(&blob(&unpacked, &layer["digest"])?, &root)?;
    }

    let (mut programs, mut modules) = (0, 0);
    for path in files(&root)? {
        let bytes = fs_err::read(&path)?;
        if bytes.starts_with(b"\x7fELF") {
            ensure!(bytes.get(18..20) == Some(AARCH64), "{} is for another processor", path.display());
            programs += 1;
            modules += usize::from(path.starts_with(root.join("opt/v")));
        }
    }
    ensure!(programs > 50 && modules > 0, "{programs} ELF files, {modules} of the wheel");
    report(&format!("{programs} ELF files, {modules} of the wheel"));

    let emulator = emulator(place.path())?;
    let variable = |name: &str, path: &str| format!("{name}={}", root.join(path).display());
    let printed = command::output(
        command::limited(Duration::from_secs(300), &emulator.to_string_lossy())
            .arg("-L")
            .arg(&root)
            .args(["-E", &variable("PYTHONHOME", "usr")])
            .args(["-E", &variable("PYTHONPATH", "opt/v/lib/python3.13/site-packages")])
            .arg(root.join("usr/bin/python3.13"))
            .args(["-c", "import markupsafe._speedups, platform; print(platform.machine())"]),
    )?;
    ensure!(printed == "aarch64\n", "{printed}");
    Ok(())
}

/// QEMU from the machine, or from its Debian package.
fn emulator(place: &Path) -> Result<PathBuf> {
    let installed = PathBuf::from("/usr/bin/qemu-aarch64-static");
    if installed.exists() {
        return Ok(installed);
    }
    let folder = place.join("qemu");
    fs_err::create_dir(&folder)?;
    command::output(Command::new("apt-get").args(["download", "qemu-user-static"]).current_dir(&folder))?;
    let package = files(&folder)?.pop().context("apt-get has fetched nothing")?;
    command::output(Command::new("dpkg").arg("-x").arg(package).arg(&folder))?;
    Ok(folder.join("usr/bin/qemu-aarch64-static"))
}

fn untar(file: &Path, folder: &Path) -> Result<()> {
    fs_err::create_dir_all(folder)?;
    let tar = ["--extract", "--no-same-owner", "--no-same-permissions"];
    command::output(Command::new("tar").args(tar).arg("--file").arg(file).arg("--directory").arg(folder))?;
    Ok(())
}

fn json(path: &Path) -> Result<serde_json::Value> {
    Ok(serde_json::from_slice(&fs_err::read(path)?)?)
}

fn blob(folder: &Path, digest: &serde_json::Value) -> Result<PathBuf> {
    let hex = digest.as_str().and_then(|digest| digest.strip_prefix("sha256:")).context("no digest")?;
    Ok(folder.join("blobs/sha256").join(hex))
}

/// The regular files below a folder.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs_err::read_dir(folder)? {
            let entry = entry?;
            match entry.file_type()? {
                kind if kind.is_dir() => folders.push(entry.path()),
                kind if kind.is_file() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    Ok(found)
}
