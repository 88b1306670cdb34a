//! The sockets of the network that a process is in, as the kernel tells them to everybody (proc(5), `/proc/PID/net/tcp`).

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::machine::Machine;
use crate::profile::model::Protocol;

/// Ticks per second of the times in `stat`: the kernel scales them to this number.
const TICKS: f64 = 100.0;
/// By how many seconds two ages of a process may differ that were found in different ways.
const TOLERANCE: f64 = 5.0;

/// In the tables, the state of a socket that listens. Those of UDP have that of closed ones of TCP.
pub(super) fn state_of_listening(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "0A",
        Protocol::Udp => "07",
    }
}

/// Where programs listen in the network of the process `id`, which has been running for `seconds`. `None` where that is not
/// known: on this machine the number may be another process's, as with an engine in a virtual machine.
pub(super) fn listening(machine: &Machine, id: u32, seconds: i64, protocol: Protocol) -> Option<BTreeSet<SocketAddr>> {
    let read = |path: &str| fs_err::read_to_string(machine.path(path)).ok();
    let age = age(&read("/proc/uptime")?, &read(&format!("/proc/{id}/stat"))?)?;
    if (age - seconds as f64).abs() > TOLERANCE {
        return None;
    }
    let table = match protocol {
        Protocol::Tcp => format!("/proc/{id}/net/tcp"),
        Protocol::Udp => format!("/proc/{id}/net/udp"),
    };
    let state = state_of_listening(protocol);
    let mut sockets = addresses(&read(&table)?, state);
    // A kernel without IPv6 has no such table.
    sockets.extend(addresses(&read(&format!("{table}6")).unwrap_or_default(), state));
    Some(sockets)
}

/// For how many seconds a process has been running, from `/proc/uptime` and its `stat`.
fn age(uptime: &str, stat: &str) -> Option<f64> {
    let uptime: f64 = uptime.split(' ').next()?.parse().ok()?;
    // The name of the program, in parentheses, may have spaces and parentheses. What follows begins with the third field.
    let started: f64 = stat.rsplit_once(')')?.1.split_whitespace().nth(22 - 3)?.parse().ok()?;
    Some(uptime - started / TICKS)
}

/// The addresses of the sockets of a table that have this state.
fn addresses(table: &str, state: &str) -> BTreeSet<SocketAddr> {
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.get(3) == Some(&state)).filter_map(|row| address(row[1])).collect()
}

/// `0100007F:1F90`, on x86, is 127.0.0.1:8080: groups of four bytes are printed as numbers of this machine.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let mut bytes = Vec::new();
    for at in (0..address.len()).step_by(8) {
        bytes.extend(u32::from_str_radix(address.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    }
    let ip: IpAddr = match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(Ipv4Addr::from)?.into(),
        _ => <[u8; 16]>::try_from(bytes).ok().map(Ipv6Addr::from)?.to_canonical(),
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    /// The test's own process, whose sockets are known.
    #[test]
    fn sockets_are_found_with_their_addresses() {
        let open: Vec<TcpListener> =
            ["127.0.0.1:0", "0.0.0.0:0"].iter().map(|address| TcpListener::bind(address).unwrap()).collect();
        let (machine, own) = (Machine::here(), std::process::id());
        let uptime = fs_err::read_to_string("/proc/uptime").unwrap();
        let age = age(&uptime, &fs_err::read_to_string("/proc/self/stat").unwrap()).unwrap();
        assert!((0.0..3600.0).contains(&age), "{age}");
        let tcp = |seconds| listening(&machine, own, seconds, Protocol::Tcp);
        let found = tcp(age as i64).unwrap();
        for listener in &open {
            assert!(found.contains(&listener.local_addr().unwrap()), "{found:?}");
        }
        let connected = std::net::TcpStream::connect(open[0].local_addr().unwrap()).unwrap();
        assert!(!tcp(age as i64).unwrap().contains(&connected.local_addr().unwrap()));
        // The number of another process.
        assert_eq!(tcp(age as i64 + 60), None);
        // Of UDP, those that take packets from anybody.
        let (server, client) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        client.connect(server.local_addr().unwrap()).unwrap();
        let found = listening(&machine, own, age as i64, Protocol::Udp).unwrap();
        assert!(found.contains(&server.local_addr().unwrap()) && !found.contains(&client.local_addr().unwrap()));
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn addresses_of_ipv6_are_read() {
        let shown = |text: &str| address(text).map(|address| address.to_string());
        assert_eq!(shown("00000000000000000000000001000000:1F90").as_deref(), Some("[::1]:8080"));
        assert_eq!(shown("00000000000000000000000000000000:0050").as_deref(), Some("[::]:80"));
        assert_eq!(shown("0000000000000000FFFF00000100007F:1F90").as_deref(), Some("127.0.0.1:8080"));
        assert_eq!(shown("0100007F1:1F90"), None);
        assert_eq!(shown(""), None);
    }
}
