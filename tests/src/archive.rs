//! A Debian archive and a Python index with the packages and wheels of the profile `tiny`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use sealift_layers::digest::Digest;

use crate::packed::{Member, Package, Wheel, static_program, xz};
use crate::signing::Key;

/// The content of the server. Tests can change it before they [publish](Archive::publish) it.
#[derive(Clone, Debug)]
pub struct Archive {
    /// The packages.
    pub packages: Vec<Package>,
    /// The wheels.
    pub wheels: Vec<Wheel>,
    /// Seed of the signing key.
    pub key: u64,
    /// The field `Valid-Until`, if there is one.
    pub valid_until: Option<String>,
}

/// Seed of the key that the profile `tiny` trusts.
pub const KNOWN_KEY: u64 = 1;

/// Path of the package index.
pub const INDEX: &str = "dists/tiny/main/binary-amd64/Packages.xz";
/// Path of the signed Release file.
pub const RELEASE: &str = "dists/tiny/InRelease";

impl Default for Archive {
    fn default() -> Self {
        Self { packages: packages(), wheels: wheels(), key: KNOWN_KEY, valid_until: None }
    }
}

impl Archive {
    /// The default one with the package `busybox-static`, whose program is this machine's.
    ///
    /// # Errors
    /// This machine has none.
    pub fn with_busybox() -> Result<Self> {
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
        let busybox = fs_err::read(busybox.context("busybox-static is not installed")?)?;
        let mut archive = Self::default();
        let file = Member::file("./usr/bin/busybox", "").content(busybox).mode(0o755);
        archive.packages.push(Package::new("busybox-static", "1", "", &[file]));
        Ok(archive)
    }

    /// The package with this name.
    ///
    /// # Panics
    /// There is none.
    pub fn package(&mut self, name: &str) -> &mut Package {
        self.packages.iter_mut().find(|package| package.name == name).expect("a package of the archive")
    }

    /// The wheel with this name.
    ///
    /// # Panics
    /// There is none.
    pub fn wheel(&mut self, name: &str) -> &mut Wheel {
        self.wheels.iter_mut().find(|wheel| wheel.name == name).expect("a wheel of the index")
    }

    /// All files, by path below the server's root.
    #[must_use]
    pub fn publish(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut index = String::new();
        for package in &self.packages {
            index.push_str(&package.stanza());
            files.insert(package.path(), package.bytes());
        }
        let packed = xz(index.as_bytes());
        let mut release =
            "Origin: Tests\nSuite: tiny\nCodename: tiny\nDate: Thu, 01 Jan 2026 00:00:00 UTC\n".to_owned();
        if let Some(end) = &self.valid_until {
            let _ = writeln!(release, "Valid-Until: {end}");
        }
        release.push_str("Architectures: amd64\nComponents: main\nSHA256:\n");
        for (path, bytes) in [("Packages", index.as_bytes()), ("Packages.xz", &packed)] {
            let (digest, size) = (Digest::of(bytes).hex(), bytes.len());
            let _ = writeln!(release, " {digest} {size} main/binary-amd64/{path}");
        }
        // The signed text does not end with a line break.
        files.insert(RELEASE.into(), Key::new(self.key).clearsign(release.trim_end()).into_bytes());
        files.insert(INDEX.into(), packed);
        for wheel in &self.wheels {
            let (name, file, bytes) = (&wheel.name, wheel.file_name(), wheel.bytes());
            let page = serde_json::json!({
                "meta": { "api-version": "1.1" },
                "name": name,
                "versions": [wheel.version],
                "files": [{
                    "filename": file,
                    "url": format!("../../files/{file}"),
                    "hashes": { "sha256": Digest::of(&bytes).hex() },
                    "size": bytes.len(),
                    "upload-time": "2026-01-02T03:04:05Z",
                }],
            });
            files.insert(format!("simple/{name}/"), page.to_string().into_bytes());
            files.insert(format!("files/{file}"), bytes);
        }
        files
    }

    /// The `pylock.toml` that `uv` writes for the wheels; `root` is the server's URL.
    #[must_use]
    pub fn pylock(&self, root: &str) -> String {
        let mut text = "lock-version = \"1.0\"\ncreated-by = \"tests\"\n".to_owned();
        for wheel in &self.wheels {
            let (file, bytes) = (wheel.file_name(), wheel.bytes());
            let _ = writeln!(
                text,
                "[[packages]]\nname = \"{}\"\nversion = \"{}\"\nwheels = [{{ url = \"{root}/files/{file}\", \
                 upload-time = 2026-01-02T03:04:05Z, size = {}, hashes = {{ sha256 = \"{}\" }} }}]",
                wheel.name,
                wheel.version,
                bytes.len(),
                Digest::of(&bytes).hex()
            );
        }
        text
    }
}

/// Not a real certificate: tests only compare its bytes.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----";

/// Packages with everything that a layer has to preserve: both kinds of links, special bits, other owners, folders that the
/// merged /usr moves, and a file that two packages have.
fn packages() -> Vec<Package> {
    let file = Member::file;
    // A build checks that what an image starts is a program.
    let program = String::from_utf8(static_program()).expect("a header in ASCII");
    vec![
        Package::new(
            "base-files",
            "13",
            "",
            &[
                Member::directory("./"),
                Member::directory("./etc/"),
                file("./etc/debian_version", "tiny\n"),
                file("./usr/lib/os-release", "ID=tiny\n"),
                Member::symlink("./etc/os-release", "../usr/lib/os-release"),
                Member::symlink("./bin", "usr/bin"),
                Member::symlink("./lib", "usr/lib"),
                Member::directory("./tmp/").mode(0o1777),
                Member::directory("./root/").mode(0o700),
                file("./usr/share/doc/base-files/README", "dropped\n"),
                file("./usr/share/doc/base-files/copyright", "kept\n"),
            ],
        ),
        Package::new(
            "ca-certificates",
            "20260101",
            "Depends: left-out\n",
            &[
                file("./usr/share/ca-certificates/example/b.crt", CERTIFICATE),
                file("./usr/share/ca-certificates/example/a.crt", CERTIFICATE),
            ],
        ),
        Package::new("left-out", "1", "", &[file("./usr/bin/left-out", "")]),
        Package::new("libc6", "2.43-1", "", &[file("./lib/libc.so.6", "library\n").mode(0o755)]),
        Package::new(
            "clock",
            "1:4.2-1",
            "Depends: libc6 (>= 2.40)\nReplaces: libc6\n",
            &[
                file("./usr/bin/clock", &program).mode(0o4755),
                Member::hardlink("./usr/bin/watch", "./usr/bin/clock").mode(0o4755),
                file("./usr/share/clock/\u{e9}t\u{e9}", "not ASCII\n"),
                Member::directory("./var/spool/clock/").mode(0o2770).owner(38),
                file("./usr/share/clock/noise", &noise(200_000)),
            ],
        ),
        Package::new(
            "python3.14",
            "3.14.2-1",
            "Depends: libc6\n",
            &[file("./usr/bin/python3.14", &program).mode(0o755)],
        ),
    ]
}

fn wheels() -> Vec<Wheel> {
    vec![
        Wheel::new(
            "greeter",
            "1.2",
            &[
                ("greeter/__init__.py", "import words\n\ndef main():\n    print(words.HELLO)\n"),
                ("INFO/entry_points.txt", "[console_scripts]\ngreet = greeter:main\n"),
            ],
        ),
        Wheel::new("words", "0.3", &[("words.py", "HELLO = 'hello'\n")]),
    ]
}

/// Text that does not compress well. It is always the same.
fn noise(length: usize) -> String {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b' ' + u8::try_from((state >> 24) % 95).expect("small"))
    };
    (0..length).map(|_| next()).collect()
}
