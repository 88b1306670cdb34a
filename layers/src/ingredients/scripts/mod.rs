//! What the maintainer scripts of Debian packages would have made, where that is declarative and known. No script is run.
//!
//! `shell` reads the commands of each `postinst`. Each rule is a file here: it takes the commands of one program and makes
//! what that program would have made in the image. What a script says with other words, or with values that only a running
//! shell knows, is left, and listed as such.

mod accounts;
mod alternatives;
mod apache;
mod capabilities;
mod chown;
mod copies;
mod directories;
mod diversions;
mod other_programs;
mod owners;
mod pam;
mod php;
mod servers;
mod shell;
mod statoverride;
mod tmpfiles;
mod ucf;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

pub use accounts::Request;
pub use diversions::{Diversion, declared as diversions, divert};
pub use owners::Owned;

use crate::ingredients::deb;
use crate::listing::{Listing, Node};
use crate::platform::Architecture;
use crate::tree::{Entry, Kind, Tree, TreePath};

/// The scripts of a package that run when it is installed.
#[derive(Clone, Copy, Debug)]
pub struct Script<'a> {
    /// Name of the package.
    pub package: &'a str,
    /// The text of its `preinst`; empty if it has none.
    pub preinst: &'a str,
    /// The text of its `postinst`; empty if it has none.
    pub postinst: &'a str,
    /// The answers that its questions have by default, by the names of the questions (debconf(7)).
    pub answers: &'a BTreeMap<String, String>,
}

/// What the packages are put on.
pub struct Below<'a> {
    /// All their paths.
    pub listing: &'a Listing,
    /// Reads a file of theirs.
    pub read: &'a dyn Fn(&TreePath) -> io::Result<Vec<u8>>,
    /// Whether the image leaves a path of its packages out.
    pub is_dropped: &'a dyn Fn(&TreePath) -> bool,
}

/// The arguments of a `preinst` and a `postinst` in a new installation (Debian policy 6.5).
const INSTALL: [&str; 1] = ["install"];
const CONFIGURE: [&str; 2] = ["configure", ""];

/// What was made for packages, and what was not.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Files, links and directories, which replace those of the layers below.
    pub made: Tree,
    /// Owners that are known with the image's accounts.
    pub owned: Vec<Owned>,
    /// Diversions that these packages add: see [`divert`].
    pub diversions: Vec<Diversion>,
    /// Accounts that the image should have.
    pub accounts: Vec<Request>,
    /// What was applied: package to phrases (`alternatives: /usr/bin/java`).
    pub applied: BTreeMap<String, BTreeSet<String>>,
    /// What was not: package to kinds, with what they are about where that is known (`ucf (/etc/x.conf)`).
    pub left: BTreeMap<String, BTreeSet<String>>,
}

/// Words of a command. `None` is one that only a running shell knows.
type Words<'a> = &'a [Option<String>];

/// What a rule says of a command.
enum Said {
    /// It is done; this is what, or nothing worth a line.
    Applied(Option<String>),
    /// It is not done.
    Left,
}

/// The files of the packages and of the layers below, and what was made so far.
struct Files<'a> {
    tree: &'a mut Tree,
    below: &'a Below<'a>,
    made: Tree,
    owned: BTreeMap<TreePath, Owned>,
    /// Directories that scripts make, with their modes. They are made here once a script gives them to an account.
    announced: BTreeMap<TreePath, u32>,
    origin: Arc<str>,
    mtime: Option<u64>,
}

/// Makes what the scripts of packages would have made beside the files of these packages in `tree`. Owners, modes and
/// attributes are changed in `tree` itself.
///
/// # Errors
/// A file of the packages or of the layers below cannot be read.
pub fn apply(
    scripts: &[Script<'_>],
    tree: &mut Tree,
    below: &Below<'_>,
    architecture: Architecture,
) -> io::Result<Outcome> {
    let mut outcome = Outcome { accounts: accounts::declared(tree)?, ..Outcome::default() };
    // As new as the newest file of the packages, so that it does not change with every build.
    let mtime = tree.iter().filter_map(|(_, entry)| entry.mtime).max();
    let origin = "maintainer scripts, as Sealift reads them".into();
    let mut files =
        Files { tree, below, made: Tree::new(), owned: BTreeMap::new(), announced: BTreeMap::new(), origin, mtime };
    diversions::apply(scripts, &mut files, &mut outcome)?;
    let (mut alternatives, mut php) = (alternatives::Alternatives::default(), php::Php::default());
    let (mut apache, mut parts) = (apache::Apache::default(), servers::Parts::default());
    let mut pam = pam::Pam::default();
    let variables = [("DPKG_ROOT", ""), ("DPKG_MAINTSCRIPT_ARCH", architecture.as_str())];
    for script in scripts {
        // Before a package is unpacked, only accounts and directories can be made for it.
        for command in shell::commands(script.preinst, &variables, &INSTALL, script.answers, &|_| false) {
            let Some((Some(program), words)) = command.split_first() else { continue };
            let (kind, said) = match program.rsplit('/').next().unwrap_or(program) {
                name @ ("adduser" | "addgroup" | "useradd" | "groupadd") => {
                    ("accounts", accounts::command(name, words, &mut outcome.accounts))
                }
                name @ ("mkdir" | "install") => ("directories", directories::command(name, words, &mut files)),
                _ => continue,
            };
            outcome.note_of(script.package, kind, words, said);
        }
        let exists = |path: &str| place(path).is_some_and(|path| files.has(&path));
        let commands = shell::commands(script.postinst, &variables, &CONFIGURE, script.answers, &exists);
        // What the answer to a question decides is not known: no file gets rights that its package may not give it.
        let asks = commands.iter().any(|command| command.first().is_some_and(|word| word.as_deref() == Some("db_get")));
        for command in commands {
            let Some((Some(program), words)) = command.split_first() else { continue };
            let name = program.rsplit('/').next().unwrap_or(program);
            let (kind, said) = match name {
                "update-alternatives" => ("alternatives", alternatives.command(script.package, words)),
                "ucf" => ("ucf", ucf::command(words, &mut files)?),
                "phpenmod" | "php_invoke" => ("phpenmod", php.command(script.package, name, words)),
                "apache2_switch_mpm" => ("a2enmod", apache.command(script.package, name, words)),
                "apache2_invoke" | "a2enmod" | "a2dismod" | "a2enconf" | "a2disconf" | "a2ensite" | "a2dissite" => {
                    (name, apache.command(script.package, name, words))
                }
                "ln" => ("ln", parts.link(script.package, words, asks)),
                "cp" => ("cp", copies::command(words, asks, &mut files)),
                "pam-auth-update" => ("pam-auth-update", pam.command(script.package)),
                "lighty-enable-mod" | "lighttpd-enable-mod" => {
                    ("lighty-enable-mod", parts.lighttpd(script.package, words))
                }
                "dpkg-statoverride" => ("dpkg-statoverride", statoverride::command(words, asks, &mut files)),
                "mkdir" | "install" => ("directories", directories::command(name, words, &mut files)),
                "chown" | "chgrp" | "chmod" => ("owners", chown::command(name, words, &mut files)),
                "setcap" => ("setcap", capabilities::command(words, asks, &mut files)),
                "adduser" | "addgroup" | "useradd" | "groupadd" | "usermod" | "gpasswd" => {
                    ("accounts", accounts::command(name, words, &mut outcome.accounts))
                }
                _ => {
                    if let Some((kind, said)) = other_programs::made_by(name, words) {
                        outcome.note(script.package, &kind, said);
                    }
                    continue;
                }
            };
            outcome.note_of(script.package, kind, words, said);
        }
    }
    php.finish(&mut files, &mut outcome)?;
    apache.finish(&mut files, &mut outcome)?;
    parts.finish(&mut files, &mut outcome)?;
    pam.finish(&mut files, &mut outcome)?;
    alternatives.finish(&mut files, &mut outcome)?;
    tmpfiles::apply(&mut files, &mut outcome)?;
    schemas(&files, &mut outcome)?;
    (outcome.made, outcome.owned) = (files.made, files.owned.into_values().collect());
    Ok(outcome)
}

impl Outcome {
    /// Notes a command; what is left with its last word that is known, which is what it is about.
    fn note_of(&mut self, package: &str, kind: &str, words: Words<'_>, said: Said) {
        let last = words.iter().flatten().rfind(|word| !word.starts_with('-') && !word.is_empty());
        let is_name = |word: &str| kind == "accounts" && super::accounts::is_login(word);
        let last = last.filter(|word| is_name(word) || word.starts_with('/'));
        match (&said, last) {
            (Said::Left, Some(last)) => self.note(package, &format!("{kind} ({last})"), said),
            _ => self.note(package, kind, said),
        }
    }

    fn note(&mut self, package: &str, kind: &str, said: Said) {
        match said {
            Said::Applied(None) => {}
            Said::Applied(Some(what)) => {
                self.applied.entry(package.to_owned()).or_default().insert(format!("{kind}: {what}"));
            }
            Said::Left => drop(self.left.entry(package.to_owned()).or_default().insert(kind.to_owned())),
        }
    }
}

impl Files<'_> {
    /// Whether the packages, the layers below, or what was made so far have the path.
    fn has(&self, path: &TreePath) -> bool {
        self.made.get(path).is_some() || self.tree.get(path).is_some() || self.below.listing.contains_key(path)
    }

    /// The permission bits of a file or directory, and whether it is a directory.
    fn mode(&self, path: &TreePath) -> Option<(u32, bool)> {
        match self.made.get(path).or_else(|| self.tree.get(path)) {
            Some(entry) => Some((entry.mode, matches!(entry.kind, Kind::Directory))),
            None => {
                let listed = self.below.listing.get(path)?;
                let late = self.owned.get(path).and_then(|owned| owned.mode);
                Some((late.unwrap_or(listed.mode), listed.node == Node::Directory))
            }
        }
    }

    /// The content of a file.
    fn read(&self, path: &TreePath) -> io::Result<Option<Vec<u8>>> {
        let entry = self.made.get(path).or_else(|| self.tree.get(path));
        let entry = match entry.map(|entry| &entry.kind) {
            Some(Kind::Hardlink(target)) => self.tree.get(target),
            _ => entry,
        };
        match entry.map(|entry| &entry.kind) {
            Some(Kind::File(content)) => content.read().map(Some),
            Some(_) => Ok(None),
            None => match self.below.listing.get(path).map(|listed| &listed.node) {
                Some(Node::File { .. }) => (self.below.read)(path).map(Some),
                Some(Node::Hardlink { target }) => (self.below.read)(target).map(Some),
                _ => Ok(None),
            },
        }
    }

    /// The names in a directory, sorted.
    fn names(&self, directory: &TreePath) -> BTreeSet<String> {
        let own = self.made.below(directory).chain(self.tree.below(directory)).map(|(path, _)| path);
        let below = self.below.listing.range(directory.clone()..).map(|(path, _)| path);
        let prefix = format!("{directory}/");
        let below = below.take_while(|path| path.as_str().starts_with(directory.as_str()));
        own.chain(below)
            .filter_map(|path| path.as_str().strip_prefix(&prefix)?.split('/').next().map(str::to_owned))
            .collect()
    }

    fn is_dropped(&self, path: &TreePath) -> bool {
        (self.below.is_dropped)(path)
    }

    fn link(&mut self, path: TreePath, target: &str) {
        let entry = Entry { mtime: self.mtime, ..Entry::symlink(target, &self.origin) };
        self.made.insert(path, entry);
    }
}

/// Notes the packages whose settings programs find in `gschemas.compiled` only, which nothing here makes: a trigger of dpkg
/// compiles it from all schemas.
fn schemas(files: &Files<'_>, outcome: &mut Outcome) -> io::Result<()> {
    let folder = TreePath::new("usr/share/glib-2.0/schemas").map_err(io::Error::other)?;
    for (path, entry) in files.tree.below(&folder) {
        if let Some(package) = entry.origin.split(' ').nth(1)
            && path.as_str().ends_with(".gschema.xml")
        {
            outcome.note(package, "glib schemas", Said::Left);
        }
    }
    Ok(())
}

/// Fields between blanks. One that begins with a quote ends with it.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut left) = (Vec::new(), line.trim());
    while !left.is_empty() && !left.starts_with('#') {
        let quote = left.chars().next().filter(|c| matches!(c, '"' | '\''));
        let (field, rest) = match quote {
            Some(quote) => left[1..].split_once(quote).unwrap_or((&left[1..], "")),
            None => left.split_once(char::is_whitespace).unwrap_or((left, "")),
        };
        fields.push(field.to_owned());
        left = rest.trim_start();
    }
    fields
}

/// The path in an image of a path in a script, on a system with a merged `/usr`.
fn place(path: &str) -> Option<TreePath> {
    if !path.starts_with('/') {
        return None;
    }
    let path = TreePath::new(path).ok()?;
    Some(deb::merged_path(&path).unwrap_or(path))
}

#[cfg(test)]
mod tests;
