//! Signed release files and package indexes.

use sealift_tests::archive::{Archive, INDEX, KNOWN_KEY, RELEASE};
use sealift_tests::lab::Lab;
use sealift_tests::mirror::Reply;
use sealift_tests::packed::{Package, xz};
use sealift_tests::signing::Key;

use super::Group;

/// A release file of the archive with another text, signed by the known key.
fn signed(lab: &Lab, change: impl FnOnce(String) -> String) -> Vec<u8> {
    let text = String::from_utf8(lab.mirror.file(RELEASE)).unwrap();
    let (_, text) = text.split_once("\n\n").unwrap();
    let (text, _) = text.split_once("\n-----BEGIN PGP SIGNATURE").unwrap();
    Key::new(KNOWN_KEY).clearsign(change(text.to_owned()).trim_end()).into_bytes()
}

type Change = fn(&Lab, String) -> Vec<u8>;

/// Name, reason, and the release file made of the good one.
const RELEASES: [(&str, &str, Change); 18] = [
    ("unsigned", "no signature", |_, text| {
        text.split_once("\n\n").unwrap().1.split("\n-----BEGIN").next().unwrap().into()
    }),
    ("empty", "no file", |_, _| Vec::new()),
    ("page", "a login page in the place of the file", |_, _| b"<html><body>Log in</body></html>\n".to_vec()),
    ("changed", "the text was changed", |_, text| text.replace("Origin: Tests", "Origin: Toast").into_bytes()),
    ("before", "text before the signed text", |_, text| format!("Origin: Other\n{text}").into_bytes()),
    ("after", "text after the signature", |_, text| format!("{text}Origin: Other\n").into_bytes()),
    ("two-messages", "which of the two is meant", |_, text| text.repeat(2).into_bytes()),
    ("cut-signature", "cut off", |_, text| text[..text.len() - 60].into()),
    ("no-hash-header", "another armour", |_, text| {
        text.replace("-----BEGIN PGP SIGNED MESSAGE-----", "-----BEGIN PGP MESSAGE-----").into_bytes()
    }),
    ("header-injected", "a header that is not signed", |_, text| {
        text.replacen("Hash: SHA256", "Hash: SHA256\nComment: x", 1).into_bytes()
    }),
    ("unknown-key", "a key that the profile does not name", |lab, _| {
        let mut archive = Archive { key: KNOWN_KEY + 5, ..Archive::default() };
        archive.valid_until = None;
        let _ = lab;
        archive.publish().remove(RELEASE).unwrap()
    }),
    ("other-suite", "the release of another suite", |lab, _| signed(lab, |text| text.replace("tiny", "huge"))),
    ("no-digests", "no digests of indexes", |lab, _| {
        signed(lab, |text| text.split("SHA256:").next().unwrap().to_owned())
    }),
    ("weak-digests", "digests that can be forged", |lab, _| signed(lab, |text| text.replace("SHA256:", "MD5Sum:"))),
    ("digest-short", "a digest of the wrong length", |lab, _| {
        signed(lab, |text| {
            text.lines()
                .map(|line| line.strip_prefix(' ').map_or(line.to_owned(), |rest| format!(" {}", &rest[8..])) + "\n")
                .collect()
        })
    }),
    ("size-text", "a size that is no number", |lab, _| signed(lab, |text| text.replace(" main/", "x main/"))),
    ("date-missing", "no date", |lab, _| {
        signed(lab, |text| {
            text.lines().filter(|line| !line.starts_with("Date:")).map(|line| format!("{line}\n")).collect()
        })
    }),
    ("date-odd", "a date that is none", |lab, _| {
        signed(lab, |text| text.replace("Thu, 01 Jan 2026", "Thu, 99 Foo 2026"))
    }),
];

/// Name, reason, and what of the index is replaced by what. The index is signed.
const INDEXES: [(&str, &str, &str, &str); 11] = [
    ("path-parent", "a path out of the archive", "Filename: pool/main/c/clock/", "Filename: ../../../"),
    ("path-absolute", "another server", "Filename: pool/main/c/clock/", "Filename: //other.example/"),
    ("path-url", "another server", "Filename: pool/main/c/clock/", "Filename: http://other.example/"),
    ("path-escape", "a terminal obeys escape sequences", "Filename: pool/main/c/clock/", "Filename: pool/\u{1b}[2J/"),
    (
        "version-odd",
        "a version that is none",
        "Package: clock\nVersion: 1:4.2-1",
        "Package: clock\nVersion: 1:$(reboot)",
    ),
    (
        "version-path",
        "a version that is a path",
        "Package: clock\nVersion: 1:4.2-1",
        "Package: clock\nVersion: ../../x",
    ),
    ("version-missing", "no version", "Package: clock\nVersion: 1:4.2-1", "Package: clock"),
    ("name-path", "a name that is a path", "Package: clock\n", "Package: ../clock\n"),
    ("depends-odd", "a dependency that cannot be read", "Depends: libc6 (>= 2.40)", "Depends: libc6 (>= 2.40"),
    ("depends-nothing", "a dependency that nobody has", "Depends: libc6 (>= 2.40)", "Depends: gears (>= 2)"),
    ("depends-later", "a version that nobody has", "Depends: libc6 (>= 2.40)", "Depends: libc6 (>= 99)"),
];

#[test]
fn hostile_release_files() {
    let mut group = Group::new("release-files");
    let lab = Lab::new();
    let good = lab.mirror.file(RELEASE);
    for (name, reason, change) in RELEASES {
        let bad = change(&lab, String::from_utf8(good.clone()).unwrap());
        lab.mirror.set(RELEASE, Reply::Whole(bad));
        group.refused(name, reason, &lab.run(&["lock", "tiny"]));
        lab.mirror.set(RELEASE, Reply::Whole(good.clone()));
    }
    group.finish(12);
}

#[test]
fn hostile_package_indexes() {
    let mut group = Group::new("indexes");
    for (name, reason, from, to) in INDEXES {
        let lab = Lab::new();
        let archive = Archive::default();
        let index: String = archive.packages.iter().map(Package::stanza).collect();
        assert!(index.contains(from), "{name}");
        let changed = index.replace(from, to);
        let (plain, packed) = (changed.as_bytes(), xz(changed.as_bytes()));
        let release = signed(&lab, |text| {
            let (head, _) = text.split_once("SHA256:").unwrap();
            let line = |bytes: &[u8], path| {
                let digest = sealift_layers::digest::Digest::of(bytes).hex();
                format!(" {digest} {} main/binary-amd64/{path}\n", bytes.len())
            };
            format!("{head}SHA256:\n{}{}", line(plain, "Packages"), line(&packed, "Packages.xz"))
        });
        lab.mirror.set(RELEASE, Reply::Whole(release));
        lab.mirror.set(INDEX, Reply::Whole(packed));
        group.refused(name, reason, &lab.run(&["lock", "tiny"]));
    }
    group.finish(8);
}

/// The HTTP client panicked.
#[test]
fn a_client_certificate_with_the_key_of_another_is_refused() {
    let lab = Lab::locked();
    let signed = || rcgen::generate_simple_self_signed(vec!["client.example".to_owned()]).unwrap();
    let (one, other) = (signed(), signed());
    let mut build = lab.command(&["build", "tiny", "--locked", "--output", "out.tar"]);
    build.env("SSL_CLIENT_CERT", lab.path("client.pem")).env("PIP_INDEX_URL", "https://index.example/simple");
    fs_err::write(lab.path("client.pem"), one.cert.pem() + &other.signing_key.serialize_pem()).unwrap();
    let ended = lab.ended(&build.output().unwrap());
    sealift_tests::chaos::orderly("another key", &ended);
    let expected =
        "the certificate [LAB]/client.pem and the key [LAB]/client.pem (from SSL_CLIENT_CERT) cannot be used together";
    assert!(ended.code != Some(0) && ended.stderr.contains(expected), "{ended:?}");
}
