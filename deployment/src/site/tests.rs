mod certificates;
mod edited;
mod load;
mod operator_certificates;
mod permissions;
mod settings;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::layout::{CA_KEY, check};
use super::*;
use crate::failure::{Failure, Kind};
use crate::profile::model::Model;
use crate::profile::sample;

const NOW: i64 = 1_800_000_000;
const DAY: i64 = 86400;

/// A profile's folder, and a place for its site.
struct Bench {
    directory: tempfile::TempDir,
    model: Model,
    sources: crate::profile::Sources,
    known: KnownSites,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs_err::create_dir_all(directory.path().join("profile/files")).unwrap();
        let sources = crate::profile::Sources::of(&directory.path().join("profile"));
        let known = KnownSites::at(&directory.path().join("state"));
        let bench = Self { directory, model: sample(), sources, known };
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

    fn create_at(&self, now: i64, host: Option<&str>, ports: &[(&str, u16)]) -> Result<SiteReport> {
        self.request(now, host, ports, false)
    }

    fn request(&self, now: i64, host: Option<&str>, ports: &[(&str, u16)], self_signed: bool) -> Result<SiteReport> {
        let ports = ports.iter().map(|(name, port)| ((*name).to_owned(), *port)).collect();
        self.run(&self.path("site"), |request| SiteRequest { host, ports, self_signed, now, ..request })
    }

    /// A run with these choices about the authority.
    fn with_authority(&self, host: Option<&str>, key: Option<&Path>, renew: bool) -> Result<SiteReport> {
        self.run(&self.path("site"), |request| SiteRequest {
            host,
            authority_key: key,
            renew_authority: renew,
            ..request
        })
    }

    fn run<'a>(
        &'a self,
        directory: &'a Path,
        change: impl FnOnce(SiteRequest<'a>) -> SiteRequest<'a>,
    ) -> Result<SiteReport> {
        create(&change(SiteRequest {
            directory,
            model: &self.model,
            sources: &self.sources,
            host: None,
            ports: BTreeMap::new(),
            project: None,
            engine: None,
            days_left: None,
            leave_groups: false,
            self_signed: false,
            known: &self.known,
            accept: false,
            authority_key: None,
            renew_authority: false,
            now: NOW,
        }))
    }

    fn create(&self) -> SiteReport {
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
fn new_site_has_all_files_with_their_modes() {
    let bench = Bench::new();
    let report = bench.create();
    assert_eq!(report.warnings.0, []);
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
    created custom-ca.key
    created custom-ca.crt
    created tls/shop-web.key
    created tls/shop-web.crt
    created secrets/database-password
    created secrets/token
    created env/shop.env
    created env/token.env
    created nginx/shop.conf
    created ports.env
    created site.toml
    ");
    insta::assert_snapshot!(bench.read("site/ports.env"), @"
    # Variables of compose.yaml, which compose reads from `.env` beside it.
    COMPOSE_PROJECT_NAME=shop-small
    SEALIFT_PROJECT=shop-small
    SEALIFT_ADMIN_ADDRESS=127.0.0.1
    SEALIFT_ADMIN_PORT=8080
    SEALIFT_HTTPS_ADDRESS=0.0.0.0
    SEALIFT_HTTPS_PORT=443
    SEALIFT_OUTSIDE_INTERNAL=true
    ");
    assert_eq!(bench.read("site/env/shop.env"), "URL=https://shop.example:443/\n");
    let token = bench.read("site/secrets/token");
    assert_eq!((token.len(), bench.read("site/secrets/database-password").len()), (84, 32));
    assert!(bench.read("site/env/token.env").starts_with(&format!("TOKEN={token}\n")));
}

#[test]
fn second_run_changes_no_byte_and_corrects_modes() {
    let bench = Bench::new();
    bench.create();
    let before = bench.contents();
    fs_err::set_permissions(bench.path("site/secrets/token"), PermissionsExt::from_mode(0o644)).unwrap();
    let report = bench.create_at(NOW + DAY, None, &[]).unwrap();
    assert_eq!(bench.contents(), before);
    insta::assert_snapshot!(report, @r"
    corrected secrets/token: mode 0600 instead of 0644
    kept 10 files
    ");
}

#[test]
fn new_host_or_port_renews_the_files_that_contain_it() {
    let bench = Bench::new();
    bench.create();
    let token = bench.read("site/secrets/token");
    let report = bench.create_at(NOW, Some("192.0.2.7"), &[("https", 8443)]).unwrap();
    insta::assert_snapshot!(report, @"
    replaced custom-ca.crt: it may not sign for 192.0.2.7
    replaced tls/shop-web.crt: it lacks 192.0.2.7
    replaced env/shop.env: its template or values changed
    replaced nginx/shop.conf: its template or values changed
    replaced ports.env: its template or values changed
    replaced site.toml: it records what changed
    kept 5 files
    ");
    assert_eq!(bench.read("site/env/shop.env"), "URL=https://192.0.2.7:8443/\n");
    assert_eq!(bench.read("site/secrets/token"), token);
    // The chosen port is recorded.
    assert_eq!(bench.create_at(NOW, None, &[]).unwrap().ports["https"], 8443);
}

#[test]
fn invalid_requests_are_usage_errors() {
    let bench = Bench::new();
    let message = |host, ports: &[(&str, u16)]| {
        let error = bench.create_at(NOW, host, ports).unwrap_err();
        assert_eq!(failure(&error).kind, Kind::Usage);
        error.to_string()
    };
    insta::assert_snapshot!(message(None, &[]), @"a new site needs its public host: the name or address that users connect to");
    insta::assert_snapshot!(message(Some("https://x"), &[]), @"`https://x` is not a DNS name or an IP address");
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
fn directory_in_place_of_a_file_has_a_hint() {
    let bench = Bench::new();
    fs_err::create_dir_all(bench.path("site/nginx/shop.conf")).unwrap();
    let error = bench.create_at(NOW, Some("shop.example"), &[]).unwrap_err();
    assert!(failure(&error).hint.as_ref().unwrap().contains("rmdir"), "{error:#}");
}

#[test]
fn second_run_at_the_same_time_is_refused() {
    let bench = Bench::new();
    bench.create();
    let held = fs_err::File::open(bench.path("site")).unwrap();
    held.file().lock().unwrap();
    assert_eq!(failure(&bench.create_at(NOW, None, &[]).unwrap_err()).kind, Kind::Failed);
    drop(held);
    bench.create_at(NOW, None, &[]).unwrap();
}

#[test]
fn ports_on_overlapping_addresses_must_differ() {
    let bench = Bench::new();
    let error = bench.create_at(NOW, Some("shop.example"), &[("admin", 443)]).unwrap_err();
    insta::assert_snapshot!(error, @"the ports `admin` and `https` are both 443");
    let text = include_str!("../profile/sample.toml").replace("0.0.0.0", "2001:db8::7");
    let model: Model = toml::from_str(&text).unwrap();
    let ports = BTreeMap::from([("admin".to_owned(), 443)]);
    assert_eq!(ports::choose(&model, &BTreeMap::new(), &ports).unwrap()["https"], 443);
    assert!(ports_env(&model, None, &ports, &Chosen::default()).contains("SEALIFT_HTTPS_ADDRESS=[2001:db8::7]\n"));
}

#[test]
fn template_paths_outside_the_site_are_refused() {
    for path in ["../x", "/etc/x", "tls/x", "secrets/x", "site.toml", "a//b"] {
        let text = include_str!("../profile/sample.toml").replace("nginx/shop.conf", path);
        let model: Model = toml::from_str(&text).unwrap();
        assert!(check(&model).is_err(), "{path}");
    }
    check(&sample()).unwrap();
}
