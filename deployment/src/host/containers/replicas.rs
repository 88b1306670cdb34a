//! Services with several containers, and those that depend on containers that start anew.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::context::Containers;
use crate::host::status::{ServiceState, ServiceStatus};
use crate::profile::model::Service;
use crate::render::container::HostLayout;
use crate::render::network;
use crate::ui::Ui;

/// Services that have to start again, each with the one that it depends on and that starts anew.
pub(super) type Dependents = BTreeMap<String, String>;

impl Containers<'_> {
    /// Adds the services that run and depend on one that will start: engines give a container another address at each start,
    /// and many programs look a name up only once. Restarts by the engine keep the address.
    pub(super) fn add_dependents(&self, states: &[ServiceStatus], dependents: &mut Dependents) {
        let model = &self.deployment.profile.model;
        let mut anew: BTreeSet<&str> = BTreeSet::new();
        // Each is after those that it depends on.
        for status in states {
            let service = model.service(&status.service);
            if service.runs_once() || service.schedule().is_some() {
                continue;
            }
            let conditions = model.conditions(&status.service);
            let dependency = conditions.iter().map(|(other, _)| *other).find(|other| anew.contains(other));
            if let Some(dependency) = dependency.filter(|_| status.is_running() && status.outdated.is_none()) {
                dependents.insert(status.service.clone(), dependency.to_owned());
            }
            let is_restarting = status.state == ServiceState::Other("restarting".into());
            let starts = !(status.is_running() || is_restarting) || status.outdated.is_some();
            if starts || dependents.contains_key(&status.service) {
                anew.insert(model.service_of(&status.service).0);
            }
        }
    }

    /// The outdated replicas that go on running for now: all but one of each service, as long as its networks stay. Those of
    /// a service that has one that does not run wait for that one. So do outdated services that depend on them, and
    /// `dependents`: a program that looks a name up once, when it starts, must find the addresses of all new containers.
    pub(super) fn kept_replicas(
        &self,
        layout: &HostLayout,
        states: &[ServiceStatus],
        dependents: &Dependents,
    ) -> Result<BTreeSet<String>> {
        let model = &self.deployment.profile.model;
        let mut kept = BTreeSet::new();
        for (name, service) in model.services.iter().filter(|(_, service)| service.is_replicated()) {
            let of_service = |status: &&ServiceStatus| model.service_of(&status.service).0 == name.get_ref();
            let own: Vec<&ServiceStatus> = states.iter().filter(of_service).collect();
            let works = |status: &&ServiceStatus| will_stop(status, dependents);
            let working: Vec<&str> = own.iter().copied().filter(works).map(|status| status.service.as_str()).collect();
            let all_run = own.iter().all(|status| status.is_running());
            if self.has_changed_network(layout, service)? {
                continue;
            }
            kept.extend(working.into_iter().skip(usize::from(all_run)).map(str::to_owned));
        }
        // Each is after those that it depends on.
        for status in states.iter().filter(|status| will_stop(status, dependents)) {
            let service = model.service(&status.service);
            // Also while the last replica is made: a proxy without the others answers, one that is removed does not.
            let waits = |(other, _): (&str, _)| {
                let instances = self.deployment.instances_of(other);
                let is_replicated = instances.len() > 1;
                let mut of_other = states.iter().filter(|status| instances.contains(&status.service.as_str()));
                of_other.any(|other| kept.contains(&other.service) || is_replicated && will_stop(other, dependents))
            };
            let depends = model.conditions(&status.service).into_iter().any(waits);
            if depends && !service.is_replicated() && !self.has_changed_network(layout, service)? {
                kept.insert(status.service.clone());
            }
        }
        Ok(kept)
    }

    fn has_changed_network(&self, layout: &HostLayout, service: &Service) -> Result<bool> {
        let model = &self.deployment.profile.model;
        let changed = network::of_service(model, service).into_iter().map(|name| self.is_changed(layout, name));
        Ok(changed.collect::<Result<Vec<bool>>>()?.contains(&true))
    }

    /// Removes containers of replicas that the profile has no more: `up` of an earlier version made them.
    pub(super) fn remove_surplus(&self, layout: &HostLayout, ui: &Ui) -> Result<()> {
        let model = &self.deployment.profile.model;
        let label = format!("label=com.docker.compose.project={}", layout.project);
        let found = self.engine.run(&["ps", "--all", "--filter", &label, "--format", "{{.Names}}"])?;
        let known: BTreeSet<String> =
            self.deployment.instances().into_iter().map(|instance| layout.resource_name(instance)).collect();
        let prefix = layout.resource_name("");
        for container in found.lines().filter(|container| !known.contains(*container)) {
            let Some(instance) = container.strip_prefix(&prefix) else { continue };
            let (service, _) = model.service_of(instance);
            if !model.services.contains_key(service) {
                continue;
            }
            ui.note(&format!("Removing {instance}: {service} has other replicas now"));
            self.stop_container(service, container, ui)?;
            self.engine.run(&["rm", "--force", container])?;
        }
        Ok(())
    }
}

/// Whether it runs, and has to be recreated or restarted.
fn will_stop(status: &ServiceStatus, dependents: &Dependents) -> bool {
    status.is_running() && (status.outdated.is_some() || dependents.contains_key(&status.service))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::host::Deployment;
    use crate::host::runtime::Deadline;
    use crate::host::status::Outdated;
    use crate::host::testing::{self, Podman};
    use crate::profile::model::Running;

    /// The sample with two replicas of its database.
    fn deployment(folder: &Path) -> Deployment {
        let mut deployment = testing::deployment(folder);
        let database = deployment.profile.model.services.get_mut("shop-database").unwrap();
        (database.replicas, database.volumes) = (2, [].into());
        deployment
    }

    fn changes(podman: &Podman) -> Vec<String> {
        let calls = podman.calls().into_iter();
        let words = calls.map(|call| call.split(' ').map(str::to_owned).collect::<Vec<_>>());
        let shown = words.filter_map(|words| match words[0].as_str() {
            "create" => {
                let at = words.iter().position(|word| word == "--name")?;
                Some(format!("create {}", words[at + 1]))
            }
            "start" | "stop" | "rm" => Some(words.join(" ")),
            "run" => Some("run".to_owned()),
            _ => None,
        });
        shown.collect()
    }

    fn start(podman: &Podman) {
        let folder = tempfile::tempdir().unwrap();
        start_of(podman, &deployment(folder.path()));
    }

    fn start_of(podman: &Podman, deployment: &Deployment) {
        let (deadline, ui) = (Deadline::after(Duration::from_secs(180)), Ui::plain(std::io::sink()));
        podman.containers(deployment).start_all(deadline, &ui).unwrap();
    }

    #[test]
    fn each_replica_has_a_container() {
        let podman = Podman::new("[ $1 = ps ] && { echo shop-small_shop-database; echo shop-small_other; exit; }");
        start(&podman);
        insta::assert_snapshot!(changes(&podman).join("\n"), @r#"
        stop -t 90 shop-small_shop-database
        rm --force shop-small_shop-database
        create shop-small_shop-database-1
        create shop-small_shop-database-2
        create shop-small_shop-web
        start shop-small_shop-database-1 shop-small_shop-database-2
        run
        start shop-small_shop-web
        "#);
        let created =
            podman.calls().into_iter().find(|call| call.contains("--name shop-small_shop-database-2 ")).unwrap();
        for option in ["--network-alias shop-database ", "--hostname shop-database-2 ", "container-number=2 "] {
            assert!(created.contains(option), "{created}");
        }
        assert!(created.contains("com.docker.compose.service=shop-database "), "{created}");
    }

    /// Two replicas of the database run, and the service that depends on it, whose container has the label `hash`. Those
    /// without such a label are outdated.
    fn running(hash: &str) -> String {
        r#"case "$*" in
            rm*) shift 2; for name; do echo "$name" >>removed; done; exit;;
            'container inspect'*)
                shift 2; separator='['
                for name; do
                    case $name in
                    *database*) image=shop-database hash=;;
                    *) image=web hash=HASH;;
                    esac
                    grep -qx "$name" removed 2>/dev/null && {
                        grep -qx "$name" created 2>/dev/null || continue
                        hash=$(grep -h "name $name " calls | sed 's/.*org.sealift.made-from=\([0-9a-f]*\).*/\1/' | tail -n 1)
                    }
                    printf '%s{"Name": "%s", "State": {"Status": "running", "StartedAt": "2020-01-01T00:00:00Z"},' \
                        "$separator" "$name"
                    id=$(printf %s $image | sha256sum | cut -d' ' -f1)
                    printf '"Image": "%s", "Config": {"Labels": {"org.sealift.made-from": "%s"}}}' "$id" "$hash"
                    separator=,
                done
                [ $separator = , ] || printf '['
                echo ']'; exit;;
            esac"#
        .replace("HASH", hash)
    }

    /// All were stopped before the first one was started again. Later, the proxy of a new version started before the last one,
    /// and kept the address of the old container: each answer was 502.
    #[test]
    fn outdated_replicas_are_recreated_one_after_the_other() {
        let podman = Podman::new(&running(""));
        start(&podman);
        insta::assert_snapshot!(changes(&podman).join("\n"), @r#"
        stop -t 90 shop-small_shop-database-1
        rm --force shop-small_shop-database-1
        create shop-small_shop-database-1
        start shop-small_shop-database-1
        stop -t 90 shop-small_shop-database-2
        rm --force shop-small_shop-database-2
        create shop-small_shop-database-2
        start shop-small_shop-database-2
        stop -t 30 shop-small_shop-web
        rm --force shop-small_shop-web
        create shop-small_shop-web
        run
        start shop-small_shop-web
        "#);
    }

    /// A proxy that has not changed kept the addresses of the old containers.
    #[test]
    fn services_that_depend_on_recreated_ones_are_restarted_after_the_last_one() {
        let folder = tempfile::tempdir().unwrap();
        let (deployment, podman) = (deployment(folder.path()), Podman::new(""));
        let containers = podman.containers(&deployment);
        let hash = containers.config_hash(&containers.layout().unwrap(), "shop-web").unwrap();
        let podman = Podman::new(&running(&hash));
        start_of(&podman, &deployment);
        insta::assert_snapshot!(changes(&podman).join("\n"), @r#"
        stop -t 90 shop-small_shop-database-1
        rm --force shop-small_shop-database-1
        create shop-small_shop-database-1
        start shop-small_shop-database-1
        stop -t 90 shop-small_shop-database-2
        rm --force shop-small_shop-database-2
        create shop-small_shop-database-2
        start shop-small_shop-database-2
        stop -t 30 shop-small_shop-web
        run
        start shop-small_shop-web
        "#);
    }

    #[test]
    fn what_depends_on_a_service_that_starts_anew_restarts() {
        let folder = tempfile::tempdir().unwrap();
        let mut deployment = testing::deployment(folder.path());
        let status = |name: &str, state: &str, outdated| {
            let state = match state {
                "running" => ServiceState::Running,
                other => ServiceState::Other(other.into()),
            };
            ServiceStatus { state, outdated, ..ServiceStatus::absent(name, name.into()) }
        };
        let restarts = |deployment: &Deployment, state: &str, outdated| {
            let podman = Podman::new("");
            let states = [status("shop-database", state, outdated), status("shop-web", "running", None)];
            let mut dependents = Dependents::new();
            podman.containers(deployment).add_dependents(&states, &mut dependents);
            dependents.contains_key("shop-web")
        };
        assert!(restarts(&deployment, "running", Some(Outdated::Settings)));
        assert!(restarts(&deployment, "exited", None));
        assert!(!restarts(&deployment, "running", None));
        // The engine starts it, with the address that it had.
        assert!(!restarts(&deployment, "restarting", None));
        // Nobody connects to what runs once.
        deployment.profile.model.services.get_mut("shop-database").unwrap().run = Running::Once;
        assert!(!restarts(&deployment, "exited", None));
    }
}
