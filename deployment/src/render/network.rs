//! The networks of a deployment, and the arguments that create them. podman and Docker accept the same ones.
//!
//! Services on an internal network reach each other, and it gives them no route to anything else: neither out nor to the
//! services of other networks. Docker separates all networks from each other; podman separates those that have the option
//! `isolate`, which Docker ignores.

use std::collections::BTreeMap;

use sealift_layers::digest::Digest;

use super::container::HostLayout;
use crate::profile::model::{Internal, Model, Service};
use crate::profile::names::internal_variable;

/// The only network of a profile that defines none: compose's own name for it.
pub const DEFAULT: &str = "default";

/// The option of networks that podman separates from each other.
pub(super) const ISOLATE: (&str, &str) = ("isolate", "true");

/// The networks of the deployment, by their names in the profile.
#[must_use]
pub fn names(model: &Model) -> Vec<&str> {
    let mut names: Vec<&str> = model.networks.keys().map(|name| name.get_ref().as_str()).collect();
    if names.is_empty() {
        names.push(DEFAULT);
    }
    names
}

/// The networks that a service is on; none for one on the host's own. Those with a way out come first: Docker publishes ports through the first one.
#[must_use]
pub fn of_service<'m>(model: &'m Model, service: &'m Service) -> Vec<&'m str> {
    let mut names: Vec<&str> = service.networks.iter().map(|name| name.get_ref().as_str()).collect();
    if service.host_network.is_some() {
        return names;
    }
    names.sort_by_key(|name| !model.networks.get(*name).is_some_and(crate::profile::model::Network::is_open));
    if names.is_empty() {
        names.push(DEFAULT);
    }
    names
}

/// Whether a network is internal on a host whose `.env` has these variables. The site writes the variable of a network whose
/// condition depends on settings; without it such a network is internal.
#[must_use]
pub fn is_internal(model: &Model, name: &str, variables: &BTreeMap<String, String>) -> bool {
    match model.networks.get(name).map(|network| &network.internal) {
        None => false,
        Some(Internal::Always(internal)) => *internal,
        Some(Internal::When(_)) => variables.get(&internal_variable(name)).is_none_or(|value| value != "false"),
    }
}

/// The arguments of `network create`. With an IPv6 subnet the network has both IPv4 and IPv6; the engine chooses the IPv4
/// subnet.
#[must_use]
pub fn create(model: &Model, name: &str, layout: &HostLayout, ipv6: Option<&str>) -> Vec<String> {
    let mut arguments = Vec::new();
    if is_internal(model, name, &layout.variables) {
        arguments.push("--internal".to_owned());
    }
    if let Some(subnet) = ipv6 {
        arguments.extend(["--ipv6", "--subnet", subnet].map(str::to_owned));
    }
    if model.networks.contains_key(name) {
        arguments.extend(["--opt".to_owned(), format!("{}={}", ISOLATE.0, ISOLATE.1)]);
    }
    layout.labels("network", name).into_iter().for_each(|label| arguments.extend(["--label".to_owned(), label]));
    arguments.push(layout.resource_name(name));
    arguments
}

/// A subnet of unique local IPv6 addresses (RFC 4193) for a network of this full name, which no two names share in practice.
/// Docker before version 27 chooses none itself. `attempt` gives another one, where the subnet is in use nevertheless.
#[must_use]
pub fn ipv6_subnet(full_name: &str, attempt: u32) -> String {
    let digest = Digest::of(format!("{attempt} {full_name}").as_bytes()).hex();
    let group = |at: usize| &digest[at..at + 4];
    format!("fd{}:{}:{}:{}::/64", &digest[..2], group(2), group(6), group(10))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::sample;

    #[test]
    fn a_subnet_depends_on_the_name_alone() {
        let subnet = ipv6_subnet("shop-small_front", 0);
        assert_eq!(subnet, ipv6_subnet("shop-small_front", 0));
        assert_ne!(subnet, ipv6_subnet("shop-small_front", 1));
        assert_ne!(subnet, ipv6_subnet("shop-small_back", 0));
        let (address, length) = subnet.split_once('/').unwrap();
        let address: std::net::Ipv6Addr = address.parse().unwrap();
        assert_eq!((address.octets()[0], &address.octets()[8..], length), (0xfd, &[0; 8][..], "64"));
    }

    #[test]
    fn a_condition_counts_as_the_site_wrote_it() {
        let (model, mut variables) = (sample(), BTreeMap::new());
        let mut internal = |value: Option<&str>| {
            variables.clear();
            variables.extend(value.map(|value| ("SEALIFT_OUTSIDE_INTERNAL".to_owned(), value.to_owned())));
            ["front", "data", "outside"].map(|name| is_internal(&model, name, &variables))
        };
        assert_eq!(internal(None), [false, true, true]);
        assert_eq!(internal(Some("true")), [false, true, true]);
        assert_eq!(internal(Some("false")), [false, true, false]);
        assert!(!is_internal(&model, DEFAULT, &BTreeMap::new()));
    }
}
