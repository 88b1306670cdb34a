//! Making and removing the networks of a deployment.
//!
//! A network cannot be changed. One that differs from what it should be is made again when none of its containers stays;
//! otherwise it is used as it is, as long as it is no less closed than it should be.

use std::collections::BTreeSet;

use anyhow::Result;

use super::context::Containers;
use super::kind::EngineKind;
use super::output::{self, Network};
use crate::failure::Failure;
use crate::host::ipv6;
use crate::render::container::{self, HostLayout, Networks};
use crate::render::network;
use crate::ui::Ui;

/// How many IPv6 subnets are tried.
const ATTEMPTS: u32 = 4;

impl Containers<'_> {
    /// The networks that the engine accepts when it creates a container.
    pub(super) fn networks_at_creation(&self) -> Networks {
        match self.engine.kind {
            EngineKind::Podman => Networks::All,
            EngineKind::Docker => Networks::First,
        }
    }

    /// Whether the networks of this host's containers can have IPv6.
    pub(super) fn has_ipv6(&self) -> Result<bool> {
        Ok(!self.engine.info()?.remote && ipv6::is_enabled(self.machine))
    }

    /// Whether the engine can publish ports on `::1`. Packets to it never leave the loopback interface, and root's podman has no
    /// program that takes them over.
    pub(super) fn publishes_on_ipv6_loopback(&self) -> Result<bool> {
        Ok(self.engine.kind != EngineKind::Podman || self.engine.info()?.rootless)
    }

    /// Makes the networks that are missing, and those again that are not as they should be and that none of the services
    /// `kept` is on. Removes what is left of earlier versions. Returns the layout with the networks that have IPv6.
    ///
    /// # Errors
    /// When the engine fails, or a network that must be internal cannot be made so.
    pub(super) fn prepare_networks(&self, layout: &HostLayout, kept: &[&str], ui: &Ui) -> Result<HostLayout> {
        let model = &self.deployment.profile.model;
        let in_use: BTreeSet<&str> =
            kept.iter().flat_map(|service| network::of_service(model, model.service(service))).collect();
        let mut ipv6 = BTreeSet::new();
        for name in network::names(model) {
            let full_name = layout.resource_name(name);
            let wanted = self.wanted_network(layout, name)?;
            let found = self.network(&full_name)?;
            let has_ipv6 = match found {
                Some(found) if is_as(&found, &wanted) => found.ipv6,
                Some(found) if in_use.contains(name) || !self.engine.remove_network(&full_name)? => {
                    keep(&full_name, &found, &wanted, ui)?;
                    found.ipv6
                }
                _ => self.create_network(layout, name, wanted.ipv6, ui)?,
            };
            if has_ipv6 {
                ipv6.insert(name.to_owned());
            }
        }
        self.remove_old_networks(layout, &in_use)?;
        Ok(HostLayout { ipv6, ..layout.clone() })
    }

    /// Whether a network has to be made again.
    pub(super) fn is_changed(&self, layout: &HostLayout, name: &str) -> Result<bool> {
        let wanted = self.wanted_network(layout, name)?;
        Ok(self.network(&layout.resource_name(name))?.is_some_and(|found| !is_as(&found, &wanted)))
    }

    /// The network that the profile and the host ask for.
    fn wanted_network(&self, layout: &HostLayout, name: &str) -> Result<Network> {
        let model = &self.deployment.profile.model;
        let internal = network::is_internal(model, name, &layout.variables);
        Ok(Network {
            ipv6: self.has_ipv6()? && !internal,
            internal,
            isolated: self.engine.kind == EngineKind::Podman && model.networks.contains_key(name),
        })
    }

    /// A network of the engine; `None` when there is none of this name.
    pub(super) fn network(&self, full_name: &str) -> Result<Option<Network>> {
        let json = self.engine.query(&["network", "inspect", full_name])?;
        Ok(json.map(|json| output::network(&json)).transpose()?.flatten())
    }

    /// Creates a network. Returns whether it has IPv6: without it, services still have IPv4.
    fn create_network(&self, layout: &HostLayout, name: &str, ipv6: bool, ui: &Ui) -> Result<bool> {
        let model = &self.deployment.profile.model;
        let create = |subnet: Option<&str>| {
            self.engine.create_if_missing("network", &network::create(model, name, layout, subnet))
        };
        let full_name = layout.resource_name(name);
        for attempt in 0..if ipv6 { ATTEMPTS } else { 0 } {
            match create(Some(&network::ipv6_subnet(&full_name, attempt))) {
                Ok(()) => return Ok(true),
                Err(error) if output::is_overlapping(&format!("{error:#}")) => {}
                Err(error) => {
                    ui.note(&format!("The network {full_name} has no IPv6: {error:#}"));
                    break;
                }
            }
        }
        create(None)?;
        Ok(false)
    }

    /// Connects a container of a service to the networks that it could not be created on. It is removed when that fails: no
    /// container starts without its networks.
    ///
    /// # Errors
    /// When the engine fails.
    pub(super) fn connect(
        &self,
        layout: &HostLayout,
        service: &str,
        container: &str,
        alias: Option<&str>,
    ) -> Result<()> {
        if self.networks_at_creation() == Networks::All {
            return Ok(());
        }
        for arguments in container::connect(&self.deployment.profile.model, service, layout, container, alias) {
            let arguments: Vec<String> = std::iter::once("network".to_owned()).chain(arguments).collect();
            if let Err(error) = self.engine.run(&arguments) {
                self.engine.run(&["rm", "--force", container])?;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Removes the networks of the project, as far as no container uses them.
    ///
    /// # Errors
    /// When the engine fails.
    pub(super) fn remove_networks(&self, layout: &HostLayout) -> Result<()> {
        for name in network::names(&self.deployment.profile.model) {
            self.engine.remove_network(&layout.resource_name(name))?;
        }
        self.remove_old_networks(layout, &BTreeSet::new())
    }

    /// Removes the project's networks that the profile does not have, such as those of an earlier version.
    fn remove_old_networks(&self, layout: &HostLayout, in_use: &BTreeSet<&str>) -> Result<()> {
        let label = format!("label=com.docker.compose.project={}", layout.project);
        let known = network::names(&self.deployment.profile.model);
        let known: Vec<String> =
            known.into_iter().chain(in_use.iter().copied()).map(|name| layout.resource_name(name)).collect();
        let found = self.engine.run(&["network", "ls", "--filter", &label, "--format", "{{.Name}}"])?;
        for old in found.lines().filter(|name| !known.iter().any(|known| known == name)) {
            self.engine.remove_network(old)?;
        }
        Ok(())
    }
}

/// Whether `found` is what is wanted. IPv6 that is not needed does no harm.
fn is_as(found: &Network, wanted: &Network) -> bool {
    found.internal == wanted.internal && found.isolated >= wanted.isolated && found.ipv6 >= wanted.ipv6
}

/// Whether a network that differs from `wanted` can be used as it is.
fn keep(full_name: &str, found: &Network, wanted: &Network, ui: &Ui) -> Result<()> {
    if found.internal != wanted.internal {
        let has = if wanted.internal { "has" } else { "does not have" };
        let should = if wanted.internal { "should have none" } else { "should have one" };
        return Err(Failure::failed(format!("the network {full_name} {has} a way out, and {should}"))
            .hint("other containers are on it: stop those, then run `sealift down` and `sealift up`")
            .into());
    }
    let lacks = if wanted.ipv6 && !found.ipv6 { "has no IPv6" } else { "is not kept apart from other networks" };
    ui.note(&format!(
        "The network {full_name} {lacks}: it was made without. `sealift down` and `sealift up` make it again."
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::testing::{self, Podman};

    /// The changes of networks that a podman of this behavior is asked for when the services `kept` stay, the networks that
    /// have IPv6 then, and what is printed. The host has IPv6.
    fn prepared(behavior: &str, kept: &[&str]) -> Result<String> {
        let place = tempfile::tempdir().unwrap();
        for interfaces in ["all", "default"] {
            let settings = place.path().join("proc/sys/net/ipv6/conf").join(interfaces);
            fs_err::create_dir_all(&settings).unwrap();
            fs_err::write(settings.join("disable_ipv6"), "0").unwrap();
        }
        let podman = Podman::new(behavior).on(place.path());
        let folder = place.path().join("shop");
        fs_err::create_dir(&folder).unwrap();
        let deployment = testing::deployment(&folder);
        let containers = podman.containers(&deployment);
        let printed = place.path().join("printed");
        let ui = Ui::plain(fs_err::File::create(&printed).unwrap());
        let layout = containers.prepare_networks(&containers.layout()?, kept, &ui)?;
        let mut lines = Vec::new();
        for call in podman.calls() {
            let words: Vec<&str> = call.split(' ').collect();
            if call.starts_with("network create") || call.starts_with("network rm") {
                let options = words.iter().filter(|word| ["--internal", "--ipv6"].contains(word));
                let words = words[1..2].iter().chain(options).chain(words.last());
                lines.push(words.copied().collect::<Vec<_>>().join(" "));
            }
        }
        lines.push(format!("IPv6: {}", layout.ipv6.into_iter().collect::<Vec<_>>().join(", ")));
        lines.push(fs_err::read_to_string(printed).unwrap());
        Ok(lines.join("\n").trim().to_owned())
    }

    #[test]
    fn networks_are_made_as_the_profile_has_them() {
        insta::assert_snapshot!(prepared("", &[]).unwrap(), @"
        create --internal shop-small_data
        create --ipv6 shop-small_front
        create --internal shop-small_outside
        IPv6: front
        ");
        // Where the engine refuses IPv6, nothing fails.
        let refused = "case \"$*\" in *--ipv6*) echo 'Error: no IPv6' >&2; exit 125;; esac";
        insta::assert_snapshot!(prepared(refused, &[]).unwrap(), @"
        create --internal shop-small_data
        create --ipv6 shop-small_front
        create shop-small_front
        create --internal shop-small_outside
        IPv6: 
        The network shop-small_front has no IPv6: `podman network create ...` failed: Error: no IPv6
        ");
    }

    /// An older network for all, and two new ones that differ from what they should be.
    const OLD: &str = r#"
case "$1 $2 $3" in
    'network inspect shop-small_front') echo '[{"ipv6_enabled": false, "options": {"isolate": "true"}}]'; exit 0;;
    'network inspect shop-small_data') echo '[{"internal": true, "options": {"isolate": "true"}}]'; exit 0;;
    'network inspect shop-small_outside') echo '[{"internal": false, "options": {"isolate": "true"}}]'; exit 0;;
    'network ls --filter') echo shop-small_default; echo shop-small_data; exit 0;;
esac
"#;

    #[test]
    fn a_network_that_differs_is_made_again_where_no_container_stays_on_it() {
        insta::assert_snapshot!(prepared(OLD, &["shop-database"]).unwrap(), @"
        rm shop-small_front
        create --ipv6 shop-small_front
        rm shop-small_outside
        create --internal shop-small_outside
        rm shop-small_default
        IPv6: front
        ");
    }

    #[test]
    fn a_network_in_use_stays_unless_it_is_more_open_than_it_should_be() {
        let error = prepared(OLD, &["shop-web"]).unwrap_err();
        assert_eq!(error.to_string(), "the network shop-small_outside has a way out, and should have none");
        let closed = OLD.replace("{\"internal\": false", "{\"internal\": true");
        insta::assert_snapshot!(prepared(&closed, &["shop-web"]).unwrap(), @"
        rm shop-small_default
        IPv6: 
        The network shop-small_front has no IPv6: it was made without. `sealift down` and `sealift up` make it again.
        ");
    }
}
