//! Archives as an ingredient: locked by digest, from the profile, a folder or a server, unpacked, described, kept.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use sealift_deployment::files::sorted_dir;
use sealift_tests::lab::{Ended, Lab};
use sealift_tests::mirror::Reply;
use sealift_tests::packed::{Member, static_program, tar, zip};

const BUILD: [&str; 5] = ["build", "tiny", "--output", "out.tar", "--locked"];

/// A static site and a program, as upstream projects pack them.
fn site() -> Vec<Member> {
    vec![
        Member::directory("site-1.2"),
        Member::file("site-1.2/README", "not for the image\n"),
        Member::file("site-1.2/bin/serve", "").content(static_program()).mode(0o755).owner(1000),
        Member::file("site-1.2/www/index.html", "<p>hello</p>\n").mode(0o600),
        Member::symlink("site-1.2/www/home.html", "index.html"),
    ]
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn site_gz() -> Vec<u8> {
    gzip(&tar(&site()))
}

const TABLE: &str = "
[images.clock.archives.site]
version = \"1.2\"
file = \"dist/site-1.2.tar.gz\"
path = \"/srv/site\"
strip = 1
drop = [\"/README\"]
owner = \"1000:1000\"
";

/// A lab whose image `clock` has the archive.
fn lab(table: &str) -> Lab {
    let lab = Lab::new();
    lab.edit("tiny/profile.toml", "\n[services.greeter]\n", &format!("{table}\n[services.greeter]\n"));
    lab
}

/// Puts the archive into the profile's folder.
fn put(lab: &Lab, path: &str, bytes: &[u8]) {
    let path = lab.path("tiny").join(path);
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(path, bytes).unwrap();
}

#[track_caller]
fn succeeds(lab: &Lab, arguments: &[&str]) -> Ended {
    let ended = lab.run(arguments);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    ended
}

#[track_caller]
fn fails(lab: &Lab, arguments: &[&str], code: i32, messages: &[&str]) {
    let ended = lab.run(arguments);
    assert_eq!(ended.code, Some(code), "{}", ended.stderr);
    for message in messages {
        assert!(ended.stderr.contains(message), "{message}: {}", ended.stderr);
    }
}

/// Builds `out.tar` and returns its digest.
#[track_caller]
fn digest(lab: &Lab, arguments: &[&str]) -> String {
    let ended = succeeds(lab, arguments);
    ended.stderr.rsplit("sha256:").next().unwrap().trim().to_owned()
}

/// The paths of the image `clock` in `out.tar` that begin with `start`, as `tar -tv` lists them.
fn listed(lab: &Lab, start: &str) -> String {
    succeeds(lab, &["image", "tiny", "clock", "--output", "clock"]);
    let mut lines = Vec::new();
    for blob in sorted_dir(&lab.path("clock/blobs/sha256")).unwrap() {
        let mut tar = Command::new("tar");
        let output = tar.args(["-tvz", "--numeric-owner", "-f"]).arg(blob).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // Mode, owner and path; the size and the time are between them.
        let shown = text.lines().filter(|line| line.contains(start)).map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            [&words[..2], &words[5..]].concat().join(" ")
        });
        lines.extend(shown);
    }
    fs_err::remove_dir_all(lab.path("clock")).unwrap();
    lines.sort();
    lines.join("\n")
}

#[test]
fn an_archive_of_the_profile_is_locked_unpacked_and_described() {
    let lab = lab(TABLE);
    fails(
        &lab,
        &["lock", "tiny"],
        2,
        &["profile.toml:", "`dist/site-1.2.tar.gz` is not in the profile's folder", "--archives"],
    );
    put(&lab, "dist/site-1.2.tar.gz", &site_gz());
    lab.lock();
    let lock = fs_err::read_to_string(lab.path("tiny/sealift.lock")).unwrap();
    assert!(lock.contains("schema = 3\n") && lock.contains("archives = [\"dist/site-1.2.tar.gz\"]"), "{lock}");
    assert!(
        lock.contains("archive-file]]\nname = \"site\"\nversion = \"1.2\"\nfile = \"dist/site-1.2.tar.gz\"\n"),
        "{lock}"
    );

    let first = digest(&lab, &BUILD);
    succeeds(&lab, &["store", "clean"]);
    assert_eq!(digest(&lab, &BUILD), first, "built again from an empty store");
    succeeds(&lab, &["verify", "out.tar"]);
    insta::assert_snapshot!(listed(&lab, "srv"), @r"
    -rw-r--r-- 1000/1000 srv/site/www/index.html
    -rwxr-xr-x 1000/1000 srv/site/bin/serve
    drwxr-xr-x 0/0 srv/
    drwxr-xr-x 1000/1000 srv/site/
    drwxr-xr-x 1000/1000 srv/site/bin/
    drwxr-xr-x 1000/1000 srv/site/www/
    lrwxrwxrwx 1000/1000 srv/site/www/home.html -> index.html
    ");

    let shown = succeeds(&lab, &["inspect", "out.tar", "--packages"]).stdout;
    assert!(
        shown.contains(", 1 archive\n") && shown.contains("  archive site 1.2 (dist/site-1.2.tar.gz)\n"),
        "{shown}"
    );
    let bill = succeeds(&lab, &["sbom", "out.tar"]).stdout;
    let sha256 = sealift_layers::digest::Digest::of(&site_gz());
    assert!(bill.contains(&format!("pkg:generic/site@1.2?checksum={sha256}")), "{bill}");
    assert!(bill.contains("archive:dist/site-1.2.tar.gz"), "{bill}");
    succeeds(&lab, &["store", "check"]);

    // Another file of the same name is not what was locked.
    put(&lab, "dist/site-1.2.tar.gz", &gzip(&tar(&site()[..4])));
    succeeds(&lab, &["store", "clean"]);
    fails(&lab, &BUILD, 4, &["dist/site-1.2.tar.gz has changed since the lock was made", "sealift lock"]);
}

#[test]
fn archives_come_from_folders_and_servers_that_the_machine_names() {
    let lab = lab(TABLE);
    fs_err::create_dir_all(lab.path("files")).unwrap();
    fs_err::write(lab.path("files/site-1.2.tar.gz"), site_gz()).unwrap();
    succeeds(&lab, &["lock", "tiny", "--archives", "files"]);
    let first = digest(&lab, &[&BUILD[..], &["--archives", "files"]].concat());

    // A server that the machine's configuration names; the first one does not have it.
    fs_err::rename(lab.path("files"), lab.path("elsewhere")).unwrap();
    let config = lab.path("home/.config/sealift");
    fs_err::create_dir_all(&config).unwrap();
    let url = lab.mirror.url();
    fs_err::write(config.join("config.toml"), format!("archive-mirror = ['{url}/none', '{url}/files']\n")).unwrap();
    lab.mirror.set("files/dist/site-1.2.tar.gz", Reply::Whole(site_gz()));
    succeeds(&lab, &["store", "clean"]);
    assert_eq!(digest(&lab, &BUILD), first);
    let lock = fs_err::read_to_string(lab.path("tiny/sealift.lock")).unwrap();
    succeeds(&lab, &["lock", "tiny"]);
    assert_eq!(fs_err::read_to_string(lab.path("tiny/sealift.lock")).unwrap(), lock, "it names no host");
    let shown = succeeds(&lab, &["mirrors"]).stdout;
    assert!(shown.contains("Archives\n  http://mirror.example/none"), "{shown}");

    // Another content than the locked one.
    let mut other = site_gz();
    *other.last_mut().unwrap() ^= 1;
    lab.mirror.set("files/dist/site-1.2.tar.gz", Reply::Whole(other));
    succeeds(&lab, &["store", "clean"]);
    fails(&lab, &BUILD, 4, &["site-1.2.tar.gz"]);
    lab.mirror.remove("files/dist/site-1.2.tar.gz");
    fails(&lab, &BUILD[..4], 3, &["site-1.2.tar.gz", "--archives"]);
    // It stays in the lock when the rest is locked again.
    succeeds(&lab, &["lock", "tiny"]);
    assert_eq!(fs_err::read_to_string(lab.path("tiny/sealift.lock")).unwrap(), lock);

    // By its digest from any folder, also without a network; and the store has it afterwards.
    fs_err::rename(lab.path("elsewhere/site-1.2.tar.gz"), lab.path("elsewhere/x")).unwrap();
    assert_eq!(digest(&lab, &[&BUILD[..], &["--artifacts", "elsewhere"]].concat()), first);
    assert_eq!(digest(&lab, &[&BUILD[..], &["--offline"]].concat()), first);

    // As files, for the time when no server has them.
    succeeds(&lab, &["fetch", "tiny", "--output", "kept"]);
    assert_eq!(fs_err::read(lab.path("kept/archives/dist/site-1.2.tar.gz")).unwrap(), site_gz());
    succeeds(&lab, &["store", "clean"]);
    assert_eq!(digest(&lab, &[&BUILD[..], &["--offline", "--artifacts", "kept"]].concat()), first);
}

#[test]
fn a_stated_digest_is_compared_and_patterns_that_match_nothing_are_warnings() {
    let right = sealift_layers::digest::Digest::of(&site_gz()).hex();
    let table = format!("{TABLE}sha256 = \"{right}\"\nkeep = [\"/READM\"]\nprograms = [\"www/*.cgi\"]\n");
    let lab = lab(&table);
    put(&lab, "dist/site-1.2.tar.gz", &site_gz());
    lab.lock();
    for _ in 0..2 {
        // The second time, the layer comes from the store.
        let ended = succeeds(&lab, &BUILD);
        for (key, pattern) in [("keep", "/READM"), ("programs", "www/*.cgi")] {
            let warning =
                format!("warning: the pattern `{pattern}` in `{key}` of the archive site matches no path of it");
            assert!(ended.stderr.contains(&warning), "{}", ended.stderr);
        }
    }
    lab.edit("tiny/profile.toml", &right, &"0".repeat(64));
    fails(&lab, &BUILD, 2, &["older than the profile"]);
    let messages =
        ["is not the one that the profile states", "profile.toml:", &format!("the file has the SHA-256 {right}")];
    fails(&lab, &["lock", "tiny"], 4, &messages);
}

#[test]
fn a_zip_and_a_single_file_are_put_where_the_profile_says() {
    let table = "
[images.clock.archives.app]
version = \"3\"
file = \"app.zip\"
path = \"/opt/app\"
programs = [\"bin/*\"]
mode = \"0640\"

[images.clock.archives.tool]
version = \"1.0+2\"
file = \"tool-amd64\"
path = \"/usr/local/bin/tool\"
unpack = false
mode = \"0755\"
";
    let lab = lab(table);
    put(&lab, "app.zip", &zip(&[("bin/run", "#!/usr/bin/sh\n"), ("web/app.wasm", "\0asm")]));
    put(&lab, "tool-amd64", &static_program());
    lab.lock();
    let first = digest(&lab, &BUILD);
    insta::assert_snapshot!(listed(&lab, "/app") + "\n" + &listed(&lab, "usr/local/bin/tool"), @r"
    -rw-r----- 0/0 opt/app/web/app.wasm
    -rwxr-x--- 0/0 opt/app/bin/run
    drwxr-x--- 0/0 opt/app/
    drwxr-x--- 0/0 opt/app/bin/
    drwxr-x--- 0/0 opt/app/web/
    -rwxr-xr-x 0/0 usr/local/bin/tool
    ");
    // With other modes, it is another image.
    lab.edit("tiny/profile.toml", "[\"bin/*\"]\nmode = \"0640\"", "[\"bin/*\"]\nmode = \"0644\"");
    assert_ne!(digest(&lab, &BUILD), first);
}

/// Programs out of archives are looked at like those of packages.
#[test]
fn a_program_in_an_archive_that_cannot_run_stops_the_build() {
    let table = TABLE.replace("owner = \"1000:1000\"", "");
    let lab = lab(&table);
    let mut members = site();
    members[2] = Member::file("site-1.2/bin/serve", "#!/usr/bin/missing\n").mode(0o755);
    put(&lab, "dist/site-1.2.tar.gz", &gzip(&tar(&members)));
    lab.edit("tiny/profile.toml", "entrypoint = [\"/usr/bin/clock\"]", "entrypoint = [\"/srv/site/bin/serve\"]");
    lab.lock();
    fails(&lab, &BUILD, 1, &["/usr/bin/missing", "/srv/site/bin/serve"]);
    put(&lab, "dist/site-1.2.tar.gz", &site_gz());
    lab.lock();
    succeeds(&lab, &BUILD);
}

#[test]
fn a_path_that_a_package_has_too_is_a_conflict() {
    let lab = lab(&TABLE.replace("/srv/site", "/usr"));
    let members = [Member::file("x/bin/clock", "other\n").mode(0o755), Member::file("x/README", "")];
    put(&lab, "dist/site-1.2.tar.gz", &gzip(&tar(&members)));
    lab.lock();
    fails(
        &lab,
        &BUILD,
        1,
        &["`/usr/bin/clock` has different contents in package clock 1:4.2-1 and in the archive site 1.2"],
    );
    assert!(Path::new(&lab.path("tiny/sealift.lock")).exists());
}

/// As the web client of Parsec, which no registry has: builds have it only if they are given it.
#[test]
fn an_optional_archive_is_in_builds_that_are_given_it() {
    let table = "
[images.clock.archives.web-app]
optional = true
version = \"1.2\"
file = \"web-1.2.zip\"
path = \"/srv/web\"
";
    let lab = lab(table);
    lab.edit("tiny/files/clock.conf", "listen {{ host }} {{ ports.https }}\n", "listen {{ host }} {{ ports.https }}\n{% if archives.web_app is defined %}web = {{ archives.web_app }}\n{% endif %}");
    lab.lock();
    let lock = fs_err::read_to_string(lab.path("tiny/sealift.lock")).unwrap();
    assert!(!lock.contains("web-1.2.zip"), "{lock}");
    let without = digest(&lab, &BUILD);
    let conf = |lab: &Lab| {
        let unpacked = lab.path("unpacked");
        let _ = fs_err::remove_dir_all(&unpacked);
        fs_err::create_dir(&unpacked).unwrap();
        let tar = Command::new("tar").arg("-xf").arg(lab.path("out.tar")).arg("-C").arg(&unpacked).status().unwrap();
        assert!(tar.success());
        // As on a host.
        succeeds(lab, &["site", "new", "unpacked/site", "--host", "x.example"]);
        fs_err::read_to_string(unpacked.join("site/clock.conf")).unwrap()
    };
    assert!(!conf(&lab).contains("web ="));

    fs_err::write(lab.path("web-1.2.zip"), zip(&[("index.html", "<p>app</p>\n"), ("assets/app.wasm", "\0asm")]))
        .unwrap();
    let with = [&BUILD[..], &["--with", "web-app=web-1.2.zip"]].concat();
    let first = digest(&lab, &with);
    assert_ne!(first, without);
    assert_eq!(fs_err::read_to_string(lab.path("tiny/sealift.lock")).unwrap(), lock, "the lock is not changed");
    let shown = succeeds(&lab, &["inspect", "out.tar", "--packages"]).stdout;
    assert!(shown.contains("archive web-app 1.2 (web-1.2.zip)"), "{shown}");
    assert!(conf(&lab).contains("web = 1.2\n"));
    let bundled = fs_err::read_to_string(lab.path("unpacked/profile/sealift.lock")).unwrap();
    assert!(bundled.contains("file = \"web-1.2.zip\""), "{bundled}");
    // The bundle's own profile has it, and its lock fits.
    let again = ["image", "unpacked/profile", "clock", "--artifacts", "web-1.2.zip", "--output", "again"];
    succeeds(&lab, &again);
    succeeds(&lab, &["store", "clean"]);
    assert_eq!(digest(&lab, &with), first, "the same bytes again");
    assert_eq!(digest(&lab, &BUILD), without, "and without it");

    fs_err::rename(lab.path("web-1.2.zip"), lab.path("web-1.3.zip")).unwrap();
    fn named(name: &str) -> Vec<&str> {
        [&BUILD[..], &["--with", name]].concat()
    }
    fails(&lab, &named("web-app=web-1.3.zip"), 2, &["is not the file of web-app 1.2, which is called web-1.2.zip"]);
    fails(&lab, &named("app=web-1.3.zip"), 2, &["has no optional archive app", "it has: web-app"]);
    fails(&lab, &named("web-app=nowhere/web-1.2.zip"), 2, &["cannot read nowhere/web-1.2.zip"]);
}
