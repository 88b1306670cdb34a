//! What files of an image refer to by a path or a name: symbolic links, and the commands of wheels.

use super::files::Found;
use super::{ImageFiles, Program};
use crate::listing::Node;
use crate::tree::TreePath;

/// A symbolic link that leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostLink {
    /// The link.
    pub path: TreePath,
    /// Its target as it is written in the link.
    pub target: String,
    /// Where it leads, as far as that can be told without following other links.
    pub leads_to: TreePath,
    /// The ingredient that it comes from.
    pub origin: String,
}

/// A command of a wheel whose Python module is in no file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostModule {
    /// The script.
    pub path: TreePath,
    /// The module.
    pub module: String,
    /// The wheel.
    pub origin: String,
}

impl ImageFiles<'_> {
    /// The symbolic links that lead nowhere, sorted by path. What a container has besides its image may be there.
    pub fn lost_links(&self) -> impl Iterator<Item = LostLink> {
        self.listing.iter().filter_map(|(path, entry)| {
            let Node::Symlink { target } = &entry.node else { return None };
            let leads_to = leads_to(path, target)?;
            let is_lost = matches!(self.find(path.as_str()), Found::Nothing);
            let (path, target, origin) = (path.clone(), target.clone(), entry.origin.clone());
            is_lost.then_some(LostLink { path, target, leads_to, origin })
        })
    }

    /// The commands of wheels whose module is neither in their environment nor in Python's standard library, sorted by path.
    pub fn lost_modules(&self) -> impl Iterator<Item = LostModule> {
        self.programs.iter().filter_map(|(path, program)| {
            let Program::Script { module: Some(module), .. } = program else { return None };
            let entry = self.listing.get(path)?;
            let environment = path.parent()?.parent()?;
            let is_lost = entry.origin.starts_with("wheel ") && !self.has_module(&environment, module);
            let (path, module, origin) = (path.clone(), module.clone(), entry.origin.clone());
            is_lost.then_some(LostModule { path, module, origin })
        })
    }

    /// Whether a module is a file, or a package a folder, as Python's import system looks for them.
    fn has_module(&self, environment: &TreePath, module: &str) -> bool {
        let file = module.replace('.', "/");
        let pythons = |library: &str| {
            let start = format!("{library}/python3");
            let first = TreePath::new(&start).ok();
            let paths = first.into_iter().flat_map(|first| self.listing.range(first..)).map(|(path, _)| path);
            let paths = paths.take_while(move |path| path.as_str().starts_with(&start));
            let depth = library.split('/').count() + 1;
            paths.filter(move |path| path.as_str().split('/').count() == depth).cloned().collect::<Vec<_>>()
        };
        let site = pythons(&format!("{environment}/lib")).into_iter().map(|python| format!("{python}/site-packages"));
        let standard = pythons("usr/lib").into_iter().map(|python| python.to_string());
        site.chain(standard).any(|folder| self.has_file_of_module(&format!("{folder}/{file}")))
    }

    /// `PATH.py`, `PATH.so` with any tag, or the folder `PATH`.
    fn has_file_of_module(&self, path: &str) -> bool {
        let Ok(first) = TreePath::new(path) else { return false };
        let found = self.listing.range(first..).map(|(found, _)| found.as_str());
        found.take_while(|found| found.starts_with(path)).any(|found| match &found[path.len()..] {
            "" => true,
            rest => rest.strip_prefix('.').is_some_and(|rest| {
                !rest.contains('/') && [".py", ".pyc", ".so"].iter().any(|end| format!(".{rest}").ends_with(end))
            }),
        })
    }
}

/// The target of a link at `path`. `None` for the root, or what leads out of it.
fn leads_to(path: &TreePath, target: &str) -> Option<TreePath> {
    let mut at: Vec<&str> = match target.strip_prefix('/') {
        Some(_) => Vec::new(),
        None => path.as_str().rsplit_once('/').map(|(folder, _)| folder.split('/').collect()).unwrap_or_default(),
    };
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(at.pop()),
            part => at.push(part),
        }
    }
    TreePath::new(&at.join("/")).ok()
}
