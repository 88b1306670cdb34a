//! What a machine and a site are set up with: certificates, records, mirrors, indexes; and the NAR of a tree.

use std::collections::BTreeMap;
use std::path::Path;

use sealift::mirrors::{self, ArchiveName};
use sealift::python::index;
use sealift_deployment::failure::one_line;
use sealift_deployment::machine::Machine;
use sealift_deployment::site;
use sealift_layers::ingredients::nix_store::nar;
use sealift_layers::tree::{Content, Entry, Kind, Tree, TreePath};

use super::deployment::{MODEL, with_folder};
use super::{parts, text};

/// When certificates are looked at, in seconds since 1970.
const NOW: i64 = 1_800_000_000;

fn is_printable(text: &str) -> bool {
    !text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t'))
}

/// Writes the parts of the input as these files below `folder`.
fn write(folder: &Path, text: &str, files: &[&str]) {
    let mut parts = parts(text);
    for file in files {
        let path = folder.join(file);
        fs_err::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs_err::write(path, parts.next().unwrap_or_default()).expect("a file");
    }
}

/// A certificate of a site is read the same each time, and what is said of it is one line.
///
/// # Panics
/// It is not.
pub fn certificate(data: &[u8]) {
    with_folder(|folder| {
        fs_err::write(folder.join("custom-ca.crt"), data).expect("a file");
        let read = || site::certificates(folder, &MODEL, NOW);
        match read() {
            Ok(found) => {
                assert_eq!(read().unwrap(), found);
                for validity in &found {
                    assert_eq!(
                        validity.not_yet_valid,
                        validity.invalid.as_ref().is_some_and(|why| why.contains("before"))
                    );
                    assert!(validity.invalid.is_none() || validity.days_left < 0 || validity.not_yet_valid);
                }
            }
            Err(error) => assert!(is_printable(&one_line(error.as_ref()))),
        }
        fs_err::remove_file(folder.join("custom-ca.crt")).expect("a file");
    });
}

/// The record of a site gives each port of the profile a number of its own, the same each time.
///
/// # Panics
/// It does not.
pub fn site_record(data: &[u8]) {
    with_folder(|folder| {
        fs_err::write(folder.join("site.toml"), data).expect("a file");
        let read = || site::ports(folder, &MODEL, &BTreeMap::new());
        if let Ok(ports) = read() {
            assert_eq!(read().unwrap(), ports);
            assert!(ports.keys().eq(["http", "https"].iter()) && ports["http"] != ports["https"]);
            let engine = site::recorded_engine(folder, &MODEL);
            assert!(engine.is_none_or(|engine| is_printable(&engine)));
        }
        fs_err::remove_file(folder.join("site.toml")).expect("a file");
    });
}

/// `sources.list`, a file of stanzas, a list of mirrors, `apt.conf` and `auth.conf`, the parts of the input, name URLs without
/// credentials, each once.
///
/// # Panics
/// They do not.
pub fn apt_sources(data: &[u8]) {
    let Some(text) = text(data) else { return };
    with_folder(|folder| {
        let files = ["sources.list", "sources.list.d/a.sources", "mirrors.list", "apt.conf", "auth.conf"];
        write(&folder.join("etc/apt"), text, &files);
        let machine = Machine::of(folder, &[]);
        let read = || mirrors::debian(&[], &machine, ArchiveName { name: "debian", suite: "tiny" });
        let Ok(found) = read() else { return };
        assert_eq!(format!("{:?}", read().unwrap()), format!("{found:?}"));
        for (at, mirror) in found.iter().enumerate() {
            let url = mirror.address.url();
            assert!(matches!(url.scheme(), "http" | "https" | "file"), "{url}");
            assert!(url.username().is_empty() && url.password().is_none(), "{url}");
            assert!(found[..at].iter().all(|other| other.address.url() != url), "{url}");
            // What it is reached by is found, or said to be wrong.
            let _ = mirror.address.route();
        }
    });
}

/// `pip.conf`, `uv.toml`, `.netrc` and `config.toml`, the parts of the input, name indexes without credentials.
///
/// # Panics
/// They do not.
pub fn python_settings(data: &[u8]) {
    let Some(text) = text(data) else { return };
    with_folder(|folder| {
        let files = [".config/pip/pip.conf", ".config/uv/uv.toml", ".netrc", ".config/sealift/config.toml"];
        write(&folder.join("home"), text, &files);
        let machine = Machine::of(folder, &[("HOME", "/home")]);
        let read = || index::find(None, &machine, || None);
        let Ok(found) = read() else { return };
        assert_eq!(format!("{:?}", read().unwrap()), format!("{found:?}"));
        for index in found.list() {
            let url = index.address.url();
            assert!(url.username().is_empty() && url.password().is_none(), "{url}");
        }
        let named = ["UV_DEFAULT_INDEX", "UV_INDEX", "UV_FIND_LINKS"];
        let count = |name: &str, value: &str| value.split(if name == "UV_FIND_LINKS" { ',' } else { ' ' }).count();
        let given = found.environment().into_iter().filter_map(|(name, value)| Some((name, value?)));
        let given: usize = given
            .filter(|(name, _)| named.contains(name))
            .map(|(name, value)| count(name, value.to_str().expect("a text")))
            .sum();
        // No index becomes two.
        assert!(given <= found.list().len(), "{found:?}");
    });
}

/// The NAR of a tree can be read back: the lines of the input are entries, `PATH<TAB>KIND<TAB>CONTENT`.
///
/// # Panics
/// It cannot.
pub fn nar(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let origin = "seed".into();
    let root = TreePath::new("nix/store/x").expect("a path");
    let mut tree = Tree::new();
    let mut expected = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.splitn(3, '\t');
        let (name, kind) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let content = words.next().unwrap_or_default();
        let Ok(path) = root.join(name) else { continue };
        // Each entry is in folders.
        let mut above = path.parent();
        let mut fits = tree.get(&path).is_none();
        while let Some(folder) = above.filter(|folder| folder.as_str().len() >= root.as_str().len()) {
            match tree.get(&folder).map(|entry| matches!(entry.kind, Kind::Directory)) {
                Some(true) => {}
                Some(false) => fits = false,
                None if fits => drop(tree.insert(folder.clone(), Entry::directory(0o555, &origin))),
                None => {}
            }
            above = folder.parent();
        }
        if !fits {
            continue;
        }
        let (entry, shown) = match kind {
            "l" => (Entry::symlink(content.to_owned(), &origin), format!("l{content}")),
            "x" => (Entry::file(Content::from(content.as_bytes().to_vec()), 0o555, &origin), format!("x{content}")),
            _ => (Entry::file(Content::from(content.as_bytes().to_vec()), 0o444, &origin), format!("f{content}")),
        };
        expected.insert(path.as_str()[root.as_str().len()..].trim_start_matches('/').to_owned(), shown);
        tree.insert(path, entry);
    }
    let mut written = Vec::new();
    if nar::write(&tree, &root, &mut written).is_err() {
        assert!(expected.is_empty());
        return;
    }
    let mut found = BTreeMap::new();
    let mut reader = Reader(&written);
    assert_eq!(reader.string(), b"nix-archive-1");
    reader.node("", &mut found);
    assert!(reader.0.is_empty(), "something follows");
    assert_eq!(found, expected);
}

/// Reads a NAR, as the Nix manual describes it.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn string(&mut self) -> &'a [u8] {
        let (length, rest) = self.0.split_at(8);
        let length = usize::try_from(u64::from_le_bytes(length.try_into().unwrap())).unwrap();
        let (text, rest) = rest.split_at(length);
        let (padding, rest) = rest.split_at(length.next_multiple_of(8) - length);
        assert!(padding.iter().all(|byte| *byte == 0));
        self.0 = rest;
        text
    }

    fn word(&mut self) -> String {
        String::from_utf8(self.string().to_vec()).unwrap()
    }

    fn node(&mut self, path: &str, found: &mut BTreeMap<String, String>) {
        assert_eq!((self.word(), self.word()), ("(".to_owned(), "type".to_owned()));
        match self.word().as_str() {
            "regular" => {
                let mut kind = 'f';
                let mut word = self.word();
                if word == "executable" {
                    kind = 'x';
                    assert_eq!(self.word(), "");
                    word = self.word();
                }
                assert_eq!(word, "contents");
                found.insert(path.to_owned(), format!("{kind}{}", self.word()));
                assert_eq!(self.word(), ")");
            }
            "symlink" => {
                assert_eq!(self.word(), "target");
                found.insert(path.to_owned(), format!("l{}", self.word()));
                assert_eq!(self.word(), ")");
            }
            kind => {
                assert_eq!(kind, "directory");
                self.entries(path, found);
            }
        }
    }

    fn entries(&mut self, path: &str, found: &mut BTreeMap<String, String>) {
        let mut last = String::new();
        loop {
            match self.word().as_str() {
                ")" => return,
                word => assert_eq!(word, "entry"),
            }
            assert_eq!((self.word(), self.word()), ("(".to_owned(), "name".to_owned()));
            let name = self.word();
            assert!(name > last && !name.contains('/'), "{name} after {last}");
            last.clone_from(&name);
            assert_eq!(self.word(), "node");
            let below = if path.is_empty() { name } else { format!("{path}/{name}") };
            self.node(&below, found);
            assert_eq!(self.word(), ")");
        }
    }
}
