//! examples/hello: another Python server, in a short profile. The program has no code for a particular product.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use sealift_tests::bundle::{profile_at, sealift};
use sealift_tests::command::{self, report};
use sealift_tests::podman::Podman;
use sealift_tests::real;
use tempfile::TempDir;

/// Builds the bundle `hello.tar`; returns its folder and path.
fn built() -> Result<(TempDir, PathBuf)> {
    let place = tempfile::tempdir()?;
    let profile = profile_at(&real::repository().join("examples/hello"), place.path())?;
    let tar = place.path().join("hello.tar");
    command::output(sealift(place.path())?.arg("build").arg(profile).arg("--output").arg(&tar))?;
    Ok((place, tar))
}

#[test]
#[ignore = "may fetch 15 MB: tests/run"]
fn the_bundle_of_hello_is_valid() -> Result<()> {
    let (place, tar) = built()?;
    command::output(sealift(place.path())?.arg("verify").arg(&tar))?;
    let json = command::output(sealift(place.path())?.args(["inspect", "--json"]).arg(&tar))?;
    let json: serde_json::Value = serde_json::from_str(&json)?;
    ensure!(json["product"] == "hello" && json["images"].as_array().is_some_and(|images| images.len() == 1), "{json}");
    let wheels = json["wheels"].to_string();
    ensure!(["uvicorn", "click", "h11"].iter().all(|name| wheels.contains(name)), "{wheels}");
    Ok(())
}

#[test]
#[ignore = "needs root and podman: tests/run"]
fn the_service_of_hello_responds() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        report("passed over: podman in a network of its own needs root");
        return Ok(());
    }
    let (place, tar) = built()?;
    let folder = place.path().join("unpacked");
    fs_err::create_dir(&folder)?;
    command::output(std::process::Command::new("tar").arg("-xpf").arg(&tar).arg("-C").arg(&folder))?;
    command::output(sealift(&folder)?.args(["site", "new", "site", "--host", "hello.example"]))?;
    if !folder.join(".env").exists() {
        fs_err::copy(folder.join("site/ports.env"), folder.join(".env"))?;
    }
    let podman = Podman::new()?;
    podman.podman(&["load", "-i", tar.to_str().context("a path in UTF-8")?])?;
    podman.compose(&folder, &["up", "-d"])?;
    let ask = "import time\nfrom urllib.request import urlopen\nfor again in range(100):\n    \
               try: print(urlopen('http://127.0.0.1:8000/').read().decode()); break\n    \
               except OSError: time.sleep(0.1)\n";
    let answer = podman.podman(&["exec", "hello-hello_hello", "python", "-c", ask]);
    let answer = answer.with_context(|| podman.story())?;
    ensure!(answer.trim() == "hello, hello.example", "{answer}\n{}", podman.story());
    podman.podman(&["healthcheck", "run", "hello-hello_hello"]).with_context(|| podman.story())?;
    podman.compose(&folder, &["down"])?;
    Ok(())
}
