//! From an unpacked bundle to a healthy deployment, with podman only: no compose, no network.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sealift_tests::bundle::{Bundle, program};
use sealift_tests::command::{self, Ran, report};
use sealift_tests::podman::Podman;
use sealift_tests::secrets::Secrets;
use serde_json::Value;

/// The version that the bundle is upgraded to: it has new migrations.
const NEXT: &str = "3.11.0rc3";

struct Host<'a> {
    podman: &'a Podman,
    folder: &'a Path,
}

impl Host<'_> {
    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command: Command = self.podman.command(self.folder, &program()?.display().to_string());
        command.args(arguments);
        Ok(command)
    }

    fn try_sealift(&self, arguments: &[&str]) -> Result<Ran> {
        command::run(&mut self.command(arguments)?)
    }

    fn sealift(&self, arguments: &[&str]) -> Result<Ran> {
        let ran = self.try_sealift(arguments)?;
        ensure!(ran.code == Some(0), "{arguments:?} exited with {:?}\n{}{}", ran.code, ran.stdout, ran.stderr);
        Ok(ran)
    }

    /// A command that must fail in this way, with these words among its errors.
    fn refused(&self, arguments: &[&str], code: i32, words: &[&str]) -> Result<()> {
        let ran = self.try_sealift(arguments)?;
        let all = words.iter().all(|word| ran.stderr.contains(word) || ran.stdout.contains(word));
        ensure!(ran.code == Some(code) && all, "{arguments:?} should exit with {code} and print {words:?}: {ran:?}");
        Ok(())
    }

    fn timed(&self, what: &str, arguments: &[&str]) -> Result<()> {
        let start = Instant::now();
        self.sealift(arguments)?;
        report(&format!("{what}: {:.1} s", start.elapsed().as_secs_f64()));
        Ok(())
    }

    fn all_healthy(&self) -> Result<()> {
        let services: Value = serde_json::from_str(&self.sealift(&["status", "--json"])?.stdout)?;
        let services = services.as_array().map_or(&[][..], Vec::as_slice);
        ensure!(services.len() == 4, "{services:?}");
        for service in services {
            ensure!(service["health"] == "healthy" && service["outdated"].is_null(), "{service}");
        }
        Ok(())
    }

    /// When a service's container was started.
    fn started(&self, service: &str) -> Result<String> {
        self.podman.podman(&["inspect", "--format", "{{.State.StartedAt}}", &format!("parsec-standalone_{service}")])
    }

    fn nothing_is_changed(&self) -> Result<()> {
        ensure!(self.podman.podman(&["images", "--quiet"])?.is_empty(), "images were loaded");
        ensure!(!self.folder.join("site").exists() && !self.folder.join(".env").exists(), "the site was made");
        Ok(())
    }

    /// Changes a byte in the middle of a file while `work` runs.
    fn damaged(&self, path: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        let path = self.folder.join(path);
        let bytes = fs_err::read(&path)?;
        let mut changed = bytes.clone();
        changed[bytes.len() / 2] ^= 1;
        fs_err::write(&path, changed)?;
        let result = work();
        fs_err::write(&path, bytes)?;
        result
    }

    /// The proxy reaches the server. It can take some seconds until it resolves the server's new address.
    fn proxy_reaches_the_server(&self) -> Result<()> {
        let start = Instant::now();
        loop {
            let mut curl = self.podman.command(self.folder, "curl");
            curl.args(["--silent", "--show-error", "--noproxy", "*", "--cacert", "site/custom-ca.crt"]);
            curl.args(["--connect-to", "parsec.test::127.0.0.1:", "--fail", "--output", "/dev/null"]);
            let ran = command::run(curl.arg("https://parsec.test/"))?;
            match ran.code {
                Some(0) => break,
                _ if start.elapsed() < Duration::from_secs(40) => std::thread::sleep(Duration::from_millis(200)),
                _ => anyhow::bail!("the proxy does not find the server: {ran:?}"),
            }
        }
        report(&format!("the proxy reaches the server after another {:.1} s", start.elapsed().as_secs_f64()));
        Ok(())
    }

    fn organizations(&self) -> Result<String> {
        Ok(self.sql("select organization_id from organization")?.trim().to_owned())
    }

    /// The answer of the database.
    fn sql(&self, sql: &str) -> Result<String> {
        self.podman.podman(&[
            "exec",
            "parsec-standalone_parsec-postgres",
            "psql",
            "-U",
            "parsec",
            "-tAc",
            sql,
            "parsec",
        ])
    }
}

#[test]
#[ignore = "needs root and podman: tests/run"]
fn one_command_starts_an_unpacked_bundle() -> Result<()> {
    let bundle = Bundle::build("standalone", |_, _| Ok(Vec::new()))?;
    // The next version, whose lock the profile `preview` has.
    let next = Bundle::build("standalone", |place, profile| {
        let path = profile.join("profile.toml");
        fs_err::write(&path, fs_err::read_to_string(&path)?.replace("3.10.0", NEXT))?;
        let lock = fs_err::read_to_string(place.join("preview/sealift.lock"))?;
        fs_err::write(profile.join("sealift.lock"), lock.replace("profile = \"preview\"", "profile = \"standalone\""))?;
        Ok(vec!["--locked".to_owned()])
    })?;
    let podman = Podman::new()?;
    let host = Host { podman: &podman, folder: &bundle.folder };
    let scenario = || {
        no_compose(&podman)?;
        bad_input(&host, &bundle)?;
        first_start_and_restart(&host)?;
        changes(&host)?;
        unhealthy_services(&host)?;
        upgrade(&host, &Host { podman: &podman, folder: &next.folder })
    };
    scenario().inspect_err(|_| report(&podman.story()))
}

/// Hides all compose programs for the rest of the test.
fn no_compose(podman: &Podman) -> Result<()> {
    const SCRIPT: &str = "
        for program in podman-compose docker-compose; do
            while place=$(command -v $program); do mount --bind /dev/null $place || exit 1; done
        done";
    command::output(podman.command(Path::new("/"), "sh").args(["-c", SCRIPT])).map(drop)
}

/// Each mistake is reported, and nothing is changed.
fn bad_input(host: &Host<'_>, bundle: &Bundle) -> Result<()> {
    let up = ["up", "--host", "parsec.test"];
    host.refused(&["up"], 2, &["--host"])?;
    host.damaged("compose.yaml", || host.refused(&up, 4, &["compose.yaml"]))?;
    host.damaged("profile/profile.toml", || host.refused(&["task", "migrate"], 4, &["profile.toml"])).or_else(
        |_| host.damaged("profile/files/nginx.conf", || host.refused(&["task", "migrate"], 4, &["nginx.conf"])),
    )?;
    let layer = &bundle.manifest.images[0].layers[0];
    let blob = format!("blobs/sha256/{}", layer.digest.hex());
    host.damaged(&blob, || host.refused(&up, 4, &[&blob]))?;
    // A missing blob, as after an interrupted unpacking.
    let (place, removed) = (host.folder.join(&blob), host.folder.join("removed-blob"));
    fs_err::rename(&place, &removed)?;
    host.refused(&up, 4, &[&layer.digest.hex()])?;
    fs_err::rename(&removed, &place)?;
    host.nothing_is_changed()?;

    // Two problems at once: both are reported.
    let small = host.podman.sandbox().folder().join("small");
    fs_err::create_dir(&small)?;
    let mut mount = host.podman.command(Path::new("/"), "mount");
    command::output(mount.args(["-t", "tmpfs", "-o", "size=60M", "none"]).arg(&small))?;
    host.podman.sandbox().in_network(|| {
        let taken = TcpListener::bind("0.0.0.0:443")?;
        let ran = command::run(host.command(&up)?.env("TMPDIR", &small))?;
        let words = ["space: the images need", "TMPDIR=", "port https: 443 is in use by", "--port https=NUMBER"];
        ensure!(ran.code == Some(1) && words.iter().all(|word| ran.stderr.contains(word)), "{ran:?}");
        drop(taken);
        Ok(())
    })?;
    host.nothing_is_changed()?;

    let mut nowhere = host.podman.command(host.folder, "env");
    nowhere.arg(format!("PATH={}", small.display())).arg(program()?).args(up);
    let ran = command::run(&mut nowhere)?;
    ensure!(ran.code == Some(1) && ran.stderr.contains("no container engine works here"), "{ran:?}");
    host.nothing_is_changed()
}

fn first_start_and_restart(host: &Host<'_>) -> Result<()> {
    let start = Instant::now();
    let ran = host.sealift(&["up", "--host", "parsec.test"])?;
    report(&format!("up, from nothing to healthy: {:.1} s", start.elapsed().as_secs_f64()));
    ensure!(ran.stdout.starts_with("https: https://parsec.test/\n"), "{}", ran.stdout);
    ensure!(
        ran.stdout.contains("mail: 127.0.0.1:8025, from this host only\nnext: make an organization"),
        "{}",
        ran.stdout
    );
    host.all_healthy()?;

    let link = host.sealift(&["task", "create-organization", "MyOrg"])?.stdout;
    ensure!(link.starts_with("parsec3://parsec.test/MyOrg?"), "{link}");
    let shown = host.sealift(&["task", "show-organization", "MyOrg"])?.stdout;
    ensure!(shown.starts_with("bootstrapped: no\n") && shown.contains("active users limit: none\n"), "{shown}");
    let ran = host.try_sealift(&["task", "show-organization", "Other"])?;
    ensure!(ran.code == Some(1) && ran.stderr.contains("there is no organization called Other"), "{ran:?}");
    ensure!(host.sealift(&["task"])?.stdout.contains("create-organization ORGANIZATION"));
    ensure!(host.try_sealift(&["task", "create-organization"])?.code == Some(2));
    requests(host)?;
    users(host)?;
    commands(host)?;
    host.sealift(&["task", "ping-mail", "someone@parsec.test"])?;
    let ran = host.sealift(&["task", "migrate"])?;
    ensure!(ran.stdout.contains("(already applied)"), "{}", ran.stdout);
    let names = host.podman.podman(&["ps", "--all", "--format", "{{.Names}}"])?;
    ensure!(names.lines().count() == 4, "a container of a task is left: {names}");
    let commands = ["inspect", "--format", "{{.Config.CreateCommand}}", "parsec-standalone_parsec-server"];
    let commands = host.podman.podman(&commands)?;
    ensure!(commands.contains("--env-file"), "that is not the command: {commands}");
    Secrets::of(&host.folder.join("site"))?.absent("the command that made the server", commands.as_bytes())?;
    let examined = host.sealift(&["doctor"])?.stdout;
    for line in [
        "ok: engine: podman",
        "ok: parsec-server: healthy",
        "ok: port https: 443 is used by this deployment",
        "ok: secrets: ",
    ] {
        ensure!(examined.contains(line), "no line {line}:\n{examined}");
    }

    // Repeated: nothing is restarted, no secret changes.
    let (token, started) =
        (fs_err::read(host.folder.join("site/secrets/admin-token"))?, host.started("parsec-server")?);
    host.timed("up once more", &["up"])?;
    ensure!(started == host.started("parsec-server")?, "a repeated `up` restarted the server");

    ensure!(host.try_sealift(&["down", "--volumes"])?.code == Some(2));
    host.timed("down", &["down"])?;
    let ran = host.try_sealift(&["status"])?;
    ensure!(ran.code == Some(1) && ran.stdout.contains("absent"), "{ran:?}");
    let place = "podman of root, project parsec-standalone has nothing of the deployment in";
    ensure!(ran.stderr.contains(place), "{}", ran.stderr);
    let networks = host.podman.podman(&["network", "ls", "--format", "{{.Name}}"])?;
    ensure!(networks.trim() == "podman", "a network is left: {networks}");
    host.timed("up after down", &["up"])?;
    host.all_healthy()?;
    ensure!(token == fs_err::read(host.folder.join("site/secrets/admin-token"))?, "a secret changed");
    ensure!(host.organizations()? == "MyOrg", "the database has {}", host.organizations()?);
    let logs = host.sealift(&["logs", "parsec-server", "--tail", "2"])?;
    ensure!(!(logs.stdout + &logs.stderr).is_empty());
    let log = host.podman.try_podman(&["logs", "parsec-standalone_parsec-postgres"])?;
    ensure!(!(log.stdout + &log.stderr).contains("was not properly shut down"), "the database was killed");
    Ok(())
}

/// Tasks that are requests to the server: each answer is the server's own.
fn requests(host: &Host<'_>) -> Result<()> {
    let done = |words: &str, wanted: &str| -> Result<()> {
        let words: Vec<&str> = std::iter::once("task").chain(words.split(' ')).collect();
        let printed = host.sealift(&words)?.stdout;
        ensure!(printed == wanted, "{words:?}: {printed}");
        Ok(())
    };
    let refused = |words: &str, code: i32, wanted: &str| -> Result<()> {
        let words: Vec<&str> = std::iter::once("task").chain(words.split(' ')).collect();
        host.refused(&words, code, &[wanted])
    };
    done("limit-users MyOrg 5", "MyOrg may have 5 users\n")?;
    done("allow-externals MyOrg false", "external users in MyOrg: false\n")?;
    done("set-archiving MyOrg 60", "workspaces of MyOrg stay for 60 seconds at least\n")?;
    done("set-terms MyOrg en_US https://example.com/a?b", "users of MyOrg have to accept https://example.com/a?b\n")?;
    done("expire-organization MyOrg", "MyOrg is expired\n")?;
    let lines = [
        "bootstrapped: no",
        "expired: yes",
        "active users limit: 5",
        "externals allowed: no",
        "seconds before a workspace is deleted: 60",
        "terms of service: {\"en_US\":\"https://example.com/a?b\"}",
        "",
    ];
    done("show-organization MyOrg", &lines.join("\n"))?;
    done("reactivate-organization MyOrg", "MyOrg is no longer expired\n")?;
    done("unlimit-users MyOrg", "MyOrg may have any number of users\n")?;
    done("remove-terms MyOrg", "MyOrg has no terms of service\n")?;
    let shown: Value = serde_json::from_str(&host.sealift(&["task", "show-organization", "MyOrg", "--json"])?.stdout)?;
    ensure!(shown["active_users_limit"].is_null() && shown["is_expired"] == false && shown["tos"].is_null(), "{shown}");
    let titles = "Workspaces,Users,Active users,Data (bytes),Metadata (bytes),Admins,Members,Externals";
    done("organization-stats MyOrg --csv", &format!("{titles}\n0,0,0,0,0,0,0,0\n"))?;
    done("server-stats --csv", &format!("Organization,{titles}\nMyOrg,0,0,0,0,0,0,0,0\n"))?;
    done("server-stats-at 2020-01-01T00:00:00Z --csv", &format!("Organization,{titles}\n"))?;
    refused("server-stats-at yesterday", 1, "yesterday is not a time such as 2026-01-31T00:00:00Z")?;
    refused("list-users Other", 1, "there is no organization called Other")?;
    refused(
        "freeze-user MyOrg a@parsec.test",
        1,
        "no organization MyOrg with a user a@parsec.test that is not revoked",
    )?;
    refused("unfreeze-user MyOrg a@parsec.test", 1, "no organization MyOrg with a user")?;
    refused("reset-totp MyOrg a@parsec.test", 1, "no organization MyOrg with a user")?;
    refused("list-users MyOrg", 1, "there is no organization called MyOrg, or nobody has bootstrapped it yet")?;
    refused("limit-users MyOrg many", 2, "USERS is \"many\", which is not a whole number")?;
    refused("limit-users MyOrg", 2, "USERS: Most users")?;
    refused("migrate --csv", 2, "the task migrate is a command")
}

/// Tasks about a user. Clients alone can make one, with their keys: this one is in the database only.
fn users(host: &Host<'_>) -> Result<()> {
    let key = "58".to_owned() + &"66".repeat(31);
    let sql = format!(
        "update organization set root_verify_key = decode('{key}', 'hex'), _bootstrapped_on = now();
         insert into human (organization, email, label) select _id, 'a@parsec.test', 'Ann A' from organization;
         insert into user_ (organization, user_id, user_certificate, created_on, human, redacted_user_certificate,
             initial_profile, current_profile)
             select organization, '00000000-0000-4000-8000-000000000003', 'x', now(), _id, 'x', 'ADMIN', 'ADMIN'
             from human;"
    );
    host.sql(&sql)?;
    let shown = |words: &[&str]| -> Result<String> { Ok(host.sealift(&[&["task"], words].concat())?.stdout) };
    let listed = shown(&["list-users", "MyOrg"])?;
    let titles = "E-MAIL         NAME   FROZEN  ID\n";
    ensure!(listed == format!("{titles}a@parsec.test  Ann A  no      00000000000040008000000000000003\n"), "{listed}");
    let frozen = shown(&["freeze-user", "MyOrg", "a@parsec.test"])?;
    ensure!(frozen.contains("Frozen: yes\n"), "{frozen}");
    let listed = shown(&["list-users", "MyOrg", "--csv"])?;
    let row = "a@parsec.test,Ann A,true,00000000000040008000000000000003\n";
    ensure!(listed == format!("E-mail,Name,Frozen,ID\n{row}"), "{listed}");
    ensure!(shown(&["unfreeze-user", "MyOrg", "a@parsec.test"])?.contains("Frozen: no\n"));
    let reset = shown(&["reset-totp", "MyOrg", "a@parsec.test"])?;
    ensure!(reset.contains("link: parsec3://parsec.test/MyOrg?a=totp_reset&p="), "{reset}");
    let mailed = shown(&["mail-totp-reset", "MyOrg", "a@parsec.test"])?;
    ensure!(mailed.contains("mail: SENT_AS_REQUESTED\n"), "{mailed}");
    ensure!(shown(&["organization-stats", "MyOrg"])?.contains("Admins: 1\n"));
    let access = shown(&["list-access", "MyOrg"])?;
    ensure!(access.contains("Created with profile Admin"), "{access}");
    ensure!(shown(&["list-deletable-workspaces", "MyOrg"])?.contains("No realms eligible"));
    host.refused(&["task", "list-sequester-services", "MyOrg"], 1, &["MyOrg has no sequester authority"])?;
    host.refused(&["task", "add-sequester-service", "MyOrg", "AAAA"], 1, &["Sequester disabled"])
}

/// Tasks that are commands of the server, and the files of the operator.
fn commands(host: &Host<'_>) -> Result<()> {
    const WORKSPACE: &str = "00000000000040008000000000000001";
    let dry = host.sealift(&["task", "check-migrations"])?.stdout;
    ensure!(dry.contains("(already applied)"), "{dry}");
    host.refused(&["task", "list-deletable-workspaces", "Other"], 1, &["Other"])?;
    host.refused(&["task", "export-workspace", "MyOrg", WORKSPACE], 1, &["task export-workspace failed"])?;
    host.refused(&["task", "delete-workspace", "MyOrg", "x"], 1, &["x is not the ID of a workspace"])?;
    host.refused(&["task", "delete-workspace", "MyOrg", WORKSPACE], 1, &["nothing was deleted"])?;
    // As after a deletion that was interrupted between the metadata and the blocks.
    let insert = "insert into block_data (organization_id, block_id, data) values ('MyOrg', '00000000-0000-4000-8000-000000000002', 'x')";
    host.sql(insert)?;
    let write = format!(
        "echo MyOrg/00000000-0000-4000-8000-000000000002 >/var/lib/parsec/exports/blocks-MyOrg-{WORKSPACE}.txt"
    );
    host.podman.podman(&["exec", "parsec-standalone_parsec-server", "sh", "-c", &write])?;
    ensure!(host.sealift(&["task", "list-exports"])?.stdout.contains("blocks-MyOrg-"));
    let deleted = host.sealift(&["task", "delete-workspace", "MyOrg", WORKSPACE])?;
    ensure!(deleted.stdout.contains("1 blocks are removed"), "{deleted:?}");
    ensure!(host.sql("select count(*) from block_data")?.trim() == "0", "the block is still there");

    let folder = host.folder.join("site/files/smart-card-authorities");
    fs_err::write(folder.join("note.txt"), "")?;
    host.refused(&["up"], 2, &["files/smart-card-authorities/note.txt: a file of this name has no use here"])?;
    fs_err::remove_file(folder.join("note.txt"))?;
    fs_err::copy(host.folder.join("site/custom-ca.crt"), folder.join("a.pem"))?;
    let templates = host.folder.join("site/files/mail-templates");
    let copy = "\"$0\" task copy-templates | tar -xf - -C site/files/mail-templates";
    let mut shell = host.podman.command(host.folder, "sh");
    command::output(shell.args(["-c", copy]).arg(program()?))?;
    let base = templates.join("base.html");
    fs_err::write(&base, fs_err::read_to_string(&base)? + "<!-- changed -->\n")?;
    host.timed("up with files of the operator", &["up"])?;
    host.all_healthy()?;
    let page = "import ssl,urllib.request as u; print(u.urlopen('https://127.0.0.1:6777/', context=ssl._create_unverified_context()).read().decode())";
    let page = host.podman.podman(&["exec", "parsec-standalone_parsec-server", "python", "-c", page])?;
    ensure!(page.contains("<!-- changed -->"), "the page is not from the operator's template: {page}");
    let log = host.sealift(&["logs", "parsec-server"])?;
    ensure!((log.stdout + &log.stderr).contains("Loading trust anchors from /etc/parsec/authorities"));
    let examined = host.sealift(&["doctor"])?.stdout;
    ensure!(examined.contains("ok: site/files/smart-card-authorities: 1 file\n"), "{examined}");
    fs_err::remove_file(folder.join("a.pem"))?;
    let status = host.sealift(&["status"])?.stdout;
    ensure!(status.contains("its settings changed"), "{status}");
    host.timed("up without them", &["up"])
}

/// Changes take effect, and only the services that they concern are restarted.
fn changes(host: &Host<'_>) -> Result<()> {
    let of =
        |services: [&str; 4]| services.map(|service| host.started(service)).into_iter().collect::<Result<Vec<_>>>();
    let services = ["parsec-postgres", "parsec-smtp", "parsec-proxy", "parsec-server"];
    let before = of(services)?;
    host.timed("up with another port", &["up", "--port", "mail=18025"])?;
    let after = of(services)?;
    ensure!(before[1] != after[1], "the port did not change");
    // The server's settings have the URL of the mail page. The proxy depends on the server, whose address changes.
    ensure!(before[0] == after[0], "the database does not use the port, and depends on nothing");
    ensure!(before[2] != after[2], "the proxy may know the server by its old address");

    let settings = host.folder.join("site/env/parsec.env");
    fs_err::write(&settings, fs_err::read_to_string(&settings)? + "EDITED=yes\n")?;
    let status = host.sealift(&["status"])?.stdout;
    ensure!(status.contains("its settings changed"), "{status}");
    host.timed("up with edited settings", &["up"])?;
    let (before, after) = (after, of(services)?);
    ensure!(before[3] != after[3] && before[..2] == after[..2], "only the server has these settings");
    ensure!(before[2] != after[2], "the proxy may know the server by its old address");
    let edited = ["exec", "parsec-standalone_parsec-server", "sh", "-c", "echo $EDITED"];
    ensure!(host.podman.podman(&edited)?.trim() == "yes", "the server does not have the edited settings");
    host.proxy_reaches_the_server()?;

    let secret = fs_err::read(host.folder.join("site/secrets/postgres-password"))?;
    let renewed = host.sealift(&["site", "renew"])?.stdout;
    ensure!(
        renewed.contains("kept tls/parsec-proxy.crt: valid for 365 days") || renewed.contains("valid for 364 days"),
        "{renewed}"
    );
    let renewed = host.sealift(&["site", "renew", "--force"])?.stdout;
    ensure!(renewed.contains("renewed tls/parsec-proxy.crt") && renewed.contains("kept custom-ca.crt"), "{renewed}");
    ensure!(renewed.ends_with("next: ./sealift up, or restart by hand: parsec-proxy, parsec-server\n"), "{renewed}");
    host.timed("up with renewed certificates", &["up"])?;
    let (before, after) = (after, of(services)?);
    ensure!(before[..2] == after[..2] && before[2] != after[2] && before[3] != after[3], "{before:?} {after:?}");
    ensure!(secret == fs_err::read(host.folder.join("site/secrets/postgres-password"))?);
    host.proxy_reaches_the_server()?;
    host.all_healthy()
}

fn unhealthy_services(host: &Host<'_>) -> Result<()> {
    host.podman.podman(&["kill", "parsec-standalone_parsec-server"])?;
    fs_err::set_permissions(
        host.folder.join("site/secrets/admin-token"),
        std::os::unix::fs::PermissionsExt::from_mode(0o644),
    )?;
    let ran = host.try_sealift(&["doctor", "--json"])?;
    ensure!(ran.code == Some(1), "{ran:?}");
    let found: Value = serde_json::from_str(&ran.stdout)?;
    let wrong: Vec<&Value> =
        found.as_array().context("an array")?.iter().filter(|finding| finding["level"] == "error").collect();
    ensure!(wrong.len() == 2, "{wrong:?}");
    let server = wrong.iter().find(|finding| finding["topic"] == "parsec-server").context("the server")?;
    ensure!(server["lines"].as_array().is_some_and(|lines| !lines.is_empty()), "{server}");
    ensure!(wrong.iter().any(|finding| finding["message"] == "has mode 0644, should have 0600"), "{wrong:?}");
    host.timed("up after the server was killed", &["up"])?;
    host.sealift(&["doctor"])?;

    // Data of another version of PostgreSQL.
    host.sealift(&["down"])?;
    let inspect = ["volume", "inspect", "--format", "{{.Mountpoint}}", "parsec-standalone_parsec-postgres-data"];
    let volume = host.podman.podman(&inspect)?;
    let move_to = |from: &str, to: &str| {
        let script = format!("cd {} && mv {from} {to} && echo {to} >{to}/data/PG_VERSION", volume.trim());
        command::output(host.podman.command(Path::new("/"), "sh").args(["-c", &script]))
    };
    move_to("18", "17")?;
    host.refused(
        &["up"],
        1,
        &["its data has version 17 (17/data/PG_VERSION), but this bundle needs version 18", "pg_dump"],
    )?;
    ensure!(host.podman.podman(&["ps", "--all", "--quiet"])?.is_empty(), "something was started");
    move_to("17", "18").map(drop)
}

/// As in the README: unpack elsewhere, copy `.env` and `site/`, `up`.
fn upgrade(host: &Host<'_>, next: &Host<'_>) -> Result<()> {
    host.sealift(&["up"])?;
    let mut copy = Command::new("cp");
    command::output(copy.arg("-a").args([host.folder.join(".env"), host.folder.join("site")]).arg(next.folder))?;
    let status = next.sealift(&["status"])?.stdout;
    ensure!(status.contains("outdated: its image changed"), "{status}");
    let ran = next.sealift(&["up"])?;
    let place = |text: &str| ran.stderr.find(text).with_context(|| format!("no {text}: {}", ran.stderr));
    let (old, task) = (place("Recreating parsec-server: its image changed")?, place("Task migrate")?);
    ensure!(old < task, "migrations ran beside the old server: {}", ran.stderr);
    next.all_healthy()?;
    ensure!(next.organizations()? == "MyOrg");
    ensure!(next.sealift(&["task", "show-organization", "MyOrg"])?.stdout.starts_with("bootstrapped: yes\n"));
    let version = ["exec", "parsec-standalone_parsec-server", "python", "-m", "parsec", "--version"];
    ensure!(next.podman.podman(&version)?.contains("3.11.0-rc.3"));
    let migrations = next.sealift(&["task", "migrate"])?.stdout;
    let applied =
        |name: &str| migrations.lines().any(|line| line.starts_with(name) && line.contains("(already applied)"));
    ensure!(applied("0026") && applied("0039"), "{migrations}");
    next.sealift(&["down", "--volumes", "--yes"])?;
    ensure!(next.podman.podman(&["volume", "ls", "--quiet"])?.is_empty(), "a volume is left");
    Ok(())
}
