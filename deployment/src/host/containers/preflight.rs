//! The checks of a host before anything is changed on it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;

use super::context::Containers;
use super::key_groups::{self, User};
use super::kind::EngineKind;
use super::{load, space, system};
use crate::finding::Findings;
use crate::host::ports::PublishedPort;
use crate::host::status::ServiceStatus;
use crate::host::{checks, ports};
use crate::profile::model::Service;
use crate::render::network;
use crate::site;

/// Checks whether the host can run the deployment: engine, architecture, clock, kernel settings, space, ports and the
/// data in volumes. `chosen` are published ports that differ from those of the site; `now` is in seconds since 1970.
///
/// # Errors
/// When the engine fails. A check that fails is a finding.
pub(super) fn check(containers: &Containers<'_>, chosen: &BTreeMap<String, u16>, now: i64) -> Result<Findings> {
    let Containers { deployment, engine, machine } = containers;
    let info = engine.info()?;
    let mut findings = Findings::default();
    system::engine(engine, &mut findings);
    system::architecture(&deployment.manifest.platform, info, &mut findings);
    checks::clock(deployment, now, &mut findings);
    folder(&deployment.folder, &mut findings);
    system::kernel(engine, info, highest_id(containers), machine, &mut findings);
    system::selinux(&deployment.folder, info, machine, &mut findings);
    key_groups::check(deployment, info.rootless, &User::of_process(), &mut findings);
    key_groups::check_remapped(deployment, info, &mut findings);
    containers.check_engine(&mut findings);
    containers.check_ownership(&mut findings)?;
    let missing = load::missing(containers)?;
    load::check(containers, &missing, &mut findings)?;
    space::check(&space::need(&missing, info, machine), info, &mut findings);
    // One that ends again and again has them also between two runs.
    let has_ports = |status: &ServiceStatus| status.is_running() || status.restarts > 0;
    let own: BTreeSet<u16> =
        containers.states()?.into_iter().filter(has_ports).flat_map(|status| status.ports).collect();
    let published = deployment.published(chosen)?;
    let probe = ports::Probe {
        own: &own,
        rootless: info.rootless,
        remote: info.remote,
        ipv6: containers.has_ipv6()?,
        ipv6_loopback: containers.publishes_on_ipv6_loopback()?,
        machine,
    };
    ports::check(&published, &probe, &mut findings);
    check_network_of_ipv6_ports(containers, &published, &mut findings)?;
    containers.check_volumes(&mut findings)?;
    containers.check_users_of_volumes(&mut findings)?;
    containers.check_left_volumes(&mut findings)?;
    containers.check_host_paths(&mut findings)?;
    Ok(findings)
}

/// Refuses a path that only `--mount` takes: compose and `--volume` separate the parts of a mount by colons.
fn folder(folder: &Path, findings: &mut Findings) {
    if folder.as_os_str().as_encoded_bytes().contains(&b':') {
        let message = format!("the path {} has a `:`, which compose and bind mounts cannot take", folder.display());
        findings.error("folder", message, "move the deployment to a folder without `:` in its path");
    }
}

/// Finds ports published on an IPv6 address whose network exists without IPv6. Root's podman leads nowhere then; the other
/// engines reach the container by IPv4.
fn check_network_of_ipv6_ports(
    containers: &Containers<'_>,
    published: &[PublishedPort],
    findings: &mut Findings,
) -> Result<()> {
    let Containers { deployment, engine, .. } = containers;
    if engine.kind != EngineKind::Podman || engine.info()?.rootless {
        return Ok(());
    }
    let (model, layout) = (&deployment.profile.model, containers.layout()?);
    for port in published.iter().filter(|port| port.address.is_ipv6()) {
        let publishing = |service: &&Service| service.publish.keys().any(|name| *name.get_ref() == port.name);
        for name in model.services.values().find(publishing).iter().flat_map(|s| network::of_service(model, s)).take(1)
        {
            let full_name = layout.resource_name(name);
            if containers.network(&full_name)?.is_some_and(|network| !network.ipv6) {
                let message = format!("{} needs IPv6, which the network {full_name} was made without", port.address);
                findings.error(format!("port {}", port.name), message, "run `sealift down`, then `sealift up`");
            }
        }
    }
    Ok(())
}

/// The highest user or group number of the images and key files.
fn highest_id(containers: &Containers<'_>) -> u32 {
    let model = &containers.deployment.profile.model;
    let users = model.images.values().flat_map(|image| &image.users);
    let numbers = users.flat_map(|user| [user.uid, user.gid]);
    numbers.chain(site::groups(model).into_iter().map(|file| file.group)).max().unwrap_or(0)
}
