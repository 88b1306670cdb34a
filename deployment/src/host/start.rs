//! Starting and stopping all services.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::answers::hint;
use super::{Deployment, Engine, Health, Host, State, Status};
use crate::failure::Failure;
use crate::profile::model::{On, Task};
use crate::render::container::{self, Place};
use crate::site::{self, SiteRequest};
use crate::ui::Ui;

/// Between two looks at what is not healthy yet.
const PAUSE: Duration = Duration::from_millis(100);
/// Seconds that a service gets to end by itself: a database writes what it has in memory.
const STOP: &str = "30";

/// When all has to be healthy: one for a whole start, however many waits it has.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    start: Instant,
    limit: Duration,
}

impl Deadline {
    /// So far from now.
    #[must_use]
    pub fn after(limit: Duration) -> Self {
        Self { start: Instant::now(), limit }
    }

    fn is_over(&self) -> bool {
        self.start.elapsed() > self.limit
    }
}

impl Deployment {
    /// Makes or brings up to date the site, so that the services can read it: [`site::create`] in the folder `site`.
    ///
    /// # Errors
    /// As there.
    pub fn prepare_site(
        &self,
        host: Host<'_>,
        name: Option<&str>,
        ports: &BTreeMap<String, u16>,
        self_signed: bool,
    ) -> Result<site::SiteReport> {
        let facts = host.engine.facts()?;
        let report = site::create(&SiteRequest {
            directory: &self.folder.join("site"),
            model: &self.profile.model,
            sources: &self.profile.sources,
            host: name,
            ports: ports.clone(),
            days_left: None,
            leave_groups: facts.rootless,
            self_signed,
            now: host.now,
        })?;
        self.give_groups(host.engine, facts)?;
        Ok(report)
    }

    /// Starts everything in order, with the tasks that belong to a start, and waits until all is healthy.
    ///
    /// What runs and was made from what is here now is left alone.
    ///
    /// # Errors
    /// What the engine says, or [`Failure`] with the last log lines of what does not get healthy in time.
    pub fn start(&self, engine: &Engine, deadline: Deadline, ui: &Ui) -> Result<()> {
        let place = self.place()?;
        let mut ready = Vec::new();
        for service in self.make(engine, &place, ui)? {
            if self.tasks_of(service).next().is_some() {
                self.start_these(engine, &place, &ready)?;
                ready.clear();
                self.run_tasks_of(engine, &place, service, deadline, ui)?;
            }
            ready.push(service);
        }
        self.start_these(engine, &place, &ready)?;
        self.wait(engine, &place, &self.order(), deadline, ui)
    }

    /// Makes the containers that are missing or outdated; none of them is started. Gives the services that do not run then,
    /// in their order.
    fn make(&self, engine: &Engine, place: &Place, ui: &Ui) -> Result<Vec<&str>> {
        let states = self.states(engine)?;
        let outdated: Vec<_> = states.iter().filter_map(|status| Some((status, status.outdated()?))).collect();
        for (status, why) in outdated.into_iter().rev() {
            ui.note(&format!("{} is made anew: {why}", status.service));
            Self::end(engine, status)?;
            engine.run(&["rm", "--force", &status.container])?;
        }
        let missing = |status: &Status| status.state == State::Absent || status.outdated().is_some();
        let all = || self.order().into_iter().zip(&states);
        let absent: Vec<&str> = all().filter(|(_, status)| missing(status)).map(|(service, _)| service).collect();
        if !absent.is_empty() {
            let phase = ui.phase("Making containers", 0);
            engine.make("network", &container::network(place))?;
            let volumes: BTreeSet<&String> =
                absent.iter().flat_map(|service| self.profile.model.services[*service].volumes.keys()).collect();
            for volume in volumes {
                engine.make("volume", &container::volume(place, volume))?;
            }
            for service in &absent {
                let mut arguments = vec!["create".to_owned()];
                arguments.extend(container::made_from(&self.made_from(place, service)?));
                arguments.extend(container::create(&self.profile.model, service, place));
                engine.run(&arguments).map_err(|error| not_started(service, &error.to_string()))?;
            }
            phase.finish(&absent.join(", "));
        }
        let stopped = |(_, status): &(&str, &Status)| missing(status) || status.state != State::Running;
        Ok(all().filter(stopped).map(|(service, _)| service).collect())
    }

    /// Starts services whose containers are there.
    fn start_these(&self, engine: &Engine, place: &Place, services: &[&str]) -> Result<()> {
        if services.is_empty() {
            return Ok(());
        }
        let mut arguments = vec!["start".to_owned()];
        arguments.extend(services.iter().map(|service| place.named(service)));
        let Err(error) = engine.run(&arguments) else { return Ok(()) };
        // It goes on with the others.
        let states = self.states(engine)?;
        let left = states.iter().filter(|status| status.state != State::Running).map(|status| status.service.as_str());
        let left: Vec<&str> = left.filter(|service| services.contains(service)).collect();
        Err(not_started(&left.join(", "), &error.to_string()).into())
    }

    /// The tasks that come before a start of `service`.
    fn tasks_of(&self, service: &str) -> impl Iterator<Item = (&str, &Task)> {
        let tasks = self.profile.model.tasks.iter().map(|(name, task)| (name.get_ref().as_str(), task));
        tasks.filter(move |(_, task)| task.on == Some(On::Up) && task.service.get_ref() == service)
    }

    /// Runs the tasks that come before a start of `service`, when all that it depends on is healthy.
    fn run_tasks_of(&self, engine: &Engine, place: &Place, service: &str, deadline: Deadline, ui: &Ui) -> Result<()> {
        let mut needed = Vec::new();
        self.before(service, &mut needed);
        needed.pop();
        self.wait(engine, place, &needed, deadline, ui)?;
        for (name, task) in self.tasks_of(service) {
            let phase = ui.phase(&format!("Task {name}"), 0);
            let output = self.once(engine, task, &[])?.output()?;
            if !output.status.success() {
                let said =
                    [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
                let next = format!("{service} was not started; `up` goes on from here");
                return Err(Failure::failed(format!("the task {name} failed:\n{}", said.trim_end())).hint(next).into());
            }
            phase.finish("done");
        }
        Ok(())
    }

    /// Stops all services, the last one first, each with time to end by itself, and removes their containers and network.
    ///
    /// # Errors
    /// What the engine says.
    pub fn stop(&self, engine: &Engine) -> Result<()> {
        let mut remove = vec!["rm".to_owned(), "--force".to_owned()];
        for status in self.states(engine)?.into_iter().rev().filter(|status| status.state != State::Absent) {
            Self::end(engine, &status)?;
            remove.push(status.container);
        }
        if remove.len() > 2 {
            engine.run(&remove)?;
        }
        engine.remove_network(&self.place()?.network())
    }

    /// Stops a service that was started, with time to end by itself, which `rm` would not give.
    fn end(engine: &Engine, status: &Status) -> Result<()> {
        if status.state != State::Absent && status.state != State::Other("created".to_owned()) {
            engine.run(&["stop", "-t", STOP, &status.container])?;
        }
        Ok(())
    }

    /// Waits until `services` are healthy.
    fn wait(&self, engine: &Engine, place: &Place, services: &[&str], deadline: Deadline, ui: &Ui) -> Result<()> {
        let phase = ui.steps("Waiting for health", services.len() as u64);
        let mut waiting = services.to_vec();
        loop {
            phase.item(&waiting.join(", "));
            let healths = self.healths(engine, place, &waiting)?;
            let healthy = healths.iter().filter(|health| **health == Health::Healthy).count();
            let mut healths = healths.into_iter();
            waiting.retain(|_| healths.next() != Some(Health::Healthy));
            phase.inc(healthy as u64);
            if waiting.is_empty() {
                phase.finish(&services.join(", "));
                return Ok(());
            }
            if deadline.is_over() {
                return Err(self.unhealthy(engine, &waiting, deadline)?.into());
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn unhealthy(&self, engine: &Engine, services: &[&str], deadline: Deadline) -> Result<Failure> {
        let mut message = format!("not healthy after {} s:", deadline.limit.as_secs());
        for service in services {
            message += &format!("\n  {service}, its last log lines:");
            for line in self.last_lines(engine, service)? {
                message += &format!("\n    {line}");
            }
        }
        let next = "what is started stays so: `logs SERVICE` shows more, `up` goes on from here";
        Ok(Failure::failed(message).hint(next))
    }
}

fn not_started(service: &str, said: &str) -> Failure {
    let failure = Failure::failed(format!("{service} could not be started:\n{}", said.trim()));
    match hint(said) {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
