//! PHP's modules: `phpenmod` links the configuration of each into the folder of each interface (SAPI) that is installed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::{Files, Outcome, Said, Words, place};
use crate::tree::TreePath;

/// The place of a module among the others, if its file does not say so.
const PRIORITY: u32 = 20;

/// Modules that packages enable: package to versions of PHP and modules.
#[derive(Default)]
pub(super) struct Php(BTreeMap<String, BTreeSet<(String, String)>>);

impl Php {
    /// `php_invoke enmod VERSION SAPI MODULE`, or `phpenmod -v VERSION -s SAPI MODULE...`. Modules are enabled for every
    /// interface, as packages do.
    pub(super) fn command(&mut self, package: &str, program: &str, words: Words<'_>) -> Said {
        let words: Vec<Option<&str>> = words.iter().map(Option::as_deref).collect();
        match (program, &words[..]) {
            // Of an interface, for all modules: see `finish`.
            ("php_invoke", [Some("enmod"), Some(_), Some(_), None]) => Said::Applied(None),
            ("php_invoke", [Some("enmod"), Some(version), Some(_), Some(module)]) => self.add(package, version, module),
            ("php_invoke", [Some("enmod"), ..]) => Said::Left,
            ("php_invoke", _) => Said::Applied(None),
            (_, [Some("-v"), Some(version), Some("-s"), Some(_), modules @ ..])
            | (_, [Some("-v"), Some(version), modules @ ..]) => {
                let mut said = Said::Applied(None);
                for module in modules {
                    said = match module {
                        Some(module) => self.add(package, version, module),
                        None => Said::Left,
                    };
                }
                said
            }
            _ => Said::Left,
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
                let is_linked = link(version, module, files)?;
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
