//! The examples: each is built, started on podman from its unpacked bundle with the bundle's own program, and asked over its
//! ports. Two run with all tests, the others with `tests/run --gallery`.

#![allow(clippy::disallowed_methods, reason = "a test")]

use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sealift_layers::digest::Digest;
use sealift_tests::bundle::{linked_statically, profile_at, sealift};
use sealift_tests::command::{self, report};
use sealift_tests::packed::members;
use sealift_tests::podman::Podman;
use sealift_tests::real;
use tempfile::TempDir;

/// The public name of the installations.
const HOST: &str = "gallery.test";

/// A profile of a program to verify with, of a Debian suite that has it.
const COSIGN: &str = r#"
schema = 1
name = "cosign"
product = "cosign"
version = "1.0"
title = "A verifier"

[debian]
suite = "forky"
components = ["main"]
allow-expired = true

[images.cosign]
title = "A verifier"
packages = ["cosign"]
essential = false
user = "1000:1000"
entrypoint = ["/usr/bin/cosign"]

[services.cosign]
image = "cosign"
"#;

/// An example, running.
struct Example {
    podman: Podman,
    /// The unpacked bundle.
    folder: PathBuf,
    _place: TempDir,
}

#[test]
#[ignore = "needs root and podman: tests/run"]
fn a_static_site() -> Result<()> {
    with("static", |example| {
        ensure!(example.ask(&["http://127.0.0.1:8080/"])?.contains("<h1>Pages</h1>"));
        ensure!(example.ask(&["http://127.0.0.1:8080/style.css"])?.contains("font-family"));
        let absent = example.ask(&["--write-out", "%{http_code}", "http://127.0.0.1:8080/absent"])?;
        ensure!(absent.contains("<h1>Not found</h1>") && absent.ends_with("404"), "{absent}");
        example.a_stranger_proves_it()?;
        example.changes_are_found()
    })
}

/// The wheel's data outlive a restart.
#[test]
#[ignore = "needs root and podman: tests/run"]
fn an_own_wheel_with_valkey_and_nginx() -> Result<()> {
    with("wheel", |example| {
        let visit = || example.ask(&["http://127.0.0.1:8080/"]);
        ensure!((visit()?, visit()?) == ("visitor 1\n".into(), "visitor 2\n".into()));
        example.again()?;
        ensure!(visit()? == "visitor 3\n");
        // Without the password valkey answers nobody.
        let name = "counter-wheel_store";
        let refused = example.podman.podman(&["exec", name, "valkey-cli", "get", "visitors"])?;
        ensure!(refused.contains("NOAUTH"), "{refused}");
        Ok(())
    })
}

#[test]
#[ignore = "needs root and podman: tests/run --gallery"]
fn datasette_with_tls_on_debian_12() -> Result<()> {
    rarely("datasette", |example| {
        let lock = fs_err::read_to_string(real::repository().join("examples/datasette/sealift.lock"))?;
        ensure!(lock.contains("archive = \"security\""), "no package of the security suite");
        example.task(&["load", "people"], "name,age\nAda,36\nBob,41\n")?;
        let rows = || example.ask_tls("/tables/people.json?_shape=array");
        let expected = r#"[{"rowid": 1, "name": "Ada", "age": 36}, {"rowid": 2, "name": "Bob", "age": 41}]"#;
        let compact = |text: &str| text.replace(' ', "");
        ensure!(compact(rows()?.trim()) == compact(expected), "{}", rows()?);
        example.again()?;
        ensure!(compact(rows()?.trim()) == compact(expected), "{}", rows()?);
        // The certificate is for the public name only.
        let other = example.ask(&["--cacert", "site/custom-ca.crt", "https://127.0.0.2:8443/"]);
        ensure!(other.is_err_and(|error| format!("{error:#}").contains("Some(60)")), "any name is accepted");
        Ok(())
    })
}

#[test]
#[ignore = "needs root and podman: tests/run --gallery"]
fn synapse_with_postgresql() -> Result<()> {
    rarely("synapse", |example| {
        ensure!(example.ask_tls("/_matrix/client/versions")?.contains("\"v1.1\""));
        let password = "correct horse";
        example.task(&["register", "alice"], &format!("{password}\n{password}\n"))?;
        let body = serde_json::json!({
            "type": "m.login.password",
            "identifier": { "type": "m.id.user", "user": "alice" },
            "password": password,
        });
        let login = || -> Result<String> {
            let answer = example.ask_with(&["--data", &body.to_string()], "/_matrix/client/v3/login")?;
            let answer: serde_json::Value = serde_json::from_str(&answer)?;
            Ok(answer["user_id"].as_str().with_context(|| answer.to_string())?.to_owned())
        };
        ensure!(login()? == format!("@alice:{HOST}"));
        let users = "select name from users\n";
        ensure!(example.task(&["psql"], users)?.contains("@alice:"), "the account is not in PostgreSQL");
        example.again()?;
        ensure!(login()? == format!("@alice:{HOST}"));
        Ok(())
    })
}

#[test]
#[ignore = "needs root and podman: tests/run --gallery"]
fn mosquitto_behind_haproxy_and_unbound() -> Result<()> {
    rarely("gateway", |example| {
        let password = fs_err::read_to_string(example.folder.join("site/secrets/meter-password"))?;
        let client = |program: &str, password: &str, arguments: &[&str]| {
            let ca = format!("{}/site/custom-ca.crt:/ca.crt:ro", example.folder.display());
            let host = format!("{HOST}:127.0.0.1");
            let mut all = vec!["run", "--rm", "--network=host", "--add-host", &host, "--volume", &ca, "--entrypoint"];
            all.extend([program, "localhost/gateway-broker:1.0", "-h", HOST, "-p", "8883", "--cafile", "/ca.crt"]);
            all.extend(["-u", "meter", "-P", password, "-t", "meter/power", "-q", "1"]);
            all.extend(arguments);
            example.podman.try_podman(&all)
        };
        let sent = client("mosquitto_pub", password.trim(), &["--retain", "-m", "42 W"])?;
        ensure!(sent.code == Some(0), "{sent:?}");
        // The broker keeps the message, also when it is started again.
        for _ in 0..2 {
            let received = client("mosquitto_sub", password.trim(), &["-C", "1", "-W", "20"])?;
            ensure!(received.stdout == "42 W\n", "{received:?}");
            example.again()?;
        }
        ensure!(client("mosquitto_pub", "wrong", &["-m", "0 W"])?.code != Some(0), "any password is accepted");

        ensure!(example.look_up("pump")?.is_none(), "a name that nobody has set");
        let settings = example.folder.join("site/settings.toml");
        let more = "\n[[names]]\nname = \"pump\"\naddress = \"192.0.2.7\"\n";
        fs_err::write(&settings, fs_err::read_to_string(&settings)? + more)?;
        example.sealift(&["up"])?;
        ensure!(example.look_up("pump")? == Some([192, 0, 2, 7]));
        Ok(())
    })
}

#[test]
#[ignore = "needs root and podman: tests/run --gallery"]
fn a_java_service() -> Result<()> {
    rarely("java", |example| {
        example.ask(&["--data", "text=by <Ada>", "http://127.0.0.1:8080/"])?;
        example.again()?;
        let page = example.ask(&["http://127.0.0.1:8080/"])?;
        ensure!(page.contains("<li>by &lt;Ada></li>") && page.contains("Java 21"), "{page}");
        Ok(())
    })
}

#[test]
#[ignore = "needs root and podman: tests/run --gallery"]
fn a_php_site() -> Result<()> {
    rarely("php", |example| {
        example.ask(&["--data", "text=by <Ada>", "http://127.0.0.1:8080/"])?;
        example.again()?;
        let page = example.ask(&["http://127.0.0.1:8080/"])?;
        ensure!(page.contains("<h1>Guest book</h1>") && page.contains("<li>by &lt;Ada&gt;</li>"), "{page}");
        ensure!(example.ask(&["http://127.0.0.1:8080/style.css"])?.contains("font-family"));
        Ok(())
    })
}

/// Runs `check` with an example, in `tests/run --gallery` only.
fn rarely(name: &str, check: impl FnOnce(&Example) -> Result<()>) -> Result<()> {
    if std::env::var_os("SEALIFT_TEST_GALLERY").is_none() {
        report("not run: tests/run --gallery");
        return Ok(());
    }
    with(name, check)
}

/// Builds and starts an example, runs `check`, and stops it.
fn with(name: &str, check: impl FnOnce(&Example) -> Result<()>) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        report("passed over: podman in a network of its own needs root");
        return Ok(());
    }
    let example = Example::start(name)?;
    check(&example).inspect_err(|_| report(&example.podman.story()))?;
    example.sealift(&["down"]).map(drop)
}

impl Example {
    fn start(name: &str) -> Result<Self> {
        let place = tempfile::Builder::new().prefix("sl-gallery").tempdir()?;
        let profile = profile_at(&real::repository().join("examples").join(name), place.path())?;
        ensure!(profile.join("sealift.lock").exists(), "{name} has no lock");
        let make_wheel = profile.join("make-wheel");
        if make_wheel.exists() {
            command::output(&mut Command::new(make_wheel))?;
        }
        let program = linked_statically(place.path())?;
        let tar = place.path().join("bundle.tar");
        command::output(sealift(place.path())?.args(["key", "new", "key", "--no-password"]))?;
        let mut build = sealift(place.path())?;
        build
            .args(["build", "--sign", "key.key"])
            .arg(&profile)
            .arg("--program")
            .arg(program)
            .arg("--output")
            .arg(&tar);
        command::output(&mut build)?;
        command::output(sealift(place.path())?.args(["verify", "--key", "key.pub"]).arg(&tar))?;
        let folder = place.path().join("unpacked");
        fs_err::create_dir(&folder)?;
        command::output(Command::new("tar").arg("-xpf").arg(&tar).arg("-C").arg(&folder))?;
        let example = Self { podman: Podman::new()?, folder, _place: place };
        let up = example.sealift(&["up", "--host", HOST, "--key", "../key.pub"]);
        up.inspect_err(|_| report(&example.podman.story()))?;
        Ok(example)
    }

    /// The bundle's own program on the host.
    fn command(&self, arguments: &[&str]) -> Command {
        let program = self.folder.join("sealift");
        let mut command = self.podman.command(&self.folder, &program.display().to_string());
        command.args(arguments);
        command
    }

    fn sealift(&self, arguments: &[&str]) -> Result<String> {
        command::output(&mut self.command(arguments))
    }

    /// Removes the containers, and starts everything again with the data that is left.
    fn again(&self) -> Result<()> {
        self.sealift(&["down"])?;
        self.sealift(&["up"]).map(drop)
    }

    /// Somebody who has nothing but the file, the artifacts and a public key, on a host without a network: first with stock
    /// minisign and cosign, then with the program that it has shown to be the signed one. A byte changed in any member is noticed by both.
    fn a_stranger_proves_it(&self) -> Result<()> {
        let place = self.folder.parent().context("the folder above")?;
        command::output(sealift(place)?.args(["fetch"]).arg(place.join("static")).args(["--output", "kept"]))?;
        let stock = |arguments: &[&str]| -> Result<bool> {
            let mut minisign = self.podman.command(&self.folder, "minisign");
            Ok(minisign.args(["-Vq", "-p", "../key.pub"]).args(arguments).output()?.status.success())
        };
        ensure!(stock(&["-m", "../bundle.tar"])?, "minisign refuses the file");
        let signature = fs_err::read_dir(&self.folder)?.flatten().map(|entry| entry.path());
        let signature = signature.into_iter().find(|path| path.extension().is_some_and(|end| end == "minisig"));
        let signature = signature.context("the signature of SHA256SUMS")?.display().to_string();
        ensure!(stock(&["-m", "SHA256SUMS", "-x", &signature])?, "minisign refuses SHA256SUMS");
        command::output(self.podman.command(&self.folder, "sha256sum").args(["--quiet", "--check", "SHA256SUMS"]))?;
        self.cosign_accepts_where_it_comes_from(place)?;
        let rebuild = ["--rebuild", "--offline", "--artifacts", "../kept", "--store", "../another-store"];
        let proven = self.sealift(&[&["verify", "../bundle.tar", "--key", "../key.pub"][..], &rebuild].concat())?;
        ensure!(proven.contains("the same bytes, sha256:"), "{proven}");

        let (tar, bad) = (place.join("bundle.tar"), place.join("bad.tar"));
        let mut bytes = fs_err::read(&tar)?;
        fs_err::copy(place.join("bundle.tar.minisig"), place.join("bad.tar.minisig"))?;
        for (name, offset, size) in members(&bytes) {
            bytes[offset + size / 2] ^= 1;
            fs_err::write(&bad, &bytes)?;
            bytes[offset + size / 2] ^= 1;
            ensure!(!stock(&["-m", "../bad.tar"])?, "minisign takes a changed {name}");
            // Without the signature beside it, the one within counts.
            fs_err::rename(&bad, place.join("alone.tar"))?;
            let refused = self.command(&["verify", "../alone.tar", "--key", "../key.pub"]).output()?;
            let said = [refused.stdout, refused.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            ensure!(
                refused.status.code() == Some(4) && (said.contains(&name) || name.ends_with(".minisig")),
                "a changed {name}: {said}"
            );
        }
        Ok(())
    }

    /// Stock cosign checks the signed statement without a network and without a log; a byte changed in it, or in what it is
    /// about, is noticed.
    fn cosign_accepts_where_it_comes_from(&self, place: &Path) -> Result<()> {
        fs_err::create_dir(place.join("cosign"))?;
        fs_err::write(place.join("cosign/profile.toml"), COSIGN)?;
        command::output(sealift(place)?.args(["lock", "./cosign"]))?;
        command::output(sealift(place)?.args(["fetch", "./cosign", "--output", "cosign/kept"]))?;
        let unpack = "for file in cosign/kept/packages/cosign_*.deb; do dpkg-deb --extract \"$file\" cosign/root; done";
        command::output(Command::new("sh").args(["-c", unpack]).current_dir(place))?;
        let cosign = place.join("cosign/root/usr/bin/cosign").display().to_string();
        let names = fs_err::read_dir(&self.folder)?.flatten().map(|entry| entry.file_name());
        let mut names = names.filter_map(|name| name.into_string().ok());
        let statement = names.find(|name| name.ends_with(".sigstore.json")).context("the signed statement")?;
        let check = |sums: &[u8], statement: &[u8]| -> Result<command::Ran> {
            fs_err::write(place.join("sums"), sums)?;
            fs_err::write(place.join("statement"), statement)?;
            let mut command = self.podman.command(place, &cosign);
            let arguments = ["verify-blob-attestation", "--key", "key.pem", "--insecure-ignore-tlog"];
            command.args(arguments).args(["--type", "slsaprovenance1", "--bundle", "statement", "sums"]);
            command::run(command.env("HOME", place))
        };
        let mut files = [fs_err::read(self.folder.join("SHA256SUMS"))?, fs_err::read(self.folder.join(statement))?];
        let accepted = check(&files[0], &files[1])?;
        ensure!(accepted.code == Some(0), "{accepted:?}");
        for changed in 0..files.len() {
            let middle = files[changed].len() / 2;
            files[changed][middle] ^= 1;
            let refused = check(&files[0], &files[1])?;
            ensure!(refused.code != Some(0), "cosign takes a changed file {changed}: {refused:?}");
            files[changed][middle] ^= 1;
        }
        Ok(())
    }

    /// The engine's storage and the bundle are what was signed; when a byte of either changes, that is found.
    fn changes_are_found(&self) -> Result<()> {
        let whole = self.sealift(&["verify", ".", "--engine"])?;
        ensure!(whole.contains("good signature") && whole.contains("also in the engine, no problems"), "{whole}");
        let image = self.podman.podman(&["images", "--quiet", "--no-trunc"])?;
        let image = image.lines().next().context("an image")?;
        let folders =
            ["image", "inspect", image, "--format", "{{.GraphDriver.Data.LowerDir}}:{{.GraphDriver.Data.UpperDir}}"];
        let folders = self.podman.podman(&folders)?;
        let mut page = folders.trim().split(':').map(|folder| PathBuf::from(folder).join("srv/www/index.html"));
        let page = page.rfind(|page| page.is_file()).context("the page in the engine's storage")?;
        fs_err::write(&page, fs_err::read_to_string(&page)?.replace("Pages", "pages"))?;
        let refused = self.command(&["verify", ".", "--engine"]).output()?;
        let said = String::from_utf8_lossy(&refused.stdout).into_owned();
        ensure!(refused.status.code() == Some(4) && said.contains("index.html"), "{said}");

        // Whoever makes the sums right has no key.
        let (profile, sums) = (self.folder.join("profile/profile.toml"), self.folder.join("SHA256SUMS"));
        let (text, table) = (fs_err::read_to_string(&profile)?, fs_err::read_to_string(&sums)?);
        let digest = |text: &str| Digest::of(text.as_bytes()).hex();
        let changed = format!("{text}\n");
        fs_err::write(&profile, &changed)?;
        fs_err::write(&sums, table.replace(&digest(&text), &digest(&changed)))?;
        let refused = self.command(&["up"]).output()?;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        ensure!(refused.status.code() == Some(4) && said.contains("does not match SHA256SUMS"), "{said}");
        fs_err::write(&profile, text)?;
        Ok(fs_err::write(&sums, table)?)
    }

    /// What a task prints that reads `input`.
    fn task(&self, arguments: &[&str], input: &str) -> Result<String> {
        let file = self.folder.join("../input");
        fs_err::write(&file, input)?;
        let mut task = self.command(&["task"]);
        command::output(task.args(arguments).stdin(Stdio::from(fs_err::File::open(file)?.into_file())))
    }

    /// What curl prints on the host.
    fn ask(&self, arguments: &[&str]) -> Result<String> {
        let mut curl = self.podman.command(&self.folder, "curl");
        curl.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "60"]);
        command::output(curl.args(arguments))
    }

    /// The answer to a request for `path` over TLS, with a certificate of the site's authority for the public name.
    fn ask_tls(&self, path: &str) -> Result<String> {
        self.ask_with(&[], path)
    }

    fn ask_with(&self, arguments: &[&str], path: &str) -> Result<String> {
        let (place, url) = (format!("{HOST}:8443:127.0.0.1"), format!("https://{HOST}:8443{path}"));
        let tls = ["--cacert", "site/custom-ca.crt", "--resolve", &place, &url];
        self.ask(&[&tls[..], arguments].concat())
    }

    /// The address of a name in the example's zone, asked over UDP (RFC 1035, section 4).
    fn look_up(&self, name: &str) -> Result<Option<[u8; 4]>> {
        let mut question = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in [name, "plant", "internal", ""] {
            question.push(u8::try_from(label.len())?);
            question.extend(label.as_bytes());
        }
        question.extend([0, 1, 0, 1]);
        let mut answer = [0; 512];
        let length = self.podman.sandbox().in_network(|| {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.set_read_timeout(Some(Duration::from_secs(30)))?;
            socket.send_to(&question, "127.0.0.1:5335")?;
            Ok(socket.recv(&mut answer)?)
        })?;
        let answer = &answer[..length];
        ensure!(answer[..2] == question[..2], "an answer to another question");
        let found = answer[7] > 0;
        Ok(found.then(|| answer[answer.len() - 4..].try_into()).transpose()?)
    }
}

/// The list for readers names all examples.
#[test]
fn every_example_is_described() -> Result<()> {
    let examples = real::repository().join("examples");
    let readme = fs_err::read_to_string(examples.join("README.md"))?;
    for folder in sealift_deployment::files::sorted_dir(&examples)? {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        ensure!(!folder.is_dir() || readme.contains(&format!("[`{name}/`]({name}/profile.toml)")), "{name}");
    }
    Ok(())
}
