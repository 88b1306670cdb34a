//! Services with several containers.

use std::collections::BTreeSet;

use anyhow::Result;

use super::context::Containers;
use crate::host::status::ServiceStatus;
use crate::profile::model::Service;
use crate::render::container::HostLayout;
use crate::render::network;
use crate::ui::Ui;

impl Containers<'_> {
    /// The outdated replicas that go on running for now: all but one of each service, as long as its networks stay. Those of
    /// a service that has one that does not run wait for that one. So do outdated services that depend on them: a program that
    /// looks a name up once, when it starts, must find the addresses of all new containers.
    pub(super) fn kept_replicas(&self, layout: &HostLayout, states: &[ServiceStatus]) -> Result<BTreeSet<String>> {
        let model = &self.deployment.profile.model;
        let mut kept = BTreeSet::new();
        for (name, service) in model.services.iter().filter(|(_, service)| service.is_replicated()) {
            let of_service = |status: &&ServiceStatus| model.service_of(&status.service).0 == name.get_ref();
            let own: Vec<&ServiceStatus> = states.iter().filter(of_service).collect();
            let works = |status: &&ServiceStatus| status.is_running() && status.outdated.is_some();
            let working: Vec<&str> = own.iter().copied().filter(works).map(|status| status.service.as_str()).collect();
            let all_run = own.iter().all(|status| status.is_running());
            if self.has_changed_network(layout, service)? {
                continue;
            }
            kept.extend(working.into_iter().skip(usize::from(all_run)).map(str::to_owned));
        }
        // Each is after those that it depends on.
        for status in states.iter().filter(|status| status.is_running() && status.outdated.is_some()) {
            let service = model.service(&status.service);
            let is_kept = |(other, _): (&str, _)| {
                self.deployment.instances_of(other).into_iter().any(|instance| kept.contains(instance))
            };
            let depends = model.conditions(&status.service).into_iter().any(is_kept);
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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::host::Deployment;
    use crate::host::runtime::Deadline;
    use crate::host::testing::{self, Podman};

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
        let deployment = deployment(folder.path());
        let (deadline, ui) = (Deadline::after(Duration::from_secs(180)), Ui::plain(std::io::sink()));
        podman.containers(&deployment).start_all(deadline, &ui).unwrap();
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

    /// All were stopped before the first one was started again. Later, the proxy of a new version started before the last one,
    /// and kept the address of the old container: each answer was 502.
    #[test]
    fn outdated_replicas_are_recreated_one_after_the_other() {
        // Containers without the label of a configuration run until they are removed.
        let behavior = r#"case "$*" in
            rm*) shift 2; for name; do echo "$name" >>removed; done; exit;;
            'container inspect'*)
                shift 2; separator='['
                for name; do
                    hash=; grep -qx "$name" removed 2>/dev/null && {
                        grep -qx "$name" created 2>/dev/null || continue
                        hash=$(grep -h "name $name " calls | sed 's/.*org.sealift.made-from=\([0-9a-f]*\).*/\1/' | tail -n 1)
                    }
                    printf '%s{"Name": "%s", "State": {"Status": "running", "StartedAt": "2020-01-01T00:00:00Z"},' \
                        "$separator" "$name"
                    case $name in
                    *database*) image=shop-database;; *) image=web;;
                    esac
                    id=$(printf %s $image | sha256sum | cut -d' ' -f1)
                    printf '"Image": "%s", "Config": {"Labels": {"org.sealift.made-from": "%s"}}}' "$id" "$hash"
                    separator=,
                done
                [ $separator = , ] || printf '['
                echo ']'; exit;;
            esac"#;
        let podman = Podman::new(behavior);
        start(&podman);
        insta::assert_snapshot!(changes(&podman).join("\n"), @r#"
        stop -t 90 shop-small_shop-database-1
        rm --force shop-small_shop-database-1
        create shop-small_shop-database-1
        start shop-small_shop-database-1
        stop -t 30 shop-small_shop-web
        rm --force shop-small_shop-web
        stop -t 90 shop-small_shop-database-2
        rm --force shop-small_shop-database-2
        create shop-small_shop-database-2
        create shop-small_shop-web
        start shop-small_shop-database-2
        run
        start shop-small_shop-web
        "#);
    }
}
