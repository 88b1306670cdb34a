//! examples/archive-site and examples/archive-binary: files and programs that no package has.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use sealift_tests::bundle::{profile_at, sealift};
use sealift_tests::command::{self, report};
use sealift_tests::podman::Podman;
use sealift_tests::real;
use tempfile::TempDir;

/// Builds the bundle of an example; returns its folder and path.
fn built(example: &str, more: &[&str]) -> Result<(TempDir, PathBuf)> {
    let place = tempfile::tempdir()?;
    let profile = profile_at(&real::repository().join("examples").join(example), place.path())?;
    let tar = place.path().join("out.tar");
    command::output(sealift(place.path())?.arg("build").arg(profile).arg("--output").arg(&tar).args(more))?;
    command::output(sealift(place.path())?.arg("verify").arg(&tar))?;
    Ok((place, tar))
}

/// The npm package of examples/archive-binary; `None` where there is no npm.
fn esbuild(place: &Path) -> Result<Option<PathBuf>> {
    if Command::new("npm").arg("--version").output().is_err() {
        report("passed over: there is no npm");
        return Ok(None);
    }
    let mut npm = Command::new("npm");
    npm.args(["pack", "--silent", "@esbuild/linux-x64@0.25.12", "--pack-destination"]).arg(place);
    command::output(npm.current_dir(place))?;
    Ok(Some(place.to_owned()))
}

/// What the service answers to a request for `path`, asked in its own container.
fn answer(example: &str, tar: &Path, port: u16, container: &str, paths: &[&str]) -> Result<Vec<String>> {
    let place = tempfile::tempdir()?;
    command::output(Command::new("tar").arg("-xpf").arg(tar).arg("-C").arg(place.path()))?;
    command::output(sealift(place.path())?.args(["site", "new", "site"]))?;
    if !place.path().join(".env").exists() {
        fs_err::copy(place.path().join("site/ports.env"), place.path().join(".env"))?;
    }
    let podman = Podman::new()?;
    podman.podman(&["load", "-i", tar.to_str().context("a path in UTF-8")?])?;
    podman.compose(place.path(), &["up", "-d"])?;
    let mut answers = Vec::new();
    for path in paths {
        let url = format!("http://127.0.0.1:{port}{path}");
        let ask = format!(
            "for n in 1 2 3 4 5 6 7 8 9; do /usr/bin/busybox wget -q -O - {url} && exit; /usr/bin/busybox sleep 1; done; exit 1"
        );
        let said = podman.podman(&["exec", container, "sh", "-c", &ask]);
        answers.push(said.with_context(|| format!("{example}: {}", podman.story()))?);
    }
    podman.podman(&["healthcheck", "run", container]).with_context(|| podman.story())?;
    podman.compose(place.path(), &["down"])?;
    Ok(answers)
}

#[test]
#[ignore = "may fetch 2 MB; starts a container as root: tests/run"]
fn a_static_site_out_of_an_archive_is_served() -> Result<()> {
    let (place, tar) = built("archive-site", &[])?;
    let json = command::output(sealift(place.path())?.args(["inspect", "--json"]).arg(&tar))?;
    let json: serde_json::Value = serde_json::from_str(&json)?;
    ensure!(json["archives"][0]["file"] == "ships-1.0.tar.gz", "{json}");
    if !rustix::process::geteuid().is_root() {
        report("passed over: podman in a network of its own needs root");
        return Ok(());
    }
    let answers = answer("archive-site", &tar, 8080, "ships-archive-site_web", &["/", "/style.css"])?;
    ensure!(answers[0].contains("Ships in port: 3") && answers[1].contains("sans-serif"), "{answers:?}");
    Ok(())
}

#[test]
#[ignore = "may fetch 7 MB; starts a container as root: tests/run"]
fn a_program_out_of_an_archive_runs() -> Result<()> {
    let downloads = tempfile::tempdir()?;
    let Some(folder) = esbuild(downloads.path())? else { return Ok(()) };
    let folder = folder.to_str().context("a path in UTF-8")?;
    let (_place, tar) = built("archive-binary", &["--archives", folder])?;
    if !rustix::process::geteuid().is_root() {
        report("passed over: podman in a network of its own needs root");
        return Ok(());
    }
    let answers = answer("archive-binary", &tar, 8000, "bundler-archive-binary_bundler", &["/"])?;
    ensure!(answers[0].contains("Served by a program out of an archive"), "{answers:?}");
    Ok(())
}
