//! Valid and hostile wheels, made byte by byte.

use std::io::{Seek as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use sha2::{Digest as _, Sha384, Sha512};

use super::*;
use crate::tree::{Kind, Tree, TreePath};
use crate::zip::testing::{Packed, zip};

const FILE: &str = "demo_pkg-1.0-py3-none-any.whl";
const INFO: &str = "demo_pkg-1.0.dist-info";

/// The files that every wheel has, and `more`.
fn files(more: &[(&str, &str)]) -> Vec<Packed> {
    let own = [
        ("WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
        ("METADATA", "Metadata-Version: 2.1\nName: Demo.Pkg\nVersion: 1.0\n\nName: not this one\n"),
    ];
    let own = own.iter().map(|(name, text)| Packed::new(&format!("{INFO}/{name}"), text.as_bytes()));
    more.iter().map(|(name, text)| Packed::new(name, text.as_bytes())).chain(own).collect()
}

/// Adds a `RECORD` that matches `members`.
fn with_record(mut members: Vec<Packed>) -> Vec<Packed> {
    let mut lines: Vec<String> = members
        .iter()
        .filter(|member| !member.name.ends_with('/'))
        .map(|member| format!("\"{}\",{},{}", member.name, FileHash::of(&member.bytes).hash, member.bytes.len()))
        .collect();
    lines.push(format!("{INFO}/RECORD,,"));
    members.push(Packed::new(&format!("{INFO}/RECORD"), lines.join("\r\n").as_bytes()));
    members
}

fn open_bytes(bytes: &[u8]) -> Result<Wheel, WheelError> {
    open_checked(bytes, RecordCheck::Strict)
}

fn open_checked(bytes: &[u8], check: RecordCheck) -> Result<Wheel, WheelError> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    open(file, FILE, check, Limits::default())
}

fn venv() -> Venv {
    Venv::new(TreePath::new("/opt/app").unwrap(), "python3.14").unwrap()
}

fn install(members: Vec<Packed>) -> Result<Tree, WheelError> {
    open_bytes(&zip(&with_record(members)))?.tree(&venv(), 1_700_000_000)
}

fn text_of(tree: &Tree, path: &str) -> String {
    match &tree.get(&TreePath::new(path).unwrap()).unwrap().kind {
        Kind::File(content) => String::from_utf8(content.read().unwrap()).unwrap(),
        other => panic!("{path} is {other:?}"),
    }
}

fn refusal(members: &[Packed]) -> String {
    open_bytes(&zip(members)).unwrap_err().kind.to_string()
}

#[test]
fn each_part_of_a_wheel_is_installed_to_its_path() {
    let mut members = files(&[
        ("demo/__init__.py", "x = 1\n"),
        ("demo/run", "\x7fELF"),
        ("demo_pkg-1.0.data/purelib/pure.py", ""),
        ("demo_pkg-1.0.data/platlib/plat.so", ""),
        ("demo_pkg-1.0.data/scripts/tool", "#!python3 -I\nprint()\n"),
        ("demo_pkg-1.0.data/scripts/demo", "replaced by the entry point"),
        ("demo_pkg-1.0.data/scripts/shell", "#!/bin/sh\n"),
        ("demo_pkg-1.0.data/headers/demo.h", ""),
        ("demo_pkg-1.0.data/data/share/man/demo,1", ""),
        ("demo_pkg-1.0.data/data/lib64/x", ""),
        ("demo_pkg-1.0.dist-info/INSTALLER", "other\n"),
        ("demo_pkg-1.0.dist-info/entry_points.txt", "[console_scripts]\ndemo = demo:main\n"),
    ]);
    members[1].mode = 0o100_755;
    members.push(Packed { mode: 0o040_755, ..Packed::new("demo/empty/", b"") });
    let tree = install(members).unwrap();
    let listing: Vec<String> = tree
        .iter()
        .filter(|(_, entry)| matches!(entry.kind, Kind::File(_)))
        .map(|(path, entry)| format!("{:o} {path}", entry.mode))
        .collect();
    insta::assert_snapshot!(listing.join("\n"), @"
    755 opt/app/bin/demo
    755 opt/app/bin/shell
    755 opt/app/bin/tool
    644 opt/app/include/site/python3.14/demo-pkg/demo.h
    644 opt/app/lib/python3.14/site-packages/demo/__init__.py
    755 opt/app/lib/python3.14/site-packages/demo/run
    644 opt/app/lib/python3.14/site-packages/demo_pkg-1.0.dist-info/INSTALLER
    644 opt/app/lib/python3.14/site-packages/demo_pkg-1.0.dist-info/METADATA
    644 opt/app/lib/python3.14/site-packages/demo_pkg-1.0.dist-info/RECORD
    644 opt/app/lib/python3.14/site-packages/demo_pkg-1.0.dist-info/WHEEL
    644 opt/app/lib/python3.14/site-packages/demo_pkg-1.0.dist-info/entry_points.txt
    644 opt/app/lib/python3.14/site-packages/plat.so
    644 opt/app/lib/python3.14/site-packages/pure.py
    644 opt/app/lib/x
    644 opt/app/share/man/demo,1
    ");
    let script = tree.get(&TreePath::new("opt/app/bin/demo").unwrap()).unwrap();
    assert_eq!((script.mtime, &*script.origin), (Some(1_700_000_000), "wheel demo-pkg 1.0"));
    assert_eq!(text_of(&tree, "opt/app/bin/tool"), "#!/opt/app/bin/python -I\nprint()\n");
    let site = "opt/app/lib/python3.14/site-packages";
    assert_eq!(text_of(&tree, &format!("{site}/{INFO}/INSTALLER")), "sealift\n");
    insta::assert_snapshot!(text_of(&tree, &format!("{site}/{INFO}/RECORD")), @r#"
    ../../../bin/demo,sha256=UFpgmGtgPNAgdUwhwLGKW6wyU5i-L_3RpYe0DMjZUhg,111
    ../../../bin/shell,sha256=qAdtPSjSHgIBKyDq99v3VAmmJ3E0Q5Al8oLjaOMwWr8,10
    ../../../bin/tool,sha256=8aAeHC2M1RbYTRaRoRjQxwFNOxc990p8jtThIzVoMms,33
    ../../../include/site/python3.14/demo-pkg/demo.h,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0
    ../../../lib/x,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0
    "../../../share/man/demo,1",sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0
    demo/__init__.py,sha256=nia_NpkRxFwkPGhBR7I_yeHc_PJX0pmhxjIBam_NM_Q,6
    demo/run,sha256=O9u0_oOXzSuEJDCznM_wGoZjx1GUXvXpoJ4mf7ix01k,4
    demo_pkg-1.0.dist-info/INSTALLER,sha256=zJB1AsN2Q1M93Q_fTeyKPGq8khxl5D4-74-MRQYmopw,8
    demo_pkg-1.0.dist-info/METADATA,sha256=2TYd0sXVewTJDiNQRnsFMmWi1uaWJW0H4YDezMxkUWI,70
    demo_pkg-1.0.dist-info/RECORD,,
    demo_pkg-1.0.dist-info/WHEEL,sha256=JCVX9z8V-js2aV5qmQR2E3fiCs-Yu3vPO91cCBmO1JM,59
    demo_pkg-1.0.dist-info/entry_points.txt,sha256=cB9_KZ99Q1zeK186yD_neftGZdvOT61tblgHJXTEFUw,35
    plat.so,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0
    pure.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0
    "#);
}

#[test]
fn deflated_members_and_other_hashes_are_supported() {
    let text = "x = 1\n".repeat(100);
    let hash = |name: &str, digest: &[u8]| format!("{name}={}", URL_SAFE_NO_PAD.encode(digest));
    for claim in [
        FileHash::of(text.as_bytes()).hash,
        hash("sha384", &Sha384::digest(&text)),
        hash("sha512", &Sha512::digest(&text)) + "==",
    ] {
        let mut members = with_record(files(&[]));
        let record = members.pop().unwrap();
        let record = format!("demo.py,{claim},{}\n{}", text.len(), String::from_utf8(record.bytes).unwrap());
        members.push(Packed::new("demo.py", text.as_bytes()).deflated());
        members.push(Packed::new(&format!("{INFO}/RECORD"), record.as_bytes()));
        let tree = open_bytes(&zip(&members)).unwrap().tree(&venv(), 0).unwrap();
        assert_eq!(text_of(&tree, "opt/app/lib/python3.14/site-packages/demo.py"), text);
    }
}

#[test]
fn names_that_leave_the_tree_are_rejected() {
    for name in ["../x", "/etc/passwd", "a/../../x", "a//x", "./x", "a\\x", "a\nx", "", "C:\\x"] {
        let problem = open_bytes(&zip(&with_record(files(&[(name, "")])))).unwrap_err().kind;
        assert!(matches!(problem, WheelErrorKind::Zip(ZipError::Name(..))), "{name}: {problem}");
    }
}

#[test]
fn members_that_are_not_regular_files_are_rejected() {
    for kind in [0o120_000, 0o020_000, 0o010_000, 0o040_000] {
        let mut members = files(&[("link", "/etc/passwd")]);
        members[0].mode = kind | 0o777;
        assert_eq!(refusal(&with_record(members)), "the member `link`: it is neither a regular file nor a directory");
    }
}

#[test]
fn two_members_with_one_path_are_rejected() {
    let twice = |one, two| refusal(&with_record(files(&[(one, "1"), (two, "2")])));
    assert_eq!(twice("a", "a"), "the member `a`: the archive has it twice");
    assert_eq!(twice("a", "a/b"), "the member `a`: it is a file and a directory");
    let tree = install(files(&[("a", ""), ("demo_pkg-1.0.data/purelib/a", "")]));
    assert!(matches!(tree.unwrap_err().kind, WheelErrorKind::Collision(place) if place.ends_with("site-packages/a")));
    let tree = install(files(&[("a/b", ""), ("demo_pkg-1.0.data/purelib/a", "")]));
    assert!(matches!(tree.unwrap_err().kind, WheelErrorKind::Collision(place) if place.ends_with("site-packages/a")));
}

/// Installers do not read `RECORD` of an archive, so such wheels are in use.
#[test]
fn record_and_archive_must_agree_unless_it_is_accepted() {
    let good = with_record(files(&[("a.py", "right")]));
    let (record, rest) = good.split_last().unwrap();
    let packed = |line: &str| {
        let text = String::from_utf8(record.bytes.clone()).unwrap();
        let kept: Vec<_> = text.lines().filter(|line| !line.starts_with("\"a.py\"")).chain([line]).collect();
        let record = Packed::new(&record.name, kept.join("\n").as_bytes());
        zip(&[rest, &[record]].concat())
    };
    let with = |line: &str| {
        let error = open_bytes(&packed(line)).unwrap_err();
        assert!(error.only_record, "{error}");
        let accepted = open_checked(&packed(line), RecordCheck::Lenient).unwrap();
        let message = error.kind.to_string();
        assert!(accepted.differences().contains(&message), "{:?}", accepted.differences());
        assert_eq!(text_of(&accepted.tree(&venv(), 0).unwrap(), "opt/app/lib/python3.14/site-packages/a.py"), "right");
        message
    };
    let hash = FileHash::of(b"right").hash;
    for check in [RecordCheck::Strict, RecordCheck::Lenient] {
        let unlisted = open_checked(&packed(""), check).unwrap();
        assert_eq!(unlisted.differences(), ["the member `a.py`: RECORD does not list it"]);
        let record = text_of(
            &unlisted.tree(&venv(), 0).unwrap(),
            &format!("opt/app/lib/python3.14/site-packages/{INFO}/RECORD"),
        );
        assert!(record.contains(&format!("a.py,{hash},5")), "the written RECORD is complete: {record}");
    }
    assert_eq!(with("a.py"), "line 4 of RECORD: it does not have three fields");
    assert_eq!(with("a.py,,5"), "the member `a.py`: RECORD has no hash for it");
    assert_eq!(with("a.py,md5=x,5"), "the member `a.py`: its hash in RECORD is none of SHA-256, SHA-384 and SHA-512");
    assert_eq!(with(&format!("a.py,{hash},4")), "the member `a.py`: its size is 5, not 4");
    let message = with(&format!("a.py,{},5", FileHash::of(b"wrong").hash));
    assert!(message.starts_with("the member `a.py`: its hash is sha256="), "{message}");
    let message = with(&format!("a.py,{hash},5\nb.py,{hash},5"));
    assert_eq!(message, "the member `b.py`: RECORD lists it, but the archive does not have it");
    assert_eq!(refusal(rest), format!("it has no `{INFO}/RECORD`"));
}

#[test]
fn wrong_headers_are_rejected() {
    let changed = |change: fn(&mut Packed)| {
        let mut members = with_record(files(&[("a.py", "aaaaaaaaaaaaaaaaaaaa")]));
        members[0] = members[0].clone().deflated();
        change(&mut members[0]);
        refusal(&members)
    };
    let read = |message: &str| format!("the member `a.py` cannot be read: {message}");
    assert_eq!(changed(|m| m.size -= 1), read("the member is longer than it declares"));
    assert_eq!(changed(|m| m.size += 1), read("the member ends before its declared length"));
    assert_eq!(changed(|m| m.size = u32::MAX - 1), "it unpacks to more than 64 MiB");
    assert_eq!(changed(|m| m.method = 0), "the member `a.py`: it is stored, and its two sizes differ");
    assert_eq!(changed(|m| m.method = 14), "the member `a.py`: its compression is neither `stored` nor `deflated`");
    assert_eq!(changed(|m| m.flags = 1), "the member `a.py`: it is encrypted");
    assert_eq!(changed(|m| m.local_name = Some("b.py".into())), "the member `a.py`: its two headers disagree");
    let message = changed(|m| m.crc ^= 1);
    assert!(message.starts_with("the member `a.py`: its CRC-32 is "), "{message}");
}

#[test]
fn bytes_around_the_archive_are_rejected() {
    let bytes = zip(&with_record(files(&[])));
    let problem = |bytes: Vec<u8>| open_bytes(&bytes).unwrap_err().kind.to_string();
    assert_eq!(problem([&bytes[..], b"x"].concat()), "in its zip archive, bytes follow the archive");
    // Offsets count from the start of the file: with a byte before it, nothing is found.
    assert!(open_bytes(&[b"x", &bytes[..]].concat()).is_err());
    assert!(open_bytes(&bytes[..bytes.len() - 1]).is_err());
    assert!(open_bytes(b"").is_err());
}

#[test]
fn a_wheel_must_match_its_file_name() {
    let changed = |name: &str, text: &str| {
        let mut members = files(&[]);
        members.retain(|member| member.name != format!("{INFO}/{name}"));
        members.push(Packed::new(&format!("{INFO}/{name}"), text.as_bytes()));
        refusal(&with_record(members))
    };
    assert_eq!(changed("METADATA", "Name: other\nVersion: 1.0"), "METADATA has the name `other`");
    assert_eq!(changed("METADATA", "Name: demo-pkg\nVersion: 1.1"), "METADATA has the version `1.1`");
    assert_eq!(changed("METADATA", "Version: 1.0"), "METADATA has no `Name`");
    assert_eq!(
        changed("WHEEL", "Wheel-Version: 2.0\nRoot-Is-Purelib: true"),
        "it is in version 2.0 of the wheel format, but only 1.x is supported"
    );
    assert_eq!(changed("WHEEL", "Wheel-Version: 1.9"), "WHEEL has no `Root-Is-Purelib`");
    assert_eq!(
        refusal(&with_record(files(&[("other-1.0.dist-info/x", "")]))),
        "its directory `other-1.0.dist-info` belongs to another distribution or version"
    );
    assert_eq!(
        install(files(&[("demo_pkg-1.0.data/else/x", "")])).unwrap_err().to_string(),
        "the wheel `demo_pkg-1.0-py3-none-any.whl`: the member `demo_pkg-1.0.data/else/x`: it is in an unknown directory of `.data`"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// A changed byte is either found or changes no installed content.
    #[test]
    fn a_changed_byte_changes_no_content(at in 0usize..2000, flip in 1u8..=255) {
        let members = files(&[("demo/a.py", "print('hello')\n"), ("demo/b.py", "")]);
        let mut bytes = zip(&with_record(members));
        let contents = |wheel: &Wheel| -> Vec<_> {
            wheel.members.iter().map(|(name, member)| (name.clone(), member.hash.clone())).collect()
        };
        let before = contents(&open_bytes(&bytes).unwrap());
        let at = at % bytes.len();
        bytes[at] ^= flip;
        if let Ok(wheel) = open_bytes(&bytes) {
            prop_assert_eq!(contents(&wheel), before);
        }
    }
}
