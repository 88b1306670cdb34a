//! Locks that name other places, other bytes, or nothing at all.

use sealift_tests::lab::Lab;

use super::Group;

#[test]
fn hostile_locks() {
    let lab = Lab::locked();
    let lock = fs_err::read_to_string(lab.path("tiny/sealift.lock")).unwrap();
    let cases: Vec<(&str, &str, String)> = vec![
        ("empty", "no lock", String::new()),
        ("no-toml", "no TOML", "<html>404</html>".into()),
        ("schema", "a later format", lock.replacen("schema = 1", "schema = 99", 1)),
        ("profile", "the lock of another profile", lock.replacen("profile = \"tiny\"", "profile = \"../tiny\"", 1)),
        ("unknown-key", "a key that nobody reads", lock.replacen("[platforms.", "run = \"reboot\"\n[platforms.", 1)),
        ("conflict", "a merge that was not finished", format!("<<<<<<< HEAD\n{lock}")),
        ("path-parent", "a path out of the archive", lock.replacen("path = \"pool/", "path = \"../pool/", 1)),
        ("path-inner", "a path out of the archive", lock.replacen("path = \"pool/", "path = \"pool/../../", 1)),
        ("path-absolute", "another server", lock.replacen("path = \"pool/", "path = \"/pool/", 1)),
        ("path-url", "another server", lock.replacen("path = \"pool/", "path = \"http://other.example/", 1)),
        (
            "path-control",
            "a terminal obeys escape sequences",
            lock.replacen("path = \"pool/", "path = \"pool\\u001b[2J/", 1),
        ),
        ("digest-short", "a digest of the wrong length", lock.replacen("sha256 = \"", "sha256 = \"0", 1)),
        ("digest-text", "a digest that is none", lock.replacen("sha256 = \"", "sha256 = \"../", 1)),
        ("size-negative", "a size that is none", lock.replacen("size = ", "size = -", 1)),
        ("size-text", "a size that is none", lock.replacen("size = ", "size = \"x\" # ", 1)),
        ("size-other", "another size than the file's", lock.replacen("size = ", "size = 9", 1)),
        ("size-huge", "a size that no disk has", lock.replacen("size = ", "size = 9223372036854775807 # ", 1)),
        ("digest-other", "another file", {
            let at = lock.find("sha256 = \"").unwrap() + 10;
            format!("{}{}{}", &lock[..at], "0".repeat(64), &lock[at + 64..])
        }),
        ("package-twice", "which of the two is meant", {
            let start = lock.find("[[platforms.\"linux/amd64\".package]]").unwrap();
            let rest = &lock[start..];
            let end = rest[2..].find("[[").map_or(rest.len(), |end| end + 2);
            format!("{}{}{}", &lock[..start], &rest[..end], rest)
        }),
    ];
    let mut group = Group::new("locks");
    for (name, reason, text) in cases {
        assert_ne!(text, lock, "{name}");
        fs_err::write(lab.path("tiny/sealift.lock"), text).unwrap();
        group.refused(name, reason, &lab.run(&["build", "tiny", "--locked", "--quiet", "--output", "out.tar"]));
    }
    group.finish(14);
}
