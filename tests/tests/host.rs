//! The host side: from an unpacked bundle to a healthy deployment with nothing but podman, cut off from every network.

use std::process::Command;
use std::time::Instant;

use anyhow::{Result, ensure};
use sealift_tests::bundle::{Bundle, program};
use sealift_tests::command::{self, Ran, report};
use sealift_tests::podman::Podman;
use serde_json::Value;

struct Host<'a> {
    podman: &'a Podman,
    bundle: &'a Bundle,
}

impl Host<'_> {
    fn try_sealift(&self, arguments: &[&str]) -> Result<Ran> {
        let program = program()?;
        let mut command: Command = self.podman.command(&self.bundle.folder, &program.display().to_string());
        command::run(command.args(arguments))
    }

    fn sealift(&self, arguments: &[&str]) -> Result<Ran> {
        let ran = self.try_sealift(arguments)?;
        ensure!(ran.code == Some(0), "{arguments:?} exited with {:?}\n{}{}", ran.code, ran.stdout, ran.stderr);
        Ok(ran)
    }

    fn all_healthy(&self) -> Result<()> {
        let services: Value = serde_json::from_str(&self.sealift(&["status", "--json"])?.stdout)?;
        let services = services.as_array().map_or(&[][..], Vec::as_slice);
        ensure!(services.len() == 4, "{services:?}");
        for service in services {
            ensure!(service["health"] == "healthy" && service["drifted"] == false, "{service}");
        }
        Ok(())
    }

    fn started(&self) -> Result<String> {
        let name = "parsec-standalone_parsec-server";
        self.podman.podman(&["inspect", "--format", "{{.State.StartedAt}}", name])
    }
}

#[test]
#[ignore = "needs root and podman: tests/run"]
fn one_command_starts_an_unpacked_bundle() -> Result<()> {
    let bundle = Bundle::build("standalone", |_, _| Ok(Vec::new()))?;
    let podman = Podman::new()?;
    let host = Host { podman: &podman, bundle: &bundle };
    scenario(&host).inspect_err(|_| report(&podman.story()))
}

fn scenario(host: &Host<'_>) -> Result<()> {
    let folder = &host.bundle.folder;
    let refused = host.try_sealift(&["up"])?;
    ensure!(refused.code == Some(2) && refused.stderr.contains("--host"), "{refused:?}");

    // One changed byte: nothing is loaded, nothing is made.
    let compose = fs_err::read(folder.join("compose.yaml"))?;
    fs_err::write(folder.join("compose.yaml"), [&compose[..], b"\n"].concat())?;
    let refused = host.try_sealift(&["up", "--host", "parsec.test"])?;
    ensure!(refused.code == Some(4) && refused.stderr.contains("compose.yaml"), "{refused:?}");
    ensure!(host.podman.podman(&["images", "--quiet"])?.is_empty() && !folder.join("site").exists());
    fs_err::write(folder.join("compose.yaml"), compose)?;

    let start = Instant::now();
    host.sealift(&["up", "--host", "parsec.test"])?;
    report(&format!("up, from nothing to healthy: {:.1} s", start.elapsed().as_secs_f64()));
    host.all_healthy()?;

    let link = host.sealift(&["task", "create-organization", "MyOrg"])?.stdout;
    ensure!(link.starts_with("parsec3://parsec.test/MyOrg?"), "{link}");
    ensure!(host.sealift(&["task"])?.stdout.contains("create-organization ORGANIZATION"));
    ensure!(host.try_sealift(&["task", "create-organization"])?.code == Some(2));
    host.sealift(&["task", "ping-mail", "someone@parsec.test"])?;

    // Once more: nothing is restarted, no secret changes.
    let (token, started) = (fs_err::read(folder.join("site/secrets/admin-token"))?, host.started()?);
    let start = Instant::now();
    host.sealift(&["up"])?;
    report(&format!("up once more: {:.1} s", start.elapsed().as_secs_f64()));
    ensure!(started == host.started()?, "a repeated `up` restarted the server");

    ensure!(host.try_sealift(&["down", "--volumes"])?.code == Some(2));
    host.sealift(&["down"])?;
    ensure!(host.sealift(&["status"])?.stdout.contains("absent"));
    let start = Instant::now();
    host.sealift(&["up"])?;
    report(&format!("up after down: {:.1} s", start.elapsed().as_secs_f64()));
    host.all_healthy()?;
    ensure!(token == fs_err::read(folder.join("site/secrets/admin-token"))?, "a secret changed");
    let select = "select organization_id from organization";
    let database = ["exec", "parsec-standalone_parsec-postgres", "psql", "-U", "parsec", "-tAc", select, "parsec"];
    let kept = host.podman.podman(&database)?;
    ensure!(kept.trim() == "MyOrg", "the database has the organizations {kept:?}");
    let logs = host.sealift(&["logs", "parsec-server", "--tail", "2"])?;
    ensure!(!(logs.stdout + &logs.stderr).is_empty());

    host.sealift(&["down", "--volumes", "--yes"])?;
    ensure!(host.podman.podman(&["volume", "ls", "--quiet"])?.is_empty(), "a volume is left");
    Ok(())
}
