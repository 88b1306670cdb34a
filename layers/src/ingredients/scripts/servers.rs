//! `ln -s`: links to files that packages have, such as parts of a server that they enable; and `lighty-enable-mod`.

use std::io;

use super::{Files, Outcome, Said, Words, place};
use crate::tree::TreePath;

/// Folders of servers where packages link their own parts. A link elsewhere that leads nowhere is for another system.
const FOLDERS: [&str; 2] = ["etc/nginx/modules-enabled/", "etc/lighttpd/conf-enabled/"];
/// An example, which keeps the server of an image with a site of its own from starting without rights to port 80.
const EXAMPLE: &str = "etc/nginx/sites-enabled/";
/// Where lighttpd has its parts, with numbers before their names.
const LIGHTTPD: &str = "etc/lighttpd";
/// The page of a server that nobody has configured: an image is configured.
const PLACEHOLDER: &str = "unconfigured";
/// Deepest dependencies of parts.
const DEPTH: usize = 8;

/// Links and parts that packages enable. All files are known at the end.
#[derive(Default)]
pub(super) struct Parts {
    /// Package, target and path.
    links: Vec<(String, String, TreePath)>,
    /// Package and name.
    lighttpd: Vec<(String, String)>,
}

impl Parts {
    /// `ln -s TARGET PATH`. `asks`: the script has questions, whose answers may decide.
    pub(super) fn link(&mut self, package: &str, words: Words<'_>, asks: bool) -> Said {
        let (options, paths): (Vec<_>, Vec<_>) =
            words.iter().map(Option::as_deref).partition(|word| word.is_some_and(|word| word.starts_with('-')));
        let is_symbolic = options.iter().flatten().any(|option| option.contains('s'));
        let known: Vec<&str> = paths.iter().copied().flatten().collect();
        // The links at the top are those of a merged `/usr`.
        let is_possible = |path: &TreePath| {
            is_symbolic && path.parent().is_some() && !path.as_str().starts_with(EXAMPLE) && (!asks || is_part(path))
        };
        let last = paths.last().copied().flatten().and_then(place).filter(is_possible);
        match (last, &known[..]) {
            (Some(at), [target, _]) if paths.len() == 2 => {
                self.links.push((package.to_owned(), (*target).to_owned(), at));
                Said::Applied(None)
            }
            (Some(at), _) if is_part(&at) => Said::Left,
            _ => Said::Applied(None),
        }
    }

    /// `lighty-enable-mod NAME...` (also `lighttpd-enable-mod`).
    pub(super) fn lighttpd(&mut self, package: &str, words: Words<'_>) -> Said {
        let mut said = Said::Applied(None);
        for word in words {
            match word.as_deref() {
                Some(PLACEHOLDER) => {}
                Some(name) => self.lighttpd.push((package.to_owned(), name.to_owned())),
                None => said = Said::Left,
            }
        }
        said
    }

    pub(super) fn finish(self, files: &mut Files<'_>, outcome: &mut Outcome) -> io::Result<()> {
        let has_lighttpd = files.has(&path("usr/sbin/lighty-enable-mod")?);
        for (package, target, at) in self.links {
            let from = if target.starts_with('/') { place(&target) } else { beside(&at, &target) };
            // Packages have parts for servers that the image does not have.
            let is_for_none = at.as_str().starts_with(LIGHTTPD) && !has_lighttpd;
            if files.has(&at) || is_for_none {
                continue;
            }
            let said = if from.is_some_and(|from| files.has(&from)) {
                files.link(at.clone(), &target);
                Said::Applied(Some(format!("/{at}")))
            } else if is_part(&at) {
                Said::Left
            } else {
                Said::Applied(None)
            };
            outcome.note(&package, "ln", said);
        }
        for (package, name) in self.lighttpd {
            if has_lighttpd {
                let said = if enable(&name, files, DEPTH)? { Said::Applied(Some(name.clone())) } else { Said::Left };
                outcome.note(&package, "lighty-enable-mod", said);
            }
        }
        Ok(())
    }
}

/// Links a part of lighttpd and what it depends on.
fn enable(name: &str, files: &mut Files<'_>, depth: usize) -> io::Result<bool> {
    let available = files.names(&path(&format!("{LIGHTTPD}/conf-available"))?);
    let is_file = |file: &&String| {
        file.strip_suffix(".conf").and_then(|file| file.split_once('-')).is_some_and(|(number, rest)| {
            !number.is_empty() && number.bytes().all(|c| c.is_ascii_digit()) && rest == name
        })
    };
    let Some(file) = available.iter().find(is_file).filter(|_| depth > 0) else { return Ok(false) };
    let at = path(&format!("{LIGHTTPD}/conf-enabled/{file}"))?;
    if files.has(&at) {
        return Ok(true);
    }
    let text = files.read(&path(&format!("{LIGHTTPD}/conf-available/{file}"))?)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let needed = text.lines().filter_map(|line| line.split_once("# -*- depends: ")?.1.split_once(" -*-"));
    for needed in needed.flat_map(|(names, _)| names.split(',')) {
        if !enable(needed.trim(), files, depth - 1)? {
            return Ok(false);
        }
    }
    files.link(at, &format!("../conf-available/{file}"));
    Ok(true)
}

fn is_part(path: &TreePath) -> bool {
    FOLDERS.iter().any(|folder| path.as_str().starts_with(folder))
}

/// The path of a relative target.
fn beside(link: &TreePath, target: &str) -> Option<TreePath> {
    let (mut folder, mut target) = (link.parent()?, target);
    while let Some(rest) = target.strip_prefix("../") {
        (folder, target) = (folder.parent()?, rest);
    }
    folder.join(target).ok()
}

fn path(text: &str) -> io::Result<TreePath> {
    TreePath::new(text).map_err(io::Error::other)
}
