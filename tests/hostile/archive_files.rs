//! Archives that a profile unpacks: paths and links out of them, members with two meanings, and bombs.

use sealift_tests::lab::{Ended, Lab};
use sealift_tests::packed::{Member, tar, xz, zip};

use super::Group;

/// The build of an image with the archive `x.ENDING` of these bytes.
fn built(ending: &str, bytes: &[u8]) -> Ended {
    let lab = Lab::new();
    let table = format!("[images.clock.archives.x]\nversion = \"1\"\nfile = \"x.{ending}\"\npath = \"/srv/x\"\n");
    lab.edit("tiny/profile.toml", "\n[services.greeter]\n", &format!("\n{table}\n[services.greeter]\n"));
    fs_err::write(lab.path(&format!("tiny/x.{ending}")), bytes).unwrap();
    lab.lock();
    lab.run(&["build", "tiny", "--locked", "--quiet", "--output", "out.tar"])
}

#[test]
fn hostile_archive_files() {
    let mut group = Group::new("archive-files");
    let file = Member::file;
    let members: Vec<(&str, &str, Vec<Member>)> = vec![
        ("path-parent", "a path out of the folder", vec![file("../etc/passwd", "x")]),
        ("path-absolute", "a path of the machine that unpacks it", vec![file("/etc/passwd", "x")]),
        ("path-twice", "which of the two is meant", vec![file("a", "1"), file("a", "2")]),
        ("path-below-file", "a file cannot be a folder", vec![file("a", "1"), file("a/b", "2")]),
        ("path-below-link", "a file through a link", vec![Member::symlink("a", "b"), file("a/b", "2")]),
        ("path-whiteout", "engines remove what lower layers have", vec![file("a/.wh.b", "")]),
        ("link-absolute", "a link out of the folder", vec![file("a", ""), Member::symlink("b", "/etc/shadow")]),
        ("link-parent", "a link out of the folder", vec![file("a", ""), Member::symlink("b", "../../etc/shadow")]),
        (
            "link-through-link",
            "a link that leads further up than it seems",
            vec![file("d/a", ""), Member::symlink("d/here", "."), Member::symlink("d/up", "here/../../etc")],
        ),
        ("hard-link-outside", "a link out of the folder", vec![file("a", ""), Member::hardlink("b", "../a")]),
        ("hard-link-nowhere", "a link to nothing", vec![file("a", ""), Member::hardlink("b", "c")]),
        ("device", "an image has no devices", vec![file("a", ""), file("b", "").kind(b'3')]),
        ("fifo", "an image has no pipes", vec![file("a", ""), file("b", "").kind(b'6')]),
        ("nothing", "an archive without files", vec![Member::directory("a/")]),
    ];
    for (name, reason, members) in members {
        group.refused(name, reason, &built("tar.xz", &xz(&tar(&members))));
    }
    let zeros = xz(&tar(&[file("zeros", "").content(vec![0; 65 << 20])]));
    let overlapping = [zip(&[("a", "1")]), zip(&[("b", "2")])].concat();
    let others: Vec<(&str, &str, &str, Vec<u8>)> = vec![
        ("bomb", "it would fill the disk", "tar.xz", zeros),
        ("other-compression", "a name that lies", "tar.gz", xz(&tar(&[file("a", "")]))),
        ("text", "no archive", "tar", b"<html>404</html>\n".repeat(100)),
        ("zip-parent", "a path out of the folder", "zip", zip(&[("../x", "1")])),
        ("zip-absolute", "a path of the machine that unpacks it", "zip", zip(&[("/etc/passwd", "1")])),
        ("zip-backslash", "Windows would see folders", "zip", zip(&[("a\\..\\..\\x", "1")])),
        ("zip-twice", "which of the two is meant", "zip", zip(&[("a", "1"), ("a", "2")])),
        ("zip-two", "which of the two archives is meant", "zip", overlapping),
        ("zip-text", "no archive", "zip", b"<html>404</html>\n".repeat(100)),
    ];
    for (name, reason, ending, bytes) in others {
        group.refused(name, reason, &built(ending, &bytes));
    }
    group.finish(23);
}
