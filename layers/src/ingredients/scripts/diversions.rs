//! `dpkg-divert --add`: a package that has another one's file under a name of its own choice (dpkg-divert(1)).
//!
//! Diversions decide where the files of other packages go. They are read before the packages become one tree.

use std::io;

use serde::{Deserialize, Serialize};

use super::{CONFIGURE, Files, INSTALL, Outcome, Said, Script, Words, place, shell};
use crate::listing::Node;
use crate::tree::{Content, Entry, Kind, Tree, TreePath};

/// A path that belongs to one package: that of others is elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Diversion {
    /// The package whose file has the path.
    pub package: String,
    /// The path.
    pub from: TreePath,
    /// Where files of other packages are that have this path.
    pub to: TreePath,
}

/// What a call says.
enum Call {
    Add(Diversion),
    Remove(TreePath),
    /// A file is moved, and only a running shell knows which.
    Unknown,
}

/// The diversions that remain when the scripts of all packages have run.
#[must_use]
pub fn declared(scripts: &[Script<'_>]) -> Vec<Diversion> {
    let mut found: Vec<Diversion> = Vec::new();
    for call in scripts.iter().flat_map(calls) {
        match call {
            Call::Add(diversion) => found.push(diversion),
            Call::Remove(from) => found.retain(|known| known.from != from),
            Call::Unknown => {}
        }
    }
    found.sort();
    found.dedup();
    found
}

/// The calls in the scripts of a package, in their order.
fn calls(script: &Script<'_>) -> Vec<Call> {
    let commands = [(script.preinst, &INSTALL[..]), (script.postinst, &CONFIGURE[..])].into_iter().flat_map(
        |(text, arguments)| shell::commands(text, &[("DPKG_ROOT", "")], arguments, script.answers, &|_| false),
    );
    let is_call = |program: &Option<String>| program.as_deref().is_some_and(|program| program.ends_with("dpkg-divert"));
    let read = |words: Vec<Option<String>>| {
        words.split_first().filter(|(program, _)| is_call(program)).and_then(|(_, words)| read(script.package, words))
    };
    commands.filter_map(read).collect()
}

/// Moves the files of `package` that others divert.
pub fn divert(tree: &mut Tree, package: &str, diversions: &[Diversion]) {
    for diversion in diversions.iter().filter(|diversion| diversion.package != package) {
        let Some(entry) = tree.remove(&diversion.from) else { continue };
        tree.insert(diversion.to.clone(), entry);
        let links: Vec<TreePath> = tree
            .iter()
            .filter(|(_, entry)| matches!(&entry.kind, Kind::Hardlink(target) if *target == diversion.from))
            .map(|(path, _)| path.clone())
            .collect();
        for path in links {
            if let Some(entry) = tree.remove(&path) {
                tree.insert(path, Entry { kind: Kind::Hardlink(diversion.to.clone()), ..entry });
            }
        }
    }
}

/// A call in a script of `package`. `None` if it changes nothing in an image.
fn read(package: &str, words: Words<'_>) -> Option<Call> {
    let (mut by, mut to, mut path) = (Some(package.to_owned()), None, None);
    let (mut removes, mut renames, mut is_known) = (false, false, true);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let Some(word) = word.as_deref() else {
            is_known = false;
            continue;
        };
        let (option, value) = word.split_once('=').map_or((word, None), |(option, value)| (option, Some(value)));
        let mut value = || value.map(str::to_owned).or_else(|| words.next().cloned().flatten());
        match option {
            "--list" | "--listpackage" | "--truename" | "--help" | "--version" => return None,
            "--remove" => removes = true,
            "--rename" => renames = true,
            "--package" => by = value(),
            "--divert" => {
                to = value();
                is_known &= to.is_some();
            }
            option if option.starts_with("--") => {}
            _ => path = Some(word.to_owned()),
        }
    }
    let to = to.or_else(|| path.as_ref().map(|path| format!("{path}.distrib")));
    match (by, path.as_deref().and_then(place), to.as_deref().and_then(place)) {
        (_, from, _) if removes => from.map(Call::Remove),
        // Debian's own protection of files that move from / to /usr, which are in one place here.
        (_, _, Some(to)) if to.as_str().ends_with(".usr-is-merged") => None,
        (Some(package), Some(from), Some(to)) if is_known => Some(Call::Add(Diversion { package, from, to })),
        // Without `--rename` it is about packages that are unpacked later.
        _ => renames.then_some(Call::Unknown),
    }
}

/// Notes the diversions of the packages, and moves what the layers below have at their paths.
pub(super) fn apply(scripts: &[Script<'_>], files: &mut Files<'_>, outcome: &mut Outcome) -> io::Result<()> {
    for script in scripts {
        if calls(script).iter().any(|call| matches!(call, Call::Unknown)) {
            outcome.note(script.package, "diversions", Said::Left);
        }
    }
    for diversion in declared(scripts) {
        let said = match below(&diversion, files)? {
            true => Said::Applied(Some(format!("/{}", diversion.from))),
            false => Said::Left,
        };
        outcome.note(&diversion.package, "diversions", said);
        outcome.diversions.push(diversion);
    }
    Ok(())
}

/// Moves what the layers below have at the path. `false` if nothing takes its place: a layer removes no file of another.
fn below(diversion: &Diversion, files: &mut Files<'_>) -> io::Result<bool> {
    let Some(listed) = files.below.listing.get(&diversion.from) else { return Ok(true) };
    if listed.origin.split(' ').nth(1) == Some(&diversion.package) {
        return Ok(true);
    }
    let is_linked = |entry: &Entry| matches!(&entry.kind, Kind::Hardlink(target) if *target == diversion.from);
    let is_single = |entry: &Entry| matches!(entry.kind, Kind::File(_) | Kind::Symlink(_));
    if !files.tree.get(&diversion.from).is_some_and(is_single) || files.tree.iter().any(|(_, entry)| is_linked(entry)) {
        return Ok(false);
    }
    let own = files.tree.remove(&diversion.from);
    let kind = match &listed.node {
        Node::Symlink { target } => Some(Kind::Symlink(target.clone())),
        _ => files.read(&diversion.from)?.map(|bytes| Kind::File(Content::from(bytes))),
    };
    let origin = listed.origin.as_str().into();
    if let (Some(kind), Some(own)) = (kind, own) {
        let moved = Entry { kind, mtime: files.mtime, ..Entry::file("", listed.mode, &origin) };
        files.made.insert(diversion.to.clone(), moved.owned_by(listed.uid, listed.gid));
        files.made.insert(diversion.from.clone(), own);
    }
    Ok(true)
}
