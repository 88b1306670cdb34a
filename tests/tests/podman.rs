//! The standalone bundle on podman, without any network: loaded, started, used, restarted.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sealift_tests::bundle::{Bundle, sealift};
use sealift_tests::command::{self, Ran, report};
use sealift_tests::packed::zip;
use sealift_tests::podman::Podman;
use sealift_tests::secrets::Secrets;
use serde_json::Value;

/// The public name of the installation.
const HOST: &str = "parsec.test";

/// Files of the shape of the web client's.
const WEB_APP: [(&str, &str); 5] = [
    ("index.html", "<!doctype html><title>stand-in</title><script type=module src=assets/index-1a2b3c.js></script>\n"),
    ("manifest.webmanifest", "{}\n"),
    ("assets/core-1a2b3c.wasm", "\0asm\x01\0\0\0"),
    ("assets/index-1a2b3c.js", "import('./worker-1a2b3c.mjs')\n"),
    ("assets/worker-1a2b3c.mjs", "export {}\n"),
];

/// Each service and the user it runs as.
const SERVICES: [(&str, u32); 4] =
    [("parsec-postgres", 999), ("parsec-proxy", 1236), ("parsec-server", 1234), ("parsec-smtp", 1235)];

struct Ports {
    http: u16,
    https: u16,
    mail: u16,
}

/// A deployment that is being tested.
struct Stack<'a> {
    podman: &'a Podman,
    bundle: &'a Bundle,
    ports: Ports,
}

#[test]
#[ignore = "needs root and podman: tests/run"]
fn a_bundle_built_with_its_site_runs() -> Result<()> {
    let bundle = Bundle::build("standalone", |place, profile| {
        let site = place.join("site");
        let mut new = sealift(place)?;
        command::output(new.args(["site", "new", "site", "--host", HOST, "--profile"]).arg(profile))?;
        Ok(vec!["--site".to_owned(), site.display().to_string()])
    })?;
    with_stack(&bundle, Ports { http: 80, https: 443, mail: 8025 }, |stack| {
        let secrets = Secrets::of(&bundle.place().join("site"))?;
        secrets.absent_below(&bundle.folder)?;
        stack.load()?;
        stack.start()?;
        let (status, page) = stack.get("/client/")?;
        ensure!(status == 404, "a bundle without the web client has none: {status} {page}");
        stack.only_the_authority_is_trusted()?;
        stack.organization_is_created("MyOrg")?;
        stack.mail_is_caught()?;
        stack.all_are_healthy()?;
        stack.services_run_unprivileged()?;
        stack.only_published_ports_listen()?;
        stack.secrets_stay_secret(&secrets)?;
        stack.restart("--all")?;
        stack.organization_exists("MyOrg")?;
        stack.restart(&container("parsec-postgres"))?;
        retry(|| stack.organization_exists("MyOrg"))?;
        stack.all_are_healthy()?;
        stack.secrets_stay_secret(&secrets)
    })
}

#[test]
#[ignore = "needs root and podman: tests/run"]
fn a_site_made_on_the_host_runs_on_other_ports() -> Result<()> {
    let bundle = Bundle::build("standalone", |place, _| {
        // A stand-in: the real one is on no registry.
        let file = place.join("parsec-web-3.10.0.zip");
        fs_err::write(&file, zip(&WEB_APP))?;
        Ok(vec!["--with".to_owned(), format!("web-app={}", file.display())])
    })?;
    ensure!(!bundle.folder.join("site").exists(), "a bundle without a site has none");
    let ports = ["--port", "https=8443", "--port", "http=8080", "--port", "mail=18025"];
    command::output(sealift(&bundle.folder)?.args(["site", "new", "site", "--host", HOST]).args(ports))?;
    with_stack(&bundle, Ports { http: 8080, https: 8443, mail: 18025 }, |stack| {
        stack.load()?;
        stack.start()?;
        stack.http_redirects_to_https()?;
        // The command in the operator's notes for hosts without curl.
        let script = "/usr/local/lib/parsec/make-organization.py";
        let link = stack.podman.podman(&["exec", &container("parsec-server"), "python", script, "Other"])?;
        ensure!(link.starts_with("parsec3://parsec.test:8443/Other?"), "a link that leads elsewhere: {link}");
        stack.organization_exists("Other")?;
        stack.podman.compose(&bundle.folder, &["down"])?;
        stack.podman.compose(&bundle.folder, &["up", "-d"])?;
        stack.first_answer()?;
        stack.web_app_is_served()?;
        stack.organization_exists("Other")
    })
}

fn with_stack(bundle: &Bundle, ports: Ports, scenario: impl FnOnce(&Stack<'_>) -> Result<()>) -> Result<()> {
    let podman = Podman::new()?;
    let stack = Stack { podman: &podman, bundle, ports };
    scenario(&stack).inspect_err(|_| report(&podman.story()))
}

fn container(service: &str) -> String {
    format!("parsec-standalone_{service}")
}

/// Repeats `attempt` until it succeeds, for a minute at most.
fn retry<T>(mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        match attempt() {
            Err(_) if start.elapsed() < Duration::from_secs(60) => std::thread::sleep(Duration::from_millis(100)),
            result => return result.context("it failed for a minute"),
        }
    }
}

impl Stack<'_> {
    /// Loads the images, and checks that their digests are those of the bundle.
    fn load(&self) -> Result<()> {
        let start = Instant::now();
        self.podman.podman(&["load", "--input", self.bundle.tar.to_str().context("a path in UTF-8")?])?;
        report(&format!("podman load: {:.1} s", start.elapsed().as_secs_f64()));
        let listed = self.podman.podman(&["images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"])?;
        let listed: BTreeSet<&str> = listed.lines().collect();
        let images = &self.bundle.manifest.images;
        let expected: Vec<String> =
            images.iter().map(|image| format!("{} {}", image.reference, image.config)).collect();
        ensure!(listed == expected.iter().map(String::as_str).collect(), "loaded {listed:?}, built {expected:?}");
        Ok(())
    }

    /// Starts the services as in the operator's notes: database, migrations, all others.
    fn start(&self) -> Result<()> {
        let folder = &self.bundle.folder;
        self.podman.compose(folder, &["up", "-d", "parsec-postgres"])?;
        retry(|| self.podman.podman(&["exec", &container("parsec-postgres"), "pg_isready", "-h", "127.0.0.1"]))?;
        let start = Instant::now();
        self.podman.compose(folder, &["run", "--rm", "parsec-server", "migrate"])?;
        report(&format!("migrations: {:.1} s", start.elapsed().as_secs_f64()));
        let start = Instant::now();
        self.podman.compose(folder, &["up", "-d"])?;
        self.first_answer()?;
        report(&format!("compose up to the first answer through the proxy: {:.1} s", start.elapsed().as_secs_f64()));
        Ok(())
    }

    fn first_answer(&self) -> Result<()> {
        retry(|| {
            let (status, _) = self.get("/")?;
            // With the web client, it leads there.
            ensure!(matches!(status, 200 | 301), "the server answers {status}");
            Ok(())
        })
    }

    fn curl(&self) -> Command {
        let mut curl = self.podman.command(Path::new("/"), "curl");
        curl.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "30"]);
        curl.args(["--write-out", "\n%{http_code} %{redirect_url}"]);
        for port in [self.ports.http, self.ports.https] {
            curl.args(["--resolve", &format!("{HOST}:{port}:127.0.0.1")]);
        }
        curl
    }

    /// A request through the proxy with further arguments of curl: the status and the answer.
    fn ask(&self, path: &str, arguments: &[&str]) -> Result<(u16, String)> {
        let authority = self.bundle.folder.join("site/custom-ca.crt");
        let mut curl = self.curl();
        curl.arg("--cacert").arg(authority).arg(format!("https://{HOST}:{}{path}", self.ports.https)).args(arguments);
        let output = command::output(&mut curl)?;
        let (body, status) = output.rsplit_once('\n').context("curl wrote no status")?;
        // The address of a redirection follows.
        let status = status.split_whitespace().next().unwrap_or_default();
        Ok((status.parse()?, body.to_owned()))
    }

    fn get(&self, path: &str) -> Result<(u16, String)> {
        self.ask(path, &[])
    }

    /// A request to the administration API; the token goes over standard input, as it should.
    fn administer(&self, path: &str, token: &str, body: Option<&str>) -> Result<(u16, String)> {
        let file = self.bundle.place().join("header");
        fs_err::write(&file, format!("Authorization: Bearer {token}\n"))?;
        let header = format!("@{}", file.display());
        let mut arguments = vec!["--header", &header, "--header", "Content-Type: application/json"];
        if let Some(body) = body {
            arguments.extend(["--data", body]);
        }
        self.ask(&format!("/administration/organizations{path}"), &arguments)
    }

    fn token(&self) -> Result<String> {
        Ok(fs_err::read_to_string(self.bundle.folder.join("site/secrets/admin-token"))?.trim().to_owned())
    }

    fn only_the_authority_is_trusted(&self) -> Result<()> {
        let ran = command::run(self.curl().arg(format!("https://{HOST}:{}/", self.ports.https)))?;
        ensure!(ran.code == Some(60), "curl must not trust the proxy without the site's authority: {ran:?}");
        Ok(())
    }

    /// The proxy serves the web client, and the server leads to it.
    fn web_app_is_served(&self) -> Result<()> {
        let files = [
            ("/client/", 200, "text/html; charset=utf-8", "<title>stand-in</title>"),
            ("/client/MyOrg/workspaces?x=1", 200, "text/html; charset=utf-8", "<title>stand-in</title>"),
            ("/client/assets/core-1a2b3c.wasm", 200, "application/wasm", "asm"),
            ("/client/assets/index-1a2b3c.js", 200, "text/javascript", "import"),
            ("/client/assets/worker-1a2b3c.mjs", 200, "text/javascript", "export"),
            ("/client/manifest.webmanifest", 200, "application/manifest+json", "{}"),
            ("/client/assets/gone-1a2b3c.js", 404, "text/html", ""),
            ("/client/custom/custom.css", 404, "text/html", ""),
            // The server answers: it is no path below /client/.
            ("/client/../etc/passwd", 200, "text/html; charset=utf-8", "<title>stand-in</title>"),
            ("/", 301, "", ""),
        ];
        for (path, status, kind, text) in files {
            let (found, answer) = self.ask(path, &["--include", "--path-as-is"])?;
            let has_kind = kind.is_empty() || answer.to_lowercase().contains(&format!("content-type: {kind}"));
            ensure!(found == status && has_kind && answer.contains(text), "{path} gets {found}: {answer}");
            let kept = answer.contains("max-age=31536000, public, immutable");
            ensure!(kept == (path.contains("/assets/") && status == 200), "{path}: {answer}");
        }
        let (_, answer) = self.ask("/", &["--include"])?;
        ensure!(answer.to_lowercase().contains("location: /client/"), "{answer}");
        Ok(())
    }

    fn http_redirects_to_https(&self) -> Result<()> {
        let output = command::output(self.curl().arg(format!("http://{HOST}:{}/some?x=1", self.ports.http)))?;
        let expected = format!("308 https://{HOST}:{}/some?x=1", self.ports.https);
        ensure!(output.ends_with(&expected), "the response over HTTP: {output}");
        Ok(())
    }

    fn organization_is_created(&self, name: &str) -> Result<()> {
        let body = format!(r#"{{"organization_id": "{name}"}}"#);
        let (status, answer) = self.administer("", "wrong", Some(&body))?;
        ensure!(status == 403, "a wrong token gets {status}: {answer}");
        let (status, answer) = self.administer(&format!("/{name}"), &self.token()?, None)?;
        ensure!(status == 404, "an organization that was not created yet: {status} {answer}");
        let (status, answer) = self.administer("", &self.token()?, Some(&body))?;
        ensure!(status == 200, "creating an organization gets {status}: {answer}");
        let answer: Value = serde_json::from_str(&answer)?;
        let link = answer["bootstrap_url"].as_str().unwrap_or_default();
        ensure!(link.starts_with(&format!("parsec3://{HOST}/{name}?a=bootstrap_organization&p=")), "{answer}");
        self.organization_exists(name)
    }

    fn organization_exists(&self, name: &str) -> Result<()> {
        let (status, answer) = self.administer(&format!("/{name}"), &self.token()?, None)?;
        ensure!(status == 200, "{name} gets {status}: {answer}");
        let answer: Value = serde_json::from_str(&answer)?;
        ensure!(answer["is_bootstrapped"] == false && answer["is_expired"] == false, "{name} is {answer}");
        Ok(())
    }

    fn mail_is_caught(&self) -> Result<()> {
        let script = "/usr/local/lib/parsec/ping-mail.py";
        let recipient = format!("someone@{HOST}");
        self.podman.podman(&["exec", &container("parsec-server"), "python", script, &recipient])?;
        let url = format!("http://127.0.0.1:{}/api/messages/", self.ports.mail);
        let output = command::output(self.curl().arg(url))?;
        let (body, _) = output.rsplit_once('\n').context("curl wrote no status")?;
        let answer: Value = serde_json::from_str(body)?;
        let mails = answer["data"].as_array().context("the mail page lists no mails")?;
        ensure!(mails.len() == 1, "mails: {answer}");
        ensure!(mails[0]["subject"] == "Parsec: mail works", "another mail: {answer}");
        ensure!(mails[0].to_string().contains(&recipient), "another recipient: {answer}");
        Ok(())
    }

    /// Runs the health checks by hand, as podman's timers need systemd.
    fn all_are_healthy(&self) -> Result<()> {
        for (service, _) in SERVICES {
            retry(|| self.podman.podman(&["healthcheck", "run", &container(service)])).context(service)?;
        }
        Ok(())
    }

    /// Each program has a user of its own, no way to gain privileges, and read-only files.
    fn services_run_unprivileged(&self) -> Result<()> {
        for (service, user) in SERVICES {
            let name = container(service);
            let script = "cat /proc/[0-9]*/status";
            let text = self.podman.podman(&["exec", &name, "sh", "-c", script])?;
            let mut seen: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
            for (key, value) in text.lines().filter_map(|line| line.split_once(':')) {
                seen.entry(key).or_default().insert(value.split_whitespace().collect::<Vec<_>>().join(" "));
            }
            let only = |key: &str, value: &str| -> Result<()> {
                ensure!(seen[key] == BTreeSet::from([value.to_owned()]), "{service}: {key} is {:?}", seen[key]);
                Ok(())
            };
            only("Uid", &[user.to_string().as_str(); 4].join(" "))?;
            only("Gid", &[user.to_string().as_str(); 4].join(" "))?;
            only("NoNewPrivs", "1")?;
            for kind in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
                only(kind, "0000000000000000")?;
            }
            let Ran { code, stderr, .. } = self.podman.try_podman(&["exec", &name, "touch", "/usr/new"])?;
            ensure!(code != Some(0) && stderr.contains("Read-only"), "{service} can change itself: {stderr}");
        }
        Ok(())
    }

    /// Every TCP port of every address is tried; UDP is read from the kernel.
    fn only_published_ports_listen(&self) -> Result<()> {
        let addresses = command::output(self.podman.command(Path::new("/"), "ip").args(["-oneline", "address"]))?;
        let local: BTreeSet<IpAddr> = addresses
            .lines()
            .filter_map(|line| line.split_whitespace().nth(3)?.split('/').next()?.parse().ok())
            // Connecting to a link's own address needs its interface named; it is the bridge's other address.
            .filter(|address| !matches!(address, IpAddr::V6(address) if address.is_unicast_link_local()))
            .collect();
        ensure!(local.len() >= 3, "the loopback addresses and the bridge's, at least: {local:?}");
        let (open, udp) = self.podman.sandbox().in_network(|| {
            let mut open = BTreeSet::new();
            for &address in &local {
                for port in 1..=u16::MAX {
                    let to = SocketAddr::new(address, port);
                    let stream = TcpStream::connect_timeout(&to, Duration::from_secs(2));
                    // A connection from a port to itself succeeds (RFC 9293, simultaneous open).
                    if stream.is_ok_and(|stream| stream.local_addr().is_ok_and(|from| from != to)) {
                        open.insert(to);
                    }
                }
            }
            let udp = ["udp", "udp6"].map(|kind| fs_err::read_to_string(format!("/proc/thread-self/net/{kind}")));
            Ok((open, udp.into_iter().collect::<std::io::Result<String>>()?))
        })?;
        let allowed = |to: &SocketAddr| match to.ip() {
            IpAddr::V4(address) if address.is_loopback() => {
                [self.ports.http, self.ports.https, self.ports.mail].contains(&to.port())
            }
            // The bridge: the public ports, and the containers' own name server.
            IpAddr::V4(_) => [self.ports.http, self.ports.https, 53].contains(&to.port()),
            IpAddr::V6(_) => false,
        };
        ensure!(open.iter().all(allowed), "more than the published ports listens: {open:?}");
        for port in [self.ports.http, self.ports.https, self.ports.mail] {
            ensure!(open.contains(&SocketAddr::new([127, 0, 0, 1].into(), port)), "{port} does not listen: {open:?}");
        }
        let names = |line: &str| line.split_whitespace().nth(1).is_some_and(|local| local.ends_with(":0035"));
        ensure!(udp.lines().filter(|line| line.contains(':')).all(names), "more than name service: {udp}");
        Ok(())
    }

    /// No secret is in the configuration of an image, on a command line, or in a log.
    fn secrets_stay_secret(&self, secrets: &Secrets) -> Result<()> {
        for image in &self.bundle.manifest.images {
            let configuration = self.podman.podman(&["image", "inspect", &image.reference])?;
            secrets.absent(&format!("the image {}", image.name), configuration.as_bytes())?;
        }
        for (service, _) in SERVICES {
            let ran = self.podman.try_podman(&["logs", &container(service)])?;
            secrets.absent(&format!("the log of {service}"), (ran.stdout + &ran.stderr).as_bytes())?;
        }
        let processes = self.podman.sandbox().processes()?;
        for program in ["postgres", "nginx", "sendria", "parsec", "conmon"] {
            ensure!(processes.iter().any(|line| line.contains(program)), "{program} does not run: {processes:#?}");
        }
        secrets.absent("the list of processes", processes.join("\n").as_bytes())
    }

    fn restart(&self, what: &str) -> Result<()> {
        let start = Instant::now();
        self.podman.podman(&["restart", what])?;
        self.first_answer()?;
        report(&format!("restart {what} to the first answer: {:.1} s", start.elapsed().as_secs_f64()));
        Ok(())
    }
}
