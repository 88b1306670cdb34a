//! Hosts as operators have them: releases of Debian with their own systemd and engines, from an unpacked bundle to a healthy
//! deployment.
//!
//! The first two run by default, the others with `tests/run --hosts`.

#![allow(clippy::disallowed_methods, reason = "tests may read the environment")]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sealift_deployment::bundle::BundleImage;
use sealift_tests::bundle::{Bundle, program};
use sealift_tests::command::{self, Ran, report};
use sealift_tests::hosts::{Host, USER};
use serde_json::Value;

/// Docker's settings for containerd's image store: the default of new installations from 29 on.
const CONTAINERD_STORE: &[(&str, &str)] =
    &[("/etc/docker/daemon.json", r#"{"features": {"containerd-snapshotter": true}}"#)];
/// Docker's own image store.
const CLASSIC_STORE: &[(&str, &str)] =
    &[("/etc/docker/daemon.json", r#"{"features": {"containerd-snapshotter": false}}"#)];

#[test]
#[ignore = "needs root: tests/run"]
fn podman_of_forky_runs_an_unpacked_bundle() -> Result<()> {
    podman("forky")
}

#[test]
#[ignore = "needs root: tests/run"]
fn docker_of_forky_with_the_containerd_store_runs_an_unpacked_bundle() -> Result<()> {
    docker("forky", CONTAINERD_STORE)
}

#[test]
#[ignore = "needs root: tests/run --hosts"]
fn docker_of_forky_with_the_classic_store_runs_an_unpacked_bundle() -> Result<()> {
    if_wanted(|| docker("forky", CLASSIC_STORE))
}

#[test]
#[ignore = "needs root: tests/run --hosts"]
fn rootless_podman_of_forky_runs_an_unpacked_bundle() -> Result<()> {
    if_wanted(|| rootless("forky"))
}

#[test]
#[ignore = "needs root: tests/run --hosts"]
fn podman_of_trixie_runs_an_unpacked_bundle() -> Result<()> {
    if_wanted(|| podman("trixie"))
}

#[test]
#[ignore = "needs root: tests/run --hosts"]
fn docker_of_trixie_with_the_containerd_store_runs_an_unpacked_bundle() -> Result<()> {
    if_wanted(|| docker("trixie", CONTAINERD_STORE))
}

#[test]
#[ignore = "needs root: tests/run --hosts"]
fn docker_of_trixie_with_the_classic_store_runs_an_unpacked_bundle() -> Result<()> {
    if_wanted(|| docker("trixie", CLASSIC_STORE))
}

#[test]
#[ignore = "needs root: tests/run --hosts"]
fn rootless_podman_of_trixie_runs_an_unpacked_bundle() -> Result<()> {
    if_wanted(|| rootless("trixie"))
}

/// Whether all hosts are to be tested, and reboots.
fn all_hosts() -> bool {
    std::env::var_os("SEALIFT_TEST_ALL_HOSTS").is_some()
}

fn if_wanted(test: impl FnOnce() -> Result<()>) -> Result<()> {
    if all_hosts() {
        return test();
    }
    report("not run: tests/run --hosts");
    Ok(())
}

/// Who deploys, and with which engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Engine {
    Podman,
    Rootless,
    Docker,
}

/// An unpacked bundle on a host.
struct Deployment {
    host: Host,
    engine: Engine,
    folder: String,
    bundle: Bundle,
}

impl Deployment {
    /// Builds the bundle, boots a host and unpacks it there.
    fn on(suite: &str, engine: Engine, files: &[(&str, &str)]) -> Result<Self> {
        let start = Instant::now();
        let bundle = Bundle::build("standalone", |_, _| Ok(Vec::new()))?;
        report(&format!("built the bundle in {:.1} s", start.elapsed().as_secs_f64()));
        let host = Host::boot(suite, files)?;
        let folder = if engine == Engine::Rootless { format!("/home/{USER}/parsec") } else { "/srv/parsec".to_owned() };
        fs_err::copy(program()?, host.path("/usr/local/bin/sealift"))?;
        fs_err::copy(&bundle.tar, host.path("/srv/bundle.tar"))?;
        host.output(&format!("mkdir {folder} && tar -xf /srv/bundle.tar -C {folder}"))?;
        if engine == Engine::Rootless {
            host.output(&format!("chown -R {USER}: {folder}"))?;
        }
        let deployment = Self { host, engine, folder, bundle };
        report(&deployment.versions(suite)?);
        Ok(deployment)
    }

    fn versions(&self, suite: &str) -> Result<String> {
        let packages = match self.engine {
            Engine::Docker => "docker.io containerd runc docker-compose systemd",
            Engine::Podman => "podman crun netavark aardvark-dns podman-compose systemd",
            Engine::Rootless => "podman crun netavark passt podman-compose systemd",
        };
        Ok(format!("{suite}, {:?}: {}", self.engine, self.host.versions(packages)?))
    }

    fn try_sealift(&self, arguments: &[&str]) -> Result<Ran> {
        let rootless = self.engine == Engine::Rootless;
        let mut command = if rootless { self.host.user_command("sealift") } else { self.host.command("sealift") };
        command::run(command.args(arguments).args(["-C", &self.folder]))
    }

    fn sealift(&self, arguments: &[&str]) -> Result<Ran> {
        let start = Instant::now();
        let ran = self.try_sealift(arguments)?;
        ensure!(ran.code == Some(0), "{arguments:?} exited with {:?}\n{}{}", ran.code, ran.stdout, ran.stderr);
        report(&format!("{}: {:.1} s", arguments.join(" "), start.elapsed().as_secs_f64()));
        Ok(ran)
    }

    /// What the engine's client prints.
    fn client(&self, arguments: &[&str]) -> Result<String> {
        let mut command = match self.engine {
            Engine::Docker => self.host.command("docker"),
            Engine::Podman => self.host.command("podman"),
            Engine::Rootless => self.host.user_command("podman"),
        };
        command::output(command.args(arguments))
    }

    fn up(&self) -> Result<Ran> {
        // The host has both; later commands know which one it was.
        let engine = if self.engine == Engine::Docker { "docker" } else { "podman" };
        let mut arguments = vec!["up", "--host", "localhost", "--engine", engine];
        if self.engine == Engine::Rootless {
            arguments.extend(["--port", "https=8443", "--port", "http=8080"]);
        }
        self.sealift(&arguments)
    }

    /// The host's engine has the images of the bundle, under these IDs.
    fn images_are(&self, digests: impl Fn(&BundleImage) -> String) -> Result<()> {
        let format = "{{.Repository}}:{{.Tag}} {{.ID}}";
        let listed = self.client(&["images", "--no-trunc", "--format", format])?;
        let listed: BTreeSet<&str> = listed.lines().collect();
        let images = &self.bundle.manifest.images;
        let expected: Vec<String> =
            images.iter().map(|image| format!("{} {}", image.reference, digests(image))).collect();
        ensure!(listed == expected.iter().map(String::as_str).collect(), "loaded {listed:?}, built {expected:?}");
        Ok(())
    }

    /// Every service is healthy, and the server answers on the host's published port.
    fn all_healthy(&self) -> Result<()> {
        let services: Value = serde_json::from_str(&self.try_sealift(&["status", "--json"])?.stdout)?;
        let services = services.as_array().map_or(&[][..], Vec::as_slice);
        ensure!(services.len() == 4, "{services:?}");
        for service in services {
            ensure!(service["health"] == "healthy" && service["outdated"].is_null(), "{service}");
        }
        self.answers()
    }

    fn answers(&self) -> Result<()> {
        let url = if self.engine == Engine::Rootless { "https://localhost:8443/" } else { "https://localhost/" };
        let start = Instant::now();
        let mut curl = self.host.beside("curl");
        curl.args(["--silent", "--show-error", "--noproxy", "*", "--fail", "--retry", "60", "--retry-delay", "1"]);
        curl.args(["--retry-all-errors", "--output", "/dev/null", "--cacert"]);
        command::output(curl.arg(self.host.path(&format!("{}/site/custom-ca.crt", self.folder))).arg(url))?;
        report(&format!("the proxy answers after another {:.1} s", start.elapsed().as_secs_f64()));
        Ok(())
    }

    /// Group 999 of the database is `systemd-journal` on some hosts: whoever has the group of a key file cannot read it.
    fn groups_cannot_read_keys(&self) -> Result<()> {
        let script = format!("find {}/site -type f -perm -040 ! -perm -004 -printf '%G %p\\n'", self.folder);
        let files = self.host.output(&script)?;
        ensure!(files.lines().count() >= 3, "{files}");
        for (group, path) in files.lines().filter_map(|line| line.split_once(' ')) {
            let mut read = self.host.command("setpriv");
            read.args(["--reuid=65534", &format!("--regid={group}"), "--clear-groups", "cat", path]);
            let ran = command::run(&mut read)?;
            ensure!(ran.code != Some(0) && ran.stderr.contains("Permission denied"), "{path}: {ran:?}");
        }
        Ok(())
    }

    /// As versions left it whose archives had no directories.
    fn site_of_an_older_version(&self) -> Result<()> {
        self.host.output(&format!("chmod 755 {0}/site/secrets {0}/site/tls", self.folder)).map(drop)
    }

    fn organizations(&self) -> Result<String> {
        let select = "select organization_id from organization order by 1";
        let database = ["exec", "parsec-standalone_parsec-postgres", "psql", "-U", "parsec", "-tAc", select, "parsec"];
        Ok(self.client(&database)?.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// From nothing to an organization that outlives the containers.
    fn first_start(&self) -> Result<()> {
        self.up()?;
        self.all_healthy()?;
        let link = self.sealift(&["task", "create-organization", "MyOrg"])?.stdout;
        ensure!(link.starts_with("parsec3://localhost") && link.contains("/MyOrg?"), "{link}");
        self.sealift(&["doctor"])?;
        self.groups_cannot_read_keys()?;
        self.sealift(&["down"])?;
        self.site_of_an_older_version()?;
        let left = self.client(&["ps", "--all", "--quiet"])?;
        ensure!(left.is_empty(), "a container is left");
        self.sealift(&["up"])?;
        self.all_healthy()?;
        self.groups_cannot_read_keys()?;
        let organizations = self.organizations()?;
        ensure!(organizations == "MyOrg", "{organizations}");
        Ok(())
    }

    /// The suite's compose program starts what `up` made, with the same data.
    fn by_hand(&self) -> Result<()> {
        self.sealift(&["down"])?;
        let compose = |arguments: &str| {
            let script = match self.engine {
                Engine::Docker => format!("cd {} && docker-compose {arguments}", self.folder),
                Engine::Podman | Engine::Rootless => format!("cd {} && podman-compose {arguments}", self.folder),
            };
            let rootless = self.engine == Engine::Rootless;
            let mut command = if rootless { self.host.user_command("sh") } else { self.host.command("sh") };
            command::output(command.args(["-c", &script]))
        };
        let start = Instant::now();
        compose("up -d")?;
        report(&format!("compose up: {:.1} s", start.elapsed().as_secs_f64()));
        self.answers()?;
        let organizations = self.organizations()?;
        ensure!(organizations == "MyOrg", "{organizations}");
        compose("down")?;
        self.sealift(&["up"])?;
        self.all_healthy()
    }

    /// After a reboot the services start again with their data: Docker does it by itself, podman with the unit of the
    /// bundle's README.
    fn after_a_reboot(&mut self) -> Result<()> {
        if self.engine != Engine::Docker {
            let examined = self.try_sealift(&["doctor"])?.stdout;
            ensure!(examined.contains("warning: boot: no unit of systemd starts the services"), "{examined}");
            self.install_unit()?;
            let examined = self.try_sealift(&["doctor"])?.stdout;
            ensure!(!examined.contains("warning: boot"), "{examined}");
        }
        self.host.reboot()?;
        let start = Instant::now();
        while let Err(error) = self.all_healthy() {
            if start.elapsed() > Duration::from_secs(600) {
                return Err(error.context("10 minutes after a reboot"));
            }
            std::thread::sleep(Duration::from_secs(1));
        }
        report(&format!("healthy by itself {:.1} s after the reboot", start.elapsed().as_secs_f64()));
        let organizations = self.organizations()?;
        ensure!(organizations == "MyOrg", "{organizations}");
        self.sealift(&["up"])?;
        self.all_healthy()
    }

    /// Types the commands of the bundle's README.
    fn install_unit(&self) -> Result<()> {
        let readme = fs_err::read_to_string(self.host.path(&self.folder).join("README.md"))?;
        let chapter = readme.split("### After a reboot").nth(1).context("the README has a chapter")?;
        // The first block is root's, the second that of an ordinary user.
        let mut blocks = chapter.split("\n\n").filter(|block| block.starts_with("    "));
        let block = blocks.nth(usize::from(self.engine == Engine::Rootless)).context("the README has commands")?;
        let rootless = self.engine == Engine::Rootless;
        // Without polkit, which no package here needs, that takes root, as the README says; the user of the tests has it.
        let block = if rootless { block.replace("loginctl enable-linger", "") } else { block.to_owned() };
        let script = format!("set -e; cd {}\n{block}", self.folder).replace("$PWD/sealift", "/usr/local/bin/sealift");
        let mut shell = if rootless { self.host.user_command("sh") } else { self.host.command("sh") };
        command::output(shell.args(["-c", &script])).map(drop)
    }

    fn removed(&self) -> Result<()> {
        self.sealift(&["down", "--volumes", "--yes"])?;
        let volumes = self.client(&["volume", "ls", "--quiet"])?;
        ensure!(volumes.is_empty(), "left: {volumes}");
        Ok(())
    }

    /// State and logs of all containers, for people: after a failure.
    fn story(&self) -> String {
        let all = |arguments: &[&str]| match self.client(arguments) {
            Ok(text) => text,
            Err(error) => format!("{error:#}\n"),
        };
        let mut story = all(&["ps", "--all"]);
        for name in all(&["ps", "--all", "--format", "{{.Names}}"]).lines() {
            story += &format!("--- {name}\n{}", all(&["logs", "--tail", "40", name]));
        }
        let journal = self.host.run("journalctl --no-pager --priority=warning --lines=40");
        story + &journal.map_or_else(|error| format!("{error:#}"), |ran| ran.stdout)
    }

    fn tried(&mut self, scenario: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let result = scenario(self);
        if result.is_err() {
            report(&self.story());
        }
        result
    }
}

fn podman(suite: &str) -> Result<()> {
    Deployment::on(suite, Engine::Podman, &[])?.tried(|deployment| {
        deployment.first_start()?;
        deployment.images_are(|image| image.config.to_string())?;
        if all_hosts() {
            deployment.by_hand()?;
            deployment.after_a_reboot()?;
        }
        deployment.removed()
    })
}

fn rootless(suite: &str) -> Result<()> {
    Deployment::on(suite, Engine::Rootless, &[])?.tried(|deployment| {
        deployment.first_start()?;
        deployment.images_are(|image| image.config.to_string())?;
        deployment.by_hand()?;
        deployment.after_a_reboot()?;
        deployment.removed()
    })
}

/// `up` loads the images by itself, and finds those that the operator loaded.
fn docker(suite: &str, files: &[(&str, &str)]) -> Result<()> {
    let containerd = files == CONTAINERD_STORE;
    Deployment::on(suite, Engine::Docker, files)?.tried(|deployment| {
        let driver = deployment.client(&["info", "--format", "{{json .DriverStatus}}"])?;
        ensure!(containerd == driver.contains("io.containerd.snapshotter"), "Docker has another image store: {driver}");
        deployment.first_start()?;
        let digests = |image: &BundleImage| {
            if containerd { image.digest.to_string() } else { image.config.to_string() }
        };
        deployment.images_are(digests)?;
        if all_hosts() {
            deployment.by_hand()?;
            deployment.after_a_reboot()?;
        }
        deployment.removed()?;

        deployment.client(&["system", "prune", "--all", "--force"])?;
        let start = Instant::now();
        deployment.client(&["load", "--input", "/srv/bundle.tar"])?;
        report(&format!("docker load: {:.1} s", start.elapsed().as_secs_f64()));
        deployment.images_are(digests)?;
        let ran = deployment.up()?;
        ensure!(ran.stderr.contains("ok: 4 images already loaded"), "{}", ran.stderr);
        deployment.all_healthy()?;
        deployment.removed()
    })
}
