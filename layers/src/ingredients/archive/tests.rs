//! Valid and hostile archives, made byte by byte.

use std::io::{Seek as _, Write as _};

use ::tar::{EntryType, Header};

use super::*;
use crate::tree::{Kind, Pattern};
use crate::zip::testing::{Packed, zip};

fn origin() -> Arc<str> {
    "the archive site 1.2".into()
}

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file
}

fn open_bytes(bytes: &[u8], name: &str) -> Result<Tree, ArchiveError> {
    let format = Format::of(name).unwrap();
    open(file(bytes), format, tempfile::tempfile().unwrap(), Limits::default(), &origin())
}

/// A member of a tar. The name is written as it is.
fn member(name: &str, kind: EntryType, content: &str) -> Vec<u8> {
    let is_link = matches!(kind, EntryType::Symlink | EntryType::Link);
    let mut header = Header::new_ustar();
    let old = header.as_ustar_mut().unwrap();
    old.name[..name.len()].copy_from_slice(name.as_bytes());
    if is_link {
        old.linkname[..content.len()].copy_from_slice(content.as_bytes());
    }
    header.set_entry_type(kind);
    header.set_mode(if name.contains("bin/") { 0o6755 } else { 0o640 });
    header.set_uid(1234);
    header.set_gid(1234);
    header.set_mtime(1_700_000_000);
    header.set_size(if is_link { 0 } else { content.len() as u64 });
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    if !is_link {
        bytes.extend(content.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes
}

fn tar(members: &[(&str, EntryType, &str)]) -> Vec<u8> {
    let members = members.iter().flat_map(|(name, kind, content)| member(name, *kind, content));
    members.chain([0; 1024]).collect()
}

fn placement(path: &str) -> Placement {
    Placement { path: TreePath::new(path).ok(), ..Placement::default() }
}

fn patterns(texts: &[&str]) -> Vec<Pattern> {
    texts.iter().map(|text| Pattern::new(text)).collect()
}

/// A line for each path.
fn shown(tree: &Tree) -> String {
    let line = |(path, entry): (_, &Entry)| {
        let end = match &entry.kind {
            Kind::Symlink(target) => format!(" -> {target}"),
            Kind::Hardlink(target) => format!(" = {target}"),
            Kind::Directory => "/".to_owned(),
            Kind::File(content) => format!(" {}", String::from_utf8(content.read().unwrap()).unwrap()),
        };
        format!("{:04o} {}:{} {path}{end}\n", entry.mode, entry.uid, entry.gid)
    };
    tree.iter().map(line).collect()
}

/// What becomes of a tar that is unpacked below `/srv`.
fn unpacked(members: &[(&str, EntryType, &str)], placement: &Placement) -> Result<String, ArchiveError> {
    Ok(shown(&placement.place(open_bytes(&tar(members), "x.tar")?, &origin())?.tree))
}

fn message(result: Result<String, ArchiveError>) -> String {
    let error = result.expect_err("it is refused");
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        if !text.contains(&cause.to_string()) {
            text.push_str(&format!(": {cause}"));
        }
        source = cause.source();
    }
    text
}

use EntryType::{Char, Directory, Fifo, Link, Regular, Symlink};

const SITE: [(&str, EntryType, &str); 6] = [
    ("site-1.2/", Directory, ""),
    ("site-1.2/bin/tool", Regular, "#!"),
    ("site-1.2/bin/again", Link, "site-1.2/bin/tool"),
    ("site-1.2/doc/readme", Regular, "text"),
    ("site-1.2/index.html", Regular, "<p>"),
    ("site-1.2/current", Symlink, "bin/../index.html"),
];

#[test]
fn owners_special_bits_and_first_components_are_left_out() {
    let placement = Placement { strip: 1, ..placement("/srv/www") };
    insta::assert_snapshot!(unpacked(&SITE, &placement).unwrap(), @r"
    0755 0:0 srv/www/
    0755 0:0 srv/www/bin/
    0755 0:0 srv/www/bin/again #!
    0755 0:0 srv/www/bin/tool = srv/www/bin/again
    0777 0:0 srv/www/current -> bin/../index.html
    0755 0:0 srv/www/doc/
    0644 0:0 srv/www/doc/readme text
    0644 0:0 srv/www/index.html <p>
    ");
}

#[test]
fn the_profile_decides_owner_mode_and_what_is_left_out() {
    let placement = Placement {
        strip: 1,
        drop: patterns(&["**"]),
        keep: patterns(&["doc", "bin/tool"]),
        programs: patterns(&["doc/*"]),
        mode: Some(0o640),
        owner: (7, 8),
        ..placement("/srv/www")
    };
    insta::assert_snapshot!(unpacked(&SITE, &placement).unwrap(), @r"
    0750 7:8 srv/www/
    0750 7:8 srv/www/bin/
    0750 7:8 srv/www/bin/tool #!
    0750 7:8 srv/www/doc/
    0750 7:8 srv/www/doc/readme text
    ");
}

#[test]
fn a_hard_link_to_a_file_that_is_dropped_is_the_file() {
    let placement =
        Placement { strip: 1, drop: patterns(&["bin/again", "doc", "*.html", "current"]), ..placement("/") };
    insta::assert_snapshot!(unpacked(&SITE, &placement).unwrap(), @r"
    0755 0:0 bin/
    0755 0:0 bin/tool #!
    ");
    let placement = Placement { drop: patterns(&["bin/tool", "doc", "*.html", "current"]), ..placement };
    insta::assert_snapshot!(unpacked(&SITE, &placement).unwrap(), @r"
    0755 0:0 bin/
    0755 0:0 bin/again #!
    ");
}

#[test]
fn a_tar_is_the_same_with_every_compression() {
    let bytes = tar(&SITE);
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(&bytes).unwrap();
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(&bytes).unwrap();
    let mut bz = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bz.write_all(&bytes).unwrap();
    let plain = shown(&open_bytes(&bytes, "a.tar").unwrap());
    let packed = [
        ("a.tar.gz", gz.finish().unwrap()),
        ("A.TXZ", xz.finish().unwrap()),
        ("a.tar.bz2", bz.finish().unwrap()),
        ("a.tar.zst", zstd::encode_all(&bytes[..], 1).unwrap()),
    ];
    for (name, packed) in packed {
        assert_eq!(shown(&open_bytes(&packed, name).unwrap()), plain, "{name}");
        assert!(open_bytes(&packed[..packed.len() / 2], name).is_err(), "{name}: truncated");
        assert!(open_bytes(&bytes, name).is_err(), "{name}: not compressed");
    }
    for name in ["a.rar", "tool", "a.gz", "zip"] {
        assert_eq!(Format::of(name), None, "{name}");
    }
}

#[test]
fn a_zip_has_files_links_programs_and_times() {
    let accented = zip(&[Packed::new("\u{e9}t\u{e9}", b"1")]);
    assert_eq!(
        message(open_bytes(&accented, "x.zip").map(|tree| shown(&tree))),
        "the member `\u{e9}t\u{e9}`: its name is not ASCII and not marked as UTF-8"
    );
    let mut folder = Packed::new("app/none/", b"");
    folder.mode = 0o040_700;
    let mut link = Packed::new("app/now", b"run");
    link.mode = 0o120_777;
    let mut run = Packed::new("app/run", b"#!").deflated();
    run.mode = 0o104_755;
    let bytes = zip(&[folder, link, run]);
    let placed = placement("/opt/x").place(open_bytes(&bytes, "x.zip").unwrap(), &origin()).unwrap();
    insta::assert_snapshot!(shown(&placed.tree), @r"
    0755 0:0 opt/x/
    0755 0:0 opt/x/app/
    0755 0:0 opt/x/app/none/
    0777 0:0 opt/x/app/now -> run
    0755 0:0 opt/x/app/run #!
    ");
}

#[test]
fn hostile_tars_are_refused() {
    let srv = placement("/srv");
    let refusal = |members: &[(&str, EntryType, &str)]| message(unpacked(members, &srv));
    let messages = [
        refusal(&[("../x", Regular, "")]),
        refusal(&[("a/../../x", Regular, "")]),
        refusal(&[("/etc/passwd", Regular, "")]),
        refusal(&[("a", Regular, ""), ("b", Link, "/etc/passwd")]),
        refusal(&[("b", Link, "../../etc/passwd")]),
        refusal(&[("b", Link, "a")]),
        refusal(&[("a", Regular, "1"), ("a", Regular, "2")]),
        refusal(&[("a", Symlink, "b"), ("a/x", Regular, "")]),
        refusal(&[("a", Regular, ""), ("a/x", Regular, "")]),
        refusal(&[("tty", Char, "")]),
        refusal(&[("pipe", Fifo, "")]),
        refusal(&[("only/", Directory, "")]),
        refusal(&[]),
    ];
    insta::assert_snapshot!(messages.join("\n"), @r"
    the tar archive has a bad path: `../x` has a `..` component
    the tar archive has a bad path: `a/../../x` has a `..` component
    the path `/etc/passwd` in it is absolute
    the path `/etc/passwd` in it is absolute
    the tar archive has a bad path: `../../etc/passwd` has a `..` component
    the hard link `b` in it is to no file of the archive
    the tar archive has `/a` twice
    `a/x` in it is behind `a`, which is not a folder
    `a/x` in it is behind `a`, which is not a folder
    the tar archive has `/tty` of the unsupported type character device
    the tar archive has `/pipe` of the unsupported type pipe
    it has no file that would be in the image
    it has no file that would be in the image
    ");
}

/// The way that a link takes counts, not the text of its target.
#[test]
fn links_out_of_the_archive_are_refused() {
    let srv = placement("/srv/www");
    let refused = |members: &[(&str, EntryType, &str)]| {
        let members = [members, &[("d/file", Regular, "")]].concat();
        matches!(unpacked(&members, &srv), Err(ArchiveError::LeadsOut { .. }))
    };
    for target in ["/etc", "..", "../x", "d/../../x", "/srv", "/srv/www/../x", "/srv/wwwx"] {
        assert!(refused(&[("a", Symlink, target)]), "{target}");
    }
    for target in ["d", "d/../d/file", "gone", "/srv/www/d", ".", "/srv/www"] {
        assert!(!refused(&[("a", Symlink, target)]), "{target}");
    }
    // `d/self` is `d`, so that `..` behind it leads further up than it seems.
    assert!(refused(&[("d/self", Symlink, "."), ("d/out", Symlink, "self/../../x")]));
    assert!(refused(&[("a", Symlink, "b"), ("b", Symlink, "a")]), "a loop");
    // With another root, the same links lead elsewhere.
    let at_root = Placement::default();
    let absolute = [("d/file", Regular, ""), ("a", Symlink, "/usr/bin/env"), ("d/up", Symlink, "../../x")];
    assert!(unpacked(&absolute[..2], &at_root).is_ok());
    assert!(unpacked(&absolute, &at_root).is_err());
    // A link that is left out leads nowhere.
    let without = Placement { drop: patterns(&["a"]), ..srv };
    assert!(unpacked(&[("a", Symlink, "/etc"), ("b", Regular, "")], &without).is_ok());
}

#[test]
fn paths_that_strip_brings_together_or_leaves_nothing_of_are_refused() {
    let srv = Placement { strip: 1, ..placement("/srv") };
    let twice = [("a/x", Regular, "1"), ("b/x", Regular, "2")];
    assert_eq!(message(unpacked(&twice, &srv)), "without the first components of its paths, it has `x` twice");
    let beside = [("a/x", Regular, "1"), ("LICENSE", Regular, "2")];
    assert_eq!(message(unpacked(&beside, &srv)), "`LICENSE` in it has no more than 1 components");
    let without = Placement { drop: patterns(&["LICENSE"]), ..srv };
    assert!(unpacked(&beside, &without).is_ok());
}

#[test]
fn hostile_zips_are_refused() {
    let refusal = |members: &[Packed]| message(open_bytes(&zip(members), "x.zip").map(|tree| shown(&tree)));
    let with = |name: &str, change: fn(&mut Packed)| {
        let mut member = Packed::new(name, b"content");
        change(&mut member);
        member
    };
    let messages = [
        refusal(&[with("../x", |_| {})]),
        refusal(&[with("/etc/passwd", |_| {})]),
        refusal(&[with("a\\..\\x", |_| {})]),
        refusal(&[with("a", |_| {}), with("a", |_| {})]),
        refusal(&[with("a", |_| {}), with("a/b", |_| {})]),
        refusal(&[with("a", |member| member.local_name = Some("b".into()))]),
        refusal(&[with("a", |member| member.crc ^= 1)]),
        refusal(&[with("a", |member| member.mode = 0o060_644)]),
        refusal(&[with("a", |member| member.flags = 1)]),
        refusal(&[with("a", |member| member.size = 9)]),
    ];
    insta::assert_snapshot!(messages.join("\n"), @r"
    the name `../x`: a component is `.` or `..`
    the name `/etc/passwd`: it is absolute
    the name `a\\..\\x`: it has a backslash
    the member `a`: the archive has it twice
    the member `a`: it is a file and a directory
    the member `a`: its two headers disagree
    the member `a`: its CRC-32 is fec530a9, not fec530a8
    the member `a`: it is neither a regular file nor a directory
    the member `a`: it is encrypted
    the member `a`: it is stored, and its two sizes differ
    ");
    let mut link = Packed::new("a", &[b'x'; 5000]);
    link.mode = 0o120_777;
    assert_eq!(refusal(&[link]), "the target of a link is larger than 4 KiB");
    let before = [b"#!/bin/sh\n".to_vec(), zip(&[with("a", |_| {})])].concat();
    assert!(open_bytes(&before, "x.zip").is_err());
}

/// A bomb ends at its limit, before the disk is full.
#[test]
fn bombs_are_refused() {
    let zeros = vec![0; 65 << 20];
    let packed = zstd::encode_all(&zeros[..], 1).unwrap();
    assert!(packed.len() < 100_000);
    assert_eq!(
        message(open_bytes(&packed, "x.tar.zst").map(|tree| shown(&tree))),
        "it cannot be read: it unpacks to more than 64 MiB"
    );
    let bomb = zip(&[Packed::new("zeros", &zeros).deflated()]);
    assert_eq!(message(open_bytes(&bomb, "x.zip").map(|_| String::new())), "it unpacks to more than 64 MiB");
    // Links through links, each twice as long as the one before.
    let mut members = vec![("l0".to_owned(), "d".to_owned())];
    for n in 1..60 {
        members.push((format!("l{n}"), format!("l{0}/../l{0}", n - 1)));
    }
    let members: Vec<_> = members.iter().map(|(name, target)| (name.as_str(), Symlink, target.as_str())).collect();
    let members = [&members[..], &[("d/file", Regular, "")]].concat();
    assert!(unpacked(&members, &placement("/srv")).is_err());
}
