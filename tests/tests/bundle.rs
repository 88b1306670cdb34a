//! Other tools read the standalone bundle: skopeo, docker-compose, sha256sum.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sealift_layers::digest::Digest;
use sealift_tests::bundle::{Bundle, sealift};
use sealift_tests::command::{self, limited};

const LIMIT: Duration = Duration::from_secs(180);

fn bundle() -> Result<Bundle> {
    Bundle::build("standalone", |_, _| Ok(Vec::new()))
}

fn utf8(path: &Path) -> Result<&str> {
    path.to_str().context("a path in UTF-8")
}

#[test]
#[ignore = "needs skopeo: tests/run"]
fn skopeo_reads_and_copies_the_same_images() -> Result<()> {
    let bundle = bundle()?;
    let skopeo = |arguments: &[&str]| {
        let mut skopeo = limited(LIMIT, "skopeo");
        command::output(skopeo.args(["--tmpdir", utf8(bundle.place())?]).args(arguments).current_dir(bundle.place()))
    };
    for image in &bundle.manifest.images {
        for side in ["oci-archive:bundle.tar", "oci:unpacked"] {
            let source = format!("{side}:{}", image.reference);
            let raw = skopeo(&["inspect", "--raw", &source])?;
            ensure!(Digest::of(raw.as_bytes()) == image.digest, "{source} has another manifest");
            // A copy reads every layer and compares its digest.
            let copy = format!("oci:copy:{}", image.reference);
            skopeo(&["copy", "--insecure-policy", "--preserve-digests", &source, &copy])?;
            let raw = skopeo(&["inspect", "--raw", &copy])?;
            ensure!(Digest::of(raw.as_bytes()) == image.digest, "the copy of {source} has another manifest");
        }
        let config =
            skopeo(&["inspect", "--raw", "--config", &format!("docker-archive:bundle.tar:{}", image.reference)])?;
        ensure!(Digest::of(config.as_bytes()) == image.config, "{} has another configuration", image.reference);
    }
    Ok(())
}

#[test]
#[ignore = "needs docker-compose: tests/run"]
fn docker_compose_accepts_the_compose_file() -> Result<()> {
    let bundle = bundle()?;
    command::output(sealift(&bundle.folder)?.args(["site", "new", "site", "--host", "parsec.test"]))?;
    let text = command::output(
        limited(LIMIT, "docker-compose").args(["-f", "compose.yaml", "config"]).current_dir(&bundle.folder),
    )?;
    for image in &bundle.manifest.images {
        ensure!(text.contains(&format!("image: {}\n", image.reference)), "{} is not in {text}", image.reference);
    }
    ensure!(text.matches("pull_policy: never").count() == bundle.manifest.images.len(), "something is pulled: {text}");
    ensure!(text.matches("read_only: true").count() >= bundle.manifest.images.len(), "not read-only: {text}");
    Ok(())
}

#[test]
#[ignore = "needs what the bundle is built from: tests/run"]
fn the_sums_are_those_of_coreutils() -> Result<()> {
    let bundle = bundle()?;
    let mut sums = Command::new("sha256sum");
    let output = command::output(sums.args(["--quiet", "--strict", "-c", "SHA256SUMS"]).current_dir(&bundle.folder))?;
    ensure!(output.is_empty(), "{output}");
    Ok(())
}
