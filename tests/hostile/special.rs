//! Pipes, sockets, folders and links in the place of files: no command waits for the other end of a pipe, reads a device, or
//! writes through a link.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use sealift_tests::lab::{Ended, Lab, without_digests};

use super::Group;

const KINDS: [&str; 5] = ["a pipe", "a socket", "a folder", "a link to a device", "a link to itself"];

/// Puts something of this kind in the place of `path`.
fn put(kind: &str, path: &Path) {
    let _ = fs_err::create_dir_all(path.parent().unwrap());
    let _ = fs_err::remove_file(path);
    let _ = fs_err::remove_dir_all(path);
    let node = |kind| mknodat(CWD, path, kind, Mode::from_raw_mode(0o600), 0).unwrap();
    match kind {
        "a pipe" => node(FileType::Fifo),
        "a socket" => node(FileType::Socket),
        "a folder" => fs_err::create_dir(path).unwrap(),
        "a link to a device" => fs_err::os::unix::fs::symlink("/dev/zero", path).unwrap(),
        _ => fs_err::os::unix::fs::symlink(path.file_name().unwrap(), path).unwrap(),
    }
}

fn remove(path: &Path) {
    if fs_err::symlink_metadata(path).is_ok_and(|found| found.is_dir()) {
        fs_err::remove_dir_all(path).unwrap();
    } else {
        let _ = fs_err::remove_file(path);
    }
}

/// Runs the program, which must end.
fn run(lab: &Lab, what: &str, arguments: &[&str], variable: Option<(&str, &str)>) -> Ended {
    let mut command = lab.command(arguments);
    command.envs(variable.map(|(name, file)| (name, lab.path(file))));
    let out = fs_err::File::create(lab.path("said")).unwrap().into_parts().0;
    let error = out.try_clone().unwrap();
    let mut child = command.stdin(Stdio::null()).stdout(out).stderr(error).spawn().unwrap();
    let start = Instant::now();
    // Many times of what it takes: the machine may be busy.
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > Duration::from_secs(120) {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{what} does not end");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let said = fs_err::read_to_string(lab.path("said")).unwrap();
    let ended =
        Ended { code: child.wait().unwrap().code(), stdout: String::new(), stderr: lab.neutral(&said), peak: 0 };
    sealift_tests::chaos::orderly(what, &ended);
    ended
}

const BUILD: [&str; 6] = ["build", "tiny", "--locked", "--quiet", "--output", "out.tar"];
const WITH_SITE: [&str; 8] = ["build", "tiny", "--locked", "--quiet", "--output", "out.tar", "--site", "site"];
const NEW: [&str; 5] = ["site", "new", "site", "--profile", "tiny"];

/// The first file in a folder of the store.
fn first(lab: &Lab, folder: &str) -> String {
    format!("store/{folder}/{}", lab.below(&format!("store/{folder}"))[0])
}

/// The store is mended, or it is said how.
#[test]
fn special_files_in_a_store() {
    let lab = Lab::locked();
    let build = || run(&lab, "a build", &BUILD, None);
    assert_eq!(build().code, Some(0));
    let expected = fs_err::read(lab.path("out.tar")).unwrap();
    let mut text = String::new();
    for folder in ["artifacts/sha256", "blobs/sha256", "layers", "derived", "derived/", "partial", "lock", "tmp"] {
        for kind in KINDS {
            let place = match folder {
                // The whole result, or one of its files.
                "derived" => first(&lab, "derived").rsplit_once('/').unwrap().0.to_owned(),
                "derived/" => first(&lab, "derived"),
                "partial" => first(&lab, "artifacts/sha256").replace("artifacts/sha256", "partial"),
                "lock" | "tmp" => format!("store/{folder}"),
                _ => first(&lab, folder),
            };
            put(kind, &lab.path(&place));
            if folder == "partial" {
                // It is fetched again, as another layer is to be made.
                fs_err::remove_dir_all(lab.path("store/artifacts")).unwrap();
                fs_err::remove_dir_all(lab.path("store/layers")).unwrap();
            }
            let what = format!("{kind} for {}", without_digests(&place));
            let ends = |command: &str, arguments: &[&str]| {
                let ended = run(&lab, &format!("{command}, {what}"), arguments, None);
                let error = ended.stderr.lines().find(|line| line.starts_with("error"));
                let error = error.map(|error| format!(": {error}")).unwrap_or_default();
                format!("{what}: {command}: exit {}{}\n", ended.code.unwrap(), without_digests(&error))
            };
            text += &ends("store check", &["store", "check"]);
            text += &ends("plan", &["plan", "tiny"]);
            text += &ends("build", &BUILD);
            if folder == "lock" || folder == "tmp" {
                remove(&lab.path(&place));
            }
            let _ = run(&lab, &what, &["store", "check", "--repair"], None);
            assert_eq!(build().code, Some(0), "{what}");
            assert!(fs_err::read(lab.path("out.tar")).unwrap() == expected, "{what}: other bytes");
        }
    }
    super::snapshot("special-store", &text);
}

/// Name of the place, the commands that read it, and a variable that names it.
type Place<'a> = (&'a str, &'a [&'a [&'a str]], Option<&'a str>);

#[test]
fn special_files_in_the_place_of_inputs() {
    let lab = Lab::locked();
    assert_eq!(lab.run(&[&NEW[..], &["--host", "greeter.example"]].concat()).code, Some(0));
    assert_eq!(lab.run(&BUILD).code, Some(0));
    let places: [Place<'_>; 19] = [
        ("tiny/profile.toml", &[&["plan", "tiny"], &["lock", "tiny"], &["profiles"], &BUILD, &NEW], None),
        ("tiny/sealift.lock", &[&BUILD, &["plan", "tiny"], &["fetch", "tiny", "--output", "kept"]], None),
        ("tiny/files/archive-key.asc", &[&["lock", "tiny"]], None),
        ("tiny/files/clock.conf", &[&BUILD, &NEW], None),
        ("home/.config/sealift/config.toml", &[&["lock", "tiny"], &["mirrors"]], None),
        ("home/.config/pip/pip.conf", &[&["mirrors"], &["lock", "tiny"]], None),
        ("home/.config/uv/uv.toml", &[&["mirrors"], &["lock", "tiny"]], None),
        ("home/.netrc", &[&["lock", "tiny"]], None),
        ("authorities.pem", &[&["lock", "tiny"]], Some("SSL_CERT_FILE")),
        ("client.pem", &[&["lock", "tiny"]], Some("SSL_CLIENT_CERT")),
        ("site/settings.toml", &[&NEW, &WITH_SITE], None),
        ("site/site.toml", &[&NEW, &WITH_SITE], None),
        ("site/custom-ca.crt", &[&NEW, &WITH_SITE], None),
        ("site/custom-ca.key", &[&NEW, &WITH_SITE], None),
        ("site/secrets/token", &[&NEW, &WITH_SITE], None),
        ("site/env/token.env", &[&NEW, &WITH_SITE], None),
        ("program", &[&BUILD], None),
        ("out.tar", &[&["verify", "out.tar"], &["inspect", "out.tar"], &["sbom", "out.tar"], &BUILD], None),
        (
            "given.deb",
            &[&["build", "tiny", "--locked", "--quiet", "--output", "new.tar", "--artifacts", "given.deb"]],
            None,
        ),
    ];
    let mut group = Group::new("special-inputs");
    for (place, commands, variable) in places {
        let saved = lab.path("saved");
        let path = lab.path(place);
        let _ = fs_err::rename(&path, &saved);
        for kind in KINDS {
            for arguments in commands {
                put(kind, &path);
                let what = format!("{kind} for {place}: {}", arguments[..2.min(arguments.len())].join(" "));
                let ended = run(&lab, &what, arguments, variable.map(|variable| (variable, place)));
                // Some are passed over as if they were not there.
                if ended.code == Some(0) {
                    group.accepted(&what);
                } else {
                    group.refused(&what, "no command waits", &ended);
                }
            }
        }
        remove(&path);
        let _ = fs_err::rename(&saved, &path);
    }
    group.finish(80);
}
