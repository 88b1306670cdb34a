//! Services: their order, their state, their health.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;

use super::load::is_image;
use super::tasks::once;
use super::{Deployment, Engine};
use crate::deploy;
use crate::failure::Failure;
use crate::profile::model::On;
use crate::ui::Ui;

/// Between two looks at what is not healthy yet.
const PAUSE: Duration = Duration::from_millis(300);
/// Lines of its log that are shown of a service that does not get healthy.
const LAST_LINES: &str = "20";

/// What the engine says of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// There is none.
    Absent,
    /// It runs.
    Running,
    /// Anything else, in the engine's word: `exited`, `restarting`.
    #[serde(untagged)]
    Other(String),
}

/// What the health command says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// It exited with 0, or there is none and the service runs.
    Healthy,
    /// It did not.
    Unhealthy,
    /// The service does not run.
    Down,
}

/// One service as it is now.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// Its name.
    pub service: String,
    /// Its container.
    pub container: String,
    /// What the engine says.
    pub state: State,
    /// What its health command says.
    pub health: Health,
    /// Whether the container was made from another image than the bundle's.
    pub drifted: bool,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Absent => "absent",
            Self::Running => "running",
            Self::Other(word) => word,
        })
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Down => "down",
        })
    }
}

impl Deployment {
    /// The container of a service.
    #[must_use]
    pub fn container(&self, service: &str) -> String {
        format!("{}_{service}", deploy::project_name(&self.profile.model))
    }

    /// A service's name, if the profile has it.
    ///
    /// # Errors
    /// [`Failure::usage`] that lists what there is.
    pub fn service(&self, name: &str) -> Result<String> {
        let known: Vec<&str> = self.profile.model.services.keys().map(|key| key.get_ref().as_str()).collect();
        if known.contains(&name) {
            return Ok(self.container(name));
        }
        Err(Failure::usage(format!("no service is called `{name}`")).hint(known.join(", ")).into())
    }

    /// The names of its volumes.
    #[must_use]
    pub fn volumes(&self) -> Vec<String> {
        let model = &self.profile.model;
        let volumes: BTreeSet<&String> = model.services.values().flat_map(|service| service.volumes.keys()).collect();
        volumes.into_iter().map(|volume| format!("{}_{volume}", deploy::project_name(model))).collect()
    }

    /// The services, each behind those that it depends on.
    #[must_use]
    pub fn order(&self) -> Vec<&str> {
        let mut order = Vec::new();
        for name in self.profile.model.services.keys() {
            self.before(name.get_ref(), &mut order);
        }
        order
    }

    /// Appends what `service` depends on, and then itself. The profile's check refuses circles.
    fn before<'d>(&'d self, service: &'d str, order: &mut Vec<&'d str>) {
        if order.contains(&service) {
            return;
        }
        for other in &self.profile.model.services[service].depends_on {
            self.before(other.get_ref(), order);
        }
        order.push(service);
    }

    /// A service as it is now.
    ///
    /// # Errors
    /// When the engine cannot be run.
    pub fn status(&self, engine: &Engine, service: &str) -> Result<Status> {
        let spec = &self.profile.model.services[service];
        let container = self.container(service);
        let told = engine.run(&["container", "inspect", "--format", "{{.State.Status}} {{.Image}}", &container]);
        let (state, drifted) = match told.as_deref().map(|text| text.trim().split_once(' ')) {
            Ok(Some((state, image))) => {
                let made = self.manifest.images.iter().find(|made| made.name == *spec.image.get_ref());
                let state = if state == "running" { State::Running } else { State::Other(state.to_owned()) };
                (state, made.is_some_and(|made| !is_image(made, image)))
            }
            _ => (State::Absent, false),
        };
        let health = match (&state, &spec.health) {
            (State::Running, None) => Health::Healthy,
            (State::Running, Some(check)) => {
                let mut arguments = vec!["exec", container.as_str()];
                arguments.extend(check.command.iter().map(String::as_str));
                match engine.succeeds(&arguments, Duration::from_secs(check.timeout.into()))? {
                    true => Health::Healthy,
                    false => Health::Unhealthy,
                }
            }
            _ => Health::Down,
        };
        Ok(Status { service: service.to_owned(), container, state, health, drifted })
    }

    /// Starts everything in order, with the tasks that belong to a start, and waits until all is healthy.
    ///
    /// # Errors
    /// What the engine says, or [`Failure`] with the last log lines of what does not get healthy within `limit`.
    pub fn start(&self, engine: &Engine, limit: Duration, ui: &Ui) -> Result<()> {
        let model = &self.profile.model;
        for service in self.order() {
            let status = self.status(engine, service)?;
            if status.drifted {
                ui.note(&format!("{service}: of another version, is made anew"));
                engine.run(&["rm", "--force", &status.container])?;
            } else if status.state == State::Running {
                continue;
            }
            let tasks = model.tasks.iter().filter(|(_, task)| task.on == Some(On::Up));
            let tasks: Vec<_> = tasks.filter(|(_, task)| task.service.get_ref() == service).collect();
            if !tasks.is_empty() {
                let mut needed = Vec::new();
                self.before(service, &mut needed);
                needed.pop();
                self.wait(engine, &needed, limit, ui)?;
                for (name, task) in tasks {
                    let phase = ui.phase(&format!("Task {}", name.get_ref()), 0);
                    engine.compose(&once(task, &[]))?;
                    phase.finish("done");
                }
            }
            engine.compose(&["up", "-d", "--no-deps", service])?;
        }
        self.wait(engine, &self.order(), limit, ui)
    }

    /// Waits until `services` are healthy.
    fn wait(&self, engine: &Engine, services: &[&str], limit: Duration, ui: &Ui) -> Result<()> {
        let start = Instant::now();
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
            if start.elapsed() > limit {
                return Err(self.unhealthy(engine, &waiting, limit).into());
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn unhealthy(&self, engine: &Engine, services: &BTreeSet<&str>, limit: Duration) -> Failure {
        let mut message = format!("not healthy after {} s:", limit.as_secs());
        for service in services {
            message += &format!("\n  {service}, its last log lines:");
            let output = engine.command(&["logs", "--tail", LAST_LINES, &self.container(service)]).output();
            // Each stream of the container comes out of the same stream of the engine.
            for text in output.iter().flat_map(|output| [&output.stdout, &output.stderr]) {
                for line in String::from_utf8_lossy(text).lines() {
                    message += &format!("\n    {line}");
                }
            }
        }
        Failure::failed(message).hint("what is started stays so: `logs SERVICE` shows more, `up` goes on from here")
    }
}
