//! Services: their names, their order, their state and health.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::answers::{self, Told};
use super::load::is_image;
use super::{Deployment, Engine};
use crate::failure::Failure;
use crate::render::container::Place;

/// Lines of its log that are shown of a service that is not healthy.
const LAST_LINES: &str = "20";
/// Runs what follows with a time limit (the first argument, in seconds), in the container itself: a command whose client
/// is killed goes on there. Where the image has no `timeout`, the client's limit is the only one.
const LIMITED: &str =
    r#"limit=$1; shift; command -v timeout >/dev/null && exec timeout -s KILL "$limit" "$@"; exec "$@""#;
/// What the client waits beyond that.
const GRACE: Duration = Duration::from_secs(3);

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

/// Whether a container was made from the settings that are here now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Settings {
    /// It was, or there is no container.
    Current,
    /// Something differs: ports, env files, certificates, configuration, the folder.
    Changed,
    /// It was made by hand: nobody noted it.
    Unknown,
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
    /// Whether it was made from the settings that are here now.
    pub settings: Settings,
    /// Ports of the host that its container publishes.
    pub ports: BTreeSet<u16>,
}

impl Status {
    /// Why the container has to be made anew, if it has to.
    #[must_use]
    pub fn outdated(&self) -> Option<&'static str> {
        match (self.drifted, self.settings) {
            (true, _) => Some("another version's image"),
            (false, Settings::Changed) => Some("its settings changed"),
            (false, Settings::Unknown) => Some("it was made by hand"),
            (false, Settings::Current) => None,
        }
    }
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
    ///
    /// # Errors
    /// As [`Deployment::place`].
    pub fn container(&self, service: &str) -> Result<String> {
        Ok(self.place()?.named(service))
    }

    /// A service's container, if the profile has the service.
    ///
    /// # Errors
    /// [`Failure::usage`] that lists what there is.
    pub fn service(&self, name: &str) -> Result<String> {
        let known: Vec<&str> = self.profile.model.services.keys().map(|key| key.get_ref().as_str()).collect();
        if known.contains(&name) {
            return self.container(name);
        }
        Err(Failure::usage(format!("no service is called `{name}`")).hint(known.join(", ")).into())
    }

    /// Its volumes: the profile's name and the engine's.
    ///
    /// # Errors
    /// As [`Deployment::place`].
    pub fn volumes(&self) -> Result<Vec<(String, String)>> {
        let place = self.place()?;
        let services = self.profile.model.services.values();
        let volumes: BTreeSet<&String> = services.flat_map(|service| service.volumes.keys()).collect();
        Ok(volumes.into_iter().map(|volume| (volume.clone(), place.named(volume))).collect())
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
    pub(super) fn before<'d>(&'d self, service: &'d str, order: &mut Vec<&'d str>) {
        if order.contains(&service) {
            return;
        }
        for other in &self.profile.model.services[service].depends_on {
            self.before(other.get_ref(), order);
        }
        order.push(service);
    }

    /// All services as they are now, in their order.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn statuses(&self, engine: &Engine) -> Result<Vec<Status>> {
        let mut statuses = self.states(engine)?;
        let running = statuses.iter().filter(|status| status.state == State::Running);
        let running: Vec<&str> = running.map(|status| status.service.as_str()).collect();
        let mut healths = self.healths(engine, &self.place()?, &running)?.into_iter();
        for status in statuses.iter_mut().filter(|status| status.state == State::Running) {
            status.health = healths.next().unwrap_or(Health::Down);
        }
        Ok(statuses)
    }

    /// As [`Deployment::statuses`], without asking for their health, which stands as down. The engine is asked once.
    pub(super) fn states(&self, engine: &Engine) -> Result<Vec<Status>> {
        let place = self.place()?;
        let names: Vec<String> = self.order().into_iter().map(|service| place.named(service)).collect();
        let mut told = answers::containers(&engine.inspect("container", &names)?)?;
        let all = self.order().into_iter().zip(names);
        all.map(|(service, container)| {
            let told = told.remove(&container);
            self.state(&place, service, container, told)
        })
        .collect()
    }

    fn state(&self, place: &Place, service: &str, container: String, told: Option<Told>) -> Result<Status> {
        let mut status = Status {
            service: service.to_owned(),
            state: State::Absent,
            health: Health::Down,
            drifted: false,
            settings: Settings::Current,
            ports: BTreeSet::new(),
            container,
        };
        let Some(told) = told else { return Ok(status) };
        let image = self.profile.model.services[service].image.get_ref();
        let made = self.manifest.images.iter().find(|made| made.name == *image);
        status.drifted = made.is_some_and(|made| !is_image(made, &told.image));
        status.settings = match told.made_from.as_str() {
            "" => Settings::Unknown,
            from if from == self.made_from(place, service)? => Settings::Current,
            _ => Settings::Changed,
        };
        status.state = if told.state == "running" { State::Running } else { State::Other(told.state) };
        status.ports = told.ports;
        Ok(status)
    }

    /// The health of services whose containers are there, all asked at the same time.
    pub(super) fn healths(&self, engine: &Engine, place: &Place, services: &[&str]) -> Result<Vec<Health>> {
        std::thread::scope(|scope| {
            let ask = |&service| scope.spawn(move || self.health(engine, place, service));
            let asked: Vec<_> = services.iter().map(ask).collect();
            asked.into_iter().map(|thread| thread.join().expect("asking does not panic")).collect()
        })
    }

    fn health(&self, engine: &Engine, place: &Place, service: &str) -> Result<Health> {
        let container = place.named(service);
        let healthy = match &self.profile.model.services[service].health {
            Some(check) => {
                let limit = check.timeout.to_string();
                let mut arguments = vec!["exec", container.as_str(), "sh", "-c", LIMITED, "sh", &limit];
                arguments.extend(check.command.iter().map(String::as_str));
                engine.succeeds(&arguments, Duration::from_secs(check.timeout.into()) + GRACE)?
            }
            None => {
                engine.run(&["container", "inspect", "--format", "{{.State.Running}}", &container])?.trim() == "true"
            }
        };
        Ok(if healthy { Health::Healthy } else { Health::Unhealthy })
    }

    /// The last lines of a service's log, without an error where there are none.
    pub(super) fn last_lines(&self, engine: &Engine, service: &str) -> Result<Vec<String>> {
        let output = engine.command(&["logs", "--tail", LAST_LINES, &self.container(service)?]).output();
        // Each stream of the container comes out of the same stream of the engine.
        let texts = output.iter().flat_map(|output| [&output.stdout, &output.stderr]);
        let lines = texts.map(|text| String::from_utf8_lossy(text).into_owned());
        Ok(lines.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_hangs_is_ended_where_it_runs() {
        let run = |limit: &str, command: &[&str]| {
            let mut sh = std::process::Command::new("sh");
            sh.args(["-c", LIMITED, "sh", limit]).args(command).stdin(std::process::Stdio::null());
            sh.status().unwrap().success()
        };
        assert!(run("5", &["sh", "-c", "test \"$1\" = 'a  b'", "sh", "a  b"]));
        assert!(!run("5", &["false"]));
        let start = std::time::Instant::now();
        assert!(!run("1", &["sleep", "20"]));
        assert!(start.elapsed() < Duration::from_secs(15));
    }

    #[test]
    fn why_a_container_is_made_anew() {
        let status = |drifted, settings| Status {
            service: "web".into(),
            container: "shop_web".into(),
            state: State::Running,
            health: Health::Healthy,
            drifted,
            settings,
            ports: BTreeSet::new(),
        };
        assert_eq!(status(false, Settings::Current).outdated(), None);
        assert_eq!(status(false, Settings::Changed).outdated(), Some("its settings changed"));
        assert_eq!(status(true, Settings::Changed).outdated(), Some("another version's image"));
    }
}
