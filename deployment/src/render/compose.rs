//! The compose file, for podman-compose, docker-compose 1.29 and `docker compose`, to run a bundle by hand. `sealift up` does
//! not use it ([`super::container`]).
//!
//! It has only what all three understand alike. There is no `version` (1.29 and later need none) and no `name` (1.29 refuses
//! it). Conditions of dependencies are waited for by docker-compose, `docker compose` and podman-compose from 1.1 on; 1.0
//! starts the dependencies and goes on, so services are restarted until those that they need are ready. Names of containers and volumes are fixed, so that a new version in another
//! folder uses the same data, and a second copy cannot open the same database by accident.

use std::collections::BTreeMap;

use sealift_layers::codec::Codec;
use serde::Serialize;
use toml::Spanned;

use super::network::ISOLATE;
use crate::profile::model::{Condition, Health, Internal, Model, Network, PROBE, Service, Ulimit, range};
use crate::profile::names::{
    PROGRAM, PROJECT_VARIABLE, address_variable, bundle_file, default_port, image_name, internal_variable,
    last_port_variable, mounted_path, path_for, path_variable, port_variable, project_name,
};

#[derive(Serialize)]
struct Compose {
    services: BTreeMap<String, ComposeService>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    networks: BTreeMap<String, ComposeNetwork>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    volumes: BTreeMap<String, Volume>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    secrets: BTreeMap<String, Secret>,
}

#[derive(Serialize)]
struct ComposeService {
    image: String,
    pull_policy: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    container_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deploy: Option<Deploy>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    profiles: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hostname: Option<String>,
    restart: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    entrypoint: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    command: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    group_add: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    environment: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    env_file: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    secrets: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    volumes: Vec<String>,
    #[serde(skip_serializing_if = "is_false")]
    read_only: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tmpfs: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ports: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    networks: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    depends_on: BTreeMap<String, Requirement>,
    stop_grace_period: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    healthcheck: Option<Check>,
    logging: Logging,
    #[serde(flatten)]
    limits: Limits,
    #[serde(flatten)]
    privileges: Privileges,
}

#[derive(Serialize)]
struct Deploy {
    replicas: u32,
}

#[derive(Serialize)]
struct Logging {
    driver: &'static str,
    options: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
struct Limits {
    #[serde(skip_serializing_if = "Option::is_none")]
    mem_limit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpus: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pids_limit: Option<u32>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    ulimits: BTreeMap<String, SoftHard>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shm_size: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    sysctls: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    extra_hosts: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct SoftHard {
    soft: i64,
    hard: i64,
}

#[derive(Serialize)]
struct Privileges {
    #[serde(skip_serializing_if = "Option::is_none")]
    network_mode: Option<&'static str>,
    #[serde(skip_serializing_if = "is_false")]
    privileged: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cap_drop: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cap_add: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    devices: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    security_opt: Vec<&'static str>,
}

#[derive(Serialize)]
struct Requirement {
    condition: &'static str,
}

/// The command of a check.
#[derive(Serialize)]
#[serde(untagged)]
enum Test {
    /// `CMD` and the words of a command, which needs no shell.
    Words(Vec<String>),
    /// A line for the image's shell, as after `CMD-SHELL`. From a list, podman-compose 1.0 takes the first word away for each replica.
    Line(String),
}

#[derive(Serialize)]
struct Check {
    test: Test,
    interval: String,
    timeout: String,
    retries: u32,
    start_period: String,
}

#[derive(Serialize)]
struct ComposeNetwork {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    internal: Option<ComposeInternal>,
    driver_opts: BTreeMap<&'static str, &'static str>,
}

/// A boolean, or a variable of `.env` that holds one.
#[derive(Serialize)]
#[serde(untagged)]
enum ComposeInternal {
    Always(bool),
    Variable(String),
}

#[derive(Serialize)]
struct Volume {
    name: String,
}

#[derive(Serialize)]
struct Secret {
    file: String,
}

/// The text of `compose.yaml` for a profile. `platform` is as OCI writes it; it is used in the header only.
#[must_use]
pub fn render(model: &Model, platform: &str) -> String {
    let networks = model.networks.iter().map(|(name, network)| {
        let name = name.get_ref();
        (name.clone(), compose_network(model, name, network))
    });
    let mut compose = Compose {
        services: BTreeMap::new(),
        networks: networks.collect(),
        volumes: BTreeMap::new(),
        secrets: BTreeMap::new(),
    };
    for (name, service) in &model.services {
        for volume in service.volumes.keys() {
            compose.volumes.insert(volume.clone(), Volume { name: resource_name(model, volume) });
        }
        for secret in &service.secrets {
            let name = secret.get_ref();
            // The check of the profile refuses names that the site does not have.
            let path = mounted_path(model, name).unwrap_or_else(|| format!("secrets/{name}"));
            if path_for(model, service, &path) != path {
                continue;
            }
            compose.secrets.insert(name.clone(), Secret { file: format!("./site/{path}") });
        }
        compose.services.insert(name.get_ref().clone(), compose_service(model, name.get_ref(), service));
    }
    let yaml = serde_saphyr::to_string(&compose).expect("strings, numbers, lists and maps are YAML");
    format!("{}{yaml}", header(model, platform))
}

fn header(model: &Model, platform: &str) -> String {
    format!(
        "# {title}, version {version}.\n\
         # Generated for {bundle}. Do not edit: the next version overwrites changes.\n\
         # Settings of this host are in .env (addresses and ports) and in site/.\n\
         #\n\
         # Start:  podman-compose up -d{services}        or  docker compose up -d\n\
         # Stop:   podman-compose down         or  docker compose down       (the data stays)\n\
         #\n\
         # Images are never pulled: load them first. See README.md.\n\n",
        services = services_for_podman(model),
        title = model.title.lines().next().unwrap_or_default(),
        version = model.version.get_ref(),
        bundle = bundle_file(model, platform, Codec::None),
    )
}

/// What follows `podman-compose up`: version 1.0 knows no profiles, and would run scheduled services at once. Empty without them.
pub(super) fn services_for_podman(model: &Model) -> String {
    let services = || model.services.iter();
    if services().all(|(_, service)| service.schedule().is_none()) {
        return String::new();
    }
    let always = services().filter(|(_, service)| service.schedule().is_none());
    always.map(|(name, _)| format!(" {}", name.get_ref())).collect()
}

fn compose_service(model: &Model, name: &str, service: &Service) -> ComposeService {
    let configs = service
        .config_files
        .iter()
        .map(|(template, path)| format!("./site/{}:{}:ro", path_for(model, service, template.get_ref()), escape(path)));
    let (copies, secrets): (Vec<_>, Vec<_>) = service
        .secrets
        .iter()
        .map(Spanned::get_ref)
        .partition(|name| mounted_path(model, name).is_some_and(|path| path_for(model, service, &path) != path));
    // A secret of compose has one file for all services.
    let copies = copies.into_iter().filter_map(|name| {
        let path = path_for(model, service, &mounted_path(model, name)?);
        Some(format!("./site/{path}:/run/secrets/{name}:ro"))
    });
    let volumes = service.volumes.iter().map(|(volume, path)| format!("{volume}:{}", escape(path)));
    let paths = service.paths.iter().map(|(setting, place)| {
        let mode = if place.is_writable() { "" } else { ":ro" };
        format!("{}:{}{mode}", host_path(model, setting.get_ref()), escape(place.path()))
    });
    let folders = service
        .site_files
        .iter()
        .map(|(folder, path)| format!("./site/files/{}:{}:ro", folder.get_ref(), escape(path)));
    let is_probe = service.health.as_ref().is_some_and(Health::is_probe);
    let probe = is_probe.then(|| format!("./{PROGRAM}:{PROBE}:ro"));
    ComposeService {
        image: image_name(model, service.image.get_ref()),
        pull_policy: "never",
        // Replicas get numbers from compose.
        container_name: (!service.is_replicated()).then(|| resource_name(model, name)),
        deploy: service.is_replicated().then_some(Deploy { replicas: service.replicas }),
        // What is in a profile is started by name only.
        profiles: service.schedule().map(|_| "scheduled").into_iter().collect(),
        hostname: (!service.is_replicated()).then(|| name.to_owned()),
        restart: service.restart_policy(),
        entrypoint: service.entrypoint.as_deref().map(escape_all),
        command: escape_all(&service.command),
        user: service.user.as_ref().map(|user| user.get_ref().clone()),
        group_add: service.groups.iter().map(u32::to_string).collect(),
        environment: service.environment.iter().map(|(key, value)| (key.clone(), escape(value))).collect(),
        env_file: service.env_files.iter().map(|template| format!("./site/{}", template.get_ref())).collect(),
        secrets: secrets.into_iter().cloned().collect(),
        volumes: configs.chain(copies).chain(folders).chain(probe).chain(volumes).chain(paths).collect(),
        read_only: service.read_only,
        tmpfs: escape_all(&service.tmpfs),
        ports: service.publish.iter().map(|(port, inside)| published(model, port.get_ref(), *inside)).collect(),
        networks: service.networks.iter().map(|network| network.get_ref().clone()).collect(),
        depends_on: requirements(model, name),
        stop_grace_period: format!("{}s", service.stop_grace),
        healthcheck: service.health.as_ref().map(check),
        logging: logging(service),
        limits: limits(service),
        privileges: privileges(service),
    }
}

/// A folder of the host: `.env` names it, else the profile.
fn host_path(model: &Model, setting: &str) -> String {
    let default = model.site.settings.get(setting).and_then(|setting| setting.default.as_ref()?.as_str());
    match default {
        Some(path) => format!("${{{}:-{path}}}", path_variable(setting)),
        None => format!("${{{}:?set it in .env}}", path_variable(setting)),
    }
}

/// podman takes the driver's name, too, for the one that keeps files.
fn logging(service: &Service) -> Logging {
    let options = [("max-size", service.log.size.to_string()), ("max-file", service.log.files.to_string())];
    Logging { driver: "json-file", options: options.into() }
}

fn limits(service: &Service) -> Limits {
    let texts = |texts: &BTreeMap<Spanned<String>, String>| {
        texts.iter().map(|(key, value)| (key.get_ref().clone(), escape(value))).collect()
    };
    let ulimits = service.ulimits.iter();
    let hosts = service.extra_hosts.iter();
    Limits {
        mem_limit: service.memory.map(|size| size.to_string()),
        cpus: service.cpus,
        pids_limit: service.pids,
        ulimits: ulimits
            .map(|(name, &Ulimit { soft, hard })| (name.get_ref().clone(), SoftHard { soft, hard }))
            .collect(),
        shm_size: service.shm_size.map(|size| size.to_string()),
        sysctls: texts(&service.sysctls),
        extra_hosts: hosts.map(|(name, address)| format!("{}:{address}", name.get_ref())).collect(),
        labels: texts(&service.labels),
    }
}

fn privileges(service: &Service) -> Privileges {
    let confined = service.privileged.is_none();
    Privileges {
        network_mode: service.host_network.as_ref().map(|_| "host"),
        privileged: !confined,
        // Programs run as their own users from the start: they need no capability, and none may be gained.
        cap_drop: if confined { vec!["ALL"] } else { Vec::new() },
        cap_add: service.capabilities.keys().filter(|_| confined).map(|name| name.get_ref().clone()).collect(),
        devices: service.devices.keys().map(|path| format!("{0}:{0}", path.get_ref())).collect(),
        security_opt: if confined { vec!["no-new-privileges:true"] } else { Vec::new() },
    }
}

fn requirements(model: &Model, service: &str) -> BTreeMap<String, Requirement> {
    let conditions = model.conditions(service).into_iter();
    let words = conditions.map(|(other, condition)| match condition {
        Condition::Healthy => (other.to_owned(), Requirement { condition: "service_healthy" }),
        Condition::Started => (other.to_owned(), Requirement { condition: "service_started" }),
        Condition::Completed => (other.to_owned(), Requirement { condition: "service_completed_successfully" }),
    });
    words.collect()
}

fn compose_network(model: &Model, name: &str, network: &Network) -> ComposeNetwork {
    let internal = match &network.internal {
        Internal::Always(internal) => internal.then_some(ComposeInternal::Always(true)),
        Internal::When(_) => Some(ComposeInternal::Variable(format!("${{{}:-true}}", internal_variable(name)))),
    };
    ComposeNetwork { name: resource_name(model, name), internal, driver_opts: [ISOLATE].into() }
}

fn check(health: &Health) -> Check {
    let test = match health.is_probe() {
        true => Test::Words(std::iter::once("CMD".to_owned()).chain(escape_all(&health.words())).collect()),
        false => Test::Line(escape(&health_line(health))),
    };
    Check {
        test,
        interval: format!("{}s", health.interval),
        timeout: format!("{}s", health.timeout),
        retries: health.retries,
        start_period: format!("{}s", health.start_period),
    }
}

/// The check as one line for the image's shell: Docker's client accepts no list of words, and podman-compose 1.0 takes only
/// the first word of a `CMD` check. podman takes some first words as the kind of the check: they are quoted.
pub(super) fn health_line(health: &Health) -> String {
    let words = health.words();
    let word = |(at, word): (usize, &String)| match is_kind(word) {
        true if at == 0 => format!("'{word}'"),
        _ => quoted(word),
    };
    let words: Vec<String> = words.iter().enumerate().map(word).collect();
    words.join(" ")
}

/// Whether engines take a first word as the kind of a check.
fn is_kind(word: &str) -> bool {
    ["CMD", "CMD-SHELL", "NONE"].iter().any(|kind| kind.eq_ignore_ascii_case(word))
}

/// The check as podman takes it without a shell, if it can: an array in JSON of two words or more.
pub(super) fn health_array(health: &Health) -> Option<String> {
    let words = health.words();
    (words.len() > 1 && !is_kind(&words[0])).then(|| serde_json::to_string(&words).expect("texts are JSON"))
}

/// A host-wide name of a container, a network or a volume.
fn resource_name(model: &Model, name: &str) -> String {
    format!("${{{PROJECT_VARIABLE}:-{}}}_{name}", project_name(model))
}

fn published(model: &Model, name: &str, inside: u16) -> String {
    let (address, port) = default_port(model, name, inside);
    let spec = model.site.ports.get(name);
    let (count, suffix) = spec.map_or((1, ""), |spec| (spec.count, spec.suffix()));
    let mut outside = format!("${{{}:-{port}}}", port_variable(name));
    if count > 1 {
        let last = spec.map_or(port, |spec| spec.last(port));
        outside += &format!("-${{{}:-{last}}}", last_port_variable(name));
    }
    format!("${{{}:-{address}}}:{outside}:{}{suffix}", address_variable(name), range(inside, count))
}

/// A word, quoted so that the POSIX shell reads it unchanged (Shell Command Language, 2.2.2).
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "%+,-./:=@_".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's interface")]
fn is_false(value: &bool) -> bool {
    !value
}

/// A text, escaped so that compose replaces no variables in it.
fn escape(text: &str) -> String {
    text.replace('$', "$$")
}

fn escape_all(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| escape(text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_as_compose_sees_it() {
        insta::assert_snapshot!(render(&crate::profile::sample(), "linux/amd64"));
    }

    #[test]
    fn a_health_check_is_one_line_that_the_shell_splits_into_the_same_words() {
        let words = ["wget", "-q", "", "it's", "a b", "$HOME", "http://127.0.0.1:8080/", "\\\"*"];
        let health: Health = toml::from_str("timeout = 3").unwrap();
        let health = Health { command: words.map(str::to_owned).to_vec(), ..health };
        let Test::Line(line) = check(&health).test else { panic!("a shell splits a line only") };
        insta::assert_snapshot!(line, @r#"wget -q '' 'it'\''s' 'a b' '$$HOME' http://127.0.0.1:8080/ '\"*'"#);
        // As compose and then the shell read it.
        let script = format!("printf '<%s>' {}", line.replace("$$", "$"));
        let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), words.map(|word| format!("<{word}>")).concat());
        let health = Health { command: vec!["none".into(), "none".into()], ..health };
        assert_eq!(health_line(&health), "'none' none");
        assert_eq!(health_array(&health), None);
    }

    #[test]
    fn a_request_needs_neither_a_shell_nor_a_tool() {
        let health: Health = toml::from_str("http = { port = 80, path = \"/a?b=$c\", status = 204 }").unwrap();
        let words = ["CMD", "/run/sealift", "probe", "http", "80", "/a?b=$$c", "--status", "204", "--timeout", "5"];
        assert_eq!(serde_json::to_value(check(&health).test).unwrap(), serde_json::json!(words));
        let health: Health = toml::from_str("tcp = { port = 53 }\ntimeout = 2").unwrap();
        let array = r#"["/run/sealift","probe","tcp","53","--timeout","2"]"#;
        assert_eq!(health_array(&health).as_deref(), Some(array));
    }
}
