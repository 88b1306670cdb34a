//! `sealift audit`: newer versions in later signed indexes, vulnerabilities in snapshots, OpenVEX statements, exit codes.

#![allow(clippy::unwrap_used, reason = "a test")]

use sealift_layers::digest::Digest;
use sealift_tests::archive::{Archive, KNOWN_KEY, RELEASE};
use sealift_tests::lab::{Ended, Lab, without_digests};
use sealift_tests::mirror::Reply;
use sealift_tests::packed::{Member, Package};
use sealift_tests::signing::Key;
use serde_json::{Value, json};

const SECURITY: &str = "dists/tiny-security/InRelease";

/// Replaces texts in a signed file of the server, and signs it again.
fn resign(lab: &Lab, path: &str, key: u64, edits: &[(&str, &str)]) {
    let text = String::from_utf8(lab.mirror.file(path)).unwrap();
    let (_, text) = text.split_once("\n\n").unwrap();
    let (text, _) = text.split_once("\n-----BEGIN PGP SIGNATURE").unwrap();
    let mut text = text.to_owned();
    for (from, to) in edits {
        assert!(text.contains(from), "{from}: {text}");
        text = text.replace(from, to);
    }
    lab.mirror.set(path, Reply::Whole(Key::new(key).clearsign(&text).into_bytes()));
}

/// Puts an archive of Debian on the server, of this day, with these packages among its security updates, and no updates.
fn publish(lab: &Lab, archive: &Archive, security: Vec<Package>, day: &str) {
    lab.publish(archive);
    let date = format!("{day} Jan 2026 00:00:00");
    let own = [("Origin: Tests", "Origin: Debian"), ("01 Jan 2026 00:00:00", &date)];
    resign(lab, RELEASE, KNOWN_KEY, &own);
    for (suite, packages) in [("tiny-security", security), ("tiny-updates", Vec::new())] {
        let archive = Archive { packages, wheels: Vec::new(), ..Archive::default() };
        for (path, bytes) in archive.publish() {
            lab.mirror.set(&path.replace("dists/tiny/", &format!("dists/{suite}/")), Reply::Whole(bytes));
        }
        let names = [("Codename: tiny", format!("Codename: {suite}")), ("Suite: tiny", format!("Suite: {suite}"))];
        let names = names.each_ref().map(|(from, to)| (*from, to.as_str()));
        resign(lab, &format!("dists/{suite}/InRelease"), KNOWN_KEY, &[&own[..], &names].concat());
    }
}

/// The archive, of Debian 13.
fn debian() -> Archive {
    let mut archive = Archive::default();
    // The member is the fourth.
    archive.package("base-files").members[3] = Member::file("./usr/lib/os-release", "ID=debian\nVERSION_ID=13\n");
    archive.package("clock").fields.push_str("Source: clockwork (4.2-1)\n");
    archive
}

/// The security updates in the profile. What is locked is not from there.
const ARCHIVE: &str = "[debian.archives.security]\nsuite = \"tiny-security\"\npriority = 100\n\n";

/// A bundle `out.tar`, and a server that has later versions since then.
fn lab() -> Lab {
    with_archives(ARCHIVE)
}

/// As [`lab`], with these tables in the profile.
fn with_archives(tables: &str) -> Lab {
    let lab = Lab::new();
    lab.edit("tiny/profile.toml", "[debian.exclude]", &format!("{tables}[debian.exclude]"));
    publish(&lab, &debian(), vec![Package::new("unrelated", "1", "", &[])], "02");
    lab.lock();
    let ended = lab.run(&["build", "tiny", "--locked", "--output", "out.tar"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let mut later = debian();
    later.package("python3.14").version = "3.14.3-1".into();
    later.packages.retain(|package| package.name != "ca-certificates");
    later.wheel("greeter").version = "1.10".into();
    publish(&lab, &later, vec![Package::new("clock", "1:4.2-1+deb13u1", "", &[])], "03");
    lab
}

/// Advisories, the tracker and statements.
fn snapshots(lab: &Lab) {
    let advisory = |id: &str, ecosystem: &str, name: &str, fixed: &str, more: Value| {
        let events = json!([{ "introduced": "0" }, { "fixed": fixed }]);
        json!({
            "id": id,
            "summary": format!("A fault of {name}\u{1b}[31m"),
            "aliases": more,
            "affected": [{ "package": { "ecosystem": ecosystem, "name": name }, "ranges": [{ "type": "ECOSYSTEM", "events": events }] }],
            "database_specific": { "severity": "HIGH" },
        })
    };
    fs_err::create_dir(lab.path("osv")).unwrap();
    for (file, value) in [
        ("1.json", advisory("GHSA-1", "PyPI", "Greeter", "1.3", json!(["CVE-2026-1"]))),
        ("2.json", advisory("DEBIAN-CVE-2026-2", "Debian:13", "clockwork", "1:4.2-2", json!([]))),
        ("3.json", advisory("DEBIAN-CVE-2026-3", "Debian:12", "clockwork", "1:4.2-2", json!([]))),
        ("4.json", advisory("PYSEC-1", "PyPI", "words", "0.3", json!([]))),
    ] {
        fs_err::write(lab.path("osv").join(file), value.to_string()).unwrap();
    }
    let status =
        |status: &str, urgency: &str| json!({ "releases": { "trixie": { "status": status, "urgency": urgency } } });
    let tracker = json!({
        "clockwork": { "CVE-2026-2": status("open", "medium"), "CVE-2026-4": status("undetermined", "") },
        "libc6": { "CVE-2026-5": status("open", "unimportant") },
        "unrelated": { "CVE-2026-6": status("open", "high") },
    });
    fs_err::write(lab.path("tracker.json"), tracker.to_string()).unwrap();
    let statement = |name: &str, product: &str| {
        json!({
            "vulnerability": { "name": name },
            "products": [{ "@id": "pkg:generic/demo-tiny@1.2", "subcomponents": [{ "@id": product }] }],
            "status": "not_affected",
            "justification": "vulnerable_code_not_in_execute_path",
            "impact_statement": "it greets nobody",
        })
    };
    let vex = json!({
        "@context": "https://openvex.dev/ns/v0.2.0",
        "author": "Ann",
        "timestamp": "2026-01-04T00:00:00Z",
        "version": 1,
        "statements": [statement("GHSA-1", "pkg:pypi/greeter"), statement("CVE-2026-9", "pkg:pypi/words")],
    });
    fs_err::write(lab.path("own.vex.json"), vex.to_string()).unwrap();
}

const GIVEN: [&str; 6] = ["--osv", "osv", "--debian-tracker", "tracker.json", "--vex", "own.vex.json"];

fn audit(lab: &Lab, arguments: &[&str]) -> Ended {
    lab.run(&[&["audit", "out.tar"], arguments].concat())
}

#[test]
fn newer_versions_and_vulnerabilities_are_reported() {
    let lab = lab();
    snapshots(&lab);
    let ended = audit(&lab, &GIVEN);
    insta::assert_snapshot!("report", without_digests(&format!("{}{}", ended.stdout, ended.transcript())));
    let ended = audit(&lab, &[&GIVEN[..], &["--json"]].concat());
    assert_eq!(ended.code, Some(5));
    insta::assert_snapshot!("json", without_digests(&ended.stdout));

    // Only what the snapshots have.
    let offline = [&GIVEN[..], &["--offline"]].concat();
    let _ = lab.mirror.requests();
    let ended = audit(&lab, &offline);
    assert_eq!(lab.mirror.requests(), [""; 0]);
    insta::assert_snapshot!("offline", without_digests(&format!("{}{}", ended.stdout, ended.transcript())));

    // A document of all findings silences nothing that the given one does not.
    let written = [&offline[..], &["--vex-output", "all.json", "--vex-author", "Ann"]].concat();
    assert_eq!(audit(&lab, &written).code, Some(5));
    insta::assert_snapshot!("vex", fs_err::read_to_string(lab.path("all.json")).unwrap());
    let again = ["--osv", "osv", "--debian-tracker", "tracker.json", "--vex", "all.json", "--offline"];
    let (one, other) = (audit(&lab, &offline), audit(&lab, &again));
    let open = |ended: &Ended| {
        let list = ended.stdout.split("\nsilenced").next().unwrap().split_once("\nknown").unwrap().1;
        list.replace("under_investigation", "").lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(open(&one), open(&other));
}

#[test]
fn the_exit_code_is_that_of_what_to_fail_on() {
    let lab = lab();
    snapshots(&lab);
    let code = |arguments: &[&str]| audit(&lab, arguments).code;
    assert_eq!(code(&["--fail-on", "none"]), Some(0));
    assert_eq!(code(&[]), Some(5), "a security update");
    assert_eq!(code(&["--fail-on", "low"]), Some(0));
    assert_eq!(code(&["--fail-on", "outdated"]), Some(5));
    let offline = |level: &str| code(&[&GIVEN[..], &["--offline", "--fail-on", level]].concat());
    assert_eq!(["none", "outdated", "security", "high", "critical"].map(offline), [0, 5, 5, 5, 0].map(Some));
    // The mirror of a bundle that has all that there is.
    publish(&lab, &debian(), vec![Package::new("unrelated", "1", "", &[])], "03");
    assert_eq!(code(&["--fail-on", "outdated"]), Some(0));
}

#[test]
fn indexes_that_are_older_or_not_signed_are_refused() {
    let lab = lab();
    let failing = |code: i32| {
        let ended = audit(&lab, &["--json"]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(code), ""), "{}", ended.stderr);
        ended.stderr
    };
    resign(&lab, SECURITY, KNOWN_KEY, &[("03 Jan", "01 Jan")]);
    let error = failing(4);
    assert!(error.contains("the index of tiny-security is of 2026-01-01T00:00:00Z, which is before"), "{error}");
    resign(&lab, SECURITY, KNOWN_KEY + 7, &[]);
    assert!(failing(4).contains("cannot verify"), "another key");
}

/// A profile may be older than the security updates of its suite.
#[test]
fn security_updates_are_compared_without_being_in_the_profile() {
    let lab = with_archives("");
    let ended = audit(&lab, &[]);
    assert_eq!(ended.code, Some(5), "{}", ended.stderr);
    assert!(ended.stdout.contains("  security: tiny-security of 2026-01-03, security updates\n"), "{}", ended.stdout);
    assert!(ended.stdout.contains("1:4.2-1+deb13u1  security  source clockwork\n"), "{}", ended.stdout);
    assert!(ended.stdout.contains("  updates: tiny-updates of 2026-01-03\n"), "{}", ended.stdout);
    // A wrong signature is no reason to say less.
    resign(&lab, "dists/tiny-updates/InRelease", KNOWN_KEY + 7, &[]);
    let ended = audit(&lab, &[]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(4), ""), "{}", ended.stderr);
    assert!(ended.stderr.contains("the suite tiny-updates with updates cannot be trusted"), "{}", ended.stderr);
    // Not every mirror has it.
    lab.mirror.remove("dists/tiny-updates/InRelease");
    let ended = audit(&lab, &[]);
    assert!(ended.stdout.contains("\n  the suite tiny-updates: "), "{}", ended.stdout);
}

/// Wheels are not signed, and not every machine reaches an index.
#[test]
fn without_a_python_index_wheels_are_not_checked() {
    let lab = lab();
    let with = |index: &str, arguments: &[&str]| {
        let mut command = lab.command(&[&["audit", "out.tar", "--fail-on", "none", "--quiet"], arguments].concat());
        lab.ended(&command.env("PIP_INDEX_URL", index).output().unwrap())
    };
    let ended = with("http://127.0.0.1:9/simple", &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("\n  newer wheels: ") && !ended.stdout.contains("\nwheels: "), "{}", ended.stdout);
    let ended = with("no URL", &["--require-index"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{}", ended.stderr);
}

#[test]
fn snapshots_are_pinned_and_what_is_none_is_an_error() {
    let lab = lab();
    snapshots(&lab);
    let digest = Digest::of(&fs_err::read(lab.path("tracker.json")).unwrap());
    let pinned = |digest: Digest| {
        let tracker = format!("tracker.json@{digest}");
        audit(&lab, &["--offline", "--fail-on", "none", "--debian-tracker", &tracker])
    };
    assert_eq!(pinned(digest).code, Some(0));
    assert_eq!(pinned(Digest::of(b"")).code, Some(4));
    fs_err::write(lab.path("osv/5.json"), "{\"id\":\"X\",\"affected\":7}").unwrap();
    fs_err::write(lab.path("own.vex.json"), "{}").unwrap();
    let mut text = String::new();
    for arguments in [
        &["--osv", "osv"][..],
        &["--osv", "nothing.zip"],
        &["--osv", "tracker.json"],
        &["--debian-tracker", "osv"],
        &["--debian-tracker", "osv/1.json"],
        &["--vex", "own.vex.json"],
        &["--osv", "osv@sha256:12"],
        &["--vex-output", "x.json"],
    ] {
        let ended = audit(&lab, &[&["--offline"], arguments].concat());
        assert_eq!(ended.stdout, "", "{arguments:?}");
        text.push_str(&format!("--- {}\n{}", arguments.join(" "), ended.transcript()));
    }
    insta::assert_snapshot!("mistakes", without_digests(&text));
    assert!(!lab.path("x.json").exists());
}
