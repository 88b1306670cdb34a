//! Whether the published ports can be had.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpListener};

use super::answers::Facts;
use crate::files;
use crate::finding::Findings;
use crate::machine::Machine;

/// A port that is to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Its name in the profile.
    pub(super) name: String,
    /// The host's address.
    pub(super) address: IpAddr,
    /// The host's port.
    pub(super) number: u16,
}

/// Tries each port that no container of ours has (`ours`). Nothing stays open.
pub(super) fn check(
    wanted: &[Wanted],
    ours: &BTreeSet<u16>,
    facts: &Facts,
    machine: &Machine,
    findings: &mut Findings,
) {
    for port in wanted {
        let topic = format!("port {}", port.name);
        let (address, number) = (port.address, port.number);
        let elsewhere = format!("choose another one: --port {}=NUMBER", port.name);
        if ours.contains(&number) {
            findings.ok(topic, format!("{number} is ours"));
            continue;
        }
        if facts.remote {
            continue;
        }
        match TcpListener::bind(SocketAddr::new(address, number)).map_err(|error| error.kind()) {
            Ok(_) => findings.ok(topic, format!("{number} is free on {address}")),
            Err(ErrorKind::AddrInUse) => {
                let by = holder(machine, number).unwrap_or_else(|| "another program".to_owned());
                let hint = format!("stop that program, or {elsewhere}");
                findings.error(topic, format!("{number} is taken by {by}"), hint);
            }
            Err(ErrorKind::AddrNotAvailable) => {
                let hint = "the profile publishes it on an address that this host does not have";
                findings.error(topic, format!("{address} is no address of this host"), hint);
            }
            Err(ErrorKind::PermissionDenied) if facts.rootless => {
                let hint = format!(
                    "{elsewhere}; or let ordinary users have it: sysctl net.ipv4.ip_unprivileged_port_start={number}"
                );
                findings.error(topic, format!("{number} is not for ordinary users"), hint);
            }
            // The engine has more rights than whoever asks it.
            Err(ErrorKind::PermissionDenied) => match holder(machine, number) {
                None => findings.ok(topic, format!("nobody listens on {number}")),
                Some(by) => {
                    findings.error(
                        topic,
                        format!("{number} is taken by {by}"),
                        format!("stop that program, or {elsewhere}"),
                    );
                }
            },
            Err(kind) => findings.warn(topic, format!("{number} cannot be tried: {kind}"), elsewhere),
        }
    }
}

/// Who listens on a TCP port: `nginx (process 12)`, as far as the kernel tells this user.
fn holder(machine: &Machine, number: u16) -> Option<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs_err::read_to_string(machine.path(path)));
    let sockets: BTreeSet<u64> = tables.iter().flatten().flat_map(|table| listening(table, number)).collect();
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
            let name = fs_err::read_to_string(folder.join("comm")).unwrap_or_default();
            format!("{} (process {id})", name.trim())
        }
        None => "another user's program".to_owned(),
    })
}

fn processes(machine: &Machine) -> io::Result<Vec<(u32, std::path::PathBuf)>> {
    let folders = files::sorted_dir(&machine.path("/proc"))?;
    Ok(folders.into_iter().filter_map(|path| Some((path.file_name()?.to_str()?.parse().ok()?, path))).collect())
}

/// The inodes of the sockets that listen on `number`, from a table of `/proc/net/tcp` (proc(5)).
fn listening(table: &str, number: u16) -> Vec<u64> {
    let suffix = format!(":{number:04X}");
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let rows = rows.filter(|row| row.get(1).is_some_and(|local| local.ends_with(&suffix)) && row.get(3) == Some(&"0A"));
    rows.filter_map(|row| row.get(9)?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn look(wanted: &[Wanted], ours: &[u16]) -> String {
        let facts = super::super::answers::podman("{}").unwrap();
        let mut findings = Findings::default();
        check(wanted, &ours.iter().copied().collect(), &facts, &Machine::here(), &mut findings);
        findings.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_taken_port_names_who_has_it() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let number = taken.local_addr().unwrap().port();
        let wanted = |address: &str| Wanted { name: "https".into(), address: address.parse().unwrap(), number };
        for address in ["127.0.0.1", "0.0.0.0"] {
            let told = look(&[wanted(address)], &[]);
            let expected = format!("error: port https: {number} is taken by ");
            let process = format!("(process {})", std::process::id());
            assert!(told.starts_with(&expected) && told.contains(&process) && told.contains("--port https="), "{told}");
        }
        assert_eq!(look(&[wanted("0.0.0.0")], &[number]), format!("ok: port https: {number} is ours"));
        drop(taken);
        assert_eq!(look(&[wanted("127.0.0.1")], &[]), format!("ok: port https: {number} is free on 127.0.0.1"));
    }

    #[test]
    fn an_address_of_another_host() {
        let wanted = Wanted { name: "web".into(), address: "192.0.2.1".parse().unwrap(), number: 8080 };
        insta::assert_snapshot!(look(&[wanted], &[]), @r"
        error: port web: 192.0.2.1 is no address of this host
          hint: the profile publishes it on an address that this host does not have
        ");
    }

    #[test]
    fn the_kernels_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
            0: 00000000:01BB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0\n   \
            1: 0100007F:01BB 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 20 4 30 10 -1\n";
        assert_eq!(listening(table, 443), [4711]);
        assert_eq!(listening(table, 444).len(), 0);
        assert_eq!(holder(&Machine::of(Path::new("/nowhere"), &[]), 443), None);
    }
}
