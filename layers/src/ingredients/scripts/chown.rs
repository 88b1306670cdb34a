//! `chown USER[:GROUP] PATH...`, `chgrp GROUP PATH...` and `chmod MODE PATH...` of what the packages have, and of directories
//! that their scripts make (chown(1), chmod(1)): services write to folders that a script gives to them.

use std::collections::BTreeSet;

use super::owners::{self, Owned};
use super::{Files, Said, Words, directories, place};
use crate::tree::{Pattern, TreePath};

/// The most paths that a recursive command changes. The change of an owner that is known late repeats a file's content.
const RECURSIVE: usize = 1000;
/// Bits that give a program the rights of others: those of files are not changed by what a script says in some case.
const SPECIAL: u32 = 0o6000;

/// `name` is `chown`, `chgrp` or `chmod`.
pub(super) fn command(name: &str, words: Words<'_>, files: &mut Files<'_>) -> Said {
    let is_option =
        |word: &&Option<String>| word.as_deref().is_some_and(|word| word.len() > 1 && word.starts_with('-'));
    let is_recursive = words
        .iter()
        .filter(is_option)
        .flatten()
        .any(|word| word == "--recursive" || !word.starts_with("--") && word.contains('R'));
    let mut words = words.iter().filter(|word| !is_option(word));
    let Some(what) = words.next() else { return Said::Applied(None) };
    let mut applied = Vec::new();
    // Most scripts also change what they make themselves, and what only a running shell can name.
    for path in words.flatten() {
        for at in matching(path, files) {
            directories::owned(name, what.as_deref(), &at, files);
            if !files.has(&at) || files.is_dropped(&at) {
                continue;
            }
            let text = format!("/{at}");
            let Some(paths) = paths(at, is_recursive, files) else { return Said::Left };
            for path in paths {
                let Some(owned) = what.as_deref().and_then(|what| change(name, what, path, files)) else {
                    return Said::Left;
                };
                // Links are none of a package's folders.
                owners::apply(owned, files);
            }
            applied.push(text);
        }
    }
    Said::Applied((!applied.is_empty()).then(|| applied.join(", ")))
}

/// The paths that a word means: itself, or what its last component matches.
fn matching(word: &str, files: &Files<'_>) -> Vec<TreePath> {
    let Some((folder, name)) = word.rsplit_once('/').filter(|(_, name)| name.contains('*')) else {
        return place(word).and_then(|at| directories::resolved(at, files)).into_iter().collect();
    };
    let Some(folder) = place(folder).and_then(|at| directories::resolved(at, files)) else { return Vec::new() };
    let pattern = Pattern::new(name);
    let is_match =
        |name: &String| !name.starts_with('.') && TreePath::new(name).is_ok_and(|name| pattern.matches(&name));
    let names = files.names(&folder).into_iter().filter(is_match);
    names.filter_map(|name| TreePath::new(&format!("{folder}/{name}")).ok()).collect()
}

/// The path, and with `is_recursive` all below it. `None`: they are too many.
fn paths(at: TreePath, is_recursive: bool, files: &Files<'_>) -> Option<Vec<TreePath>> {
    if !is_recursive {
        return Some(vec![at]);
    }
    let own = files.made.below(&at).chain(files.tree.below(&at)).map(|(path, _)| path);
    let start = format!("{at}/");
    let below = files.below.listing.range(at.clone()..).map(|(path, _)| path);
    // Names such as `a-b` are between `a` and `a/b`.
    let below = below
        .take_while(|path| path.as_str().starts_with(at.as_str()))
        .filter(|path| path.as_str().starts_with(&start));
    let mut all = BTreeSet::from([at.clone()]);
    for path in own.chain(below) {
        all.insert(path.clone());
        if all.len() > RECURSIVE {
            return None;
        }
    }
    Some(all.into_iter().collect())
}

fn change(name: &str, what: &str, path: TreePath, files: &Files<'_>) -> Option<Owned> {
    if name != "chmod" {
        return Some(owner(name, what, path));
    }
    let (old, is_folder) = files.mode(&path)?;
    let new = match u32::from_str_radix(what, 8) {
        Ok(mode) => mode,
        Err(_) => symbolic(what, old, is_folder)?,
    };
    let is_allowed = new <= 0o7777 && (is_folder || new & SPECIAL & !old == 0);
    is_allowed.then_some(Owned { path, mode: Some(new), user: None, group: None })
}

/// What `chown` or `chgrp` does.
pub(super) fn owner(name: &str, what: &str, path: TreePath) -> Owned {
    let (user, group) = match name {
        "chgrp" => ("", what),
        _ => what.split_once([':', '.']).unwrap_or((what, "")),
    };
    // `USER:` is for the group of that name, which each account of Debian's packages has.
    let group = if group.is_empty() && what.ends_with(':') { user } else { group };
    let name = |name: &str| (!name.is_empty()).then(|| name.to_owned());
    Owned { path, mode: None, user: name(user), group: name(group) }
}

/// The mode that `what`, such as `u=rwx,go-w`, makes of another one.
pub(super) fn symbolic(what: &str, old: u32, is_folder: bool) -> Option<u32> {
    what.split(',').try_fold(old, |mode, clause| {
        let at = clause.find(['=', '+', '-'])?;
        let (who, how) = clause.split_at(at);
        let shift = |letter: char| match letter {
            'u' => Some(0o4700),
            'g' => Some(0o2070),
            'o' => Some(0o1007),
            'a' => Some(0o7777),
            _ => None,
        };
        let who = if who.is_empty() { "a" } else { who };
        let mask = who.chars().try_fold(0, |mask, letter| Some(mask | shift(letter)?))?;
        let bits = how[1..].chars().try_fold(0, |bits, letter| {
            Some(
                bits | match letter {
                    'r' => 0o444,
                    'w' => 0o222,
                    'x' => 0o111,
                    'X' if is_folder || mode & 0o111 != 0 => 0o111,
                    'X' => 0,
                    's' => 0o6000,
                    't' => 0o1000,
                    _ => return None,
                },
            )
        })?;
        let bits = bits & mask;
        match how.as_bytes()[0] {
            b'=' => Some(mode & !(mask & 0o777) | bits),
            b'+' => Some(mode | bits),
            _ => Some(mode & !bits),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbolic_modes_are_those_of_chmod() {
        let of = |what: &str| symbolic(what, 0o755, true).map(|mode| format!("{mode:o}"));
        let of = |what: &str| of(what).unwrap_or_default();
        assert_eq!(
            ["u=rwx,g=rx,o=", "o-rwx,g-w", "g+ws,o=t", "a-x", "go=u", "7x"].map(of),
            ["750", "750", "3770", "644", "", ""]
        );
        assert_eq!(symbolic("a+X", 0o644, false), Some(0o644));
    }
}
