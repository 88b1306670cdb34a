//! Bundles to which something was added, or in which something was replaced.

use std::process::Command;

use sealift_tests::lab::Lab;

use super::Group;

/// Name, reason, and a change by the shell in the unpacked bundle.
const CASES: [(&str, &str, &str); 39] = [
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
    ("sums-carriage-return", "sha256sum looks for another file", r"sed -i 's/$/\r/' SHA256SUMS"),
    ("sums-blank", "no file", "echo >>SHA256SUMS"),
    ("sums-binary", "another form", "sed -i 's|  README.md| *README.md|' SHA256SUMS"),
    ("sums-escaped", "sha256sum reads a name with escapes", r"sed -i 's|^\(.*  README.md\)$|\\\1|' SHA256SUMS"),
    ("sums-current", "a path that is written otherwise", "sed -i 's|  README.md|  ./README.md|' SHA256SUMS"),
    ("sums-double-slash", "a path that is written otherwise", "sed -i 's|  profile/|  profile//|' SHA256SUMS"),
    ("sums-trailing-slash", "a folder in the place of a file", "sed -i 's|  README.md|  README.md/|' SHA256SUMS"),
    ("sums-absolute", "a path out of the bundle", "sed -i 's|  README.md|  /README.md|' SHA256SUMS"),
    ("sums-case", "another file", "sed -i 's|  README.md|  readme.md|' SHA256SUMS"),
    ("sums-mark", "an invisible mark before the first digest", r"sed -i '1s/^/\xef\xbb\xbf/' SHA256SUMS"),
    ("name-direction", "a name is not what it looks like", "cp README.md \"$(printf 'README\\342\\200\\256dm.exe')\""),
    ("name-control", "a terminal obeys escape sequences", "cp README.md \"$(printf 'x\\033]0;x\\007')\""),
    (
        "name-overlong",
        "folders as deep as paths can be",
        "d=$(printf 'd/%.0s' $(seq 300)); mkdir -p $d && echo x >$d/x",
    ),
    ("link-to-itself", "reading it does not end", "ln -s planted planted"),
    (
        "socket",
        "reading it does not end",
        "rm README.md && python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"README.md\")'",
    ),
    (
        "layer-sizes",
        "the engine would fill the disk",
        "sed -E 's/\"unpacked\": ?[0-9]+/\"unpacked\": 99999999999/' -i bundle.json && sed -i \"s|^.*  bundle.json|$(sha256sum bundle.json)|\" SHA256SUMS",
    ),
    (
        "other-deployment",
        "the bundle says that it has no images",
        "sed -i 's/\"schema\":/\"deployment\":\"systemd\",\"schema\":/' bundle.json && sed -i \"s|^.*  bundle.json|$(sha256sum bundle.json)|\" SHA256SUMS && for f in blobs/sha256/*; do echo x >$f; done",
    ),
    (
        "later-schema",
        "a format that is not known",
        "sed -E 's/\"schema\": ?1/\"schema\": 2/' -i bundle.json && sed -i \"s|^.*  bundle.json|$(sha256sum bundle.json)|\" SHA256SUMS",
    ),
    (
        "site-names",
        "a site outside of its folder",
        "sed -i 's|\"schema\":|\"site\":{\"site/../x\":{\"mode\":\"0777\"}},\"schema\":|' bundle.json && sed -i \"s|^.*  bundle.json|$(sha256sum bundle.json)|\" SHA256SUMS",
    ),
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
    group.finish(37);
}
