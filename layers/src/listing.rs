//! What a layer holds, without the bytes: kept beside a layer so that the next one up can be made to agree with it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::tree::TreePath;

/// What one path of a layer is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Node {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// Length in bytes.
        size: u64,
        /// Of its contents; not where those are pinned as a whole, as a path of a Nix store is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sha256: Option<Digest>,
    },
    /// A symbolic link.
    Symlink {
        /// As it is written.
        target: String,
    },
    /// A hard link.
    Hardlink {
        /// A file of the same layer.
        target: TreePath,
    },
}

/// One path of a layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// What it is.
    #[serde(flatten)]
    pub node: Node,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Who brings it.
    pub origin: String,
}

/// Path to what is there, sorted.
pub type Listing = BTreeMap<TreePath, Listed>;
