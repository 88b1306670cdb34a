//! Containers, network and volumes as the engine makes them: arguments that podman and Docker take alike.
//!
//! They come from the model that [`super::compose`] writes `compose.yaml` from, and make what compose makes of that, with
//! the same names and with compose's own labels: compose finds what `sealift up` made, and the other way round.

use std::collections::BTreeMap;

use super::compose::health_line;
use crate::profile::model::{Health, Model, Service};
use crate::profile::names::{
    PROJECT_VARIABLE, address_variable, default_port, image_name, mounted_path, port_variable, project_name,
};

/// What the host decides.
#[derive(Clone, Debug)]
pub struct Place {
    /// What the names of containers, volumes and the network start with.
    pub project: String,
    /// Absolute path of the folder that the bundle was unpacked in.
    pub folder: String,
    /// The variables of `.env`: addresses and ports.
    pub variables: BTreeMap<String, String>,
}

impl Place {
    /// One whose `.env` has these variables.
    #[must_use]
    pub fn new(model: &Model, folder: &str, variables: BTreeMap<String, String>) -> Self {
        let own = variables.get(PROJECT_VARIABLE).filter(|name| !name.is_empty()).cloned();
        Self { project: own.unwrap_or_else(|| project_name(model)), folder: folder.to_owned(), variables }
    }

    /// The name of a service's container, or of a volume.
    #[must_use]
    pub fn named(&self, name: &str) -> String {
        format!("{}_{name}", self.project)
    }

    /// The name of the network that all services are on.
    #[must_use]
    pub fn network(&self) -> String {
        self.named("default")
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
pub fn network(place: &Place) -> Vec<String> {
    labelled(&place.labels("network", "default"), place.network())
}

/// The arguments of `volume create` for a volume of the profile.
#[must_use]
pub fn volume(place: &Place, name: &str) -> Vec<String> {
    labelled(&place.labels("volume", name), place.named(name))
}

fn labelled(labels: &[String], name: String) -> Vec<String> {
    let mut arguments = Vec::new();
    labels.iter().for_each(|label| arguments.extend(["--label".to_owned(), label.clone()]));
    arguments.push(name);
    arguments
}

/// The label that holds what a container was made from. One that was made by hand has none.
pub const MADE_FROM_LABEL: &str = "org.sealift.made-from";

/// Options of `create` that note what a container is made from: a digest in hex.
///
/// Docker's compose 2 passes over containers without the hash of a configuration; one that is not its own only has it make
/// them anew.
#[must_use]
pub fn made_from(digest: &str) -> Vec<String> {
    let labels = [MADE_FROM_LABEL, "com.docker.compose.config-hash"];
    labels.iter().flat_map(|label| ["--label".to_owned(), format!("{label}={digest}")]).collect()
}

/// The arguments of `create` for the container of a service of the profile. Further options go before them, as the image
/// and its arguments come last.
///
/// No secret is among them: they name the files.
#[must_use]
pub fn create(model: &Model, name: &str, place: &Place) -> Vec<String> {
    let service = &model.services[name];
    let mut options = Options::default();
    options.add("--name", place.named(name));
    options.add("--restart", "unless-stopped");
    options.add("--network-alias", name);
    options.service(model, name, service, place);
    options.add("--label", "com.docker.compose.oneoff=False");
    options.add("--label", "com.docker.compose.container-number=1");
    for (port, inside) in &service.publish {
        options.add("--publish", published(model, port.get_ref(), *inside, &place.variables));
    }
    service.health.iter().for_each(|health| options.health(health));
    options.image(model, service, &service.command)
}

/// The arguments of `run` for a container that does one thing beside the service's own, which may be running: as that,
/// but without name, ports, restart and health check.
#[must_use]
pub fn once(model: &Model, name: &str, place: &Place, command: &[String]) -> Vec<String> {
    let service = &model.services[name];
    let mut options = Options::default();
    options.service(model, name, service, place);
    options.add("--label", "com.docker.compose.oneoff=True");
    options.image(model, service, command)
}

#[derive(Default)]
struct Options(Vec<String>);

impl Options {
    fn add(&mut self, option: &str, value: impl Into<String>) {
        self.0.extend([option.to_owned(), value.into()]);
    }

    /// What all containers of a service have.
    fn service(&mut self, model: &Model, name: &str, service: &Service, place: &Place) {
        // Programs run as their own users from the start: they need no capability, and none may be gained.
        for (option, value) in [
            ("--pull", "never"),
            ("--hostname", name),
            ("--network", place.network().as_str()),
            ("--cap-drop", "ALL"),
            ("--security-opt", "no-new-privileges:true"),
        ] {
            self.add(option, value);
        }
        if service.read_only {
            self.0.push("--read-only".to_owned());
        }
        service.tmpfs.iter().for_each(|path| self.add("--tmpfs", path));
        // Read by the engine: what is given one by one would be seen in the list of processes, and a variable that the
        // engine's own program takes as its own must not get into its environment. The site has only such files as all
        // engines and compose read alike.
        for template in &service.env_files {
            self.add("--env-file", format!("{}/site/{}", place.folder, template.get_ref()));
        }
        service.environment.iter().for_each(|(key, value)| self.add("--env", format!("{key}={value}")));
        for secret in &service.secrets {
            let name = secret.get_ref();
            // What the site does not have, the check of the profile has refused.
            let path = mounted_path(model, name).unwrap_or_else(|| format!("secrets/{name}"));
            self.file(place, &path, &format!("/run/secrets/{name}"));
        }
        for (template, path) in &service.config_files {
            self.file(place, template.get_ref(), path);
        }
        for (volume, path) in &service.volumes {
            self.add("--mount", mount(&["type=volume", &source(&place.named(volume)), &target(path)]));
        }
        for label in place.labels("service", name) {
            self.add("--label", label);
        }
        self.add("--label", format!("com.docker.compose.project.working_dir={}", place.folder));
        self.add("--label", "com.docker.compose.project.config_files=compose.yaml");
    }

    /// A file of the site. Unlike `--volume`, this makes no folder in its place when it is not there.
    fn file(&mut self, place: &Place, path: &str, inside: &str) {
        let from = source(&format!("{}/site/{path}", place.folder));
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

/// Engines read the value of `--mount` as a line of CSV (RFC 4180).
fn mount(fields: &[&str]) -> String {
    let field = |text: &&str| match text.contains([',', '"', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => (*text).to_owned(),
    };
    fields.iter().map(field).collect::<Vec<_>>().join(",")
}

/// As compose takes it from the variables: empty ones count as not set.
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

    fn place(variables: &[(&str, &str)]) -> Place {
        let variables = variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        Place::new(&sample(), "/srv/shop", variables)
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
        let (model, place) = (sample(), place(&[("SEALIFT_HTTPS_PORT", "8443"), ("SEALIFT_ADMIN_PORT", "")]));
        let containers = ["shop-web", "shop-database"].map(|name| lines(&create(&model, name, &place)));
        let task = &model.tasks["migrate"];
        let task = lines(&once(&model, task.service.get_ref(), &place, &task.command));
        let around = [network(&place), volume(&place, "orders")].map(|arguments| lines(&arguments));
        insta::assert_snapshot!([containers.join("\n\n"), task, around.join("\n\n")].join("\n\n"));
    }

    #[test]
    fn the_project_is_the_hosts_to_choose() {
        assert_eq!(place(&[("SEALIFT_PROJECT", "mine")]).network(), "mine_default");
        assert_eq!(place(&[("SEALIFT_PROJECT", "")]).named("web"), "shop-small_web");
    }

    #[test]
    fn paths_with_the_characters_of_csv() {
        assert_eq!(
            mount(&["type=bind", &source("/a,b/\"c\""), "readonly"]),
            r#"type=bind,"source=/a,b/""c""",readonly"#
        );
        assert_eq!(mount(&["type=bind", &source("/a:b")]), "type=bind,source=/a:b");
    }
}
