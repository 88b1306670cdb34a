//! Keys and certificates that the site's authority signs.

use super::*;

#[test]
fn certificates_are_renewed_before_they_expire() {
    let bench = Bench::new();
    bench.create();
    let key = bench.read("site/tls/shop-web.key");
    assert_eq!(bench.create_at(NOW + 79 * DAY, None, &[]).unwrap().paths(Action::Replaced).count(), 0);
    let report = bench.create_at(NOW + 81 * DAY, None, &[]).unwrap();
    insta::assert_snapshot!(report, @"
    replaced tls/shop-web.crt: it expires on 2027-04-25
    replaced site.toml: it records what changed
    kept 9 files
    ");
    assert_eq!(bench.read("site/tls/shop-web.key"), key);
    assert!(bench.load(NOW + 110 * DAY).is_ok());
}

#[test]
fn expired_authority_is_renewed_for_its_key() {
    let bench = Bench::new();
    bench.create();
    let key = bench.read("site/custom-ca.key");
    let report = bench.create_at(NOW + 3651 * DAY, None, &[]).unwrap();
    insta::assert_snapshot!(report, @"
    replaced custom-ca.crt: it expired on 2037-01-12
    replaced tls/shop-web.crt: it expired on 2027-04-25
    replaced site.toml: it records what changed
    kept 8 files
    ");
    assert_eq!(report.warnings.0.len(), 1);
    assert_eq!(bench.read("site/custom-ca.key"), key);
    bench.load(NOW + 3651 * DAY).unwrap();
}

/// The clock was years ahead when the site was made. The hint named only what does not help.
#[test]
fn authority_of_a_day_to_come_is_refused_and_made_again_once_it_is_removed() {
    let bench = Bench::new();
    bench.create_at(NOW + 1000 * DAY, Some("shop.example"), &[]).unwrap();
    let key = bench.read("site/custom-ca.key");
    let hint = || {
        let error = bench.create_at(NOW, None, &[]).unwrap_err();
        let failure = failure(&error);
        format!("{failure}\n{}", failure.hint.as_ref().unwrap()).replace(bench.path("").to_str().unwrap(), "")
    };
    insta::assert_snapshot!(hint(), @"
    custom-ca.crt: it is not valid before 2029-10-11
    the clock says 2027-01-15: if it is slow, set it; if it was fast when the certificate was made, remove site/custom-ca.crt and run this again: it is issued anew for the same key, and everyone who trusts the old one needs the new one
    ");
    fs_err::rename(bench.path("site/custom-ca.key"), bench.path("key")).unwrap();
    insta::assert_snapshot!(hint(), @"
    custom-ca.crt: it is not valid before 2029-10-11
    the clock says 2027-01-15: if it is slow, set it; if it is right, wait for that day, or replace site/custom-ca.crt by a valid certificate
    ");
    fs_err::rename(bench.path("key"), bench.path("site/custom-ca.key")).unwrap();
    fs_err::remove_file(bench.path("site/custom-ca.crt")).unwrap();
    insta::assert_snapshot!(bench.create_at(NOW, None, &[]).unwrap(), @"
    created custom-ca.crt
    replaced tls/shop-web.crt: it is not valid before 2029-10-11
    replaced site.toml: it records what changed
    kept 8 files
    ");
    assert_eq!(bench.read("site/custom-ca.key"), key);
    bench.load(NOW).unwrap();
}

#[test]
fn valid_files_are_kept_without_the_key_of_the_authority() {
    let bench = Bench::new();
    bench.create();
    fs_err::remove_file(bench.path("site/custom-ca.key")).unwrap();
    let before = bench.contents();
    assert_eq!(bench.create_at(NOW, None, &[]).unwrap().warnings.0, []);
    let soon = bench.create_at(NOW + 90 * DAY, None, &[]).unwrap();
    insta::assert_snapshot!(soon.warnings.0[0], @"
    warning: tls/shop-web.crt: is due and cannot be renewed without custom-ca.key: it expires on 2027-04-25
      hint: put custom-ca.key beside custom-ca.crt, or name it with --authority-key FILE, and run this again
    ");
    assert_eq!(bench.contents(), before);
    let error = bench.create_at(NOW, Some("other.example"), &[]).unwrap_err();
    insta::assert_snapshot!(error, @"tls/shop-web.crt must be issued (it lacks other.example), but custom-ca.key is missing");
    assert_eq!(failure(&error).kind, Kind::Failed);
}

#[test]
fn certificate_of_the_operator_is_kept() {
    let (bench, other) = (Bench::new(), Bench::new());
    bench.create();
    other.create_at(NOW, Some("unlike.example"), &[]).unwrap();
    for name in ["site/tls/shop-web.crt", "site/tls/shop-web.key"] {
        bench.write(name, &other.read(name));
    }
    // The record names only certificates that were issued here.
    let contents = || bench.contents().into_iter().filter(|(path, _)| !path.ends_with("site.toml")).collect::<Vec<_>>();
    let before = contents();
    let report = bench.create_at(NOW, None, &[]).unwrap();
    assert_eq!(contents(), before);
    insta::assert_snapshot!(report.warnings.0[0], @"
    warning: tls/shop-web.crt: was not issued by sealift and is kept, but it lacks shop.example
      hint: provide a better one, or remove tls/shop-web.crt and tls/shop-web.key to have them created
    ");
    bench.load(NOW).unwrap();
}

/// A changed bit in what names the authority was not noticed.
#[test]
fn another_certificate_than_the_one_that_was_issued_is_told_once() {
    let (bench, other) = (Bench::new(), Bench::new());
    bench.create();
    other.create();
    for name in ["site/tls/shop-web.crt", "site/tls/shop-web.key"] {
        bench.write(name, &other.read(name));
    }
    insta::assert_snapshot!(bench.create_at(NOW, None, &[]).unwrap().warnings.0[0], @"
    warning: tls/shop-web.crt: is not the certificate that sealift issued, and names another authority; it is kept
      hint: if you did not replace it, remove it to have it issued again
    ");
    assert_eq!(bench.create_at(NOW, None, &[]).unwrap().warnings.0, []);
}

#[test]
fn mismatched_key_and_certificate_are_found_and_replaced() {
    let bench = Bench::new();
    bench.create();
    bench.write("site/tls/shop-web.key", &bench.read("site/custom-ca.key"));
    insta::assert_snapshot!(bench.load(NOW).unwrap_err().to_string().replace(bench.path("").to_str().unwrap(), ""), @"
    the site in site cannot be used:
      tls/shop-web.crt: it is not the certificate of the key beside it
    ");
    insta::assert_snapshot!(bench.create_at(NOW, None, &[]).unwrap(), @"
    replaced tls/shop-web.crt: it is not the certificate of tls/shop-web.key
    replaced site.toml: it records what changed
    kept 9 files
    ");
    bench.load(NOW).unwrap();
}

#[test]
fn new_authority_issues_all_certificates_again() {
    let (bench, other) = (Bench::new(), Bench::new());
    bench.create();
    other.create();
    for name in ["site/custom-ca.crt", "site/custom-ca.key"] {
        bench.write(name, &other.read(name));
    }
    insta::assert_snapshot!(bench.create_at(NOW, None, &[]).unwrap(), @"
    replaced tls/shop-web.crt: custom-ca.crt did not sign it
    replaced site.toml: it records what changed
    kept 9 files
    ");
    // A key that is not the authority's is never used nor replaced.
    bench.write("site/custom-ca.key", &bench.read("site/tls/shop-web.key"));
    insta::assert_snapshot!(bench.create_at(NOW, None, &[]).unwrap_err(), @"custom-ca.key is not the key of custom-ca.crt");
}

/// A certificate of the authority that everyone trusts is worth little to others: it may sign only for this site.
#[test]
fn a_new_name_of_the_site_needs_a_new_certificate_of_the_authority() {
    let bench = Bench::new();
    bench.create();
    let key = bench.read("site/custom-ca.key");
    let report = bench.create_at(NOW, Some("other.example"), &[]).unwrap();
    insta::assert_snapshot!(report.to_string().lines().take(2).collect::<Vec<_>>().join("\n"), @"
    replaced custom-ca.crt: it may not sign for other.example
    replaced tls/shop-web.crt: it lacks other.example
    ");
    assert_eq!(bench.read("site/custom-ca.key"), key);
    bench.load(NOW).unwrap();
}

#[test]
fn an_authority_without_constraints_is_kept_until_a_new_one_is_asked_for() {
    let bench = Bench::new();
    bench.create();
    let (key, leaf) = (bench.read("site/custom-ca.key"), bench.read("site/tls/shop-web.crt"));
    let parsed = |pem: &str| pki::Certificate::parse(pem, "ca").unwrap();
    // As earlier versions made it.
    let certificate = parsed(&bench.read("site/custom-ca.crt"));
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    params.distinguished_name = rcgen::DistinguishedName::new();
    let name = bench.model.site.authority.as_ref().unwrap().name.as_str();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let old = params.self_signed(&pki::parse_key(&key).unwrap()).unwrap().pem();
    assert!(!certificate.allows("bank.example") && parsed(&old).allows("bank.example"));
    bench.write("site/custom-ca.crt", &old);
    bench.create_at(NOW, None, &[]).unwrap();
    assert_eq!(bench.read("site/custom-ca.crt"), old);
    let report = bench.with_authority(None, None, true).unwrap();
    assert!(report.paths(Action::Replaced).any(|path| path == "custom-ca.crt"), "{report}");
    assert!(!parsed(&bench.read("site/custom-ca.crt")).allows("bank.example"));
    // What it signed stays valid.
    assert!(parsed(&leaf).signed_by(&parsed(&bench.read("site/custom-ca.crt"))));
    assert_eq!(bench.read("site/custom-ca.key"), key);
    bench.load(NOW).unwrap();
}

#[test]
fn the_key_of_the_authority_can_be_kept_elsewhere() {
    let bench = Bench::new();
    let elsewhere = bench.path("safe.key");
    let request = |host| bench.with_authority(host, Some(&elsewhere), false);
    request(Some("shop.example")).unwrap();
    assert!(elsewhere.exists() && !bench.path("site/custom-ca.key").exists());
    assert_eq!(fs_err::metadata(&elsewhere).unwrap().permissions().mode() & 0o777, 0o600);
    // Everything is valid: the key is not needed.
    bench.create_at(NOW, None, &[]).unwrap();
    let error = bench.create_at(NOW, Some("other.example"), &[]).unwrap_err();
    assert!(failure(&error).hint.as_ref().unwrap().contains("--authority-key FILE"));
    request(Some("other.example")).unwrap();
    bench.load(NOW).unwrap();
    let error = bench.with_authority(None, None, true).unwrap_err();
    insta::assert_snapshot!(error, @"custom-ca.crt cannot be issued again without its key");
}

/// A changed bit in the signature was not noticed, and images got the certificate.
#[test]
fn a_damaged_certificate_is_issued_again_and_not_put_into_a_bundle() {
    let bench = Bench::new();
    bench.create();
    for file in ["tls/shop-web.crt", "custom-ca.crt"] {
        let path = format!("site/{file}");
        let pem = bench.read(&path);
        // In the last line but one or two, which has some bytes of the signature: its length differs each time.
        let mut lines = pem.lines().rev().skip(1);
        let last = lines.find(|line| line.len() > 8).unwrap();
        let other = if &last[4..5] == "A" { "B" } else { "A" };
        bench.write(&path, &pem.replace(last, &format!("{}{other}{}", &last[..4], &last[5..])));
        let error = bench.load(NOW).unwrap_err().to_string();
        assert!(error.contains(&format!("{file}: it is damaged: its signature is wrong")), "{error}");
        let report = bench.create_at(NOW, None, &[]).unwrap();
        assert!(report.to_string().contains(&format!("replaced {file}: it is damaged")), "{report}");
        bench.load(NOW).unwrap();
    }
}
