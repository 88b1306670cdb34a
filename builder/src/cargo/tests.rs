//! Crates of a registry on loopback, compiled with the machine's cargo.

use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use sealift_deployment::failure::Kind;
use sealift_layers::limits::Limits;
use sealift_layers::platform::Architecture;

use super::*;
use crate::fetch::server::{Reply, Server};

/// Prints the path of its source, as panics do, and whether the feature is enabled.
const MAIN: &str = "fn main() { println!(\"{} {}\", file!(), cfg!(feature = \"loud\")); }\n";
const LOCK: &str = "version = 4\n\n[[package]]\nname = \"hello\"\nversion = \"1.0.0\"\n";
const MANIFEST: &str =
    "[package]\nname = \"hello\"\nversion = \"1.0.0\"\nedition = \"2021\"\n\n[features]\nloud = []\n";

/// A crate archive as cargo writes it.
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

/// A sparse registry with one crate.
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

/// A machine whose cargo is configured to use the registry in place of its default one.
struct TestMachine {
    folder: tempfile::TempDir,
    cargo: Cargo,
    store: Store,
}

impl TestMachine {
    fn new(registry: &Server, offline: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("cargo");
        fs_err::create_dir(&home).unwrap();
        let url = registry.url("/index/");
        let config = format!(
            "[source.crates-io]\nreplace-with = \"mirror\"\n[source.mirror]\nregistry = \"sparse+{url}\"\n\
             [build]\nrustflags = [\"--cfg\", \"set_by_the_user\"]\n"
        );
        fs_err::write(home.join("config.toml"), config).unwrap();
        let machine = Machine::of(Path::new("/"), &[("CARGO_HOME", home.to_str().unwrap())]);
        let cargo = Cargo::new(&machine, offline).unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        Self { folder, cargo, store }
    }

    fn compile(&self, locked: &lock::Crate, features: &[String]) -> Result<Vec<u8>> {
        self.cargo.fetch(locked, &self.store)?;
        let archive = self.store.artifact(&locked.sha256, locked.size).unwrap();
        let architecture = Architecture::from_machine(std::env::consts::ARCH).unwrap();
        let output = self.folder.path().join("program");
        self.cargo.compile(
            &Program { locked, binary: "hello", features, architecture, limits: Limits::default() },
            &archive,
            &self.store,
            1,
            &output,
        )?;
        Ok(fs_err::read(output)?)
    }
}

#[test]
fn a_resolved_crate_has_the_checksum_of_the_index() {
    let archive = hello();
    let registry = registry(archive.clone());
    let machine = TestMachine::new(&registry, false);
    let locked = machine.cargo.resolve("hello", "1.0.0").unwrap();
    let expected = lock::Crate {
        name: "hello".into(),
        version: "1.0.0".into(),
        size: archive.len() as u64,
        sha256: Digest::of(&archive),
    };
    assert_eq!(locked, expected);
    let error = format!("{:#}", machine.cargo.resolve("hello", "2.0.0").unwrap_err());
    assert!(error.contains("cannot find the crate hello 2.0.0") && error.contains("1.0.0"), "{error}");
}

#[test]
fn compiling_in_another_place_gives_the_same_program() {
    let registry = registry(hello());
    let (one, other) = (TestMachine::new(&registry, false), TestMachine::new(&registry, false));
    let locked = one.cargo.resolve("hello", "1.0.0").unwrap();
    let output = |machine: &TestMachine| {
        let run = Command::new(machine.folder.path().join("program")).output().unwrap();
        String::from_utf8_lossy(&run.stdout).into_owned()
    };
    let program = one.compile(&locked, &[]).unwrap();
    assert_eq!(output(&one), "src/main.rs false\n");
    assert!(program == other.compile(&locked, &[]).unwrap(), "the place changes the program");
    other.compile(&locked, &["loud".to_owned()]).unwrap();
    assert_eq!(output(&other), "src/main.rs true\n");
    let folder = one.folder.path().to_str().unwrap();
    assert!(memchr::memmem::find(&program, folder.as_bytes()).is_none(), "the program contains a path of this machine");
}

#[test]
fn a_crate_that_differs_from_the_lock_is_refused() {
    let registry = registry(hello());
    let machine = TestMachine::new(&registry, false);
    let mut locked = machine.cargo.resolve("hello", "1.0.0").unwrap();
    locked.sha256 = Digest::of(b"another");
    let error = machine.cargo.fetch(&locked, &machine.store).unwrap_err();
    assert_eq!(Failure::within(&error).unwrap().kind, Kind::Verification, "{error:#}");
}

#[test]
fn offline_contacts_no_server() {
    let registry = registry(hello());
    let locked = TestMachine::new(&registry, false).cargo.resolve("hello", "1.0.0").unwrap();
    let before = registry.requests().len();
    let error = TestMachine::new(&registry, true).compile(&locked, &[]).unwrap_err();
    assert_eq!(Failure::within(&error).unwrap().kind, Kind::Network, "{error:#}");
    assert_eq!(registry.requests().len(), before);
}

#[test]
fn crates_without_a_lock_or_with_files_elsewhere_are_refused() {
    let files = [("hello-1.0.0/Cargo.toml", MANIFEST), ("hello-1.0.0/src/main.rs", MAIN)];
    let registry = registry(pack(&files));
    let error = TestMachine::new(&registry, false).cargo.resolve("hello", "1.0.0").unwrap_err();
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
    assert!(refused(outside).contains("contains `other/Cargo.toml`"));
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    tar.append_link(&mut header, "hello-1.0.0/Cargo.lock", "/etc/passwd").unwrap();
    assert!(refused(tar.into_inner().unwrap().finish().unwrap()).contains("which is not a file below hello-1.0.0/"));
    let mut cut = hello();
    cut.truncate(cut.len() / 2);
    assert!(refused(cut).contains("the crate hello 1.0.0"));
    let mut garbage = GzEncoder::new(Vec::new(), Compression::fast());
    garbage.write_all(&[7; 2048]).unwrap();
    assert!(refused(garbage.finish().unwrap()).contains("the crate hello 1.0.0"));
}

#[test]
fn the_checksum_of_the_exact_version_is_used() {
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
fn variables_that_affect_the_output_are_removed() {
    for name in ["RUSTFLAGS", "CARGO_PROFILE_RELEASE_LTO", "CFLAGS_x86_64-unknown-linux-gnu", "RUSTC_WRAPPER"] {
        assert!(affects_output(name), "{name}");
    }
    for name in ["PATH", "CARGO_HOME", "CARGO_HTTP_PROXY", "https_proxy", "RUSTUP_TOOLCHAIN"] {
        assert!(!affects_output(name), "{name}");
    }
}

#[test]
fn network_errors_are_distinguished_from_compiler_errors() {
    let of = |stderr: &str, offline| {
        let status = std::process::ExitStatus::from_raw(101 << 8);
        explain(&Output { status, stdout: Vec::new(), stderr: stderr.as_bytes().to_vec() }, offline)
    };
    assert_eq!(of("error: failed to download from `http://mirror.example/a`", false).kind, Kind::Network);
    assert_eq!(of("error: attempting to make an HTTP request, but --offline was specified", true).kind, Kind::Network);
    assert_eq!(of("error[E0308]: mismatched types", false).kind, Kind::Failed);
}

#[test]
fn the_hint_for_a_missing_toolchain_names_the_packages() {
    let machine = Machine::of(Path::new("/"), &[("HOME", "/nonexistent"), ("RUSTC", "/nonexistent/rustc")]);
    let error = Cargo::new(&machine, true).unwrap_err();
    assert!(Failure::within(&error).unwrap().hint.as_ref().unwrap().contains("install Rust"));
}

impl Cargo {
    /// A cargo that cannot be run, for tests of plans.
    pub(crate) fn sample() -> Self {
        let toolchain = Toolchain { rustc: "rustc 1.0".to_owned(), cc: "cc 1.0".to_owned() };
        Self { cargo: "cargo".into(), home: "/cargo".into(), offline: true, toolchain, removed_variables: Vec::new() }
    }
}
