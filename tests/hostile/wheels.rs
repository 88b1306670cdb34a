//! Wheels: names that lead out of the environment, records that lie, scripts that shadow others, and odd archives.

use sealift_tests::archive::Archive;
use sealift_tests::lab::Lab;
use sealift_tests::packed::Wheel;

use super::Group;

/// Replaces bytes of the same length in all places.
fn patched(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    for at in 0..=bytes.len() - from.len() {
        if &bytes[at..at + from.len()] == from {
            bytes[at..at + from.len()].copy_from_slice(to);
        }
    }
    bytes
}

/// The wheel `words` with a change of its bytes.
fn raw(change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Wheel {
    let wheel = Wheel::new("words", "0.3", &[("words.py", "HELLO = 'hello'\n")]);
    let bytes = change(wheel.bytes());
    Wheel { raw: Some(bytes), ..wheel }
}

/// The first occurrence of these bytes in the last central entry's field at `offset` is set to `value`.
fn end_of_directory(bytes: Vec<u8>, offset: usize, value: u16) -> Vec<u8> {
    let mut bytes = bytes;
    let at = bytes.len() - 22 + offset;
    bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
    bytes
}

/// The archive with a flag in both headers of its first entry.
fn flagged(mut bytes: Vec<u8>, flag: u16) -> Vec<u8> {
    bytes[6..8].copy_from_slice(&flag.to_le_bytes());
    in_directory(bytes, 8, flag)
}

/// The archive with another field at `offset` of the first entry of its directory.
fn in_directory(mut bytes: Vec<u8>, offset: usize, value: u16) -> Vec<u8> {
    let at = memchr::memmem::find(&bytes, b"PK\x01\x02").unwrap() + offset;
    bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
    bytes
}

/// The archive with a comment that is the end of another one.
fn with_second_end(bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes[bytes.len() - 22..].to_vec();
    let length = u16::try_from(end.len()).unwrap();
    [end_of_directory(bytes, 20, length), end].concat()
}

fn cases() -> Vec<(&'static str, &'static str, Wheel)> {
    let of = |files: &[(&str, &str)]| Wheel::new("words", "0.3", files);
    vec![
        ("path-parent", "a path out of the environment", of(&[("../../../etc/passwd", "x")])),
        ("path-absolute", "a path out of the environment", of(&[("/etc/passwd", "x")])),
        ("path-inner-parent", "a path out of the environment", of(&[("words/../../x.py", "x")])),
        ("path-twice", "which of the two is meant", of(&[("words.py", "a"), ("words.py", "b")])),
        ("path-file-and-folder", "a file cannot be a folder", of(&[("words", "a"), ("words/x.py", "b")])),
        ("path-whiteout", "engines remove what lower layers have", of(&[(".wh.words.py", "")])),
        ("path-of-another", "another wheel has the file", of(&[("greeter/__init__.py", "")])),
        ("data-parent", "a path out of the environment", of(&[("words-0.3.data/scripts/../../x", "x")])),
        ("data-unknown", "a kind of data that is not defined", of(&[("words-0.3.data/other/x", "x")])),
        ("script-path", "a script is a name", of(&[("INFO/entry_points.txt", "[console_scripts]\n../x = words:x\n")])),
        (
            "script-newline",
            "a function is a name",
            of(&[("INFO/entry_points.txt", "[console_scripts]\nx = words:x; import os\n")]),
        ),
        (
            "script-python",
            "a script that replaces the interpreter",
            of(&[("INFO/entry_points.txt", "[console_scripts]\npython = words:x\n")]),
        ),
        ("record-lies", "a hash that differs", Wheel { lie: Some("words.py".into()), ..of(&[("words.py", "x")]) }),
        (
            "record-other-name",
            "a file that is not recorded",
            raw(|bytes| patched(&bytes, b"words.py,sha256", b"wards.py,sha256")),
        ),
        ("metadata-name", "another distribution", raw(|bytes| patched(&bytes, b"Name: words", b"Name: wards"))),
        ("metadata-version", "another version", raw(|bytes| patched(&bytes, b"Version: 0.3", b"Version: 0.4"))),
        ("wheel-version", "a later format", raw(|bytes| patched(&bytes, b"Wheel-Version: 1.0", b"Wheel-Version: 9.0"))),
        ("no-zip", "no archive", raw(|_| b"<html>404</html>\n".repeat(20))),
        ("empty", "no archive", raw(|_| Vec::new())),
        ("cut", "cut off", raw(|bytes| bytes[..bytes.len() / 2].to_vec())),
        ("count-small", "an entry that some readers do not see", raw(|bytes| end_of_directory(bytes, 10, 1))),
        ("count-large", "more entries than there are", raw(|bytes| end_of_directory(bytes, 10, 99))),
        (
            "local-name-differs",
            "readers take the one or the other name",
            raw(|mut bytes| {
                bytes[30] ^= 2;
                bytes
            }),
        ),
        (
            "data-settings",
            "the settings of the environment",
            of(&[("words-0.3.data/data/pyvenv.cfg", "include-system-site-packages = true")]),
        ),
        ("data-python", "a file that replaces the interpreter", of(&[("words-0.3.data/data/bin/python3", "x")])),
        (
            "data-of-another",
            "another wheel has the file",
            of(&[("words-0.3.data/data/lib/python3.14/site-packages/greeter/__init__.py", "x")]),
        ),
        (
            "platlib-of-another",
            "another wheel has the file",
            of(&[("words-0.3.data/platlib/greeter/__init__.py", "x")]),
        ),
        ("path-backslash", "a path of another system", of(&[("words\\..\\..\\x.py", "x")])),
        ("path-nul", "readers end the name there", of(&[("words\0.py", "x")])),
        ("path-newline", "a second line of RECORD", of(&[("words\nx.py", "x")])),
        ("path-current", "a path that is written otherwise", of(&[("./words.py", "x")])),
        ("path-double-slash", "a path that is written otherwise", of(&[("words//x.py", "x")])),
        ("path-overlong", "no file system takes it", of(&[(&format!("{}.py", "x".repeat(300)), "x")])),
        ("folder-with-content", "a folder has no bytes", of(&[("words/", "x")])),
        ("two-infos", "which of the two is meant", of(&[("wards-0.3.dist-info/METADATA", "Name: wards\n")])),
        ("encrypted", "a password that nobody has", raw(|bytes| flagged(bytes, 0x01))),
        ("patched", "a difference to another file", raw(|bytes| flagged(bytes, 0x20))),
        ("strong-encryption", "names that are hidden", raw(|bytes| flagged(bytes, 0x2000))),
        ("method-unknown", "a compression that nobody knows", raw(|bytes| in_directory(bytes, 10, 99))),
        ("symlink", "a link in the place of a file", raw(|bytes| in_directory(bytes, 40, 0o120_777))),
        ("device", "a device in the place of a file", raw(|bytes| in_directory(bytes, 40, 0o020_666))),
        ("offset", "an entry that begins elsewhere", raw(|bytes| in_directory(bytes, 42, 7))),
        ("comment", "a second end of the archive", raw(with_second_end)),
        ("before", "bytes before the archive", raw(|bytes| [b"MZ".to_vec(), bytes].concat())),
        ("after", "bytes after the archive", raw(|bytes| [bytes, b"more".to_vec()].concat())),
        ("content-differs", "a checksum that differs", raw(|bytes| patched(&bytes, b"'hello'", b"'hallo'"))),
    ]
}

#[test]
fn hostile_wheels() {
    let mut group = Group::new("wheels");
    for (name, reason, wheel) in cases() {
        let mut archive = Archive::default();
        archive.wheels[1] = wheel;
        let lab = Lab::with(&archive);
        let locked = lab.run(&["lock", "tiny"]);
        if locked.code != Some(0) {
            group.refused(name, reason, &locked);
            continue;
        }
        group.refused(name, reason, &lab.run(&["build", "tiny", "--locked", "--quiet", "--output", "out.tar"]));
    }
    group.finish(40);
}
