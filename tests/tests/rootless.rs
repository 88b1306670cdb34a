//! `up` as an ordinary user, whose podman maps all user and group IDs.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, ensure};
use sealift_tests::bundle::{Bundle, program};
use sealift_tests::command::{self, Ran, report};
use sealift_tests::podman::{Podman, USER};

#[test]
#[ignore = "needs root and podman: tests/run"]
fn an_ordinary_user_starts_an_unpacked_bundle() -> Result<()> {
    let bundle = Bundle::build("standalone", |_, profile| with_shared_secret(profile).map(|()| Vec::new()))?;
    let podman = Podman::rootless()?;
    let scenario = || {
        // Owned by the user, in folders that the user can enter.
        for above in bundle.folder.ancestors().take(2) {
            fs_err::set_permissions(above, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        }
        command::output(Command::new("chown").args(["-R", &format!("{USER}:{USER}")]).arg(&bundle.folder))?;
        // The folder that cargo builds in may not be readable for all.
        let own = podman.sandbox().folder().join("sealift");
        fs_err::copy(program()?, &own)?;
        let try_sealift = |arguments: &[&str]| -> Result<Ran> {
            let program = own.to_string_lossy().into_owned();
            command::run(podman.command(&bundle.folder, &program).args(arguments))
        };
        let sealift = |arguments: &[&str]| -> Result<String> {
            let ran = try_sealift(arguments)?;
            ensure!(ran.code == Some(0), "{arguments:?} exited with {:?}\n{}{}", ran.code, ran.stdout, ran.stderr);
            Ok(ran.stdout)
        };

        let ran = try_sealift(&["up", "--host", "parsec.test"])?;
        let words = [
            "port https: ordinary users cannot use port 443",
            "port http: ordinary users cannot",
            "--port https=NUMBER",
        ];
        ensure!(ran.code == Some(1) && words.iter().all(|word| ran.stderr.contains(word)), "{ran:?}");
        ensure!(!bundle.folder.join("site").exists());

        let up = ["up", "--host", "parsec.test", "--port", "https=8443", "--port", "http=8080"];
        let start = Instant::now();
        let printed = sealift(&up)?;
        report(&format!("rootless up, from nothing to healthy: {:.1} s", start.elapsed().as_secs_f64()));
        ensure!(printed.starts_with("https: https://parsec.test:8443/\n"), "{printed}");
        // Group 1234 of the containers, as an ID of the host.
        let key = fs_err::metadata(bundle.folder.join("site/tls/parsec-server.key"))?;
        ensure!((key.uid(), key.gid(), key.mode() & 0o777) == (USER, 300_000 + 1233, 0o640), "{key:?}");
        // Each service reads the copy of its own group.
        let shared = fs_err::read_to_string(bundle.folder.join("site/secrets/shared"))?;
        for service in ["parsec-server", "parsec-proxy"] {
            let read =
                podman.podman(&["exec", &format!("parsec-standalone_{service}"), "cat", "/run/secrets/shared"])?;
            ensure!(read == shared && shared.len() > 30, "{service} reads {read:?}");
        }
        let link = sealift(&["task", "create-organization", "MyOrg"])?;
        ensure!(link.starts_with("parsec3://parsec.test:8443/MyOrg?"), "{link}");
        sealift(&["doctor"])?;
        let started = ["inspect", "--format", "{{.State.StartedAt}}", "parsec-standalone_parsec-server"];
        let before = podman.podman(&started)?;
        sealift(&["up"])?;
        ensure!(before == podman.podman(&started)?, "a repeated `up` restarted the server");
        sealift(&["down", "--volumes", "--yes"])?;
        Ok(())
    };
    scenario().inspect_err(|_| report(&podman.story()))
}

/// Adds a secret that the server and the proxy read, whose programs have different groups.
fn with_shared_secret(profile: &Path) -> Result<()> {
    let file = profile.join("profile.toml");
    let mut text = fs_err::read_to_string(&file)?;
    for (before, after) in [
        ("    \"parsec-server.key\",\n", "    \"shared\",\n    \"parsec-server.key\",\n"),
        ("secrets = [\"parsec-proxy.key\"", "secrets = [\"shared\", \"parsec-proxy.key\""),
    ] {
        ensure!(text.contains(before), "the profile has no {before}");
        text = text.replacen(before, after, 1);
    }
    text += "\n[site.secrets.shared]\nbytes = 16\nencoding = \"hex\"\nmode = \"0640\"\ngroup = [1234, 1236]\n";
    Ok(fs_err::write(file, text)?)
}
