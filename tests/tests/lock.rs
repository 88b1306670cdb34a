//! What `sealift lock` says of the packages that it locks.

#![allow(clippy::unwrap_used, reason = "a test")]

use sealift_tests::archive::Archive;
use sealift_tests::lab::{Ended, Lab};
use sealift_tests::packed::{Member, ar, tar};

const LEFT: &str = "clock: ucf (/etc/clock.conf): not applied";

/// The archive of the tests, whose clock has a script with a file name that only a running shell knows.
fn lab() -> Lab {
    let mut archive = Archive::default();
    let clock = archive.package("clock");
    let control = format!("Package: clock\nVersion: {}\nArchitecture: all\n{}", clock.version, clock.fields);
    let script =
        "#!/bin/sh\nset -e\nucf \"$(mktemp)\" /etc/clock.conf\ncp /usr/share/clock/example.conf /etc/example.conf\n";
    clock.members.push(Member::file("./usr/share/clock/example.conf", "x"));
    let control = [Member::file("./control", &control), Member::file("./postinst", script)];
    clock.raw = Some(ar(&[
        ("debian-binary", b"2.0\n".to_vec()),
        ("control.tar", tar(&control)),
        ("data.tar", tar(&clock.members)),
    ]));
    Lab::with(&archive)
}

#[track_caller]
fn succeeds(lab: &Lab, arguments: &[&str]) -> Ended {
    let ended = lab.run(arguments);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    ended
}

/// It was told by the build only, when the profile was thought to be finished.
#[test]
fn what_scripts_leave_to_be_done_is_told_with_the_lock() {
    let lab = lab();
    let first = succeeds(&lab, &["lock", "tiny"]).stderr;
    assert!(first.contains(LEFT), "{first}");
    // From the layers in the store, too.
    let _ = lab.mirror.requests();
    let again = succeeds(&lab, &["lock", "tiny"]).stderr;
    assert!(again.contains(LEFT) && lab.mirror.requests().iter().all(|path| !path.ends_with(".deb")), "{again}");
    // The profile says why that is fine.
    let profile = lab.path("tiny/profile.toml");
    let allowed = "[debian.allow-unapplied]\nclock = \"the profile has the file\"\n\n[debian.exclude]";
    let text = fs_err::read_to_string(&profile).unwrap().replace("[debian.exclude]", allowed);
    fs_err::write(&profile, text).unwrap();
    let quiet = succeeds(&lab, &["lock", "tiny"]).stderr;
    assert!(!quiet.contains("clock: ucf"), "{quiet}");
    // The build makes the other layers only.
    fs_err::remove_dir_all(lab.path("store/artifacts")).unwrap();
    succeeds(&lab, &["build", "tiny", "--locked", "--output", "out.tar"]);
    let requests = lab.mirror.requests();
    assert!(requests.iter().all(|path| !path.contains("clock")), "{requests:?}");
}

/// The pattern did its work, and was said to match nothing.
#[test]
fn what_scripts_make_can_be_dropped() {
    let lab = lab();
    let profile = lab.path("tiny/profile.toml");
    let drop = "entrypoint = [\"/usr/bin/clock\"]\ndrop = [\"/etc/example.*\", \"/etc/gone\"]";
    let text = fs_err::read_to_string(&profile).unwrap().replace("entrypoint = [\"/usr/bin/clock\"]", drop);
    fs_err::write(&profile, text).unwrap();
    let built = succeeds(&lab, &["build", "tiny", "--output", "out.tar"]).stderr;
    assert!(built.contains("`/etc/gone` in `drop`") && !built.contains("/etc/example"), "{built}");
}

#[test]
fn a_lock_alone_fetches_no_package() {
    let lab = lab();
    let alone = succeeds(&lab, &["lock", "tiny", "--resolve-only"]).stderr;
    assert!(!alone.contains("clock: ucf"), "{alone}");
    assert!(lab.mirror.requests().iter().all(|path| !path.ends_with(".deb")));
}

#[test]
fn a_lock_is_written_although_packages_cannot_be_fetched() {
    let lab = lab();
    let path = Archive::default().package("clock").path();
    lab.mirror.remove(&path);
    let ended = succeeds(&lab, &["lock", "tiny"]).stderr;
    assert!(ended.contains("the lock is written, but its packages could not be looked into"), "{ended}");
    assert!(ended.contains(&path) && lab.path("tiny/sealift.lock").exists(), "{ended}");
}
