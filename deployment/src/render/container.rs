//! The arguments that create containers and volumes. podman and Docker accept the same ones.
//!
//! They come from the same model as `compose.yaml` ([`super::compose`]) and create the same containers, with the same names
//! and with compose's own labels: compose finds the containers of `sealift up`, and the reverse.

use std::collections::{BTreeMap, BTreeSet};

use super::compose::health_line;
use super::network;
use crate::profile::model::{Health, Model, Service};
use crate::profile::names::{
    PROJECT_VARIABLE, address_variable, bracketed, default_port, image_name, mounted_path, port_variable, project_name,
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
        }
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

/// The arguments of `create` for the container of a service. The image and its command come last, so further options go
/// before them.
///
/// They hold no secrets, only the names of files.
#[must_use]
pub fn create(model: &Model, name: &str, layout: &HostLayout, networks: Networks) -> Vec<String> {
    let service = &model.services[name];
    let mut options = Options::default();
    options.add("--name", layout.resource_name(name));
    options.add("--restart", "unless-stopped");
    options.add("--network-alias", name);
    options.add("--stop-timeout", service.stop_grace.to_string());
    options.service(model, name, service, layout, networks);
    options.add("--label", "com.docker.compose.oneoff=False");
    options.add("--label", "com.docker.compose.container-number=1");
    for (port, inside) in &service.publish {
        options.add("--publish", published(model, service, port.get_ref(), *inside, layout));
    }
    service.health.iter().for_each(|health| options.health(health));
    options.image(model, service, &service.command)
}

/// The arguments of `run` for a container that runs one command beside the service's own container, which may be running. It
/// has no name, ports, restart policy or health check.
#[must_use]
pub fn run_once(model: &Model, name: &str, layout: &HostLayout, networks: Networks, command: &[String]) -> Vec<String> {
    let service = &model.services[name];
    let mut options = Options::default();
    options.service(model, name, service, layout, networks);
    options.add("--label", "com.docker.compose.oneoff=True");
    options.image(model, service, command)
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
    let others = network::of_service(model, &model.services[name]).into_iter().skip(1);
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

    /// The options that all containers of a service have.
    fn service(&mut self, model: &Model, name: &str, service: &Service, layout: &HostLayout, networks: Networks) {
        // Programs run as their own users from the start: they need no capability, and none may be gained.
        for (option, value) in [
            ("--pull", "never"),
            ("--hostname", name),
            ("--cap-drop", "ALL"),
            ("--security-opt", "no-new-privileges:true"),
        ] {
            self.add(option, value);
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
            self.file(layout, &path, &format!("/run/secrets/{name}"));
        }
        for (template, path) in &service.config_files {
            self.file(layout, template.get_ref(), path);
        }
        for (volume, path) in &service.volumes {
            self.add("--mount", mount(&["type=volume", &source(&layout.resource_name(volume)), &target(path)]));
        }
        for label in layout.labels("service", name) {
            self.add("--label", label);
        }
        self.add("--label", format!("{FOLDER_LABEL}={}", layout.folder));
        self.add("--label", "com.docker.compose.project.config_files=compose.yaml");
    }

    /// Mounts a file of the site. Unlike `--volume`, this does not create a folder when the file is missing.
    fn file(&mut self, layout: &HostLayout, path: &str, inside: &str) {
        let from = source(&format!("{}/site/{path}", layout.folder));
        self.add("--mount", mount(&["type=bind", &from, &target(inside), "readonly"]));
    }

    fn health(&mut self, health: &Health) {
        self.add("--health-cmd", health_line(health));
        self.add("--health-interval", format!("{}s", health.interval));
        self.add("--health-timeout", format!("{}s", health.timeout));
        self.add("--health-retries", health.retries.to_string());
        self.add("--health-start-period", format!("{}s", health.start_period));
    }

    fn image(mut self, model: &Model, service: &Service, command: &[String]) -> Vec<String> {
        self.0.push(image_name(model, service.image.get_ref()));
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
    let has_ipv6 = network::of_service(model, service).into_iter().any(|network| layout.ipv6.contains(network));
    if address == "0.0.0.0" && has_ipv6 {
        return format!("{port}:{inside}");
    }
    format!("{}:{port}:{inside}", bracketed(&address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::sample;

    fn layout(variables: &[(&str, &str)]) -> HostLayout {
        let variables = variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        HostLayout::new(&sample(), "/srv/shop", variables)
    }

    /// An option and its value in a line.
    fn lines(arguments: &[String]) -> String {
        let mut text = String::new();
        for argument in arguments {
            text += if argument.starts_with("--") || text.is_empty() { "\n" } else { " " };
            text += argument;
        }
        text.trim().to_owned()
    }

    #[test]
    fn the_sample_as_engines_see_it() {
        let (model, layout) = (sample(), layout(&[("SEALIFT_HTTPS_PORT", "8443"), ("SEALIFT_ADMIN_PORT", "")]));
        let containers = ["shop-web", "shop-database"].map(|name| lines(&create(&model, name, &layout, Networks::All)));
        let task = &model.tasks["migrate"];
        let task = lines(&run_once(&model, task.service.get_ref(), &layout, Networks::All, &task.command));
        let networks =
            network::names(&model).into_iter().map(|name| lines(&network::create(&model, name, &layout, None)));
        let networks: Vec<String> = networks.collect();
        let volume = lines(&volume(&layout, "orders"));
        insta::assert_snapshot!([containers.join("\n\n"), task, networks.join("\n\n"), volume].join("\n\n"));
    }

    #[test]
    fn docker_connects_a_container_to_its_other_networks() {
        let (model, layout) = (sample(), layout(&[]));
        let first = lines(&create(&model, "shop-web", &layout, Networks::First));
        assert_eq!(first.matches("--network ").count(), 1, "{first}");
        let others = connect(&model, "shop-web", &layout, "shop-small_shop-web", Some("shop-web"));
        let others: Vec<String> = others.iter().map(|arguments| arguments.join(" ")).collect();
        insta::assert_snapshot!(others.join("\n"), @"
        connect --alias shop-web shop-small_data shop-small_shop-web
        connect --alias shop-web shop-small_outside shop-small_shop-web
        ");
        assert!(connect(&model, "shop-database", &layout, "x", None).is_empty());
    }

    #[test]
    fn all_addresses_are_those_of_ipv6_too() {
        let model = sample();
        let published = |variables: &[(&str, &str)], ipv6: &str| {
            let layout = HostLayout { ipv6: [ipv6.to_owned()].into(), ..layout(variables) };
            let arguments = create(&model, "shop-web", &layout, Networks::All);
            let values = arguments.iter().zip(&arguments[1..]).filter(|(option, _)| *option == "--publish");
            values.map(|(_, value)| value.clone()).collect::<Vec<_>>().join(" ")
        };
        let admin = "127.0.0.1:8080:8080";
        assert_eq!(published(&[], "front"), format!("{admin} 443:8443"));
        assert_eq!(published(&[], "other"), format!("{admin} 0.0.0.0:443:8443"));
        for written in ["::", "[::]"] {
            let found = published(&[("SEALIFT_HTTPS_ADDRESS", written)], "front");
            assert_eq!(found, format!("{admin} [::]:443:8443"));
        }
    }

    #[test]
    fn the_project_variable_of_the_host_changes_all_names() {
        assert_eq!(layout(&[("SEALIFT_PROJECT", "mine")]).resource_name("web"), "mine_web");
        assert_eq!(layout(&[("SEALIFT_PROJECT", "")]).resource_name("web"), "shop-small_web");
    }

    #[test]
    fn paths_with_characters_of_csv_are_quoted() {
        assert_eq!(
            mount(&["type=bind", &source("/a,b/\"c\""), "readonly"]),
            r#"type=bind,"source=/a,b/""c""",readonly"#
        );
        assert_eq!(mount(&["type=bind", &source("/a:b")]), "type=bind,source=/a:b");
    }
}
