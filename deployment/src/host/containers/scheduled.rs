//! Running a scheduled service: its container is there, and is started for each run.

use std::time::Duration;

use anyhow::{Context, Result};

use super::context::Containers;
use crate::failure::Failure;
use crate::host::ending;
use crate::host::passed_on::{self, Raw};
use crate::host::runtime::{Deadline, Ran};
use crate::host::status::{HealthState, ServiceState, ServiceStatus};
use crate::profile::model::Condition;
use crate::ui::Ui;

impl Containers<'_> {
    /// As [`crate::host::runtime::Runtime::run_scheduled`].
    pub(super) fn run_now(&self, service: &str) -> Result<Ran> {
        self.refuse_other_folder()?;
        let statuses = self.statuses()?;
        let of = |name: &str| statuses.iter().find(|status| status.service == name);
        match of(service).map(|status| &status.state) {
            None | Some(ServiceState::Absent) => {
                let failure = Failure::failed(format!("{service} has no container: the deployment is down"));
                return Ok(Ran::Down(failure.hint("./sealift up makes it")));
            }
            Some(ServiceState::Running) => {
                let failure = Failure::failed(format!("{service} is running already"));
                return Err(failure.hint(format!("./sealift logs --follow {service} shows what it does")).into());
            }
            Some(_) => {}
        }
        for (other, condition) in self.deployment.profile.model.conditions(service) {
            // Of replicas, one is enough.
            let is_ready =
                self.deployment.instances_of(other).into_iter().filter_map(of).any(|status| match condition {
                    Condition::Started => status.is_running(),
                    Condition::Healthy | Condition::Completed => status.health == HealthState::Healthy,
                });
            if !is_ready {
                let failure =
                    Failure::failed(format!("{service} was not started: it needs {other}, which is not ready"));
                return Err(failure.hint("./sealift status shows it; ./sealift up starts it").into());
            }
        }
        let before = of(service).and_then(|status| status.last_run.clone());
        let container = self.container(service)?;
        let mut command = self.engine.command(&["start", "--attach", &container]);
        let status = passed_on::run(&mut command, Raw::Never).with_context(|| self.engine.cannot_run())?;
        // The engine's own exit code may also be that of an error of its own.
        let memory = self.deployment.profile.model.service(service).memory;
        let last = self.inspected()?.remove(service).and_then(|container| container.last_run(memory));
        match last {
            Some(run) if run.exit_code == 0 && status.success() => Ok(Ran::Done),
            // One that could not be started has the end of the run before.
            Some(run) if run.exit_code != 0 && before.is_none_or(|before| before != run) => {
                let failure = Failure::failed(format!(
                    "{service} failed with {}",
                    ending::told(run.exit_code, run.cause.as_deref())
                ));
                let hint = format!("its output is above; ./sealift logs {service} shows earlier runs, too");
                Ok(Ran::Failed(failure.hint(hint)))
            }
            _ => Err(Failure::failed(format!("{} could not start {service}", self.engine.program()))
                .hint("the engine's message is above")
                .into()),
        }
    }
}

/// Between two looks at a run.
const PAUSE: Duration = Duration::from_secs(1);

impl Containers<'_> {
    /// Waits until the runs of scheduled services end whose containers are made anew: a backup is not stopped in the middle.
    pub(super) fn await_runs(&self, deadline: Deadline, ui: &Ui) -> Result<()> {
        let model = &self.deployment.profile.model;
        let mut is_told = false;
        loop {
            let is_run = |status: &ServiceStatus| {
                status.is_running() && status.outdated.is_some() && model.service(&status.service).schedule().is_some()
            };
            let Some(running) = self.states()?.into_iter().find(is_run) else { return Ok(()) };
            let service = running.service;
            if deadline.is_over() {
                let message = format!("{service} is still running after {} s", deadline.seconds());
                let hint = format!(
                    "no service was started or stopped; run `up` again when it has ended: ./sealift logs --follow {service} shows \
                     what it does; or give it more time with --timeout SECONDS"
                );
                return Err(Failure::failed(message).hint(hint).into());
            }
            if !is_told {
                ui.note(&format!("Waiting for the end of {service}, which is made anew then"));
                is_told = true;
            }
            std::thread::sleep(PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use toml::Spanned;

    use super::*;
    use crate::host::Deployment;
    use crate::host::testing::{self, Podman};
    use crate::profile::model::Running;

    /// The sample, whose web service runs each day, on a podman whose containers are in these states.
    fn run(web: &str, database: &str) -> (Result<Ran>, Vec<String>) {
        run_of(web, database, |_| {})
    }

    fn run_of(web: &str, database: &str, change: impl FnOnce(&mut Deployment)) -> (Result<Ran>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let mut deployment: Deployment = testing::deployment(folder.path());
        let service = deployment.profile.model.services.get_mut("shop-web").unwrap();
        service.run = Running::Schedule(Spanned::new(0..0, "daily".to_owned()));
        service.health = None;
        change(&mut deployment);
        let behavior = format!(
            r#"case "$*" in 'container inspect'*)
                state='{web}'
                [ -e started ] && state='"exited", "ExitCode": 3'
                printf '[{{"Name": "shop-small_shop-web", "State": {{"Status": %s}}}},' "$state"
                printf '{{"Name": "shop-small_shop-database", "State": {{"Status": "{database}"}}}},'
                printf '{{"Name": "shop-small_shop-database-2", "State": {{"Status": "{database}"}}}}]'
                exit;;
            esac"#
        );
        let podman = Podman::new(&behavior);
        let result = podman.containers(&deployment).run_now("shop-web");
        (result, podman.calls().into_iter().filter(|call| call.starts_with("start")).collect())
    }

    /// A run that needs one of two replicas, of which the first does not run.
    fn of_replicas() -> Result<Ran> {
        run_of("\"created\"", "running", |deployment| {
            let database = deployment.profile.model.services.get_mut("shop-database").unwrap();
            (database.replicas, database.volumes) = (2, [].into());
        })
        .0
    }

    fn failed(result: Result<Ran>) -> String {
        let Ok(Ran::Failed(failure)) = result else { panic!("{result:?}") };
        failure.to_string()
    }

    #[test]
    fn its_container_is_started_and_its_exit_code_counts() {
        let (result, started) = run("\"created\"", "running");
        assert_eq!(failed(result), "shop-web failed with exit code 3");
        assert_eq!(started, ["start --attach shop-small_shop-web"]);
    }

    /// `up` stopped a backup in the middle.
    #[test]
    fn a_run_ends_before_its_container_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let mut deployment: Deployment = testing::deployment(folder.path());
        let service = deployment.profile.model.services.get_mut("shop-web").unwrap();
        service.run = Running::Schedule(Spanned::new(0..0, "daily".to_owned()));
        service.health = None;
        let state = r#"printf '[{"Name": "shop-small_shop-web", "State": {"Status": "%s"}}]'"#;
        let podman = |state: &str| Podman::new(&format!("case \"$*\" in 'container inspect'*) {state}; exit;; esac"));
        let wait = |podman: &Podman, limit: u64| {
            let deadline = Deadline::after(Duration::from_secs(limit));
            podman.containers(&deployment).await_runs(deadline, &Ui::plain(std::io::sink()))
        };
        let error = wait(&podman(&format!("{state} running")), 0).unwrap_err();
        assert_eq!(error.to_string(), "shop-web is still running after 0 s");
        let ends = format!("echo >>looks; [ $(wc -l <looks) -gt 1 ] && state=exited || state=running; {state} $state");
        wait(&podman(&ends), 60).unwrap();
    }

    #[test]
    fn nothing_runs_while_the_deployment_is_down() {
        let folder = tempfile::tempdir().unwrap();
        let deployment: Deployment = testing::deployment(folder.path());
        let podman = Podman::new("");
        let result = podman.containers(&deployment).run_now("shop-web").unwrap();
        assert!(matches!(&result, Ran::Down(failure) if failure.to_string().contains("is down")), "{result:?}");
    }

    #[test]
    fn it_is_not_started_twice_or_without_what_it_needs() {
        let (result, started) = run("\"running\"", "running");
        assert_eq!((result.unwrap_err().to_string().as_str(), started.len()), ("shop-web is running already", 0));
        let (result, started) = run("\"exited\"", "exited");
        let message = "shop-web was not started: it needs shop-database, which is not ready";
        assert_eq!(failed(of_replicas()), "shop-web failed with exit code 3");
        assert_eq!((result.unwrap_err().to_string().as_str(), started.len()), (message, 0));
    }
}
