//! What the operator gives: settings, certificates, authorities.

use super::*;

/// What is added to the sample.
const NEEDS: &str = r#"
[site.settings.database-url]
title = "The database.\nPostgreSQL 16 or newer."
kind = "url"
schemes = ["postgresql"]
required = true
secret = true
example = "postgresql://USER:PASSWORD@db.example.com/shop"

[site.settings.smtp-port]
title = "Port of the mail server"
kind = "port"
required = true
example = 587

[site.settings.log-level]
title = "How much is logged"
kind = "choice"
choices = ["INFO", "DEBUG"]
default = "INFO"

[site.settings.sentry-dsn]
title = "Where errors are reported"
kind = "url"
schemes = ["https"]
example = "https://KEY@sentry.example.com/1"

[site.settings.stores]
title = "Object storages"
kind = "tables"
required = true

[site.settings.stores.fields.endpoint]
title = "Its address"
kind = "url"
schemes = ["https"]
required = true
example = "https://s3.example.com"

[site.settings.stores.fields.key]
title = "Its key"
kind = "word"
secret = true
min-length = 8

[site.settings.spread]
title = "How several storages work together"
kind = "choice"
choices = ["MIRROR", "STRIPE"]

[site.rules.spread]
test = "settings.stores | length == 1 or settings.spread"
message = "several stores, but no `spread`"
hint = "spread = \"MIRROR\""

[site.trusted.storage-authorities]
title = "Who signed the certificates of the storages"
"#;

const ENV: &str = "\
TOKEN={{ secrets.token }}
DB={{ settings.database_url }}
PORT={{ settings.smtp_port }}
LEVEL={{ settings.log_level }}
{% if settings.sentry_dsn %}DSN={{ settings.sentry_dsn }}
{% endif -%}
STORES={% for store in settings.stores %}{{ store.endpoint | backslashed(':') }}:{{ store.key }} {% endfor %}{{ settings.spread }}.
{% if trusted.storage_authorities %}BUNDLE=yes
{% endif -%}
";

const GOOD: &str = r#"
database-url = "postgresql://shop:5ecret@db.test/shop"
smtp-port = 25
[[stores]]
endpoint = "https://one.test:9000"
key = "kkey12345"
"#;

fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.model = model(false);
    bench.write("profile/files/token.env", ENV);
    bench
}

fn model(provided: bool) -> Model {
    let sample = include_str!("../../render/sample.toml");
    let sample =
        sample.replace("days = 100\n", if provided { "days = 100\nprovided = true\n" } else { "days = 100\n" });
    toml::from_str(&format!("{sample}{NEEDS}")).unwrap()
}

impl Bench {
    fn error(&self, self_signed: bool) -> String {
        let error = self.request(NOW, Some("shop.example"), &[], self_signed).unwrap_err();
        assert_eq!(failure(&error).kind, Kind::Usage);
        error.to_string().replace(self.path("").to_str().unwrap(), "")
    }

    fn listing(&self) -> String {
        let site = self.path("site");
        self.contents().keys().map(|path| format!("{}\n", path.strip_prefix(&site).unwrap().display())).collect()
    }
}

#[test]
fn the_first_run_says_what_to_fill_in_and_makes_nothing_else() {
    let bench = bench();
    insta::assert_snapshot!(bench.error(false), @r#"
    site: these are the operator's to give or to mend:
      settings.toml, line 10: database-url is not given
        The database, such as "postgresql://USER:PASSWORD@db.example.com/shop"
      settings.toml, line 14: smtp-port is not given
        Port of the mail server, such as 587
      settings.toml, line 36: stores[1].endpoint is not given
        Its address, such as "https://s3.example.com"
    "#);
    insta::assert_snapshot!(bench.listing(), @"
    settings.toml
    site.toml
    ");
    insta::assert_snapshot!(bench.read("site/settings.toml"), @r#"
    # The settings of this installation. This file is yours: it is never written again, not by a new version either.
    # After a change: `sealift up`; or by hand `sealift site new` with this folder, then compose `down` and `up`.
    # What is commented out has the value shown, or none if that is empty. It may hold secrets: only its owner may read it.

    # --- required ------------------------------------------------------------

    # The database.
    # PostgreSQL 16 or newer.
    # Such as: "postgresql://USER:PASSWORD@db.example.com/shop"
    database-url = ""

    # Port of the mail server
    # Such as: 587
    smtp-port = ""

    # --- optional ------------------------------------------------------------

    # How much is logged
    # One of: INFO, DEBUG.
    #log-level = "INFO"

    # Where errors are reported
    # Such as: "https://KEY@sentry.example.com/1"
    #sentry-dsn = ""

    # How several storages work together
    # One of: MIRROR, STRIPE.
    #spread = ""

    # --- required, in blocks that may be repeated ------------------------------------------------------------

    # Object storages
    [[stores]]
    # Its address
    # Such as: "https://s3.example.com"
    endpoint = ""
    # Its key
    #key = ""
    "#);
    assert_eq!(bench.contents()[&bench.path("site/settings.toml")].0, 0o600);
    // It says the same without being told the host again.
    let error = bench.create_at(NOW, None, &[]).unwrap_err();
    assert!(error.to_string().contains("database-url is not given"), "{error}");
}

#[test]
fn what_is_filled_in_is_rendered() {
    let bench = bench();
    bench.error(false);
    bench.write("site/settings.toml", GOOD);
    let report = bench.create();
    insta::assert_snapshot!(bench.read("site/env/token.env").lines().skip(1).collect::<Vec<_>>().join("\n"), @r"
    DB=postgresql://shop:5ecret@db.test/shop
    PORT=25
    LEVEL=INFO
    STORES=https\://one.test\:9000:kkey12345 None.
    ");
    assert_eq!(report.warnings, []);
    assert_eq!(bench.read("site/settings.toml"), GOOD);
    let site = bench.load(NOW).unwrap();
    assert_eq!(site.file("settings.toml").unwrap().mode, 0o600);
    assert!(!format!("{:?}", site.parameters).contains("5ecret"));

    // Everything follows a change, and only that.
    let before = bench.contents();
    assert!(bench.create().changes.iter().all(|change| change.action == Action::Kept));
    assert_eq!(bench.contents(), before);
    bench.write("site/settings.toml", &GOOD.replace("= 25", "= 26\nsentry-dsn = \"https://k@sentry.test/1\""));
    insta::assert_snapshot!(bench.create(), @"
    replaced env/token.env: what it is rendered from changed
    replaced site.toml: it records what changed
    kept 11 files
    ");
    assert!(bench.read("site/env/token.env").contains("PORT=26\nLEVEL=INFO\nDSN=https://k@sentry.test/1\nSTORES"));
}

#[test]
fn what_a_newer_version_can_be_told_is_said_once() {
    let mut bench = bench();
    for name in ["log-level", "sentry-dsn", "spread"] {
        bench.model.site.settings.remove(name);
    }
    bench.model.site.rules.clear();
    bench.write("profile/files/token.env", "DB={{ settings.database_url }}\n");
    bench.error(false);
    // Whoever mentions it knows it.
    bench.write("site/settings.toml", &format!("# spread = \"MIRROR\"\n{GOOD}"));
    assert_eq!(bench.create().warnings, []);
    bench.model = model(false);
    let warnings = bench.create().warnings;
    insta::assert_snapshot!(warnings[0].message, @"settings.toml does not have what this version of the profile can be told: log-level, sentry-dsn");
    insta::assert_snapshot!(warnings[0].hint, @r#"
    to set one of them, add it to settings.toml, before any [[...]]:

    # How much is logged
    # One of: INFO, DEBUG.
    #log-level = "INFO"

    # Where errors are reported
    # Such as: "https://KEY@sentry.example.com/1"
    #sentry-dsn = ""
    "#);
    assert_eq!(warnings.len(), 1);
    assert_eq!(bench.create().warnings, []);
    assert!(bench.read("site/settings.toml").ends_with(GOOD));
}

#[test]
fn commented_lines_are_no_news() {
    let bench = bench();
    bench.error(false);
    let text = bench.read("site/settings.toml").replace("database-url = \"\"", "database-url = \"postgresql://h/d\"");
    let text =
        text.replace("smtp-port = \"\"", "smtp-port = 25").replace("endpoint = \"\"", "endpoint = \"https://x\"");
    bench.write("site/settings.toml", &text);
    assert_eq!(bench.create().warnings, []);
    // With all marks gone but those of comments, it is still right.
    let all: Vec<String> = text
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line).to_owned())
        .collect();
    bench.write(
        "site/settings.toml",
        &all.join("\n").replace("example.com", "example.test").replace("key = \"\"", "key = \"12345678\""),
    );
    bench.create();
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let bench = bench();
    bench.error(false);
    bench.write(
        "site/settings.toml",
        r#"
database-url = "mysql://shop:hunter2@db.test/shop"
smtp_port = 25
smtp-port = "25"
log-level = "LOUD"
sentry-dsn = "https://KEY@sentry.example.com/1"
[[stores]]
key = "short"
[[stores]]
endpoint = "https://two.test:port"
key = "12345678$"
regoin = "x"
"#,
    );
    let error = bench.error(false);
    insta::assert_snapshot!(error, @r#"
    site: these are the operator's to give or to mend:
      settings.toml, line 2: database-url is a URL of another scheme
        it begins with postgresql://, then a host, perhaps :PORT; in user and password, what is neither a letter nor a digit is percent-encoded
      settings.toml, line 3: smtp_port is not known
        did you mean `smtp-port`? settings: `database-url`, `log-level`, `sentry-dsn`, `smtp-port`, `spread`, `stores`
      settings.toml, line 4: smtp-port is "25", which is not a port's number, 1 to 65535
        Port of the mail server
      settings.toml, line 5: log-level is `LOUD`, which is not one of the choices
        INFO, DEBUG
      settings.toml, line 6: sentry-dsn is still the example
        put your own value there
      settings.toml, line 7: stores[1].endpoint is not given
        Its address, such as "https://s3.example.com"
      settings.toml, line 8: stores[1].key is too weak: 5 characters
        8 at least: openssl rand -hex 32
      settings.toml, line 10: stores[2].endpoint is `https://two.test:port`, which is not a URL
        it begins with https://, then a host, perhaps :PORT
      settings.toml, line 12: stores[2].regoin is not known
        keys of it: `endpoint`, `key`
    "#);
    assert!(!error.contains("hunter2") && !error.contains("12345678"));
    bench.write("site/settings.toml", &GOOD.replace("kkey12345", "kk$y12345"));
    insta::assert_snapshot!(bench.error(false), @"
    site: these are the operator's to give or to mend:
      settings.toml, line 4: stores holds `$` or ` #`, which programs read differently in env files
        choose another value; in a URL write %24 for the first and %20%23 for the second
    ");
    bench.write("site/settings.toml", &format!("{GOOD}[[stores]]\nendpoint = \"https://two.test\"\n"));
    insta::assert_snapshot!(bench.error(false), @r#"
    site: these are the operator's to give or to mend:
      settings.toml: several stores, but no `spread`
        spread = "MIRROR"
    "#);
    bench.write("site/settings.toml", &GOOD.replace("shop\"\n", "shop\n"));
    let error = bench.error(false);
    insta::assert_snapshot!(error, @r#"
    site: these are the operator's to give or to mend:
      settings.toml, line 2: invalid basic string, expected `"`
        texts are written in double quotes
    "#);
    bench.write("site/settings.toml", GOOD);
    bench.create();
    bench.write("site/secrets/token", "letmein\n");
    insta::assert_snapshot!(bench.error(false), @"
    site: these are the operator's to give or to mend:
      secrets/token is too weak: 7 characters
        16 at least: openssl rand -hex 32
    ");
    assert!(bench.load(NOW).unwrap_err().to_string().contains("secrets/token is too weak"));
}

#[test]
fn a_profile_without_settings_has_no_file_for_them() {
    let bench = Bench::new();
    bench.create();
    assert!(!bench.path("site/settings.toml").exists());
}

#[test]
fn authorities_are_counted() {
    let bench = bench();
    bench.error(false);
    bench.write("site/settings.toml", GOOD);
    bench.create();
    insta::assert_snapshot!(bench.read("site/tls/storage-authorities.crt"), @"
    # Who signed the certificates of the storages
    # Put their certificates below, in PEM; with none, this file has no effect.
    ");
    assert!(!bench.read("site/env/token.env").contains("BUNDLE"));
    let path = "site/tls/storage-authorities.crt";
    bench.write(path, &format!("# Ours\n{}", bench.read("site/custom-ca.crt").repeat(2)));
    bench.create();
    assert!(bench.read("site/env/token.env").contains("BUNDLE=yes\n"));
    assert_eq!(bench.load(NOW).unwrap().parameters.trusted["storage-authorities"], 2);
    bench.write(path, &bench.read("site/custom-ca.crt").replace("MII", "MI"));
    insta::assert_snapshot!(bench.error(false), @"
    site: these are the operator's to give or to mend:
      tls/storage-authorities.crt: it is cut off or damaged
        Who signed the certificates of the storages
    ");
}

/// A certificate of another authority's for `names`, valid for `days` from `NOW`: chain, key, authority.
fn foreign(names: &[&str], days: u32) -> (String, String, String) {
    let authority = pki::new_key().unwrap();
    let ca = pki::authority(&authority, "Another", 3650, NOW - 400 * DAY).unwrap();
    let certificate = pki::Certificate::parse(&ca, "ca").unwrap();
    let key = pki::new_key().unwrap();
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
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
fn a_provided_certificate_is_asked_for_and_checked() {
    let bench = provided();
    let (crt, key) = ("site/tls/shop-web.crt", "site/tls/shop-web.key");
    insta::assert_snapshot!(bench.error(false), @"
    site: these are the operator's to give or to mend:
      tls/shop-web.crt is not there
        the certificate, then intermediate ones, in PEM; or --self-signed to have one made for trials
      tls/shop-web.key is not there
        the certificate's private key in PEM, without a password
    ");
    let (pem, private, authority) = foreign(&["shop.example"], 100);
    let bring = |pem: &str, private: &str| {
        bench.write(crt, pem);
        bench.write(key, private);
    };
    let (other, _, _) = foreign(&["*.example", "192.0.2.1"], 100);
    bring(&other, &private);
    insta::assert_snapshot!(bench.error(false), @"
    site: these are the operator's to give or to mend:
      tls/shop-web.crt: it is not the certificate of the key beside it
        bring the two that belong together
    ");
    bring(&format!("{authority}{pem}"), &private);
    insta::assert_snapshot!(bench.error(false), @"
    site: these are the operator's to give or to mend:
      tls/shop-web.crt: the server's own certificate is not the first
        put it before the others
      tls/shop-web.crt: it is not for shop.example
        it names no host
    ");
    let (other, its, _) = foreign(&["www.example"], 100);
    bring(&other, &its);
    insta::assert_snapshot!(bench.error(false), @"
    site: these are the operator's to give or to mend:
      tls/shop-web.crt: it is not for shop.example
        it is for www.example
    ");
    bring(&pem[..pem.len() / 2], &private.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"));
    insta::assert_snapshot!(bench.error(false), @"
    site: these are the operator's to give or to mend:
      tls/shop-web.key is encrypted
        nobody is there to type its password: openssl pkey -in OLD -out NEW
      tls/shop-web.crt: it is cut off or damaged
        PEM: it begins with -----BEGIN CERTIFICATE-----
    ");
    bring("", "");
    insta::assert_snapshot!(bench.error(false), @"
    site: these are the operator's to give or to mend:
      tls/shop-web.key is not a private key
        it begins with -----BEGIN PRIVATE KEY-----: convert it with openssl pkey
      tls/shop-web.crt: it holds no certificate
        PEM: it begins with -----BEGIN CERTIFICATE-----
    ");

    bring(&format!("{pem}{authority}"), &private);
    let report = bench.create();
    assert_eq!((bench.read(crt), bench.read(key)), (format!("{pem}{authority}"), private.clone()));
    assert_eq!(bench.contents()[&bench.path(key)].0, 0o640, "its service can read it");
    assert!(!report.warnings.iter().any(|warning| warning.message.contains("tls/shop-web")), "{report:?}");
    bench.load(NOW).unwrap();

    let later = |days: i64| bench.create_at(NOW + days * DAY, None, &[]);
    let warned = later(85).unwrap().warnings;
    insta::assert_snapshot!(warned.iter().map(|warning| warning.message.as_str()).next_back().unwrap(), @"tls/shop-web.crt: it expires on 2027-04-25");
    let error = later(101).unwrap_err().to_string();
    assert!(error.contains("it expired on"), "{error}");
    assert!(bench.load(NOW + 101 * DAY).unwrap_err().to_string().contains("tls/shop-web.crt: it expired"));
    let error = later(-2).unwrap_err().to_string();
    assert!(error.contains("it is not valid before"), "{error}");
}

#[test]
fn self_signed_is_asked_for_once() {
    let bench = provided();
    let report = bench.request(NOW, Some("shop.example"), &[], true).unwrap();
    assert!(report.paths(Action::Made).any(|path| path == "tls/shop-web.crt"));
    // Later runs renew it without being asked, as it is the site's own.
    bench.create();
    let report = bench.create_at(NOW + 81 * DAY, None, &[]).unwrap();
    assert!(report.paths(Action::Replaced).any(|path| path == "tls/shop-web.crt"), "{report}");
    // A certificate of the operator's in its place is theirs, and checked as such.
    let (pem, private, _) = foreign(&["other.example"], 100);
    bench.write("site/tls/shop-web.crt", &pem);
    bench.write("site/tls/shop-web.key", &private);
    assert!(bench.error(true).contains("it is not for shop.example"));
}
