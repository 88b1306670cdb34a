//! The crates that a program `sealift` consists of, from the `Cargo.lock` that it was built with, and their licences.
//!
//! The list is read from the bytes of the program: the bundle is the same whichever program builds it.

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::io::{self, Read};

use flate2::read::GzDecoder;
use memchr::memmem;
use sealift_deployment::bundle::ProgramCrate;
use sealift_layers::digest::Digest;
use sealift_layers::license;
use serde::Deserialize;

use crate::store::facts::{self, Texts};

/// Ends each part of [`SOURCES`].
const END: u8 = 0x1e;

/// What the list of this program is made from, as one text that is found in its file by its first line: the lock of the
/// workspace, the manifests of [`MEMBERS`], the licences of all crates in the lock, which a test keeps complete, and the digest
/// of the source, of `build/main.rs`.
static SOURCES: &str = concat!(
    "sealift: lock and manifests of this program\n",
    include_str!("../../../Cargo.lock"),
    "\u{1e}",
    include_str!("../../Cargo.toml"),
    "\u{1e}",
    include_str!("../../../deployment/Cargo.toml"),
    "\u{1e}",
    include_str!("../../../layers/Cargo.toml"),
    "\u{1e}",
    include_str!("crate-licenses.txt"),
    "\u{1e}",
    include_str!(concat!(env!("OUT_DIR"), "/source")),
    "\u{1e}",
);

/// The crates of the workspace that the program consists of. Their manifests are needed as a lock does not tell dependencies
/// of tests from others.
const MEMBERS: [&str; 3] = ["sealift", "sealift-deployment", "sealift-layers"];

/// The texts of the licences of these crates, of `build/texts.rs`: a line by which they are found, and compressed JSON.
static TEXTS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/texts"));

/// Longest text of [`SOURCES`], and longest [`TEXTS`], that are read, in bytes.
const LONGEST: u64 = 1 << 20;
/// Most bytes of unpacked [`TEXTS`].
const UNPACKED: u64 = 16 << 20;

/// What a program consists of.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Contents {
    /// All crates that its own crates depend on, directly or not, and those to build it, sorted by name and version; the program
    /// itself is among them. Empty if the program does not contain its list.
    pub(super) crates: Vec<ProgramCrate>,
    /// The texts of their licences.
    pub(super) texts: Texts,
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
}

/// What the program in a file consists of, which `open` opens.
///
/// # Errors
/// When it cannot be read.
pub(super) fn of<R: Read>(open: impl Fn() -> io::Result<R>) -> io::Result<Contents> {
    let (mark, _) = SOURCES.split_once('\n').unwrap_or_default();
    let crates = behind(mark.as_bytes(), open()?)?.as_deref().and_then(sources).map(listed).unwrap_or_default();
    // The compiler has to leave it in the program.
    let mark = black_box(TEXTS).split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default();
    let packed = behind(mark, open()?)?.as_deref().and_then(unpacked);
    let (mut crates, mut texts) = (crates, Texts::new());
    if let Some(packed) = packed {
        with_texts(&mut crates, packed, &mut texts);
    }
    Ok(Contents { crates, texts })
}

/// What [`TEXTS`] have.
#[derive(Deserialize)]
struct Packed {
    /// For each crate that is built for the program's platform, by name and version, the indexes of its texts.
    crates: BTreeMap<String, Vec<usize>>,
    texts: Vec<String>,
}

/// Programs of earlier versions have none.
fn unpacked(packed: &[u8]) -> Option<Packed> {
    serde_json::from_reader(GzDecoder::new(packed).take(UNPACKED)).ok()
}

/// Adds texts to crates, and drops those that are for other platforms.
fn with_texts(crates: &mut Vec<ProgramCrate>, packed: Packed, texts: &mut Texts) {
    let Packed { crates: built, texts: list } = packed;
    let list: Vec<Digest> = list.into_iter().map(|text| facts::add(texts, text)).collect();
    crates.retain_mut(|made| {
        let own = built.get(&format!("{} {}", made.name, made.version));
        made.texts = own.map(|own| own.iter().filter_map(|index| list.get(*index).copied()).collect());
        made.depends_on.retain(|other| built.contains_key(other));
        own.is_some()
    });
}

/// At most [`LONGEST`] bytes behind the first `mark` in a file, which is not held in memory as a whole.
fn behind(mark: &[u8], mut file: impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut piece = Vec::new();
    loop {
        if file.by_ref().take(LONGEST).read_to_end(&mut piece)? == 0 {
            return Ok(None);
        }
        if let Some(at) = memmem::find(&piece, mark) {
            piece.drain(..at + mark.len());
            file.take(LONGEST).read_to_end(&mut piece)?;
            return Ok(Some(piece));
        }
        // A mark may begin in one piece and end in the next one.
        piece.drain(..piece.len().saturating_sub(mark.len()));
    }
}

/// The lock, the manifests and the licences in the text behind the mark.
struct Sources {
    lock: Lock,
    manifests: BTreeMap<&'static str, BTreeSet<String>>,
    /// By name and version, with a blank between them. Programs of earlier versions have none.
    licenses: BTreeMap<String, String>,
    /// Programs of earlier versions have none.
    digest: Option<Digest>,
}

fn sources(text: &[u8]) -> Option<Sources> {
    let mut parts = text.split(|byte| *byte == END).map(|part| std::str::from_utf8(part).ok());
    let mut part = || parts.next().flatten();
    let lock = toml::from_str(part()?).ok()?;
    let manifests: Option<_> = MEMBERS.into_iter().map(|name| Some((name, declared(part()?)))).collect();
    let manifests = manifests?;
    let lines = part().unwrap_or_default().lines().filter_map(|line| line.split_once(": "));
    let licenses = lines.filter_map(|(name, license)| Some((name.to_owned(), license::expression(license)?)));
    let licenses = licenses.collect();
    let digest = part().and_then(|hex| hex.parse().ok());
    Some(Sources { lock, manifests, licenses, digest })
}

fn listed(Sources { lock, manifests, licenses, digest }: Sources) -> Vec<ProgramCrate> {
    let mut found: BTreeMap<(&str, &str), ProgramCrate> = BTreeMap::new();
    let mut open: Vec<&Locked> = lock.package.iter().filter(|package| package.name == MEMBERS[0]).collect();
    let index = lock.index();
    while let Some(package) = open.pop() {
        // A hostile lock may name one package a million times.
        if found.contains_key(&(package.name.as_str(), package.version.as_str())) {
            continue;
        }
        let needed: Vec<&Locked> = index.dependencies(package, manifests.get(&*package.name)).collect();
        let made = ProgramCrate {
            name: package.name.clone(),
            version: package.version.clone(),
            license: licenses.get(&format!("{} {}", package.name, package.version)).cloned(),
            source: digest.filter(|_| package.name == MEMBERS[0]),
            sha256: package.checksum.as_deref().and_then(|hex| hex.parse::<Digest>().ok()),
            texts: None,
            depends_on: needed.iter().map(|package| format!("{} {}", package.name, package.version)).collect(),
        };
        found.insert((&package.name, &package.version), made);
        open.extend(needed);
    }
    found.into_values().collect()
}

/// The packages of a lock, by name.
struct Index<'l>(BTreeMap<&'l str, Vec<&'l Locked>>);

impl Lock {
    fn index(&self) -> Index<'_> {
        let mut index: BTreeMap<&str, Vec<&Locked>> = BTreeMap::new();
        for package in &self.package {
            index.entry(&package.name).or_default().push(package);
        }
        Index(index)
    }
}

impl<'l> Index<'l> {
    /// What a package depends on: for crates of the workspace, only what their manifest declares.
    fn dependencies(
        &self,
        package: &'l Locked,
        declared: Option<&BTreeSet<String>>,
    ) -> impl Iterator<Item = &'l Locked> {
        // `name`, or `name version` where the lock has several versions. Each is listed once.
        let mut seen = BTreeSet::new();
        let entries = package.dependencies.iter().map(String::as_str).filter(move |entry| seen.insert(*entry));
        let entries = entries.filter_map(|entry| {
            let (name, version) = entry.split_once(' ').map_or((entry, None), |(name, version)| (name, Some(version)));
            let all = self.0.get(name)?;
            all.iter().copied().find(|other| version.is_none_or(|version| other.version == version))
        });
        entries.filter(move |other| declared.is_none_or(|declared| declared.contains(&other.name)))
    }
}

/// The names in the table `dependencies` of a manifest.
fn declared(manifest: &str) -> BTreeSet<String> {
    let table: toml::Table = toml::from_str(manifest).unwrap_or_default();
    let names = ["dependencies", "build-dependencies"].map(|key| table.get(key).and_then(toml::Value::as_table));
    names.into_iter().flatten().flat_map(|table| table.keys().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Contents {
        of(|| Ok(SOURCES.as_bytes().chain(TEXTS))).unwrap()
    }

    #[test]
    fn the_program_consists_of_its_crates_and_not_of_those_of_tests() {
        let crates = own().crates;
        let has = |name: &str| crates.iter().any(|made| made.name == name);
        assert!(["sealift", "sealift-deployment", "sealift-layers", "toml", "rustls", "zstd-sys"].into_iter().all(has));
        assert!(!["insta", "proptest", "sealift-tests"].into_iter().any(has));
        assert!(!["windows-sys", "core-foundation"].into_iter().any(has), "for other platforms");
        assert!(crates.iter().all(|made| made.license.is_some()), "all have licences");
        let names: BTreeSet<String> = crates.iter().map(|made| format!("{} {}", made.name, made.version)).collect();
        assert!(crates.iter().all(|made| made.depends_on.iter().all(|other| names.contains(other))));
        let local = crates.iter().filter(|made| made.sha256.is_none()).map(|made| made.name.as_str());
        assert_eq!(local.collect::<Vec<_>>(), ["sealift", "sealift-deployment", "sealift-layers"]);
    }

    /// MIT and BSD ask for it: their notice has to be wherever the program is.
    #[test]
    fn texts_of_licences_travel_in_the_program() {
        let Contents { crates, texts } = own();
        let of = |name: &str| -> Vec<&str> {
            let own = crates.iter().find(|made| made.name == name).and_then(|made| made.texts.as_ref()).unwrap();
            own.iter().map(|digest| texts[digest].as_str()).collect()
        };
        let has = |name: &str, words: &str| of(name).iter().any(|text| text.contains(words));
        assert!(has("sealift", "Apache License") && has("sealift", "MIT License"));
        // Of the C libraries in crates that bind them.
        assert!(has("zstd-sys", "Meta Platforms") && has("libdeflate-sys", "Eric Biggers"));
        let without = crates.iter().filter(|made| made.texts.as_ref().is_none_or(|texts| texts.is_empty()));
        let without: Vec<&str> = without.map(|made| made.name.as_str()).collect();
        assert_eq!(without, ["asn1-rs-impl", "bitfields", "bitfields-impl", "crc24", "cx448", "deb822-fast"]);
        let used: BTreeSet<Digest> = crates.iter().filter_map(|made| made.texts.clone()).flatten().collect();
        assert_eq!(used, texts.keys().copied().collect());
    }

    /// The list of such a program is that of its lock.
    #[test]
    fn programs_without_texts_have_their_crates() {
        let Contents { crates, texts } = of(|| Ok(SOURCES.as_bytes())).unwrap();
        assert!(texts.is_empty() && crates.iter().all(|made| made.texts.is_none()));
        assert!(crates.iter().any(|made| made.name == "windows-sys"));
        let cut = &TEXTS[..TEXTS.len() / 2];
        assert_eq!(of(|| Ok(SOURCES.as_bytes().chain(cut))).unwrap(), Contents { crates, texts });
    }

    /// Whoever has the repository can tell with these commands whether a program is of that source: docs/trust.md.
    #[test]
    fn the_digest_of_the_source_is_that_of_stock_tools() {
        let command = "find Cargo.lock Cargo.toml builder deployment layers -type f ! -name '*.snap' ! -name '*.snap.new' \
            ! -name '*.pending-snap' | LC_ALL=C sort | xargs sha256sum | sha256sum";
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let output = std::process::Command::new("sh").args(["-c", command]).current_dir(root).output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        let crates = own().crates;
        let sources: Vec<String> = crates.iter().filter_map(|made| Some(made.source?.hex().to_string())).collect();
        assert_eq!(sources, [printed.split_whitespace().next().unwrap()]);
    }

    /// The program that builds a bundle may be another one than the program in it, as with Nix.
    #[test]
    fn the_list_is_that_of_the_program_in_the_bundle() {
        let found = |bytes: &[u8]| of(|| Ok(bytes)).unwrap().crates;
        let own = found(SOURCES.as_bytes());
        let around = |before: usize, text: &str| [&vec![0x1e; before], text.as_bytes(), b"\0rest"].concat();
        // Wherever it is in the file.
        for before in [0, 1, (1 << 20) - 60, (1 << 20) - 20, 1 << 20, (3 << 20) - 10] {
            assert_eq!(found(&around(before, SOURCES)), own, "{before}");
        }
        let older = SOURCES.replacen(&own[0].version, "0.0.1", 1);
        assert_ne!(found(&around(5, &older)), own);
        // Another program, and one that is cut.
        assert_eq!(found(b"\x7fELF"), []);
        assert_eq!(found(&around(5, &SOURCES[..SOURCES.len() / 2])), []);
    }

    /// A program that depends on itself a hundred thousand times, in as many versions.
    #[test]
    fn hostile_locks_take_no_time() {
        let package = |name: &str, version: usize, more: &str| {
            format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\ndependencies = [{more}]\n")
        };
        let again: String = (0..50_000).map(|n| format!("\"sealift\",\"a {}\",", n % 2000)).collect();
        let others: String = (0..2000).map(|n| package("a", n, "\"sealift\"")).collect();
        let (mark, _) = SOURCES.split_once('\n').unwrap();
        let parts = ["", "[dependencies]\nsealift = 1\na = 1\n", "", "", "", ""].join("\u{1e}");
        let program = format!("{mark}{}{others}{parts}", package("sealift", 0, &again));
        assert_eq!(of(|| Ok(program.as_bytes())).unwrap().crates.len(), 2001);
    }
}
