//! The arguments that create containers, the network and volumes. podman and Docker accept the same ones.
//!
//! They come from the same model as `compose.yaml` ([`super::compose`]) and create the same containers, with the same names
//! and with compose's own labels: compose finds the containers of `sealift up`, and the reverse.

use std::collections::BTreeMap;

use super::compose::health_line;
use crate::profile::model::{Health, Model, Service};
use crate::profile::names::{
    PROJECT_VARIABLE, address_variable, default_port, image_name, mounted_path, port_variable, project_name,
};

/// What differs between hosts: names, the folder and the variables of `.env`.
#[derive(Clone, Debug)]
pub struct HostLayout {
    /// The prefix of the names of containers, volumes and the network.
    pub project: String,
    /// Absolute path of the folder that the bundle was unpacked into.
    pub folder: String,
    /// The variables of `.env`: addresses and ports.
    pub variables: BTreeMap<String, String>,
}

impl HostLayout {
    /// The layout of a bundle in `folder` whose `.env` has these variables.
    #[must_use]
    pub fn new(model: &Model, folder: &str, variables: BTreeMap<String, String>) -> Self {
        let own = variables.get(PROJECT_VARIABLE).filter(|name| !name.is_empty()).cloned();
        Self { project: own.unwrap_or_else(|| project_name(model)), folder: folder.to_owned(), variables }
    }

    /// The name of a service's container or of a volume on the host: `parsec-standalone_parsec-server`.
    #[must_use]
    pub fn resource_name(&self, name: &str) -> String {
        format!("{}_{name}", self.project)
    }

    /// The name of the network that all services are on.
    #[must_use]
    pub fn network(&self) -> String {
        self.resource_name("default")
    }

    fn labels(&self, kind: &str, name: &str) -> [String; 3] {
        let project = &self.project;
        [
            format!("com.docker.compose.project={project}"),
            format!("io.podman.compose.project={project}"),
            format!("com.docker.compose.{kind}={name}"),
        ]
    }
}

/// The arguments of `network create`.
#[must_use]
pub fn network(layout: &HostLayout) -> Vec<String> {
    labelled(&layout.labels("network", "default"), layout.network())
}

/// The arguments of `volume create` for a volume of the profile.
#[must_use]
pub fn volume(layout: &HostLayout, name: &str) -> Vec<String> {
    labelled(&layout.labels("volume", name), layout.resource_name(name))
}

fn labelled(labels: &[String], name: String) -> Vec<String> {
    let mut arguments = Vec::new();
    labels.iter().for_each(|label| arguments.extend(["--label".to_owned(), label.clone()]));
    arguments.push(name);
    arguments
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
pub fn create(model: &Model, name: &str, layout: &HostLayout) -> Vec<String> {
    let service = &model.services[name];
    let mut options = Options::default();
    options.add("--name", layout.resource_name(name));
    options.add("--restart", "unless-stopped");
    options.add("--network-alias", name);
    options.service(model, name, service, layout);
    options.add("--label", "com.docker.compose.oneoff=False");
    options.add("--label", "com.docker.compose.container-number=1");
    for (port, inside) in &service.publish {
        options.add("--publish", published(model, port.get_ref(), *inside, &layout.variables));
    }
    service.health.iter().for_each(|health| options.health(health));
    options.image(model, service, &service.command)
}

/// The arguments of `run` for a container that runs one command beside the service's own container, which may be running. It
/// has no name, ports, restart policy or health check.
#[must_use]
pub fn run_once(model: &Model, name: &str, layout: &HostLayout, command: &[String]) -> Vec<String> {
    let service = &model.services[name];
    let mut options = Options::default();
    options.service(model, name, service, layout);
    options.add("--label", "com.docker.compose.oneoff=True");
    options.image(model, service, command)
}

#[derive(Default)]
struct Options(Vec<String>);

impl Options {
    fn add(&mut self, option: &str, value: impl Into<String>) {
        self.0.extend([option.to_owned(), value.into()]);
    }

    /// The options that all containers of a service have.
    fn service(&mut self, model: &Model, name: &str, service: &Service, layout: &HostLayout) {
        // Programs run as their own users from the start: they need no capability, and none may be gained.
        for (option, value) in [
            ("--pull", "never"),
            ("--hostname", name),
            ("--network", layout.network().as_str()),
            ("--cap-drop", "ALL"),
            ("--security-opt", "no-new-privileges:true"),
        ] {
            self.add(option, value);
        }
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

/// The value of `--publish`. As for compose, empty variables count as not set.
fn published(model: &Model, name: &str, inside: u16, variables: &BTreeMap<String, String>) -> String {
    let (address, port) = default_port(model, name, inside);
    let or = |variable: String, default: String| {
        variables.get(&variable).filter(|value| !value.is_empty()).cloned().unwrap_or(default)
    };
    format!("{}:{}:{inside}", or(address_variable(name), address), or(port_variable(name), port.to_string()))
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
        let containers = ["shop-web", "shop-database"].map(|name| lines(&create(&model, name, &layout)));
        let task = &model.tasks["migrate"];
        let task = lines(&run_once(&model, task.service.get_ref(), &layout, &task.command));
        let around = [network(&layout), volume(&layout, "orders")].map(|arguments| lines(&arguments));
        insta::assert_snapshot!([containers.join("\n\n"), task, around.join("\n\n")].join("\n\n"));
    }

    #[test]
    fn the_project_variable_of_the_host_changes_all_names() {
        assert_eq!(layout(&[("SEALIFT_PROJECT", "mine")]).network(), "mine_default");
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
