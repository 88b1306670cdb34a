//! The order of a start: each service is started once everything that it depends on is ready, and is watched until it is
//! healthy.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Result;

use super::context::Containers;
use super::output::Container;
use super::watch::Watch;
use crate::failure::Failure;
use crate::finding::Findings;
use crate::host::ending;
use crate::host::pause::Pause;
use crate::host::runtime::{Deadline, Runtime};
use crate::host::status::HealthState;
use crate::profile::model::{Condition, Size};
use crate::render::container::HostLayout;
use crate::ui::Ui;

/// Time from the moment when all are healthy until the last look at them.
const SETTLE: Duration = Duration::from_secs(1);

/// A start in progress.
pub(super) struct Start<'a> {
    pub(super) containers: &'a Containers<'a>,
    pub(super) layout: &'a HostLayout,
    pub(super) deadline: Deadline,
    pub(super) ui: &'a Ui,
    /// Services that were not started yet, in the order of their start.
    waiting: Vec<&'a str>,
    /// Services that were started and are not healthy yet.
    starting: Vec<&'a str>,
    healthy: BTreeSet<&'a str>,
    /// The runs in which services were found healthy.
    runs: BTreeMap<&'a str, Run>,
    /// Services that ended after they had been healthy: they have to be so for some seconds now.
    fallen: BTreeSet<&'a str>,
    /// Whether a container was started.
    has_started: bool,
    /// Services whose tasks of a start have been run.
    prepared: BTreeSet<&'a str>,
    watches: BTreeMap<&'a str, Watch>,
    /// What was found at the last look that differed from the one before.
    found: BTreeMap<&'a str, Container>,
    /// Until the next look.
    pause: Pause,
}

/// What differs from one start of a container to the next one: when that was, and how many were before.
pub(super) type Run = (String, u64);

impl<'a> Start<'a> {
    /// The start of a deployment of whose services `stopped` do not run, though their containers exist. Those that are `kept`
    /// do, and will be recreated: they are not waited for, as they may be what has to be mended. Nor are those that were healthy
    /// `earlier`, unless they have ended since.
    pub(super) fn new(
        containers: &'a Containers<'a>,
        layout: &'a HostLayout,
        (stopped, kept, earlier): (&[String], &BTreeSet<String>, BTreeMap<&'a str, Run>),
        deadline: Deadline,
        ui: &'a Ui,
    ) -> Self {
        let is_stopped = |service: &&str| stopped.iter().any(|other| other == service);
        let model = &containers.deployment.profile.model;
        let order = containers.deployment.instances().into_iter();
        let order = order.filter(|service| model.service(service).schedule().is_none());
        let (waiting, running): (Vec<&str>, Vec<&str>) = order.partition(is_stopped);
        let runs: BTreeMap<&str, Run> =
            earlier.into_iter().filter(|(service, _)| running.contains(service) && !kept.contains(*service)).collect();
        let (healthy, starting): (Vec<&str>, Vec<&str>) =
            running.into_iter().partition(|service| kept.contains(*service) || runs.contains_key(service));
        let (healthy, prepared, watches) = (healthy.into_iter().collect(), BTreeSet::new(), BTreeMap::new());
        let (fallen, has_started) = (BTreeSet::new(), false);
        Self {
            containers,
            layout,
            deadline,
            ui,
            waiting,
            starting,
            healthy,
            runs,
            fallen,
            has_started,
            prepared,
            watches,
            found: BTreeMap::new(),
            pause: Pause::new(),
        }
    }

    /// Starts all services, with the tasks that belong to a start, and waits until all are healthy. Returns the runs in which they
    /// were.
    ///
    /// # Errors
    /// Those of the engine; [`Failure`] when a task fails, when a service does not stay up, and at the deadline.
    pub(super) fn run(mut self) -> Result<BTreeMap<&'a str, Run>> {
        loop {
            self.start_ready()?;
            if self.starting.is_empty() {
                self.look_again()?;
            }
            if self.starting.is_empty() {
                return Ok(self.runs);
            }
            self.wait()?;
        }
    }

    /// The last look: those that have ended since they were healthy are waited for again. A check may succeed once, before
    /// the service crashes.
    fn look_again(&mut self) -> Result<()> {
        if self.has_started {
            std::thread::sleep(SETTLE);
        }
        let found = self.containers.inspected()?;
        let has_ended = |(service, run): &(&&'a str, &Run)| {
            found.get(**service).is_none_or(|found| !found.is_running() || found.run() != **run)
        };
        self.starting = self.runs.iter().filter(has_ended).map(|(service, _)| *service).collect();
        self.fallen.extend(&self.starting);
        self.healthy.retain(|service| !self.starting.contains(service));
        self.runs.retain(|service, _| !self.starting.contains(service));
        Ok(())
    }

    /// Starts those whose dependencies are ready: those with tasks one by one, the others together.
    fn start_ready(&mut self) -> Result<()> {
        let model = &self.containers.deployment.profile.model;
        while let Some(at) = self.waiting.iter().position(|service| self.is_ready(service)) {
            let mut batch = vec![self.waiting.remove(at)];
            let service = model.service_of(batch[0]).0;
            if self.prepared.insert(service) {
                self.containers.run_start_tasks(service, self.ui)?;
            }
            let together = |instance: &&str| {
                let service = model.service_of(instance).0;
                let is_prepared = self.prepared.contains(service) || !self.containers.has_start_tasks(service);
                self.is_ready(instance) && is_prepared
            };
            batch.extend(self.waiting.iter().copied().filter(together));
            self.waiting.retain(|service| !batch.contains(service));
            self.containers.start_containers(self.layout, &batch)?;
            self.has_started = true;
            self.starting.extend(batch);
        }
        Ok(())
    }

    fn is_ready(&self, service: &str) -> bool {
        let is_met = |other: &str, condition| match condition {
            Condition::Healthy | Condition::Completed => self.healthy.contains(other),
            Condition::Started => self.healthy.contains(other) || self.starting.contains(&other),
        };
        // Of replicas, one is enough, as soon as the others are started: programs that look the name up once find all.
        let met = |(other, condition): (&str, Condition)| {
            let instances = self.containers.deployment.instances_of(other);
            let is_started = |instance: &&str| is_met(instance, Condition::Started);
            instances.iter().all(is_started) && instances.into_iter().any(|instance| is_met(instance, condition))
        };
        self.containers.deployment.profile.model.conditions(service).into_iter().all(met)
    }

    /// Waits until a service can be started that waits, or until all are healthy.
    fn wait(&mut self) -> Result<()> {
        let phase = self.ui.steps("Waiting for health", self.starting.len() as u64);
        let mut done = Vec::new();
        loop {
            phase.item(&self.starting.join(", "));
            let healthy = self.look()?;
            phase.inc(healthy.len() as u64);
            self.starting.retain(|service| !healthy.contains(service));
            self.healthy.extend(&healthy);
            done.extend(healthy);
            if self.starting.is_empty() || self.waiting.iter().any(|service| self.is_ready(service)) {
                phase.finish(&done.join(", "));
                return Ok(());
            }
            if self.deadline.is_over() {
                return Err(self.late().into());
            }
            self.pause.sleep(self.deadline);
        }
    }

    /// Those of the services that are healthy now.
    fn look(&mut self) -> Result<Vec<&'a str>> {
        let found = self.containers.inspected()?;
        let mut healthy = self.completed(&found)?;
        let model = &self.containers.deployment.profile.model;
        for service in self.starting.iter().filter(|service| !model.service(service).runs_once()) {
            let watch = self.watches.entry(service).or_insert_with(|| Watch::new(found.get(service)));
            if watch.end.is_none() && found.get(service).is_some_and(|found| watch.is_looping(found)) {
                watch.end = self.containers.last_end(service);
            }
            if let Some(why) = watch.stays_down(found.get(service), model.service(service).memory) {
                let end = watch.end.clone();
                return Err(self.does_not_stay_up(service, &why, end.as_deref()).into());
            }
        }
        let (mut notes, mut is_changed) = (Vec::new(), false);
        let running: Vec<(&str, &Container)> = self
            .starting
            .iter()
            .filter(|service| !self.runs_once(service))
            .filter_map(|service| Some((*service, found.get(service).filter(|found| found.is_running())?)))
            .collect();
        for ((service, container), health) in running.iter().zip(self.containers.healths(&running)?) {
            let watch = self.watches.get_mut(service);
            let steady = watch.as_ref().is_some_and(|watch| watch.is_steady());
            let has_check = self.containers.deployment.profile.model.service(service).health.is_some();
            let is_healthy = match (health.state == HealthState::Healthy, has_check) {
                (true, true) => steady || !self.fallen.contains(service),
                (true, false) => true,
                (false, has_check) => steady && !has_check,
            };
            if is_healthy {
                healthy.push(*service);
                self.runs.insert(*service, container.run());
            } else if let Some(watch) = watch {
                is_changed |= watch.printed(health.output);
                notes.extend(watch.note().map(|text| format!("{service}: health check: {text}")));
            }
        }
        let left = self.deadline.left().as_secs();
        notes.iter().for_each(|note| self.ui.note(&format!("{note}; waiting until it succeeds, at most {left} s")));
        if is_changed || !healthy.is_empty() || found != self.found {
            (self.pause, self.found) = (Pause::new(), found);
        }
        Ok(self.starting.iter().copied().filter(|service| healthy.contains(service)).collect())
    }

    fn memory(&self, service: &str) -> Option<Size> {
        self.containers.deployment.profile.model.service(service).memory
    }

    fn runs_once(&self, service: &str) -> bool {
        self.containers.deployment.profile.model.service(service).runs_once()
    }

    /// Those of the services that run once and have ended as they should.
    fn completed(&self, found: &BTreeMap<&str, Container>) -> Result<Vec<&'a str>> {
        let mut completed = Vec::new();
        for service in self.starting.iter().copied().filter(|service| self.runs_once(service)) {
            match found.get(service) {
                Some(container) if container.is_completed() => completed.push(service),
                Some(container) if container.state == "exited" => {
                    return Err(self.failed(service, container).into());
                }
                _ => {}
            }
        }
        Ok(completed)
    }

    fn failed(&self, service: &str, container: &Container) -> Failure {
        let mut message = format!("{service} failed with {}", container.end(self.memory(service)));
        for line in self.containers.last_log_lines(service) {
            message += &format!("\n    {line}");
        }
        message += &self.explained(service);
        let hint = format!("mend the cause and run `up` again; `logs {service}` shows more");
        Failure::failed(message).hint(hint)
    }

    fn does_not_stay_up(&self, service: &str, why: &str, end: Option<&str>) -> Failure {
        let mut message = format!("{service} {why}");
        let lines = self.containers.last_log_lines(service);
        lines.iter().for_each(|line| message += &format!("\n    {line}"));
        message += &self.explained(service);
        Failure::failed(message).hint(ending::hint(service, end, &lines))
    }

    /// What else may be the reason, below the log lines.
    fn explained(&self, service: &str) -> String {
        let mut findings = Findings::default();
        // The failure of the service is the one to be told.
        let _unknown = self.containers.explain(service, &mut findings);
        findings.0.iter().map(|finding| format!("\n  {}", finding.to_string().replace('\n', "\n  "))).collect()
    }

    /// The failure at the deadline.
    fn late(&self) -> Failure {
        let mut message = format!("not healthy after {} s:", self.deadline.seconds());
        for service in &self.starting {
            for line in self.watches.get(service).iter().flat_map(|watch| &watch.output) {
                message += &format!("\n  {service}, its health check: {line}");
            }
            message += &format!("\n  {service}, its last log lines:");
            for line in self.containers.last_log_lines(service) {
                message += &format!("\n    {line}");
            }
            message += &self.explained(service);
        }
        for service in &self.waiting {
            let conditions = self.containers.deployment.profile.model.conditions(service);
            let is_healthy = |service: &str| {
                self.containers.deployment.instances_of(service).iter().any(|instance| self.healthy.contains(instance))
            };
            let missing = conditions.iter().map(|(other, _)| *other).filter(|other| !is_healthy(other));
            let missing: Vec<&str> = missing.collect();
            message += &format!("\n  {service} was not started: it waits for {}", missing.join(", "));
        }
        Failure::failed(message)
            .hint("started services keep running; `logs SERVICE` shows more, and `up` continues the start")
    }
}
