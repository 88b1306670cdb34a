//! Debian packages: what dpkg refuses or reads otherwise, paths that lead out of the image, and archives that are cut off.

use sealift_tests::archive::Archive;
use sealift_tests::lab::{Ended, Lab};
use sealift_tests::packed::{Member, Package, ar, tar, xz};

use super::Group;

const CONTROL: &str = "Package: clock\nVersion: 1:4.2-1\nArchitecture: all\n";

fn format() -> (&'static str, Vec<u8>) {
    ("debian-binary", b"2.0\n".to_vec())
}

fn control(text: &str) -> (&'static str, Vec<u8>) {
    ("control.tar", tar(&[Member::file("./control", text)]))
}

fn data(members: &[Member]) -> (&'static str, Vec<u8>) {
    ("data.tar.xz", xz(&tar(members)))
}

fn clock() -> Vec<Member> {
    vec![Member::file("./usr/bin/clock", "tick\n").mode(0o755)]
}

/// The error of a build whose package `clock` has these bytes.
fn built(raw: Vec<u8>) -> Ended {
    let mut archive = Archive::default();
    archive.package("clock").raw = Some(raw);
    let lab = Lab::with(&archive);
    lab.lock();
    lab.run(&["build", "tiny", "--locked", "--quiet", "--output", "out.tar"])
}

fn cut(mut bytes: Vec<u8>, length: usize) -> Vec<u8> {
    bytes.truncate(length);
    bytes
}

/// Name, reason and members of data.tar beside those of the package.
fn members() -> Vec<(&'static str, &'static str, Member)> {
    let file = Member::file;
    vec![
        ("path-parent", "a path out of the image", file("./../etc/passwd", "x")),
        ("path-inner-parent", "a path out of the image", file("./usr/../../etc/passwd", "x")),
        ("path-below-file", "a file cannot be a folder", file("./usr/bin/clock/x", "x")),
        ("path-twice", "which of the two is meant", file("./usr/bin/clock", "tock\n")),
        ("path-whiteout", "engines remove what lower layers have", file("./usr/bin/.wh.sh", "")),
        ("path-opaque", "engines empty the folder", file("./usr/.wh..wh..opq", "")),
        ("path-below-whiteout", "engines remove what lower layers have", file("./usr/.wh.x/y", "")),
        ("hard-link-outside", "a link out of the image", Member::hardlink("./usr/bin/x", "../../etc/passwd")),
        ("hard-link-nowhere", "a link to nothing", Member::hardlink("./usr/bin/x", "./usr/bin/nothing")),
        ("hard-link-self", "a link to itself", Member::hardlink("./usr/bin/x", "./usr/bin/x")),
        ("device-character", "no package has devices", file("./dev/mem", "").kind(b'3')),
        ("device-block", "no package has devices", file("./dev/sda", "").kind(b'4')),
        ("fifo", "no package has pipes", file("./run/pipe", "").kind(b'6')),
        ("type-unknown", "a type that is not defined", file("./usr/x", "").kind(b'Z')),
        ("link-and-below", "a file through a link of the same package", file("./etc/os-release/x", "x")),
    ]
}

#[test]
fn hostile_packages() {
    let mut group = Group::new("packages");
    let archives: Vec<(&str, &str, Vec<u8>)> = vec![
        ("empty", "no archive", Vec::new()),
        ("text", "no archive", b"<html>404</html>\n".repeat(100)),
        ("magic-only", "an archive without members", b"!<arch>\n".to_vec()),
        ("no-format", "the first member is debian-binary", ar(&[control(CONTROL), data(&clock())])),
        ("format-3", "a later format", ar(&[("debian-binary", b"3.0\n".to_vec()), control(CONTROL), data(&clock())])),
        ("no-control", "the control file is missing", ar(&[format(), data(&clock())])),
        ("no-data", "the files are missing", ar(&[format(), control(CONTROL)])),
        ("two-data", "which of the two is meant", ar(&[format(), control(CONTROL), data(&clock()), data(&[])])),
        (
            "two-control",
            "which of the two is meant",
            ar(&[format(), control(CONTROL), control(CONTROL), data(&clock())]),
        ),
        ("data-first", "dpkg wants the control file first", ar(&[format(), data(&clock()), control(CONTROL)])),
        (
            "data-unknown",
            "a compression that nobody knows",
            ar(&[format(), control(CONTROL), ("data.tar.zz", vec![0; 64])]),
        ),
        ("data-no-xz", "a name that lies", ar(&[format(), control(CONTROL), ("data.tar.xz", tar(&clock()))])),
        ("control-empty", "a control file without fields", ar(&[format(), control(""), data(&clock())])),
        (
            "control-other-name",
            "another package",
            ar(&[format(), control(&CONTROL.replace("clock", "cuckoo")), data(&clock())]),
        ),
        (
            "control-other-version",
            "another version",
            ar(&[format(), control(&CONTROL.replace("4.2", "4.3")), data(&clock())]),
        ),
        (
            "control-other-architecture",
            "another architecture",
            ar(&[format(), control(&CONTROL.replace("all", "arm64")), data(&clock())]),
        ),
        (
            "control-twice",
            "which of the two is meant",
            ar(&[format(), control(&format!("{CONTROL}Version: 2\n")), data(&clock())]),
        ),
        (
            "control-escape",
            "a terminal obeys escape sequences",
            ar(&[format(), control(&CONTROL.replace("clock", "c\u{1b}[2Jk")), data(&clock())]),
        ),
        ("cut-header", "cut off", cut(ar(&[format(), control(CONTROL), data(&clock())]), 100)),
        ("cut-data", "cut off", cut(ar(&[format(), control(CONTROL), data(&clock())]), 2300)),
    ];
    for (name, reason, bytes) in archives {
        group.refused(name, reason, &built(bytes));
    }
    for (name, reason, member) in members() {
        let mut archive = Archive::default();
        let package: &mut Package = archive.package(if name == "link-and-below" { "base-files" } else { "clock" });
        package.members.push(member);
        let lab = Lab::with(&archive);
        lab.lock();
        group.refused(name, reason, &lab.run(&["build", "tiny", "--locked", "--quiet", "--output", "out.tar"]));
    }
    group.finish(25);
}
