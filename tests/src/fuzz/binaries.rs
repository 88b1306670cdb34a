//! Compressed files, programs, and the configuration and cache of the dynamic loader.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use sealift_layers::decompress::{ENDINGS, by_ending};
use sealift_layers::ingredients::ldcache::{self, Library};
use sealift_layers::ingredients::ldconf;
use sealift_layers::limits::Within;
use sealift_layers::platform::Architecture;
use sealift_layers::programs::{ImageFiles, Program, of_tar, of_tree, shell};
use sealift_layers::tar;
use sealift_layers::tree::{Entry, Tree, TreePath};

use super::{parts, text};

/// What inputs may unpack to, so that a run is short.
const LIMIT: u64 = 1 << 20;

/// A compressed file gives the same bytes whatever the size of the reads, and not more than the limit. The first byte of the
/// input chooses the format.
///
/// # Panics
/// It does not.
pub fn decompress(data: &[u8]) {
    let Some((first, data)) = data.split_first() else { return };
    let ending = ENDINGS[usize::from(*first) % ENDINGS.len()];
    let whole = || {
        let mut out = Vec::new();
        let mut reader = Within::new(by_ending(ending, data).unwrap().unwrap(), LIMIT);
        let ended = reader.read_to_end(&mut out);
        (out, ended.is_ok())
    };
    let (bytes, is_good) = whole();
    assert!(bytes.len() as u64 <= LIMIT);
    let mut reader = Within::new(by_ending(ending, data).unwrap().unwrap(), LIMIT);
    let (mut again, mut buffer) = (Vec::new(), [0; 517]);
    let ended = loop {
        match reader.read(&mut buffer) {
            Ok(0) => break true,
            Ok(got) => again.extend_from_slice(&buffer[..got]),
            Err(_) => break false,
        }
    };
    assert_eq!(ended, is_good);
    if is_good {
        assert!(again == bytes, "another size of reads gives other bytes");
    }
}

/// The commands of a script are words of it and no built-in ones, and comments around it do not change them.
///
/// # Panics
/// It does not hold.
pub fn scripts(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let commands = shell::commands(text);
    assert!(commands.len() <= 256);
    for command in &commands {
        assert!(command.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.+/".contains(&byte)), "{command}");
        assert!(!["cd", "exec", "test"].contains(&command.as_str()));
    }
    assert_eq!(shell::commands(&format!("# it's `id`\n{text}")), commands);
    assert_eq!(shell::commands(&format!("\n  \n{text}")), commands);
}

/// A program has the same needs in a tree and in the tar of that tree, and they have bounds.
///
/// # Panics
/// It has not.
pub fn programs(data: &[u8]) {
    let path = TreePath::new("usr/bin/program").unwrap();
    let origin = "seed".into();
    let mut tree = Tree::new();
    for (path, mode) in [("usr", 0o755), ("usr/bin", 0o755)] {
        tree.insert(TreePath::new(path).unwrap(), Entry::directory(mode, &origin));
    }
    tree.insert(path.clone(), Entry::file(data.to_vec(), 0o755, &origin));
    let found = of_tree(&tree).unwrap();
    if let Some(Program::Elf(elf)) = found.get(&path) {
        assert!(elf.needed.len() <= 4096 && elf.needed.iter().all(|name| name.len() <= 3 * 4096));
    }
    let mut bytes = Vec::new();
    let listing = tar::write(&tree, tar::Options { epoch: 1, file_digests: false }, &mut bytes).unwrap();
    assert_eq!(of_tar(&bytes[..]).unwrap(), found);
    let words = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<String>>();
    let image = ImageFiles {
        listing: &listing,
        programs: &found,
        architecture: Architecture::Amd64,
        path: words(&["/usr/bin"]),
        ld_library_path: words(&["/usr/lib"]),
        mounted: vec![TreePath::new("run").unwrap()],
    };
    let _ = image.runs("program");
    for missing in image.missing() {
        let _ = missing.debian_package();
    }
    let json = serde_json::to_vec(&found).unwrap();
    assert_eq!(serde_json::from_slice::<BTreeMap<TreePath, Program>>(&json).unwrap(), found);
}

/// `ld.so.conf` and the files that it includes name each directory once, and not more than the limit. Each part of the input is
/// one of the files.
///
/// # Panics
/// They do not.
pub fn ldconf(data: &[u8]) {
    let names = ["etc/ld.so.conf", "etc/ld.so.conf.d/a.conf", "etc/ld.so.conf.d/b.conf", "usr/etc/c.conf"];
    let names = names.map(|name| TreePath::new(name).unwrap());
    let text = String::from_utf8_lossy(data);
    let mut files: BTreeMap<&TreePath, &str> = BTreeMap::new();
    files.extend(names.iter().zip(parts(&text)));
    let (link, other) = (TreePath::new("lib").unwrap(), TreePath::new("usr/loop").unwrap());
    let mut paths: BTreeMap<&TreePath, Option<&str>> = files.keys().map(|path| (*path, None)).collect();
    paths.extend([(&link, Some("usr/lib")), (&other, Some("../usr/loop/x"))]);
    let mut reads = 0;
    let read = |reads: &mut usize| {
        ldconf::directories(&paths, |path| {
            *reads += 1;
            Ok::<_, ()>(files[path].as_bytes().to_vec())
        })
    };
    let found = read(&mut reads).unwrap();
    assert!(found.len() <= 1000 && reads <= 1001, "{} directories, {reads} reads", found.len());
    assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), found.len());
    assert_eq!(read(&mut 0).unwrap(), found);
}

/// The cache of libraries is read within its size; one that is made of the names in the input comes back.
///
/// # Panics
/// It is not.
pub fn ldcache(data: &[u8]) {
    let found = ldcache::read(data);
    assert!(found.len() <= data.len() / 24);
    let Some(text) = text(data) else { return };
    let lines = || text.lines().filter(|line| !line.contains('\0'));
    let paths: BTreeSet<TreePath> =
        lines().take(50).filter_map(|line| TreePath::new(&format!("usr/lib/lib{line}.so")).ok()).collect();
    let list = || paths.iter().map(|path| (path, Library::File));
    let cache = ldcache::make(list(), &[], Architecture::Amd64);
    assert_eq!(cache, ldcache::make(list(), &[], Architecture::Amd64));
    let direct: BTreeMap<String, String> = paths
        .iter()
        .filter(|path| path.parent().is_some_and(|parent| parent.as_str() == "usr/lib"))
        .map(|path| (path.file_name().to_owned(), format!("/{path}")))
        .filter(|(name, _)| name.starts_with("lib"))
        .collect();
    assert_eq!(ldcache::read(&cache), direct);
}
