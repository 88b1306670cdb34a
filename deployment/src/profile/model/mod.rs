//! The format of `profile.toml`, one file for each table. `profiles/README.md` explains every key.
//!
//! A new kind of ingredient is a new file with its table and an optional key of [`Image`]; its checks go into
//! `profile/check/images.rs`.
//!
//! Strings that messages may point at are [`Spanned`]: byte ranges of the file.

mod archive_file;
mod crate_;
mod debian;
mod depends_on;
mod groups;
mod health;
mod image;
mod limits;
mod mode;
mod network;
mod nix;
mod request;
mod requirements;
mod service;
mod site;
mod task;
mod venv;
mod volume;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use toml::Spanned;

pub use archive_file::ArchiveFile;
pub(in crate::profile) use archive_file::digest;
pub use crate_::Crate;
pub use debian::{Archive, Base, Debian, MAIN_ARCHIVE, Requested, is_flat};
pub use depends_on::{Condition, Dependency, DependsOn};
pub use groups::Groups;
pub use health::{Health, HttpCheck, PROBE, TcpCheck};
pub use image::{Image, ImageDirectory, ImageFile, User};
pub use limits::{Log, Restart, Size, Ulimit};
pub use mode::Mode;
pub use network::{Internal, Network};
pub use nix::{DEFAULT_NIX_LAYERS, Nix};
pub use request::{Basic, Column, Endpoint, Method, Request, placeholders};
pub use requirements::{Requirements, RequirementsFile};
pub use service::{HostPath, Running, Service, WritablePath};
pub use site::{
    Authority, Certificate, Encoding, FileFormat, OperatorFolder, Protocol, Rule, Secret, Site, SitePort, Template,
    Trusted, range,
};
pub use task::{Argument, On, Part, Run, Task};
pub use venv::Venv;
pub use volume::Volume;

/// A whole profile.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Model {
    /// Version of this format: 1.
    pub schema: Spanned<u32>,
    /// Name of the profile; by convention that of its folder.
    pub name: Spanned<String>,
    /// Name of the product: first part of the bundle's file name and of image names.
    pub product: Spanned<String>,
    /// Version of the product: part of the bundle's file name, tag of the images.
    pub version: Spanned<String>,
    /// One line for lists and image labels.
    pub title: String,
    /// Description for the operator's README.
    #[serde(default)]
    pub description: String,
    /// How a host runs the bundle.
    #[serde(default)]
    pub deployment: Deployed,
    /// `org.opencontainers.image.*` labels common to all images, by the part after `image.`: `licenses`, `source` ...
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Platforms that it can be built for, in the notation of OCI (`linux/amd64`).
    #[serde(default = "default_platforms")]
    pub platforms: Vec<Spanned<String>>,
    /// The source of Debian packages.
    pub debian: Spanned<Debian>,
    /// Checks `[base]`.
    #[serde(default)]
    pub base: Base,
    /// The images, by name.
    pub images: BTreeMap<Spanned<String>, Image>,
    /// The services of the deployment, by name; the name is also the host name on their network.
    pub services: BTreeMap<Spanned<String>, Service>,
    /// The networks that services name, by name. Without any, all services are on one.
    #[serde(default)]
    pub networks: BTreeMap<Spanned<String>, Network>,
    /// Volumes whose contents belong to one version of a program, by name.
    #[serde(default)]
    pub volumes: BTreeMap<Spanned<String>, Volume>,
    /// Where requests of tasks go, by name.
    #[serde(default)]
    pub endpoints: BTreeMap<Spanned<String>, Endpoint>,
    /// Commands that operators can run, by name: `sealift task NAME`.
    #[serde(default)]
    pub tasks: BTreeMap<Spanned<String>, Task>,
    /// What each installation has of its own.
    #[serde(default)]
    pub site: Site,
    /// The next step for the operator: one line, printed at the end of `sealift up`.
    pub next: Option<String>,
    /// Text for the operator, appended to the bundle's README: a file of the profile (Markdown).
    pub readme: Option<Spanned<String>>,
}

impl Model {
    /// The settings that are folders of the host for some service.
    #[must_use]
    pub fn host_paths(&self) -> BTreeSet<&str> {
        let services = self.services.values();
        services.flat_map(|service| service.paths.keys()).map(|name| name.get_ref().as_str()).collect()
    }

    /// The names of a service's instances, of which each has a container: its own, or `NAME-1` to `NAME-N` of replicas.
    #[must_use]
    pub fn instances(&self, service: &str) -> Vec<String> {
        match self.services[service].replicas {
            0 | 1 => vec![service.to_owned()],
            number => (1..=number).map(|number| format!("{service}-{number}")).collect(),
        }
    }

    /// The name of the service that `instance` belongs to, and its number among the instances, from 1 on. The check of the
    /// profile refuses services with the names of others' instances.
    #[must_use]
    pub fn service_of<'n>(&self, instance: &'n str) -> (&'n str, u32) {
        if self.services.contains_key(instance) {
            return (instance, 1);
        }
        let parts = instance.rsplit_once('-').and_then(|(name, number)| Some((name, number.parse().ok()?)));
        parts.unwrap_or((instance, 1))
    }

    /// The service of an instance.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn service(&self, instance: &str) -> &Service {
        &self.services[self.service_of(instance).0]
    }

    /// The services that run at times, each with its calendar event.
    #[must_use]
    pub fn scheduled(&self) -> Vec<(&str, &str)> {
        let services = self.services.iter();
        services
            .filter_map(|(name, service)| Some((name.get_ref().as_str(), service.schedule()?.get_ref().as_str())))
            .collect()
    }

    /// The archives that images have, with their versions.
    #[must_use]
    pub fn archives(&self) -> BTreeMap<&str, &str> {
        let all = self.images.values().flat_map(|image| &image.archives).filter(|(_, archive)| archive.is_there());
        all.map(|(name, archive)| (name.get_ref().as_str(), archive.version.get_ref().as_str())).collect()
    }

    /// Whether an image has the essential packages of its suite.
    #[must_use]
    pub fn is_essential(&self, image: &Image) -> bool {
        image.essential.unwrap_or(self.base.essential)
    }

    /// The services that a service, or an instance of it, depends on, and what it waits for.
    #[must_use]
    pub fn conditions(&self, service: &str) -> Vec<(&str, Condition)> {
        let of = |Dependency { service, condition }: &Dependency| {
            condition.unwrap_or(match self.services.get(service) {
                Some(service) if service.runs_once() => Condition::Completed,
                Some(service) if service.health.is_some() => Condition::Healthy,
                _ => Condition::Started,
            })
        };
        let all = self.services.get(self.service_of(service).0).into_iter().flat_map(|service| &service.depends_on.0);
        all.map(|dependency| (dependency.service.get_ref().as_str(), of(dependency))).collect()
    }
}

fn default_platforms() -> Vec<Spanned<String>> {
    vec![Spanned::new(0..0, "linux/amd64".into())]
}

/// How a host runs a bundle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deployed {
    /// As containers, with podman or Docker. A compose file is included for manual use.
    #[default]
    Compose,
    /// Without containers: the image's files are in a folder, and its services are systemd units.
    Systemd,
}
