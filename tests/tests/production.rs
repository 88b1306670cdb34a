//! The production bundle on podman, without any network: `up` refuses missing and wrong settings, and then runs with an
//! external database, storage, mail server and certificate.
//!
//! These run in containers of the images of the profile `testing-garage`, on a separate network, with certificates of the test's
//! authority. The storage, Garage, is compiled from its crate, which takes ten minutes on two processors where the store does not
//! have it yet.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use sealift_tests::blocks::Blocks;
use sealift_tests::bundle::{Bundle, program, sealift};
use sealift_tests::command::{self, Ran, report};
use sealift_tests::podman::Podman;
use sealift_tests::secrets::Secrets;
use time::OffsetDateTime;

/// The public name of the installation.
const HOST: &str = "parsec.test";
/// The network of the external services, and their addresses.
const OUTSIDE: &str = "10.99.0.0/24";
const DATABASE: &str = "10.99.0.2";
const STORAGE: &str = "10.99.0.3";
const MAIL: &str = "10.99.0.4";
/// The password, and its percent-encoded form in a URL.
const PASSWORD: (&str, &str) = ("p@ss:w/rd$ 1", "p%40ss%3Aw%2Frd%24%201");
const KEY: &str = "GK0123456789abcdef01234567";
const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

const SERVER: &str = "parsec-production_parsec-server";
const BLOCKS: Blocks<'_> = Blocks { container: SERVER, endpoint: "https://10.99.0.3:9000" };

/// Groups of the programs that have to read a key.
const POSTGRES: u32 = 999;
const NGINX: u32 = 1236;

/// A certificate authority outside of the site.
struct Authority {
    key: KeyPair,
    pem: String,
}

impl Authority {
    fn new() -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "External authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { key, pem })
    }

    /// A certificate for `name` that expires in `days` days, and its key.
    fn sign(&self, name: &str, days: i64) -> Result<(String, String)> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384)?;
        let mut params = CertificateParams::new([name.to_owned()])?;
        #[expect(clippy::disallowed_methods, reason = "the program under test compares with the clock")]
        let now = OffsetDateTime::from(std::time::SystemTime::now());
        params.not_before = now - time::Duration::days(400);
        params.not_after = now + time::Duration::days(days);
        params.use_authority_key_identifier_extension = true;
        let issuer = Issuer::from_ca_cert_pem(&self.pem, &self.key)?;
        Ok((params.signed_by(&key, &issuer)?.pem(), key.serialize_pem()))
    }

    /// Writes them to `STEM.crt` and `STEM.key`; only `group` can read the key.
    fn put(&self, name: &str, days: i64, stem: &Path, group: u32) -> Result<()> {
        let (pem, key) = self.sign(name, days)?;
        write_for(&stem.with_extension("crt"), &pem, group)?;
        write_for(&stem.with_extension("key"), &key, group)
    }
}

/// Writes a file that only a group may read.
fn write_for(path: &Path, text: &str, group: u32) -> Result<()> {
    fs_err::write(path, text)?;
    fs_err::os::unix::fs::chown(path, Some(0), Some(group))?;
    Ok(fs_err::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o640))?)
}

struct Production<'a> {
    podman: &'a Podman,
    bundle: &'a Bundle,
    authority: Authority,
}

#[test]
#[ignore = "needs root, podman, and minutes to compile: tests/run production"]
fn production_runs_with_external_services() -> Result<()> {
    let others = Bundle::build("testing-garage", |_, _| Ok(Vec::new()))?;
    let made = others.manifest.crates.iter().map(|made| (made.name.as_str(), made.image.as_str()));
    ensure!(made.eq([("garage", "parsec-garage")]), "{:?}", others.manifest.crates);
    let compiled = others.manifest.compiled.as_ref().context("the bundle says how crates were compiled")?;
    ensure!(compiled.toolchain.rustc.contains("rustc "), "{compiled:?}");
    let bundle = Bundle::build("production", |_, _| Ok(Vec::new()))?;
    let images: Vec<&str> = bundle.manifest.images.iter().map(|image| image.name.as_str()).collect();
    ensure!(images == ["parsec-proxy", "parsec-server"], "{images:?}");
    let podman = Podman::new()?;
    let production = Production { podman: &podman, bundle: &bundle, authority: Authority::new()? };
    let scenario = || {
        production.incomplete_settings_are_refused()?;
        production.external_services_run(&others)?;
        production.wrong_settings_and_certificates_are_refused()?;
        production.it_runs()?;
        production.it_follows_its_settings()
    };
    scenario().inspect_err(|_| report(&podman.story()))
}

impl Production<'_> {
    fn site(&self, name: &str) -> PathBuf {
        self.bundle.folder.join("site").join(name)
    }

    fn try_sealift(&self, arguments: &[&str]) -> Result<Ran> {
        let program = program()?;
        let mut command: Command = self.podman.command(&self.bundle.folder, &program.display().to_string());
        command::run(command.args(arguments))
    }

    fn sealift(&self, arguments: &[&str]) -> Result<String> {
        let ran = self.try_sealift(arguments)?;
        ensure!(ran.code == Some(0), "{arguments:?} exited with {:?}\n{}{}", ran.code, ran.stdout, ran.stderr);
        Ok(ran.stdout)
    }

    /// The error of an `up` that must fail before anything is loaded or started.
    fn refusal(&self, arguments: &[&str]) -> Result<String> {
        let before = self.podman.podman(&["ps", "--all", "--quiet"])?;
        let ran = self.try_sealift(&[&["up"], arguments].concat())?;
        ensure!(ran.code == Some(2), "{arguments:?}: {ran:?}");
        ensure!(self.podman.podman(&["ps", "--all", "--quiet"])? == before, "something was started");
        ensure!(!self.site("env").exists() && !self.site("custom-ca.key").exists(), "the site was created in part");
        let from = ran.stderr.find("error: ").context("no error")?;
        Ok(ran.stderr[from..].replace(&self.bundle.folder.display().to_string(), "FOLDER"))
    }

    fn incomplete_settings_are_refused(&self) -> Result<()> {
        let refusal = self.refusal(&["--host", HOST])?;
        insta::assert_snapshot!("incomplete-input", refusal);
        ensure!(self.podman.podman(&["images", "--quiet"])?.is_empty(), "something was loaded");
        let settings = fs_err::metadata(self.site("settings.toml"))?;
        ensure!(std::os::unix::fs::PermissionsExt::mode(&settings.permissions()) & 0o777 == 0o600);
        // The first run has recorded the host: --host is not needed again.
        ensure!(self.refusal(&[])? == refusal);
        Ok(())
    }

    fn settings(&self) -> String {
        format!(
            r#"
database-url = "postgresql://parsec:{}@{DATABASE}:5432/parsec?sslmode=verify-full&sslrootcert=/run/secrets/database-authorities.crt"
smtp-host = "{MAIL}"
smtp-port = 1025
smtp-security = "none"
smtp-sender = "parsec@parsec.test"

[[s3]]
endpoint = "{}"
region = "region1"
bucket = "parsec"
key = "{KEY}"
secret = "{SECRET}"
"#,
            PASSWORD.1, BLOCKS.endpoint
        )
    }

    /// Starts the external services: database and storage with TLS, and the mail server.
    fn external_services_run(&self, others: &Bundle) -> Result<()> {
        let folder = &others.folder;
        self.podman.podman(&["load", "--input", others.tar.to_str().context("a path in UTF-8")?])?;
        // Its nginx configuration terminates TLS for the storage.
        command::output(sealift(folder)?.args(["site", "new", "site", "--host", HOST]))?;
        let files = others.place().join("others");
        fs_err::create_dir(&files)?;
        self.authority.put(DATABASE, 100, &files.join("database"), POSTGRES)?;
        self.authority.put(STORAGE, 100, &files.join("storage"), NGINX)?;
        write_for(&files.join("password"), PASSWORD.0, POSTGRES)?;
        let mount = |name: &str, inside: &str| format!("{}:{inside}:ro", files.join(name).display());

        self.podman.podman(&["network", "create", "--subnet", OUTSIDE, "outside"])?;
        let run = |name: &str, arguments: &[&str], image: &str, command: &[&str]| {
            let image = format!("localhost/{image}:3.10.0");
            let head = ["run", "--detach", "--network", "outside", "--name", name];
            self.podman.podman(&[&head[..], arguments, &[image.as_str()], command].concat())
        };
        let (password, crt, key) = (
            mount("password", "/run/secrets/password"),
            mount("database.crt", "/run/secrets/database.crt"),
            mount("database.key", "/run/secrets/database.key"),
        );
        let environment = ["--env", "POSTGRES_USER=parsec", "--env", "POSTGRES_PASSWORD_FILE=/run/secrets/password"];
        let mounts = ["--ip", DATABASE, "--volume", &password, "--volume", &crt, "--volume", &key];
        let tls = ["-c", "ssl=on", "-c", "ssl_cert_file=/run/secrets/database.crt"];
        let tls = [&["postgres"], &tls[..], &["-c", "ssl_key_file=/run/secrets/database.key"]].concat();
        run("database", &[&environment[..], &mounts].concat(), "parsec-postgres", &tls)?;

        let keys = [
            format!("GARAGE_DEFAULT_ACCESS_KEY={KEY}"),
            format!("GARAGE_DEFAULT_SECRET_KEY={SECRET}"),
            format!("GARAGE_RPC_SECRET={SECRET}"),
        ];
        let mut environment = vec!["--ip", "10.99.0.5", "--env", "GARAGE_DEFAULT_BUCKET=parsec"];
        keys.iter().for_each(|key| environment.extend(["--env", key.as_str()]));
        // The configuration of the next container has this name.
        run("parsec-garage", &environment, "parsec-garage", &[])?;
        let configuration = format!("{}:/etc/nginx/nginx.conf:ro", folder.join("site/nginx/parsec-s3.conf").display());
        let (crt, key) =
            (mount("storage.crt", "/run/secrets/parsec-s3.crt"), mount("storage.key", "/run/secrets/parsec-s3.key"));
        let mounts = ["--ip", STORAGE, "--volume", &configuration, "--volume", &crt, "--volume", &key];
        run("storage", &mounts, "parsec-proxy", &[])?;
        run("mail", &["--ip", MAIL], "parsec-smtp", &[])?;
        retry(|| self.podman.podman(&["exec", "database", "pg_isready", "-h", "127.0.0.1"]))?;
        let health = ["exec", "storage", "wget", "-q", "-T", "3", "-O", "-", "http://127.0.0.1:8080/healthz"];
        retry(|| self.podman.podman(&health)).map(drop)
    }

    fn wrong_settings_and_certificates_are_refused(&self) -> Result<()> {
        let wrong = self.settings().replace("postgresql://", "mysql://").replace("1025", "70000");
        let wrong = wrong.replace("smtp-sender", "smpt-sender").replace(BLOCKS.endpoint, "10.99.0.3:9000");
        fs_err::write(self.site("settings.toml"), wrong.replace(SECRET, "letmein"))?;
        let (pem, key) = self.authority.sign(HOST, 100)?;
        let (ended, its_key) = self.authority.sign("other.test", -1)?;
        let provide = |pem: &str, key: &str| -> Result<()> {
            fs_err::write(self.site("tls/parsec-proxy.crt"), pem)?;
            Ok(fs_err::write(self.site("tls/parsec-proxy.key"), key)?)
        };
        provide(&pem, &its_key)?;
        let refusal = self.refusal(&[])?;
        ensure!(!refusal.contains(PASSWORD.1) && !refusal.contains("letmein"), "a secret is shown: {refusal}");
        insta::assert_snapshot!("wrong-input", refusal);

        fs_err::write(self.site("settings.toml"), self.settings())?;
        provide(&ended, &its_key)?;
        let refusal = self.refusal(&[])?;
        for part in ["it is not for parsec.test", "it is for other.test", "it expired on "] {
            ensure!(refusal.contains(part), "{part}: {refusal}");
        }
        provide(&pem, &key)
    }

    fn it_runs(&self) -> Result<()> {
        for name in ["database", "storage"] {
            fs_err::write(self.site(&format!("tls/{name}-authorities.crt")), &self.authority.pem)?;
        }
        let start = Instant::now();
        self.sealift(&["up"])?;
        report(&format!("up, from a complete settings.toml to healthy: {:.1} s", start.elapsed().as_secs_f64()));
        Secrets::of(&self.bundle.folder.join("site"))?.absent_below(&self.bundle.folder.join("blobs"))?;

        let link = self.sealift(&["task", "create-organization", "MyOrg"])?;
        ensure!(link.starts_with("parsec3://parsec.test/MyOrg?"), "{link}");
        let rows = ["exec", "database", "psql", "-U", "parsec", "-tAc", "select organization_id from organization"];
        ensure!(self.podman.podman(&rows)?.trim() == "MyOrg", "the organization is elsewhere");
        let encrypted =
            "select bool_and(ssl) from pg_stat_ssl join pg_stat_activity using (pid) where client_addr is not null";
        let rows = ["exec", "database", "psql", "-U", "parsec", "-tAc", encrypted];
        ensure!(self.podman.podman(&rows)?.trim() == "t", "the database is reached without TLS");
        BLOCKS.pass(self.podman, "write")?;
        BLOCKS.only_the_authority_is_trusted(self.podman)?;
        let bucket = ["exec", "parsec-garage", "garage", "-c", "/etc/garage.toml", "bucket", "info", "parsec"];
        ensure!(self.podman.podman(&bucket)?.contains("Objects:"), "the storage has no such bucket");
        self.sealift(&["task", "ping-mail", "someone@parsec.test"])?;
        let mails = ["exec", "mail", "wget", "-q", "-O", "-", "http://127.0.0.1:8025/api/messages/"];
        let mails = self.podman.podman(&mails)?;
        ensure!(mails.contains("Parsec: mail works") && mails.contains("parsec@parsec.test"), "{mails}");
        self.users_see_the_operators_certificate()
    }

    fn users_see_the_operators_certificate(&self) -> Result<()> {
        let external = self.bundle.place().join("external.crt");
        fs_err::write(&external, &self.authority.pem)?;
        let curl = |authority: &Path| {
            let mut curl = self.podman.command(Path::new("/"), "curl");
            curl.args([
                "--silent",
                "--show-error",
                "--noproxy",
                "*",
                "--output",
                "/dev/null",
                "--write-out",
                "%{http_code}",
            ]);
            curl.args(["--resolve", "parsec.test:443:127.0.0.1", "https://parsec.test/", "--cacert"]).arg(authority);
            curl
        };
        let status = command::output(&mut curl(&external))?;
        ensure!(status == "200", "the public name returned {status}");
        let ran = command::run(&mut curl(&self.site("custom-ca.crt")))?;
        ensure!(
            ran.code == Some(60),
            "the site's authority must not have issued the public name's certificate: {ran:?}"
        );
        Ok(())
    }

    /// The next `up` applies a change of the settings, and changes nothing else.
    fn it_follows_its_settings(&self) -> Result<()> {
        let token = fs_err::read(self.site("secrets/admin-token"))?;
        let certificate = fs_err::read(self.site("tls/parsec-proxy.crt"))?;
        let changed = format!("log-format = \"JSON\"\n{}", self.settings());
        fs_err::write(self.site("settings.toml"), &changed)?;
        self.sealift(&["up"])?;
        ensure!(fs_err::read_to_string(self.site("settings.toml"))? == changed, "settings.toml was written");
        ensure!(fs_err::read(self.site("secrets/admin-token"))? == token, "a secret changed");
        ensure!(fs_err::read(self.site("tls/parsec-proxy.crt"))? == certificate, "the certificate changed");
        let logs = self.podman.try_podman(&["logs", SERVER])?;
        let json = logs.stdout.lines().chain(logs.stderr.lines()).any(|line| line.trim_start().starts_with("{\""));
        ensure!(json, "the log is not in JSON: {logs:?}");
        BLOCKS.pass(self.podman, "read")
    }
}

/// Repeats `attempt` until it succeeds, for a minute and a half at most.
fn retry<T>(mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        match attempt() {
            Err(_) if start.elapsed() < Duration::from_secs(90) => std::thread::sleep(Duration::from_millis(200)),
            result => return result.context("and so for a minute and a half"),
        }
    }
}
