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
        ("link-empty", "a link to nothing at all", Member::symlink("./usr/bin/x", "")),
        ("hard-link-folder", "a folder has one name", Member::hardlink("./usr/bin/x", "./usr/share")),
        ("hard-link-root", "a folder has one name", Member::hardlink("./usr/bin/x", "./")),
        ("root-link", "the image's root is a folder", Member::symlink("./", "/etc")),
        ("root-file", "the image's root is a folder", file("./", "x")),
        ("folder-with-content", "a folder has no bytes", file("./usr/x/", "x").kind(b'5')),
        ("sparse", "readers fill the holes otherwise", file("./usr/x", "x").kind(b'S')),
        ("global-header", "names and sizes of all members after it", file("./x", "20 path=etc/passwd\n").kind(b'g')),
        ("volume-header", "no file at all", file("./x", "").kind(b'V')),
        ("multi-volume", "the rest of a file of another archive", file("./x", "x").kind(b'M')),
    ]
}

/// A pax record (POSIX.1-2017): its length includes its own digits.
fn record(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n");
    let length = (rest.len()..).find(|length| length.to_string().len() + rest.len() == *length).unwrap();
    format!("{length}{rest}")
}

/// Name, reason, and an extended header of a file of the package.
fn extended() -> Vec<(&'static str, &'static str, String)> {
    let attribute = |name: &str| record(&format!("SCHILY.xattr.{name}"), "y");
    vec![
        ("pax-path", "a path out of the image", record("path", "../../etc/passwd")),
        ("pax-path-folder", "a file in the place of the root", record("path", "/")),
        ("pax-size", "readers see another end of the file", record("size", "4096")),
        ("pax-sparse", "readers fill the holes otherwise", record("GNU.sparse.name", "etc/passwd")),
        ("pax-overlay-opaque", "engines empty the folder", attribute("trusted.overlay.opaque")),
        ("pax-overlay-redirect", "engines take another file", attribute("trusted.overlay.redirect")),
        ("pax-overlay-user", "engines without root remove the file", attribute("user.overlay.whiteout")),
        ("pax-fuse-opaque", "engines without root empty the folder", attribute("user.fuseoverlayfs.opaque")),
        ("pax-fuse-owner", "engines without root give it another owner", attribute("user.fuseoverlayfs.override_stat")),
        (
            "pax-containers-owner",
            "engines without root give it another owner",
            attribute("user.containers.override_stat"),
        ),
        ("pax-acl", "others may write it", attribute("system.posix_acl_access")),
        ("pax-attribute-name", "an attribute has a name", attribute("")),
        ("pax-long-name", "no file system takes it", record("path", &format!("usr/{}", "x".repeat(256)))),
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
    for (name, reason, text) in extended() {
        let mut archive = Archive::default();
        let file = Member::file("./usr/share/clock/more", "x");
        archive.package("clock").members.extend([Member::file("./PaxHeaders/x", &text).kind(b'x'), file]);
        let lab = Lab::with(&archive);
        lab.lock();
        group.refused(name, reason, &lab.run(&["build", "tiny", "--locked", "--quiet", "--output", "out.tar"]));
    }
    group.finish(40);
}

/// Files that lead through a link of another package.
#[test]
fn hostile_links_between_packages() {
    let mut group = Group::new("links");
    let file = Member::file;
    let cases: Vec<(&str, &str, Member, Member)> = vec![
        (
            "absolute",
            "a file through a link of another package",
            Member::symlink("./usr/share/words", "/etc"),
            file("./usr/share/words/passwd", "x"),
        ),
        (
            "parent",
            "a file through a link of another package",
            Member::symlink("./usr/share/words", "../../../../../../tmp"),
            file("./usr/share/words/x", "x"),
        ),
        (
            "folder",
            "a folder in the place of a link",
            Member::symlink("./usr/share/words", "/etc"),
            Member::directory("./usr/share/words/"),
        ),
        (
            "hard-link",
            "a hard link through a link",
            Member::symlink("./usr/share/words", "/etc"),
            Member::hardlink("./usr/bin/x", "./usr/share/words/passwd"),
        ),
        ("loop", "a link to itself", Member::symlink("./usr/share/a", "a"), file("./usr/share/a/x", "x")),
        ("top", "a top folder is a link of another package", Member::symlink("./srv", "/etc"), file("./srv/x", "x")),
        ("merged", "a merged folder is another one", Member::symlink("./sbin", "/etc"), file("./sbin/x", "x")),
    ];
    for (name, reason, one, other) in cases {
        for (order, [first, second]) in [("", [&one, &other]), ("-reversed", [&other, &one])] {
            let mut archive = Archive::default();
            archive.package("clock").members.push(first.clone());
            archive.package("libc6").members.push(second.clone());
            let lab = Lab::with(&archive);
            lab.lock();
            let ended = lab.run(&["build", "tiny", "--locked", "--quiet", "--output", "out.tar"]);
            // As with dpkg, a file of a later package goes through a link of an earlier one, within the image.
            if ended.code == Some(0) {
                group.accepted(&format!("{name}{order}"));
            } else {
                group.refused(&format!("{name}{order}"), reason, &ended);
            }
        }
    }
    group.finish(14);
}
