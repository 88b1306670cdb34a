//! Debian packages, tar archives, wheels and closures of Nix.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::sync::Arc;

use sealift_layers::ingredients::deb::{self, Control, ar as archive, is_package_name};
use sealift_layers::ingredients::nix_store::{Closure, nar, pack};
use sealift_layers::ingredients::wheel::{self, RecordCheck, Venv, entry_points as entries, record as records};
use sealift_layers::limits::{COMMANDS, DEPTH, Limits, PATH};
use sealift_layers::tar::{self as tars, Members, Stream};
use sealift_layers::tree::{SourceFile, Tree, TreePath};

use super::{empty_file, file, parts, text};
use crate::packed;

/// What inputs may unpack to, so that a run is short.
const LIMITS: Limits = Limits { unpacked: Some(1 << 20) };

/// Members of an `ar` archive follow each other within the file, and come back from an archive that is written anew.
///
/// # Panics
/// They do not.
pub fn ar(data: &[u8]) {
    let read = |bytes: &[u8]| archive::members(&SourceFile::Memory(bytes.to_vec()));
    let Ok(members) = read(data) else { return };
    assert!(members.len() <= 100);
    let mut end = 8;
    let mut bodies = Vec::new();
    for member in &members {
        assert!(member.offset >= end + 60 && member.name.len() <= 16);
        end = member.offset + member.size;
        let range = usize::try_from(member.offset).unwrap()..usize::try_from(end).unwrap();
        bodies.push((member.name.as_str(), data[range].to_vec()));
    }
    assert!(end <= data.len() as u64);
    // Only these names can be written by `packed::ar`, which pads characters.
    if bodies.iter().all(|(name, _)| name.is_ascii() && !name.ends_with(['/', ' '])) {
        let written = packed::ar(&bodies);
        let again = read(&written).unwrap();
        let names = |list: &[archive::Member]| list.iter().map(|m| (m.name.clone(), m.size)).collect::<Vec<_>>();
        assert_eq!(names(&again), names(&members));
    }
}

/// A package unpacks within its limit, twice to the same tree, and its tree can be written and read.
///
/// # Panics
/// It does not.
pub fn deb(data: &[u8]) {
    let source = Arc::new(SourceFile::Memory(data.to_vec()));
    let open = || {
        let spool = empty_file();
        let opened = deb::open(&source, spool.try_clone().unwrap(), LIMITS);
        // What is read at once may go beyond the limit before that is noticed.
        assert!(spool.metadata().unwrap().len() <= 1 << 20, "its limit does not hold");
        opened.ok()
    };
    let Some(package) = open() else { return };
    assert!(is_package_name(&package.control.name));
    let stanza = deb::control_stanza(&source).unwrap();
    assert_eq!(Control::parse(&stanza).unwrap(), package.control);
    let again = open().unwrap();
    assert_eq!((again.control, again.scripts), (package.control, package.scripts));
    assert_eq!(shown(&again.tree), shown(&package.tree));
    comes_back(package.tree);
}

/// A control stanza is read the same from its own fields.
///
/// # Panics
/// It is not.
pub fn control(data: &[u8]) {
    let Ok(control) = Control::parse(data) else { return };
    let Control { name, version, architecture, replaces, depends, provides, source } = &control;
    let replaced = replaces.join(", ");
    let written = format!("Package: {name}\nVersion: {version}\nArchitecture: {architecture}\nReplaces: {replaced}\n");
    let written = format!("{written}Depends: {depends}\nProvides: {provides}\nSource: {} ({})\n", source.0, source.1);
    assert_eq!(Control::parse(written.as_bytes()).unwrap(), control);
}

/// A tar is read the same by offset and as a stream, and comes back the same when it is written.
///
/// # Panics
/// It is not.
pub fn tar(data: &[u8]) {
    let source = Arc::new(SourceFile::Memory(data.to_vec()));
    let (mut by_offset, mut streamed) = (Members::new(source.cursor()), Members::new(Stream(data)));
    let mut ends = Vec::new();
    loop {
        match (by_offset.next(), streamed.next()) {
            (Ok(Some(one)), Ok(Some(other))) => {
                assert!(one.mode <= 0o7777);
                ends.push(one.offset + one.size);
                assert_eq!(format!("{one:?}"), format!("{other:?}"));
            }
            // That a member is cut off is found with the next one.
            (Ok(None), Ok(None)) => {
                assert!(ends.iter().all(|end| *end <= data.len() as u64));
                break;
            }
            (Err(_), Err(_)) => break,
            (one, other) => panic!("{one:?}, but as a stream {other:?}"),
        }
    }
    let Ok(tree) = tars::read(&source, &"seed".into()) else { return };
    for (path, _) in tree.iter() {
        assert!(path.as_str().len() <= PATH && path.as_str().split('/').count() <= DEPTH);
    }
    let roots: BTreeSet<&str> = tree.iter().filter_map(|(path, _)| path.as_str().split('/').next()).collect();
    for root in roots {
        let mut out = Vec::new();
        if nar::write(&tree, &TreePath::new(root).unwrap(), &mut out).is_ok() {
            assert!(out.len().is_multiple_of(8) && out.starts_with(b"\x0d\0\0\0\0\0\0\0nix-archive-1\0\0\0"));
        }
    }
    comes_back(tree);
}

/// Writes a tree, reads it, and writes it again: the bytes must be the same, and nothing about them odd.
fn comes_back(mut tree: Tree) {
    if tree.normalize_hardlinks().is_err() {
        return;
    }
    let options = tars::Options { epoch: 1 << 31, file_digests: true };
    let write = |tree: &Tree| {
        let mut out = Vec::new();
        tars::write(tree, options, &mut out).map(|listing| (out, listing))
    };
    let Ok((bytes, listing)) = write(&tree) else { return };
    assert_eq!(listing.len(), tree.len());
    let source = Arc::new(SourceFile::Memory(bytes.clone()));
    let (again, oddities) = tars::read_with_oddities(&source, &"seed".into()).expect("what was written can be read");
    assert!(oddities.is_empty(), "{oddities:?}");
    let (second, _) = write(&again).unwrap();
    assert!(second == bytes, "the second tar differs from the first");
}

/// What a tree has, with the digests of its files.
fn shown(tree: &Tree) -> Vec<String> {
    use sealift_layers::tree::Kind;
    tree.iter()
        .map(|(path, entry)| {
            let kind = match &entry.kind {
                Kind::File(content) => format!("{:?} {:?}", content.len(), content.digest().ok()),
                Kind::Directory => "directory".to_owned(),
                Kind::Symlink(target) => format!("-> {target}"),
                Kind::Hardlink(target) => format!("== {target}"),
            };
            format!("{path} {:o} {} {} {:?} {:?} {kind}", entry.mode, entry.uid, entry.gid, entry.mtime, entry.xattrs)
        })
        .collect()
}

/// A wheel that is accepted when its `RECORD` must be right is accepted when it need not be, and installs the same files each time.
///
/// # Panics
/// It is not.
pub fn wheel(data: &[u8]) {
    let _ = wheel::newest_member(file(data));
    installs(data);
}

/// As [`wheel()`], for a zip archive that is made of the members in the input, so that its checksums are right: each has its name
/// in the first line.
///
/// # Panics
/// The property does not hold.
pub fn wheel_members(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let files: Vec<(&str, &str)> = parts(text).map(|part| part.split_once('\n').unwrap_or((part, ""))).collect();
    let wheel = packed::Wheel::new("demo", "1.0", &files);
    // Names have a length of 16 bits.
    if wheel.files.iter().all(|(name, _)| name.len() < 1 << 12) {
        installs(&wheel.bytes());
    }
}

fn installs(bytes: &[u8]) {
    let open = |check| wheel::open(file(bytes), "demo-1.0-py3-none-any.whl", check, LIMITS);
    let lenient = open(RecordCheck::Lenient);
    let strict = open(RecordCheck::Strict);
    let Ok(wheel) = lenient else {
        assert!(strict.is_err());
        return;
    };
    assert_eq!((wheel.name(), wheel.version().to_string().as_str()), ("demo", "1.0"));
    if let Err(error) = &strict {
        assert!(error.only_record && !wheel.differences().is_empty());
    }
    let venv = Venv::new(TreePath::new("opt/demo").unwrap(), "python3.14").unwrap();
    let Ok(tree) = wheel.tree(&venv, 1 << 30) else { return };
    assert!(tree.iter().all(|(path, _)| path.as_str().starts_with("opt")));
    assert_eq!(shown(&tree), shown(&wheel.tree(&venv, 1 << 30).unwrap()));
    comes_back(tree);
}

/// The lines of a `RECORD` come back when they are written.
///
/// # Panics
/// They do not.
pub fn record(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let mut wrong = Vec::new();
    let entries = records::parse(text, &mut wrong);
    assert!(entries.len() + wrong.len() <= text.lines().count());
    let plain = |hash: &str| !hash.contains([',', '"']);
    let files: BTreeMap<String, records::FileHash> = entries
        .into_iter()
        .filter_map(|(path, entry)| {
            let hash = Some(entry.hash).filter(|hash| plain(hash))?;
            Some((path, records::FileHash { hash, size: entry.size? }))
        })
        .collect();
    let written = records::write(&files, "itself");
    let mut wrong = Vec::new();
    let mut again = records::parse(&written, &mut wrong);
    assert!(wrong.is_empty(), "{wrong:?}");
    if !files.contains_key("itself") {
        again.remove("itself");
        let again = again
            .into_iter()
            .map(|(path, entry)| (path, records::FileHash { hash: entry.hash, size: entry.size.unwrap() }));
        assert_eq!(again.collect::<BTreeMap<_, _>>(), files);
    }
}

/// Commands are names of files, and their scripts have only dotted names in them.
///
/// # Panics
/// They are not.
pub fn entry_points(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let Ok(commands) = entries::commands(text) else { return };
    assert!(commands.len() <= COMMANDS);
    for (name, callable) in &commands {
        assert!(TreePath::new(&format!("bin/{name}")).is_ok_and(|path| path.as_str() == format!("bin/{name}")));
        let script = callable.script("/usr/bin/python3");
        let lines: Vec<&str> = script.split('\n').collect();
        let [start, import, "", main, call, ""] = &lines[..] else { panic!("{script}") };
        assert_eq!((*start, *main), ("#!/usr/bin/python3", "if __name__ == \"__main__\":"));
        let dotted = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "._".contains(c));
        let import = import.strip_prefix("from ").and_then(|rest| rest.strip_suffix(" as entry")).unwrap();
        let (module, object) = import.split_once(" import ").unwrap();
        assert!(dotted(module) && dotted(object));
        let rest = call.strip_prefix("    raise SystemExit(entry").and_then(|rest| rest.strip_suffix("())")).unwrap();
        assert!(rest.is_empty() || dotted(rest));
    }
}

/// A closure has all that it refers to, and each of its paths is in exactly one of the layers.
///
/// # Panics
/// It has not.
pub fn closure(data: &[u8]) {
    let Ok(closure) = Closure::parse(data) else { return };
    assert_eq!(Closure::parse(data).unwrap(), closure);
    let names: BTreeSet<&str> = closure.iter().map(|(name, _)| name).collect();
    for (_, path) in closure.iter() {
        assert!(path.references.iter().all(|reference| names.contains(reference.as_str())));
    }
    for budget in [1, 3, 100] {
        let layers = pack(&closure, NonZero::new(budget).unwrap());
        assert!(layers.len() <= budget);
        assert_eq!(layers.iter().map(Vec::len).sum::<usize>(), names.len());
        assert_eq!(layers.concat().into_iter().collect::<BTreeSet<_>>(), names);
        assert_eq!(layers, pack(&closure, NonZero::new(budget).unwrap()));
    }
}
