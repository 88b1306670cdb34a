//! Apache's parts: `a2enmod`, `a2enconf` and `a2ensite` link them into the folders that the server reads (a2enmod(8)).
//!
//! Packages call these themselves, or `apache2_invoke` and `apache2_switch_mpm` of Debian's helper for their scripts, which
//! wait until the package `apache2` has enabled its own parts.

use std::io;

use super::{Files, Outcome, Said, Words};
use crate::tree::{Entry, Kind, TreePath};

/// Where everything of Apache is.
const FOLDER: &str = "etc/apache2";
/// The package of the server.
const SERVER: &str = "apache2";
/// Deepest dependencies of modules: they may depend on each other.
const DEPTH: usize = 8;

/// What packages enable, in the order of their scripts.
#[derive(Default)]
pub(super) struct Apache(Vec<Act>);

struct Act {
    package: String,
    /// As in `a2enmod`.
    program: String,
    /// `None`: only a running shell knows it.
    name: Option<String>,
    is_switch: bool,
}

impl Apache {
    /// `a2enmod [OPTION]... NAME...` and the like, `apache2_invoke enmod NAME [ACTION]`, or `apache2_switch_mpm NAME`.
    pub(super) fn command(&mut self, package: &str, program: &str, words: Words<'_>) -> Said {
        let words: Vec<Option<&str>> = words.iter().map(Option::as_deref).collect();
        let names = || words.iter().copied().filter(|word| word.is_none_or(|word| !word.starts_with('-')));
        match (program, &words[..]) {
            ("apache2_switch_mpm", _) => {
                let name = names().next().flatten().map(|name| format!("mpm_{}", name.trim_start_matches("mpm_")));
                self.add(package, "a2enmod", name.as_deref(), true)
            }
            ("apache2_invoke", [Some(act), name, ..]) if act.starts_with("en") => {
                self.add(package, &format!("a2{act}"), *name, false)
            }
            // Only where a package is removed.
            ("apache2_invoke", _) => Said::Applied(None),
            _ => {
                for name in names() {
                    self.add(package, program, name, false);
                }
                Said::Applied(None)
            }
        }
    }

    fn add(&mut self, package: &str, program: &str, name: Option<&str>, is_switch: bool) -> Said {
        let name = name.map(|name| name.trim_end_matches(".load").trim_end_matches(".conf").to_owned());
        let (package, program) = (package.to_owned(), program.to_owned());
        self.0.push(Act { package, program, name, is_switch });
        // At the end, whether there is a server is known.
        Said::Applied(None)
    }

    /// Makes the links. Without the server in the image, nothing is done, as in the scripts.
    pub(super) fn finish(self, files: &mut Files<'_>, outcome: &mut Outcome) -> io::Result<()> {
        if !files.has(&path("usr/sbin/a2enmod")?) {
            return Ok(());
        }
        let (mut acts, others): (Vec<Act>, Vec<Act>) = self.0.into_iter().partition(|act| act.package == SERVER);
        acts.extend(others);
        let mut done = Vec::new();
        for Act { package, program, name, is_switch } in acts {
            let Some(name) = name else {
                // The server's script does what others have put off: it is read from theirs.
                if package != SERVER {
                    outcome.note(&package, &program, Said::Left);
                }
                continue;
            };
            let folder = match program.as_str() {
                "a2enmod" | "a2dismod" => "mods",
                "a2enconf" | "a2disconf" => "conf",
                _ => "sites",
            };
            let is_fine = if program.starts_with("a2dis") {
                // A branch that is not taken may have it.
                !is_enabled(folder, &name, files)?
            } else {
                if is_switch && is_available(folder, &name, files)? {
                    disable_others(&name, files)?;
                }
                is_dropped(folder, &name, files) || enable(folder, &name, files, DEPTH)?
            };
            done.push((package, program, folder, name, is_fine));
        }
        for (package, program, folder, name, is_fine) in done {
            if !is_fine {
                outcome.note(&package, &format!("{program} ({name})"), Said::Left);
            } else if program.starts_with("a2en") && (!name.starts_with("mpm_") || is_enabled(folder, &name, files)?) {
                outcome.note(&package, &program, Said::Applied(Some(name)));
            }
        }
        Ok(())
    }
}

/// Links a part and what it depends on. Returns whether it is enabled then.
fn enable(folder: &str, name: &str, files: &mut Files<'_>, depth: usize) -> io::Result<bool> {
    // Programs of this module do not work beside threads.
    let is_threaded = ["mpm_event", "mpm_worker"].into_iter().map(|mpm| is_enabled("mods", mpm, files));
    let is_threaded = is_threaded.collect::<io::Result<Vec<bool>>>()?.contains(&true);
    let name = if (folder, name) == ("mods", "cgi") && is_threaded { "cgid" } else { name };
    if depth == 0 || !is_available(folder, name, files)? {
        return Ok(false);
    }
    if is_enabled(folder, name, files)? {
        return Ok(true);
    }
    let file = path(&format!("{FOLDER}/{folder}-available/{name}.{}", suffix(folder)))?;
    let text = files.read(&file)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    for needed in listed(&text, "Depends") {
        let is_there = if folder == "mods" {
            enable("mods", needed, files, depth - 1)?
        } else {
            is_enabled("mods", needed, files)?
        };
        if !is_there {
            return Ok(false);
        }
    }
    for other in listed(&text, "Conflicts") {
        if folder == "mods" && is_enabled("mods", other, files)? {
            return Ok(false);
        }
    }
    for suffix in ["conf", suffix(folder)] {
        let target = format!("{folder}-available/{name}.{suffix}");
        if files.has(&path(&format!("{FOLDER}/{target}"))?) {
            let at = path(&format!("{FOLDER}/{folder}-enabled/{name}.{suffix}"))?;
            files.link(at, &format!("../{target}"));
        }
    }
    Ok(true)
}

/// Disables the other modules for processes (MPM): the server has one. A layer below cannot lose a file: an empty one replaces it.
fn disable_others(name: &str, files: &mut Files<'_>) -> io::Result<()> {
    let folder = path(&format!("{FOLDER}/mods-enabled"))?;
    let kept = format!("{name}.");
    for file in files.names(&folder) {
        if !file.starts_with("mpm_") || file.starts_with(&kept) {
            continue;
        }
        let at = path(&format!("{folder}/{file}"))?;
        files.made.remove(&at);
        if files.has(&at) {
            let empty = Entry { mtime: files.mtime, ..Entry::file("", 0o644, &files.origin) };
            files.made.insert(at, empty);
        }
    }
    Ok(())
}

fn is_available(folder: &str, name: &str, files: &Files<'_>) -> io::Result<bool> {
    let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || "._-+".contains(c)) && !name.starts_with('.');
    Ok(is_name && files.has(&path(&format!("{FOLDER}/{folder}-available/{name}.{}", suffix(folder)))?))
}

/// Whether the profile leaves a part out.
fn is_dropped(folder: &str, name: &str, files: &Files<'_>) -> bool {
    let file = TreePath::new(&format!("{FOLDER}/{folder}-available/{name}.{}", suffix(folder)));
    file.is_ok_and(|file| files.is_dropped(&file))
}

fn is_enabled(folder: &str, name: &str, files: &Files<'_>) -> io::Result<bool> {
    if name.contains('/') {
        return Ok(false);
    }
    let at = path(&format!("{FOLDER}/{folder}-enabled/{name}.{}", suffix(folder)))?;
    Ok(match files.made.get(&at) {
        Some(entry) => matches!(entry.kind, Kind::Symlink(_)),
        None => files.has(&at),
    })
}

/// What decides whether a part is there.
fn suffix(folder: &str) -> &'static str {
    if folder == "mods" { "load" } else { "conf" }
}

/// The modules of a line `# Depends: a b` before the first directive.
fn listed<'a>(text: &'a str, kind: &str) -> Vec<&'a str> {
    let mut head = text.lines().take_while(|line| line.trim_start().is_empty() || line.trim_start().starts_with('#'));
    let names = head.find_map(|line| line.strip_prefix("# ")?.strip_prefix(kind)?.strip_prefix(':'));
    names.map(|names| names.split_ascii_whitespace().collect()).unwrap_or_default()
}

fn path(text: &str) -> io::Result<TreePath> {
    TreePath::new(text).map_err(io::Error::other)
}
