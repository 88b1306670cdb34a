//! Locks and builds in a closed network: through Debian's squid as it is set up by default, from a private index with TLS by
//! an authority of its own, a client certificate and a password.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use sealift_tests::archive::Archive;
use sealift_tests::command::report;
use sealift_tests::lab::Lab;

/// squid lets tunnels through to this port only.
const INDEX: &str = "127.0.0.2:443";
const PASSWORD: &str = "a-password-of-the-index";

/// A process that ends with the test.
struct Process(Child);

impl Process {
    fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).spawn().unwrap())
    }

    /// Waits until it listens.
    fn listens(mut self, address: &str) -> Self {
        let until = Instant::now() + Duration::from_secs(60);
        while std::net::TcpStream::connect(address).is_err() {
            assert!(self.0.try_wait().unwrap().is_none(), "the server at {address} has ended");
            assert!(Instant::now() < until, "nothing listens at {address}");
            std::thread::sleep(Duration::from_millis(50));
        }
        self
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Serves a folder with TLS to clients that have a certificate and the password.
const SERVER: &str = r#"
import http.server, pathlib, ssl, sys
folder, address, port, wanted = sys.argv[1:]
class Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *arguments):
        super().__init__(*arguments, directory=folder + "/served")
    def end_headers(self):
        self.send_header("Connection", "close")
        super().end_headers()
    def do_GET(self):
        if self.headers.get("Authorization") != wanted:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="index"')
            self.end_headers()
        else:
            super().do_GET()
    do_HEAD = do_GET
    def guess_type(self, path):
        return "application/vnd.pypi.simple.v1+json" if path.endswith("index.html") else "application/octet-stream"
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer((address, int(port)), Handler)
server.handle_error = lambda *_: None
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=folder + "/ca.pem")
context.verify_mode = ssl.CERT_REQUIRED
context.load_cert_chain(folder + "/server.pem")
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
"#;

/// Writes the authority's certificate, and certificates with keys of the server and of a client.
fn certificates(folder: &Path) {
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, "authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    fs_err::write(folder.join("ca.pem"), authority.pem()).unwrap();
    for (file, name) in [("server.pem", "127.0.0.2"), ("client.pem", "client.example")] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &authority).unwrap();
        fs_err::write(folder.join(file), certificate.pem() + &key.serialize_pem()).unwrap();
    }
}

fn index(folder: &Path, archive: &Archive) -> Process {
    certificates(folder);
    for (path, bytes) in archive.publish() {
        let Some((first, _)) = path.split_once('/').filter(|(first, _)| *first == "simple" || *first == "files") else {
            continue;
        };
        assert!(!first.is_empty());
        let page = if path.ends_with('/') { format!("{path}index.html") } else { path };
        let file = folder.join("served").join(page);
        fs_err::create_dir_all(file.parent().unwrap()).unwrap();
        fs_err::write(file, bytes).unwrap();
    }
    let (address, port) = INDEX.split_once(':').unwrap();
    let wanted = {
        use base64::Engine as _;
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("me:{PASSWORD}")))
    };
    let mut command = Command::new("python3");
    Process::start(command.args(["-c", SERVER]).arg(folder).args([address, port, &wanted])).listens(INDEX)
}

/// Debian's configuration of squid, but for its port and its files. Returns its address and its log of requests.
fn squid(folder: &Path) -> (Process, String, PathBuf) {
    let address = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().to_string()
    };
    // It becomes another user.
    fs_err::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let debian = fs_err::read_to_string("/etc/squid/squid.conf").unwrap();
    let own = ["http_port ", "coredump_dir ", "access_log ", "cache_log ", "pid_filename "];
    let kept = debian.lines().filter(|line| !own.iter().any(|start| line.starts_with(start)));
    let place = folder.display();
    let conf = format!(
        "{}\nhttp_port {address}\ncoredump_dir {place}\naccess_log stdio:{place}/access.log\ncache_log {place}/cache.log\n\
         pid_filename {place}/squid.pid\nshutdown_lifetime 0 seconds\n",
        kept.collect::<Vec<_>>().join("\n")
    );
    fs_err::write(folder.join("squid.conf"), conf).unwrap();
    let mut command = Command::new("squid");
    let process = Process::start(command.arg("-N").arg("-f").arg(folder.join("squid.conf"))).listens(&address);
    (process, address, folder.join("access.log"))
}

#[test]
#[ignore = "needs root, squid and uv: tests/run"]
fn a_closed_network_is_used_as_apt_pip_and_uv_use_it() {
    if !rustix::process::geteuid().is_root() {
        report("passed over: a port of the index below 1024 needs root");
        return;
    }
    let lab = Lab::new();
    // Other users need to reach the folder of squid.
    let (index_folder, squid_folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let _index = index(index_folder.path(), &Archive::default());
    let (_squid, proxy, log) = squid(squid_folder.path());
    let file = |name: &str| index_folder.path().join(name).display().to_string();
    let pip = format!(
        "[global]\nindex-url = https://{INDEX}/simple\ncert = {}\nclient-cert = {}\n",
        file("ca.pem"),
        file("client.pem")
    );
    fs_err::create_dir_all(lab.path("home/.config/pip")).unwrap();
    fs_err::write(lab.path("home/.config/pip/pip.conf"), pip).unwrap();
    fs_err::write(lab.path("home/.netrc"), format!("machine 127.0.0.2 login me password {PASSWORD}\n")).unwrap();
    let mut said = String::new();
    for arguments in [&["mirrors"][..], &["lock", "tiny"], &["build", "tiny", "--locked", "--output", "out.tar"]] {
        let mut command = lab.command(arguments);
        command.env_remove("PIP_INDEX_URL").env("UV_CACHE_DIR", lab.path("uv-cache"));
        command.env("http_proxy", format!("http://{proxy}")).env("https_proxy", format!("http://{proxy}"));
        // squid forbids this port: the next mirror is asked.
        command.env("SEALIFT_DEBIAN_MIRROR", format!("http://127.0.0.1:1/debian {}", lab.mirror.url()));
        match std::env::var_os("SEALIFT_UV") {
            Some(uv) => command.env("SEALIFT_UV", uv),
            None => command.env_remove("SEALIFT_UV"),
        };
        let output = command.output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{arguments:?}\n{text}\n{}", fs_err::read_to_string(&log).unwrap_or_default());
        said.push_str(&text);
    }
    let log = fs_err::read_to_string(&log).unwrap();
    let logged = |parts: &[&str]| log.lines().any(|line| parts.iter().all(|part| line.contains(part)));
    assert!(logged(&["/200", &format!("GET {}/dists/", lab.mirror.url())]), "{log}");
    assert!(logged(&["/200", &format!("GET {}/pool/", lab.mirror.url())]), "{log}");
    assert!(logged(&["/200", &format!("CONNECT {INDEX}")]), "{log}");
    assert!(logged(&["TCP_DENIED/403", "GET http://127.0.0.1:1/"]), "{log}");
    assert!(!log.contains(&format!("CONNECT {}", lab.mirror.url().trim_start_matches("http://"))), "{log}");
    let lock = fs_err::read_to_string(lab.path("tiny/sealift.lock")).unwrap();
    assert!(!lock.contains("127.0.0."), "a lock names no hosts:\n{lock}");
    let bundle = fs_err::read(lab.path("out.tar")).unwrap();
    for (what, bytes) in [("messages", said.as_bytes()), ("lock", lock.as_bytes()), ("bundle", &bundle)] {
        assert!(memchr::memmem::find(bytes, PASSWORD.as_bytes()).is_none(), "the password is in the {what}");
    }
    assert!(said.contains("netrc") && said.contains("client.pem"), "{said}");
}
