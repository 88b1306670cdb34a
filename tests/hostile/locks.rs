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
        (
            "path-encoded",
            "a path out of the archive",
            lock.replacen("path = \"pool/", "path = \"pool/%2e%2e/%2e%2e/", 1),
        ),
        ("path-query", "another path on the server", lock.replacen("path = \"pool/", "path = \"pool?x=/", 1)),
        ("path-overlong", "no file system takes it", {
            lock.replacen("path = \"pool/", &format!("path = \"{}/", "x".repeat(5000)), 1)
        }),
        ("name-control", "a terminal obeys escape sequences", lock.replacen("name = \"", "name = \"\\u001b[2J", 1)),
        ("name-path", "a name that is a path", lock.replacen("name = \"", "name = \"../", 1)),
        ("version-direction", "the text is not what it looks like", {
            lock.replacen("version = \"", "version = \"\\u202e", 1)
        }),
        ("version-path", "a version that is a path", lock.replacen("version = \"", "version = \"../", 1)),
        ("epoch-huge", "a time that no file has", lock.replacen("epoch = ", "epoch = 9223372036854775807 # ", 1)),
        ("epoch-negative", "a time that no file has", lock.replacen("epoch = ", "epoch = -", 1)),
        ("platform-other", "a platform that is none", lock.replacen("linux/amd64", "linux/../amd64", 1)),
        ("depth", "recursion", format!("x = {}{}\n{lock}", "[".repeat(100_000), "]".repeat(100_000))),
        ("depth-keys", "recursion", format!("x{} = 1\n{lock}", ".x".repeat(100_000))),
        ("digest-other", "another file", {
            let at = lock.find("sha256 = \"").unwrap() + 10;
            format!("{}{}{}", &lock[..at], "0".repeat(64), &lock[at + 64..])
        }),
    ];
    let mut group = Group::new("locks");
    for (name, reason, text) in cases {
        assert_ne!(text, lock, "{name}");
        fs_err::write(lab.path("tiny/sealift.lock"), text).unwrap();
        group.refused(name, reason, &lab.run(&["build", "tiny", "--locked", "--quiet", "--output", "out.tar"]));
    }
    group.finish(30);
}
