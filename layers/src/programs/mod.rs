//! Whether the programs of an image can start: what each file needs from the others, and whether it is there.
//!
//! [`of_tree`] and [`of_tar`] read what the files of one layer need, from their first bytes and ELF headers. The results of
//! all layers of an image, with their listings, make an [`ImageFiles`], which looks names up as the kernel and the dynamic
//! loader do.

mod elf;
mod files;
mod missing;
mod references;
pub mod shell;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use serde::{Deserialize, Serialize};

pub use elf::Elf;
pub use files::ImageFiles;
pub use missing::{LostCalls, Missing, MissingKind, NotRunnable};
pub use references::{LostLink, LostModule};

use crate::ingredients::ldcache;
use crate::tar::{MemberKind, Members, Stream};
use crate::tree::{Content, Entry, Kind, Tree, TreePath};

/// What a file needs to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Program {
    /// An executable, a shared library or an object that is loaded at run time.
    Elf(Elf),
    /// A script: the line after `#!`, without blanks around it (execve(2)).
    Script {
        /// The interpreter and its argument.
        line: String,
        /// The Python module that a command of a wheel imports, see
        /// [`Callable::script`](crate::ingredients::wheel::entry_points::Callable::script).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        module: Option<String>,
        /// The commands that a script for a shell calls, see [`shell::commands`].
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        calls: BTreeSet<String>,
    },
    /// `/etc/ld.so.cache`.
    LibraryCache {
        /// Names of libraries, and their paths.
        libraries: BTreeMap<String, String>,
    },
}

/// The programs of a layer, sorted. Other files are not listed.
pub type Programs = BTreeMap<TreePath, Program>;

/// Bytes of a program in a tar that are read into memory. Of larger ones, the end is not looked at.
const PROGRAM: u64 = 256 << 20;

/// The kernel reads this many bytes of the line after `#!` (BINPRM_BUF_SIZE).
const LINE: usize = 256;
/// Bytes at the start of a script that is for no shell: they have a command's module.
const SCRIPT: usize = 1024;

/// The programs of a tree.
///
/// # Errors
/// When a content cannot be read.
pub fn of_tree(tree: &Tree) -> io::Result<Programs> {
    of_files(files(tree))
}

/// The files of a tree, for [`of_files`]: they take less memory than a copy of the tree.
#[must_use]
pub fn files(tree: &Tree) -> Vec<(TreePath, Content)> {
    let file = |(path, entry): (&TreePath, &Entry)| match &entry.kind {
        Kind::File(content) if !content.is_empty() => Some((path.clone(), content.clone())),
        _ => None,
    };
    tree.iter().filter_map(file).collect()
}

/// The programs among files.
///
/// # Errors
/// When a content cannot be read.
pub fn of_files(files: Vec<(TreePath, Content)>) -> io::Result<Programs> {
    let mut programs = Programs::new();
    for (path, content) in files {
        if let Some(program) = program(&path, &content)? {
            programs.insert(path, program);
        }
    }
    Ok(programs)
}

/// The programs of an uncompressed tar of a layer that this library wrote.
///
/// # Errors
/// When it cannot be read.
pub fn of_tar(tar: impl Read) -> io::Result<Programs> {
    let mut programs = Programs::new();
    let mut members = Members::new(Stream(tar));
    while let Some(member) = members.next().map_err(io::Error::other)? {
        if member.kind != MemberKind::File {
            continue;
        }
        let path = TreePath::new(&member.name).map_err(io::Error::other)?;
        let mut bytes = Vec::new();
        (&mut members).take(4).read_to_end(&mut bytes)?;
        if is_program(&path, &bytes) {
            (&mut members).take(PROGRAM).read_to_end(&mut bytes)?;
            programs.extend(program(&path, &Content::from(bytes))?.map(|program| (path, program)));
        }
    }
    Ok(programs)
}

fn is_program(path: &TreePath, start: &[u8]) -> bool {
    start.starts_with(b"\x7fELF") || start.starts_with(b"#!") || path.as_str() == ldcache::PATH
}

fn program(path: &TreePath, content: &Content) -> io::Result<Option<Program>> {
    let mut start = Vec::new();
    if content.len() >= 4 {
        content.reader().take(4).read_to_end(&mut start)?;
    }
    Ok(match start.as_slice() {
        b"\x7fELF" => elf::read(content)?.map(Program::Elf),
        [b'#', b'!', ..] => script(content)?,
        _ if path.as_str() == ldcache::PATH => {
            Some(Program::LibraryCache { libraries: ldcache::read(&content.read()?) })
        }
        _ => None,
    })
}

fn script(content: &Content) -> io::Result<Option<Program>> {
    let mut bytes = Vec::new();
    content.reader().take(shell::SCRIPT).read_to_end(&mut bytes)?;
    let mut lines = bytes[2..].splitn(3, |byte| *byte == b'\n');
    let line = lines.next().unwrap_or_default();
    let line = String::from_utf8_lossy(&line[..line.len().min(LINE - 2)]).trim().to_owned();
    let second = lines.next().unwrap_or_default();
    let second = std::str::from_utf8(&second[..second.len().min(SCRIPT)]).unwrap_or_default();
    let module = second.strip_prefix("from ").filter(|rest| rest.ends_with(" as entry"));
    let module = module.and_then(|rest| rest.split_once(" import ")).map(|(module, _)| module.to_owned());
    let calls = match missing::interpreter(&line) {
        interpreter if shell::is_shell(interpreter) => shell::commands(&String::from_utf8_lossy(&bytes)),
        _ => BTreeSet::new(),
    };
    // Without an interpreter the kernel refuses it, and shells run it themselves.
    Ok((!line.is_empty()).then_some(Program::Script { line, module, calls }))
}
