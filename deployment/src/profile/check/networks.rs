//! Checks of `[networks.*]`, and of the networks that services name.

use toml::Spanned;

use super::super::model::{Internal, Network, Service};
use super::super::suggest;
use super::super::template::expression_reads;
use super::Check;

impl Check<'_> {
    pub(super) fn network(&mut self, key: &Spanned<String>, network: &Network) {
        let name = key.get_ref().as_str();
        self.name(key.span(), name, "a network");
        if !self.model.services.values().any(|service| service.networks.iter().any(|used| used == key)) {
            let hint = "name it in `networks` of a service, or remove it";
            self.report(key.span(), format!("no service is on the network `{name}`"), hint);
        }
        if let Internal::When(test) = &network.internal {
            let span = self.document.value(&["networks", name, "internal"]);
            match expression_reads("settings", test) {
                Ok(found) => self.check_reads(span, "the condition", &found),
                Err(error) => {
                    let hint = "write true, false or a condition such as \"not settings.mirror\"";
                    self.report(span, format!("not an expression: {error}"), hint);
                }
            }
        }
    }

    /// Checks the networks of a service. `key` is its name.
    pub(super) fn service_networks(&mut self, key: &Spanned<String>, service: &Service) {
        let (networks, name) = (&self.model.networks, key.get_ref().as_str());
        self.distinct(&service.networks, "network");
        let known = || networks.keys().map(|name| name.get_ref().as_str());
        for network in service.networks.iter().filter(|network| !networks.contains_key(*network)) {
            let hint = match networks.is_empty() {
                true => format!("add a table [networks.{}]", network.get_ref()),
                false => suggest::hint(network.get_ref(), "networks", known()),
            };
            self.report(network.span(), format!("there is no network `{}`", network.get_ref()), hint);
        }
        if networks.is_empty() || service.host_network.is_some() {
            return;
        }
        if service.networks.is_empty() {
            let message = format!("the service `{name}` is on no network");
            let hint = format!("add `networks`: {}", known().collect::<Vec<_>>().join(", "));
            return self.report(key.span(), message, hint);
        }
        let is_open = |network: &Spanned<String>| networks.get(network).is_none_or(Network::is_open);
        if !service.networks.iter().any(is_open)
            && let Some(port) = service.publish.keys().next()
        {
            let message = format!("the port `{}` cannot be published from internal networks", port.get_ref());
            let hint = "add a network with `internal = false` to the service, best one that no other service is on";
            self.report(port.span(), message, hint);
        }
    }
}
