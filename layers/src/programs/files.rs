//! The files of a whole image, looked up as the kernel and the dynamic loader do.

use std::collections::{BTreeSet, VecDeque};

use super::missing::{LostCalls, Missing, NotRunnable};
use super::{Elf, Program, Programs};
use crate::listing::{ListedEntry, Listing, Node};
use crate::platform::Architecture;
use crate::tree::TreePath;

/// The most symbolic links in a path (path_resolution(7)).
const LINKS: usize = 40;
/// The most scripts that interpret each other (execve(2)).
const SCRIPTS: usize = 4;

/// The most scripts that call each other and are looked at.
const CALLED_SCRIPTS: usize = 64;

/// All files of an image.
#[derive(Debug)]
pub struct ImageFiles<'a> {
    /// The union of the listings of its layers.
    pub listing: &'a Listing,
    /// The union of the programs of its layers.
    pub programs: &'a Programs,
    /// Its processor.
    pub architecture: Architecture,
    /// Directories where programs are looked for: `PATH`.
    pub path: Vec<String>,
    /// Directories where libraries are looked for first: `LD_LIBRARY_PATH`.
    pub ld_library_path: Vec<String>,
    /// Paths that exist in containers only: volumes, mounted files and folders in memory. Whatever is below them may exist.
    pub mounted: Vec<TreePath>,
}

/// What a lookup of a path found.
pub(super) enum Found<'a> {
    /// A file or folder of the image, by its path without links.
    Entry(TreePath, &'a ListedEntry),
    /// Something that only a container has.
    Mounted,
    /// Nothing.
    Nothing,
}

/// Folders of programs, which scripts make none in.
const OF_PROGRAMS: [&str; 4] = ["/usr/", "/bin/", "/sbin/", "/opt/"];

impl ImageFiles<'_> {
    /// Checks that a container can run `command`: a path, or a name that is looked for in `PATH`.
    ///
    /// # Errors
    /// The first thing that prevents it.
    pub fn runs(&self, command: &str) -> Result<(), NotRunnable> {
        self.runs_within(command, SCRIPTS)
    }

    fn runs_within(&self, command: &str, scripts: usize) -> Result<(), NotRunnable> {
        let candidates: Vec<String> = if command.contains('/') {
            vec![command.to_owned()]
        } else {
            self.path.iter().map(|directory| format!("{directory}/{command}")).collect()
        };
        let mut first = None;
        for candidate in &candidates {
            let error = match self.find(candidate) {
                Found::Mounted => return Ok(()),
                Found::Nothing => continue,
                Found::Entry(path, entry) => match self.executable(&path, entry, scripts) {
                    Ok(()) => return Ok(()),
                    Err(error) => error,
                },
            };
            first.get_or_insert(error);
        }
        Err(first.unwrap_or_else(|| match candidates.as_slice() {
            [_] if command.contains('/') => NotRunnable::Absent { path: command.to_owned() },
            _ => NotRunnable::NotInPath { name: command.to_owned(), path: self.path.join(":") },
        }))
    }

    fn executable(&self, path: &TreePath, entry: &ListedEntry, scripts: usize) -> Result<(), NotRunnable> {
        let file = || format!("/{path}");
        if matches!(entry.node, Node::Directory) {
            return Err(NotRunnable::Directory { path: file() });
        }
        if entry.mode & 0o111 == 0 {
            return Err(NotRunnable::NotExecutable { path: file(), mode: entry.mode });
        }
        match self.programs.get(path) {
            Some(Program::Elf(elf)) => {
                if elf.machine != self.architecture.elf_machine() {
                    return Err(NotRunnable::OtherProcessor { path: file(), architecture: self.architecture });
                }
                match &elf.interpreter {
                    Some(loader) if matches!(self.find(loader), Found::Nothing) => {
                        Err(NotRunnable::NoLoader { path: file(), loader: loader.clone() })
                    }
                    _ => match self.no_library(path, elf) {
                        Some((user, library)) => Err(NotRunnable::NoLibrary { path: format!("/{user}"), library }),
                        None => Ok(()),
                    },
                }
            }
            Some(Program::Script { line, .. }) => self.script(line, scripts).map_err(|error| NotRunnable::Script {
                path: file(),
                line: line.clone(),
                source: Box::new(error),
            }),
            Some(Program::LibraryCache { .. }) | None => Err(NotRunnable::NotAProgram { path: file() }),
        }
    }

    fn script(&self, line: &str, scripts: usize) -> Result<(), NotRunnable> {
        let mut words = line.split_ascii_whitespace();
        let interpreter = words.next().unwrap_or_default();
        let left = scripts.checked_sub(1).ok_or_else(|| NotRunnable::Absent { path: interpreter.to_owned() })?;
        self.runs_within(interpreter, left)?;
        // `env` looks for the real one in PATH.
        let name = words.find(|word| !word.starts_with('-') && !word.contains('='));
        match name.filter(|_| interpreter.ends_with("/env")) {
            Some(name) => self.runs_within(name, left),
            None => Ok(()),
        }
    }

    /// What scripts for shells call and the image does not have: the scripts among `calls`, names and paths, and those that
    /// they call. Paths elsewhere than in folders of programs are followed only: a script may make them.
    #[must_use]
    pub fn lost_calls(&self, calls: &BTreeSet<String>) -> Vec<LostCalls> {
        let (mut lost, mut seen) = (Vec::new(), BTreeSet::new());
        let mut queue = vec![(None, calls)];
        while let Some((script, calls)) = queue.pop() {
            let mut names = BTreeSet::new();
            for call in calls {
                match self.called(call) {
                    Found::Mounted => {}
                    Found::Nothing
                        if call.contains('/') && !OF_PROGRAMS.iter().any(|folder| call.starts_with(folder)) => {}
                    Found::Nothing => drop(names.insert(call.clone())),
                    Found::Entry(path, entry) => {
                        if let Some(Program::Script { calls, .. }) = self.programs.get(&path)
                            && seen.len() < CALLED_SCRIPTS
                            && seen.insert(path.clone())
                        {
                            queue.push((Some((path, entry.origin.clone())), calls));
                        }
                    }
                }
            }
            if !names.is_empty() {
                lost.push(LostCalls { script, names });
            }
        }
        lost
    }

    /// What a path leads to, or a name in `PATH`.
    fn called(&self, command: &str) -> Found<'_> {
        if command.contains('/') {
            return self.find(command);
        }
        let found = self.path.iter().map(|directory| self.find(&format!("{directory}/{command}")));
        found.into_iter().find(|found| !matches!(found, Found::Nothing)).unwrap_or(Found::Nothing)
    }

    /// Whether anything is at a path, or mounted there.
    #[must_use]
    pub fn exists(&self, path: &str) -> bool {
        path.trim_matches('/').is_empty() || !matches!(self.find(path), Found::Nothing)
    }

    /// Whether any file is an executable ELF file. An image without one holds data for others.
    #[must_use]
    pub fn has_program(&self) -> bool {
        self.programs.iter().any(|(path, program)| {
            matches!(program, Program::Elf(_)) && self.listing.get(path).is_some_and(|entry| entry.mode & 0o111 != 0)
        })
    }

    /// Whether a directory is there, or something mounted.
    #[must_use]
    pub fn has_directory(&self, path: &str) -> bool {
        path.trim_matches('/').is_empty()
            || match self.find(path) {
                Found::Mounted => true,
                Found::Entry(_, entry) => matches!(entry.node, Node::Directory),
                Found::Nothing => false,
            }
    }

    /// Everything that the image's ELF files and the scripts in `PATH` need and the image does not have, sorted by name.
    #[must_use]
    pub fn missing(&self) -> Vec<Missing> {
        let mut all = std::collections::BTreeMap::new();
        let mut add = |missing: Missing| {
            let Missing { name, kind, needed_by } = missing;
            all.entry((kind, name)).or_insert_with(Vec::new).extend(needed_by);
        };
        for (path, program) in self.programs {
            let Some(entry) = self.listing.get(path) else { continue };
            match program {
                Program::Elf(elf) if elf.machine == self.architecture.elf_machine() => {
                    if let Some(loader) =
                        elf.interpreter.as_ref().filter(|loader| matches!(self.find(loader), Found::Nothing))
                    {
                        add(Missing::loader(loader, path, entry));
                    }
                    for name in &elf.needed {
                        if self.find_library(name, path, elf, &[]).is_none()
                            && !self.comes_with(name, path, &entry.origin)
                        {
                            add(Missing::library(name, path, entry));
                        }
                    }
                }
                Program::Script { line, .. }
                    if entry.mode & 0o111 != 0 && self.is_in_path(path) && self.script(line, SCRIPTS).is_err() =>
                {
                    add(Missing::interpreter(line, path, entry));
                }
                _ => {}
            }
        }
        all.into_iter().map(|((kind, name), needed_by)| Missing { name, kind, needed_by }).collect()
    }

    fn is_in_path(&self, path: &TreePath) -> bool {
        let folder = path.parent();
        let is_it = |directory: &String| match self.find(directory) {
            Found::Entry(found, _) => Some(&found) == folder.as_ref(),
            _ => false,
        };
        folder.is_some() && self.path.iter().any(is_it)
    }

    /// The directories where a file looks for its libraries.
    fn expanded(&self, user: &TreePath, elf: &Elf) -> Vec<String> {
        elf.search.iter().map(|directory| self.expand(directory, user)).collect()
    }

    /// A directory with what `$ORIGIN` and `$LIB` stand for in the file `user`.
    fn expand(&self, directory: &str, user: &TreePath) -> String {
        let origin = user.parent().map(|parent| format!("/{parent}")).unwrap_or_default();
        let library = self.architecture.lib_directory().trim_start_matches("usr/");
        let with_origin = directory.replace("$ORIGIN", &origin).replace("${ORIGIN}", &origin);
        with_origin.replace("$LIB", library).replace("${LIB}", library)
    }

    /// Looks for a library as ld.so(8) does. The path may lead through links.
    /// `inherited` are the directories of those that load `user`.
    fn find_library(&self, name: &str, user: &TreePath, elf: &Elf, inherited: &[String]) -> Option<String> {
        let exists = |path: &String| !matches!(self.find(path), Found::Nothing);
        if name.contains('/') {
            return Some(name.to_owned()).filter(exists);
        }
        // A file with `DT_RUNPATH` has no use for theirs.
        let has_own = !elf.search.is_empty() && !elf.is_inherited;
        let inherited = inherited.iter().filter(|_| !has_own).cloned();
        let own = self.expanded(user, elf).into_iter().chain(inherited);
        let own = own.chain(self.ld_library_path.iter().map(|directory| self.expand(directory, user)));
        let own = own.map(|directory| format!("{directory}/{name}"));
        let cached = self.programs.values().filter_map(|program| match program {
            Program::LibraryCache { libraries } => libraries.get(name).cloned(),
            _ => None,
        });
        let standard = [&format!("lib/{}", self.architecture.multiarch()), "lib64", "lib"].map(str::to_owned);
        let standard = standard
            .into_iter()
            .flat_map(|directory| [format!("/{directory}/{name}"), format!("/usr/{directory}/{name}")]);
        // The loader is in memory before it looks for anything.
        let loader = elf.interpreter.iter().filter(|loader| loader.ends_with(&format!("/{name}"))).cloned();
        loader.chain(own).chain(cached).chain(standard).find(exists)
    }

    /// A library that `program` or its libraries need and that is not found: it does not start then. As ld.so(8), looks for all
    /// that one file needs before what those need; a name that was found before is not looked for again.
    fn no_library(&self, program: &TreePath, elf: &Elf) -> Option<(TreePath, String)> {
        let mut loaded: BTreeSet<&str> = BTreeSet::new();
        let mut queue = VecDeque::from([(program.clone(), elf, Vec::new())]);
        while let Some((user, elf, inherited)) = queue.pop_front() {
            let inherited = match elf.is_inherited {
                true => [&self.expanded(&user, elf)[..], &inherited].concat(),
                false => inherited,
            };
            for name in elf.needed.iter().filter(|name| !loaded.contains(name.as_str())).collect::<Vec<_>>() {
                let Some(path) = self.find_library(name, &user, elf, &inherited) else {
                    return Some((user, name.clone()));
                };
                loaded.insert(name);
                if let Found::Entry(path, _) = self.find(&path)
                    && let Some(Program::Elf(library)) = self.programs.get(&path)
                {
                    queue.push_back((path, library, inherited.clone()));
                }
            }
        }
        None
    }

    /// Whether the package that needs a library brings it itself, in a directory that no search path names, or it is beside the
    /// file that needs it: a program has loaded it before, as Java's has `libjvm.so`, and Samba's their private ones. Wheels find
    /// the libraries of each other so.
    fn comes_with(&self, name: &str, user: &TreePath, origin: &str) -> bool {
        let kind =
            |origin: &str| origin.strip_prefix("wheel ").map_or_else(|| origin.to_owned(), |_| "wheel".to_owned());
        let own = kind(origin);
        let is_near = |path: &TreePath, origin: &str| kind(origin) == own || path.parent() == user.parent();
        self.listing.iter().any(|(path, entry)| path.file_name() == name && is_near(path, &entry.origin))
    }

    /// Follows a path from the root, with all links in it.
    pub(super) fn find(&self, path: &str) -> Found<'_> {
        let mut left: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let mut at: Vec<String> = Vec::new();
        let mut links = 0;
        while let Some(part) = left.pop() {
            match part.as_str() {
                "" | "." => continue,
                ".." => {
                    at.pop();
                    continue;
                }
                _ => at.push(part),
            }
            let Ok(here) = TreePath::new(&at.join("/")) else { return Found::Nothing };
            if self.mounted.contains(&here) {
                return Found::Mounted;
            }
            match self.listing.get(&here).map(|entry| &entry.node) {
                None => return Found::Nothing,
                Some(Node::Symlink { target }) => {
                    links += 1;
                    if links > LINKS {
                        return Found::Nothing;
                    }
                    at.pop();
                    if target.starts_with('/') {
                        at.clear();
                    }
                    left.extend(target.split('/').rev().map(str::to_owned));
                }
                Some(_) => {}
            }
        }
        let Ok(path) = TreePath::new(&at.join("/")) else { return Found::Nothing };
        match self.listing.get(&path) {
            Some(ListedEntry { node: Node::Hardlink { target }, .. }) => match self.listing.get(target) {
                Some(entry) => Found::Entry(target.clone(), entry),
                None => Found::Nothing,
            },
            Some(entry) => Found::Entry(path, entry),
            None => Found::Nothing,
        }
    }
}
