//! Bundles to which something was added, or in which something was replaced.

use std::process::Command;

use sealift_tests::lab::Lab;

use super::Group;

/// Name, reason, and a change by the shell in the unpacked bundle.
const CASES: [(&str, &str, &str); 20] = [
    ("file-added", "a bundle is exactly what its sums name", "echo x >planted"),
    ("env-added", "compose reads it", "echo SEALIFT_PROJECT=x >.env"),
    (
        "site-added",
        "an authority and a token that others know",
        "mkdir -p site/secrets && echo x >site/secrets/token && echo x >site/site.toml",
    ),
    ("override-added", "compose reads it", "echo 'services: {}' >compose.override.yaml"),
    ("link-added", "root follows it", "ln -s /etc planted"),
    ("link-for-file", "root follows it", "rm README.md && ln -s /etc/passwd README.md"),
    ("link-for-folder", "root follows it", "mv profile p && ln -s p profile"),
    ("fifo", "reading it does not end", "rm README.md && mkfifo README.md"),
    ("folder-for-file", "a folder in the place of a file", "rm README.md && mkdir README.md"),
    ("mode-set-id", "a program with the rights of its owner", "chmod 4755 sealift"),
    ("mode-writable", "a program that others can change", "chmod 0777 sealift"),
    ("file-removed", "a file is missing", "rm compose.yaml"),
    ("sums-removed", "no sums", "rm SHA256SUMS"),
    ("sums-empty", "no sums", ": >SHA256SUMS"),
    ("sums-parent", "a path out of the bundle", "sed -i 's|  README.md|  ../README.md|' SHA256SUMS"),
    ("sums-twice", "which of the two is meant", "sed -n 1p SHA256SUMS >>SHA256SUMS"),
    ("sums-odd", "no digest", "echo 'x  y' >>SHA256SUMS"),
    ("compose-replaced", "services of someone else", "echo 'services: {}' >compose.yaml"),
    ("description-no-json", "no JSON", "echo '{' >bundle.json"),
    ("index-escape", "a terminal obeys escape sequences", "sed -i 's/demo/\\\\u001b[2J/' index.json"),
];

#[test]
fn hostile_bundles() {
    let lab = Lab::locked();
    let ended = lab.run(&["build", "tiny", "--output", "out.tar"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let mut group = Group::new("bundles");
    for (name, reason, change) in CASES {
        let script = format!(
            "chmod -R u+w folder 2>/dev/null; rm -rf folder; mkdir folder && tar xpf out.tar -C folder && cd folder && {change}"
        );
        let status = Command::new("sh").args(["-c", &script]).current_dir(lab.path("")).status();
        assert!(status.unwrap().success(), "{name}");
        group.refused(name, reason, &lab.run(&["verify", "folder"]));
    }
    group.finish(14);
}
