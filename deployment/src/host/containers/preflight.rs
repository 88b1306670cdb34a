//! The checks of a host before anything is changed on it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::context::Containers;
use super::key_groups::{self, User};
use super::{load, space, system};
use crate::finding::Findings;
use crate::host::{checks, ports};
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
    system::kernel(engine, info, highest_id(containers), machine, &mut findings);
    system::selinux(&deployment.folder, info, machine, &mut findings);
    key_groups::check(deployment, info.rootless, &User::of_process(), &mut findings);
    key_groups::check_remapped(deployment, info, &mut findings);
    containers.check_engine(&mut findings);
    containers.check_ownership(&mut findings)?;
    let missing = load::missing(containers)?;
    space::check(&space::need(&missing, info, machine), info, &mut findings);
    let running = containers.states()?.into_iter().filter(|status| status.is_running());
    let own: BTreeSet<u16> = running.flat_map(|status| status.ports).collect();
    let probe = ports::Probe { own: &own, rootless: info.rootless, remote: info.remote, machine };
    ports::check(&deployment.published(chosen)?, &probe, &mut findings);
    containers.check_volumes(&mut findings)?;
    Ok(findings)
}

/// The highest user or group number of the images and key files.
fn highest_id(containers: &Containers<'_>) -> u32 {
    let model = &containers.deployment.profile.model;
    let users = model.images.values().flat_map(|image| &image.users);
    let numbers = users.flat_map(|user| [user.uid, user.gid]);
    numbers.chain(site::groups(model).into_iter().map(|file| file.group)).max().unwrap_or(0)
}
