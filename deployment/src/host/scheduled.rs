//! Runs of scheduled services that could not be started: engines do not remember them, so the host does.

use anyhow::Result;

use super::deployment::Deployment;
use super::runtime::{Ran, Runtime};
use super::status::{HealthState, LastRun, NOT_STARTED, ServiceState, ServiceStatus};
use crate::site::{KnownSites, MissedRun};

/// Runs a scheduled service now, and waits for its end. `now` is in seconds since 1970.
///
/// # Errors
/// When it cannot be started, and when it exits with another code than 0.
pub fn run_scheduled(
    deployment: &Deployment,
    runtime: &dyn Runtime,
    known: &KnownSites,
    service: &str,
    now: i64,
) -> Result<()> {
    let (site, model) = (deployment.site(), &deployment.profile.model);
    match runtime.run_scheduled(service) {
        // Whoever stopped the deployment wanted no run; after the next `up` it would be told as one that is missing.
        Ok(Ran::Down(failure)) => Err(failure.into()),
        Ok(Ran::Failed(failure)) => {
            known.set_missed_run(&site, model, service, None)?;
            Err(failure.into())
        }
        Ok(Ran::Done) => known.set_missed_run(&site, model, service, None),
        Err(error) => {
            let why = error.to_string().lines().next().unwrap_or_default().to_owned();
            // The error of the run is the one to be told.
            let _unwritten = known.set_missed_run(&site, model, service, Some(MissedRun { at: now, why }));
            Err(error)
        }
    }
}

/// The state of all services, in the order of their start: as [`Runtime::status`], with runs that could not be started.
///
/// # Errors
/// As there.
pub fn statuses(deployment: &Deployment, runtime: &dyn Runtime, known: &KnownSites) -> Result<Vec<ServiceStatus>> {
    let mut statuses = runtime.status()?;
    let missed = known.missed_runs(&deployment.site(), &deployment.profile.model)?;
    for status in statuses.iter_mut().filter(|status| status.state == ServiceState::Scheduled && status.owner.is_none())
    {
        if let Some(missed) = missed.get(&status.service).filter(|missed| is_last(missed, status.last_run.as_ref())) {
            let time = jiff::Timestamp::from_second(missed.at).map(|time| time.to_string()).unwrap_or_default();
            let not_started = Some(missed.why.clone());
            status.last_run = Some(LastRun { exit_code: NOT_STARTED, cause: None, ended: time, not_started });
            status.health = HealthState::Unhealthy;
        }
    }
    Ok(statuses)
}

/// Whether no run ended after it.
fn is_last(missed: &MissedRun, last: Option<&LastRun>) -> bool {
    let Some(last) = last else { return true };
    last.ended.parse::<jiff::Timestamp>().is_ok_and(|ended| ended.as_second() <= missed.at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_of_two_runs_is_the_last_one() {
        let missed = MissedRun { at: 1_795_723_200, why: "the database is not ready".into() };
        let ended = |time: &str| LastRun { exit_code: 0, cause: None, ended: time.to_owned(), not_started: None };
        assert!(is_last(&missed, None));
        assert!(is_last(&missed, Some(&ended("2026-11-26T19:59:00.5Z"))));
        assert!(!is_last(&missed, Some(&ended("2026-11-26T21:00:01+01:00"))));
    }

    /// The engine's words are those of whatever it could not start.
    #[test]
    fn why_a_run_was_not_started_is_escaped() {
        let why = Some("no program \u{1b}[2J".to_owned());
        let run =
            LastRun { exit_code: NOT_STARTED, cause: None, ended: "2026-11-26T20:00:00Z".into(), not_started: why };
        assert_eq!(run.to_string(), "last run was not started (no program \\u{1b}[2J), 2026-11-26T20:00:00Z");
    }
}
