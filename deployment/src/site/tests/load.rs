//! Reading a finished site.

use super::*;

#[test]
fn loaded_site_does_not_contain_the_key_of_the_authority() {
    let bench = Bench::new();
    bench.create();
    let site = bench.load(NOW).unwrap();
    let paths: Vec<&str> = site.files.iter().map(|file| file.path.as_str()).collect();
    assert!(!paths.contains(&CA_KEY));
    insta::assert_snapshot!(paths.join("\n"), @"
    custom-ca.crt
    env/shop.env
    env/token.env
    nginx/shop.conf
    ports.env
    secrets/database-password
    secrets/token
    site.toml
    tls/shop-web.crt
    tls/shop-web.key
    ");
    assert_eq!(site.file("tls/shop-web.key").unwrap().mode, 0o640);
    assert_eq!(site.parameters.host.as_str(), "shop.example");
    assert!(!format!("{site:?}").contains("PRIVATE"));
}

#[test]
fn load_reports_all_errors_at_once() {
    let bench = Bench::new();
    bench.create();
    fs_err::remove_file(bench.path("site/secrets/token")).unwrap();
    bench.write("site/env/shop.env", "URL=\"x\"\n");
    bench.write("site/secrets/database-password", "\n");
    let error = bench.load(NOW + 101 * DAY).unwrap_err();
    assert_eq!(failure(&error).kind, Kind::Failed);
    insta::assert_snapshot!(error.to_string().replace(bench.path("").to_str().unwrap(), ""), @"
    the site in site cannot be used:
      secrets/token: missing
      tls/shop-web.crt: it expired on 2027-04-25
      secrets/database-password: not a single line of text
        hint: restore the secret; if it was never used, remove the file to have a new one created
      env/shop.env: line 1: the value of URL starts with a quote, which some tools remove and some keep: write it without quotes
    ");
}
