//! Where symbolic links lead.

use crate::limits::{DEPTH, Exceeded, MEMBERS};
use crate::tree::{Kind, Tree, TreePath};

/// How many links a path may go through. Linux has the same limit.
const MAX_LINKS: usize = 40;

/// How many components the links of one archive may lead through together.
const STEPS: u64 = 20 * MEMBERS;

/// Follows the links of an archive.
pub(super) struct Walk<'a> {
    tree: &'a Tree,
    root: Vec<&'a str>,
    steps: u64,
}

impl<'a> Walk<'a> {
    /// `root` is the folder that `tree`, of paths in the image, was unpacked into; `None` for the root of the image.
    pub(super) fn new(tree: &'a Tree, root: Option<&'a TreePath>) -> Self {
        let root = root.map_or(Vec::new(), |root| root.as_str().split('/').collect());
        Self { tree, root, steps: 0 }
    }

    /// Whether the symbolic link at `path` leads to a place that is not below the root, or to none, as it is part of a loop. One
    /// to a path below the root that does not exist is allowed.
    ///
    /// # Errors
    /// The links lead through too many components.
    pub(super) fn leads_out(&mut self, path: &TreePath, target: &str) -> Result<bool, Exceeded> {
        let mut at: Vec<String> = path.as_str().split('/').map(str::to_owned).collect();
        at.pop();
        // What is still to be walked, the next component last.
        let mut ahead: Vec<String> = Vec::new();
        let mut links = 0;
        let mut next = Some(target.to_owned());
        loop {
            if let Some(target) = next.take() {
                links += 1;
                if links > MAX_LINKS || target.contains('\0') {
                    return Ok(true);
                }
                let mut parts: Vec<&str> = target.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
                if target.starts_with('/') {
                    if !parts.starts_with(&self.root) {
                        return Ok(true);
                    }
                    parts.drain(..self.root.len());
                    at = self.root.iter().map(|part| (*part).to_owned()).collect();
                }
                ahead.extend(parts.into_iter().rev().map(str::to_owned));
            }
            let Some(part) = ahead.pop() else { return Ok(false) };
            self.steps += 1;
            if self.steps > STEPS {
                return Err(Exceeded::Count(STEPS, "components of paths through links"));
            }
            if part == ".." {
                if at.len() <= self.root.len() {
                    return Ok(true);
                }
                at.pop();
                continue;
            }
            at.push(part);
            if at.len() > DEPTH {
                return Ok(true);
            }
            let here = TreePath::new(&at.join("/")).ok();
            if let Some(Kind::Symlink(target)) = here.and_then(|here| self.tree.get(&here)).map(|entry| &entry.kind) {
                at.pop();
                next = Some(target.clone());
            }
        }
    }
}
