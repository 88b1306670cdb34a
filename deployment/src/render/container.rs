//! The arguments that create containers and volumes. podman and Docker accept the same ones.
//!
//! They come from the same model as `compose.yaml` ([`super::compose`]) and create the same containers, with the same names
//! and with compose's own labels: compose finds the containers of `sealift up`, and the reverse.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use super::compose::{health_array, health_line};
use super::network;
use crate::profile::model::{Health, Log, Model, PROBE, Service, Task, Ulimit, range};
use crate::profile::names::{
    PROGRAM, PROJECT_VARIABLE, address_variable, bracketed, default_port, image_name, mounted_path, path_for,
    path_variable, port_variable, project_name,
};

/// What differs between hosts: names, the folder and the variables of `.env`.
#[derive(Clone, Debug)]
pub struct HostLayout {
    /// The prefix of the names of containers, volumes and networks.
    pub project: String,
    /// Absolute path of the folder that the bundle was unpacked into.
    pub folder: String,
    /// The variables of `.env`: addresses and ports.
    pub variables: BTreeMap<String, String>,
    /// Networks of the profile that have IPv6 on this host.
    pub ipv6: BTreeSet<String>,
    /// The engine whose arguments are made, where engines differ.
    pub dialect: Dialect,
}

/// Engines that take some options in forms of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// podman.
    #[default]
    Podman,
    /// Docker.
    Docker,
}

impl HostLayout {
    /// The layout of a bundle in `folder` whose `.env` has these variables.
    #[must_use]
    pub fn new(model: &Model, folder: &str, variables: BTreeMap<String, String>) -> Self {
        let own = variables.get(PROJECT_VARIABLE).filter(|name| !name.is_empty()).cloned();
        Self {
            project: own.unwrap_or_else(|| project_name(model)),
            folder: folder.to_owned(),
            variables,
            ipv6: BTreeSet::new(),
            dialect: Dialect::default(),
        }
    }

    /// The host's folder of a setting: that of `.env`, else the profile's default.
    #[must_use]
    pub fn host_path(&self, model: &Model, setting: &str) -> Option<String> {
        let own = self.variables.get(&path_variable(setting)).filter(|path| !path.is_empty()).cloned();
        own.or_else(|| Some(model.site.settings.get(setting)?.default.as_ref()?.as_str()?.to_owned()))
    }

    /// The name of a service's container, a volume or a network on the host: `parsec-standalone_parsec-server`.
    #[must_use]
    pub fn resource_name(&self, name: &str) -> String {
        format!("{}_{name}", self.project)
    }

    pub(super) fn labels(&self, kind: &str, name: &str) -> [String; 3] {
        let project = &self.project;
        [
            format!("com.docker.compose.project={project}"),
            format!("io.podman.compose.project={project}"),
            format!("com.docker.compose.{kind}={name}"),
        ]
    }
}

/// The arguments of `volume create` for a volume of the profile.
#[must_use]
pub fn volume(layout: &HostLayout, name: &str) -> Vec<String> {
    let labels = layout.labels("volume", name).into_iter().flat_map(|label| ["--label".to_owned(), label]);
    labels.chain([layout.resource_name(name)]).collect()
}

/// Which of its networks a container is created on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Networks {
    /// All of them.
    All,
    /// The first one: Docker before version 25 accepts no more. The container is connected to the others ([`connect`])
    /// before it starts.
    First,
}

/// The label with the digest of a container's configuration. Containers that were created by hand do not have it. Its text
/// stays as it is: containers on hosts have it.
pub const CONFIG_HASH_LABEL: &str = "org.sealift.made-from";

/// The label that holds the deployment folder of a container: compose's own.
pub const FOLDER_LABEL: &str = "com.docker.compose.project.working_dir";

/// Options of `create` that record the digest (in hex) of a container's configuration.
///
/// Docker's compose 2 ignores containers without its own label for that. With another hash than its own, it recreates them.
#[must_use]
pub fn config_hash_labels(digest: &str) -> Vec<String> {
    let labels = [CONFIG_HASH_LABEL, "com.docker.compose.config-hash"];
    labels.iter().flat_map(|label| ["--label".to_owned(), format!("{label}={digest}")]).collect()
}

/// The arguments of `create` for the container of a service, or of one of its replicas. The image and its command come last, so further options go
/// before them.
///
/// They hold no secrets, only the names of files.
#[must_use]
pub fn create(model: &Model, instance: &str, layout: &HostLayout, networks: Networks) -> Vec<String> {
    let (name, number) = model.service_of(instance);
    let service = &model.services[name];
    let mut options = Options::default();
    options.add("--name", layout.resource_name(instance));
    options.add("--restart", service.restart_policy());
    if service.host_network.is_none() {
        // Replicas share it: the engine's DNS gives the addresses of all that run.
        options.add("--network-alias", name);
    }
    options.add("--stop-timeout", service.stop_grace.to_string());
    options.service(model, (name, instance), layout, networks);
    options.add("--label", "com.docker.compose.oneoff=False");
    options.add("--label", format!("com.docker.compose.container-number={number}"));
    for (port, inside) in &service.publish {
        options.add("--publish", published(model, service, port.get_ref(), *inside, layout));
    }
    service.health.iter().for_each(|health| options.health(health, layout));
    service.labels.iter().for_each(|(name, value)| options.add("--label", format!("{}={value}", name.get_ref())));
    options.image(model, service, service.entrypoint.as_deref(), &service.command)
}

/// The options of `create` that keep the log of a service small. `driver` is Docker's log driver: those that keep files on
/// the host are told how many. podman has one file, which it begins anew at its largest size.
#[must_use]
pub fn log_options(service: &Service, dialect: Dialect, driver: &str) -> Vec<String> {
    let Log { size, files } = &service.log;
    let options = match dialect {
        Dialect::Podman => vec![format!("max-size={}", size.0.saturating_mul(u64::from(*files)))],
        Dialect::Docker if ["json-file", "local"].contains(&driver) => {
            vec![format!("max-size={size}"), format!("max-file={files}")]
        }
        Dialect::Docker => Vec::new(),
    };
    options.into_iter().flat_map(|option| ["--log-opt".to_owned(), option]).collect()
}

/// The arguments of `run` for a container that runs one command beside the service's own container, which may be running. It
/// has no name, ports, restart policy or health check.
#[must_use]
pub fn run_once(
    model: &Model,
    task: &Task,
    layout: &HostLayout,
    networks: Networks,
    command: &[String],
) -> Vec<String> {
    let name = task.service.get_ref().as_str();
    let service = &model.services[name];
    let mut options = Options::default();
    // Engines resolve a container's own host name to itself: with the service's, the task could not reach the service.
    options.service(model, (name, &format!("{name:.58}-task")), layout, networks);
    options.add("--label", "com.docker.compose.oneoff=True");
    let entrypoint = Some(&task.entrypoint[..]).filter(|words| !words.is_empty()).or(service.entrypoint.as_deref());
    options.image(model, service, entrypoint, command)
}

/// The arguments of `network` that connect a container of a service, created with [`Networks::First`], to its other
/// networks. The service's own container has its `alias` there.
#[must_use]
pub fn connect(
    model: &Model,
    name: &str,
    layout: &HostLayout,
    container: &str,
    alias: Option<&str>,
) -> Vec<Vec<String>> {
    let others = network::of_service(model, model.service(name)).into_iter().skip(1);
    let connect = |other: &str| {
        let alias = alias.into_iter().flat_map(|alias| ["--alias".to_owned(), alias.to_owned()]);
        let ends = [layout.resource_name(other), container.to_owned()];
        std::iter::once("connect".to_owned()).chain(alias).chain(ends).collect()
    };
    others.map(connect).collect()
}

#[derive(Default)]
struct Options(Vec<String>);

impl Options {
    fn add(&mut self, option: &str, value: impl Into<String>) {
        self.0.extend([option.to_owned(), value.into()]);
    }

    /// The options that all containers of a service have. Of the names, the first is the service's, the second its host name.
    fn service(&mut self, model: &Model, (name, host): (&str, &str), layout: &HostLayout, networks: Networks) {
        let service = &model.services[name];
        self.add("--pull", "never");
        self.add("--hostname", host);
        self.privileges(service);
        self.limits(service);
        if service.host_network.is_some() {
            self.add("--network", "host");
        }
        let all = network::of_service(model, service);
        let number = if networks == Networks::All { all.len() } else { 1 };
        all.iter().take(number).for_each(|network| self.add("--network", layout.resource_name(network)));
        if service.read_only {
            self.0.push("--read-only".to_owned());
        }
        service.tmpfs.iter().for_each(|path| self.add("--tmpfs", path));
        // Files, not single variables: those would be seen in the list of processes, and some names would change the
        // behavior of the engine's own program. The site has only files that all engines and compose read alike.
        for template in &service.env_files {
            self.add("--env-file", format!("{}/site/{}", layout.folder, template.get_ref()));
        }
        service.environment.iter().for_each(|(key, value)| self.add("--env", format!("{key}={value}")));
        for secret in &service.secrets {
            let name = secret.get_ref();
            // The check of the profile refuses names that the site does not have.
            let path = mounted_path(model, name).unwrap_or_else(|| format!("secrets/{name}"));
            self.file(layout, &path_for(model, service, &path), &format!("/run/secrets/{name}"));
        }
        for (template, path) in &service.config_files {
            self.file(layout, &path_for(model, service, template.get_ref()), path);
        }
        for (folder, path) in &service.site_files {
            self.file(layout, &format!("files/{}", folder.get_ref()), path);
        }
        for (volume, path) in &service.volumes {
            self.add("--mount", mount(&["type=volume", &source(&layout.resource_name(volume)), &target(path)]));
        }
        for (setting, place) in &service.paths {
            // Without it, the start has been refused.
            let Some(from) = layout.host_path(model, setting.get_ref()) else { continue };
            let (from, to) = (source(&from), target(place.path()));
            let fields = ["type=bind", &from, &to, "readonly"];
            self.add("--mount", mount(if place.is_writable() { &fields[..3] } else { &fields }));
        }
        for label in layout.labels("service", name) {
            self.add("--label", label);
        }
        self.add("--label", format!("{FOLDER_LABEL}={}", layout.folder));
        self.add("--label", "com.docker.compose.project.config_files=compose.yaml");
    }

    fn privileges(&mut self, service: &Service) {
        // Programs run as their own users from the start: they need no capability, and none may be gained.
        if service.privileged.is_some() {
            self.0.push("--privileged".to_owned());
        } else {
            self.add("--cap-drop", "ALL");
            service.capabilities.keys().for_each(|name| self.add("--cap-add", name.get_ref()));
            self.add("--security-opt", "no-new-privileges:true");
        }
        service.user.iter().for_each(|user| self.add("--user", user.get_ref()));
        service.groups.iter().for_each(|group| self.add("--group-add", group.to_string()));
        service.devices.keys().for_each(|path| self.add("--device", path.get_ref()));
    }

    fn limits(&mut self, service: &Service) {
        service.memory.iter().for_each(|size| self.add("--memory", size.to_string()));
        service.cpus.iter().for_each(|number| self.add("--cpus", number.to_string()));
        service.pids.iter().for_each(|number| self.add("--pids-limit", number.to_string()));
        for (resource, Ulimit { soft, hard }) in &service.ulimits {
            self.add("--ulimit", format!("{}={soft}:{hard}", resource.get_ref()));
        }
        service.shm_size.iter().for_each(|size| self.add("--shm-size", size.to_string()));
        service.sysctls.iter().for_each(|(key, value)| self.add("--sysctl", format!("{}={value}", key.get_ref())));
        for (name, address) in &service.extra_hosts {
            self.add("--add-host", format!("{}:{address}", name.get_ref()));
        }
    }

    /// Mounts a file or folder of the site. Unlike `--volume`, this does not create a folder when the file is missing.
    fn file(&mut self, layout: &HostLayout, path: &str, inside: &str) {
        let from = source(&format!("{}/site/{path}", layout.folder));
        self.add("--mount", mount(&["type=bind", &from, &target(inside), "readonly"]));
    }

    fn health(&mut self, health: &Health, layout: &HostLayout) {
        let array = if layout.dialect == Dialect::Podman { health_array(health) } else { None };
        self.add("--health-cmd", array.unwrap_or_else(|| health_line(health)));
        if health.is_probe() {
            let program = source(&format!("{}/{PROGRAM}", layout.folder));
            self.add("--mount", mount(&["type=bind", &program, &target(PROBE), "readonly"]));
        }
        self.add("--health-interval", format!("{}s", health.interval));
        self.add("--health-timeout", format!("{}s", health.timeout));
        self.add("--health-retries", health.retries.to_string());
        self.add("--health-start-period", format!("{}s", health.start_period));
    }

    /// The image and the command. Engines take one word as the entrypoint, and drop the image's command then.
    fn image(
        mut self,
        model: &Model,
        service: &Service,
        entrypoint: Option<&[String]>,
        command: &[String],
    ) -> Vec<String> {
        let entrypoint = entrypoint.and_then(<[String]>::split_first);
        entrypoint.iter().for_each(|(program, _)| self.add("--entrypoint", *program));
        self.0.push(image_name(model, service.image.get_ref()));
        entrypoint.iter().for_each(|(_, fixed)| self.0.extend_from_slice(fixed));
        self.0.extend_from_slice(command);
        self.0
    }
}

fn source(text: &str) -> String {
    format!("source={text}")
}

fn target(text: &str) -> String {
    format!("target={text}")
}

/// The value of `--mount`, which engines read as a line of CSV (RFC 4180).
fn mount(fields: &[&str]) -> String {
    let field = |text: &&str| match text.contains([',', '"', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => (*text).to_owned(),
    };
    fields.iter().map(field).collect::<Vec<_>>().join(",")
}

/// The value of `--publish`. As for compose, empty variables count as not set. `0.0.0.0` stands for all addresses of the host:
/// those of IPv6, too, where the service has a network with IPv6. Engines take a port without an address so; both addresses
/// side by side make podman 5 list some rules twice, and fail when it removes them.
fn published(model: &Model, service: &Service, name: &str, inside: u16, layout: &HostLayout) -> String {
    let (address, port) = default_port(model, name, inside);
    let or = |variable: String, default: String| {
        layout.variables.get(&variable).filter(|value| !value.is_empty()).cloned().unwrap_or(default)
    };
    let (address, port) = (or(address_variable(name), address), or(port_variable(name), port.to_string()));
    let (count, suffix) = model.site.ports.get(name).map_or((1, ""), |spec| (spec.count, spec.suffix()));
    // What is no number is left for the engine's message.
    let outside = port.parse().map_or(port, |first| range(first, count));
    let ports = format!("{outside}:{}{suffix}", range(inside, count));
    let has_ipv6 = network::of_service(model, service).into_iter().any(|network| layout.ipv6.contains(network));
    if address == "0.0.0.0" && has_ipv6 {
        return ports;
    }
    format!("{}:{ports}", bracketed(&address))
}
