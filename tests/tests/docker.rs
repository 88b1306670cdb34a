//! The same file with other programs: Docker, containerd, skopeo, docker-compose. All find the same images.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sealift_layers::digest::Digest;
use sealift_tests::bundle::{Bundle, sealift};
use sealift_tests::command::{self, limited, report};
use sealift_tests::docker::Engine;

const LIMIT: Duration = Duration::from_secs(180);

fn bundle() -> Result<Bundle> {
    Bundle::build("standalone", |_, _| Ok(Vec::new()))
}

fn utf8(path: &Path) -> Result<&str> {
    path.to_str().context("a path in UTF-8")
}

#[test]
#[ignore = "needs root and Docker: tests/run"]
fn docker_loads_the_same_images_and_runs_them() -> Result<()> {
    let bundle = bundle()?;
    let docker = Engine::docker()?;
    let start = Instant::now();
    docker.client(&["load", "--input", utf8(&bundle.tar)?])?;
    report(&format!("docker load: {:.1} s", start.elapsed().as_secs_f64()));
    let listed = docker.client(&["image", "ls", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"])?;
    let listed: BTreeSet<&str> = listed.lines().collect();
    let images = &bundle.manifest.images;
    let expected: Vec<String> = images.iter().map(|image| format!("{} {}", image.reference, image.config)).collect();
    ensure!(listed == expected.iter().map(String::as_str).collect(), "loaded {listed:?}, built {expected:?}");

    // One of them to the end: a database is made, and answers.
    let image = images.iter().find(|image| image.name == "parsec-postgres").context("the database's image")?;
    let limits = ["--ulimit", "nofile=1024:1024", "--cap-drop", "ALL", "--read-only", "--tmpfs", "/tmp"];
    let run = ["run", "--detach", "--name", "db", "--network", "none", "--env", "POSTGRES_PASSWORD=for-this-test"];
    docker.client(&[&run[..], &limits[..], &[&image.reference]].concat())?;
    let select = ["exec", "db", "psql", "-h", "/tmp", "-U", "postgres", "-tAc", "select 6 * 7"];
    let start = Instant::now();
    loop {
        match docker.client(&select) {
            Ok(answer) => {
                ensure!(answer.trim() == "42", "the database answers {answer}");
                return Ok(());
            }
            Err(error) if start.elapsed() > Duration::from_secs(60) => {
                let log = command::run(docker.command(Path::new("/")).args(["logs", "db"]))?;
                return Err(error.context(format!("the database does not answer:\n{}{}", log.stdout, log.stderr)));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(200)),
        }
    }
}

#[test]
#[ignore = "needs root and containerd: tests/run"]
fn containerd_imports_and_unpacks_the_same_images() -> Result<()> {
    let bundle = bundle()?;
    let containerd = Engine::containerd()?;
    let start = Instant::now();
    // Unpacks as well, and compares every layer with its diff ID. The native snapshotter works on any file system.
    containerd.client(&["image", "import", "--snapshotter", "native", utf8(&bundle.tar)?])?;
    report(&format!("containerd import: {:.1} s", start.elapsed().as_secs_f64()));
    let listed = containerd.client(&["image", "list"])?;
    let images = &bundle.manifest.images;
    let found: BTreeSet<(&str, &str)> = listed
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?, words.nth(1)?))
        })
        .collect();
    let expected: Vec<(&str, String)> =
        images.iter().map(|image| (image.reference.as_str(), image.digest.to_string())).collect();
    ensure!(
        found == expected.iter().map(|(name, digest)| (*name, digest.as_str())).collect(),
        "imported {found:?}, built {expected:?}"
    );
    Ok(())
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
