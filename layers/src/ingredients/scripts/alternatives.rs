//! `update-alternatives --install`: of several packages with a program of one name, the one of the highest priority has it.
//!
//! As on an installed system, the name is a link into `/etc/alternatives`, and `/var/lib/dpkg/alternatives` lists all choices:
//! layers above know those below from there, and `update-alternatives --display` works.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::{Files, Outcome, Said, Words, place};
use crate::tree::{Entry, Kind, TreePath};

/// The database of dpkg.
const DATABASE: &str = "var/lib/dpkg/alternatives";

/// The alternatives that packages install, by name.
#[derive(Default)]
pub(super) struct Alternatives(BTreeMap<String, Group>);

#[derive(Default)]
struct Group {
    link: String,
    /// Links of the slaves, by name.
    slaves: BTreeMap<String, String>,
    /// By path.
    choices: BTreeMap<String, Choice>,
    packages: BTreeSet<String>,
}

#[derive(Default)]
struct Choice {
    priority: i64,
    /// Paths of the slaves, by name.
    slaves: BTreeMap<String, String>,
}

impl Alternatives {
    /// A call: `--install LINK NAME PATH PRIORITY`, and any number of `--slave LINK NAME PATH` (update-alternatives(1)).
    pub(super) fn command(&mut self, package: &str, words: Words<'_>) -> Said {
        let Some(start) = words.iter().position(|word| word.as_deref() == Some("--install")) else {
            return Said::Applied(None);
        };
        let Some(words) = words[start + 1..].iter().map(Option::as_deref).collect::<Option<Vec<&str>>>() else {
            return Said::Left;
        };
        let [link, name, path, priority, ref more @ ..] = words[..] else { return Said::Left };
        let (Ok(priority), true) = (priority.parse(), is_name(name)) else { return Said::Left };
        let group = self.0.entry(name.to_owned()).or_default();
        group.link = link.to_owned();
        group.packages.insert(package.to_owned());
        let mut choice = Choice { priority, ..Choice::default() };
        for slave in more.chunks(4) {
            let ["--slave", link, name, path] = *slave else { break };
            if is_name(name) {
                group.slaves.insert(name.to_owned(), link.to_owned());
                choice.slaves.insert(name.to_owned(), path.to_owned());
            }
        }
        group.choices.insert(path.to_owned(), choice);
        Said::Applied(None)
    }

    pub(super) fn finish(self, files: &mut Files<'_>, outcome: &mut Outcome) -> io::Result<()> {
        for (name, mut group) in self.0 {
            let database = TreePath::new(&format!("{DATABASE}/{name}")).map_err(io::Error::other)?;
            if let Some(text) = files.read(&database)? {
                group.add_known(&String::from_utf8_lossy(&text));
            }
            let is_made = group.make(&name, &database, files)?;
            let is_dropped = |path: &String| place(path).is_some_and(|path| files.is_dropped(&path));
            if !is_made && group.choices.keys().all(is_dropped) {
                continue;
            }
            for package in &group.packages {
                let said = if is_made { Said::Applied(Some(group.link.clone())) } else { Said::Left };
                outcome.note(package, "alternatives", said);
            }
        }
        Ok(())
    }
}

impl Group {
    /// Makes the links to the best choice. `false` if there is none, or something else has the name.
    fn make(&self, name: &str, database: &TreePath, files: &mut Files<'_>) -> io::Result<bool> {
        let exists = |path: &str, files: &Files<'_>| place(path).is_some_and(|path| files.has(&path));
        let choices = self.choices.iter().filter(|(path, _)| exists(path, files));
        let Some((path, choice)) = choices.max_by_key(|(path, choice)| (choice.priority, std::cmp::Reverse(*path)))
        else {
            return Ok(false);
        };
        if !link(&self.link, name, path, files)? {
            return Ok(false);
        }
        for (slave, at) in &self.slaves {
            if let Some(path) = choice.slaves.get(slave).filter(|path| exists(path, files)) {
                link(at, slave, path, files)?;
            }
        }
        let entry = Entry { mtime: files.mtime, ..Entry::file(self.text(), 0o644, &files.origin) };
        files.made.insert(database.clone(), entry);
        Ok(true)
    }

    /// The text in dpkg's database: mode, link, slaves, an empty line, and the choices with an empty line after the last one.
    fn text(&self) -> String {
        let mut text = format!("auto\n{}\n", self.link);
        for (name, link) in &self.slaves {
            text.push_str(&format!("{name}\n{link}\n"));
        }
        text.push('\n');
        for (path, choice) in &self.choices {
            text.push_str(&format!("{path}\n{}\n", choice.priority));
            for name in self.slaves.keys() {
                text.push_str(choice.slaves.get(name).map_or("", String::as_str));
                text.push('\n');
            }
        }
        text + "\n"
    }

    /// Adds the choices of layers below, as [`Self::text`] has them.
    fn add_known(&mut self, text: &str) {
        let mut lines = text.lines().skip(2);
        let mut names = Vec::new();
        while let Some(name) = lines.next().filter(|name| !name.is_empty()) {
            let Some(link) = lines.next() else { return };
            self.slaves.entry(name.to_owned()).or_insert_with(|| link.to_owned());
            names.push(name.to_owned());
        }
        while let Some(path) = lines.next().filter(|path| !path.is_empty()) {
            let Some(priority) = lines.next().and_then(|priority| priority.parse().ok()) else { return };
            let paths: Vec<&str> = lines.by_ref().take(names.len()).collect();
            let slaves = names.iter().zip(paths).filter(|(_, path)| !path.is_empty());
            let slaves = slaves.map(|(name, path)| (name.clone(), path.to_owned())).collect();
            self.choices.entry(path.to_owned()).or_insert(Choice { priority, slaves });
        }
    }
}

/// Links `at` to `/etc/alternatives/NAME`, and that to `path`; unless something else is there.
fn link(at: &str, name: &str, path: &str, files: &mut Files<'_>) -> io::Result<bool> {
    let own = format!("/etc/alternatives/{name}");
    let (Some(at), Some(middle)) = (place(at), place(&own)) else { return Ok(false) };
    let is_free = match files.tree.get(&at).map(|entry| &entry.kind) {
        Some(Kind::Symlink(target)) => *target == own,
        Some(_) => false,
        None => match files.below.listing.get(&at).map(|listed| &listed.node) {
            Some(crate::listing::Node::Symlink { target }) => *target == own,
            Some(_) => false,
            None => true,
        },
    };
    if is_free {
        files.link(at, &own);
        files.link(middle, path);
    }
    Ok(is_free)
}

/// Whether a text is the name of an alternative: one component of a path.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\n'])
}
