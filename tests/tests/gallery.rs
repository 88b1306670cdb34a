//! The examples: each is built, started on podman from its unpacked bundle with the bundle's own program, and asked over its
//! ports. Two run with all tests, the others with `tests/run --gallery`. With the first, a stranger proves where a bundle comes from.

#![allow(clippy::disallowed_methods, reason = "a test")]

#[path = "gallery/proof.rs"]
mod proof;

use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sealift_tests::bundle::{linked_statically, profile_at, sealift};
use sealift_tests::command::{self, report};
use sealift_tests::podman::Podman;
use sealift_tests::real;
use tempfile::TempDir;

/// The public name of the installations.
const HOST: &str = "gallery.test";

/// An example.
struct Example {
    podman: Podman,
    /// The unpacked bundle.
    folder: PathBuf,
    place: TempDir,
}

#[test]
#[ignore = "needs root and podman: tests/run"]
fn a_static_site() -> Result<()> {
    let Some(example) = Example::built("static")? else { return Ok(()) };
    let disc = example.disc()?;
    example.unpack(&disc.join("bundle.tar"))?;
    example.a_stranger_proves_it(&disc)?;
    example.used(|example| {
        ensure!(example.ask(&["http://127.0.0.1:8080/"])?.contains("<h1>Pages</h1>"));
        ensure!(example.ask(&["http://127.0.0.1:8080/style.css"])?.contains("font-family"));
        let absent = example.ask(&["--write-out", "%{http_code}", "http://127.0.0.1:8080/absent"])?;
        ensure!(absent.contains("<h1>Not found</h1>") && absent.ends_with("404"), "{absent}");
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
    let Some(example) = Example::built(name)? else { return Ok(()) };
    example.unpack(&example.place.path().join("bundle.tar"))?;
    example.used(check)
}

impl Example {
    /// Builds and signs an example; `None` where it cannot run.
    fn built(name: &str) -> Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            report("passed over: podman in a network of its own needs root");
            return Ok(None);
        }
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
        Ok(Some(Self { podman: Podman::new()?, folder, place }))
    }

    /// Unpacks the file of the bundle.
    fn unpack(&self, tar: &Path) -> Result<()> {
        let mut command = self.podman.command(&self.folder, "tar");
        command::output(command.arg("-xpf").arg(tar)).map(drop)
    }

    /// Starts the unpacked bundle, runs `check`, and stops it.
    fn used(&self, check: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        let up = self.sealift(&["up", "--host", HOST, "--key", "../key.pub"]);
        let checked = up.and_then(|_| check(self));
        checked.inspect_err(|_| report(&self.podman.story()))?;
        self.sealift(&["down"]).map(drop)
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
