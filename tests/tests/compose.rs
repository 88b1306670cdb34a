//! `up` creates the same containers as compose does from `compose.yaml`, and each works with the other's containers.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use sealift_tests::bundle::{Bundle, program};
use sealift_tests::command;
use sealift_tests::docker::Engine;
use sealift_tests::podman::Podman;
use serde_json::{Map, Value};

/// Runs a program with arguments; returns its standard output.
type Run<'a> = dyn Fn(&str, &[&str]) -> Result<String> + 'a;

/// One engine with its compose, in the folder of a bundle.
struct Host<'a> {
    run: &'a Run<'a>,
    engine: &'a str,
    compose: &'a str,
    /// Keys in the output of `inspect` in which the two may differ, as paths.
    may_differ: &'a [&'a str],
}

/// The bundle, in a folder with the project's name: podman-compose 1.0 uses the folder's name for the project.
fn unpacked(bundle: &Bundle) -> Result<PathBuf> {
    let folder = bundle.place().join("parsec-standalone");
    fs_err::rename(&bundle.folder, &folder)?;
    Ok(folder)
}

#[test]
#[ignore = "needs root and podman: tests/run"]
fn up_and_compose_create_the_same_containers_on_podman() -> Result<()> {
    let bundle = Bundle::build("standalone", |_, _| Ok(Vec::new()))?;
    let folder = unpacked(&bundle)?;
    let podman = Podman::new()?;
    let run = |program: &str, arguments: &[&str]| command::output(podman.command(&folder, program).args(arguments));
    let may_differ = [
        "Config.Annotations.io.kubernetes.cri-o.Created",
        "Config.CreateCommand",
        // `up` needs no shell for it.
        "Config.Healthcheck.Test",
        "Config.Labels.com.docker.compose.config-hash",
        "Config.Labels.com.docker.compose.oneoff",
        "Config.Labels.io.podman.compose.config-hash",
        "Config.Labels.io.podman.compose.version",
        // podman-compose 1.0 does not read `stop_grace_period`.
        "Config.StopTimeout",
        // podman has one file, where compose asks for several.
        "HostConfig.LogConfig.Config",
        "HostConfig.LogConfig.Path",
        "HostConfig.LogConfig.Size",
        "HostConfig.LogConfig.Type",
        // Compose publishes on IPv4 only.
        "HostConfig.PortBindings.8080/tcp",
        "HostConfig.PortBindings.8443/tcp",
    ];
    same(&Host { run: &run, engine: "podman", compose: "podman-compose", may_differ: &may_differ })
        .inspect_err(|_| command::report(&podman.story()))
}

#[test]
#[ignore = "needs root and Docker: tests/run"]
fn up_and_compose_create_the_same_containers_on_docker() -> Result<()> {
    let bundle = Bundle::build("standalone", |_, _| Ok(Vec::new()))?;
    let folder = unpacked(&bundle)?;
    let docker = Engine::docker()?;
    let run = |program: &str, arguments: &[&str]| {
        command::output(docker.beside(&folder, program).args(arguments).env("SEALIFT_ENGINE", "docker"))
    };
    let may_differ = [
        "Config.AttachStderr",
        "Config.AttachStdout",
        "Config.Labels.com.docker.compose.config-hash",
        // Only version 2 has it.
        "Config.Labels.com.docker.compose.depends_on",
        "Config.Labels.com.docker.compose.image",
        "Config.Labels.com.docker.compose.project.config_files",
        "Config.Labels.com.docker.compose.version",
        "Config.Labels.io.podman.compose.project",
        // The mounts as they were requested; `Mounts` has the result.
        "Config.Volumes",
        "HostConfig.Binds",
        "HostConfig.Mounts",
        // The network that a container was created on; the others are connected afterwards. `networks` has all.
        "HostConfig.NetworkMode",
        // Compose publishes on IPv4 only.
        "HostConfig.PortBindings.8080/tcp",
        "HostConfig.PortBindings.8443/tcp",
    ];
    same(&Host { run: &run, engine: "docker", compose: "docker-compose", may_differ: &may_differ })
}

fn same(host: &Host<'_>) -> Result<()> {
    host.sealift(&["up", "--host", "parsec.test"])?;
    let from_up = host.containers()?;
    let found = (host.run)(host.compose, &["ps", "-q"])?;
    for container in &from_up {
        let id = container["Id"].as_str().context("a container has an ID")?;
        ensure!(found.contains(&id[..12]), "compose does not find {}:\n{found}", container["Name"]);
    }
    (host.run)(host.compose, &["down"])?;
    ensure!(host.ask(&["ps", "--all", "--quiet"])?.is_empty(), "compose left a container");
    ensure!(host.ask(&["volume", "ls", "--quiet"])?.lines().count() == 2, "the data was removed");

    (host.run)(host.compose, &["up", "-d"])?;
    let from_compose = host.containers()?;
    let mut differences = Vec::new();
    for (ours, other) in from_up.iter().zip(&from_compose) {
        let name = ours["Name"].as_str().unwrap_or_default();
        compare(name, &configuration(ours)?, &configuration(other)?, &mut differences);
    }
    differences.retain(|line| !host.may_differ.iter().any(|path| line.contains(&format!(".{path}: "))));
    ensure!(differences.is_empty(), "containers of `up` and of compose differ:\n{}", differences.join("\n"));

    // They may not be healthy yet, which `status` says with its exit code, too.
    let status = (host.run)("sh", &["-c", "\"$0\" status || true", &program()?.display().to_string()])?;
    ensure!(status.matches("it was not created by `sealift up`").count() == 4, "{status}");
    host.sealift(&["up"])?;
    ensure!(host.sealift(&["status"])?.matches("up to date").count() == 4);
    host.sealift(&["down", "--volumes", "--yes"])?;
    ensure!(host.ask(&["volume", "ls", "--quiet"])?.is_empty(), "a volume is left");
    ensure!(!host.ask(&["network", "ls"])?.contains("parsec-standalone"), "a network is left");
    Ok(())
}

impl Host<'_> {
    fn sealift(&self, arguments: &[&str]) -> Result<String> {
        (self.run)(&program()?.display().to_string(), arguments)
    }

    fn ask(&self, arguments: &[&str]) -> Result<String> {
        (self.run)(self.engine, arguments)
    }

    /// The output of `inspect` for all containers, sorted by name.
    fn containers(&self) -> Result<Vec<Value>> {
        let ids = self.ask(&["ps", "--all", "--quiet"])?;
        let inspect: Vec<&str> = std::iter::once("inspect").chain(ids.lines()).collect();
        let mut all: Vec<Value> = serde_json::from_str(&self.ask(&inspect)?)?;
        all.sort_by_key(|container| container["Name"].to_string());
        ensure!(all.len() == 4, "{} containers", all.len());
        Ok(all)
    }
}

/// The configuration of a container in a fixed order, without the values that differ from start to start.
fn configuration(container: &Value) -> Result<Value> {
    let mut all = Map::new();
    for key in ["Config", "HostConfig", "Image", "Mounts", "Name"] {
        all.insert(key.to_owned(), container[key].clone());
    }
    let networks = container["NetworkSettings"]["Networks"].as_object().context("there are networks")?;
    let id = container["Id"].as_str().unwrap_or_default();
    let mut connected = Vec::new();
    for (name, network) in networks {
        let aliases = network["Aliases"].as_array().into_iter().flatten().filter_map(Value::as_str);
        // Engines always resolve the ID and the name of a container.
        let own = |alias: &&str| id.starts_with(alias) || container["Name"] == format!("/{alias}");
        let aliases: Vec<&str> = aliases.filter(|alias| !own(alias)).collect();
        connected.push(serde_json::json!([name, aliases]));
    }
    all.insert("networks".to_owned(), connected.into());
    let mut all = Value::Object(all);
    if let Some(labels) = all["Config"]["Labels"].as_object_mut() {
        labels.remove("org.sealift.made-from");
    }
    for pointer in ["/Config/Env", "/HostConfig/Binds", "/Mounts"] {
        if let Some(list) = all.pointer_mut(pointer).and_then(Value::as_array_mut) {
            list.sort_by_key(Value::to_string);
        }
    }
    // Written as in the request.
    for mount in all["Mounts"].as_array_mut().into_iter().flatten() {
        mount["Mode"] = Value::Null;
    }
    // podman-compose wraps the shell command in another shell.
    if let Some(Value::String(line)) = all.pointer_mut("/Config/Healthcheck/Test/1")
        && let Some(inner) = line.strip_prefix("/bin/sh -c ")
    {
        *line = inner.trim_matches('\'').to_owned();
    }
    Ok(all)
}

/// Adds a line for each value that is not the same.
fn compare(path: &str, ours: &Value, other: &Value, differences: &mut Vec<String>) {
    match (ours, other) {
        (Value::Object(one), Value::Object(two)) => {
            let mut keys: Vec<&String> = one.keys().chain(two.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                compare(&format!("{path}.{key}"), &ours[key], &other[key], differences);
            }
        }
        _ if ours == other || is_empty(ours) && is_empty(other) => {}
        _ => differences.push(format!("{path}: {ours} and {other}")),
    }
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty)
}
