//! What of an archive is in an image: where, and with which metadata.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::ArchiveError;
use super::links::Walk;
use crate::tree::{Entry, Kind, Pattern, Tree, TreePath};

/// How an archive is unpacked.
#[derive(Clone, Debug, Default)]
pub struct Placement {
    /// The folder; `None` for the root of the image.
    pub path: Option<TreePath>,
    /// How many first components the paths in the archive lose.
    pub strip: usize,
    /// Paths that are left out, below the folder.
    pub drop: Vec<Pattern>,
    /// Paths that stay although they are among those.
    pub keep: Vec<Pattern>,
    /// Files that are programs, whether the archive says so or not.
    pub programs: Vec<Pattern>,
    /// Permission bits of files. Programs and folders can also be executed by those who may read. Default: `0o644`.
    pub mode: Option<u32>,
    /// Numeric user and group of everything.
    pub owner: (u32, u32),
}

/// An archive as it is in an image.
#[derive(Clone, Debug)]
pub struct Placed {
    /// Its files, by their paths in the image.
    pub tree: Tree,
    /// The paths below the folder that a pattern of [`Placement::drop`] matches.
    pub dropped: BTreeSet<TreePath>,
    /// The paths of its files below the folder.
    pub files: BTreeSet<TreePath>,
}

impl Placement {
    /// Places the members of an archive ([`super::open`]).
    ///
    /// # Errors
    /// [`ArchiveError`]: what is left has links that lead out of it, or paths that do not fit together.
    pub fn place(&self, archive: Tree, origin: &Arc<str>) -> Result<Placed, ArchiveError> {
        let matches = |patterns: &[Pattern], path: &TreePath| patterns.iter().any(|pattern| pattern.matches(path));
        let (mut kept, mut dropped, mut dropped_files) = (Tree::new(), BTreeSet::new(), BTreeMap::new());
        for (path, mut entry) in archive.into_entries() {
            let is_directory = matches!(entry.kind, Kind::Directory);
            let Some(inner) = self.stripped(&path) else {
                // A directory above what is unpacked, or a file beside one.
                if !is_directory && !matches(&self.drop, &path) {
                    return Err(ArchiveError::Strip(path, self.strip));
                }
                dropped.extend((!is_directory).then_some(path));
                continue;
            };
            if let Kind::Hardlink(target) = &entry.kind {
                let target = self.stripped(target).ok_or_else(|| ArchiveError::Hardlink(path.clone()))?;
                entry.kind = Kind::Hardlink(target);
            }
            if matches(&self.drop, &inner) {
                dropped.insert(inner.clone());
                if !matches(&self.keep, &inner) {
                    if let Kind::File(_) = entry.kind {
                        dropped_files.insert(inner, entry);
                    }
                    continue;
                }
            }
            if let Some(first) = kept.insert(inner.clone(), entry)
                && !(is_directory && matches!(first.kind, Kind::Directory))
            {
                return Err(ArchiveError::Twice(inner));
            }
        }
        resolve_hardlinks(&mut kept, dropped_files)?;
        check_parents(&kept)?;
        let files =
            kept.iter().filter(|(_, entry)| !matches!(entry.kind, Kind::Directory)).map(|(path, _)| path.clone());
        let files: BTreeSet<TreePath> = files.collect();
        if files.is_empty() {
            return Err(ArchiveError::Empty);
        }
        Ok(Placed { tree: self.moved(kept, origin)?, dropped, files })
    }

    /// The path without its first components; `None` if nothing is left.
    fn stripped(&self, path: &TreePath) -> Option<TreePath> {
        let rest = path.as_str().splitn(self.strip + 1, '/').nth(self.strip)?;
        TreePath::new(rest).ok()
    }

    /// The tree below the folder, with the metadata that it has in an image, and with all folders down to its files.
    fn moved(&self, kept: Tree, origin: &Arc<str>) -> Result<Tree, ArchiveError> {
        let mode = self.mode.unwrap_or(0o644);
        // As `X` of chmod(1).
        let executable = mode | (mode & 0o444) >> 2;
        let (uid, gid) = self.owner;
        let at = |path: &TreePath| match &self.path {
            Some(folder) => folder.join(path.as_str()),
            None => Ok(path.clone()),
        };
        let mut tree = Tree::new();
        let folder = || Entry::directory(executable, origin).owned_by(uid, gid);
        if let Some(path) = &self.path {
            tree.insert(path.clone(), folder());
        }
        for (path, mut entry) in kept.into_entries() {
            let mut above = path.parent();
            while let Some(parent) = above {
                let place = at(&parent)?;
                if tree.get(&place).is_some() {
                    break;
                }
                tree.insert(place, folder());
                above = parent.parent();
            }
            let is_program = entry.mode & 0o111 != 0 || self.programs.iter().any(|pattern| pattern.matches(&path));
            match &entry.kind {
                Kind::Directory => entry.mode = executable,
                Kind::File(_) => entry.mode = if is_program { executable } else { mode },
                Kind::Symlink(_) => entry.mode = 0o777,
                Kind::Hardlink(target) => {
                    // It is the same file: its metadata are those of the other path.
                    let target = at(target)?;
                    entry.mode = tree.get(&target).map_or(mode, |file| file.mode);
                    entry.kind = Kind::Hardlink(target);
                }
            }
            (entry.uid, entry.gid) = (uid, gid);
            entry.xattrs = BTreeMap::new();
            tree.insert(at(&path)?, entry);
        }
        let mut walk = Walk::new(&tree, self.path.as_ref());
        for (path, entry) in tree.iter() {
            if let Kind::Symlink(target) = &entry.kind
                && walk.leads_out(path, target)?
            {
                return Err(ArchiveError::LeadsOut { path: path.clone(), target: target.clone() });
            }
        }
        Ok(tree)
    }
}

/// Makes each hard link one to a file that is kept and has an earlier path. Of links to a file that is dropped, the first one
/// becomes the file.
fn resolve_hardlinks(kept: &mut Tree, mut dropped: BTreeMap<TreePath, Entry>) -> Result<(), ArchiveError> {
    let mut names: BTreeMap<TreePath, Vec<TreePath>> = BTreeMap::new();
    for (path, entry) in kept.iter() {
        if let Kind::Hardlink(target) = &entry.kind {
            names.entry(target.clone()).or_default().push(path.clone());
        }
    }
    for (target, mut links) in names {
        let is_file = |entry: &&Entry| matches!(entry.kind, Kind::File(_));
        let file = kept.get(&target).filter(is_file).cloned();
        if file.is_some() {
            links.push(target.clone());
        }
        let file = file.or_else(|| dropped.remove(&target)).ok_or_else(|| ArchiveError::Hardlink(links[0].clone()))?;
        links.sort();
        for link in &links[1..] {
            kept.insert(link.clone(), Entry { kind: Kind::Hardlink(links[0].clone()), ..file.clone() });
        }
        kept.insert(links[0].clone(), file);
    }
    Ok(())
}

/// Checks that only directories have something below them.
fn check_parents(tree: &Tree) -> Result<(), ArchiveError> {
    // The directory of the path before, which most paths share.
    let mut last: Option<TreePath> = None;
    for (path, _) in tree.iter() {
        let mut above = path.parent();
        while let Some(parent) = above.filter(|parent| Some(parent) != last.as_ref()) {
            if tree.get(&parent).is_some_and(|entry| !matches!(entry.kind, Kind::Directory)) {
                return Err(ArchiveError::Behind { path: path.clone(), above: parent });
            }
            above = parent.parent();
        }
        last = path.parent();
    }
    Ok(())
}
