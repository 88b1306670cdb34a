//! PHP's modules: `phpenmod` links the configuration of each into the folder of each interface (SAPI) that is installed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::{Files, Outcome, Said, Words, place};
use crate::tree::TreePath;

/// The place of a module among the others, if its file does not say so.
const PRIORITY: u32 = 20;

/// In place of a version: all that have the module.
const ALL: &str = "ALL";

/// Modules that packages enable: package to versions of PHP and modules.
#[derive(Default)]
pub(super) struct Php(BTreeMap<String, BTreeSet<(String, String)>>);

impl Php {
    /// `php_invoke enmod VERSION SAPI MODULE`, or `phpenmod [-v VERSION] [-s SAPI] MODULE...`. Modules are enabled for
    /// every interface, as packages do; without a version for all.
    pub(super) fn command(&mut self, package: &str, program: &str, words: Words<'_>) -> Said {
        let words: Vec<Option<&str>> = words.iter().map(Option::as_deref).collect();
        match (program, &words[..]) {
            // Of an interface, for all modules: see `finish`.
            ("php_invoke", [Some("enmod"), Some(_), Some(_), None]) => Said::Applied(None),
            ("php_invoke", [Some("enmod"), Some(version), Some(_), Some(module)]) => self.add(package, version, module),
            ("php_invoke", [Some("enmod"), ..]) => Said::Left,
            ("php_invoke", _) => Said::Applied(None),
            (_, words) => {
                let (mut version, mut said, mut words) = (ALL, Said::Applied(None), words.iter());
                while let Some(word) = words.next() {
                    let is_done = match word {
                        Some("-v") => match words.next() {
                            Some(Some(known)) => {
                                version = known;
                                true
                            }
                            _ => return Said::Left,
                        },
                        Some("-s") => words.next().is_some(),
                        Some(option) if option.starts_with('-') => true,
                        Some(module) => !matches!(self.add(package, version, module), Said::Left),
                        None => false,
                    };
                    said = if is_done { said } else { Said::Left };
                }
                said
            }
        }
    }

    fn add(&mut self, package: &str, version: &str, module: &str) -> Said {
        if [version, module].iter().any(|text| text.is_empty() || text.contains('/') || text.starts_with('.')) {
            return Said::Left;
        }
        self.0.entry(package.to_owned()).or_default().insert((version.to_owned(), module.to_owned()));
        Said::Applied(None)
    }

    /// Links the modules of these packages for all interfaces, and those of the layers below for the interfaces of these
    /// packages.
    pub(super) fn finish(self, files: &mut Files<'_>, outcome: &mut Outcome) -> io::Result<()> {
        for (package, modules) in &self.0 {
            for (version, module) in modules {
                let is_linked = if version.eq_ignore_ascii_case(ALL) {
                    let mut is_linked = false;
                    for version in files.names(&path("etc/php")?) {
                        is_linked |= link(&version, module, files)?;
                    }
                    is_linked
                } else {
                    link(version, module, files)?
                };
                let said = if is_linked { Said::Applied(Some(module.clone())) } else { Said::Left };
                outcome.note(package, "phpenmod", said);
            }
        }
        for version in files.names(&path("usr/lib/php")?) {
            let folder = path(&format!("usr/lib/php/{version}/sapi"))?;
            if files.tree.below(&folder).next().is_none() {
                continue;
            }
            for name in files.names(&path(&format!("etc/php/{version}/mods-available"))?) {
                let Some(module) = name.strip_suffix(".ini") else { continue };
                if files.below.listing.contains_key(&path(&format!("etc/php/{version}/mods-available/{name}"))?) {
                    link(&version, module, files)?;
                }
            }
        }
        Ok(())
    }
}

fn link(version: &str, module: &str, files: &mut Files<'_>) -> io::Result<bool> {
    let target = format!("/etc/php/{version}/mods-available/{module}.ini");
    let Some(text) = place(&target).map(|at| files.read(&at)).transpose()?.flatten() else { return Ok(false) };
    let text = String::from_utf8_lossy(&text);
    let priority = text.lines().find_map(|line| line.trim_start_matches([';', ' ', '\t']).strip_prefix("priority="));
    let priority = priority.and_then(|text| text.trim().parse().ok()).unwrap_or(PRIORITY);
    for interface in files.names(&path(&format!("usr/lib/php/{version}/sapi"))?) {
        let at = path(&format!("etc/php/{version}/{interface}/conf.d/{priority:02}-{module}.ini"))?;
        if !files.has(&at) {
            files.link(at, &target);
        }
    }
    Ok(true)
}

fn path(text: &str) -> io::Result<TreePath> {
    TreePath::new(text).map_err(io::Error::other)
}
