//! Who reaches whom: between the services of a deployment, from other hosts by IPv4 and IPv6, and outwards.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use sealift_tests::bundle::{Bundle, program};
use sealift_tests::command::{self, Ran, report};
use sealift_tests::docker::Engine;
use sealift_tests::podman::Podman;

/// Another host, beside that of the engine, with a mail server of one line.
const OUTSIDE: &str = r#"
set -e
ip netns add outside
ip link add v0 type veth peer name v1 netns outside
ip address add 192.0.2.1/24 dev v0
ip -6 address add 2001:db8::1/64 dev v0 nodad
ip link set v0 up
ip netns exec outside sh -ec '
    ip link set lo up
    ip address add 192.0.2.2/24 dev v1
    ip -6 address add 2001:db8::2/64 dev v1 nodad
    ip link set v1 up
    ip route add default via 192.0.2.1
    ip -6 route add default via 2001:db8::1'
cat >/run/mail.py <<'PYTHON'
import socket
server = socket.create_server(("192.0.2.2", 25))
while True:
    server.accept()[0].sendall(b"220 mail\r\n")
PYTHON
ip netns exec outside python3 /run/mail.py >/dev/null 2>&1 &
"#;

/// A command of the host's root in a folder.
type OnHost<'a> = dyn Fn(&str) -> Command + 'a;

/// A deployment and its host.
struct Host<'a> {
    command: &'a OnHost<'a>,
    engine: &'a str,
}

impl Host<'_> {
    fn run(&self, program: &str, arguments: &[&str]) -> Result<Ran> {
        command::run((self.command)(program).args(arguments))
    }

    fn output(&self, program: &str, arguments: &[&str]) -> Result<String> {
        command::output((self.command)(program).args(arguments))
    }

    fn sealift(&self, arguments: &[&str]) -> Result<String> {
        self.output(&program()?.display().to_string(), arguments)
    }

    /// Whether a service gets an answer or a connection from `address`, a name or number, and port.
    fn reaches(&self, service: &str, address: &str, port: &str) -> Result<bool> {
        let container = format!("parsec-standalone_{service}");
        let script = format!("nc -w 3 {address} {port} </dev/null");
        Ok(self.run(self.engine, &["exec", &container, "timeout", "5", "sh", "-c", &script])?.code == Some(0))
    }

    /// All addresses of a service's container.
    fn addresses(&self, service: &str) -> Result<Vec<String>> {
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.GlobalIPv6Address}} {{end}}";
        let container = format!("parsec-standalone_{service}");
        let text = self.output(self.engine, &["inspect", "--format", format, &container])?;
        Ok(text.split_whitespace().map(str::to_owned).collect())
    }

    /// The answer of the proxy to another host.
    fn request_from_outside(&self, host: &str) -> Result<()> {
        let url = format!("https://{host}/");
        let curl = ["netns", "exec", "outside", "curl", "--silent", "--show-error", "--globoff", "--noproxy", "*"];
        let rest = ["--fail", "--max-time", "20", "--retry", "5", "--output", "/dev/null", "--insecure", &url];
        self.output("ip", &[&curl[..], &rest[..]].concat()).map(drop)
    }

    fn networks(&self) -> Result<usize> {
        Ok(self.output(self.engine, &["network", "ls"])?.matches("parsec-standalone").count())
    }
}

#[test]
#[ignore = "needs root and podman: tests/run"]
fn only_services_that_share_a_network_reach_each_other_on_podman() -> Result<()> {
    let bundle = Bundle::build("standalone", |_, _| Ok(Vec::new()))?;
    let podman = Podman::new()?;
    let command = |program: &str| podman.command(&bundle.folder, program);
    let host = Host { command: &command, engine: "podman" };
    scenario(&host, &bundle.folder).inspect_err(|_| report(&podman.story()))
}

#[test]
#[ignore = "needs root and Docker: tests/run"]
fn only_services_that_share_a_network_reach_each_other_on_docker() -> Result<()> {
    let bundle = Bundle::build("standalone", |_, _| Ok(Vec::new()))?;
    let docker = Engine::with_firewall()?;
    let command = |program: &str| {
        let mut command = docker.beside(&bundle.folder, program);
        command.env("SEALIFT_ENGINE", "docker");
        command
    };
    scenario(&Host { command: &command, engine: "docker" }, &bundle.folder)
}

fn scenario(host: &Host<'_>, folder: &Path) -> Result<()> {
    host.output("sh", &["-c", OUTSIDE])?;
    host.sealift(&["up", "--host", "2001:db8::1"])?;
    host.request_from_outside("192.0.2.1")?;
    host.request_from_outside("[2001:db8::1]")?;
    let link = host.sealift(&["task", "create-organization", "MyOrg"])?;
    ensure!(link.starts_with("parsec3://[2001:db8::1]/MyOrg?"), "{link}");
    host.sealift(&["task", "ping-mail", "someone@parsec.test"])?;

    for (service, port) in [("parsec-postgres", "5432"), ("parsec-smtp", "8025"), ("parsec-smtp", "1025")] {
        for address in host.addresses(service)?.iter().map(String::as_str).chain([service]) {
            ensure!(!host.reaches("parsec-proxy", address, port)?, "the proxy reaches {service} on {address}");
        }
    }
    ensure!(host.reaches("parsec-proxy", "parsec-server", "6777")?, "the proxy does not reach the server");
    ensure!(host.reaches("parsec-server", "parsec-postgres", "5432")?, "the server does not reach the database");
    for address in host.addresses("parsec-proxy")? {
        ensure!(!host.reaches("parsec-postgres", &address, "8443")?, "the database reaches the proxy on {address}");
    }

    for service in ["parsec-server", "parsec-postgres"] {
        ensure!(!host.reaches(service, "192.0.2.2", "25")?, "{service} has a way out");
    }
    let settings = folder.join("site/settings.toml");
    let closed = fs_err::read_to_string(&settings)?;
    fs_err::write(&settings, format!("smtp-host = \"192.0.2.2\"\nsmtp-port = 25\n{closed}"))?;
    host.sealift(&["up"])?;
    ensure!(host.reaches("parsec-server", "192.0.2.2", "25")?, "the server does not reach its mail server");
    ensure!(!host.reaches("parsec-postgres", "192.0.2.2", "25")?, "the database has a way out");
    fs_err::write(&settings, closed)?;
    host.sealift(&["up"])?;
    ensure!(!host.reaches("parsec-server", "192.0.2.2", "25")?, "the server still has a way out");

    host.sealift(&["down"])?;
    ensure!(host.networks()? == 0, "a network is left");
    Ok(())
}
