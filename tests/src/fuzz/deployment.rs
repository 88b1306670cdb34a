//! Locks, profiles, settings, env files and bundles.

use std::cell::RefCell;
use std::path::Path;
use std::sync::LazyLock;

use sealift::lock::Lock;
use sealift_deployment::bundle::{self, Bundle, Form, LINKS, Manifest, SUMS};
use sealift_deployment::diagnostic::Diagnostics;
use sealift_deployment::finding::{Findings, Level};
use sealift_deployment::profile::Profile;
use sealift_deployment::profile::model::{Deployed, Model};
use sealift_deployment::profile::setting::Value;
use sealift_deployment::site::{compose_variables, parse_env, parse_settings};
use sealift_layers::digest::Digest;
use sealift_layers::limits::Limits;
use sealift_layers::tree::{Entry, Tree, TreePath};
use sealift_layers::validate::Depth;
use tempfile::TempDir;

use super::{file, parts, seeds, text};

/// A lock comes back when it is written.
///
/// # Panics
/// It does not.
pub fn lock(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let parse = |text: &str| Lock::parse(text, Path::new("sealift.lock"), "tiny", "tiny");
    let Ok(lock) = parse(text) else { return };
    for platform in lock.platforms.values() {
        let paths =
            platform.packages.iter().map(|package| &package.path).chain(platform.wheels.iter().map(|w| &w.path));
        assert!(paths.into_iter().all(|path| path.split('/').all(|part| !matches!(part, "" | "." | ".."))));
    }
    let written = lock.text().expect("a lock can be written");
    let again = parse(&written).expect("what was written can be read");
    assert_eq!(Lock { schema: again.schema, ..lock }, again);
    assert_eq!(again.text().unwrap(), written);
}

thread_local! {
    static FOLDER: RefCell<Option<TempDir>> = const { RefCell::new(None) };
}

/// Calls `run` with a folder that stays the same.
pub(super) fn with_folder<T>(run: impl FnOnce(&Path) -> T) -> T {
    FOLDER.with_borrow_mut(|folder| run(folder.get_or_insert_with(|| tempfile::tempdir().expect("a folder")).path()))
}

/// A profile is read the same each time, from its own text, too; and what is wrong with one is shown in its text.
///
/// # Panics
/// It is not.
pub fn profile(data: &[u8]) {
    let load = |data: &[u8]| {
        with_folder(|folder| {
            fs_err::write(folder.join("profile.toml"), data).expect("a file");
            Profile::load(folder)
        })
    };
    match load(data) {
        Ok(profile) => {
            let again = load(profile.text.as_bytes()).expect("its own text");
            assert_eq!(again.text, profile.text);
            // Folders whose files it names are not there.
            assert_eq!(
                again.files().map_err(|error| error.to_string()),
                profile.files().map_err(|error| error.to_string())
            );
            assert_eq!(format!("{:?}", again.model), format!("{:?}", profile.model));
        }
        Err(error) => {
            let shown = format!("{error:#}");
            assert!(!shown.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t')), "{shown:?}");
            if let Some(diagnostics) = Diagnostics::within(&error) {
                assert!(!diagnostics.styled().is_empty());
            }
        }
    }
}

/// The profile of [`settings`]: a setting of each kind.
const SETTINGS: &str = r#"
schema = 1
name = "tiny"
product = "demo"
version = "1"
title = "t"
platforms = ["linux/amd64"]
[debian]
suite = "tiny"
components = ["main"]
keyring = "k"
[base]
packages = []
[images]
[services]
[site.ports]
http = { default = 80, address = "0.0.0.0" }
https = { default = 443, address = "0.0.0.0" }
[site.authority]
name = "Tiny Authority"
days = 365
[site.settings]
text = { title = "t", kind = "text" }
word = { title = "t", kind = "word", secret = true, min-length = 3 }
url = { title = "t", kind = "url", schemes = ["https", "s3"] }
host = { title = "t", kind = "host" }
port = { title = "t", kind = "port", default = 25 }
integer = { title = "t", kind = "integer", required = true }
boolean = { title = "t", kind = "boolean", default = true }
choice = { title = "t", kind = "choice", choices = ["a", "b"] }
list = { title = "t", kind = "list" }
[site.settings.stores]
title = "t"
kind = "tables"
fields.key = { title = "t", kind = "word", secret = true, required = true }
fields.size = { title = "t", kind = "integer", default = 3 }
"#;

pub(super) static MODEL: LazyLock<Model> = LazyLock::new(|| toml::from_str(SETTINGS).expect("a profile"));

/// Values of settings are one printable line each, and messages do not have the secret ones.
///
/// # Panics
/// They are not.
pub fn settings(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let read = || {
        let mut findings = Findings::default();
        (parse_settings(text, &MODEL, None, &mut findings), findings)
    };
    let (values, findings) = read();
    let again = read();
    assert_eq!((format!("{:?}", again.0), &again.1), (format!("{values:?}"), &findings));
    if findings.of(Level::Error).next().is_some() {
        return;
    }
    for name in MODEL.site.settings.keys() {
        let value = values.get(name).expect("every setting has a value");
        assert!(value.texts().iter().all(|text| !text.contains(char::is_control)), "{name} {value:?}");
        match (name.as_str(), value) {
            ("port", Value::Number(port)) => assert!((1..=65535).contains(port)),
            ("integer", Value::Number(number)) => assert!(*number >= 0),
            ("word", Value::Text(text)) => {
                assert!(text.chars().count() >= 3 && !text.contains(char::is_whitespace));
            }
            ("choice", Value::Text(text)) => assert!(matches!(text.as_str(), "a" | "b")),
            ("port" | "integer" | "boolean", Value::Text(_) | Value::List(_) | Value::Tables(_)) => panic!("{value:?}"),
            _ => {}
        }
    }
}

/// Variables come back, and compose reads the same names.
///
/// # Panics
/// They do not.
pub fn env(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let all = compose_variables(text);
    let Ok(variables) = parse_env(text) else { return };
    let written: String = variables.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
    assert_eq!(parse_env(&written).unwrap(), variables);
    assert!(variables.iter().all(|(key, value)| {
        all.contains_key(key) && !key.is_empty() && !value.contains(|c: char| c.is_control() || c == '$')
    }));
    assert_eq!(all.len(), variables.len());
}

/// A tar that may be a bundle is checked the same each time.
///
/// # Panics
/// It is not.
pub fn bundle(data: &[u8]) {
    use std::os::fd::AsRawFd as _;
    let file = file(data);
    let Ok(opened) = bundle::open(format!("/proc/self/fd/{}", file.as_raw_fd()).as_ref()) else { return };
    let check = || opened.verify(Depth::Blobs).violations;
    let found = check();
    assert_eq!(check(), found);
    for violation in found.iter().chain(&opened.oddities) {
        assert!(!violation.to_string().contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t')));
    }
}

/// A manifest comes back, and its bill of materials is the same each time.
///
/// # Panics
/// It does not.
pub fn manifest(data: &[u8]) {
    let Ok(manifest) = serde_json::from_slice::<Manifest>(data) else { return };
    let written = serde_json::to_vec(&manifest).unwrap();
    assert_eq!(serde_json::from_slice::<Manifest>(&written).unwrap(), manifest);
    assert_eq!(bundle::sbom::of(&manifest, None), bundle::sbom::of(&manifest, None));
}

/// That of a bundle without containers.
static MANIFEST: LazyLock<Manifest> = LazyLock::new(|| {
    let mut manifest: Manifest = serde_json::from_slice(&seeds::manifest()[0]).expect("a manifest");
    manifest.deployment = Deployed::Systemd;
    manifest
});

/// `SHA256SUMS` and `LINKS`, the two parts of the input: a folder is valid only if each of its files is listed with its digest.
///
/// # Panics
/// It is not.
pub fn sums(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut parts = parts(&text);
    let sums = parts.next().unwrap_or_default();
    let origin = "seed".into();
    let mut files = Tree::new();
    let mut add = |path: &str, entry: Entry| files.insert(TreePath::new(path).unwrap(), entry);
    add("bin", Entry::directory(0o755, &origin));
    add("bin/a", Entry::file("a", 0o755, &origin));
    add("bin/b", Entry::symlink("a", &origin));
    add(SUMS, Entry::file(sums, 0o644, &origin));
    add(LINKS, Entry::file(parts.next().unwrap_or_default(), 0o644, &origin));
    let bundle = Bundle {
        files,
        form: Form::Folder { owner: 0 },
        oddities: Vec::new(),
        limits: Limits::default(),
        signature: None,
        manifest: Some(MANIFEST.clone()),
    };
    let check = || {
        let mut all = bundle.verify(Depth::Digests).violations;
        all.extend(bundle.verify_files());
        all.extend(bundle.verify_types());
        all.extend(bundle.verify_site().unwrap_or_default());
        all
    };
    let found = check();
    assert_eq!(check(), found);
    for violation in &found {
        assert!(!violation.to_string().contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t')));
    }
    let right = bundle.sum("bin/a") == Some(Digest::of(b"a"));
    if bundle.verify_files().is_empty() {
        assert!(right, "a file is not listed with its digest");
    }
}
