//! The same inputs give the same bytes: in any place, at any time, for any user and with any number of threads.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::{Path, PathBuf};
use std::process::Command;

use sealift_tests::compare::difference;
use sealift_tests::lab::{Lab, copy};
use sealift_tests::real;

/// Circumstances of a build that must not affect the result.
#[derive(Clone, Copy)]
struct Conditions {
    umask: &'static str,
    variables: &'static [(&'static str, &'static str)],
    jobs: &'static str,
}

const PLAIN: Conditions = Conditions { umask: "022", variables: &[("TZ", "UTC"), ("LC_ALL", "C")], jobs: "1" };

const UNUSUAL: Conditions = Conditions {
    umask: "077",
    variables: &[
        ("TZ", "Pacific/Chatham"),
        ("LANG", "tr_TR.UTF-8"),
        ("LC_ALL", "tr_TR.UTF-8"),
        ("COLUMNS", "20"),
        ("PYTHONHASHSEED", "7"),
        ("PYTHONOPTIMIZE", "2"),
        ("PYTHONPATH", "/nonexistent"),
        ("LD_LIBRARY_PATH", "/nonexistent"),
        ("GZIP", "-1"),
    ],
    jobs: "4",
};

/// Builds the profile in `directory` under `conditions`.
fn build(command: &Command, conditions: Conditions, directory: &Path, arguments: &[&str]) {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("umask {}; exec \"$0\" \"$@\"", conditions.umask)]).arg(command.get_program());
    shell.args(command.get_args()).args(arguments).args(["--jobs", conditions.jobs]).current_dir(directory);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let output = shell.envs(conditions.variables.iter().copied()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Copies files like git with a umask of 077: of their permissions, only the executable bit is kept.
const CHECKOUT: &str = r#"
umask 077; mkdir -p "$2"; cd "$1"
find . -type f | sort -r | while read -r file; do
    mkdir -p "$2/$(dirname "$file")"; cat "$file" > "$2/$file"
    if [ -x "$file" ]; then chmod u+x "$2/$file"; fi
    touch -d 2001-02-03 "$2/$file"
done
"#;

/// A copy of a profile like that of another user: other permissions, other times, another order on the disk.
fn checkout(profile: &Path, to: &Path) -> PathBuf {
    let status = Command::new("sh").args(["-c", CHECKOUT, "sh"]).args([profile, to]).status().unwrap();
    assert!(status.success());
    to.to_owned()
}

#[track_caller]
fn same(one: &Path, other: &Path) {
    assert_eq!(difference(one, other), None, "{} and {} differ", one.display(), other.display());
}

#[test]
fn a_small_bundle_is_the_same_however_it_is_built() {
    let lab = Lab::locked();
    let there = checkout(&lab.path("tiny"), &lab.path("far/away/other name"));
    let there = there.to_str().unwrap();
    for directory in ["cwd", "far/home", "far/tmp"] {
        fs_err::create_dir_all(lab.path(directory)).unwrap();
    }
    for codec in ["none", "gzip", "zstd"] {
        let built = |name: &str, conditions: Conditions, directory: &str, profile: &str, store: &str| {
            let output = lab.path(&format!("{name}-{codec}.tar"));
            let mut command = lab.command(&["build", profile, "--locked", "--layers", codec, "--output"]);
            command.arg(&output).env("SEALIFT_STORE", lab.path(store));
            if conditions.umask == UNUSUAL.umask {
                command.env("HOME", lab.path("far/home")).env("TMPDIR", lab.path("far/tmp"));
            }
            build(&command, conditions, &lab.path(directory), &[]);
            output
        };
        let first = built("first", PLAIN, "", "tiny", &format!("cold-{codec}"));
        same(&first, &built("odd", UNUSUAL, "cwd", there, &format!("far/cold-{codec}")));
        let _ = lab.mirror.requests();
        same(&first, &built("warm", UNUSUAL, "cwd", there, &format!("cold-{codec}")));
        assert_eq!(lab.mirror.requests(), [""; 0], "a complete store needs no server");
        // A store that already has artifacts and layers.
        same(&first, &built("shared", PLAIN, "", "tiny", "shared"));
    }
}

#[test]
fn a_bundle_without_containers_is_the_same_however_it_is_built() {
    let lab = Lab::locked();
    lab.without_containers();
    for codec in ["none", "gzip", "zstd"] {
        let built = |name: &str, conditions: Conditions, directory: &str| {
            let name = format!("{name}-{codec}");
            fs_err::create_dir_all(lab.path(directory)).unwrap();
            let mut command = lab.command(&["build", "bare", "--locked", "--layers", codec, "--output"]);
            command.arg(lab.path(&name)).env("SEALIFT_STORE", lab.path(&format!("store-{name}")));
            build(&command, conditions, &lab.path(directory), &[]);
            lab.path(&name)
        };
        let one = built("one", PLAIN, "");
        same(&one, &built("two", UNUSUAL, "cwd"));
        let verified = lab.run(&["verify", one.to_str().unwrap()]);
        assert_eq!(verified.code, Some(0), "{}", verified.stdout);
    }
}

#[test]
fn a_bundle_with_a_site_is_the_same_however_it_is_built() {
    let lab = Lab::locked();
    let made = lab.run(&["site", "new", "site", "--profile", "tiny", "--host", "greeter.example"]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let there = checkout(&lab.path("site"), &lab.path("far/site"));
    let built = |name: &str, conditions: Conditions, site: &Path| {
        let mut command = lab.command(&["build", "tiny", "--locked", "--output", name, "--site"]);
        command.arg(site).env("SEALIFT_STORE", lab.path(&format!("store-{name}")));
        build(&command, conditions, &lab.path(""), &[]);
        lab.path(name)
    };
    let one = built("one", PLAIN, &lab.path("site"));
    same(&one, &built("two", UNUSUAL, &there));
    let mode = std::os::unix::fs::PermissionsExt::mode(&one.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "it holds keys and secrets");
}

/// The content of a layer in the store must depend only on inputs that are part of its key.
#[test]
fn layers_of_other_builds_in_the_store_do_not_affect_a_build() {
    let lab = Lab::locked();
    let build = |output: &str, store: &str, epoch: Option<&str>| {
        let mut command = lab.command(&["build", "tiny", "--locked", "--output", output]);
        command.env("SEALIFT_STORE", lab.path(store));
        if let Some(epoch) = epoch {
            command.env("SOURCE_DATE_EPOCH", epoch);
        }
        let ended = lab.ended(&command.output().unwrap());
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    };
    build("fresh.tar", "fresh", None);
    build("early.tar", "used", Some("1000000000"));
    assert!(difference(&lab.path("fresh.tar"), &lab.path("early.tar")).is_some());
    // The same wheels with other upload times.
    let lock = fs_err::read_to_string(lab.path("tiny/sealift.lock")).unwrap();
    let changed = lock.replacen("uploaded = 1767323045", "uploaded = 1767323000", 1);
    assert_ne!(lock, changed);
    fs_err::write(lab.path("tiny/sealift.lock"), changed).unwrap();
    build("earlier-wheel.tar", "used", None);
    fs_err::write(lab.path("tiny/sealift.lock"), lock).unwrap();
    // Another list of dropped paths, other links, another file: other layers, which must not be reused.
    copy(&lab.path("tiny"), &lab.path("tiny-as-it-was")).unwrap();
    lab.edit("tiny/profile.toml", "\"/usr/share/doc/*/*\"", "\"/usr/share/doc/*\"");
    lab.edit("tiny/profile.toml", "\"/usr/bin/sh\" = \"hello\"", "\"/usr/bin/dash\" = \"hello\"");
    lab.edit("tiny/files/greet", "exec hello", "exec goodbye");
    build("other-profile.tar", "used", None);
    copy(&lab.path("tiny-as-it-was"), &lab.path("tiny")).unwrap();
    build("again.tar", "used", None);
    same(&lab.path("fresh.tar"), &lab.path("again.tar"));
}

/// A new lock has a new date, and a new build of an own wheel, too: all layers were made anew, and carried to each host.
#[test]
fn a_later_lock_of_the_same_files_gives_the_same_layers_of_packages_and_wheels() {
    let lab = Lab::locked();
    let layers = |name: &str| -> Vec<(String, String)> {
        let ended = lab.run(&["build", "tiny", "--locked", "--store", name, "--output", &format!("{name}.tar")]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let bundle = sealift_deployment::bundle::open(&lab.path(&format!("{name}.tar"))).unwrap();
        let images = &bundle.manifest.as_ref().unwrap().images;
        let layers = images.iter().flat_map(|image| image.layers.iter());
        layers.map(|layer| (layer.title.clone(), layer.digest.to_string())).collect()
    };
    let before = layers("before");
    let lock = fs_err::read_to_string(lab.path("tiny/sealift.lock")).unwrap();
    let line = lock.lines().find(|line| line.starts_with("epoch = ")).unwrap();
    let epoch: u64 = line["epoch = ".len()..].parse().unwrap();
    lab.edit("tiny/sealift.lock", line, &format!("epoch = {}", epoch + 86_400));
    let after = layers("after");
    assert_ne!(before, after, "what has no time of its own has that of the lock");
    // The files are newer than this lock, as those of a local package can be.
    lab.edit("tiny/sealift.lock", &format!("epoch = {}", epoch + 86_400), &format!("epoch = {}", epoch - 86_400));
    let earlier = layers("earlier");
    let large = |layers: Vec<(String, String)>| -> Vec<(String, String)> {
        let is_large = |title: &str| title.starts_with("Debian packages") || title.starts_with("Python ");
        layers.into_iter().filter(|(title, _)| is_large(title)).collect()
    };
    let before = large(before);
    assert_eq!(before.len(), 6);
    assert_eq!((large(after), large(earlier)), (before.clone(), before));
}

/// A real deployment, built from its locked artifacts, with all bytecode.
#[test]
#[ignore = "may fetch 100 MB: tests/run"]
fn standalone_is_the_same_however_it_is_built() {
    real_profile(&real::repository().join("profiles/standalone"));
}

/// Another server in Python.
#[test]
#[ignore = "may fetch 15 MB: tests/run"]
fn hello_is_the_same_however_it_is_built() {
    real_profile(&real::repository().join("examples/hello"));
}

fn real_profile(profile: &Path) {
    let place = real::place();
    let path = |name: &str| place.path().join(name);
    let there = checkout(profile, &path("far/away/other name"));
    for (name, store, conditions, profile) in
        [("one", "a", PLAIN, profile), ("two", "far/b", UNUSUAL, &there), ("warm", "a", UNUSUAL, &there)]
    {
        let mut command = real::command(&["build"]);
        command.arg(profile).arg("--locked").arg("--output").arg(path(name));
        real::seed(&path(store), profile);
        command.env("SEALIFT_STORE", path(store));
        fs_err::create_dir_all(path("tmp")).unwrap();
        build(&command, conditions, &path("tmp"), &[]);
    }
    same(&path("one"), &path("two"));
    same(&path("one"), &path("warm"));
}
