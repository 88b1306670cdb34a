//! What an engine tells about itself and its host, as pure functions.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::ui::total;

/// An engine's information about itself and its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EngineInfo {
    /// It runs as an ordinary user, for whom the kernel maps user and group numbers.
    pub(super) rootless: bool,
    /// As OCI writes it: `amd64`.
    pub(super) architecture: String,
    /// The folder of volumes, and of images unless `containerd` is another one.
    pub(super) storage: PathBuf,
    /// The folder of containerd's image store, where Docker uses it.
    pub(super) containerd: Option<PathBuf>,
    /// The storage driver: `overlay`, `vfs`.
    pub(super) driver: String,
    /// The folder that podman unpacks archives into first; `None` for Docker.
    pub(super) temporary: Option<PathBuf>,
    /// Docker's log driver; empty for podman.
    pub(super) log_driver: String,
    /// The OCI runtime: `crun`, `runc`; empty where the engine does not report it.
    pub(super) runtime: String,
    /// How many user numbers containers have, when they are mapped.
    pub(super) ids: Option<u64>,
    /// Docker maps the user and group numbers of all containers (`userns-remap`).
    pub(super) remapped: bool,
    /// It gives containers SELinux labels, where the host has SELinux.
    pub(super) selinux: bool,
    /// The engine runs on another machine, or in a virtual one.
    pub(super) remote: bool,
}

/// Parses the output of `podman info --format json`.
pub(super) fn podman_info(json: &str) -> Result<EngineInfo> {
    let info: Value = serde_json::from_str(json).context("the output of `podman info` is not JSON")?;
    let (host, store) = (&info["host"], &info["store"]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let rootless = host["security"]["rootless"].as_bool().unwrap_or(false);
    let map = host["idMappings"]["uidmap"].as_array();
    let ids = total(map.into_iter().flatten().filter_map(|range| range["size"].as_u64()));
    Ok(EngineInfo {
        rootless,
        architecture: text(&host["arch"]),
        storage: text(&store["graphRoot"]).into(),
        containerd: None,
        driver: text(&store["graphDriverName"]),
        temporary: Some(store["imageCopyTmpDir"].as_str().unwrap_or("/var/tmp").into()),
        log_driver: String::new(),
        runtime: text(&host["ociRuntime"]["name"]),
        ids: rootless.then_some(ids),
        remapped: false,
        selinux: host["security"]["selinuxEnabled"].as_bool().unwrap_or(false),
        remote: host["serviceIsRemote"].as_bool().unwrap_or(false),
    })
}

/// Parses the output of `docker info --format '{{json .}}'`.
pub(super) fn docker_info(json: &str) -> Result<EngineInfo> {
    let info: Value = serde_json::from_str(json).context("the output of `docker info` is not JSON")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let options = info["SecurityOptions"].as_array();
    let has = |name: &str| options.into_iter().flatten().any(|option| option == name);
    let architecture = match info["Architecture"].as_str().unwrap_or_default() {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    Ok(EngineInfo {
        rootless: has("name=rootless"),
        architecture: architecture.to_owned(),
        storage: text(&info["DockerRootDir"]).into(),
        containerd: containerd_store(&info),
        driver: text(&info["Driver"]),
        temporary: None,
        log_driver: text(&info["LoggingDriver"]),
        runtime: text(&info["DefaultRuntime"]),
        ids: None,
        remapped: has("name=userns"),
        selinux: has("name=selinux"),
        remote: false,
    })
}

/// The folder of containerd's image store, if Docker keeps its images there (`containerd-snapshotter`, the default of new
/// installations of Docker 29). A containerd that Docker starts itself has its folder below Docker's.
fn containerd_store(info: &Value) -> Option<PathBuf> {
    let status = info["DriverStatus"].as_array().into_iter().flatten();
    let mut snapshotters = status.filter(|pair| pair[0] == "driver-type" && pair[1] == "io.containerd.snapshotter.v1");
    snapshotters.next()?;
    let own = info["Containerd"]["Address"].as_str().is_some_and(|socket| socket.contains("/docker/containerd/"));
    Some(match own {
        true => PathBuf::from(info["DockerRootDir"].as_str()?).join("containerd/daemon"),
        false => "/var/lib/containerd".into(),
    })
}

/// The first two numbers of a version: 20 and 10 of `20.10.24+dfsg1`.
pub(super) fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.trim_start_matches('v').split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_information_of_both_engines_is_parsed() {
        let root = r#"{"host": {"arch": "amd64", "idMappings": {"gidmap": null, "uidmap": null}, "ociRuntime": {"name": "runc"},
            "security": {"rootless": false}}, "store": {"graphDriverName": "overlay", "graphRoot": "/var/lib/containers/storage",
            "imageCopyTmpDir": "/var/tmp"}}"#;
        let info = podman_info(root).unwrap();
        assert_eq!((info.rootless, info.ids, info.architecture.as_str()), (false, None, "amd64"));
        assert_eq!(info.temporary, Some("/var/tmp".into()));
        let user = r#"{"host": {"security": {"rootless": true}, "idMappings": {"uidmap": [
            {"container_id": 0, "host_id": 1000, "size": 1}, {"container_id": 1, "host_id": 100000, "size": 65536}]}}}"#;
        assert_eq!(podman_info(user).unwrap().ids, Some(65537));
        let info = docker_info(
            r#"{"Architecture": "x86_64", "DockerRootDir": "/var/lib/docker", "Driver": "overlay2",
            "SecurityOptions": ["name=seccomp,profile=default", "name=rootless"]}"#,
        );
        let info = info.unwrap();
        assert_eq!((info.rootless, info.architecture.as_str(), info.driver.as_str()), (true, "amd64", "overlay2"));
    }

    #[test]
    fn the_image_store_of_docker_may_be_that_of_containerd() {
        let store = |status: &str, socket: &str| {
            let json = format!(
                r#"{{"DockerRootDir": "/data/docker", "Driver": "overlayfs", "DriverStatus": {status},
                "Containerd": {{"Address": "{socket}"}}}}"#
            );
            docker_info(&json).unwrap().containerd
        };
        let snapshotter = r#"[["driver-type", "io.containerd.snapshotter.v1"]]"#;
        assert_eq!(store(snapshotter, "/run/containerd/containerd.sock"), Some("/var/lib/containerd".into()));
        let own = store(snapshotter, "/var/run/docker/containerd/containerd.sock");
        assert_eq!(own, Some("/data/docker/containerd/daemon".into()));
        assert_eq!(store(r#"[["Backing Filesystem", "extfs"]]"#, "/run/containerd/containerd.sock"), None);
        assert_eq!(store("null", ""), None);
    }

    #[test]
    fn versions_have_two_numbers() {
        assert_eq!(version("20.10.24+dfsg1"), Some((20, 10)));
        assert_eq!(version("4.3.1"), Some((4, 3)));
        assert_eq!(version("v5.0-dev"), Some((5, 0)));
        assert_eq!(version("unknown"), None);
    }
}
