//! Services that run at times: each has a timer beside its unit.

use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::{Systemd, unit_name};
use crate::failure::Failure;
use crate::host::ending;
use crate::host::passed_on::{self, Raw};
use crate::host::runtime::Ran;
use crate::host::status::{HealthState, LastRun, Outdated, ServiceState, ServiceStatus};
use crate::process;
use crate::render::systemd::run_path;

impl Systemd<'_> {
    pub(super) fn is_scheduled(&self, service: &str) -> bool {
        self.deployment.profile.model.services[service].schedule().is_some()
    }

    /// The names of the units of a service, its timer last.
    pub(super) fn units(&self, service: &str) -> Vec<String> {
        let timer = self.is_scheduled(service).then(|| timer_name(service));
        std::iter::once(unit_name(service)).chain(timer).collect()
    }

    /// Starts the timer of a service, at each boot, too. `verb` is `restart` where it changed.
    pub(super) fn start_timer(&self, service: &str, verb: &str) -> Result<()> {
        self.systemctl(&["enable", "--quiet", &timer_name(service)])?;
        self.systemctl(&[verb, &timer_name(service)])
    }

    pub(super) fn scheduled_status(&self, service: &str) -> Result<ServiceStatus> {
        let mut command = self.command("systemctl");
        let properties = "--property=ActiveState,ExecMainStatus,ExecMainExitTimestamp";
        let output = process::answer(command.args(["show", properties, &unit_name(service)]));
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        let absent = ServiceStatus::absent(service, unit_name(service));
        if !self.unit_file(&timer_name(service)).exists() {
            return Ok(absent);
        }
        let last_run = last_run(&text);
        let (state, health) = match (&last_run, property(&text, "ActiveState")) {
            (_, "activating" | "active") => (ServiceState::Running, HealthState::Healthy),
            (Some(run), _) if run.exit_code != 0 => (ServiceState::Scheduled, HealthState::Unhealthy),
            _ => (ServiceState::Scheduled, HealthState::Healthy),
        };
        let outdated = self.is_changed(service).then_some(Outdated::Unit);
        Ok(ServiceStatus { state, health, last_run, outdated, ..absent })
    }

    /// As [`crate::host::runtime::Runtime::run_scheduled`]. By hand, the program is run by this user.
    pub(super) fn run_now(&self, service: &str) -> Result<Ran> {
        let failure = |hint: String| Failure::failed(format!("{service} failed")).hint(hint);
        if !self.in_charge {
            let program = self.deployment.folder.join(run_path(service));
            let status = passed_on::run(Command::new(&program).stdin(Stdio::null()), Raw::Never);
            return match status.with_context(|| format!("cannot run {}", program.display()))?.success() {
                true => Ok(Ran::Done),
                false => Ok(Ran::Failed(failure("its output is above".to_owned()))),
            };
        }
        if !self.unit_file(&unit_name(service)).exists() {
            let failure = Failure::failed(format!("{service} has no unit: the deployment is down"));
            return Ok(Ran::Down(failure.hint("./sealift up installs it")));
        }
        // systemd remembers how a run ended, also of one that could not be started.
        Ok(match self.systemctl(&["start", &unit_name(service)]) {
            Ok(()) => Ran::Done,
            Err(error) => Ran::Failed(failure(format!("./sealift logs {service} shows why")).because(error)),
        })
    }
}

fn timer_name(service: &str) -> String {
    format!("{service}.timer")
}

/// A property in the output of `systemctl show`; empty where it is not there.
fn property<'t>(text: &'t str, name: &str) -> &'t str {
    let value = |line: &'t str| line.strip_prefix(name)?.strip_prefix('=');
    text.lines().find_map(value).unwrap_or_default()
}

/// The last run of a unit; `None` before its first end.
fn last_run(text: &str) -> Option<LastRun> {
    let ended = Some(property(text, "ExecMainExitTimestamp")).filter(|ended| !ended.is_empty() && *ended != "n/a")?;
    let exit_code = property(text, "ExecMainStatus").parse().ok()?;
    let cause = ending::cause(exit_code, false, None);
    Some(LastRun { exit_code, cause, ended: ended.to_owned(), not_started: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_run_as_systemd_shows_it() {
        assert_eq!(last_run("ActiveState=inactive\nExecMainStatus=0\nExecMainExitTimestamp=\n"), None);
        assert_eq!(last_run("ExecMainStatus=0\nExecMainExitTimestamp=n/a\n"), None);
        let run = last_run("ExecMainStatus=3\nExecMainExitTimestamp=Fri 2026-11-27 03:00:01 UTC\n").unwrap();
        assert_eq!(
            run,
            LastRun { exit_code: 3, cause: None, ended: "Fri 2026-11-27 03:00:01 UTC".into(), not_started: None }
        );
        assert_eq!(run.to_string(), "last run ended with exit code 3, Fri 2026-11-27 03:00:01 UTC");
    }
}
