//! No secret in a layer: each kind is planted, and the build fails.

#![allow(clippy::unwrap_used, reason = "a test")]

use sealift_tests::archive::Archive;
use sealift_tests::lab::{Ended, Lab};
use sealift_tests::packed::{Member, Package};

/// A block of a key that is none.
fn key(label: &str) -> String {
    let line = "MC4CAQAwBQYDK2VwBCIEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    format!("-----BEGIN {label}-----\n{line}\n-----END {label}-----\n")
}

#[track_caller]
fn succeeds(lab: &Lab, arguments: &[&str]) -> Ended {
    let ended = lab.run(arguments);
    assert_eq!(ended.code, Some(0), "{arguments:?}: {}{}", ended.stdout, ended.stderr);
    ended
}

const BUILD: [&str; 4] = ["build", "tiny", "--output", "out.tar"];

#[test]
fn private_keys_of_packages_and_of_the_profile_end_the_build() {
    let mut archive = Archive::default();
    let files = [
        Member::file("./usr/bin/clock", "clock").mode(0o755),
        Member::file("./usr/lib/clock/tests/server.pem", &key("RSA PRIVATE KEY")),
    ];
    *archive.package("clock") = Package::new("clock", "1:4.2-1", "", &files);
    let lab = Lab::with(&archive);
    lab.edit(
        "tiny/profile.toml",
        "entrypoint = [\"/usr/bin/clock\"]",
        "entrypoint = [\"/usr/bin/clock\"]\nallow-missing = { \"/usr/bin/clock\" = \"a test\" }",
    );
    lab.lock();
    let greet = fs_err::read_to_string(lab.path("tiny/files/greet")).unwrap();
    fs_err::write(lab.path("tiny/files/greet"), format!("{greet}# {}", key("PRIVATE KEY"))).unwrap();
    let ended = lab.run(&BUILD);
    assert_eq!(ended.code, Some(1));
    insta::assert_snapshot!("private-keys", ended.stderr);
    assert!(!lab.path("out.tar").exists());
    // Layers that the store has are known to have keys.
    assert_eq!(lab.run(&BUILD).stderr, ended.stderr);

    fs_err::write(lab.path("tiny/files/greet"), greet).unwrap();
    let allowed = "allow-secrets = { \"/usr/lib/clock/tests/*.pem\" = \"keys of its tests\", \"/srv/*\" = \"none\" }";
    lab.edit("tiny/profile.toml", "title = \"A clock\"", &format!("title = \"A clock\"\n{allowed}"));
    let ended = succeeds(&lab, &BUILD);
    let told: Vec<&str> = ended.stderr.lines().filter(|line| line.contains("allow-secrets")).collect();
    assert_eq!(told, ["warning: image clock: allow-secrets: no private key is at `/srv/*`"]);
}

/// What belongs to one installation is in its site, beside the images.
#[test]
fn secrets_of_the_site_end_the_build() {
    let lab = Lab::locked();
    lab.edit(
        "tiny/profile.toml",
        "[site.templates]",
        "[site.settings.password]\ntitle = \"Of the relay\"\nkind = \"text\"\n\n[site.templates]",
    );
    lab.edit("tiny/files/token.env", "TOKEN", "PASSWORD={{ settings.password }}\nTOKEN");
    let site = ["site", "new", "site", "--profile", "tiny", "--host", "greeter.example"];
    succeeds(&lab, &site);
    let settings = fs_err::read_to_string(lab.path("site/settings.toml")).unwrap();
    fs_err::write(lab.path("site/settings.toml"), format!("password = \"correct horse\"\n{settings}")).unwrap();
    succeeds(&lab, &site);
    let build = [&BUILD[..], &["--site", "site"]].concat();
    succeeds(&lab, &build);
    let token = fs_err::read_to_string(lab.path("site/secrets/token")).unwrap();
    let tls = fs_err::read_to_string(lab.path("site/tls/greeter.key")).unwrap();
    let line = tls.lines().nth(2).unwrap();
    let clock = fs_err::read_to_string(lab.path("tiny/files/clock.conf")).unwrap();
    let mut text = String::new();
    for planted in [&token, line, "correct horse", &tls] {
        fs_err::write(lab.path("tiny/files/clock.conf"), format!("{clock}\n# {planted}\n")).unwrap();
        let ended = lab.run(&build);
        assert_eq!(ended.code, Some(1), "{planted}");
        assert!(!ended.stderr.contains(planted), "the secret itself is not printed: {}", ended.stderr);
        text.push_str(&ended.stderr);
    }
    insta::assert_snapshot!("of-the-site", text);
}
