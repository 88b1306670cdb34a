//! Starting all containers.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};

use super::context::Containers;
use super::kind::EngineKind;
use super::output::LAST_LINES;
use super::replicas::Dependents;
use super::waiting::Start;
use crate::failure::Failure;
use crate::finding::Findings;
use crate::host::ending;
use crate::host::repeated;
use crate::host::runtime::Deadline;
use crate::host::status::{Outdated, ServiceState, ServiceStatus};
use crate::process;
use crate::render::container::{self, HostLayout};
use crate::site;
use crate::ui::Ui;

impl Containers<'_> {
    /// As [`crate::host::runtime::Runtime::start`].
    pub(super) fn start_all(&self, deadline: Deadline, ui: &Ui) -> Result<()> {
        let layout = self.layout()?;
        self.remove_surplus(&layout, ui)?;
        let (mut dependents, mut healthy) = (BTreeMap::new(), BTreeMap::new());
        // Outdated replicas one after the other: the others do the work meanwhile.
        loop {
            let (stopped, kept) = self.prepare_containers(&layout, &mut dependents, ui)?;
            healthy = Start::new(self, &layout, (&stopped, &kept, healthy), deadline, ui).run()?;
            if kept.is_empty() {
                return Ok(());
            }
        }
    }

    /// Removes outdated containers and creates the missing ones, and stops `dependents`; starts none of them. Returns the
    /// services that do not run then, in the order of their start, and the replicas that stay for now.
    fn prepare_containers(
        &self,
        layout: &HostLayout,
        dependents: &mut Dependents,
        ui: &Ui,
    ) -> Result<(Vec<String>, BTreeSet<String>)> {
        let mut states = self.states()?;
        self.add_dependents(&states, dependents);
        let kept = self.kept_replicas(layout, &states, dependents)?;
        for status in states.iter_mut().rev().filter(|status| !kept.contains(&status.service)) {
            let dependency = dependents.remove(&status.service);
            if let Some(reason) = status.outdated {
                self.remove_outdated(status, reason, ui)?;
                *status = ServiceStatus::absent(&status.service, status.container.clone());
            } else if let Some(dependency) = dependency {
                let service = &status.service;
                ui.note(&format!("Restarting {service}: {dependency} starts anew, and may get another address"));
                self.stop_service(status, ui)?;
                status.state = ServiceState::Other("exited".into());
            }
        }
        let absent: Vec<&str> =
            states.iter().filter(|status| status.is_absent()).map(|status| status.service.as_str()).collect();
        if !absent.is_empty() {
            self.remove_empty_pods(layout, ui)?;
            let kept = states.iter().filter(|status| !status.is_absent()).map(|status| status.service.as_str());
            let layout = self.prepare_networks(layout, &kept.collect::<Vec<_>>(), ui)?;
            self.create_containers(&layout, &absent, ui)?;
        }
        let is_ready = |status: &ServiceStatus| status.is_running() || status.is_completed();
        let stopped = states.into_iter().filter(|status| !is_ready(status)).map(|status| status.service);
        Ok((stopped.collect(), kept))
    }

    fn remove_outdated(&self, status: &ServiceStatus, reason: Outdated, ui: &Ui) -> Result<()> {
        ui.note(&format!("Recreating {}: {reason}", status.service));
        self.stop_service(status, ui)?;
        self.engine.run(&["rm", "--force", &status.container])?;
        Ok(())
    }

    /// Creates the containers of services, and the volumes that they need. The networks exist.
    fn create_containers(&self, layout: &HostLayout, services: &[&str], ui: &Ui) -> Result<()> {
        let model = &self.deployment.profile.model;
        let phase = ui.phase("Creating containers", 0);
        let volumes: BTreeSet<&String> =
            services.iter().flat_map(|service| model.service(service).volumes.keys()).collect();
        for volume in volumes {
            self.engine.create_if_missing("volume", &container::volume(layout, volume))?;
        }
        for service in services {
            let mut arguments = vec!["create".to_owned()];
            arguments.extend(container::config_hash_labels(&self.config_hash(layout, service)?));
            arguments.extend(container::log_options(model.service(service), layout.dialect, self.log_driver()?));
            arguments.extend(container::create(model, service, layout, self.networks_at_creation()));
            self.engine.run(&arguments).with_context(|| format!("cannot create the container of {service}"))?;
            self.connect(layout, service, &layout.resource_name(service), Some(model.service_of(service).0))?;
        }
        phase.finish(&services.join(", "));
        Ok(())
    }

    /// Checks the folders of the host that services have, as far as the site has named them.
    pub(super) fn check_host_paths(&self, findings: &mut Findings) -> Result<()> {
        let (model, layout) = (&self.deployment.profile.model, self.layout()?);
        // `.env` has those of the last start.
        let mut named = site::host_paths(&self.deployment.site(), model)?;
        for setting in model.host_paths() {
            if self.engine.info()?.remote {
                return Ok(());
            }
            let Some(path) = named.remove(setting).or_else(|| layout.host_path(model, setting)) else { continue };
            if !self.machine.path(&path).is_dir() {
                let hint = format!("make it, or name another one in site/settings.toml: {setting} = \"/FOLDER\"");
                findings.error(format!("folder {setting}"), format!("there is no folder {path}"), hint);
            } else {
                self.check_users_of_folder(setting, &path, findings)?;
            }
        }
        Ok(())
    }

    /// Docker's log driver: not all of them take the same options.
    fn log_driver(&self) -> Result<&str> {
        match self.engine.kind {
            EngineKind::Podman => Ok(""),
            EngineKind::Docker => Ok(&self.engine.info()?.log_driver),
        }
    }

    /// Starts services whose containers exist.
    pub(super) fn start_containers(&self, layout: &HostLayout, services: &[&str]) -> Result<()> {
        let mut arguments = vec!["start".to_owned()];
        arguments.extend(services.iter().map(|service| layout.resource_name(service)));
        let Err(error) = self.engine.run(&arguments) else { return Ok(()) };
        // The engine starts the other containers even so.
        let states = self.states()?;
        let stopped = states.iter().filter(|status| {
            !status.is_running() && !status.is_completed() && services.contains(&status.service.as_str())
        });
        let stopped: Vec<&str> = stopped.map(|status| status.service.as_str()).collect();
        Err(error.context(format!("cannot start {}", stopped.join(", "))))
    }

    /// Whether tasks belong to a start of `service`.
    pub(super) fn has_start_tasks(&self, service: &str) -> bool {
        self.deployment.start_tasks(service).next().is_some()
    }

    /// Runs the tasks that belong to a start of `service`, whose dependencies are ready.
    pub(super) fn run_start_tasks(&self, service: &str, ui: &Ui) -> Result<()> {
        for (name, task) in self.deployment.start_tasks(service) {
            let phase = ui.phase(&format!("Task {name}"), 0);
            let output =
                process::last(&mut self.run_once(task, &[], &[])?).with_context(|| self.engine.cannot_run())?;
            if !output.status.success() {
                let printed = [output.stdout, output.stderr].concat();
                let end =
                    ending::of(output.status, self.deployment.profile.model.service(task.service.get_ref()).memory);
                let printed = String::from_utf8_lossy(&printed);
                let mut message = format!("the task {name} failed with {end}");
                repeated::last(&printed.lines().collect::<Vec<_>>(), LAST_LINES)
                    .iter()
                    .for_each(|line| message += &format!("\n    {line}"));
                let hint = format!("{service} was not started; mend the cause and run `up` again");
                return Err(Failure::failed(message).hint(hint).into());
            }
            phase.finish("done");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::host::Deployment;
    use crate::host::status::HealthState;
    use crate::host::testing::{self, Podman};
    use crate::profile::model::{Restart, Running};

    /// Calls of podman, without those that only look.
    fn calls(podman: &Podman) -> Vec<String> {
        let changing = ["network", "volume", "create", "start", "run", "stop", "rm"];
        let calls = podman.calls().into_iter().filter(|call| changing.iter().any(|verb| call.starts_with(verb)));
        calls.filter(|call| !call.starts_with("network inspect") && !call.starts_with("network ls")).collect()
    }

    fn start(podman: &Podman) -> Result<()> {
        let folder = tempfile::tempdir().unwrap();
        let deployment = testing::deployment(folder.path());
        let ui = Ui::plain(std::io::sink());
        podman.containers(&deployment).start_all(Deadline::after(Duration::ZERO), &ui)
    }

    /// The sample, whose database has a health check, too.
    fn with_checks(folder: &Path) -> Deployment {
        let mut deployment = testing::deployment(folder);
        let services = &mut deployment.profile.model.services;
        let check = services["shop-web"].health.clone();
        services.get_mut("shop-database").unwrap().health = check;
        deployment
    }

    #[test]
    fn services_start_after_their_dependencies_and_tasks() {
        let podman = Podman::new("");
        start(&podman).unwrap();
        let verbs: Vec<String> = calls(&podman)
            .iter()
            .map(|call| {
                let words: Vec<&str> = call.split(' ').collect();
                match words[0] {
                    "create" => {
                        format!("create {}", words[words.iter().position(|word| *word == "--name").unwrap() + 1])
                    }
                    "run" => format!("run {}", words.last().unwrap()),
                    "network" | "volume" => format!("{} {} {}", words[0], words[1], words.last().unwrap()),
                    _ => call.clone(),
                }
            })
            .collect();
        insta::assert_snapshot!(verbs.join("\n"), @r"
        network create shop-small_data
        network create shop-small_front
        network create shop-small_outside
        volume create shop-small_orders
        create shop-small_shop-database
        create shop-small_shop-web
        start shop-small_shop-database
        run migrate
        start shop-small_shop-web
        ");
    }

    #[test]
    fn a_failed_task_stops_the_start() {
        let podman = Podman::new("[ $1 = run ] && { echo 'no such table'; exit 1; }");
        let error = start(&podman).unwrap_err();
        insta::assert_snapshot!(error, @r"
        the task migrate failed with exit code 1
            no such table
        ");
        assert!(!calls(&podman).iter().any(|call| call == "start shop-small_shop-web"));
    }

    /// "no such container" named what the operator does not know, and no way out.
    #[test]
    fn a_task_of_what_does_not_run_is_refused_in_plain_words() {
        let folder = tempfile::tempdir().unwrap();
        let deployment = testing::deployment(folder.path());
        let podman = Podman::new("");
        let containers = podman.containers(&deployment);
        let refused = |task: &str| {
            let task = &deployment.profile.model.tasks[task];
            containers.check_ready_for(task).map_err(|error| error.to_string()).err().unwrap_or_default()
        };
        assert_eq!(refused("close"), "this deployment is down, and the task needs it");
        assert_eq!(refused("migrate"), "this deployment is down, and the task needs it");
        containers.engine.run(&["create", "--name", "shop-small_shop-database"]).unwrap();
        assert_eq!(refused("close"), "the service shop-web has no container, and the task needs it");
        assert_eq!(refused("migrate"), "");
        containers.engine.run(&["create", "--name", "shop-small_shop-web"]).unwrap();
        assert_eq!(refused("close"), "the service shop-web does not run (created), and the task needs it");
        containers.engine.run(&["start", "shop-small_shop-web"]).unwrap();
        assert_eq!(refused("close"), "");
    }

    /// "failed:", and nothing behind it.
    #[test]
    fn a_task_that_was_killed_is_told_with_its_limit() {
        let podman = Podman::new("[ $1 = run ] && exit 137");
        let error = start(&podman).unwrap_err().to_string();
        assert!(
            error.starts_with("the task migrate failed with exit code 137: the kernel or somebody ended it"),
            "{error}"
        );
    }

    #[test]
    fn the_hint_of_the_engine_is_kept_when_a_container_cannot_start() {
        let podman = Podman::new("[ $1 = start ] && { echo 'Error: address already in use' >&2; exit 125; }");
        let error = start(&podman).unwrap_err();
        assert_eq!(error.to_string(), "cannot start shop-database");
        let hint = Failure::hint_in(&error).unwrap();
        assert!(hint.contains("--port NAME=NUMBER"), "{hint}");
    }

    #[test]
    fn a_service_that_is_not_healthy_in_time_is_reported_with_its_log() {
        let podman = Podman::new("case $1 in exec) echo refused; exit 1;; logs) echo 'cannot connect'; exit 0;; esac");
        let error = start(&podman).unwrap_err();
        insta::assert_snapshot!(error, @r"
        not healthy after 0 s:
          shop-web, its health check: refused
          shop-web, its last log lines:
            cannot connect
        ");
    }

    /// The server was started, and its log filled with errors, while the database was not ready.
    #[test]
    fn a_service_starts_after_what_it_depends_on_is_healthy() {
        let folder = tempfile::tempdir().unwrap();
        let deployment = with_checks(folder.path());
        let ui = Ui::plain(std::io::sink());
        let podman = Podman::new("[ $1 = exec ] && exit 1");
        let error = podman.containers(&deployment).start_all(Deadline::after(Duration::ZERO), &ui).unwrap_err();
        assert!(error.to_string().ends_with("shop-web was not started: it waits for shop-database"), "{error}");
        let started =
            |podman: &Podman| calls(podman).into_iter().filter(|call| call.starts_with("start")).collect::<Vec<_>>();
        assert_eq!(started(&podman), ["start shop-small_shop-database"]);

        // Healthy at the third look.
        let podman = Podman::new("[ $1 = exec ] && { echo >>looks; [ $(wc -l <looks) -gt 2 ]; exit; }");
        podman.containers(&deployment).start_all(Deadline::after(Duration::from_secs(60)), &ui).unwrap();
        assert_eq!(started(&podman).len(), 2);
    }

    /// It was told after 180 s, with the same line twenty times.
    #[test]
    fn a_service_that_ends_again_and_again_is_told_at_once() {
        let podman = Podman::new(
            r#"case "$*" in
            'container inspect'*)
                [ -e started ] || { echo '[]'; exit; }
                echo >>looks
                printf '[{"Name": "shop-small_shop-database", "RestartCount": %s, "State":
                    {"Status": "restarting", "StartedAt": "2026-11-26T20:00:00Z", "ExitCode": 7}}]' $(wc -l <looks)
                exit;;
            'logs --since 2026-11-26T20:00:00Z '*) echo 'no such user'; exit;;
            esac"#,
        );
        let folder = tempfile::tempdir().unwrap();
        let deployment = with_checks(folder.path());
        let (deadline, ui) = (Deadline::after(Duration::from_secs(180)), Ui::plain(std::io::sink()));
        let error = podman.containers(&deployment).start_all(deadline, &ui).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("shop-database does not stay up: it ended "), "{text}");
        assert!(text.ends_with("the last time with exit code 7\n    no such user"), "{text}");
        assert!(!calls(&podman).iter().any(|call| call == "start shop-small_shop-web"));
    }

    /// A start of services whose checks succeed. As soon as both are started, the database is in these states, one after the
    /// other; the last one stays.
    fn after_healthy(states: &[&str]) -> Result<()> {
        let states: String =
            states.iter().enumerate().map(|(at, state)| format!("{at}) state='{state}';;\n")).collect();
        let last = states.lines().last().unwrap().replacen(char::is_numeric, "*", 1);
        let behavior = format!(
            r#"[ "$1 $2" = 'container inspect' ] && [ -e started ] && {{
                grep -q web started && echo >>looks
                case $(cat looks 2>/dev/null | wc -l) in
                {states} {last}
                esac
                printf '[{{"Name": "shop-small_shop-database", %s}}' "$state"
                grep -q web started && printf ',{{"Name": "shop-small_shop-web", "State": {{"Status": "running"}}}}'
                echo ']'; exit
            }}"#
        );
        let folder = tempfile::tempdir().unwrap();
        let deployment = with_checks(folder.path());
        let (deadline, ui) = (Deadline::after(Duration::from_secs(60)), Ui::plain(std::io::sink()));
        Podman::new(&behavior).containers(&deployment).start_all(deadline, &ui)
    }

    const RUNNING: &str = r#""State": {"Status": "running", "StartedAt": "2026-11-26T20:00:00Z"}"#;

    /// The check succeeded once, then the database crashed at its first query: `up` said that all is well.
    #[test]
    fn a_service_that_crashes_after_it_was_healthy_is_told() {
        let crashed = r#""RestartCount": 4, "State": {"Status": "restarting", "StartedAt": "2026-11-26T20:00:05Z",
            "ExitCode": 137, "OOMKilled": true}"#
            .replace('\n', " ");
        let error = after_healthy(&[RUNNING, RUNNING, &crashed]).unwrap_err();
        insta::assert_snapshot!(error, @"shop-database does not stay up: it ended 5 times, the last time with exit code 137: the kernel ended it, as it needed more memory than its limit of 512M (`memory` of the service in profile.toml)");
    }

    #[test]
    fn a_service_that_was_restarted_once_has_to_stay_healthy_for_a_while() {
        let again = RUNNING.replace("20:00:00Z", "20:00:04Z");
        let begin = std::time::Instant::now();
        after_healthy(&[RUNNING, RUNNING, &again]).unwrap();
        assert!(begin.elapsed() >= Duration::from_secs(3));
    }

    /// The sample, whose database only prepares something.
    fn with_preparation(folder: &Path) -> Deployment {
        let mut deployment = testing::deployment(folder);
        let database = deployment.profile.model.services.get_mut("shop-database").unwrap();
        (database.run, database.restart) = (Running::Once, Restart::UnlessStopped);
        deployment
    }

    #[test]
    fn services_start_after_one_that_ends_with_success() {
        let behavior = |code: u8| {
            format!(
                r#"case "$*" in
                'container inspect'*)
                    [ -e started ] || {{ echo '[]'; exit; }}
                    printf '[{{"Name": "shop-small_shop-database", "State": {{"Status": "exited", "ExitCode": {code}}}}}'
                    grep -q web started && printf ', {{"Name": "shop-small_shop-web", "State": {{"Status": "running"}}}}'
                    echo ']'; exit;;
                logs*) echo 'no space left'; exit;;
                esac"#
            )
        };
        let folder = tempfile::tempdir().unwrap();
        let deployment = with_preparation(folder.path());
        let (deadline, ui) = (Deadline::after(Duration::from_secs(180)), Ui::plain(std::io::sink()));
        let started =
            |podman: &Podman| calls(podman).into_iter().filter(|call| call.starts_with("start")).collect::<Vec<_>>();

        let podman = Podman::new(&behavior(0));
        podman.containers(&deployment).start_all(deadline, &ui).unwrap();
        assert_eq!(started(&podman), ["start shop-small_shop-database", "start shop-small_shop-web"]);
        let states = podman.containers(&deployment).statuses().unwrap();
        assert!(states[0].is_completed() && states[0].health == HealthState::Healthy, "{states:?}");

        let podman = Podman::new(&behavior(3));
        let error = podman.containers(&deployment).start_all(deadline, &ui).unwrap_err();
        insta::assert_snapshot!(error, @r"
        shop-database failed with exit code 3
            no space left
        ");
        assert_eq!(started(&podman).len(), 1);
    }
}
