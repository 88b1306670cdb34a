//! Writes what becomes a part of the program besides its code: the digest of its source, and the licences of its crates. See
//! `src/bundle/crates.rs`.

#![allow(
    clippy::disallowed_methods,
    reason = "cargo tells a build script its folders by variables; the files are sorted"
)]

mod texts;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use sha2::{Digest as _, Sha256};

/// What the program is compiled from, relative to the repository.
const PARTS: [&str; 5] = ["Cargo.lock", "Cargo.toml", "builder", "deployment", "layers"];

fn main() -> ExitCode {
    match write() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write() -> Result<(), Box<dyn Error>> {
    let variable = |name: &str| {
        let found = std::env::var_os(name).map(PathBuf::from);
        found.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    };
    let root = variable("CARGO_MANIFEST_DIR")?.join("..");
    let mut files = BTreeMap::new();
    for part in PARTS {
        add(&root, part, &mut files)?;
    }
    // As of `sha256sum`: this is what in-toto calls `dirHash`.
    let mut lines = String::new();
    for (name, path) in files {
        println!("cargo::rerun-if-changed={}", path.display());
        let _ = writeln!(lines, "{}  {name}", hex::encode(Sha256::digest(fs_err::read(path)?)));
    }
    let out = variable("OUT_DIR")?;
    fs_err::write(out.join("source"), hex::encode(Sha256::digest(lines)))?;
    for name in texts::OWN {
        println!("cargo::rerun-if-changed={}", root.join(name).display());
    }
    let cargo = texts::Cargo { program: &variable("CARGO")?, target: &variable("TARGET")?, root: &root };
    fs_err::write(out.join("texts"), texts::packed(&cargo, &out.join("crates"))?)?;
    Ok(())
}

/// Adds a file, or all files of a folder but snapshots of tests.
fn add(root: &Path, name: &str, files: &mut BTreeMap<String, PathBuf>) -> io::Result<()> {
    let path = root.join(name);
    if !path.is_dir() {
        if ![".snap", ".snap.new", ".pending-snap"].iter().any(|ending| name.ends_with(ending)) {
            files.insert(name.to_owned(), path);
        }
        return Ok(());
    }
    for entry in fs_err::read_dir(&path)? {
        let entry = entry?.file_name();
        let entry = entry.to_str().ok_or(io::ErrorKind::InvalidData)?;
        add(root, &format!("{name}/{entry}"), files)?;
    }
    Ok(())
}
