//! Indexes of Debian archives, their signatures, versions and relations.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::LazyLock;

use sealift::debian::clearsign::Clearsigned;
use sealift::debian::index::{Archive, Field, Index};
use sealift::debian::openpgp::{self, Keyring};
use sealift::debian::relation::{self, Atom, Constraint, Operator};
use sealift::debian::release::Release;
use sealift::debian::resolve::{Root, resolve};
use sealift::debian::stanza::Stanzas;
use sealift::debian::version::compare;

use super::{parts, text};
use crate::packed::THEN;
use crate::signing::Key;

/// The order of versions is one: total, and the same for equal versions. Each line is a version.
///
/// # Panics
/// It is not.
pub fn versions(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let list: Vec<&str> = text.lines().take(5).collect();
    for one in &list {
        assert_eq!(compare(one, one), Ordering::Equal);
        for other in &list {
            let order = compare(one, other);
            assert_eq!(compare(other, one), order.reverse(), "{one:?} {other:?}");
            for (operator, holds) in [
                (Operator::Earlier, order.is_lt()),
                (Operator::EarlierOrEqual, order.is_le()),
                (Operator::Equal, order.is_eq()),
                (Operator::LaterOrEqual, order.is_ge()),
                (Operator::Later, order.is_gt()),
            ] {
                assert_eq!(Constraint { operator, version: other }.accepts(one), holds);
            }
            for third in &list {
                if order.is_le() && compare(other, third).is_le() {
                    assert!(compare(one, third).is_le(), "{one:?} {other:?} {third:?}");
                }
                if order.is_eq() {
                    assert_eq!(compare(one, third), compare(other, third), "{one:?} {other:?} {third:?}");
                }
            }
        }
    }
}

/// Relations come back when they are written.
///
/// # Panics
/// They do not.
pub fn relations(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let Ok(groups) = relation::parse(text, "amd64") else { return };
    for group in &groups {
        assert!(!group.atoms.is_empty() && text.contains(group.text));
        let written: Vec<String> = group.atoms.iter().map(Atom::to_string).collect();
        let written = written.join(" | ");
        let again = relation::parse(&written, "arm64").unwrap();
        assert!(matches!(&again[..], [only] if only.atoms == group.atoms), "{written}");
    }
}

/// Stanzas come back when they are written, and none is empty.
///
/// # Panics
/// They do not.
pub fn stanzas(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let (mut reader, mut fields, mut all) = (Stanzas::new(text), Vec::new(), Vec::new());
    // As many reads as there are lines, and one for the end.
    for _ in 0..=text.lines().count() + 1 {
        match reader.next(&mut fields) {
            Ok(true) => {
                assert!(!fields.is_empty());
                all.push(fields.clone());
            }
            Ok(false) => break,
            Err(_) => {}
        }
    }
    assert!(!reader.next(&mut fields).unwrap(), "it does not end");
    let mut written = String::new();
    for stanza in &all {
        for (name, value) in stanza {
            written += &format!("{name}: {value}\n");
        }
        written += "\n";
    }
    let (mut reader, mut fields, mut again) = (Stanzas::new(&written), Vec::new(), Vec::new());
    while reader.next(&mut fields).unwrap() {
        again.push(fields.clone());
    }
    assert_eq!(again, all);
}

/// What an index offers is valid, and what is chosen from it has all that it depends on. Each part of the input is the index of
/// an archive.
///
/// # Panics
/// It is not.
pub fn packages(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let names = ["one", "two", "three"];
    let archives: Vec<Archive<'_>> = names
        .iter()
        .zip([500, 100, -1])
        .zip(parts(text))
        .map(|((name, priority), text)| Archive { name, suite: "stable", priority, files: vec![("Packages", text)] })
        .collect();
    let index = Index::parse(&archives, "amd64").expect("few packages");
    for name in index.names() {
        let versions = index.versions(name);
        assert!(versions.windows(2).all(|pair| compare(pair[0].version, pair[1].version).is_ge()));
        for package in versions {
            assert!(package.path.split('/').all(|part| !matches!(part, "" | "." | "..")));
            assert_eq!(package.name, name);
            for field in [Field::PreDepends, Field::Depends, Field::Provides, Field::Conflicts, Field::Breaks] {
                index.relations(package, field).expect("it was read before");
            }
        }
    }
    let roots: Vec<Root<'_>> = index.names().take(2).map(|name| Root { name, by: "image web" }).collect();
    let Ok(resolution) = resolve(&index, &roots, &BTreeSet::new()) else { return };
    let chosen = || resolution.packages.values().map(|chosen| chosen.package);
    assert!(roots.iter().all(|root| resolution.packages.contains_key(root.name)));
    for package in chosen() {
        assert!(!resolution.chain(package.name).is_empty());
        for field in [Field::PreDepends, Field::Depends] {
            for group in index.relations(package, field).unwrap() {
                let suits = |atom: &Atom<'_>| chosen().any(|other| index.satisfies(other, atom).unwrap());
                assert!(group.atoms.iter().any(suits), "{} lacks {}", package.name, group.text);
            }
        }
    }
}

/// A `Release` file names only paths below its folder.
///
/// # Panics
/// It does not.
pub fn release(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let Ok(release) = Release::read(text, String::new()) else { return };
    assert_eq!(Release::read(text, String::new()).unwrap(), release);
    assert!(release.files.len() <= text.lines().count());
    for path in release.files.keys() {
        assert!(path.split('/').all(|part| !matches!(part, "" | "." | "..")), "{path}");
    }
    let components = release.components.iter().map(|component| Some(component.as_str()));
    for component in components.chain([None]) {
        for index in release.package_indexes(component, "amd64").unwrap_or_default() {
            assert_eq!(release.files[&index.path], index.file);
        }
    }
}

/// A clear-signed text comes back when it is put between the same lines again.
///
/// # Panics
/// It does not.
pub fn clearsign(data: &[u8]) {
    let Ok(parsed) = Clearsigned::parse("InRelease", data) else { return };
    let signed = parsed.text();
    assert!(!signed.contains(|c: char| c.is_control() && !matches!(c, '\t' | '\n')));
    assert_eq!(signed.strip_suffix('\n').unwrap_or_default().replace('\n', "\r\n"), parsed.hashed());
    let mut written = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n".to_owned();
    for line in signed.lines() {
        let escape = if line.starts_with('-') { "- " } else { "" };
        written += &format!("{escape}{line}\n");
    }
    written += &parsed.signatures.join("\n");
    let again = Clearsigned::parse("InRelease", written.as_bytes()).unwrap();
    assert_eq!((again.text(), &again.signatures), (signed, &parsed.signatures));
}

/// The text that [`signature`] accepts.
pub(super) const SIGNED: &str = "Suite: tiny\nDate: today";

/// The key of [`signature`].
pub(super) static KEY: LazyLock<Key> = LazyLock::new(|| Key::new(7));

static KEYRING: LazyLock<Keyring> =
    LazyLock::new(|| Keyring::parse("key", KEY.certificate().as_bytes()).expect("the key of the tests"));

/// A signature is accepted for the text that was signed only; any bytes are a keyring or an error.
///
/// # Panics
/// It is not.
pub fn signature(data: &[u8]) {
    let now = THEN + 1;
    if let Ok(signed) = openpgp::verify("InRelease", data, &KEYRING, now) {
        assert_eq!((signed.text.trim_end(), signed.signed_by), (SIGNED, KEY.fingerprint()));
    }
    if let Ok(signed) = openpgp::verify_detached("Release", SIGNED.as_bytes(), data, &KEYRING, now) {
        assert_eq!((signed.text.trim_end(), signed.signed_by), (SIGNED, KEY.fingerprint()));
    }
    assert!(openpgp::verify_detached("Release", b"another text", data, &KEYRING, now).is_err());
    let _ = Keyring::parse("seed", data);
}
