//! The state and health of the services' containers.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;

use super::context::Containers;
use super::engine::Attempt;
use super::load::is_image;
use super::output::{self, Container};
use crate::clock;
use crate::finding::Findings;
use crate::host::control_group;
use crate::host::status::{HealthState, MANY_RESTARTS, MemoryKills, Outdated, ServiceState, ServiceStatus};
use crate::profile::model;
use crate::render::container::HostLayout;

/// How much longer than the container's `timeout` the client waits.
const GRACE: Duration = Duration::from_secs(3);
/// Seconds that a service without a health check has to run to count as healthy.
pub(super) const STEADY: i64 = 3;
/// How many last lines of a health check's output are shown.
const OUTPUT_LINES: usize = 3;
/// Exit codes of engines, and of `timeout`, for a program that does not exist or cannot be run.
const NO_PROGRAM: [Option<i32>; 2] = [Some(126), Some(127)];

/// The result of a health check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Health {
    /// Whether the service is healthy.
    pub(super) state: HealthState,
    /// What a failed check printed last.
    pub(super) output: Vec<String>,
}

impl Containers<'_> {
    /// The state and health of all services, in the order of their start.
    pub(super) fn statuses(&self) -> Result<Vec<ServiceStatus>> {
        let containers = self.inspected()?;
        let mut statuses = self.states_of(&containers)?;
        for status in statuses.iter_mut().filter(|status| status.owner.is_none()) {
            let container = containers.get(status.service.as_str());
            status.memory_kills = container.and_then(|container| self.memory_kills(&status.service, container));
        }
        let running: Vec<(&str, &Container)> =
            containers.iter().filter(|(_, found)| found.is_running()).map(|(name, found)| (*name, found)).collect();
        for ((service, _), health) in running.iter().zip(self.healths(&running)?) {
            if let Some(status) = statuses.iter_mut().find(|status| status.service == *service) {
                (status.health, status.check_output) = (health.state, health.output);
            }
        }
        let is_looping = |status: &&mut ServiceStatus| status.is_running() && status.restarts >= MANY_RESTARTS;
        for status in statuses.iter_mut().filter(|status| status.owner.is_none()).filter(is_looping) {
            status.last_end = self.last_end(&status.service);
        }
        Ok(statuses)
    }

    /// As [`Self::statuses`], but without running health checks: the health of every service is [`HealthState::Down`].
    /// The engine is called once.
    pub(super) fn states(&self) -> Result<Vec<ServiceStatus>> {
        self.states_of(&self.inspected()?)
    }

    /// The containers that exist, by service.
    pub(super) fn inspected(&self) -> Result<BTreeMap<&str, Container>> {
        let layout = self.layout()?;
        let services = self.deployment.instances();
        let names: Vec<String> = services.iter().map(|service| layout.resource_name(service)).collect();
        let mut containers = output::containers(&self.engine.inspect("container", &names)?)?;
        let found = services.into_iter().zip(names);
        Ok(found.filter_map(|(service, name)| Some((service, containers.remove(&name)?))).collect())
    }

    /// Processes of a service that the kernel ended for memory, if any.
    fn memory_kills(&self, service: &str, container: &Container) -> Option<MemoryKills> {
        let kills = control_group::kills(self.machine, container.process?, &container.id)?;
        let limit = self.deployment.profile.model.service(service).memory.filter(|_| kills.by_limit);
        let limit = limit.map(|limit| limit.to_string().to_uppercase());
        (kills.times > 0).then_some(MemoryKills { times: kills.times, limit })
    }

    /// As [`crate::host::runtime::Runtime::check_running`].
    pub(super) fn tell_memory_kills(&self, findings: &mut Findings) -> Result<()> {
        for (service, container) in self.inspected()? {
            self.memory_kills(service, &container).iter().for_each(|kills| kills.tell(service, findings));
        }
        Ok(())
    }

    fn states_of(&self, containers: &BTreeMap<&str, Container>) -> Result<Vec<ServiceStatus>> {
        let layout = self.layout()?;
        let order = self.deployment.instances().into_iter();
        let state = |service| {
            let name = layout.resource_name(service);
            match containers.get(service) {
                Some(container) => self.state(&layout, service, name, container),
                None => Ok(ServiceStatus::absent(service, name)),
            }
        };
        order.map(state).collect()
    }

    fn state(&self, layout: &HostLayout, service: &str, name: String, container: &Container) -> Result<ServiceStatus> {
        let owner = self.other_owner(container);
        let spec = self.deployment.profile.model.service(service);
        let is_completed = spec.runs_once() && container.is_completed();
        let is_scheduled = spec.schedule().is_some() && !container.is_running();
        let last_run = if is_scheduled { container.last_run(spec.memory) } else { None };
        // While a container runs, and before it ran, engines report 0.
        let has_ended = ["exited", "restarting"].contains(&container.state.as_str()) && !is_completed && !is_scheduled;
        let outdated = if owner.is_some() { None } else { self.outdated(layout, service, container)? };
        Ok(ServiceStatus {
            outdated,
            owner,
            state: match container.is_running() {
                true => ServiceState::Running,
                false if is_completed => ServiceState::Completed,
                false if is_scheduled => ServiceState::Scheduled,
                false => ServiceState::Other(container.state.clone()),
            },
            health: match &last_run {
                Some(run) if run.exit_code != 0 => HealthState::Unhealthy,
                _ if is_completed || is_scheduled => HealthState::Healthy,
                _ => HealthState::Down,
            },
            last_run,
            last_end: has_ended.then(|| container.end(spec.memory)),
            restarts: container.restarts,
            ports: container.ports.clone(),
            ..ServiceStatus::absent(service, name)
        })
    }

    /// Why the container has to be recreated, if it has to.
    fn outdated(&self, layout: &HostLayout, service: &str, container: &Container) -> Result<Option<Outdated>> {
        let image = self.deployment.profile.model.service(service).image.get_ref();
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
    pub(super) fn healths(&self, services: &[(&str, &Container)]) -> Result<Vec<Health>> {
        std::thread::scope(|scope| {
            let check = |&(service, container)| scope.spawn(move || self.health(service, container));
            let checks: Vec<_> = services.iter().map(check).collect();
            checks.into_iter().map(|thread| thread.join().expect("health checks do not panic")).collect()
        })
    }

    fn health(&self, service: &str, container: &Container) -> Result<Health> {
        let age = container.seconds_up(clock::now().cast_signed());
        let spec = self.deployment.profile.model.service(service);
        if spec.schedule().is_some() {
            return Ok(Health { state: HealthState::Healthy, output: Vec::new() });
        }
        let Some(check) = &spec.health else {
            return Ok(Health { state: without_check(container, age), output: Vec::new() });
        };
        let attempt = self.run_check(&self.container(service)?, check)?;
        if attempt.code == Some(0) {
            return Ok(Health { state: HealthState::Healthy, output: Vec::new() });
        }
        let may_start = age.is_some_and(|age| age < check.start_period.into()) && container.restarts < MANY_RESTARTS;
        let state = if may_start { HealthState::Starting } else { HealthState::Unhealthy };
        Ok(Health { state, output: last_lines(&attempt, check) })
    }

    /// Runs a health command in a container, without a shell. A command keeps running there when its client is killed, so the
    /// image's `timeout` ends it; where there is none, the client's limit is the only one.
    fn run_check(&self, container: &str, check: &model::Health) -> Result<Attempt> {
        let (seconds, limit) = (check.timeout.to_string(), Duration::from_secs(check.timeout.into()) + GRACE);
        let words = check.words();
        let command = words.iter().map(String::as_str);
        if check.is_probe() {
            let probe: Vec<&str> = ["exec", container].into_iter().chain(command).collect();
            return self.engine.run_within(&probe, limit);
        }
        let limited: Vec<&str> =
            ["exec", container, "timeout", "-s", "KILL", &seconds].into_iter().chain(command.clone()).collect();
        let attempt = self.engine.run_within(&limited, limit)?;
        if !NO_PROGRAM.contains(&attempt.code) {
            return Ok(attempt);
        }
        let plain: Vec<&str> = ["exec", container].into_iter().chain(command).collect();
        self.engine.run_within(&plain, limit)
    }
}

/// The health of a service that has no check: it has to stay up. `age` is in seconds.
fn without_check(container: &Container, age: Option<i64>) -> HealthState {
    match age {
        _ if !container.is_running() => HealthState::Down,
        Some(age) if age < STEADY && container.restarts >= MANY_RESTARTS => HealthState::Unhealthy,
        Some(age) if age < STEADY => HealthState::Starting,
        _ => HealthState::Healthy,
    }
}

/// The end of what a failed check printed.
fn last_lines(attempt: &Attempt, check: &model::Health) -> Vec<String> {
    let lines: Vec<&str> = attempt.printed.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(OUTPUT_LINES)..];
    match (last, attempt.code) {
        ([], None | Some(137)) => vec![format!("{} took longer than {} s", check.words().join(" "), check.timeout)],
        ([], Some(code)) => vec![format!("{} exited with {code}", check.words().join(" "))],
        _ => last.iter().map(|line| (*line).to_owned()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::host::testing;

    fn container(json: &str) -> Container {
        let json = format!(
            r#"[{{"Name": "x", "State": {{"Status": "running", "StartedAt": "2026-11-26T20:00:00Z"}}{json}}}]"#
        );
        output::containers(&json).unwrap().remove("x").unwrap()
    }

    /// One look found a service between two of its crashes, and called it healthy.
    #[test]
    fn a_service_without_a_check_has_to_stay_up() {
        let container = container("");
        let health = |container: &Container, now| without_check(container, container.seconds_up(1_795_723_200 + now));
        assert_eq!(health(&container, 1), HealthState::Starting);
        assert_eq!(health(&container, STEADY), HealthState::Healthy);
        let crashing = Container { restarts: 9, ..container.clone() };
        assert_eq!(health(&crashing, 1), HealthState::Unhealthy);
        assert_eq!(health(&Container { state: "restarting".into(), ..crashing }, 60), HealthState::Down);
        // A clock that cannot be read is no reason to wait for ever.
        assert_eq!(health(&Container { started: String::new(), ..container }, 0), HealthState::Healthy);
    }

    /// What a check of the sample's web service gives on a podman that behaves like this.
    fn checked(behavior: &str, started: &str) -> Health {
        let folder = tempfile::tempdir().unwrap();
        let deployment = testing::deployment(folder.path());
        let podman = testing::Podman::new(behavior);
        let container = Container { started: started.to_owned(), ..container("") };
        podman.containers(&deployment).healths(&[("shop-web", &container)]).unwrap().remove(0)
    }

    #[test]
    fn a_failed_check_says_what_it_printed() {
        let old = "2026-01-01T00:00:00Z";
        assert_eq!(checked("", old), Health { state: HealthState::Healthy, output: Vec::new() });
        let failed = checked("[ $1 = exec ] && { printf 'one\\ntwo\\n\\nthree\\nfour\\n' >&2; exit 1; }", old);
        assert_eq!(failed.state, HealthState::Unhealthy);
        assert_eq!(failed.output, ["two", "three", "four"]);
        let silent = checked("[ $1 = exec ] && exit 4", old);
        assert_eq!(silent.output, ["wget -q --header=Accept: */* http://127.0.0.1:8080/ exited with 4"]);
    }

    /// After a reboot of a Docker host `status` called a server unhealthy that was starting.
    #[test]
    fn a_check_may_fail_in_the_start_period() {
        let now = jiff::Timestamp::from_second(clock::now().cast_signed()).unwrap().to_string();
        assert_eq!(checked("[ $1 = exec ] && exit 1", &now).state, HealthState::Starting);
    }

    #[test]
    fn a_check_needs_neither_a_shell_nor_timeout_in_the_image() {
        let behavior =
            "case \"$*\" in 'exec '*' timeout '*) echo 'executable file `timeout` not found' >&2; exit 127;; esac";
        assert_eq!(checked(behavior, "").state, HealthState::Healthy);
        let missing = checked("[ $1 = exec ] && { echo \"$3 not found\" >&2; exit 127; }", "2026-01-01T00:00:00Z");
        assert_eq!(missing.output, ["wget not found"]);
    }

    /// A worker of a server was ended for memory again and again, and the server itself went on: all was green.
    #[test]
    fn processes_that_the_kernel_ended_are_found_in_the_group_of_the_container() {
        let (folder, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let deployment = testing::deployment(folder.path());
        for (path, text) in
            [("proc/7/cgroup", "0::/docker/ef01\n"), ("sys/fs/cgroup/docker/ef01/memory.events", "oom 2\noom_kill 5\n")]
        {
            fs_err::create_dir_all(root.path().join(path).parent().unwrap()).unwrap();
            fs_err::write(root.path().join(path), text).unwrap();
        }
        let podman = testing::Podman::new(
            r#"[ "$1 $2" = 'container inspect' ] && { echo '[{"Id": "ef01", "Name": "shop-small_shop-database",
                "State": {"Status": "running", "Pid": 7}}, {"Id": "ef02", "Name": "shop-small_shop-web",
                "State": {"Status": "running", "Pid": 7}}]'; exit; }"#,
        );
        let podman = podman.on(root.path());
        let containers = podman.containers(&deployment);
        let statuses = containers.statuses().unwrap();
        assert_eq!(statuses[0].memory_kills, Some(MemoryKills { times: 5, limit: Some("512M".into()) }));
        assert_eq!(statuses[1].memory_kills, None);
        let mut findings = Findings::default();
        containers.tell_memory_kills(&mut findings).unwrap();
        assert_eq!((findings.0.len(), findings.0[0].topic.as_str()), (1, "shop-database"));
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
            let container = Container { image, config_hash, ..container("") };
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
