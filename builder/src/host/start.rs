//! Starting and stopping all services.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::tasks::once;
use super::{Deployment, Engine, Health, Host, State};
use crate::deploy::MADE_FROM_VARIABLE;
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
        let facts = host.facts()?;
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
        self.give_groups(host.engine, &facts)?;
        Ok(report)
    }

    /// Starts everything in order, with the tasks that belong to a start, and waits until all is healthy.
    ///
    /// What runs and was made from what is here now is left alone.
    ///
    /// # Errors
    /// What the engine says, or [`Failure`] with the last log lines of what does not get healthy in time.
    pub fn start(&self, engine: &Engine, deadline: Deadline, ui: &Ui) -> Result<()> {
        let model = &self.profile.model;
        for service in self.order() {
            let status = self.state(engine, service)?;
            if let Some(why) = status.outdated() {
                ui.note(&format!("{service} is made anew: {why}"));
                self.remove(engine, service)?;
            } else if status.state == State::Running {
                continue;
            }
            let tasks = model.tasks.iter().filter(|(_, task)| task.on == Some(On::Up));
            let tasks: Vec<_> = tasks.filter(|(_, task)| task.service.get_ref() == service).collect();
            if !tasks.is_empty() {
                let mut needed = Vec::new();
                self.before(service, &mut needed);
                needed.pop();
                self.wait(engine, &needed, deadline, ui)?;
                for (name, task) in tasks {
                    let phase = ui.phase(&format!("Task {}", name.get_ref()), 0);
                    let mut said = Vec::new();
                    if !engine.compose_run(&once(task, &[]), &mut said)? {
                        let message = format!(
                            "the task {} failed:\n{}",
                            name.get_ref(),
                            String::from_utf8_lossy(&said).trim_end()
                        );
                        let hint = format!("{service} was not started; `up` goes on from here");
                        return Err(Failure::failed(message).hint(hint).into());
                    }
                    phase.finish("done");
                }
            }
            let from = self.made_from(service)?;
            let said = engine.compose(&["up", "-d", "--no-deps", service], &[(MADE_FROM_VARIABLE, &from)])?;
            // podman-compose exits with 0 whatever podman says.
            let state = self.state(engine, service)?.state;
            if state == State::Absent || state == State::Other("created".to_owned()) {
                let message = format!("{service} could not be started:\n{}", said.trim());
                let failure = Failure::failed(message);
                return Err(match super::answers::hint(&said) {
                    Some(hint) => failure.hint(hint).into(),
                    None => failure.into(),
                });
            }
        }
        self.wait(engine, &self.order(), deadline, ui)
    }

    /// Stops all services, the last one first, each with time to end by itself, and removes their containers.
    ///
    /// # Errors
    /// What the engine says.
    pub fn stop(&self, engine: &Engine) -> Result<()> {
        for service in self.order().into_iter().rev() {
            if self.state(engine, service)?.state != State::Absent {
                engine.run(&["stop", "-t", STOP, &self.container(service)?])?;
            }
        }
        engine.compose(&["down"], &[]).map(drop)
    }

    fn remove(&self, engine: &Engine, service: &str) -> Result<()> {
        let container = self.container(service)?;
        // `rm` of Docker would kill it at once.
        engine.run(&["stop", "-t", STOP, &container])?;
        engine.run(&["rm", "--force", &container]).map(drop)
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
        let hint = "what is started stays so: `logs SERVICE` shows more, `up` goes on from here";
        Ok(Failure::failed(message).hint(hint))
    }
}
