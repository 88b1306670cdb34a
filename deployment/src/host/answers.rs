//! What engines answer, and what to make of it. Pure functions: podman and Docker say the same things differently.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::render::container::MADE_FROM_LABEL;

/// What an engine tells of one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// `running`, `exited` ...
    pub(super) state: String,
    /// The ID of its image.
    pub(super) image: String,
    /// What it was made from, as its label says; empty without that.
    pub(super) made_from: String,
    /// Ports of the host that are published by it.
    pub(super) ports: BTreeSet<u16>,
}

/// Reads the answer of `container inspect`: what is told of each, by name.
pub(super) fn containers(json: &str) -> Result<BTreeMap<String, Told>> {
    list(json)?.iter().map(|told| Ok((name(told)?, container(told)?))).collect()
}

fn name(told: &Value) -> Result<String> {
    // Docker's begin with a slash.
    Ok(told["Name"].as_str().context("`container inspect` tells no name")?.trim_start_matches('/').to_owned())
}

fn container(told: &Value) -> Result<Told> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let bindings = told["HostConfig"]["PortBindings"].as_object();
    let ports = bindings.into_iter().flat_map(|ports| ports.values()).filter_map(Value::as_array).flatten();
    Ok(Told {
        state: told["State"]["Status"].as_str().context("`container inspect` tells no state")?.to_owned(),
        image: text(&told["Image"]),
        made_from: text(&told["Config"]["Labels"][MADE_FROM_LABEL]),
        ports: ports.filter_map(|port| port["HostPort"].as_str()?.parse().ok()).collect(),
    })
}

/// Reads the answer of `image inspect`: the ID that each name stands for.
pub(super) fn images(json: &str) -> Result<BTreeMap<String, String>> {
    let mut ids = BTreeMap::new();
    for told in list(json)? {
        let id = told["Id"].as_str().context("`image inspect` tells no ID")?;
        let names = told["RepoTags"].as_array().into_iter().flatten().filter_map(Value::as_str);
        ids.extend(names.map(|name| (name.to_owned(), id.to_owned())));
    }
    Ok(ids)
}

fn list(json: &str) -> Result<Vec<Value>> {
    serde_json::from_str(json).context("the answer of `inspect` is no list in JSON")
}

/// Whether an engine complains of nothing but that there is no such container, image, volume or network.
pub(super) fn is_absent(said: &str) -> bool {
    const WORDS: [&str; 6] = [
        "no such container",
        "no such object",
        "no such image",
        "image not known",
        "no such volume",
        "no such network",
    ];
    let said = said.to_lowercase();
    let mut errors = said.lines().filter(|line| line.starts_with("error")).peekable();
    let absent = |line: &str| {
        WORDS.iter().any(|words| line.contains(words)) || line.contains("network") && line.contains("not found")
    };
    errors.peek().is_some() && errors.all(absent)
}

/// Whether an engine complains that containers are on a network.
pub(super) fn is_in_use(said: &str) -> bool {
    let said = said.to_lowercase();
    ["network is being used", "active endpoints"].iter().any(|words| said.contains(words))
}

/// The way out of complaints whose words mislead.
pub(super) fn hint(said: &str) -> Option<&'static str> {
    let lower = said.to_lowercase();
    if lower.contains("no space left on device") || lower.contains("disk quota exceeded") {
        return Some("the disk is full: free some space, or give podman another place by TMPDIR; what is loaded stays");
    }
    // podman says so when it could not unpack the archive.
    if lower.contains("does not match any of the supported image formats") {
        return Some("podman had no room to unpack the images in its temporary folder: TMPDIR names another");
    }
    if lower.contains("address already in use") || lower.contains("port is already allocated") {
        return Some("another program has the port: --port NAME=NUMBER chooses another one");
    }
    None
}

/// What an engine tells of itself and the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// It runs as an ordinary user, for whom the kernel maps user and group numbers.
    pub(super) rootless: bool,
    /// As OCI writes it: `amd64`.
    pub(super) architecture: String,
    /// Where images and volumes are.
    pub(super) storage: PathBuf,
    /// How layers are put together: `overlay`, `vfs`.
    pub(super) driver: String,
    /// Where archives are unpacked first, for podman.
    pub(super) temporary: Option<PathBuf>,
    /// What starts containers: `crun`, `runc`; empty where it does not say.
    pub(super) runtime: String,
    /// How many user numbers there are in its containers, when they are mapped.
    pub(super) ids: Option<u64>,
    /// The engine runs on another machine, or in a virtual one.
    pub(super) remote: bool,
}

/// Reads podman's `info --format json`.
pub(super) fn podman(json: &str) -> Result<Facts> {
    let info: Value = serde_json::from_str(json).context("the answer of `podman info` is no JSON")?;
    let (host, store) = (&info["host"], &info["store"]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let rootless = host["security"]["rootless"].as_bool().unwrap_or(false);
    let map = host["idMappings"]["uidmap"].as_array();
    let ids = map.into_iter().flatten().filter_map(|range| range["size"].as_u64()).sum();
    Ok(Facts {
        rootless,
        architecture: text(&host["arch"]),
        storage: text(&store["graphRoot"]).into(),
        driver: text(&store["graphDriverName"]),
        temporary: Some(store["imageCopyTmpDir"].as_str().unwrap_or("/var/tmp").into()),
        runtime: text(&host["ociRuntime"]["name"]),
        ids: rootless.then_some(ids),
        remote: host["serviceIsRemote"].as_bool().unwrap_or(false),
    })
}

/// Reads Docker's `info --format '{{json .}}'`.
pub(super) fn docker(json: &str) -> Result<Facts> {
    let info: Value = serde_json::from_str(json).context("the answer of `docker info` is no JSON")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let options = info["SecurityOptions"].as_array();
    let rootless = options.into_iter().flatten().any(|option| option == "name=rootless");
    let architecture = match info["Architecture"].as_str().unwrap_or_default() {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    Ok(Facts {
        rootless,
        architecture: architecture.to_owned(),
        storage: text(&info["DockerRootDir"]).into(),
        driver: text(&info["Driver"]),
        temporary: None,
        runtime: text(&info["DefaultRuntime"]),
        ids: None,
        remote: false,
    })
}

/// A version's first two numbers: of `20.10.24+dfsg1`, 20 and 10.
pub(super) fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.trim_start_matches('v').split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_of_both_engines() {
        let podman = r#"[{"Name": "shop_web", "State": {"Status": "running"}, "Image": "ab12",
            "Config": {"Labels": {"org.sealift.made-from": "cd"}},
            "HostConfig": {"PortBindings": {"8443/tcp": [{"HostIp": "0.0.0.0", "HostPort": "443"}], "8080/tcp": null}}}]"#;
        let told = containers(podman).unwrap().remove("shop_web").unwrap();
        let expected =
            Told { state: "running".into(), image: "ab12".into(), made_from: "cd".into(), ports: [443].into() };
        assert_eq!(told, expected);
        let docker = r#"[{"Name": "/shop_web", "State": {"Status": "exited"}, "Image": "sha256:ab12",
            "Config": {"Labels": null}, "HostConfig": {"PortBindings": null}}]"#;
        let told = containers(docker).unwrap().remove("shop_web").unwrap();
        assert_eq!((told.made_from.as_str(), told.ports.len()), ("", 0));
        assert!(containers("").is_err() && containers("[{}]").is_err());
        assert!(containers("[]\n").unwrap().is_empty());
    }

    #[test]
    fn images_by_all_their_names() {
        let told = images(
            r#"[{"Id": "ab12", "RepoTags": ["localhost/a:1", "localhost/b:1"]}, {"Id": "cd", "RepoTags": null}]"#,
        );
        let told = told.unwrap();
        assert_eq!(told.len(), 2);
        assert_eq!(told["localhost/b:1"], "ab12");
    }

    #[test]
    fn absent_in_the_words_of_all() {
        for said in [
            "Error: inspecting object: no such container parsec-standalone_web",
            "Error: No such container: web",
            "Error: no such object: \"web\"",
            "Error: localhost/x:1: image not known",
            "Error response from daemon: No such image: localhost/x:1",
            "Error: inspecting object: no such volume x",
            "Error: No such volume: x",
            "Error: inspecting object: network x: unable to find network with name or ID x: network not found",
            "Error response from daemon: network x not found",
            "[]\nerror inspecting object: no such container b\nError: inspecting object: no such container a\n",
        ] {
            assert!(is_absent(said), "{said}");
        }
        assert!(!is_absent("Cannot connect to the Docker daemon at unix:///var/run/docker.sock."));
        assert!(!is_absent("Error: no such container a\nError: database is locked"));
        assert!(!is_absent("Error: creating runtime static files directory: permission denied"));
    }

    #[test]
    fn a_full_disk_gets_its_hint_whatever_podman_calls_it() {
        let said = "Error: payload does not match any of the supported image formats:\n * oci: ...";
        assert!(hint(said).unwrap().contains("TMPDIR"));
        assert!(hint("writing blob: storing: write /var/tmp/x: no space left on device").unwrap().contains("full"));
        assert_eq!(hint("Error: something else"), None);
    }

    #[test]
    fn what_engines_tell_of_themselves() {
        let root = r#"{"host": {"arch": "amd64", "idMappings": {"gidmap": null, "uidmap": null}, "ociRuntime": {"name": "runc"},
            "security": {"rootless": false}}, "store": {"graphDriverName": "overlay", "graphRoot": "/var/lib/containers/storage",
            "imageCopyTmpDir": "/var/tmp"}}"#;
        let facts = podman(root).unwrap();
        assert_eq!((facts.rootless, facts.ids, facts.architecture.as_str()), (false, None, "amd64"));
        assert_eq!(facts.temporary, Some("/var/tmp".into()));
        let user = r#"{"host": {"security": {"rootless": true}, "idMappings": {"uidmap": [
            {"container_id": 0, "host_id": 1000, "size": 1}, {"container_id": 1, "host_id": 100000, "size": 65536}]}}}"#;
        assert_eq!(podman(user).unwrap().ids, Some(65537));
        let facts = docker(
            r#"{"Architecture": "x86_64", "DockerRootDir": "/var/lib/docker", "Driver": "overlay2",
            "SecurityOptions": ["name=seccomp,profile=default", "name=rootless"]}"#,
        );
        let facts = facts.unwrap();
        assert_eq!((facts.rootless, facts.architecture.as_str(), facts.driver.as_str()), (true, "amd64", "overlay2"));
    }

    #[test]
    fn versions() {
        assert_eq!(version("20.10.24+dfsg1"), Some((20, 10)));
        assert_eq!(version("4.3.1"), Some((4, 3)));
        assert_eq!(version("v5.0-dev"), Some((5, 0)));
        assert_eq!(version("unknown"), None);
    }
}
