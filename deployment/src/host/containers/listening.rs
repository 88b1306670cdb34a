//! Whether a program listens where a published port leads, and where other services look for it.
//!
//! A connection to the port of the host does not show that: engines accept it, whether anybody listens in the container or
//! not. The kernel's table of the container's sockets does, and needs no program in the image.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::context::Containers;
use super::output::Container;
use crate::clock;
use crate::finding::Findings;
use crate::host::ports::PublishedPort;
use crate::host::sockets;
use crate::profile::model::Protocol;

/// Between two looks at the sockets.
const PAUSE: Duration = Duration::from_millis(200);
/// The OCI runtimes whose containers have the host's kernel. Others, such as gVisor, have sockets that it does not know.
const OF_THIS_KERNEL: [&str; 4] = ["crun", "runc", "youki", "io.containerd.runc.v2"];
/// Where Docker's server for names listens, in each container.
const DOCKER_DNS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11));
/// Most ports that a message names.
const MOST_PORTS: usize = 8;

/// A port in a container, and the published one that leads there. Others belong to services that another one waits for.
struct Lead<'a> {
    service: &'a str,
    port: Option<&'a PublishedPort>,
    inside: u16,
}

impl Containers<'_> {
    /// As [`crate::host::runtime::Runtime::check_published`].
    pub(super) fn check_listening(&self, services: &[&str], patience: Duration, findings: &mut Findings) -> Result<()> {
        let info = self.engine.info()?;
        let runtime = Path::new(&info.runtime).file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let published = self.deployment.published(&BTreeMap::new())?;
        let leads = self.leads(services, &published);
        if leads.is_empty() || info.remote || !OF_THIS_KERNEL.contains(&runtime) {
            return Ok(());
        }
        let begin = Instant::now();
        loop {
            let found = self.inspected()?;
            let mut wrong = Findings::default();
            for lead in &leads {
                let sockets = found.get(lead.service).and_then(|container| self.sockets(container, lead.protocol()));
                if let Some(sockets) = sockets {
                    lead.check(&sockets, &mut wrong);
                }
            }
            if wrong.0.is_empty() || begin.elapsed() >= patience {
                findings.0.extend(wrong.0);
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Of ports in a row, programs open some when they need them: those are left out.
    fn leads<'b>(&'b self, services: &[&'b str], published: &'b [PublishedPort]) -> Vec<Lead<'b>> {
        let model = &self.deployment.profile.model;
        let is_single = |port: &&PublishedPort| port.spec.count == 1;
        let mut leads = Vec::new();
        for service in services {
            for (name, inside) in &model.service(service).publish {
                let port = published.iter().filter(is_single).find(|port| port.name == *name.get_ref());
                leads.extend(port.map(|port| Lead { service, port: Some(port), inside: *inside }));
            }
            leads.extend(self.checked_port(service).map(|inside| Lead { service, port: None, inside }));
        }
        leads
    }

    /// The port that the health check of a service asks, if another service waits for this one. The check connects to 127.0.0.1.
    fn checked_port(&self, service: &str) -> Option<u16> {
        let model = &self.deployment.profile.model;
        let name = model.service_of(service).0;
        let health =
            model.service(service).health.as_ref().filter(|_| model.service(service).host_network.is_none())?;
        let port =
            health.http.as_ref().map(|check| check.port).or_else(|| health.tcp.as_ref().map(|check| check.port))?;
        let is_awaited =
            |other: &crate::profile::model::Service| other.depends_on.services().any(|on| on.get_ref() == name);
        model.services.values().any(is_awaited).then_some(port)
    }

    fn sockets(&self, container: &Container, protocol: Protocol) -> Option<BTreeSet<SocketAddr>> {
        let seconds = container.seconds_up(clock::now().cast_signed())?;
        let mut sockets = sockets::listening(self.machine, container.process?, seconds, protocol)?;
        sockets.retain(|socket| socket.ip() != DOCKER_DNS);
        Some(sockets)
    }
}

impl Lead<'_> {
    fn protocol(&self) -> Protocol {
        self.port.map_or(Protocol::Tcp, |port| port.spec.protocol)
    }

    /// Compares it with the sockets that listen in the container.
    fn check(&self, sockets: &BTreeSet<SocketAddr>, findings: &mut Findings) {
        let Self { service, port, inside } = self;
        let own: Vec<IpAddr> =
            sockets.iter().filter(|socket| socket.port() == *inside).map(|socket| socket.ip()).collect();
        let everywhere = "let the program listen on all addresses of its container (0.0.0.0 or ::)";
        let Some(port) = port else {
            // A port for checks may be another one than that for services.
            if !own.is_empty() && sockets.iter().all(|socket| socket.ip().is_loopback()) {
                let message = format!("it listens on {} only: no other service reaches its port {inside}", own[0]);
                findings.warn(*service, message, everywhere);
            }
            return;
        };
        let (topic, number) = (format!("port {}", port.name), port.number);
        // Ports of TCP need no word for it.
        let kind = if self.protocol() == Protocol::Udp { "UDP port" } else { "port" };
        if own.is_empty() {
            let ports: BTreeSet<u16> = sockets.iter().map(SocketAddr::port).collect();
            let ports: Vec<String> = ports.iter().take(MOST_PORTS).map(u16::to_string).collect();
            let ports = if ports.is_empty() { format!("no {kind}") } else { ports.join(", ") };
            let message = format!(
                "nothing listens on {kind} {inside} of `{service}`, which port {number} of this host leads to; it listens on {ports}"
            );
            let hint = format!(
                "name the port of the program in `publish` of [services.{service}], in profile.toml; if it only begins to \
                 listen, `./sealift doctor` looks again"
            );
            findings.warn(topic, message, hint);
        } else if own.iter().all(IpAddr::is_loopback) {
            let message = format!(
                "`{service}` listens on {} only: nobody reaches its {kind} {inside}, which port {number} of this host leads to",
                own[0]
            );
            findings.warn(topic, message, everywhere);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(sockets: &[&str]) -> String {
        checked_as(true, sockets)
    }

    fn checked_as(is_published: bool, sockets: &[&str]) -> String {
        checked_with("tcp", is_published, sockets)
    }

    fn checked_with(protocol: &str, is_published: bool, sockets: &[&str]) -> String {
        let spec = toml::from_str(&format!("default = 1\naddress = \"\"\nprotocol = \"{protocol}\"")).unwrap();
        let port = PublishedPort { name: "http".into(), address: Ipv4Addr::UNSPECIFIED.into(), number: 80, spec };
        let sockets = sockets.iter().map(|socket| socket.parse().unwrap()).collect();
        let mut findings = Findings::default();
        Lead { service: "web", port: Some(&port).filter(|_| is_published), inside: 8090 }
            .check(&sockets, &mut findings);
        findings.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    /// The image's server listened on another port: `up` and `doctor` said that all is well.
    #[test]
    fn a_port_that_leads_nowhere_is_told_with_those_that_are_open() {
        insta::assert_snapshot!(checked(&["0.0.0.0:8080", "[::]:8080", "127.0.0.1:9000"]), @r"
        warning: port http: nothing listens on port 8090 of `web`, which port 80 of this host leads to; it listens on 8080, 9000
          hint: name the port of the program in `publish` of [services.web], in profile.toml; if it only begins to listen, `./sealift doctor` looks again
        ");
        assert!(checked(&[]).contains("it listens on no port"));
        assert_eq!(checked(&["0.0.0.0:8090"]), "");
        assert_eq!(checked(&["[::]:8090", "127.0.0.1:8080"]), "");
        assert_eq!(checked(&["10.89.0.2:8090", "127.0.0.1:8090"]), "");
    }

    /// A server for names listened on 127.0.0.1 only: ports of UDP were not looked at.
    #[test]
    fn ports_of_udp_are_told_as_such() {
        insta::assert_snapshot!(checked_with("udp", true, &["0.0.0.0:5353"]), @r"
        warning: port http: nothing listens on UDP port 8090 of `web`, which port 80 of this host leads to; it listens on 5353
          hint: name the port of the program in `publish` of [services.web], in profile.toml; if it only begins to listen, `./sealift doctor` looks again
        ");
        insta::assert_snapshot!(checked_with("udp", true, &["127.0.0.1:8090"]), @r"
        warning: port http: `web` listens on 127.0.0.1 only: nobody reaches its UDP port 8090, which port 80 of this host leads to
          hint: let the program listen on all addresses of its container (0.0.0.0 or ::)
        ");
        assert!(checked_with("udp", true, &[]).contains("it listens on no UDP port"));
        assert_eq!(checked_with("udp", true, &["0.0.0.0:8090"]), "");
    }

    #[test]
    fn a_program_that_listens_for_its_own_container_only_is_told() {
        insta::assert_snapshot!(checked(&["127.0.0.1:8090", "[::1]:8090", "0.0.0.0:8080"]), @r"
        warning: port http: `web` listens on 127.0.0.1 only: nobody reaches its port 8090, which port 80 of this host leads to
          hint: let the program listen on all addresses of its container (0.0.0.0 or ::)
        ");
        assert!(checked(&["[::1]:8090"]).contains("listens on ::1 only"));
        // The proxy answered 502, and the check of the application was green.
        insta::assert_snapshot!(checked_as(false, &["127.0.0.1:8090", "127.0.0.1:9000"]), @r"
        warning: web: it listens on 127.0.0.1 only: no other service reaches its port 8090
          hint: let the program listen on all addresses of its container (0.0.0.0 or ::)
        ");
        assert_eq!(checked_as(false, &["127.0.0.1:8090", "0.0.0.0:9000"]), "");
        assert_eq!(checked_as(false, &[]), "");
    }
}
