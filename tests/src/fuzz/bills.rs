//! Licences of packages, and snapshots of vulnerabilities.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use sealift::audit::{self, Snapshots, Vulnerability};
use sealift_deployment::bundle::Manifest;
use sealift_layers::license::{self, License, debian, python};

use super::{parts, text};

/// The manifest of a bundle with something of everything.
pub(super) const SAMPLE: &str = include_str!("../../../deployment/src/bundle/sbom/sample.json");

static MANIFEST: LazyLock<Manifest> = LazyLock::new(|| serde_json::from_str(SAMPLE).expect("the sample is valid"));

/// What a package says of its licence is an SPDX expression, with a text for each licence that SPDX's list does not have. The parts of
/// the input are a copyright file, the `METADATA` of a wheel with a licence file, and an expression.
///
/// # Panics
/// It is not.
pub fn licenses(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let mut parts = parts(text);
    let (copyright, metadata) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let found = debian::license(copyright, "source");
    sound(&found);
    assert_eq!(found, debian::license(copyright, "source"));
    assert!(found.common.iter().all(|name| copyright.contains(&format!("common-licenses/{name}"))));
    for files in [&[][..], &[copyright]] {
        python::license(metadata, "wheel", files).iter().for_each(sound);
    }
    if let Some(expression) = parts.next().and_then(license::expression) {
        assert_eq!(license::expression(&expression).as_ref(), Some(&expression));
        assert!(!license::identifiers(&expression).is_empty());
    }
}

fn sound(License { expression, references, .. }: &License) {
    let all: BTreeSet<String> = license::identifiers(expression);
    // Those that the package names itself are refused, as they could be another's.
    let listed = |id: &str| if id.starts_with("LicenseRef-") { "MIT".to_owned() } else { id.to_owned() };
    let words = expression.split_inclusive(['(', ')', ' ']).map(|word| {
        let name = word.trim_end_matches(['(', ')', ' ']);
        listed(name) + &word[name.len()..]
    });
    let plain: String = words.collect();
    // Longer ones are not parsed.
    assert!(plain.len() > 4096 || license::expression(&plain).is_some(), "{expression}");
    let named = all.iter().filter(|id| id.starts_with("LicenseRef-"));
    assert!(named.eq(references.keys()), "{expression}: {references:?}");
    assert!(references.values().all(|text| !text.trim().is_empty()));
}

/// What snapshots say is found again, in names and texts of bounded length; and a document of what is stated of it states the
/// same when it is read. The parts of the input are an advisory of OSV, a file of Debian's tracker, and a document of OpenVEX.
///
/// # Panics
/// It is not.
pub fn advisories(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let mut parts = parts(text).map(str::as_bytes);
    let mut part = || parts.next().filter(|part| !part.is_empty());
    let (osv, tracker, vex) = (part(), part(), part());
    let osv: Vec<&[u8]> = osv.into_iter().collect();
    let vex: Vec<&[u8]> = vex.into_iter().collect();
    let find = |vex: &[&[u8]]| audit::findings(&MANIFEST, Snapshots { osv: &osv, tracker, vex });
    let Ok(found) = find(&vex) else { return };
    assert_eq!(find(&vex).unwrap(), found);
    for one in &found {
        assert!(one.aliases.iter().chain([&one.id]).all(|name| (1..=128).contains(&name.len())));
        assert!(one.summary.chars().count() <= 200 && !one.summary.contains('\n'));
        assert!(one.fixed.iter().all(|version| version.len() <= 255));
    }
    let names = |one: &Vulnerability| one.aliases.iter().chain([&one.id]).cloned().collect::<BTreeSet<_>>();
    let all: Vec<BTreeSet<String>> = found.iter().map(names).collect();
    // A statement about one of two that share a name is about both.
    if all.iter().enumerate().any(|(at, one)| all[..at].iter().any(|other| !one.is_disjoint(other))) {
        return;
    }
    let own = audit::statements(&MANIFEST, &found, "fuzz", 1_800_000_000).unwrap();
    let again = find(&[own.as_bytes()]).unwrap();
    let silenced = |list: &[Vulnerability]| list.iter().map(Vulnerability::is_silenced).collect::<Vec<_>>();
    assert_eq!(silenced(&again), silenced(&found), "{own}");
}
