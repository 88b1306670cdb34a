//! The production bundle on podman, cut off from every network: `up` refuses what is missing or wrong, and then runs with a
//! database, a storage, a mail server and a certificate that are not its own.
//!
//! These are containers of the testing profile's images, on a network of theirs, with certificates of the test's authority.
//! The storage is compiled from its crate, as in `testing.rs`.

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
/// The network of what is somebody else's, and who is where on it.
const OUTSIDE: &str = "10.99.0.0/24";
const DATABASE: &str = "10.99.0.2";
const STORAGE: &str = "10.99.0.3";
const MAIL: &str = "10.99.0.4";
/// As it is, and as a URL writes it.
const PASSWORD: (&str, &str) = ("p@ss:w/rd$ 1", "p%40ss%3Aw%2Frd%24%201");
const KEY: &str = "GK0123456789abcdef01234567";
const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

const SERVER: &str = "parsec-production_parsec-server";
const BLOCKS: Blocks<'_> = Blocks { container: SERVER, endpoint: "https://10.99.0.3:9000" };

/// Groups of the programs that have to read a key.
const POSTGRES: u32 = 999;
const NGINX: u32 = 1236;

/// An authority of the test's own.
struct Authority {
    key: KeyPair,
    pem: String,
}

impl Authority {
    fn new() -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Somebody else's authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { key, pem })
    }

    /// A certificate for `name` that ends so many days from now, and its key.
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

    /// The same as files, the key for one group alone.
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
fn production_runs_on_what_the_operator_brings() -> Result<()> {
    let testing = Bundle::build("testing", |_, _| Ok(Vec::new()))?;
    let bundle = Bundle::build("production", |_, _| Ok(Vec::new()))?;
    let images: Vec<&str> = bundle.manifest.images.iter().map(|image| image.name.as_str()).collect();
    ensure!(images == ["parsec-proxy", "parsec-server"], "{images:?}");
    let podman = Podman::new()?;
    let production = Production { podman: &podman, bundle: &bundle, authority: Authority::new()? };
    let scenario = || {
        production.incomplete_settings_are_refused()?;
        production.others_run(&testing)?;
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

    /// What `up` says when it refuses; nothing was loaded or started.
    fn refusal(&self, arguments: &[&str]) -> Result<String> {
        let before = self.podman.podman(&["ps", "--all", "--quiet"])?;
        let ran = self.try_sealift(&[&["up"], arguments].concat())?;
        ensure!(ran.code == Some(2), "{arguments:?}: {ran:?}");
        ensure!(self.podman.podman(&["ps", "--all", "--quiet"])? == before, "something was started");
        ensure!(!self.site("env").exists() && !self.site("custom-ca.key").exists(), "something is half done");
        let from = ran.stderr.find("error: ").context("no error")?;
        Ok(ran.stderr[from..].replace(&self.bundle.folder.display().to_string(), "FOLDER"))
    }

    fn incomplete_settings_are_refused(&self) -> Result<()> {
        let refusal = self.refusal(&["--host", HOST])?;
        insta::assert_snapshot!("nothing-is-given", refusal);
        ensure!(self.podman.podman(&["images", "--quiet"])?.is_empty(), "something was loaded");
        let settings = fs_err::metadata(self.site("settings.toml"))?;
        ensure!(std::os::unix::fs::PermissionsExt::mode(&settings.permissions()) & 0o777 == 0o600);
        // The host is remembered; nobody has to say it again.
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

    /// Database, storage and mail server, each with its certificate where it has one.
    fn others_run(&self, testing: &Bundle) -> Result<()> {
        let folder = &testing.folder;
        self.podman.podman(&["load", "--input", testing.tar.to_str().context("a path in UTF-8")?])?;
        // For the configuration of the TLS in front of the storage.
        command::output(sealift(folder)?.args(["site", "new", "site", "--host", HOST]))?;
        let files = testing.place().join("others");
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
        // The name by which the configuration of the next one knows it.
        run("parsec-garage", &environment, "parsec-garage", &[])?;
        let configuration = format!("{}:/etc/nginx/nginx.conf:ro", folder.join("site/nginx/parsec-s3.conf").display());
        let (crt, key) =
            (mount("storage.crt", "/run/secrets/parsec-s3.crt"), mount("storage.key", "/run/secrets/parsec-s3.key"));
        let mounts = ["--ip", STORAGE, "--volume", &configuration, "--volume", &crt, "--volume", &key];
        run("storage", &mounts, "parsec-proxy", &[])?;
        run("mail", &["--ip", MAIL], "parsec-smtp", &[])?;
        patiently(|| self.podman.podman(&["exec", "database", "pg_isready", "-h", "127.0.0.1"]))?;
        let answers = ["exec", "storage", "wget", "-q", "-T", "3", "-O", "-", "http://127.0.0.1:8080/healthz"];
        patiently(|| self.podman.podman(&answers)).map(drop)
    }

    fn wrong_settings_and_certificates_are_refused(&self) -> Result<()> {
        let wrong = self.settings().replace("postgresql://", "mysql://").replace("1025", "70000");
        let wrong = wrong.replace("smtp-sender", "smpt-sender").replace(BLOCKS.endpoint, "10.99.0.3:9000");
        fs_err::write(self.site("settings.toml"), wrong.replace(SECRET, "letmein"))?;
        let (pem, key) = self.authority.sign(HOST, 100)?;
        let (ended, its_key) = self.authority.sign("other.test", -1)?;
        let bring = |pem: &str, key: &str| -> Result<()> {
            fs_err::write(self.site("tls/parsec-proxy.crt"), pem)?;
            Ok(fs_err::write(self.site("tls/parsec-proxy.key"), key)?)
        };
        bring(&pem, &its_key)?;
        let refusal = self.refusal(&[])?;
        ensure!(!refusal.contains(PASSWORD.1) && !refusal.contains("letmein"), "a secret is shown: {refusal}");
        insta::assert_snapshot!("much-is-wrong", refusal);

        fs_err::write(self.site("settings.toml"), self.settings())?;
        bring(&ended, &its_key)?;
        let refusal = self.refusal(&[])?;
        for part in ["it is not for parsec.test", "it is for other.test", "it expired on "] {
            ensure!(refusal.contains(part), "{part}: {refusal}");
        }
        bring(&pem, &key)
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
        ensure!(self.podman.podman(&bucket)?.contains("Objects:"), "the storage does not know its bucket");
        self.sealift(&["task", "ping-mail", "someone@parsec.test"])?;
        let mails = ["exec", "mail", "wget", "-q", "-O", "-", "http://127.0.0.1:8025/api/messages/"];
        let mails = self.podman.podman(&mails)?;
        ensure!(mails.contains("Parsec: mail works") && mails.contains("parsec@parsec.test"), "{mails}");
        self.users_see_the_operators_certificate()
    }

    fn users_see_the_operators_certificate(&self) -> Result<()> {
        let theirs = self.bundle.place().join("theirs.crt");
        fs_err::write(&theirs, &self.authority.pem)?;
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
        let answer = command::output(&mut curl(&theirs))?;
        ensure!(answer == "200", "the public name answers {answer}");
        let ran = command::run(&mut curl(&self.site("custom-ca.crt")))?;
        ensure!(ran.code == Some(60), "the internal authority must not vouch for the public name: {ran:?}");
        Ok(())
    }

    /// A change of the settings is taken into use by the next `up`, and nothing else changes.
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

/// Tries until it works, for a minute and a half.
fn patiently<T>(mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        match attempt() {
            Err(_) if start.elapsed() < Duration::from_secs(90) => std::thread::sleep(Duration::from_millis(200)),
            result => return result.context("and so for a minute and a half"),
        }
    }
}
