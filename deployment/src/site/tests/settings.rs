//! Settings of the operator, and trusted authorities.

use super::*;

/// Added to the sample profile.
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

pub(super) const GOOD: &str = r#"
database-url = "postgresql://shop:5ecret@db.test/shop"
smtp-port = 25
[[stores]]
endpoint = "https://one.test:9000"
key = "kkey12345"
"#;

pub(super) fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.model = model(false);
    bench.write("profile/files/token.env", ENV);
    bench
}

/// The sample profile with settings. `provided`: the operator provides its certificate.
pub(super) fn model(provided: bool) -> Model {
    let sample = include_str!("../../profile/sample.toml");
    let sample =
        sample.replace("days = 100\n", if provided { "days = 100\nprovided = true\n" } else { "days = 100\n" });
    toml::from_str(&format!("{sample}{NEEDS}")).unwrap()
}

impl Bench {
    /// The text of the error that `create` returns.
    pub(super) fn error(&self, self_signed: bool) -> String {
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
fn first_run_lists_missing_settings_and_creates_nothing_else() {
    let bench = bench();
    insta::assert_snapshot!(bench.error(false), @r#"
    site: the operator's input is incomplete or wrong:
      settings.toml, line 10: database-url is not set
        hint: The database, such as "postgresql://USER:PASSWORD@db.example.com/shop"
      settings.toml, line 14: smtp-port is not set
        hint: Port of the mail server, such as 587
      settings.toml, line 36: stores[1].endpoint is not set
        hint: Its address, such as "https://s3.example.com"
    "#);
    insta::assert_snapshot!(bench.listing(), @"
    settings.toml
    site.toml
    ");
    insta::assert_snapshot!(bench.read("site/settings.toml"), @r#"
    # The settings of this installation. Only you edit this file: sealift never changes it, not even with a new version.
    # After a change, run `sealift up`; or, by hand, `sealift site new` with this folder, then compose `down` and `up`.
    # Lines that are commented out show the default of the version that made this file (empty: none). Keep it private.

    # --- required ------------------------------------------------------------

    # The database.
    # PostgreSQL 16 or newer.
    # Example: "postgresql://USER:PASSWORD@db.example.com/shop"
    database-url = ""

    # Port of the mail server
    # Example: 587
    smtp-port = ""

    # --- optional ------------------------------------------------------------

    # How much is logged
    # One of: INFO, DEBUG.
    #log-level = "INFO"

    # Where errors are reported
    # Example: "https://KEY@sentry.example.com/1"
    #sentry-dsn = ""

    # How several storages work together
    # One of: MIRROR, STRIPE.
    #spread = ""

    # --- required, in blocks that can be repeated ------------------------------------------------------------

    # Object storages
    [[stores]]
    # Its address
    # Example: "https://s3.example.com"
    endpoint = ""
    # Its key
    #key = ""
    "#);
    assert_eq!(bench.contents()[&bench.path("site/settings.toml")].0, 0o600);
    // The same error follows without the host: it is recorded.
    let error = bench.create_at(NOW, None, &[]).unwrap_err();
    assert!(error.to_string().contains("database-url is not set"), "{error}");
}

#[test]
fn settings_are_rendered() {
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
    assert_eq!(report.warnings.0, []);
    assert_eq!(bench.read("site/settings.toml"), GOOD);
    let site = bench.load(NOW).unwrap();
    assert_eq!(site.file("settings.toml").unwrap().mode, 0o600);
    assert!(!format!("{:?}", site.parameters).contains("5ecret"));

    // Only a change is rendered again.
    let before = bench.contents();
    assert!(bench.create().changes.iter().all(|change| change.action == Action::Kept));
    assert_eq!(bench.contents(), before);
    bench.write("site/settings.toml", &GOOD.replace("= 25", "= 26\nsentry-dsn = \"https://k@sentry.test/1\""));
    insta::assert_snapshot!(bench.create(), @"
    replaced env/token.env: its template or values changed
    replaced site.toml: it records what changed
    kept 11 files
    ");
    assert!(bench.read("site/env/token.env").contains("PORT=26\nLEVEL=INFO\nDSN=https://k@sentry.test/1\nSTORES"));
}

#[test]
fn new_settings_of_a_later_version_are_reported_once() {
    let mut bench = bench();
    for name in ["log-level", "sentry-dsn", "spread"] {
        bench.model.site.settings.remove(name);
    }
    bench.model.site.rules.clear();
    bench.write("profile/files/token.env", "DB={{ settings.database_url }}\n");
    bench.error(false);
    // A commented setting counts as known.
    bench.write("site/settings.toml", &format!("# spread = \"MIRROR\"\n{GOOD}"));
    assert_eq!(bench.create().warnings.0, []);
    bench.model = model(false);
    let warnings = bench.create().warnings;
    insta::assert_snapshot!(warnings.0[0], @r#"
    warning: settings.toml: this version of the profile has new settings: log-level, sentry-dsn
      hint: to set one of them, add it to settings.toml, before any [[...]]:

    # How much is logged
    # One of: INFO, DEBUG.
    #log-level = "INFO"

    # Where errors are reported
    # Example: "https://KEY@sentry.example.com/1"
    #sentry-dsn = ""
    "#);
    insta::assert_snapshot!(warnings.0[0].hint.as_ref().unwrap(), @r#"
    to set one of them, add it to settings.toml, before any [[...]]:

    # How much is logged
    # One of: INFO, DEBUG.
    #log-level = "INFO"

    # Where errors are reported
    # Example: "https://KEY@sentry.example.com/1"
    #sentry-dsn = ""
    "#);
    assert_eq!(warnings.0.len(), 1);
    assert_eq!(bench.create().warnings.0, []);
    assert!(bench.read("site/settings.toml").ends_with(GOOD));
}

#[test]
fn commented_settings_are_not_reported() {
    let bench = bench();
    bench.error(false);
    let text = bench.read("site/settings.toml").replace("database-url = \"\"", "database-url = \"postgresql://h/d\"");
    let text =
        text.replace("smtp-port = \"\"", "smtp-port = 25").replace("endpoint = \"\"", "endpoint = \"https://x\"");
    bench.write("site/settings.toml", &text);
    assert_eq!(bench.create().warnings.0, []);
    // It is still valid when all settings are uncommented.
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
fn all_invalid_settings_are_reported_at_once() {
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
    site: the operator's input is incomplete or wrong:
      settings.toml, line 2: database-url is a URL with another scheme
        hint: begin with postgresql://, then a host and optionally :PORT; percent-encode characters of user and password that are neither letters nor digits
      settings.toml, line 3: smtp_port is not known
        hint: did you mean `smtp-port`? settings: `database-url`, `log-level`, `sentry-dsn`, `smtp-port`, `spread`, `stores`
      settings.toml, line 4: smtp-port is "25", which is not a port number from 1 to 65535
        hint: Port of the mail server
      settings.toml, line 5: log-level is `LOUD`, which is not one of the choices
        hint: use one of: INFO, DEBUG
      settings.toml, line 6: sentry-dsn is still the example
        hint: set your own value
      settings.toml, line 7: stores[1].endpoint is not set
        hint: Its address, such as "https://s3.example.com"
      settings.toml, line 8: stores[1].key is too weak: 5 characters
        hint: use at least 8: openssl rand -hex 32
      settings.toml, line 10: stores[2].endpoint is `https://two.test:port`, which is not a URL
        hint: begin with https://, then a host and optionally :PORT
      settings.toml, line 12: stores[2].regoin is not known
        hint: its keys: `endpoint`, `key`
    "#);
    assert!(!error.contains("hunter2") && !error.contains("12345678"));
    bench.write("site/settings.toml", &GOOD.replace("kkey12345", "kk$y12345"));
    insta::assert_snapshot!(bench.error(false), @"
    site: the operator's input is incomplete or wrong:
      settings.toml, line 4: stores contains `$` or ` #`, which programs read differently in env files
        hint: choose another value; in a URL write %24 for the first and %20%23 for the second
    ");
    bench.write("site/settings.toml", &format!("{GOOD}[[stores]]\nendpoint = \"https://two.test\"\n"));
    insta::assert_snapshot!(bench.error(false), @r#"
    site: the operator's input is incomplete or wrong:
      settings.toml: several stores, but no `spread`
        hint: spread = "MIRROR"
    "#);
    bench.write("site/settings.toml", &GOOD.replace("shop\"\n", "shop\n"));
    let error = bench.error(false);
    insta::assert_snapshot!(error, @r#"
    site: the operator's input is incomplete or wrong:
      settings.toml, line 2: invalid basic string, expected `"`
        hint: write texts in double quotes
    "#);
    bench.write("site/settings.toml", GOOD);
    bench.create();
    bench.write("site/secrets/token", "letmein\n");
    insta::assert_snapshot!(bench.error(false), @"
    site: the operator's input is incomplete or wrong:
      secrets/token: too weak: 7 characters
        hint: use at least 16: openssl rand -hex 32
    ");
    assert!(bench.load(NOW).unwrap_err().to_string().contains("secrets/token: too weak"));
}

#[test]
fn profile_without_settings_has_no_settings_file() {
    let bench = Bench::new();
    bench.create();
    assert!(!bench.path("site/settings.toml").exists());
}

#[test]
fn trusted_authorities_are_counted() {
    let bench = bench();
    bench.error(false);
    bench.write("site/settings.toml", GOOD);
    bench.create();
    insta::assert_snapshot!(bench.read("site/tls/storage-authorities.crt"), @"
    # Who signed the certificates of the storages
    # Add the certificates below, in PEM. Without any, this file has no effect.
    ");
    assert!(!bench.read("site/env/token.env").contains("BUNDLE"));
    let path = "site/tls/storage-authorities.crt";
    bench.write(path, &format!("# Ours\n{}", bench.read("site/custom-ca.crt").repeat(2)));
    bench.create();
    assert!(bench.read("site/env/token.env").contains("BUNDLE=yes\n"));
    assert_eq!(bench.load(NOW).unwrap().parameters.trusted["storage-authorities"], 2);
    bench.write(path, &bench.read("site/custom-ca.crt").replace("MII", "MI"));
    insta::assert_snapshot!(bench.error(false), @"
    site: the operator's input is incomplete or wrong:
      tls/storage-authorities.crt: it is cut off or damaged
        hint: Who signed the certificates of the storages
    ");
}
