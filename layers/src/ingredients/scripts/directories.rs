//! `mkdir DIRECTORY...` and `install -d DIRECTORY...` (mkdir(1), install(1)): folders that a script makes and gives to the
//! account of its service. Those that stay root's are left out: no service writes to them.

use super::chown;
use super::owners::{self, Owned};
use super::{Files, Said, Words, place};
use crate::tree::{Entry, TreePath};

/// `name` is `mkdir` or `install`.
pub(super) fn command(name: &str, words: Words<'_>, files: &mut Files<'_>) -> Said {
    let (mut user, mut group, mut mode, mut paths) = (None, None, None, Vec::new());
    let mut is_for_directories = name == "mkdir";
    let mut words = words.iter();
    while let Some(word) = words.next() {
        // Another word may name a path that is known.
        let Some(word) = word.as_deref() else { continue };
        let Some(option) = option(word) else {
            paths.push(word);
            continue;
        };
        is_for_directories |= option.flags.contains('d');
        if let Some(letter) = option.letter {
            let value = match option.value {
                Some(value) => Some(value.to_owned()),
                None => words.next().cloned().flatten(),
            };
            match letter {
                'o' => user = value,
                'g' => group = value,
                'm' => mode = value,
                _ => {}
            }
        }
    }
    if !is_for_directories {
        return Said::Applied(None);
    }
    let mode = mode.and_then(|text| u32::from_str_radix(&text, 8).ok().or_else(|| chown::symbolic(&text, 0o755, true)));
    let mut made = Vec::new();
    for path in paths {
        let Some(at) = place(path).and_then(|at| resolved(at, files)) else { continue };
        if files.has(&at) || files.is_dropped(&at) {
            continue;
        }
        files.announced.insert(at.clone(), mode.unwrap_or(0o755) & 0o7777);
        if give(Owned { path: at, mode: None, user: user.clone(), group: group.clone() }, files) {
            made.push(path);
        }
    }
    Said::Applied((!made.is_empty()).then(|| made.join(", ")))
}

/// Where `path` is: below `/run`, if it is below the link `/var/run`. `None` if another link or a file is above it.
pub(super) fn resolved(path: TreePath, files: &Files<'_>) -> Option<TreePath> {
    let is_other = |path: &TreePath| files.mode(path).is_some_and(|(_, is_directory)| !is_directory);
    let runtime =
        path.as_str().strip_prefix("var/run/").filter(|_| TreePath::new("var/run").is_ok_and(|link| is_other(&link)));
    let path = match runtime {
        Some(rest) => TreePath::new(&format!("run/{rest}")).ok()?,
        None => path,
    };
    let above = std::iter::successors(path.parent(), TreePath::parent);
    (!above.into_iter().any(|above| is_other(&above))).then_some(path)
}

/// An option of the two programs.
struct Parsed<'a> {
    /// Letters without a value.
    flags: &'a str,
    /// The letter that has a value.
    letter: Option<char>,
    /// Its value, if the word has it.
    value: Option<&'a str>,
}

fn option(word: &str) -> Option<Parsed<'_>> {
    if let Some(long) = word.strip_prefix("--") {
        let (long, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
        let (flags, letter) = match long {
            "directory" => ("d", None),
            "owner" => ("", Some('o')),
            "group" => ("", Some('g')),
            "mode" => ("", Some('m')),
            _ => ("", None),
        };
        return Some(Parsed { flags, letter, value });
    }
    let letters = word.strip_prefix('-').filter(|letters| !letters.is_empty())?;
    Some(match letters.find(['o', 'g', 'm']) {
        None => Parsed { flags: letters, letter: None, value: None },
        Some(at) => {
            let value = Some(&letters[at + 1..]).filter(|value| !value.is_empty());
            Parsed { flags: &letters[..at], letter: letters[at..].chars().next(), value }
        }
    })
}

/// Before `chown`, `chgrp` or `chmod` of `at`: makes the directory if it was announced and becomes an account's.
pub(super) fn owned(name: &str, what: Option<&str>, at: &TreePath, files: &mut Files<'_>) {
    let (Some(what), Some(mode)) = (what, files.announced.get(at).copied()) else { return };
    if name != "chmod" {
        give(Owned { mode: None, ..chown::owner(name, what, at.clone()) }, files);
        return;
    }
    let new = u32::from_str_radix(what, 8).ok().or_else(|| chown::symbolic(what, mode, true));
    if let Some(new) = new.filter(|new| *new <= 0o7777) {
        files.announced.insert(at.clone(), new);
    }
}

/// Makes an announced directory if its owner is other than root. `false`: nothing was made.
fn give(owned: Owned, files: &mut Files<'_>) -> bool {
    let is_other = |name: &Option<String>| name.as_deref().is_some_and(|name| name != "root" && name != "0");
    if files.is_dropped(&owned.path) || !is_other(&owned.user) && !is_other(&owned.group) {
        return false;
    }
    let Some(mode) = files.announced.remove(&owned.path) else { return false };
    let mut above = owned.path.parent();
    while let Some(path) = above.filter(|path| !files.has(path)) {
        above = path.parent();
        insert(path, 0o755, files);
    }
    insert(owned.path.clone(), mode, files);
    owners::apply(owned, files)
}

fn insert(path: TreePath, mode: u32, files: &mut Files<'_>) {
    let entry = Entry { mtime: files.mtime, ..Entry::directory(mode, &files.origin) };
    files.made.insert(path, entry);
}
