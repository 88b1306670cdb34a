//! Certificates that the operator provides.

use super::settings::{GOOD, bench, model};
use super::*;

/// A certificate of another authority's for `names`, valid for `days` from `NOW`: chain, key, authority.
fn foreign(names: &[&str], days: u32) -> (String, String, String) {
    let authority = pki::new_key().unwrap();
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let ca = pki::authority(&authority, "Another", &names.iter().cloned().collect(), 3650, NOW - 400 * DAY).unwrap();
    let certificate = pki::Certificate::parse(&ca, "ca").unwrap();
    let key = pki::new_key().unwrap();
    let signer = pki::Signer { certificate: &certificate, pem: &ca, key: &authority };
    (signer.sign(&key, "x", &names, days, NOW).unwrap(), key.serialize_pem(), ca)
}

fn provided() -> Bench {
    let mut bench = bench();
    bench.model = model(true);
    bench.error(false);
    bench.write("site/settings.toml", GOOD);
    bench
}

#[test]
fn provided_certificate_is_required_and_checked() {
    let bench = provided();
    let (crt, key) = ("site/tls/shop-web.crt", "site/tls/shop-web.key");
    insta::assert_snapshot!(bench.error(false), @"
    site: the operator's input is incomplete or wrong:
      tls/shop-web.crt: missing
        hint: put the certificate there, then intermediate ones, in PEM; or use --self-signed for a trial
      tls/shop-web.key: missing
        hint: put the certificate's private key there, in PEM, without a password
    ");
    let (pem, private, authority) = foreign(&["shop.example"], 100);
    let provide = |pem: &str, private: &str| {
        bench.write(crt, pem);
        bench.write(key, private);
    };
    let (other, _, _) = foreign(&["*.example", "192.0.2.1"], 100);
    provide(&other, &private);
    insta::assert_snapshot!(bench.error(false), @"
    site: the operator's input is incomplete or wrong:
      tls/shop-web.crt: it is not the certificate of the key beside it
        hint: provide a matching pair
    ");
    provide(&format!("{authority}{pem}"), &private);
    insta::assert_snapshot!(bench.error(false), @"
    site: the operator's input is incomplete or wrong:
      tls/shop-web.crt: the server's own certificate is not the first
        hint: move it before the others
      tls/shop-web.crt: it is not for shop.example
        hint: it names no host
    ");
    let (other, its, _) = foreign(&["www.example"], 100);
    provide(&other, &its);
    insta::assert_snapshot!(bench.error(false), @"
    site: the operator's input is incomplete or wrong:
      tls/shop-web.crt: it is not for shop.example
        hint: it is for www.example
    ");
    provide(&pem[..pem.len() / 2], &private.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"));
    insta::assert_snapshot!(bench.error(false), @"
    site: the operator's input is incomplete or wrong:
      tls/shop-web.key: it is encrypted
        hint: remove its password, which services cannot ask for: openssl pkey -in OLD -out NEW
      tls/shop-web.crt: it is cut off or damaged
        hint: use PEM: it begins with -----BEGIN CERTIFICATE-----
    ");
    provide("", "");
    insta::assert_snapshot!(bench.error(false), @"
    site: the operator's input is incomplete or wrong:
      tls/shop-web.key: it is not a private key
        hint: use PEM: it begins with -----BEGIN PRIVATE KEY-----; openssl pkey converts other formats
      tls/shop-web.crt: it contains no certificate
        hint: use PEM: it begins with -----BEGIN CERTIFICATE-----
    ");

    provide(&format!("{pem}{authority}"), &private);
    let report = bench.create();
    assert_eq!((bench.read(crt), bench.read(key)), (format!("{pem}{authority}"), private.clone()));
    assert_eq!(bench.contents()[&bench.path(key)].0, 0o640, "its service can read it");
    assert!(!report.warnings.0.iter().any(|warning| warning.topic.contains("tls/shop-web")), "{report:?}");
    bench.load(NOW).unwrap();

    let later = |days: i64| bench.create_at(NOW + days * DAY, None, &[]);
    let warned = later(85).unwrap().warnings;
    insta::assert_snapshot!(warned.0.last().unwrap(), @"
    warning: tls/shop-web.crt: it expires on 2027-04-25
      hint: provide a new one before that day
    ");
    let error = later(101).unwrap_err().to_string();
    assert!(error.contains("it expired on"), "{error}");
    assert!(bench.load(NOW + 101 * DAY).unwrap_err().to_string().contains("tls/shop-web.crt: it expired"));
    let error = later(-2).unwrap_err().to_string();
    assert!(error.contains("it is not valid before"), "{error}");
}

#[test]
fn self_signed_certificate_is_renewed_without_the_option() {
    let bench = provided();
    let report = bench.request(NOW, Some("shop.example"), &[], true).unwrap();
    assert!(report.paths(Action::Created).any(|path| path == "tls/shop-web.crt"));
    // Later runs renew it without the option, as the site's authority issued it.
    bench.create();
    let report = bench.create_at(NOW + 81 * DAY, None, &[]).unwrap();
    assert!(report.paths(Action::Replaced).any(|path| path == "tls/shop-web.crt"), "{report}");
    // A certificate of another authority is the operator's, and is checked.
    let (pem, private, _) = foreign(&["other.example"], 100);
    bench.write("site/tls/shop-web.crt", &pem);
    bench.write("site/tls/shop-web.key", &private);
    assert!(bench.error(true).contains("it is not for shop.example"));
}
