//! Archives that readers understand differently, made byte by byte.

use std::io::Read as _;

use super::members::{Member, MemberKind, Members, Stream};
use super::read::ReadError;

/// A header block. Changes after it need [`summed`].
fn header(name: &str, flag: u8, size: u64) -> [u8; 512] {
    let mut block = [0; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    for (at, value) in [(100, 0o644), (108, 0), (116, 0)] {
        block[at..at + 8].copy_from_slice(format!("{value:07o}\0").as_bytes());
    }
    block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    block[136..148].copy_from_slice(b"00000000007\0");
    block[156] = flag;
    block[257..265].copy_from_slice(b"ustar\x0000");
    summed(block)
}

fn summed(mut block: [u8; 512]) -> [u8; 512] {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

fn with(name: &str, flag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = header(name, flag, body.len() as u64).to_vec();
    bytes.extend_from_slice(body);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn pax(records: &[&[u8]]) -> Vec<u8> {
    with("PaxHeaders/x", b'x', &records.concat())
}

fn read(parts: &[&[u8]]) -> Result<Vec<Member>, ReadError> {
    let bytes = parts.concat();
    let mut members = Members::new(Stream(&bytes[..]));
    let mut found = Vec::new();
    while let Some(member) = members.next()? {
        found.push(member);
    }
    Ok(found)
}

fn refused(parts: &[&[u8]]) -> String {
    let error = read(&[parts, &[&[0; 1024]]].concat()).unwrap_err();
    std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string)
}

const END: [u8; 1024] = [0; 1024];

#[test]
fn names_of_all_forms_are_read() {
    let mut prefixed = header("b", b'0', 0);
    prefixed[345..348].copy_from_slice(b"usr");
    let mut gnu = header("c", b'0', 0);
    gnu[257..265].copy_from_slice(b"ustar  \0");
    gnu[345..348].copy_from_slice(b"123");
    let found = read(&[
        &header("a/", b'5', 0),
        &summed(prefixed),
        &summed(gnu),
        &with("././@LongLink", b'L', b"long/name\0"),
        &with("cut", b'0', b"hello"),
        // A value may have a line break, and a capability any byte.
        &pax(&[b"13 path=d\ne\n\n", b"28 SCHILY.xattr.user.a=\n\0\n9\n"]),
        &header("x", b'0', 0),
        &header("old/", b'0', 0),
        &END,
    ])
    .unwrap();
    let names: Vec<(&str, u64)> = found.iter().map(|member| (member.name.as_str(), member.size)).collect();
    assert_eq!(names, [("a/", 0), ("usr/b", 0), ("c", 0), ("long/name", 5), ("d\ne\n", 0), ("old/", 0)]);
    assert_eq!(found[4].xattrs["user.a"], b"\n\0\n9");
    assert_eq!(found[5].kind, MemberKind::Directory);
    assert_eq!(found[3].mtime, 7);
}

#[test]
fn contents_are_read_through_it() {
    let bytes = [with("a", b'0', b"hello"), with("b", b'0', &[b'x'; 700]), END.to_vec()].concat();
    let mut members = Members::new(Stream(&bytes[..]));
    members.next().unwrap();
    let mut text = String::new();
    members.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");
    let second = members.next().unwrap().unwrap();
    assert_eq!((second.name.as_str(), second.offset), ("b", 1536));
    assert!(members.next().unwrap().is_none());
    assert!(members.next().unwrap().is_none());
}

#[test]
fn numbers_may_be_in_base_256_but_not_negative_or_absurd() {
    let sized = |field: &[u8; 12]| {
        let mut block = header("a", b'0', 0);
        block[124..136].copy_from_slice(field);
        summed(block)
    };
    let found = read(&[&sized(b"\x80\0\0\0\0\0\0\0\0\0\0\x03"), b"abc", &[0; 509], &END]).unwrap();
    assert_eq!(found[0].size, 3);
    let found = read(&[&sized(b"           3"), b"abc", &[0; 509], &END]).unwrap();
    assert_eq!(found[0].size, 3);
    for field in [b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"\x80\0\0\0\x80\0\0\0\0\0\0\0"] {
        assert_eq!(refused(&[&sized(field)]), "a size is impossible");
    }
    for field in [b"\x81\0\0\0\0\0\0\0\0\0\0\x03", b"0000000000z\0", b"00000 00003\0", b"            "] {
        assert_eq!(refused(&[&sized(field)]), "a number in a header is malformed");
    }
    let mut early = header("a", b'0', 0);
    early[136..148].fill(0xff);
    assert_eq!(read(&[&summed(early), &END]).unwrap()[0].mtime, 0);
}

#[test]
fn what_readers_understand_differently_is_refused() {
    let long = with("././@LongLink", b'L', b"one\0");
    let file = header("a", b'0', 0);
    let record = pax(&[b"12 path=one\n"]);
    let mut bad_sum = file;
    bad_sum[0] = b'b';
    let cases: [(&[&[u8]], &str); 17] = [
        (&[&long, &record, &file], "a member has two names or two extended headers"),
        (&[&long, &long, &file], "a member has two names or two extended headers"),
        (&[&record, &record, &file], "a member has two names or two extended headers"),
        (&[&pax(&[b"12 path=one\n", b"12 path=two\n"]), &file], "a member has a pax record twice"),
        (
            &[&pax(&[b"9 size=5\n"]), &header("a", b'0', 3)],
            "the size of a member differs between its header and its pax record",
        ),
        (&[&header("l", b'2', 512), &[0; 512]], "a link or a directory has contents"),
        (&[&header("l", b'1', 1), &[0; 512]], "a link or a directory has contents"),
        (&[&pax(&[b"22 GNU.sparse.major=1\n"]), &file], "it has a sparse file"),
        (&[&file, &END, &file], "something follows its end"),
        (&[&bad_sum], "the checksum of a header is wrong"),
        (&[&long], "it ends after the extended header of a member"),
        (&[&pax(&[b"99 path=x\n"]), &file], "a pax record is malformed"),
        (
            &[&pax(&[b"36 SCHILY.xattr.trusted.overlay.x=y\n"]), &file],
            "the extended attribute `trusted.overlay.x` is not one of a file",
        ),
        (
            &[&pax(&[b"45 SCHILY.xattr.user.containers.override_x=y\n"]), &file],
            "the extended attribute `user.containers.override_x` is not one of a file",
        ),
        (
            &[&pax(&[b"45 SCHILY.xattr.system.posix_acl_access_xy=y\n"]), &file],
            "the extended attribute `system.posix_acl_access_xy` is not one of a file",
        ),
        (&[&header("l", b'2', 0)], "a symbolic link has no target"),
        (&[&header("x", b'x', 2 << 20), &[0; 2 << 20]], "an extended header is larger than 1 MiB"),
    ];
    for (parts, message) in cases {
        assert_eq!(refused(parts), message);
    }
}

#[test]
fn an_archive_may_end_without_zeros_but_not_within_a_member() {
    assert_eq!(read(&[&header("a", b'0', 0)]).unwrap().len(), 1);
    assert_eq!(read(&[]).unwrap().len(), 0);
    for cut in [&header("a", b'0', 600)[..], &header("a", b'0', 0)[..300]] {
        assert!(read(&[cut, b"xyz"]).is_err());
    }
}
