//! The same bundle on other engines: Docker, and containerd without Docker. Both load the same images.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sealift_tests::bundle::{Bundle, program};
use sealift_tests::command::{self, report};
use sealift_tests::docker::Engine;

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

    // One image is also run: a database is created and queried.
    let image = images.iter().find(|image| image.name == "parsec-postgres").context("the database's image")?;
    let limits = ["--ulimit", "nofile=1024:1024", "--cap-drop", "ALL", "--read-only", "--tmpfs", "/tmp"];
    let run = ["run", "--detach", "--name", "db", "--network", "none", "--env", "POSTGRES_PASSWORD=for-this-test"];
    docker.client(&[&run[..], &limits[..], &[&image.reference]].concat())?;
    let select = ["exec", "db", "psql", "-h", "/tmp", "-U", "postgres", "-tAc", "select 6 * 7"];
    let start = Instant::now();
    loop {
        match docker.client(&select) {
            Ok(answer) => {
                ensure!(answer.trim() == "42", "the query returned {answer}");
                return Ok(());
            }
            Err(error) if start.elapsed() > Duration::from_secs(60) => {
                let log = command::run(docker.command(Path::new("/")).args(["logs", "db"]))?;
                return Err(error.context(format!("the database cannot be queried:\n{}{}", log.stdout, log.stderr)));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(200)),
        }
    }
}

#[test]
#[ignore = "needs root and Docker: tests/run"]
fn one_command_starts_an_unpacked_bundle_on_docker() -> Result<()> {
    let bundle = bundle()?;
    let docker = Engine::docker()?;
    let scenario = || {
        let program = program()?.display().to_string();
        let sealift = |arguments: &[&str]| -> Result<String> {
            let mut command = docker.beside(&bundle.folder, &program);
            command::output(command.args(arguments).envs([("SEALIFT_ENGINE", "docker")]))
        };
        let start = Instant::now();
        let printed = sealift(&["up", "--host", "parsec.test"])?;
        report(&format!("up on Docker, from nothing to healthy: {:.1} s", start.elapsed().as_secs_f64()));
        ensure!(printed.starts_with("https: https://parsec.test/\n"), "{printed}");
        let link = sealift(&["task", "create-organization", "MyOrg"])?;
        ensure!(link.starts_with("parsec3://parsec.test/MyOrg?"), "{link}");
        sealift(&["task", "migrate"])?;
        sealift(&["doctor"])?;
        let started = ["inspect", "--format", "{{.State.StartedAt}}", "parsec-standalone_parsec-server"];
        let before = docker.client(&started)?;
        sealift(&["up"])?;
        ensure!(before == docker.client(&started)?, "a repeated `up` restarted the server");
        sealift(&["up", "--port", "https=8443"])?;
        ensure!(sealift(&["task", "create-organization", "Other"])?.starts_with("parsec3://parsec.test:8443/Other?"));
        let status = sealift(&["status"])?;
        ensure!(status.matches(" healthy ").count() == 4 && status.matches("up to date").count() == 4, "{status}");
        let whole = sealift(&["verify", ".", "--engine", "docker"])?;
        ensure!(whole.contains("also in the engine, no problems"), "{whole}");
        sealift(&["down"])?;
        ensure!(docker.client(&["ps", "--all", "--quiet"])?.is_empty(), "a container is left");
        // A file of an image, changed in Docker's storage.
        let find = [".", "-path", "*/usr/sbin/nginx", "-print", "-quit"];
        let found = command::output(docker.beside(&docker.data(), "find").args(find))?;
        let changed = docker.data().join(found.trim());
        let mut bytes = fs_err::read(&changed)?;
        bytes[5000] ^= 1;
        fs_err::write(&changed, bytes)?;
        let verify = ["verify", ".", "--engine", "docker"];
        let refused = command::run(docker.beside(&bundle.folder, &program).args(verify))?;
        report(&format!("verify of a changed image: {}{}", refused.stdout, refused.stderr));
        ensure!(refused.code == Some(4) && refused.stdout.contains("parsec-proxy"), "{refused:?}");
        ensure!(docker.client(&["volume", "ls", "--quiet"])?.lines().count() == 2, "the data was removed");
        sealift(&["down", "--volumes", "--yes"])?;
        ensure!(docker.client(&["volume", "ls", "--quiet"])?.is_empty(), "a volume is left");
        Ok(())
    };
    scenario().inspect_err(|_| {
        let names = docker.client(&["ps", "--all", "--format", "{{.Names}}"]).unwrap_or_default();
        for name in names.lines() {
            let log = command::run(docker.command(Path::new("/")).args(["logs", "--tail", "40", name]));
            report(&format!("--- {name}\n{}", log.map_or_else(|_| String::new(), |log| log.stdout + &log.stderr)));
        }
    })
}

#[test]
#[ignore = "needs root and containerd: tests/run"]
fn containerd_imports_and_unpacks_the_same_images() -> Result<()> {
    let bundle = bundle()?;
    let containerd = Engine::containerd()?;
    let start = Instant::now();
    // Unpacks as well, and compares every layer with its diff ID. The native snapshotter works on any file system, but
    // copies all that is below for each layer.
    let import =
        |snapshotter| containerd.client(&["image", "import", "--snapshotter", snapshotter, utf8(&bundle.tar)?]);
    if import("overlayfs").is_err() {
        import("native")?;
    }
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
