//! The first step: a lock that fits the profile.

use std::collections::BTreeMap;

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::profile::Profile;
use sealift_deployment::site::check_templates;
use sealift_deployment::ui::Ui;

use super::request::{BuildRequest, LockPolicy};
use crate::fetch::Fetched;
use crate::lock::{self, Lock};
use crate::resolve;
use crate::servers::Servers;

/// A new lock, and the reason for each package in it.
#[derive(Debug)]
pub struct Relocked {
    /// The lock as it was written.
    pub lock: Lock,
    /// By image: package name to reason.
    pub reasons: BTreeMap<String, BTreeMap<String, String>>,
}

/// The profile's lock if it fits, or else, if the request allows it, one that is resolved now and written into the
/// profile's folder.
pub(super) fn choose(request: &BuildRequest<'_>, servers: &Servers<'_>, ui: &Ui) -> Result<Lock> {
    let profile = request.profile;
    check_templates(profile)?;
    warn_of_profile(profile, ui);
    let platform = request.platform.to_string();
    let name = profile.model.name.get_ref();
    let found = Lock::read(profile)?;
    let reason = match &found {
        None => format!("{name} has no lock yet"),
        Some(lock) => match lock.platforms.get(&platform) {
            Some(entry) if entry.wanted == lock::wanted(profile) => {
                match resolve::changed_wheel(profile, entry, request.platform)? {
                    None => return Ok(found.expect("just matched")),
                    Some(change) => format!("the lock of {name} has another wheel: {change}"),
                }
            }
            Some(_) => format!("the lock of {name} is older than the profile"),
            None => format!("the lock of {name} has nothing for {platform}"),
        },
    };
    if request.lock == LockPolicy::Keep || servers.client().is_offline() {
        return Err(Failure::usage(reason).hint(format!("run sealift lock {} first", profile.argument)).into());
    }
    ui.note(&format!("{reason}: resolving"));
    Ok(relock(profile, servers, request.resolve_options(), found, ui)?.lock)
}

/// Prints the warnings about a profile: see [`Profile::warnings`].
pub fn warn_of_profile(profile: &Profile, ui: &Ui) {
    if let Some(warnings) = profile.warnings() {
        ui.warn(warnings.to_string().trim_start_matches("warning: ").trim_end());
    }
}

/// A new lock in place of `lock`, some of whose files no server has.
pub(super) fn update(
    request: &BuildRequest<'_>,
    servers: &Servers<'_>,
    lock: Lock,
    unavailable: &Fetched,
    ui: &Ui,
) -> Result<Lock> {
    if request.lock == LockPolicy::Keep {
        let profile = &request.profile.argument;
        unavailable.complete(&format!("the servers have newer versions: run sealift lock {profile}"))?;
    }
    let names: Vec<&str> = unavailable.missing.iter().map(|missing| missing.name.as_str()).collect();
    ui.warn(&format!("no server has these files any more, resolving again: {}", names.join(", ")));
    Ok(relock(request.profile, servers, request.resolve_options(), Some(lock), ui)?.lock)
}

/// Resolves the profile, prints what changed, and writes the lock.
///
/// # Errors
/// A server cannot be reached, a package, wheel or crate does not exist, or the lock cannot be written.
pub fn relock(
    profile: &Profile,
    servers: &Servers<'_>,
    options: resolve::Options,
    old: Option<Lock>,
    ui: &Ui,
) -> Result<Relocked> {
    check_templates(profile)?;
    let platform = options.platform.to_string();
    let before = old.as_ref().and_then(|lock| lock.platforms.get(&platform));
    let resolved = resolve::platform(profile, servers, options, before, ui)?;
    let name = profile.model.name.get_ref();
    let mut lock = old.unwrap_or_else(|| Lock { schema: 1, profile: name.clone(), platforms: BTreeMap::new() });
    if let Some(before) = lock.platforms.get(&platform) {
        for line in lock::diff(before, &resolved.platform) {
            ui.note(&line);
        }
    }
    lock.platforms.insert(platform, resolved.platform);
    lock.write(&profile.directory)?;
    Ok(Relocked { lock, reasons: resolved.reasons })
}
