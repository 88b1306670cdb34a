//! The state and health of the services' containers.

use std::time::Duration;

use anyhow::Result;

use super::context::Containers;
use super::load::is_image;
use super::output::{self, Container};
use crate::host::status::{HealthState, Outdated, ServiceState, ServiceStatus};
use crate::render::container::HostLayout;

/// Runs a command with a time limit (the first argument, in seconds) inside the container: a command keeps
/// running there when its client is killed. Where the image has no `timeout`, the client's limit is the only one.
const WITH_TIMEOUT: &str =
    r#"limit=$1; shift; command -v timeout >/dev/null && exec timeout -s KILL "$limit" "$@"; exec "$@""#;
/// How much longer the client waits.
const GRACE: Duration = Duration::from_secs(3);

impl Containers<'_> {
    /// The state and health of all services, in the order of their start.
    pub(super) fn statuses(&self) -> Result<Vec<ServiceStatus>> {
        let mut statuses = self.states()?;
        let running = statuses.iter().filter(|status| status.is_running());
        let running: Vec<&str> = running.map(|status| status.service.as_str()).collect();
        let mut healths = self.healths(&self.layout()?, &running)?.into_iter();
        for status in statuses.iter_mut().filter(|status| status.is_running()) {
            status.health = healths.next().unwrap_or(HealthState::Down);
        }
        Ok(statuses)
    }

    /// As [`Self::statuses`], but without running health checks: the health of every service is [`HealthState::Down`].
    /// The engine is called once.
    pub(super) fn states(&self) -> Result<Vec<ServiceStatus>> {
        let layout = self.layout()?;
        let services = self.deployment.order();
        let names: Vec<String> = services.iter().map(|service| layout.resource_name(service)).collect();
        let mut containers = output::containers(&self.engine.inspect("container", &names)?)?;
        let mut states = Vec::new();
        for (service, name) in services.into_iter().zip(names) {
            states.push(match containers.remove(&name) {
                Some(container) => self.state(&layout, service, name, container)?,
                None => ServiceStatus::absent(service, name),
            });
        }
        Ok(states)
    }

    fn state(&self, layout: &HostLayout, service: &str, name: String, container: Container) -> Result<ServiceStatus> {
        let running = container.state == "running";
        Ok(ServiceStatus {
            service: service.to_owned(),
            container: name,
            outdated: self.outdated(layout, service, &container)?,
            state: if running { ServiceState::Running } else { ServiceState::Other(container.state) },
            health: HealthState::Down,
            ports: container.ports,
        })
    }

    /// Why the container has to be recreated, if it has to.
    fn outdated(&self, layout: &HostLayout, service: &str, container: &Container) -> Result<Option<Outdated>> {
        let image = self.deployment.profile.model.services[service].image.get_ref();
        let image = self.deployment.manifest.images.iter().find(|made| made.name == *image);
        if image.is_some_and(|image| !is_image(image, &container.image)) {
            return Ok(Some(Outdated::Image));
        }
        Ok(match container.config_hash.as_str() {
            "" => Some(Outdated::Unmanaged),
            hash if hash == self.config_hash(layout, service)? => None,
            _ => Some(Outdated::Settings),
        })
    }

    /// The health of services that have containers. All checks run at the same time.
    ///
    /// The service's own health command is run in its container: podman does not run health checks where systemd does not
    /// run.
    pub(super) fn healths(&self, layout: &HostLayout, services: &[&str]) -> Result<Vec<HealthState>> {
        std::thread::scope(|scope| {
            let check = |&service| scope.spawn(move || self.health(layout, service));
            let checks: Vec<_> = services.iter().map(check).collect();
            checks.into_iter().map(|thread| thread.join().expect("health checks do not panic")).collect()
        })
    }

    fn health(&self, layout: &HostLayout, service: &str) -> Result<HealthState> {
        let container = layout.resource_name(service);
        let healthy = match &self.deployment.profile.model.services[service].health {
            Some(check) => {
                let limit = check.timeout.to_string();
                let mut arguments = vec!["exec", container.as_str(), "sh", "-c", WITH_TIMEOUT, "sh", &limit];
                arguments.extend(check.command.iter().map(String::as_str));
                self.engine.succeeds_within(&arguments, Duration::from_secs(check.timeout.into()) + GRACE)?
            }
            None => {
                let inspect = ["container", "inspect", "--format", "{{.State.Running}}", &container];
                self.engine.run(&inspect)?.trim() == "true"
            }
        };
        Ok(if healthy { HealthState::Healthy } else { HealthState::Unhealthy })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::host::testing;

    #[test]
    fn a_command_that_hangs_is_ended_inside_the_container() {
        let run = |limit: &str, command: &[&str]| {
            let mut sh = std::process::Command::new("sh");
            sh.args(["-c", WITH_TIMEOUT, "sh", limit]).args(command).stdin(std::process::Stdio::null());
            sh.status().unwrap().success()
        };
        assert!(run("5", &["sh", "-c", "test \"$1\" = 'a  b'", "sh", "a  b"]));
        assert!(!run("5", &["false"]));
        let start = std::time::Instant::now();
        assert!(!run("1", &["sleep", "20"]));
        assert!(start.elapsed() < Duration::from_secs(15));
    }

    #[test]
    fn the_reason_for_recreating_a_container_is_its_cause() {
        let folder = tempfile::tempdir().unwrap();
        let deployment = testing::deployment(folder.path());
        let podman = testing::Podman::new("");
        let containers = podman.containers(&deployment);
        let layout = containers.layout().unwrap();
        let current = containers.config_hash(&layout, "shop-web").unwrap();
        let reason = |image: &str, config_hash: &str| {
            let (image, config_hash) = (image.to_owned(), config_hash.to_owned());
            let container =
                Container { state: "running".into(), image, config_hash, folder: String::new(), ports: [].into(), environment: Vec::new() };
            containers.outdated(&layout, "shop-web", &container).unwrap()
        };
        let image = testing::image_id("web");
        assert_eq!(reason(&image, &current), None);
        assert_eq!(reason(&image, "another"), Some(Outdated::Settings));
        assert_eq!(reason(&image, ""), Some(Outdated::Unmanaged));
        assert_eq!(reason("another", "another"), Some(Outdated::Image));
        assert_eq!(containers.layout().unwrap().folder, folder.path().to_str().unwrap());
        assert!(Path::new(&layout.folder).is_absolute());
    }
}
