//! Advisories, the security tracker and OpenVEX documents, for a bundle with one of everything.

use std::collections::BTreeSet;

use proptest::prelude::*;
use sealift_deployment::bundle::Manifest;
use sealift_layers::digest::Digest;
use serde_json::{Value, json};

use super::components::{Components, Release};
use super::vex::Statements;
use super::vulnerability::{Found, Joined};
use super::{Pinned, Vulnerability, osv, tracker, vex, vex_output};

fn manifest() -> Manifest {
    serde_json::from_str(include_str!("../../../deployment/src/bundle/sbom/sample.json")).unwrap()
}

fn components() -> Components {
    Components::of(&manifest(), Some(Digest::of(b"program")))
}

fn release() -> Option<Release> {
    Release::of_bundle(&manifest(), "stable")
}

fn advisory(value: &Value) -> Vec<String> {
    let components = components();
    let found =
        osv::findings(value.to_string().as_bytes(), &components, release().as_ref(), &mut BTreeSet::new()).unwrap();
    found.iter().map(line).collect()
}

fn line(found: &Found<'_>) -> String {
    let Found { component, id, severity, fixed, .. } = found;
    format!("{id} {} {} {} {}", component.name, component.version, severity.word(), fixed.as_deref().unwrap_or("-"))
}

/// An advisory about versions from the first one on.
fn about(ecosystem: &str, name: &str, kind: &str, fixed: &str) -> Value {
    let events = json!([{ "introduced": "0" }, { "fixed": fixed }]);
    let package = json!({ "ecosystem": ecosystem, "name": name });
    json!({ "id": "X-1", "affected": [{ "package": package, "ranges": [{ "type": kind, "events": events }] }] })
}

#[test]
fn components_are_known_by_the_names_of_their_ecosystems() {
    let pypi = |name: &str, fixed: &str| advisory(&about("PyPI", name, "ECOSYSTEM", fixed));
    assert_eq!(pypi("typing-extensions", "4.16"), ["X-1 typing-extensions 4.15.0 unknown 4.16"]);
    assert_eq!(pypi("Typing_Extensions", "4.15.0"), [""; 0]);
    assert_eq!(pypi("busybox", "9999"), [""; 0]);
    let debian = |ecosystem: &str, fixed: &str| advisory(&about(ecosystem, "busybox", "ECOSYSTEM", fixed));
    for ecosystem in ["Debian:13", "Debian:trixie", "Debian"] {
        assert_eq!(debian(ecosystem, "1:1.38.0-4"), ["X-1 busybox 1:1.38.0-3+b1 unknown 1:1.38.0-4"], "{ecosystem}");
    }
    // No version without an epoch is higher.
    for (ecosystem, fixed) in [("Debian:13", "9"), ("Debian:12", "1:2"), ("Ubuntu:24.04", "1:2"), ("Alpine", "1:2")] {
        assert_eq!(debian(ecosystem, fixed), [""; 0], "{ecosystem}");
    }
    // The program in the bundle, and the crate of an image.
    assert_eq!(advisory(&about(osv::CRATES, "base64", "SEMVER", "0.22.2")), ["X-1 base64 0.22.1 unknown 0.22.2"]);
    assert_eq!(advisory(&about(osv::CRATES, "tick", "SEMVER", "1.0.0-rc.1")), ["X-1 tick 0.3.1 unknown 1.0.0-rc.1"]);
    assert_eq!(advisory(&about(osv::CRATES, "tick", "GIT", "1.0.0")), [""; 0]);
    // Made by somebody else than Debian.
    assert_eq!(advisory(&about("Debian:13", "gcc-15", "ECOSYSTEM", "99")), [""; 0]);
    assert_eq!(components().of_others, 1);
}

#[test]
fn listed_versions_withdrawn_advisories_and_severities() {
    let with = |key: &str, value: Value| {
        let mut advisory = about("PyPI", "typing-extensions", "ECOSYSTEM", "1");
        advisory["affected"][0][key] = value;
        advisory
    };
    let found = "X-1 typing-extensions 4.15.0";
    assert_eq!(advisory(&with("versions", json!(["4.14.0", "4.15"]))), [format!("{found} unknown -")]);
    assert_eq!(advisory(&with("versions", json!(["4.14.0"]))), [""; 0]);
    let mut listed = with("versions", json!(["4.15.0"]));
    listed["database_specific"] = json!({ "severity": "MODERATE" });
    assert_eq!(advisory(&listed), [format!("{found} medium -")]);
    listed["database_specific"] = json!(["no object"]);
    listed["affected"][0]["ecosystem_specific"] = json!({ "urgency": "low" });
    assert_eq!(advisory(&listed), [format!("{found} low -")]);
    listed["affected"][0]["ecosystem_specific"] = Value::Null;
    listed["severity"] = json!([{ "type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H" }]);
    assert_eq!(advisory(&listed), [format!("{found} high -")]);
    listed["withdrawn"] = "2026-01-01T00:00:00Z".into();
    assert_eq!(advisory(&listed), [""; 0]);
    // As some databases write empty lists.
    let empty = json!({ "id": "X-1", "aliases": null, "affected": null, "withdrawn": null, "more": [{}] });
    assert_eq!(advisory(&empty), [""; 0]);
}

#[test]
fn what_is_no_advisory_is_an_error() {
    let components = components();
    let deep = format!("{{\"id\":\"X\",\"affected\":{}", "[".repeat(100_000));
    let long = format!("{{\"id\":\"{}\"}}", "x".repeat(129));
    let wide = format!("{{\"id\":\"X\",\"affected\":[{}{{}}]}}", "{},".repeat(100_000));
    for text in ["", "[]", "{}", "{\"id\":1}", "{\"id\":\"X\",\"affected\":{}}", "{\"id\":\"\"}", &deep, &long, &wide] {
        assert!(
            osv::findings(text.as_bytes(), &components, None, &mut BTreeSet::new()).is_err(),
            "{}",
            &text[..text.len().min(40)]
        );
    }
}

/// An entry of a tracker for a vulnerability of busybox.
fn tracked(release: &str, entry: &Value) -> (Vec<String>, usize) {
    let components = components();
    let text = json!({ "other": { "CVE-1": [] }, "busybox": { "CVE-2026-1": { "releases": { release: entry } } } });
    let found = tracker::findings(text.to_string().as_bytes(), &components, &release_of()).unwrap();
    assert_eq!(found.sources, 2);
    (found.found.iter().map(line).collect(), found.undetermined)
}

fn release_of() -> Release {
    release().unwrap()
}

#[test]
fn the_tracker_says_in_which_version_a_release_has_a_fix() {
    let found = |entry: Value| tracked("trixie", &entry).0;
    let own = "CVE-2026-1 busybox 1:1.38.0-3+b1";
    assert_eq!(found(json!({ "status": "open", "urgency": "low**" })), [format!("{own} low -")]);
    let resolved =
        |version: &str| json!({ "status": "resolved", "fixed_version": version, "urgency": "not yet assigned" });
    assert_eq!(found(resolved("1:1.38.0-4")), [format!("{own} unknown 1:1.38.0-4")]);
    for version in ["1:1.38.0-3", "0", "9"] {
        assert_eq!(found(resolved(version)), [""; 0], "{version}");
    }
    assert_eq!(tracked("trixie", &json!({ "status": "undetermined" })), (Vec::new(), 1));
    assert_eq!(tracked("bookworm", &json!({ "status": "open" })), (Vec::new(), 0));
}

#[test]
fn what_is_no_tracker_is_an_error() {
    let components = components();
    let twice = r#"{"busybox":{"CVE-1":{"releases":{"trixie":{"status":"open"},"trixie":{"status":"resolved"}}}}}"#;
    let again = r#"{"busybox":{"CVE-1":{"releases":{"trixie":{"status":"open"}},"releases":{}}}}"#;
    let text = format!("{{\"{}\":{{}}}}", "x".repeat(2 << 20));
    let long = format!("{{\"busybox\":{{\"{}\":{{}}}}}}", "x".repeat(200));
    let deep = format!("{{\"other\":{}", "[".repeat(1_000_000));
    for text in [
        "",
        "[]",
        "{\"busybox\":1}",
        "{} {}",
        "{\"busybox\":{\"CVE-1\":{\"releases\":[]}}}",
        // A finding without a name, which a fuzzer met.
        "{\"busybox\":{\"\":{\"releases\":{}}}}",
        twice,
        again,
        &text,
        &long,
        &deep,
    ] {
        let read = tracker::findings(text.as_bytes(), &components, &release_of());
        assert!(read.is_err(), "{}", &text[..text.len().min(40)]);
    }
}

/// The vulnerabilities of two sources: one of the program in the bundle, one of busybox, which two images have.
fn vulnerabilities() -> Vec<Vulnerability> {
    let components = components();
    let mut one = about(osv::CRATES, "base64", "SEMVER", "0.22.2");
    one["id"] = "RUSTSEC-2026-1".into();
    one["aliases"] = json!(["CVE-2026-2", "GHSA-1"]);
    one["details"] = "\n A long\ttext.\nMore.".into();
    let mut two = about("Debian:13", "busybox", "ECOSYSTEM", "1:1.38.0-4");
    two["id"] = "DEBIAN-CVE-2026-1".into();
    two["affected"][0]["ecosystem_specific"] = json!({ "urgency": "high" });
    let tracker = json!({ "busybox": { "CVE-2026-1": {
        "description": "from the tracker", "releases": { "trixie": { "status": "open", "urgency": "not yet assigned" } },
    } } });
    let mut found = Vec::new();
    for advisory in [&one, &two] {
        found.extend(
            osv::findings(advisory.to_string().as_bytes(), &components, release().as_ref(), &mut BTreeSet::new())
                .unwrap(),
        );
    }
    found.extend(tracker::findings(tracker.to_string().as_bytes(), &components, &release_of()).unwrap().found);
    let mut joined = Joined::default();
    found.into_iter().try_for_each(|one| joined.add(one)).unwrap();
    joined.list()
}

#[test]
fn a_vulnerability_is_listed_once_whatever_its_names() {
    insta::assert_snapshot!(serde_json::to_string_pretty(&vulnerabilities()).unwrap());
}

/// What is stated of busybox and base64 by documents with these statements, and what has no effect.
fn stated(documents: &[Value]) -> (Vec<String>, Vec<String>) {
    let (found, unused) = apply(documents).unwrap();
    let line = |found: &Vulnerability| {
        let statement =
            found.statement.as_ref().map(|statement| format!("{} {}", statement.status.word(), statement.reason()));
        format!("{} {}", found.name, statement.as_deref().unwrap_or("-"))
    };
    (found.iter().map(line).collect(), unused)
}

fn apply(documents: &[Value]) -> anyhow::Result<(Vec<Vulnerability>, Vec<String>)> {
    let place = tempfile::tempdir().unwrap();
    let paths: Vec<Pinned> =
        (0..documents.len()).map(|at| Pinned { path: place.path().join(at.to_string()), digest: None }).collect();
    for (document, pinned) in documents.iter().zip(&paths) {
        fs_err::write(&pinned.path, document.to_string()).unwrap();
    }
    let (mut statements, used) = Statements::read(&paths)?;
    assert_eq!(used.len(), documents.len());
    let mut found = vulnerabilities();
    statements.apply(&mut found, &vex::product(&manifest()))?;
    Ok((found, statements.unused()))
}

fn document(statements: Value) -> Value {
    json!({ "@context": "https://openvex.dev/ns/v0.2.0", "timestamp": "2026-01-01T00:00:00Z", "statements": statements })
}

fn not_affected(name: &str, products: Value) -> Value {
    json!({
        "vulnerability": { "name": name },
        "products": products,
        "status": "not_affected",
        "justification": "component_not_present",
    })
}

#[test]
fn a_statement_about_the_component_or_its_bundle_or_all_its_images_silences() {
    let of = |name: &str, products: Value| stated(&[document(json!([not_affected(name, products)]))]);
    let silent = ["busybox not_affected component_not_present", "base64 -"];
    let busybox = json!([{ "@id": "pkg:deb/debian/busybox" }]);
    let image = |name: &str| json!({ "@id": format!("pkg:oci/demo-{name}"), "subcomponents": busybox });
    for products in [
        json!(["pkg:deb/debian/busybox@1:1.38.0-3%2Bb1"]),
        json!([{ "identifiers": { "purl": "pkg:deb/debian/busybox?arch=source" } }]),
        json!(["pkg:generic/demo-sample@1.2"]),
        json!([{ "@id": "pkg:generic/demo-sample", "subcomponents": busybox }]),
        json!([image("greeter"), image("clock")]),
        json!([{ "@id": "pkg:oci/demo-greeter" }, { "@id": "pkg:oci/demo-clock" }]),
    ] {
        assert_eq!(of("CVE-2026-1", products.clone()).0, silent, "{products}");
        assert_eq!(of("DEBIAN-CVE-2026-1", products).0, silent);
    }
    for products in [
        json!([image("greeter")]),
        json!(["pkg:deb/debian/busybox@1:1.38.0-4"]),
        json!([{ "@id": "pkg:generic/demo-sample", "subcomponents": [{ "@id": "pkg:deb/debian/other" }] }]),
        json!([{ "@id": "pkg:generic/demo-sample", "subcomponents": [{ "@id": "no purl" }] }]),
        json!(["pkg:generic/demo-other"]),
        json!([]),
    ] {
        assert_eq!(of("CVE-2026-1", products.clone()).0, ["busybox -", "base64 -"], "{products}");
    }
    let (found, unused) = of("CVE-2026-99", busybox);
    assert_eq!((found.as_slice(), unused.len()), (&["busybox -".to_owned(), "base64 -".to_owned()][..], 1));
    assert_eq!(of("GHSA-1", json!(["pkg:cargo/base64"])).0[1], "base64 not_affected component_not_present");
}

#[test]
fn the_latest_statement_counts_and_only_some_silence() {
    let products = json!(["pkg:deb/debian/busybox"]);
    let mut earlier = not_affected("CVE-2026-1", products.clone());
    earlier["timestamp"] = "2025-01-01T00:00:00Z".into();
    let investigated = json!({ "vulnerability": "CVE-2026-1", "products": products, "status": "under_investigation" });
    let fixed =
        json!({ "vulnerability": "CVE-2026-1", "products": products, "status": "fixed", "status_notes": "patched" });
    let of = |list: Value| stated(&[document(list)]).0[0].clone();
    assert_eq!(of(json!([investigated, earlier])), "busybox under_investigation ");
    assert_eq!(of(json!([investigated, fixed])), "busybox fixed patched");
    let silenced = |list: Value| apply(&[document(list)]).unwrap().0[0].is_silenced();
    assert!(!silenced(json!([investigated, earlier])) && silenced(json!([fixed])));
}

#[test]
fn what_is_no_vex_is_an_error() {
    let mut reasonless = not_affected("CVE-2026-1", json!([]));
    reasonless["justification"] = Value::Null;
    let mut untimely = not_affected("CVE-2026-1", json!([]));
    untimely["timestamp"] = "soon".into();
    let odd = json!({ "vulnerability": "X", "status": "fine" });
    for wrong in [json!({}), json!([]), json!({ "@context": "https://example.org/" })] {
        assert!(apply(&[wrong]).is_err());
    }
    for (wrong, why) in [(reasonless, "justification"), (untimely, "RFC 3339"), (odd, "fine")] {
        let error = apply(&[document(json!([wrong]))]).unwrap_err();
        assert!(format!("{error:#}").contains(why), "{error:#}");
    }
}

/// A document that is written is read as what it says.
#[test]
fn a_document_that_is_written_states_the_same() {
    let products = json!([{ "@id": "pkg:oci/demo-clock", "subcomponents": ["pkg:deb/debian/busybox"] }]);
    let mut affected = not_affected("CVE-2026-2", json!(["pkg:cargo/base64"]));
    affected["status"] = "affected".into();
    let given = document(json!([not_affected("CVE-2026-1", products), affected]));
    let (found, _) = apply(&[given]).unwrap();
    let text = vex_output::document(&manifest(), &found, "Ann", 1_700_000_000).unwrap();
    insta::assert_snapshot!(text);
    assert_eq!(text, vex_output::document(&manifest(), &found, "Ann", 1_700_000_000).unwrap());
    let (again, unused) = stated(&[serde_json::from_str(&text).unwrap()]);
    assert_eq!(unused, [""; 0]);
    assert_eq!(again[0], "busybox under_investigation ", "one of its two images has no statement");
    assert!(again[1].starts_with("base64 affected component_not_present: fixed in 0.22.2"), "{again:?}");
}

fn value() -> impl Strategy<Value = Value> {
    let keys = prop::sample::select(vec![
        "id",
        "aliases",
        "affected",
        "package",
        "ecosystem",
        "name",
        "ranges",
        "type",
        "events",
        "introduced",
        "fixed",
        "versions",
        "busybox",
        "releases",
        "trixie",
        "status",
        "fixed_version",
        "database_specific",
        "severity",
    ]);
    let texts = prop::sample::select(vec![
        "PyPI",
        "Debian:13",
        "busybox",
        "open",
        "resolved",
        "0",
        "1:2",
        "ECOSYSTEM",
        "\u{1b}[",
    ]);
    let leaf = prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), texts.prop_map(Value::from)];
    leaf.prop_recursive(7, 60, 6, move |inner| {
        let members = prop::collection::btree_map(keys.clone().prop_map(str::to_owned), inner.clone(), 0..6);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
            members.prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Whatever a snapshot has, it is read or refused.
    #[test]
    fn no_snapshot_panics(mut value in value(), cut in 0..200_usize) {
        let components = components();
        if let Some(members) = value.as_object_mut() {
            members.entry("id").or_insert("X-1".into());
        }
        let text = value.to_string();
        let bytes = text.as_bytes();
        for bytes in [bytes, &bytes[..cut.min(bytes.len())]] {
            let _ = osv::findings(bytes, &components, release().as_ref(), &mut BTreeSet::new());
            let _ = tracker::findings(bytes, &components, &release_of());
            let _ = serde_json::from_slice::<Value>(bytes).map(|value| apply(&[document(json!([value]))]));
        }
    }
}
