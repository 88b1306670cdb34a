//! The testing bundle on podman, without any network: the server keeps its blocks in the object storage, over TLS.
//!
//! The storage is compiled from its crate, which takes ten minutes on two processors where the store does not have it
//! yet.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sealift_tests::blocks::Blocks;
use sealift_tests::bundle::{Bundle, sealift};
use sealift_tests::command::{self, report};
use sealift_tests::podman::Podman;
use sealift_tests::secrets::Secrets;

/// The public name of the installation.
const HOST: &str = "parsec.test";

const SERVICES: [&str; 6] =
    ["parsec-garage", "parsec-postgres", "parsec-proxy", "parsec-s3", "parsec-server", "parsec-smtp"];

/// The storage, and who uses it.
const BLOCKS: Blocks<'_> = Blocks { container: "parsec-testing_parsec-server", endpoint: "https://parsec-s3:9000" };

#[test]
#[ignore = "needs root, podman, and minutes to compile: tests/run blocks_are_in_the_object_storage"]
fn blocks_are_in_the_object_storage() -> Result<()> {
    let start = Instant::now();
    let bundle = Bundle::build("testing", |_, _| Ok(Vec::new()))?;
    report(&format!("build: {:.0} s", start.elapsed().as_secs_f64()));
    let made = bundle.manifest.crates.iter().map(|made| (made.name.as_str(), made.image.as_str()));
    ensure!(made.eq([("garage", "parsec-garage")]), "{:?}", bundle.manifest.crates);
    let compiled = bundle.manifest.compiled.as_ref().context("the bundle says how crates were compiled")?;
    ensure!(compiled.toolchain.rustc.contains("rustc "), "{compiled:?}");
    // The profile in the bundle is complete: the site is created without other files.
    let ports = ["--port", "https=8443", "--port", "http=8080", "--port", "mail=18025"];
    command::output(sealift(&bundle.folder)?.args(["site", "new", "site", "--host", HOST]).args(ports))?;
    let podman = Podman::new()?;
    scenario(&podman, &bundle).inspect_err(|_| report(&podman.story()))
}

fn scenario(podman: &Podman, bundle: &Bundle) -> Result<()> {
    Secrets::of(&bundle.folder.join("site"))?.absent_below(&bundle.folder.join("blobs"))?;
    podman.podman(&["load", "--input", bundle.tar.to_str().context("a path in UTF-8")?])?;
    podman.compose(&bundle.folder, &["up", "-d", "parsec-postgres"])?;
    retry(|| podman.podman(&["exec", &container("parsec-postgres"), "pg_isready", "-h", "127.0.0.1"]))?;
    podman.compose(&bundle.folder, &["run", "--rm", "parsec-server", "migrate"])?;
    let start = Instant::now();
    podman.compose(&bundle.folder, &["up", "-d"])?;
    all_are_healthy(podman)?;
    report(&format!("compose up to all healthy: {:.1} s", start.elapsed().as_secs_f64()));

    let make = "/usr/local/lib/parsec/make-organization.py";
    let link = podman.podman(&["exec", &container("parsec-server"), "python", make, "MyOrg"])?;
    ensure!(link.starts_with("parsec3://parsec.test:8443/MyOrg?"), "a link that leads elsewhere: {link}");
    BLOCKS.pass(podman, "write")?;
    BLOCKS.only_the_authority_is_trusted(podman)?;
    nothing_is_published(podman)?;

    podman.podman(&["restart", "--all"])?;
    all_are_healthy(podman)?;
    BLOCKS.pass(podman, "read")?;
    // New containers have the data of the old ones: it is in volumes.
    podman.compose(&bundle.folder, &["down"])?;
    podman.compose(&bundle.folder, &["up", "-d"])?;
    all_are_healthy(podman)?;
    BLOCKS.pass(podman, "read")
}

fn container(service: &str) -> String {
    format!("parsec-testing_{service}")
}

/// Repeats `attempt` until it succeeds, for a minute and a half at most.
fn retry<T>(mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        match attempt() {
            Err(_) if start.elapsed() < Duration::from_secs(90) => std::thread::sleep(Duration::from_millis(200)),
            result => return result.context("and so for a minute and a half"),
        }
    }
}

/// Runs the health checks by hand, as podman's timers need systemd.
fn all_are_healthy(podman: &Podman) -> Result<()> {
    for service in SERVICES {
        retry(|| podman.podman(&["healthcheck", "run", &container(service)])).context(service)?;
    }
    Ok(())
}

/// The storage is reached by the server only.
fn nothing_is_published(podman: &Podman) -> Result<()> {
    for service in ["parsec-garage", "parsec-s3"] {
        let ports = podman.podman(&["port", &container(service)])?;
        ensure!(ports.trim().is_empty(), "{service} is published: {ports}");
    }
    Ok(())
}
