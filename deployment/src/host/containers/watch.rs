//! What is seen of one service during a start.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::output::Container;
use super::status::STEADY;
use crate::host::status::MANY_RESTARTS;
use crate::host::{ending, repeated};
use crate::profile::model::Size;

/// How long a service is watched before it is said not to stay up, or what its check goes on printing is told.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was seen of a service since it was started.
pub(super) struct Watch {
    since: Instant,
    /// How often the engine had restarted it before.
    restarts: u64,
    /// Since when it does not run.
    down: Option<Instant>,
    /// Its last exit code that was seen, and what it means; podman restarts a service so fast that there may be none.
    pub(super) end: Option<String>,
    /// When it was seen for the first time after its last start.
    seen: (String, Instant),
    /// What its health check printed last.
    pub(super) output: Vec<String>,
    /// Since when that has been the same, but for times in it.
    same: Instant,
    /// What of it was told.
    told: BTreeSet<String>,
}

impl Watch {
    pub(super) fn new(found: Option<&Container>) -> Self {
        let now = Instant::now();
        let seen = (found.map(|found| found.started.clone()).unwrap_or_default(), now);
        let restarts = found.map_or(0, |found| found.restarts);
        let (output, told) = (Vec::new(), BTreeSet::new());
        Self { since: now, restarts, down: None, end: None, seen, output, same: now, told }
    }

    /// What its health check prints now. Returns whether that is something new.
    pub(super) fn printed(&mut self, output: Vec<String>) -> bool {
        let keys = |lines: &[String]| lines.iter().map(|line| repeated::key(line)).collect::<Vec<_>>();
        let is_new = keys(&output) != keys(&self.output);
        if is_new {
            self.same = Instant::now();
        }
        self.output = output;
        is_new
    }

    /// What its health check has been printing for a while, once.
    pub(super) fn note(&mut self) -> Option<String> {
        let text = self.output.join(" / ");
        let is_due = !text.is_empty() && self.same.elapsed() >= PATIENCE;
        (is_due && self.told.insert(repeated::key(&text))).then_some(text)
    }

    /// Looks at the service again. Returns why it is not expected to become healthy by itself, if it is not.
    /// `memory` is its limit.
    pub(super) fn stays_down(&mut self, found: Option<&Container>, memory: Option<Size>) -> Option<String> {
        let Some(found) = found else { return Some("does not stay up: its container was removed".into()) };
        if found.started != self.seen.0 {
            self.seen = (found.started.clone(), Instant::now());
        }
        // While a container runs, engines report 0.
        if !found.is_running() {
            self.end = Some(found.end(memory));
        }
        self.down = if found.is_running() { None } else { self.down.or_else(|| Some(Instant::now())) };
        if self.is_looping(found) {
            let again = found.restarts.saturating_sub(self.restarts);
            let times = again.max(1) + u64::from(!found.is_running());
            return Some(ending::again_and_again(times, self.end.as_deref()));
        }
        let is_down = self.down.is_some_and(|down| down.elapsed() > PATIENCE) && found.state != "restarting";
        is_down.then(|| ending::not_running(&found.state, &found.end(memory)))
    }

    /// Whether it ends again and again.
    pub(super) fn is_looping(&self, found: &Container) -> bool {
        let again = found.restarts.saturating_sub(self.restarts);
        let loops = again >= MANY_RESTARTS || found.state == "restarting" && found.restarts >= MANY_RESTARTS;
        loops && self.since.elapsed() > PATIENCE
    }

    /// Whether it has been running for some seconds without a restart.
    pub(super) fn is_steady(&self) -> bool {
        self.down.is_none() && self.seen.1.elapsed() >= Duration::from_secs(STEADY.unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `up` said nothing for 180 s.
    #[test]
    fn what_a_check_goes_on_printing_is_told_once() {
        let mut watch = Watch::new(None);
        let printed = |line: &str| vec![line.to_owned()];
        assert!(watch.printed(printed("01:00:00 503 Service Unavailable")));
        assert_eq!(watch.note(), None);
        watch.same = watch.same.checked_sub(PATIENCE).unwrap();
        assert!(!watch.printed(printed("01:00:05 503 Service Unavailable")));
        assert_eq!(watch.note().as_deref(), Some("01:00:05 503 Service Unavailable"));
        assert_eq!(watch.note(), None);
        // It may come back.
        assert!(watch.printed(printed("500")) && watch.printed(printed("01:00:09 503 Service Unavailable")));
        watch.same = watch.same.checked_sub(PATIENCE).unwrap();
        assert_eq!(watch.note(), None);
    }
}
