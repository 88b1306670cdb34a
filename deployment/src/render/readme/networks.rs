//! The chapter about networks of the operator's README.

use crate::profile::model::{Internal, Model, Network};
use crate::profile::names::project_name;

/// The networks, their services and who has a way out; empty for a profile that defines none.
pub(super) fn chapter(model: &Model) -> String {
    if model.networks.is_empty() {
        return String::new();
    }
    let mut text = "\
## Networks

A service reaches those that share a network with it, and no others.

| network | services | way out |
| --- | --- | --- |
"
    .to_owned();
    for (name, network) in &model.networks {
        let members = model.services.iter().filter(|(_, service)| service.networks.contains(name));
        let members: Vec<String> = members.map(|(member, _)| format!("`{}`", member.get_ref())).collect();
        let title = if network.title.is_empty() { String::new() } else { format!(": {}", network.title) };
        text += &format!("| `{}`{title} | {} | {} |\n", name.get_ref(), members.join(", "), way_out(network));
    }
    text += "\n\
Networks with a way out have IPv6, too, where this host has it. If one was made without it, `./sealift down` and then
`./sealift up` make it again.";
    if model.networks.values().any(|network| matches!(network.internal, Internal::When(_))) {
        text += "\n\n\
`./sealift up` opens and closes a network that depends on the settings, and restarts the services on it.";
    }
    text
}

fn way_out(network: &Network) -> &'static str {
    match network.internal {
        Internal::Always(true) => "no",
        Internal::Always(false) => "yes",
        Internal::When(_) => "depends on `site/settings.toml`",
    }
}

/// What the commands of compose do not do with networks, for the chapter about them.
pub(super) fn by_hand(model: &Model) -> String {
    let project = project_name(model);
    let mut text = "\n\nCompose makes networks with IPv4 only.".to_owned();
    for (name, _) in model.networks.iter().filter(|(_, network)| matches!(network.internal, Internal::When(_))) {
        let name = name.get_ref();
        text += &format!(
            " podman-compose makes the network `{name}` without a way out, whatever\nthe settings say. If a service needs \
             it, make it before the start:\n\n       podman network create {project}_{name}"
        );
    }
    text
}
