//! Published ports: their numbers and addresses, and the check whether they are free.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

use anyhow::{Context, Result};

use super::deployment::Deployment;
use super::sockets;
use crate::files;
use crate::finding::Findings;
use crate::machine::Machine;
use crate::profile::model::{Protocol, SitePort};
use crate::profile::names;
use crate::site;

/// A port that a service publishes on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PublishedPort {
    /// Its name in the profile.
    pub(super) name: String,
    /// The host's address. `0.0.0.0` stands for all addresses, those of IPv6 too where the host has it.
    pub(super) address: IpAddr,
    /// The host's port, or the first one.
    pub(super) number: u16,
    /// What the profile says about it.
    pub(super) spec: SitePort,
}

impl Deployment {
    /// The published ports, by name. The number is that of `chosen`, else of `.env`, else of the site, else of the profile.
    ///
    /// # Errors
    /// As [`Deployment::ports`], and for an address in `.env` that is none.
    pub(super) fn published(&self, chosen: &BTreeMap<String, u16>) -> Result<Vec<PublishedPort>> {
        let model = &self.profile.model;
        let variables = self.variables()?;
        let numbers = site::ports(&self.site(), model, &self.ports(chosen)?)?;
        let services = model.services.values();
        let names: BTreeSet<&str> =
            services.flat_map(|service| service.publish.keys()).map(|name| name.get_ref().as_str()).collect();
        let mut ports = Vec::new();
        for name in names {
            let Some(port) = model.site.ports.get(name) else { continue };
            let address = address(name, port, &variables)?;
            let number = numbers.get(name).copied().unwrap_or(port.default);
            ports.push(PublishedPort { name: name.to_owned(), address, number, spec: port.clone() });
        }
        Ok(ports)
    }

    /// Where this host reaches the published ports that browsers use: those that are named `http` and `https`.
    ///
    /// # Errors
    /// As [`Deployment::published`].
    pub fn web_ports(&self) -> Result<Vec<(&'static str, SocketAddr)>> {
        let scheme = |name: &str| ["http", "https"].into_iter().find(|scheme| *scheme == name);
        let ports = self.published(&BTreeMap::new())?.into_iter();
        let ports = ports.filter_map(|port| Some((scheme(&port.name)?, port.address, port.number)));
        Ok(ports.map(|(scheme, address, number)| (scheme, SocketAddr::new(reached(address), number))).collect())
    }

    /// Address and number of a port of the site on this host.
    ///
    /// # Errors
    /// As [`Deployment::published`].
    pub(super) fn address_of(&self, name: &str) -> Result<(IpAddr, u16)> {
        let model = &self.profile.model;
        let numbers = site::ports(&self.site(), model, &self.ports(&BTreeMap::new())?)?;
        let port = &model.site.ports[name];
        Ok((address(name, port, &self.variables()?)?, numbers.get(name).copied().unwrap_or(port.default)))
    }

    /// The numbers of the ports that differ from those of the site: `chosen`, and those that were edited in `.env`. The next
    /// start brings the site up to date with them, so that links and headers name the port that is published.
    ///
    /// # Errors
    /// [`crate::failure::Failure::usage`] when `.env` has something else than a port number.
    pub(super) fn ports(&self, chosen: &BTreeMap<String, u16>) -> Result<BTreeMap<String, u16>> {
        let mut ports = site::edited_ports(&self.profile.model, &self.variables()?)?;
        ports.extend(chosen.iter().map(|(name, number)| (name.clone(), *number)));
        Ok(ports)
    }

    /// One line for each published port of a site for `host`: a URL for the ports `https` and `http`, else address and
    /// number.
    ///
    /// # Errors
    /// When `.env` cannot be read.
    pub(super) fn addresses(&self, host: &site::PublicHost) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        for PublishedPort { name, address, number, spec } in self.published(&BTreeMap::new())? {
            let shown = if address.is_loopback() { address.to_string() } else { host.in_url() };
            let url = match (name.as_str(), number) {
                ("https", 443) => format!("https://{shown}/"),
                ("http", 80) => format!("http://{shown}/"),
                ("https" | "http", _) => format!("{name}://{shown}:{number}/"),
                _ => format!("{shown}:{}", spec.shown(number)),
            };
            let only = if address.is_loopback() { ", from this host only" } else { "" };
            lines.push(format!("{name}: {url}{only}"));
        }
        // The address for browsers comes first.
        lines.sort_by_key(|line| !line.starts_with("https"));
        Ok(lines)
    }
}

/// The address at which this host reaches a port that is published on `address`.
pub(super) fn reached(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    }
}

/// The address of the host that a port is published on: that of `.env`, else of the profile.
fn address(name: &str, port: &SitePort, variables: &BTreeMap<String, String>) -> Result<IpAddr> {
    let own = variables.get(&names::address_variable(name)).filter(|value| !value.is_empty());
    let address = own.unwrap_or(&port.address);
    address.trim_matches(['[', ']']).parse().with_context(|| format!("the address of the port {name}: `{address}`"))
}

impl PublishedPort {
    /// Its number, its protocol unless that is TCP, or its range.
    fn shown(&self) -> String {
        self.spec.shown(self.number)
    }
}

/// What the check of ports has to know about the host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe<'a> {
    /// Ports that running containers of this deployment have.
    pub(super) own: &'a BTreeSet<u16>,
    /// The engine runs as an ordinary user.
    pub(super) rootless: bool,
    /// The engine runs on another machine, whose ports cannot be tried from here.
    pub(super) remote: bool,
    /// Networks of containers can have IPv6 on this host.
    pub(super) ipv6: bool,
    /// The engine can publish ports on `::1`.
    pub(super) ipv6_loopback: bool,
    /// The machine whose processes are looked at.
    pub(super) machine: &'a Machine,
}

/// Tries to listen on each port that no container of this deployment has. Nothing stays open.
pub(super) fn check(ports: &[PublishedPort], probe: &Probe<'_>, findings: &mut Findings) {
    for port in ports {
        let (first, last) = (port.number, port.spec.last(port.number));
        if let Some((message, hint)) = unusable_address(port, probe) {
            findings.error(format!("port {}", port.name), message, hint);
        } else if (first..=last).all(|number| probe.own.contains(&number)) {
            findings.ok(format!("port {}", port.name), format!("{} is used by this deployment", port.shown()));
        } else if !probe.remote {
            check_one(port, probe, findings);
        }
    }
}

/// Why a port cannot be published on its address whatever its number is, and a hint. A deployment that runs may have got
/// another address.
fn unusable_address(port: &PublishedPort, probe: &Probe<'_>) -> Option<(String, String)> {
    let address = port.address;
    let change = |to: &str| format!("set {} in .env to {to}", names::address_variable(&port.name));
    if address.is_ipv6() && !probe.ipv6 && !probe.remote {
        return Some((format!("{address} cannot be used: this host has no IPv6"), change("an IPv4 address")));
    }
    if address == Ipv6Addr::LOCALHOST && !probe.ipv6_loopback {
        return Some(("podman as root cannot publish ports on ::1".to_owned(), change("127.0.0.1")));
    }
    let any_number = TcpListener::bind(SocketAddr::new(address, 0));
    let is_missing = any_number.is_err_and(|error| error.kind() == ErrorKind::AddrNotAvailable);
    (is_missing && !probe.remote)
        .then(|| (format!("{address} is not an address of this host"), change("an address of this host")))
}

fn check_one(port: &PublishedPort, probe: &Probe<'_>, findings: &mut Findings) {
    let PublishedPort { name, address, number, spec } = port;
    let topic = format!("port {name}");
    let all = *address == Ipv4Addr::UNSPECIFIED && probe.ipv6;
    let addresses: Vec<IpAddr> = std::iter::once(*address).chain(all.then_some(Ipv6Addr::UNSPECIFIED.into())).collect();
    for number in (*number..=spec.last(*number)).filter(|number| !probe.own.contains(number)) {
        for address in &addresses {
            let Err(kind) = listen(*address, number, spec.protocol, probe.machine) else { continue };
            return report_unusable(&PublishedPort { number, ..port.clone() }, kind, probe, findings);
        }
    }
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    findings.ok(topic, format!("{} is free on {}", port.shown(), addresses.join(" and ")));
}

/// Tries to listen on a port of an address as engines do, which keep IPv4 and IPv6 apart.
fn listen(address: IpAddr, number: u16, protocol: Protocol, machine: &Machine) -> Result<(), ErrorKind> {
    let place = SocketAddr::new(address, number);
    let result = match protocol {
        Protocol::Tcp => TcpListener::bind(place).map(drop),
        Protocol::Udp => UdpSocket::bind(place).map(drop),
    };
    match result {
        // Here `::` stands for IPv4, too: what listens there only is no hindrance.
        Err(error) if error.kind() == ErrorKind::AddrInUse && address == Ipv6Addr::UNSPECIFIED => {
            let [_, table] = tables(protocol);
            let table = fs_err::read_to_string(machine.path(table)).map_err(|_| ErrorKind::AddrInUse)?;
            if listening(&table, number, protocol).is_empty() { Ok(()) } else { Err(ErrorKind::AddrInUse) }
        }
        result => result.map_err(|error| error.kind()),
    }
}

/// Reports why a port cannot be used.
fn report_unusable(port: &PublishedPort, kind: ErrorKind, probe: &Probe<'_>, findings: &mut Findings) {
    let PublishedPort { name, number, spec, .. } = port;
    let topic = format!("port {name}");
    let choose = format!("choose another port: --port {name}=NUMBER");
    let mut in_use = |topic: String, by: &str| {
        findings.error(topic, format!("{number} is in use by {by}"), format!("stop it, or {choose}"));
    };
    match kind {
        ErrorKind::AddrInUse => {
            let by = listener(probe.machine, *number, spec.protocol);
            in_use(topic, by.as_deref().unwrap_or("another program"));
        }
        ErrorKind::PermissionDenied if probe.rootless => {
            let hint = format!(
                "{choose}; or allow it for ordinary users: sysctl net.ipv4.ip_unprivileged_port_start={number}"
            );
            findings.error(topic, format!("ordinary users cannot use port {number}"), hint);
        }
        // The engine has more rights than this user.
        ErrorKind::PermissionDenied => match listener(probe.machine, *number, spec.protocol) {
            None => findings.ok(topic, format!("no program listens on {number}")),
            Some(by) => in_use(topic, &by),
        },
        kind => findings.warn(topic, format!("cannot try port {number}: {kind}"), choose),
    }
}

/// The kernel's tables of the sockets of IPv4 and IPv6 (proc(5)).
fn tables(protocol: Protocol) -> [&'static str; 2] {
    match protocol {
        Protocol::Tcp => ["/proc/net/tcp", "/proc/net/tcp6"],
        Protocol::Udp => ["/proc/net/udp", "/proc/net/udp6"],
    }
}

/// The program that listens on a port: `nginx (process 12)`, as far as the kernel shows it to this user.
fn listener(machine: &Machine, number: u16, protocol: Protocol) -> Option<String> {
    let tables = tables(protocol).map(|path| fs_err::read_to_string(machine.path(path)));
    let sockets: BTreeSet<u64> = tables.iter().flatten().flat_map(|table| listening(table, number, protocol)).collect();
    if sockets.is_empty() {
        return None;
    }
    let links: BTreeSet<String> = sockets.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let found = processes(machine).unwrap_or_default().into_iter().find(|(_, folder)| {
        let open = files::sorted_dir(&folder.join("fd")).unwrap_or_default();
        open.iter().any(|file| fs_err::read_link(file).is_ok_and(|to| links.contains(&*to.to_string_lossy())))
    });
    Some(match found {
        Some((id, folder)) => {
            let read = |name: &str| fs_err::read_to_string(folder.join(name)).unwrap_or_default();
            user_of_port(read("comm").trim(), &read("cmdline"), id)
        }
        None => "another user's program".to_owned(),
    })
}

/// Who uses a port that a process has: for one of an engine, a container. `arguments` end with zeros.
fn user_of_port(program: &str, arguments: &str, id: u32) -> String {
    let mut arguments = arguments.split('\0');
    match program {
        // It is given the name.
        "conmon" => match arguments.by_ref().find(|word| matches!(*word, "-n" | "--name")).and(arguments.next()) {
            Some(name) => format!("the container {name} ({program}, process {id})"),
            None => format!("a container ({program}, process {id})"),
        },
        "docker-proxy" | "rootlessport" => format!("a container ({program}, process {id})"),
        _ => format!("{program} (process {id})"),
    }
}

fn processes(machine: &Machine) -> io::Result<Vec<(u32, std::path::PathBuf)>> {
    let folders = files::sorted_dir(&machine.path("/proc"))?;
    Ok(folders.into_iter().filter_map(|path| Some((path.file_name()?.to_str()?.parse().ok()?, path))).collect())
}

/// The inodes of the sockets that listen on `number`, from one of the [`tables`].
fn listening(table: &str, number: u16, protocol: Protocol) -> Vec<u64> {
    let state = sockets::state_of_listening(protocol);
    let suffix = format!(":{number:04X}");
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let rows =
        rows.filter(|row| row.get(1).is_some_and(|local| local.ends_with(&suffix)) && row.get(3) == Some(&state));
    rows.filter_map(|row| row.get(9)?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn spec(protocol: &str, count: u16) -> SitePort {
        toml::from_str(&format!("default = 1\naddress = \"\"\nprotocol = \"{protocol}\"\ncount = {count}")).unwrap()
    }

    /// UDP and TCP have ports of their own; all ports of a range must be free.
    #[test]
    fn ports_of_udp_and_ranges_are_tried() {
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let number = taken.local_addr().unwrap().port();
        let port = |protocol: &str, number: u16, count: u16| PublishedPort {
            name: "media".into(),
            address: "127.0.0.1".parse().unwrap(),
            number,
            spec: spec(protocol, count),
        };
        let text = checked(&port("udp", number, 1), &[]);
        let by = format!("error: port media: {number} is in use by ");
        assert!(text.starts_with(&by) && text.contains(&format!("(process {})", std::process::id())), "{text}");
        let text = checked(&port("udp", number - 1, 2), &[number - 1]);
        assert!(text.starts_with(&by), "{text}");
        let used = checked(&port("udp", number - 1, 2), &[number - 1, number]);
        assert_eq!(used, format!("ok: port media: {}-{number}/udp is used by this deployment", number - 1));
    }

    fn checked(port: &PublishedPort, own: &[u16]) -> String {
        with_ipv6(port, own, false)
    }

    fn with_ipv6(port: &PublishedPort, own: &[u16], ipv6: bool) -> String {
        let (own, machine) = (own.iter().copied().collect(), Machine::here());
        let (rootless, remote, ipv6_loopback) = (false, false, false);
        let probe = Probe { own: &own, rootless, remote, ipv6, ipv6_loopback, machine: &machine };
        let mut findings = Findings::default();
        check(std::slice::from_ref(port), &probe, &mut findings);
        findings.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_port_in_use_is_reported_with_its_program() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let number = taken.local_addr().unwrap().port();
        let port = |address: &str| PublishedPort {
            name: "https".into(),
            address: address.parse().unwrap(),
            number,
            spec: spec("tcp", 1),
        };
        for address in ["127.0.0.1", "0.0.0.0"] {
            let text = checked(&port(address), &[]);
            let expected = format!("error: port https: {number} is in use by ");
            let process = format!("(process {})", std::process::id());
            assert!(text.starts_with(&expected) && text.contains(&process) && text.contains("--port https="), "{text}");
        }
        assert_eq!(
            checked(&port("0.0.0.0"), &[number]),
            format!("ok: port https: {number} is used by this deployment")
        );
        drop(taken);
        assert_eq!(checked(&port("127.0.0.1"), &[]), format!("ok: port https: {number} is free on 127.0.0.1"));
    }

    /// "in use by conmon" did not tell the operator what to stop.
    #[test]
    fn ports_of_containers_are_reported_with_their_names() {
        let conmon = "/usr/bin/conmon\0--api-version\x001\0-c\x001a\0-n\0shop_proxy\0--exit-dir\0/run\0";
        assert_eq!(user_of_port("conmon", conmon, 7), "the container shop_proxy (conmon, process 7)");
        assert_eq!(user_of_port("conmon", "", 7), "a container (conmon, process 7)");
        assert_eq!(user_of_port("docker-proxy", "-n\0x", 7), "a container (docker-proxy, process 7)");
        assert_eq!(user_of_port("nginx", "-n\0x", 7), "nginx (process 7)");
    }

    #[test]
    fn an_address_of_another_host_is_refused() {
        let port = PublishedPort {
            name: "web".into(),
            address: "192.0.2.1".parse().unwrap(),
            number: 8080,
            spec: spec("tcp", 1),
        };
        insta::assert_snapshot!(checked(&port, &[]), @r"
        error: port web: 192.0.2.1 is not an address of this host
          hint: set SEALIFT_WEB_ADDRESS in .env to an address of this host
        ");
        // Whoever has the port now: the containers are made again for the new address.
        assert_eq!(checked(&port, &[8080]), checked(&port, &[]));
    }

    #[test]
    fn all_addresses_are_those_of_ipv6_where_the_host_has_it() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let port = |address: &str| PublishedPort {
            name: "web".into(),
            address: address.parse().unwrap(),
            number: free,
            spec: spec("tcp", 1),
        };
        insta::assert_snapshot!(with_ipv6(&port("::"), &[], false), @r"
        error: port web: :: cannot be used: this host has no IPv6
          hint: set SEALIFT_WEB_ADDRESS in .env to an IPv4 address
        ");
        insta::assert_snapshot!(with_ipv6(&port("::1"), &[], true), @r"
        error: port web: podman as root cannot publish ports on ::1
          hint: set SEALIFT_WEB_ADDRESS in .env to 127.0.0.1
        ");
        // Machines without IPv6 run the tests, too.
        if TcpListener::bind("[::1]:0").is_ok() {
            assert_eq!(
                with_ipv6(&port("0.0.0.0"), &[], true),
                format!("ok: port web: {free} is free on 0.0.0.0 and ::")
            );
            // Engines listen on IPv6 beside what has the port on IPv4.
            let taken = TcpListener::bind(("127.0.0.1", free)).unwrap();
            assert_eq!(with_ipv6(&port("::"), &[], true), format!("ok: port web: {free} is free on ::"));
            drop(taken);
            let taken = TcpListener::bind(("::1", free)).unwrap();
            assert!(with_ipv6(&port("0.0.0.0"), &[], true).contains("is in use by"));
            drop(taken);
        }
    }

    #[test]
    fn listening_sockets_are_found_in_the_table_of_the_kernel() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
            0: 00000000:01BB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0\n   \
            1: 0100007F:01BB 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 20 4 30 10 -1\n";
        assert_eq!(listening(table, 443, Protocol::Tcp), [4711]);
        assert_eq!(listening(table, 444, Protocol::Tcp).len(), 0);
        assert_eq!(listener(&Machine::of(Path::new("/nowhere"), &[]), 443, Protocol::Tcp), None);
    }
}
