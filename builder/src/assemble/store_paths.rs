//! Layers of a Nix closure.

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_layers::ingredients::nix_store;
use sealift_layers::listing::{Listing, Node};
use sealift_layers::tree::{Tree, TreePath};

use super::Assembler;
use crate::nix;

impl Assembler<'_> {
    /// The files of store paths of an image's closure.
    pub(super) fn store_paths_tree(&self, paths: &[String], lower: &Listing) -> Result<Tree> {
        let mut folder = Some(TreePath::new(nix_store::STORE)?);
        while let Some(path) = folder {
            if let Some(below) = lower.get(&path).filter(|below| (&below.node, below.mode) != (&Node::Directory, 0o755))
            {
                let message = format!("`/{path}` of {} is in the way of the Nix store", below.origin);
                return Err(Failure::failed(message).hint("`drop` it from the image").into());
            }
            folder = path.parent();
        }
        nix::tree(paths, &self.plan.options.nix_store)
    }
}
