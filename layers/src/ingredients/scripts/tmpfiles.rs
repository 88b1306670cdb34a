//! The files of tmpfiles.d(5): directories, files, links and owners, which systemd makes at each boot. In an image nobody
//! else does.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::owners::{self, Owned};
use super::{Files, Outcome, Said, fields, place};
use crate::tree::{Entry, Kind, TreePath};

/// Where packages have them. Of two files of one name, the one in the second folder counts.
const FOLDERS: [&str; 2] = ["usr/lib/tmpfiles.d", "etc/tmpfiles.d"];

/// What the kernel or the engine makes in each container, and folders of the host's own services: systemd, and the daemon
/// that translates labels of SELinux.
const OUTSIDE: [&str; 8] = ["proc", "sys", "dev", "run/systemd", "run/setrans", "run/user", "run/log", "run/credstore"];

/// A line: type, path, mode, user, group, age, argument.
struct Line {
    kind: char,
    /// As it is in the line, for people.
    text: String,
    path: TreePath,
    mode: Option<u32>,
    user: Option<String>,
    group: Option<String>,
    argument: Option<String>,
}

/// Makes what the files in `files.tree` declare.
pub(super) fn apply(files: &mut Files<'_>, outcome: &mut Outcome) -> io::Result<()> {
    let mut found = BTreeMap::new();
    for folder in FOLDERS {
        let folder = TreePath::new(folder).map_err(io::Error::other)?;
        for (path, entry) in files.tree.below(&folder) {
            if let Kind::File(content) = &entry.kind
                && path.as_str().ends_with(".conf")
            {
                found.insert(path.file_name().to_owned(), (content.clone(), entry.origin.clone()));
            }
        }
    }
    for (content, origin) in found.into_values() {
        let package = origin.split(' ').nth(1).unwrap_or(&origin).to_owned();
        let text = content.read()?;
        for line in String::from_utf8_lossy(&text).lines().filter_map(Line::read) {
            if !files.is_dropped(&line.path) && line.make(files)? {
                outcome.note(&package, "tmpfiles.d", Said::Applied(Some(line.text)));
            }
        }
    }
    Ok(())
}

impl Line {
    /// `None` if there is nothing to be made: what is removed, cleaned up, or made anew at boot only.
    fn read(line: &str) -> Option<Self> {
        let fields = fields(line);
        let field = |index: usize| fields.get(index).map(String::as_str).filter(|text| *text != "-");
        let (kind, modifiers) = field(0)?.split_at_checked(1)?;
        // `^` and `~` have contents from elsewhere, or encoded.
        if modifiers.contains(['!', '^', '~']) {
            return None;
        }
        let text = specifiers(field(1)?)?;
        let path = text.strip_prefix("/var/run/").map(|below| format!("/run/{below}"));
        let path = place(path.as_deref().unwrap_or(&text))?;
        let is_below = |folder: &str| path.as_str() == folder || path.as_str().starts_with(&format!("{folder}/"));
        if text.contains(['*', '?', '[']) || OUTSIDE.into_iter().any(is_below) {
            return None;
        }
        let mode = match field(2) {
            Some(mode) => {
                Some(u32::from_str_radix(mode.trim_start_matches([':', '~']), 8).ok().filter(|m| *m <= 0o7777)?)
            }
            None => None,
        };
        let name = |index| field(index).map(|name| specifiers(name.trim_start_matches(':')));
        let (user, group) = (name(3).unwrap_or(None), name(4).unwrap_or(None));
        // The argument is the rest of the line, with its blanks.
        let argument = match field(6) {
            Some(_) => Some(specifiers(&fields[6..].join(" "))?),
            None => None,
        };
        Some(Self { kind: kind.chars().next()?, text, path, mode, user, group, argument })
    }

    /// Makes what the line declares, where the image does not have it. `false`: nothing.
    fn make(&self, files: &mut Files<'_>) -> io::Result<bool> {
        let exists = files.has(&self.path);
        let made = match self.kind {
            'd' | 'D' | 'v' | 'q' | 'Q' => Entry::directory(self.mode.unwrap_or(0o755), &files.origin),
            'f' | 'F' if !exists => {
                let text = unescaped(self.argument.as_deref().unwrap_or_default());
                Entry::file(text, self.mode.unwrap_or(0o644), &files.origin)
            }
            'L' if !exists => {
                let target = self.source();
                // One into `/run` or to what another package has would lead nowhere.
                let leads = !target.starts_with('/') || place(&target).is_some_and(|at| files.has(&at));
                if leads {
                    files.link(self.path.clone(), &target);
                }
                return Ok(leads);
            }
            'C' if !exists => return self.copy(files),
            'z' | 'e' => return Ok(exists && self.own(self.path.clone(), self.mode, files)),
            'Z' => return Ok(exists && self.own_all(files)),
            _ => return Ok(false),
        };
        if !exists {
            files.made.insert(self.path.clone(), Entry { mtime: files.mtime, ..made });
        }
        Ok(self.own(self.path.clone(), self.mode, files) || !exists)
    }

    /// What a link leads to, or is copied.
    fn source(&self) -> String {
        self.argument.clone().unwrap_or_else(|| format!("/usr/share/factory/{}", self.path))
    }

    /// Copies a file or a directory of the packages.
    fn copy(&self, files: &mut Files<'_>) -> io::Result<bool> {
        let Some(source) = place(&self.source()) else { return Ok(false) };
        let Some(first) = files.tree.get(&source).cloned() else { return Ok(false) };
        let below: Vec<(TreePath, Entry)> =
            files.tree.below(&source).map(|(path, entry)| (path.clone(), entry.clone())).collect();
        for (path, entry) in below.into_iter().filter(|(path, _)| *path != source) {
            let rest = path.as_str().strip_prefix(source.as_str()).unwrap_or_default();
            let at = TreePath::new(&format!("{}{rest}", self.path)).map_err(io::Error::other)?;
            if !matches!(entry.kind, Kind::Hardlink(_)) {
                files.made.insert(at, entry);
            }
        }
        files.made.insert(self.path.clone(), first);
        self.own(self.path.clone(), self.mode, files);
        Ok(true)
    }

    /// Sets mode and owner. `false` if they are what they should be.
    fn own(&self, path: TreePath, mode: Option<u32>, files: &mut Files<'_>) -> bool {
        let owned = Owned { path, mode, user: self.user.clone(), group: self.group.clone() };
        !owners::is_done(&owned, files) && owners::apply(owned, files)
    }

    /// Sets the owner of everything in a directory, and the mode with `x` for directories and programs only.
    fn own_all(&self, files: &mut Files<'_>) -> bool {
        let own = files.made.below(&self.path).chain(files.tree.below(&self.path)).map(|(path, _)| path.clone());
        let below = files.below.listing.range(self.path.clone()..).map(|(path, _)| path.clone());
        let prefix = format!("{}/", self.path);
        let below = below.take_while(|path| path.as_str().starts_with(self.path.as_str()));
        let all: BTreeSet<TreePath> =
            own.chain(below).filter(|path| *path == self.path || path.as_str().starts_with(&prefix)).collect();
        // The mode of files inside depends on what they are: only the owner is followed.
        let mut is_any = self.own(self.path.clone(), self.mode, files);
        for path in all.into_iter().filter(|path| *path != self.path) {
            is_any |= self.own(path, None, files);
        }
        is_any
    }
}

/// A text with its specifiers. `None` if one is known on a host only.
fn specifiers(text: &str) -> Option<String> {
    let mut done = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            done.push(c);
            continue;
        }
        done.push_str(match chars.next()? {
            '%' => "%",
            't' => "/run",
            'S' => "/var/lib",
            'C' => "/var/cache",
            'L' => "/var/log",
            'T' => "/tmp",
            'V' => "/var/tmp",
            'h' => "/root",
            'u' | 'g' => "root",
            'U' | 'G' => "0",
            _ => return None,
        });
    }
    Some(done)
}

/// The content of a file: `\n` and the like stand for the character.
fn unescaped(text: &str) -> String {
    let mut done = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, chars.clone().next()) {
            ('\\', Some(next @ ('n' | 't' | '\\'))) => {
                chars.next();
                done.push(match next {
                    'n' => '\n',
                    't' => '\t',
                    other => other,
                });
            }
            _ => done.push(c),
        }
    }
    done
}
