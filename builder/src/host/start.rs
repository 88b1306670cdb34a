//! Starting and stopping all services.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::answers::hint;
use super::tasks::once;
use super::{Deployment, Engine, Health, Host, State, Status};
use crate::deploy::made_from_variable;
use crate::failure::Failure;
use crate::profile::model::On;
use crate::site::{self, SiteRequest};
use crate::ui::Ui;

/// Between two looks at what is not healthy yet.
const PAUSE: Duration = Duration::from_millis(300);
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
    ) -> Result<site::Report> {
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
        self.make(engine, ui)?;
        for service in self.order() {
            if self.state(engine, service)?.state == State::Running {
                continue;
            }
            self.run_tasks_of(engine, service, deadline, ui)?;
            let started = engine.run(&["start", &self.container(service)?]);
            started.map_err(|error| not_started(service, &error.to_string()))?;
        }
        self.wait(engine, &self.order(), deadline, ui)
    }

    /// Makes the containers that are missing or outdated, all in one go and none of them started: compose does it, and
    /// podman-compose 1.0 looks at everything that a service depends on again, with a second's sleep each.
    fn make(&self, engine: &Engine, ui: &Ui) -> Result<()> {
        let mut missing = Vec::new();
        for service in self.order() {
            let status = self.state(engine, service)?;
            if let Some(why) = status.outdated() {
                ui.note(&format!("{service} is made anew: {why}"));
                self.end(engine, &status)?;
                engine.run(&["rm", "--force", &status.container])?;
            } else if status.state != State::Absent {
                continue;
            }
            missing.push(service);
        }
        if missing.is_empty() {
            return Ok(());
        }
        let phase = ui.phase("Making containers", 0);
        let mut variables = Vec::new();
        for service in &missing {
            variables.push((made_from_variable(service), self.made_from(service)?));
        }
        let said = engine.compose(&[&["up", "--no-start", "--no-deps"], &missing[..]].concat(), &variables)?;
        // podman-compose exits with 0 whatever podman says.
        for service in &missing {
            if self.state(engine, service)?.state == State::Absent {
                return Err(not_started(service, &said).into());
            }
        }
        phase.finish(&missing.join(", "));
        Ok(())
    }

    /// Runs the tasks that come before a start of `service`, when all that it depends on is healthy.
    fn run_tasks_of(&self, engine: &Engine, service: &str, deadline: Deadline, ui: &Ui) -> Result<()> {
        let tasks = self.profile.model.tasks.iter().filter(|(_, task)| task.on == Some(On::Up));
        let tasks: Vec<_> = tasks.filter(|(_, task)| task.service.get_ref() == service).collect();
        if tasks.is_empty() {
            return Ok(());
        }
        let mut needed = Vec::new();
        self.before(service, &mut needed);
        needed.pop();
        self.wait(engine, &needed, deadline, ui)?;
        for (name, task) in tasks {
            let phase = ui.phase(&format!("Task {}", name.get_ref()), 0);
            let mut said = Vec::new();
            if !engine.compose_run(&once(task, &[]), &mut said)? {
                let message =
                    format!("the task {} failed:\n{}", name.get_ref(), String::from_utf8_lossy(&said).trim_end());
                let next = format!("{service} was not started; `up` goes on from here");
                return Err(Failure::failed(message).hint(next).into());
            }
            phase.finish("done");
        }
        Ok(())
    }

    /// Stops all services, the last one first, each with time to end by itself, and removes their containers.
    ///
    /// # Errors
    /// What the engine says.
    pub fn stop(&self, engine: &Engine) -> Result<()> {
        for service in self.order().into_iter().rev() {
            self.end(engine, &self.state(engine, service)?)?;
        }
        engine.compose(&["down"], &[]).map(drop)
    }

    /// Stops a service that was started, with time to end by itself, which `rm` and `down` would not give.
    fn end(&self, engine: &Engine, status: &Status) -> Result<()> {
        if status.state != State::Absent && status.state != State::Other("created".to_owned()) {
            engine.run(&["stop", "-t", STOP, &status.container])?;
        }
        Ok(())
    }

    /// Waits until `services` are healthy.
    fn wait(&self, engine: &Engine, services: &[&str], deadline: Deadline, ui: &Ui) -> Result<()> {
        let phase = ui.steps("Waiting for health", services.len() as u64);
        let mut waiting: BTreeSet<&str> = services.iter().copied().collect();
        loop {
            for service in waiting.clone() {
                phase.item(service);
                if self.status(engine, service)?.health == Health::Healthy {
                    waiting.remove(service);
                    phase.inc(1);
                }
            }
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

    fn unhealthy(&self, engine: &Engine, services: &BTreeSet<&str>, deadline: Deadline) -> Result<Failure> {
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
