//! Parsers of the engines' output, as pure functions. podman and Docker differ in words and JSON.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::Value;

use super::kind::EngineKind;
use crate::host::ending;
use crate::host::status::LastRun;
use crate::profile::model::Size;
use crate::render::container::{CONFIG_HASH_LABEL, FOLDER_LABEL};

/// How many last lines of a log are shown of a service that is not healthy.
pub(super) const LAST_LINES: usize = 20;

/// A container, as `container inspect` describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Container {
    /// As the engine numbers it: 64 digits.
    pub(super) id: String,
    /// `running`, `exited` ...
    pub(super) state: String,
    /// The ID of its image.
    pub(super) image: String,
    /// The value of [`CONFIG_HASH_LABEL`]; empty without that label.
    pub(super) config_hash: String,
    /// The deployment folder that it was created for; empty when neither `up` nor compose created it.
    pub(super) folder: String,
    /// Ports of the host that it publishes.
    pub(super) ports: BTreeSet<u16>,
    /// Its environment: `NAME=VALUE`.
    pub(super) environment: Vec<String>,
    /// How often the engine started it again after it had ended.
    pub(super) restarts: u64,
    /// When it was started last, in the words of the engine; empty when it never was.
    pub(super) started: String,
    /// When it ended last, likewise.
    pub(super) ended: String,
    /// The number of its process, while it runs, on the machine of the engine.
    pub(super) process: Option<u32>,
    /// The exit code of its last end.
    pub(super) exit_code: i64,
    /// The kernel ended a process of it, as it needed more memory than it may have or than there is.
    pub(super) out_of_memory: bool,
}

impl Container {
    /// What differs from its start to the next one: when that was, and how many were before.
    pub(super) fn run(&self) -> (String, u64) {
        (self.started.clone(), self.restarts)
    }

    /// Whether it has ended with exit code 0.
    pub(super) fn is_completed(&self) -> bool {
        self.state == "exited" && self.exit_code == 0
    }

    /// How its last run ended, of a service with this limit of memory; `None` before its first end.
    pub(super) fn last_run(&self, memory: Option<Size>) -> Option<LastRun> {
        let (exit_code, cause) = (self.exit_code, self.cause(memory));
        let ended = self.state == "exited";
        ended.then(|| LastRun { exit_code, cause, ended: self.ended.clone(), not_started: None })
    }

    /// Its exit code, and what it means.
    pub(super) fn end(&self, memory: Option<Size>) -> String {
        ending::told(self.exit_code, self.cause(memory).as_deref())
    }

    fn cause(&self, memory: Option<Size>) -> Option<String> {
        ending::cause(self.exit_code, self.out_of_memory, memory)
    }

    /// Whether it runs.
    pub(super) fn is_running(&self) -> bool {
        self.state == "running"
    }

    /// For how many seconds it has been running at `now` (seconds since 1970). `None` when it does not run, or the engine's
    /// time cannot be read.
    pub(super) fn seconds_up(&self, now: i64) -> Option<i64> {
        let started: jiff::Timestamp = self.started.parse().ok()?;
        self.is_running().then(|| now - started.as_second())
    }
}

/// Parses the output of `container inspect`: the containers by name.
pub(super) fn containers(json: &str) -> Result<BTreeMap<String, Container>> {
    list(json)?.iter().map(|entry| Ok((name(entry)?, container(entry)?))).collect()
}

fn name(entry: &Value) -> Result<String> {
    // Docker's names start with a slash.
    let name = entry["Name"].as_str().context("the output of `container inspect` has no name")?;
    Ok(name.trim_start_matches('/').to_owned())
}

fn container(entry: &Value) -> Result<Container> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let bindings = entry["HostConfig"]["PortBindings"].as_object();
    let ports = bindings.into_iter().flat_map(|ports| ports.values()).filter_map(Value::as_array).flatten();
    let state = entry["State"]["Status"].as_str().context("the output of `container inspect` has no state")?;
    Ok(Container {
        id: text(&entry["Id"]),
        state: state.to_owned(),
        image: text(&entry["Image"]),
        config_hash: text(&entry["Config"]["Labels"][CONFIG_HASH_LABEL]),
        folder: text(&entry["Config"]["Labels"][FOLDER_LABEL]),
        ports: ports.filter_map(|port| port["HostPort"].as_str()?.parse().ok()).collect(),
        environment: entry["Config"]["Env"].as_array().into_iter().flatten().map(text).collect(),
        restarts: entry["RestartCount"].as_u64().unwrap_or_default(),
        started: text(&entry["State"]["StartedAt"]),
        process: entry["State"]["Pid"].as_u64().and_then(|id| u32::try_from(id).ok()).filter(|id| *id != 0),
        ended: text(&entry["State"]["FinishedAt"]),
        exit_code: entry["State"]["ExitCode"].as_i64().unwrap_or_default(),
        out_of_memory: entry["State"]["OOMKilled"].as_bool().unwrap_or_default(),
    })
}

/// Parses the output of `image inspect`: the image ID of each name.
pub(super) fn images(json: &str) -> Result<BTreeMap<String, String>> {
    let mut ids = BTreeMap::new();
    for entry in list(json)? {
        let id = entry["Id"].as_str().context("the output of `image inspect` has no ID")?;
        let names = entry["RepoTags"].as_array().into_iter().flatten().filter_map(Value::as_str);
        ids.extend(names.map(|name| (name.to_owned(), id.to_owned())));
    }
    Ok(ids)
}

/// A network, as `network inspect` describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Network {
    /// Its containers have IPv6 addresses.
    pub(super) ipv6: bool,
    /// It has no way out.
    pub(super) internal: bool,
    /// podman keeps it apart from other such networks.
    pub(super) isolated: bool,
}

/// Parses the output of `network inspect` for one network.
pub(super) fn network(json: &str) -> Result<Option<Network>> {
    Ok(list(json)?.first().map(|network| {
        let is = |podman: &str, docker: &str| network[podman].as_bool().or(network[docker].as_bool()).unwrap_or(false);
        Network {
            ipv6: is("ipv6_enabled", "EnableIPv6"),
            internal: is("internal", "Internal"),
            isolated: network["options"]["isolate"] == "true",
        }
    }))
}

/// Parses the output of `pod inspect` for one pod: whether it has no container but its own.
pub(super) fn is_empty_pod(json: &str) -> Result<bool> {
    let pod: Value = serde_json::from_str(json).context("the output of `pod inspect` is not JSON")?;
    // An array from podman 5 on.
    let pod = pod.get(0).unwrap_or(&pod);
    let own = &pod["InfraContainerID"];
    Ok(pod["Containers"].as_array().into_iter().flatten().all(|container| container["Id"] == *own))
}

fn list(json: &str) -> Result<Vec<Value>> {
    serde_json::from_str(json).context("the output of `inspect` is not a JSON array")
}

/// Parses the output of `podman events --format json`, an object a line: the exit code of the last one. The first line may be
/// cut off.
pub(super) fn last_exit_code(lines: &str) -> Option<i64> {
    let events = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.filter_map(|event| event["ContainerExitCode"].as_i64()).next_back()
}

/// Whether the errors of an engine say only that there is no such container, image, volume, network or pod.
pub(super) fn is_absent(stderr: &str) -> bool {
    const WORDS: [&str; 7] = [
        "no such container",
        "no such object",
        "no such image",
        "image not known",
        "no such volume",
        "no such network",
        "no such pod",
    ];
    let stderr = stderr.to_lowercase();
    let mut errors = stderr.lines().filter(|line| line.starts_with("error")).peekable();
    let absent = |line: &str| {
        WORDS.iter().any(|words| line.contains(words)) || line.contains("network") && line.contains("not found")
    };
    errors.peek().is_some() && errors.all(absent)
}

/// Whether the errors of an engine say that a network has containers.
pub(super) fn is_in_use(stderr: &str) -> bool {
    let stderr = stderr.to_lowercase();
    ["network is being used", "active endpoints"].iter().any(|words| stderr.contains(words))
}

/// Whether the errors of an engine say that another network has addresses of the requested subnet.
pub(super) fn is_overlapping(stderr: &str) -> bool {
    let stderr = stderr.to_lowercase();
    ["overlap", "already used", "already being used"].iter().any(|words| stderr.contains(words))
}

/// The hint for errors of an engine whose words do not name the cause or the remedy.
pub(super) fn hint(engine: EngineKind, stderr: &str) -> Option<&'static str> {
    let lower = stderr.to_lowercase();
    if lower.contains("no space left on device") || lower.contains("disk quota exceeded") {
        return Some(match engine {
            EngineKind::Podman => {
                "the disk is full: free some space where podman keeps images (podman info: graphRoot) and in its \
                 temporary folder (TMPDIR); loaded images stay"
            }
            EngineKind::Docker => {
                "the disk is full: free some space where Docker keeps images (docker info: Docker Root Dir, or \
                 /var/lib/containerd); loaded images stay"
            }
        });
    }
    // podman reports this when it could not unpack the archive.
    if lower.contains("does not match any of the supported image formats") {
        return Some("podman's temporary folder has too little space for the images: set TMPDIR to another folder");
    }
    // pasta copies the addresses and routes of one interface of the host, and has chosen one that leads nowhere.
    if lower.contains("couldn't set ipv4 route") || lower.contains("couldn't set ipv6 route") {
        return Some(
            "pasta, podman's network for ordinary users, chose an interface without a route, such as an idle docker0: name \
             another one in ~/.config/containers/containers.conf, below [network]: pasta_options = [\"--interface\", \
             \"eth0\"], or use slirp4netns: default_rootless_network_cmd = \"slirp4netns\"",
        );
    }
    if lower.contains("address already in use") || lower.contains("port is already allocated") {
        return Some("another program uses the port: choose another one with --port NAME=NUMBER");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_of_both_engines_are_parsed() {
        let podman = r#"[{"Id": "ef01", "Name": "shop_web", "State": {"Status": "running", "ExitCode": 3, "Pid": 77, "OOMKilled": true,
            "StartedAt": "2026-11-26T21:00:00.123456789+01:00"}, "RestartCount": 2, "Image": "ab12",
            "Config": {"Env": ["A=1"],
            "Labels": {"org.sealift.made-from": "cd", "com.docker.compose.project.working_dir": "/srv/x"}},
            "HostConfig": {"PortBindings": {"8443/tcp": [{"HostIp": "0.0.0.0", "HostPort": "443"}], "8080/tcp": null}}}]"#;
        let found = containers(podman).unwrap().remove("shop_web").unwrap();
        let expected = Container {
            id: "ef01".into(),
            state: "running".into(),
            image: "ab12".into(),
            config_hash: "cd".into(),
            folder: "/srv/x".into(),
            ports: [443].into(),
            environment: vec!["A=1".into()],
            restarts: 2,
            started: "2026-11-26T21:00:00.123456789+01:00".into(),
            ended: String::new(),
            process: Some(77),
            exit_code: 3,
            out_of_memory: true,
        };
        assert_eq!(found, expected);
        assert_eq!(found.seconds_up(1_795_723_207), Some(7));
        let docker = r#"[{"Name": "/shop_web", "State": {"Status": "exited", "Pid": 0}, "Image": "sha256:ab12",
            "Config": {"Labels": null}, "HostConfig": {"PortBindings": null}}]"#;
        let found = containers(docker).unwrap().remove("shop_web").unwrap();
        assert_eq!((found.config_hash.as_str(), found.ports.len(), found.seconds_up(0)), ("", 0, None));
        assert_eq!((found.process, found.out_of_memory), (None, false));
        assert!(containers("").is_err() && containers("[{}]").is_err());
        assert!(containers("[]\n").unwrap().is_empty());
    }

    #[test]
    fn the_exit_code_of_the_last_event_is_found() {
        let events = "Code\":1}\n{\"ContainerExitCode\":7,\"Status\":\"died\"}\n{\"ContainerExitCode\":137,\"Status\":\"died\"}\n";
        assert_eq!(last_exit_code(events), Some(137));
        assert_eq!(last_exit_code("Error: unable to get events\n"), None);
    }

    #[test]
    fn images_are_found_by_each_of_their_names() {
        let found = images(
            r#"[{"Id": "ab12", "RepoTags": ["localhost/a:1", "localhost/b:1"]}, {"Id": "cd", "RepoTags": null}]"#,
        );
        let found = found.unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found["localhost/b:1"], "ab12");
    }

    #[test]
    fn absence_is_recognised_in_the_words_of_each_engine() {
        for stderr in [
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
            assert!(is_absent(stderr), "{stderr}");
        }
        assert!(!is_absent("Cannot connect to the Docker daemon at unix:///var/run/docker.sock."));
        assert!(!is_absent("Error: no such container a\nError: database is locked"));
        assert!(!is_absent("Error: creating runtime static files directory: permission denied"));
    }

    #[test]
    fn networks_of_both_engines_are_parsed() {
        let podman =
            r#"[{"name": "shop_front", "ipv6_enabled": true, "internal": false, "options": {"isolate": "true"}}]"#;
        assert_eq!(network(podman).unwrap(), Some(Network { ipv6: true, internal: false, isolated: true }));
        let docker = r#"[{"Name": "shop_data", "EnableIPv6": false, "Internal": true, "Options": {}}]"#;
        assert_eq!(network(docker).unwrap(), Some(Network { ipv6: false, internal: true, isolated: false }));
        assert_eq!(network("[]").unwrap(), None);
    }

    #[test]
    fn a_pod_with_nothing_but_its_own_container_is_empty() {
        assert!(is_empty_pod(r#"{"Name": "pod_shop", "NumContainers": 0}"#).unwrap());
        assert!(is_empty_pod(r#"[{"InfraContainerID": "ab", "Containers": [{"Id": "ab"}]}]"#).unwrap());
        assert!(!is_empty_pod(r#"{"InfraContainerID": "ab", "Containers": [{"Id": "ab"}, {"Id": "cd"}]}"#).unwrap());
    }

    #[test]
    fn an_interface_without_a_route_has_a_hint() {
        let stderr = "Error: setting up Pasta: pasta failed with exit code 1:\nCouldn't set IPv4 route(s) in guest: Network is unreachable";
        assert!(hint(EngineKind::Podman, stderr).unwrap().contains("pasta_options"));
    }

    #[test]
    fn every_message_of_podman_about_a_full_disk_has_a_hint() {
        let stderr = "Error: payload does not match any of the supported image formats:\n * oci: ...";
        let podman = |stderr| hint(EngineKind::Podman, stderr);
        assert!(podman(stderr).unwrap().contains("TMPDIR"));
        let full = "writing blob: storing: write /var/tmp/x: no space left on device";
        assert!(podman(full).unwrap().contains("full"));
        // Docker does not read TMPDIR of its client.
        assert!(!hint(EngineKind::Docker, full).unwrap().contains("TMPDIR"));
        assert_eq!(podman("Error: something else"), None);
    }
}
