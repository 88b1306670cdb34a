//! Paths and names of the files of a bundle without containers.

use std::collections::BTreeMap;

use crate::profile::model::{Model, Service};
use crate::profile::names::{credential, mounted_path};

/// Where the image's files are in the bundle.
pub const ROOT: &str = "root";

/// Where services look for the files of the site.
pub(super) const SECRETS: &str = "/run/secrets/";

/// Placeholder of the bundle's folder in a unit. `sealift up` replaces it.
pub const FOLDER: &str = "@FOLDER@";

/// Marks a unit that comes from a bundle, and may be overwritten. The text stays as it is: units on hosts have it.
pub const GENERATED: &str = "Generated: changes belong into a drop-in";

/// A service's unit in the bundle; its file name is the unit's name.
#[must_use]
pub fn unit_path(service: &str) -> String {
    format!("systemd/{service}.service")
}

/// The timer of a scheduled service, likewise.
#[must_use]
pub fn timer_path(service: &str) -> String {
    format!("systemd/{service}.timer")
}

/// The program that runs a service.
#[must_use]
pub fn run_path(service: &str) -> String {
    format!("bin/run-{service}")
}

/// The program that checks a service's health.
#[must_use]
pub fn health_path(service: &str) -> String {
    format!("bin/health-{service}")
}

/// The program that runs a task.
#[must_use]
pub fn task_path(task: &str) -> String {
    format!("bin/{task}")
}

pub(super) fn settings_path(service: &str) -> String {
    format!("lib/{service}.sh")
}

pub(super) fn one_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default().trim_end_matches('.')
}

/// The links below `root/run/secrets`, each with its target: where services find the files of the site without systemd.
#[must_use]
pub fn links(model: &Model) -> BTreeMap<String, String> {
    let mut links = BTreeMap::new();
    for service in model.services.values() {
        for (name, path) in site_files(model, service) {
            links.insert(format!("{ROOT}{SECRETS}{name}"), format!("../../../site/{path}"));
        }
    }
    links
}

/// The files of the site that a service reads: each with its name for the service, and its path below the site.
pub(super) fn site_files<'m>(model: &'m Model, service: &'m Service) -> Vec<(&'m str, String)> {
    let env = service.env_files.iter().map(|file| (credential(file.get_ref()), file.get_ref().clone()));
    let secrets = service.secrets.iter().map(|secret| {
        let name = secret.get_ref().as_str();
        // The check of the profile refuses names that the site does not have.
        (name, mounted_path(model, name).unwrap_or_else(|| format!("secrets/{name}")))
    });
    env.chain(secrets).collect()
}
