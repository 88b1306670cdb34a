//! Crates of a registry on loopback, compiled for real.

use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use sealift_deployment::failure::Kind;

use super::*;
use crate::fetch::server::{Reply, Server};

/// Says where it was compiled, as panics do.
const MAIN: &str = "fn main() { println!(\"{} {}\", file!(), cfg!(feature = \"loud\")); }\n";
const LOCK: &str = "version = 4\n\n[[package]]\nname = \"hello\"\nversion = \"1.0.0\"\n";
const MANIFEST: &str =
    "[package]\nname = \"hello\"\nversion = \"1.0.0\"\nedition = \"2021\"\n\n[features]\nloud = []\n";

/// A crate as cargo packs it.
fn pack(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

fn hello() -> Vec<u8> {
    pack(&[("hello-1.0.0/Cargo.toml", MANIFEST), ("hello-1.0.0/Cargo.lock", LOCK), ("hello-1.0.0/src/main.rs", MAIN)])
}

/// A sparse registry with the one crate.
fn registry(archive: Vec<u8>) -> Server {
    let digest = Digest::of(&archive).hex();
    let line = format!(
        "{{\"name\":\"hello\",\"vers\":\"1.0.0\",\"deps\":[],\"cksum\":\"{digest}\",\"features\":{{\"loud\":[]}},\"yanked\":false}}\n"
    );
    Server::start(move |_, request| {
        let host = request.header("host").unwrap_or_default();
        match request.path.as_str() {
            "/index/config.json" => Reply::ok(format!("{{\"dl\":\"http://{host}/crates\"}}").as_bytes()),
            "/index/he/ll/hello" => Reply::ok(line.as_bytes()),
            "/crates/hello/1.0.0/download" => Reply::ok(&archive),
            _ => Reply::status("404 Not Found"),
        }
    })
}

/// A machine whose cargo is set up to use that registry in the place of its default one.
struct Bench {
    place: tempfile::TempDir,
    cargo: Cargo,
    store: Store,
}

impl Bench {
    fn new(registry: &Server, offline: bool) -> Self {
        let place = tempfile::tempdir().unwrap();
        let home = place.path().join("cargo");
        fs_err::create_dir(&home).unwrap();
        let url = registry.url("/index/");
        let config = format!(
            "[source.crates-io]\nreplace-with = \"mirror\"\n[source.mirror]\nregistry = \"sparse+{url}\"\n\
             [build]\nrustflags = [\"--cfg\", \"of_the_users_own\"]\n"
        );
        fs_err::write(home.join("config.toml"), config).unwrap();
        let machine = Machine::of(Path::new("/"), &[("CARGO_HOME", home.to_str().unwrap())]);
        let cargo = Cargo::new(&machine, offline).unwrap();
        let store = Store::open(&place.path().join("store")).unwrap();
        Self { place, cargo, store }
    }

    fn compile(&self, locked: &lock::Crate, features: &[String]) -> Result<Vec<u8>> {
        self.cargo.fetch(locked, &self.store)?;
        let archive = self.store.artifact(&locked.sha256, locked.size).unwrap();
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        let output = self.place.path().join("program");
        self.cargo.compile(
            &Program { locked, binary: "hello", features, architecture },
            &archive,
            &self.store,
            1,
            &output,
        )?;
        Ok(fs_err::read(output)?)
    }
}

#[test]
fn the_lock_has_what_the_index_says() {
    let archive = hello();
    let registry = registry(archive.clone());
    let bench = Bench::new(&registry, false);
    let locked = bench.cargo.resolve("hello", "1.0.0").unwrap();
    let expected = lock::Crate {
        name: "hello".into(),
        version: "1.0.0".into(),
        size: archive.len() as u64,
        sha256: Digest::of(&archive),
    };
    assert_eq!(locked, expected);
    let error = format!("{:#}", bench.cargo.resolve("hello", "2.0.0").unwrap_err());
    assert!(error.contains("cannot find hello 2.0.0") && error.contains("1.0.0"), "{error}");
}

#[test]
fn the_same_crate_is_the_same_program_anywhere() {
    let registry = registry(hello());
    let (one, other) = (Bench::new(&registry, false), Bench::new(&registry, false));
    let locked = one.cargo.resolve("hello", "1.0.0").unwrap();
    let said = |bench: &Bench| {
        let run = Command::new(bench.place.path().join("program")).output().unwrap();
        String::from_utf8_lossy(&run.stdout).into_owned()
    };
    let program = one.compile(&locked, &[]).unwrap();
    assert_eq!(said(&one), "src/main.rs false\n");
    assert!(program == other.compile(&locked, &[]).unwrap(), "two places, two programs");
    other.compile(&locked, &["loud".to_owned()]).unwrap();
    assert_eq!(said(&other), "src/main.rs true\n");
    let place = one.place.path().to_str().unwrap();
    assert!(memchr::memmem::find(&program, place.as_bytes()).is_none(), "it names a path of this machine");
}

#[test]
fn another_crate_than_the_locks_is_refused() {
    let registry = registry(hello());
    let bench = Bench::new(&registry, false);
    let mut locked = bench.cargo.resolve("hello", "1.0.0").unwrap();
    locked.sha256 = Digest::of(b"another");
    let error = bench.cargo.fetch(&locked, &bench.store).unwrap_err();
    assert_eq!(Failure::within(&error).unwrap().kind, Kind::Verification, "{error:#}");
}

#[test]
fn offline_asks_nobody() {
    let registry = registry(hello());
    let locked = Bench::new(&registry, false).cargo.resolve("hello", "1.0.0").unwrap();
    let before = registry.requests().len();
    let error = Bench::new(&registry, true).compile(&locked, &[]).unwrap_err();
    assert_eq!(Failure::within(&error).unwrap().kind, Kind::Network, "{error:#}");
    assert_eq!(registry.requests().len(), before);
}

#[test]
fn crates_that_pin_nothing_or_hold_strange_files_are_refused() {
    let files = [("hello-1.0.0/Cargo.toml", MANIFEST), ("hello-1.0.0/src/main.rs", MAIN)];
    let registry = registry(pack(&files));
    let error = Bench::new(&registry, false).cargo.resolve("hello", "1.0.0").unwrap_err();
    assert!(error.to_string().contains("does not pin its dependencies"), "{error:#}");

    let locked = |archive: &[u8]| lock::Crate {
        name: "hello".into(),
        version: "1.0.0".into(),
        size: archive.len() as u64,
        sha256: Digest::of(archive),
    };
    let place = tempfile::tempdir().unwrap();
    let refused = |archive: Vec<u8>| {
        let path = place.path().join("crate");
        fs_err::write(&path, &archive).unwrap();
        compile::pins_its_dependencies(&locked(&archive), &path).unwrap_err().to_string()
    };
    let outside = pack(&[("hello-1.0.0/Cargo.lock", LOCK), ("other/Cargo.toml", "")]);
    assert!(refused(outside).contains("holds `other/Cargo.toml`"));
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    tar.append_link(&mut header, "hello-1.0.0/Cargo.lock", "/etc/passwd").unwrap();
    assert!(refused(tar.into_inner().unwrap().finish().unwrap()).contains("which no crate should"));
    let mut cut = hello();
    cut.truncate(cut.len() / 2);
    assert!(refused(cut).contains("the crate hello 1.0.0"));
    let mut garbage = GzEncoder::new(Vec::new(), Compression::fast());
    garbage.write_all(&[7; 2048]).unwrap();
    assert!(refused(garbage.finish().unwrap()).contains("the crate hello 1.0.0"));
}

#[test]
fn the_checksum_is_that_of_the_version() {
    let entry = |version: &str, digit: &str| {
        let checksum = digit.repeat(64);
        format!("[[package]]\nname = \"a\"\nversion = \"{version}\"\nchecksum = \"{checksum}\"\n")
    };
    let text = format!("version = 4\n{}{}", entry("1.0.0", "1"), entry("2.0.0", "2"));
    assert_eq!(checksum(&text, "a", "2.0.0").unwrap().hex(), "2".repeat(64));
    assert!(checksum(&text, "a", "3.0.0").is_err());
    assert!(checksum(&text, "b", "1.0.0").is_err());
}

#[test]
fn what_decides_the_bytes_is_not_inherited() {
    for name in ["RUSTFLAGS", "CARGO_PROFILE_RELEASE_LTO", "CFLAGS_x86_64-unknown-linux-gnu", "RUSTC_WRAPPER"] {
        assert!(decides(name), "{name}");
    }
    for name in ["PATH", "CARGO_HOME", "CARGO_HTTP_PROXY", "https_proxy", "RUSTUP_TOOLCHAIN"] {
        assert!(!decides(name), "{name}");
    }
}

#[test]
fn the_network_is_told_from_the_compiler() {
    let of = |stderr: &str, offline| {
        let status = std::process::ExitStatus::from_raw(101 << 8);
        explain(&Output { status, stdout: Vec::new(), stderr: stderr.as_bytes().to_vec() }, offline)
    };
    assert_eq!(of("error: failed to download from `http://mirror.example/a`", false).kind, Kind::Network);
    assert_eq!(of("error: attempting to make an HTTP request, but --offline was specified", true).kind, Kind::Network);
    assert_eq!(of("error[E0308]: mismatched types", false).kind, Kind::Failed);
}

#[test]
fn a_missing_cargo_is_told() {
    let machine = Machine::of(Path::new("/"), &[("HOME", "/nonexistent"), ("RUSTC", "/nonexistent/rustc")]);
    let error = Cargo::new(&machine, true).unwrap_err();
    assert!(Failure::within(&error).unwrap().hint.as_ref().unwrap().contains("install Rust"));
}
