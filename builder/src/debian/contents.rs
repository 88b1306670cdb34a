//! `Contents-ARCHITECTURE`: which package has a file ("DebianRepository/Format" in Debian's wiki). Used for hints only.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, Read as _};

use serde::{Deserialize, Serialize};

/// Longest line that is looked at, in bytes.
const LINE: u64 = 64 << 10;
/// Most bytes of an index that are looked at, decompressed.
const LIMIT: u64 = 4 << 30;
/// Directories of programs, as packages have them.
const PROGRAMS: [&str; 4] = ["usr/bin/", "usr/sbin/", "bin/", "sbin/"];

/// A file that an image lacks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub enum Wanted {
    /// A path, without the `/` at its start.
    Path(String),
    /// The name of a program in `PATH`.
    Program(String),
    /// The file name of a shared library.
    Library(String),
}

impl Wanted {
    /// A program: an absolute path, or a name in `PATH`.
    #[must_use]
    pub fn program(name: &str) -> Self {
        if name.contains('/') {
            Self::Path(name.trim_start_matches('/').to_owned())
        } else {
            Self::Program(name.to_owned())
        }
    }

    /// A shared library, by its file name.
    #[must_use]
    pub fn library(name: &str) -> Self {
        Self::Library(name.to_owned())
    }

    /// Whether `path` of a package is this file, on a system with a merged `/usr`.
    fn is_at(&self, path: &str) -> bool {
        match self {
            Self::Path(wanted) => path.trim_start_matches("usr/") == wanted.trim_start_matches("usr/"),
            Self::Program(name) => PROGRAMS.iter().any(|folder| path.strip_prefix(folder) == Some(name)),
            Self::Library(name) => {
                let folder = path.strip_suffix(name.as_str()).and_then(|folder| folder.strip_suffix('/'));
                let folder = folder.map(|folder| folder.trim_start_matches("usr/"));
                // Directly, or in one for an architecture: what lies deeper is found by a search path of its own.
                folder.is_some_and(|folder| {
                    let mut parts = folder.split('/');
                    parts.next().is_some_and(|first| first.starts_with("lib")) && parts.count() <= 1
                })
            }
        }
    }
}

impl From<Wanted> for String {
    fn from(wanted: Wanted) -> Self {
        match wanted {
            Wanted::Path(path) => format!("/{path}"),
            Wanted::Program(name) => format!("program {name}"),
            Wanted::Library(name) => name,
        }
    }
}

impl From<String> for Wanted {
    fn from(text: String) -> Self {
        match (text.strip_prefix('/'), text.strip_prefix("program ")) {
            (Some(path), _) => Self::Path(path.to_owned()),
            (_, Some(name)) => Self::Program(name.to_owned()),
            _ => Self::Library(text),
        }
    }
}

/// Adds the packages of an index that have the files to `found`.
///
/// # Errors
/// The index cannot be read.
pub fn search(
    index: impl BufRead,
    wanted: &BTreeSet<&Wanted>,
    found: &mut BTreeMap<Wanted, BTreeSet<String>>,
) -> io::Result<()> {
    // Most lines are of files with other names.
    let names: BTreeSet<&str> = wanted
        .iter()
        .map(|wanted| match wanted {
            Wanted::Path(text) | Wanted::Program(text) | Wanted::Library(text) => {
                text.rsplit('/').next().unwrap_or(text)
            }
        })
        .collect();
    let mut index = index.take(LIMIT);
    let mut line = Vec::new();
    loop {
        line.clear();
        if (&mut index).take(LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        // Paths may have blanks; names of packages have none.
        let Ok(text) = std::str::from_utf8(&line) else { continue };
        let Some((path, packages)) = text.trim_end().rsplit_once([' ', '\t']) else { continue };
        let path = path.trim_end();
        if !names.contains(path.rsplit('/').next().unwrap_or(path)) {
            continue;
        }
        for wanted in wanted.iter().filter(|wanted| wanted.is_at(path)) {
            let names = packages.split(',').filter_map(|package| package.rsplit('/').next());
            found.entry((*wanted).clone()).or_default().extend(names.map(str::to_owned));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "\
bin/busybox                                             utils/busybox,shells/busybox-static
usr/bin/a file                                          misc/blank
usr/lib/python3/dist-packages/x/libstdc++.so.6          python/python3-x
usr/lib/x86_64-linux-gnu/libstdc++.so.6                 libs/libstdc++6
usr/lib/x86_64-linux-gnu/blas/libblas.so.3              libs/libblas3
usr/share/doc/busybox                                   doc/no
";

    #[test]
    fn packages_are_found_by_path_program_and_library() {
        let wanted = [
            Wanted::program("/usr/bin/busybox"),
            Wanted::program("busybox"),
            Wanted::program("/usr/bin/a file"),
            Wanted::library("libstdc++.so.6"),
            Wanted::library("libblas.so.3"),
        ];
        let mut found = BTreeMap::new();
        search(INDEX.as_bytes(), &wanted.iter().collect(), &mut found).unwrap();
        let text: Vec<String> = found.iter().map(|(wanted, names)| format!("{wanted:?} {names:?}")).collect();
        insta::assert_snapshot!(text.join("\n"), @r#"
        Path("usr/bin/a file") {"blank"}
        Path("usr/bin/busybox") {"busybox", "busybox-static"}
        Program("busybox") {"busybox", "busybox-static"}
        Library("libstdc++.so.6") {"libstdc++6"}
        "#);
        assert!(wanted.iter().all(|wanted| Wanted::from(String::from(wanted.clone())) == *wanted));
    }
}
