mod edited;
mod given;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use anyhow::Result;

use super::*;
use crate::failure::Kind;
use crate::render::sample;

const NOW: i64 = 1_800_000_000;
const DAY: i64 = 86400;

/// A profile's folder and a place for its site.
struct Bench {
    directory: tempfile::TempDir,
    model: Model,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs_err::create_dir_all(directory.path().join("profile/files")).unwrap();
        let bench = Self { directory, model: sample() };
        bench.write("profile/files/shop.env", "URL=https://{{ host }}:{{ ports.https }}/\n");
        bench.write("profile/files/shop.conf", "server_name {{ host }};\n");
        bench.write(
            "profile/files/token.env",
            "TOKEN={{ secrets.token }}\nDB=db://shop:{{ secrets.database_password }}@db\n",
        );
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs_err::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs_err::read_to_string(self.path(name)).unwrap()
    }

    fn create_at(&self, now: i64, host: Option<&str>, ports: &[(&str, u16)]) -> Result<Report> {
        self.request(now, host, ports, false)
    }

    fn request(&self, now: i64, host: Option<&str>, ports: &[(&str, u16)], self_signed: bool) -> Result<Report> {
        create(&SiteRequest {
            directory: &self.path("site"),
            model: &self.model,
            sources: &crate::profile::Sources::of(&self.path("profile")),
            host,
            ports: ports.iter().map(|(name, port)| ((*name).to_owned(), *port)).collect(),
            days_left: None,
            leave_groups: false,
            self_signed,
            now,
        })
    }

    fn create(&self) -> Report {
        self.create_at(NOW, Some("shop.example"), &[]).unwrap()
    }

    fn load(&self, now: i64) -> Result<Site> {
        load(&self.path("site"), &self.model, now)
    }

    /// Path, permission bits and contents of every file of the site.
    fn contents(&self) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.path("site")];
        while let Some(folder) = folders.pop() {
            #[expect(clippy::disallowed_methods, reason = "the order is the map's")]
            for entry in fs_err::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let mode = fs_err::metadata(&path).unwrap().permissions().mode() & 0o7777;
                    files.insert(path.clone(), (mode, fs_err::read(&path).unwrap()));
                }
            }
        }
        files
    }
}

fn failure(error: &anyhow::Error) -> &Failure {
    Failure::within(error).unwrap_or_else(|| panic!("{error:#}"))
}

#[test]
fn a_new_site_has_everything_with_its_mode() {
    let bench = Bench::new();
    let report = bench.create();
    assert_eq!(report.warnings, []);
    let listing: String = bench
        .contents()
        .iter()
        .map(|(path, (mode, _))| format!("{mode:04o} {}\n", path.strip_prefix(bench.path("site")).unwrap().display()))
        .collect();
    insta::assert_snapshot!(listing, @"
    0644 custom-ca.crt
    0600 custom-ca.key
    0644 env/shop.env
    0600 env/token.env
    0644 nginx/shop.conf
    0644 ports.env
    0640 secrets/database-password
    0600 secrets/token
    0644 site.toml
    0644 tls/shop-web.crt
    0640 tls/shop-web.key
    ");
    insta::assert_snapshot!(report, @"
    made custom-ca.key
    made custom-ca.crt
    made tls/shop-web.key
    made tls/shop-web.crt
    made secrets/database-password
    made secrets/token
    made env/shop.env
    made env/token.env
    made nginx/shop.conf
    made ports.env
    made site.toml
    ");
    insta::assert_snapshot!(bench.read("site/ports.env"), @"
    # Variables of compose.yaml, which compose reads from `.env` beside it.
    COMPOSE_PROJECT_NAME=shop-small
    SEALIFT_PROJECT=shop-small
    SEALIFT_ADMIN_ADDRESS=127.0.0.1
    SEALIFT_ADMIN_PORT=8080
    SEALIFT_HTTPS_ADDRESS=0.0.0.0
    SEALIFT_HTTPS_PORT=443
    ");
    assert_eq!(bench.read("site/env/shop.env"), "URL=https://shop.example:443/\n");
    let token = bench.read("site/secrets/token");
    assert_eq!((token.len(), bench.read("site/secrets/database-password").len()), (84, 32));
    assert!(bench.read("site/env/token.env").starts_with(&format!("TOKEN={token}\n")));
}

#[test]
fn a_second_run_changes_no_byte_and_mends_modes() {
    let bench = Bench::new();
    bench.create();
    let before = bench.contents();
    fs_err::set_permissions(bench.path("site/secrets/token"), PermissionsExt::from_mode(0o644)).unwrap();
    let report = bench.create_at(NOW + DAY, None, &[]).unwrap();
    assert_eq!(bench.contents(), before);
    assert!(report.changes.iter().all(|change| change.action == Action::Kept), "{report}");
    insta::assert_snapshot!(report, @"kept 11 files");
}

#[test]
fn another_host_or_port_renews_what_has_it() {
    let bench = Bench::new();
    bench.create();
    let token = bench.read("site/secrets/token");
    let report = bench.create_at(NOW, Some("192.0.2.7"), &[("https", 8443)]).unwrap();
    insta::assert_snapshot!(report, @"
    replaced tls/shop-web.crt: it lacks 192.0.2.7
    replaced env/shop.env: what it is rendered from changed
    replaced nginx/shop.conf: what it is rendered from changed
    replaced ports.env: what it is rendered from changed
    replaced site.toml: it records what changed
    kept 6 files
    ");
    assert_eq!(bench.read("site/env/shop.env"), "URL=https://192.0.2.7:8443/\n");
    assert_eq!(bench.read("site/secrets/token"), token);
    // What was chosen stays chosen.
    assert_eq!(bench.create_at(NOW, None, &[]).unwrap().ports["https"], 8443);
}

#[test]
fn certificates_are_renewed_before_they_end() {
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
fn an_expired_authority_is_renewed_for_its_key() {
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
    assert_eq!(report.warnings.len(), 1);
    assert_eq!(bench.read("site/custom-ca.key"), key);
    bench.load(NOW + 3651 * DAY).unwrap();
}

#[test]
fn without_the_authoritys_key_what_is_valid_stays() {
    let bench = Bench::new();
    bench.create();
    fs_err::remove_file(bench.path("site/custom-ca.key")).unwrap();
    let before = bench.contents();
    assert_eq!(bench.create_at(NOW, None, &[]).unwrap().warnings, []);
    let soon = bench.create_at(NOW + 90 * DAY, None, &[]).unwrap();
    insta::assert_snapshot!(soon.warnings[0].message, @"tls/shop-web.crt needs a new one and was kept, but it expires on 2027-04-25");
    assert_eq!(bench.contents(), before);
    let error = bench.create_at(NOW, Some("other.example"), &[]).unwrap_err();
    insta::assert_snapshot!(error, @"tls/shop-web.crt has to be made (it lacks other.example), but custom-ca.key is not here to sign it");
    assert_eq!(failure(&error).kind, Kind::Failed);
}

#[test]
fn what_was_edited_stays() {
    let bench = Bench::new();
    bench.create();
    bench.write("site/env/shop.env", "URL=https://mine/\n");
    let report = bench.create_at(NOW, Some("other.example"), &[]).unwrap();
    assert_eq!(bench.read("site/env/shop.env"), "URL=https://mine/\n");
    insta::assert_snapshot!(report.warnings[0].message, @"env/shop.env was edited and is kept as it is");
    // An edit that says what would be rendered anyway is none.
    bench.write("site/env/shop.env", "URL=https://other.example:443/\n");
    assert_eq!(bench.create_at(NOW, None, &[]).unwrap().warnings, []);
    bench.create_at(NOW, Some("third.example"), &[]).unwrap();
    assert_eq!(bench.read("site/env/shop.env"), "URL=https://third.example:443/\n");
}

#[test]
fn a_certificate_of_the_operators_stays() {
    let (bench, other) = (Bench::new(), Bench::new());
    bench.create();
    other.create_at(NOW, Some("unlike.example"), &[]).unwrap();
    for name in ["site/tls/shop-web.crt", "site/tls/shop-web.key"] {
        bench.write(name, &other.read(name));
    }
    let before = bench.contents();
    let report = bench.create_at(NOW, None, &[]).unwrap();
    assert_eq!(bench.contents(), before);
    insta::assert_snapshot!(report.warnings[0].message, @"tls/shop-web.crt is not one that sealift made and was kept, but it lacks shop.example");
    bench.load(NOW).unwrap();
}

#[test]
fn a_pair_that_does_not_fit_is_found_and_mended() {
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
fn another_authority_signs_all_anew() {
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

#[test]
fn loading_leaves_the_authoritys_key_with_its_owner() {
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
fn loading_tells_all_that_is_wrong_at_once() {
    let bench = Bench::new();
    bench.create();
    fs_err::remove_file(bench.path("site/secrets/token")).unwrap();
    bench.write("site/env/shop.env", "URL=\"x\"\n");
    bench.write("site/secrets/database-password", "\n");
    let error = bench.load(NOW + 101 * DAY).unwrap_err();
    assert_eq!(failure(&error).kind, Kind::Failed);
    insta::assert_snapshot!(error.to_string().replace(bench.path("").to_str().unwrap(), ""), @"
    the site in site cannot be used:
      secrets/token is missing
      tls/shop-web.crt: it expired on 2027-04-25
      secrets/database-password: secrets/database-password does not hold one line of text
      env/shop.env: line 1: the value of URL starts with a quote, which some tools take off and some keep: write it without
    ");
}

#[test]
fn requests_that_cannot_be_met_are_usage_errors() {
    let bench = Bench::new();
    let message = |host, ports: &[(&str, u16)]| {
        let error = bench.create_at(NOW, host, ports).unwrap_err();
        assert_eq!(failure(&error).kind, Kind::Usage);
        error.to_string()
    };
    insta::assert_snapshot!(message(None, &[]), @"a new site needs the name or address that its users reach it by");
    insta::assert_snapshot!(message(Some("https://x"), &[]), @"`https://x` is not a host: a DNS name or an IP address");
    insta::assert_snapshot!(message(Some("x.example"), &[("htps", 1)]), @"the profile publishes no port `htps`");
    insta::assert_snapshot!(message(Some("x.example"), &[("https", 0)]), @"the port `https` cannot be 0");
    assert!(!bench.path("site").exists(), "a refused request leaves nothing behind");

    bench.create();
    let mut model = sample();
    model.name = toml::Spanned::new(0..0, "large".into());
    let error = load(&bench.path("site"), &model, NOW).unwrap_err();
    assert!(failure(&error).message.ends_with("belongs to the profile `small`, not to `large`"), "{error}");
}

#[test]
fn an_unpacked_bundle_gets_its_variables() {
    let bench = Bench::new();
    bench.create();
    assert!(!bench.path(".env").exists());
    bench.write("bundle.json", "{}");
    bench.create();
    assert_eq!(bench.read(".env"), bench.read("site/ports.env"));
    bench.write(".env", "SEALIFT_HTTPS_PORT=1\n");
    let report = bench.create();
    assert_eq!((bench.read(".env").as_str(), report.warnings.len()), ("SEALIFT_HTTPS_PORT=1\n", 1));
}

#[test]
fn a_directory_in_the_place_of_a_file_is_explained() {
    let bench = Bench::new();
    fs_err::create_dir_all(bench.path("site/nginx/shop.conf")).unwrap();
    let error = bench.create_at(NOW, Some("shop.example"), &[]).unwrap_err();
    assert!(failure(&error).hint.as_ref().unwrap().contains("rmdir"), "{error:#}");
}

#[test]
fn two_at_once_do_not_meet() {
    let bench = Bench::new();
    bench.create();
    let held = fs_err::File::open(bench.path("site")).unwrap();
    held.file().lock().unwrap();
    assert_eq!(failure(&bench.create_at(NOW, None, &[]).unwrap_err()).kind, Kind::Failed);
    drop(held);
    bench.create_at(NOW, None, &[]).unwrap();
}

#[test]
fn ports_on_addresses_that_overlap_must_differ() {
    let bench = Bench::new();
    let error = bench.create_at(NOW, Some("shop.example"), &[("admin", 443)]).unwrap_err();
    insta::assert_snapshot!(error, @"the ports `admin` and `https` are both 443");
    let text = include_str!("../render/sample.toml").replace("0.0.0.0", "2001:db8::7");
    let model: Model = toml::from_str(&text).unwrap();
    let ports = BTreeMap::from([("admin".to_owned(), 443)]);
    assert_eq!(ports::choose(&model, &BTreeMap::new(), &ports).unwrap()["https"], 443);
    assert!(ports_env(&model, &ports).contains("SEALIFT_HTTPS_ADDRESS=[2001:db8::7]\n"));
}

#[test]
fn paths_that_leave_the_site_are_refused() {
    for path in ["../x", "/etc/x", "tls/x", "secrets/x", "site.toml", "a//b"] {
        let text = include_str!("../render/sample.toml").replace("nginx/shop.conf", path);
        let model: Model = toml::from_str(&text).unwrap();
        assert!(check(&model).is_err(), "{path}");
    }
    check(&sample()).unwrap();
}
