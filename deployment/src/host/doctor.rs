//! The examination of a deployment: its host, images, services, certificates and secrets.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use sealift_layers::escape::line;

use super::deployment::Deployment;
use super::ending;
use super::origin;
use super::runtime::{KeyGroups, Runtime};
use super::scheduled;
use super::status::{HealthState, MANY_RESTARTS, ServiceState, ServiceStatus};
use crate::failure::Failure;
use crate::finding::{Finding, Findings};
use crate::signature::Signature;
use crate::site;
use crate::ui;

/// Certificates with fewer days left get a warning.
const WARN_DAYS: i64 = 30;
/// The same for the authority, whose certificate has to get to everyone who trusts it.
const WARN_DAYS_OF_AUTHORITY: i64 = 120;
/// Mends certificates that are about to expire.
const RENEW: &str = "./sealift site renew, then ./sealift up";
/// The same for the authority.
const RENEW_AUTHORITY: &str =
    "./sealift site renew --authority, then give site/custom-ca.crt to everyone who trusts the old one";

/// Examines the host, the images, the services (with the last log lines of those that are not healthy), the certificates,
/// and who can read the secrets. Changes nothing. `now` is in seconds since 1970.
///
/// # Errors
/// When a check cannot be carried out. A check that fails is a finding.
pub fn examine(deployment: &Deployment, runtime: &dyn Runtime, known: &site::KnownSites, now: i64) -> Result<Findings> {
    let mut findings = Findings::default();
    examine_signature(deployment, &mut findings);
    findings.0.extend(runtime.check_host(&BTreeMap::new(), now)?.0);
    origin::check_successor(deployment, known, false, &mut findings)?;
    runtime.check_images(&mut findings)?;
    let services = scheduled::statuses(deployment, runtime, known)?;
    if services.iter().all(ServiceStatus::is_absent)
        && let Some((found, option)) = runtime.elsewhere()
    {
        findings.error("services", format!("{} has none of them; {found}", runtime.place()), format!("add {option}"));
    }
    for status in &services {
        let log = || runtime.last_log_lines(&status.service);
        examine_service(status, log, &mut findings);
        let does_not_work = [HealthState::Unhealthy, HealthState::Down].contains(&status.health);
        if does_not_work && !status.is_absent() && status.owner.is_none() {
            runtime.explain(&status.service, &mut findings)?;
        }
    }
    let is_healthy = |status: &&ServiceStatus| status.is_running() && status.health == HealthState::Healthy;
    let healthy = services.iter().filter(|status| status.owner.is_none()).filter(is_healthy);
    let healthy: Vec<&str> = healthy.map(|status| status.service.as_str()).collect();
    runtime.check_published(&healthy, Duration::ZERO, &mut findings)?;
    if let Some(commands) = runtime.missing_boot_unit() {
        let message = "no unit of systemd starts the services at boot, and podman does not";
        findings.warn("boot", message, format!("in a shell:\n{}", commands.join("\n")));
    }
    if let Some(commands) = runtime.missing_timers() {
        let message = "some services have no timer of systemd for their times";
        findings.warn("schedule", message, format!("in a shell:\n{}", commands.join("\n")));
    }
    let unscheduled = runtime.unscheduled();
    if !unscheduled.is_empty() {
        let message = "this host has no systemd: nothing runs the scheduled services";
        findings.warn("schedule", message, format!("have another scheduler run these:\n{}", unscheduled.join("\n")));
    }
    if !deployment.has_site() {
        findings.error("site", "there is none yet", "./sealift up --host HOST makes it");
        return Ok(findings);
    }
    origin::check(deployment, runtime, known, false, &mut findings)?;
    examine_certificates(deployment, now, &mut findings);
    examine_folders(deployment, now, &mut findings)?;
    examine_secrets(deployment, runtime, &mut findings)?;
    Ok(findings)
}

/// A signature that is wrong ended the opening of the bundle.
fn examine_signature(deployment: &Deployment, findings: &mut Findings) {
    let message = match &deployment.bundle.signature {
        Some(Signature { key, comment, .. }) => format!("good, by the trusted key {key}: {}", line(comment)),
        None => "not checked: no key is trusted; `./sealift up --key NAME.pub` trusts one".to_owned(),
    };
    findings.ok("signature", message);
}

fn examine_service(status: &ServiceStatus, log: impl FnOnce() -> Vec<String>, findings: &mut Findings) {
    let service = status.service.as_str();
    if status.is_absent() {
        findings.error(service, "is not there", "./sealift up");
    } else if let Some(owner) = &status.owner {
        let hint = format!("sealift doctor --directory {}", owner.display());
        findings.error(service, format!("its container belongs to the folder {}", owner.display()), hint);
    } else if let (ServiceState::Scheduled, Some(run)) = (&status.state, &status.last_run) {
        match run.exit_code {
            0 => findings.ok(service, format!("scheduled; its {run}")),
            _ if run.not_started.is_some() => {
                findings.error(service, format!("its {run}"), format!("./sealift run-scheduled {service} runs it now"));
            }
            _ => {
                let lines = log();
                let above = if lines.is_empty() { "it printed nothing" } else { "its last log lines are above" };
                let hint = format!("{above}; ./sealift run-scheduled {service} runs it now");
                findings.error(service, format!("its {run}"), hint);
                findings.lines(lines);
            }
        }
    } else if status.state == ServiceState::Scheduled {
        findings.ok(service, "scheduled; it has not run yet");
    } else if status.health == HealthState::Healthy {
        findings.ok(service, format!("healthy{}", restarted(status)));
    } else if status.health == HealthState::Starting {
        findings.warn(service, "is starting", "repeat this in a minute");
    } else {
        examine_ill(status, log(), findings);
    }
    status.memory_kills.iter().for_each(|kills| kills.tell(service, findings));
    if let Some(reason) = status.outdated {
        findings.warn(service, format!("is out of date: {reason}"), "./sealift up recreates it");
    }
}

/// A service that does not work, in the words of `up`.
fn examine_ill(status: &ServiceStatus, lines: Vec<String>, findings: &mut Findings) {
    let (service, end) = (status.service.as_str(), status.last_end.as_deref());
    if status.state == ServiceState::Other("created".into()) {
        let hint =
            "what it depends on was not ready, or a task of its start failed: `./sealift up` goes on, and says which";
        return findings.error(service, "was not started yet", hint);
    }
    let mut message = match (status.is_running(), end) {
        (is_running, _) if status.restarts >= MANY_RESTARTS && status.check_output.is_empty() => {
            ending::again_and_again(status.restarts + u64::from(!is_running), end)
        }
        (true, _) => format!("runs, but is not healthy{}", restarted(status)),
        (false, Some(end)) => ending::not_running(&status.state.to_string(), end) + &restarted(status),
        (false, None) => format!("is {}", status.state),
    };
    if !status.check_output.is_empty() {
        message += &format!("; its health check: {}", status.check_output.join(" / "));
    }
    findings.error(service, message, ending::hint(service, end, &lines));
    findings.lines(lines);
}

/// How often the service was started again, for the end of a message.
fn restarted(status: &ServiceStatus) -> String {
    let times = ui::count(usize::try_from(status.restarts).unwrap_or(usize::MAX), "time");
    // One that does not run is told with its end.
    let end = status.last_end.as_ref().filter(|_| status.is_running());
    let end = end.map(|end| format!(", the last time after {end}")).unwrap_or_default();
    if status.restarts == 0 { String::new() } else { format!("; it ended and was started again {times}{end}") }
}

fn examine_certificates(deployment: &Deployment, now: i64, findings: &mut Findings) {
    let certificates = match site::certificates(&deployment.site(), &deployment.profile.model, now) {
        Ok(certificates) => certificates,
        Err(error) => {
            let hint = Failure::hint_in(&error).unwrap_or("./sealift up reports every problem in site/");
            return findings.error("certificates", format!("{error:#}"), hint);
        }
    };
    // Those that are not valid yet, the check of the clock has reported.
    for certificate in certificates.into_iter().filter(|found| !found.not_yet_valid) {
        let topic = format!("site/{}", certificate.path);
        let (limit, renew) = match certificate.is_authority {
            true => (WARN_DAYS_OF_AUTHORITY, RENEW_AUTHORITY),
            false => (WARN_DAYS, RENEW),
        };
        if certificate.is_unconstrained {
            findings.warn(topic.as_str(), "whoever has its key can pose as any server to those who trust it", renew);
        }
        match (certificate.invalid, certificate.days_left) {
            (Some(invalid), _) => findings.error(topic, invalid, format!("if the clock is right: {renew}")),
            (None, days) if days < limit => {
                let left = ui::count(days.unsigned_abs() as usize, "day");
                findings.warn(topic, format!("valid for {left}"), renew);
            }
            (None, days) => findings.ok(topic, format!("valid for {days} days")),
        }
    }
}

/// The files that the operator provided.
fn examine_folders(deployment: &Deployment, now: i64, findings: &mut Findings) -> Result<()> {
    let mut wrong = Findings::default();
    let folders = site::check_folders(&deployment.site(), &deployment.profile.model, now, &mut wrong)?;
    for (name, paths) in folders.into_iter().filter(|(_, paths)| !paths.is_empty()) {
        findings.ok(format!("site/files/{name}"), ui::count(paths.len(), "file"));
    }
    findings.0.extend(wrong.0.into_iter().map(|found| Finding { topic: format!("site/{}", found.topic), ..found }));
    Ok(())
}

fn examine_secrets(deployment: &Deployment, runtime: &dyn Runtime, findings: &mut Findings) -> Result<()> {
    let check_groups = runtime.key_groups()? == KeyGroups::SameAsServices;
    let loose = site::permissions(&deployment.site(), &deployment.profile.model, check_groups)?;
    if loose.0.is_empty() {
        findings.ok("secrets", "only their services can read them");
    }
    findings.0.extend(loose.0.into_iter().map(|found| Finding { topic: format!("site/{}", found.topic), ..found }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::status::{LastRun, MemoryKills, Outdated};

    fn examined(status: &ServiceStatus) -> String {
        let mut findings = Findings::default();
        examine_service(status, || vec!["cannot connect".to_owned()], &mut findings);
        findings.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    /// The hint spoke of log lines, and there were none.
    #[test]
    fn a_service_that_waits_for_another_has_no_log() {
        let state = ServiceState::Other("created".into());
        let status = ServiceStatus { state, ..ServiceStatus::absent("web", "shop_web".into()) };
        insta::assert_snapshot!(examined(&status), @r"
        error: web: was not started yet
          hint: what it depends on was not ready, or a task of its start failed: `./sealift up` goes on, and says which
        ");
    }

    #[test]
    fn an_absent_service_has_no_log() {
        let status = ServiceStatus::absent("web", "shop_web".into());
        insta::assert_snapshot!(examined(&status), @r"
        error: web: is not there
          hint: ./sealift up
        ");
    }

    #[test]
    fn a_container_of_another_folder_is_neither_ill_nor_outdated() {
        let mut status = ServiceStatus::absent("web", "shop_web".into());
        status.state = ServiceState::Running;
        status.owner = Some("/srv/one".into());
        insta::assert_snapshot!(examined(&status), @r"
        error: web: its container belongs to the folder /srv/one
          hint: sealift doctor --directory /srv/one
        ");
    }

    #[test]
    fn a_scheduled_service_is_as_good_as_its_last_run() {
        let mut status = ServiceStatus::absent("backup", "shop_backup".into());
        status.state = ServiceState::Scheduled;
        assert_eq!(examined(&status), "ok: backup: scheduled; it has not run yet");
        let ended = "2026-11-27T03:00:01.5Z".to_owned();
        status.last_run = Some(LastRun { exit_code: 0, cause: None, ended: ended.clone(), not_started: None });
        assert_eq!(
            examined(&status),
            "ok: backup: scheduled; its last run ended with exit code 0, 2026-11-27T03:00:01"
        );
        status.last_run = Some(LastRun { exit_code: 3, cause: None, ended, not_started: None });
        insta::assert_snapshot!(examined(&status), @r#"
        error: backup: its last run ended with exit code 3, 2026-11-27T03:00:01
            cannot connect
          hint: its last log lines are above; ./sealift run-scheduled backup runs it now
        "#);
    }

    /// A check that succeeds at most times hid that the service crashed each hour.
    #[test]
    fn a_healthy_service_is_told_with_its_restarts() {
        let mut status = ServiceStatus::absent("web", "shop_web".into());
        (status.state, status.health, status.restarts) = (ServiceState::Running, HealthState::Healthy, 17);
        assert_eq!(examined(&status), "ok: web: healthy; it ended and was started again 17 times");
        status.restarts = 0;
        assert_eq!(examined(&status), "ok: web: healthy");
    }

    /// The kernel ended a worker again and again, and all was green.
    #[test]
    fn processes_that_the_kernel_ended_in_a_healthy_service_are_told() {
        let mut status = ServiceStatus::absent("web", "shop_web".into());
        (status.state, status.health) = (ServiceState::Running, HealthState::Healthy);
        status.memory_kills = Some(MemoryKills { times: 3, limit: Some("64M".into()) });
        insta::assert_snapshot!(examined(&status), @r"
        ok: web: healthy
        warning: web: runs, but the kernel has ended processes of it (3 since its start), as it needs more memory than its limit of 64M (`memory` of the service in profile.toml)
          hint: raise the limit, or let the program do less at a time, such as with fewer workers; ./sealift logs web may show what they did
        ");
        status.memory_kills = Some(MemoryKills { times: 1, limit: None });
        insta::assert_snapshot!(examined(&status), @r"
        ok: web: healthy
        warning: web: runs, but the kernel has ended processes of it (1 since its start), as the host had too little memory
          hint: give the host more memory, or its services limits (`memory` in profile.toml); ./sealift logs web may show what they did
        ");
    }

    #[test]
    fn a_service_that_is_starting_is_no_error() {
        let mut status = ServiceStatus::absent("web", "shop_web".into());
        status.state = ServiceState::Running;
        status.health = HealthState::Starting;
        insta::assert_snapshot!(examined(&status), @r"
        warning: web: is starting
          hint: repeat this in a minute
        ");
    }

    /// `up` said how often it ended and with which exit code, `doctor` named log lines where there were none.
    #[test]
    fn a_service_that_ends_again_and_again_is_told_as_up_does() {
        let mut status = ServiceStatus::absent("web", "shop_web".into());
        (status.state, status.restarts) = (ServiceState::Other("restarting".into()), 4);
        status.last_end = Some("exit code 0".into());
        insta::assert_snapshot!(examined(&status), @r"
        error: web: does not stay up: it ended 5 times, the last time with exit code 0
            cannot connect
          hint: a program that goes into the background ends its container: let it stay in the foreground; mend the cause and run `up` again; `logs web` shows more
        ");
        (status.state, status.health) = (ServiceState::Running, HealthState::Unhealthy);
        status.last_end = Some("exit code 7".into());
        let mut findings = Findings::default();
        examine_service(&status, Vec::new, &mut findings);
        insta::assert_snapshot!(findings.0[0], @r"
        error: web: does not stay up: it ended 4 times, the last time with exit code 7
          hint: mend the cause and run `up` again; it printed nothing
        ");
        (status.state, status.health, status.restarts) = (ServiceState::Other("exited".into()), HealthState::Down, 0);
        insta::assert_snapshot!(examined(&status), @r"
        error: web: does not stay up: it is exited, with exit code 7
            cannot connect
          hint: mend the cause and run `up` again; `logs web` shows more
        ");
    }

    #[test]
    fn a_sick_service_is_reported_with_its_log_and_why_it_is_out_of_date() {
        let mut status = ServiceStatus::absent("web", "shop_web".into());
        status.state = ServiceState::Running;
        status.health = HealthState::Unhealthy;
        status.outdated = Some(Outdated::Settings);
        status.restarts = 4;
        status.check_output = vec!["refused".to_owned()];
        insta::assert_snapshot!(examined(&status), @r"
        error: web: runs, but is not healthy; it ended and was started again 4 times; its health check: refused
            cannot connect
          hint: mend the cause and run `up` again; `logs web` shows more
        warning: web: is out of date: its settings changed
          hint: ./sealift up recreates it
        ");
    }
}
