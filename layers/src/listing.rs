//! What a layer contains, without the bytes. It is stored beside the layer, so that layers on top of it can be checked
//! against it (see [`overlay()`](crate::tree::overlay())).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::tree::TreePath;

/// The type of one path of a layer, and what belongs to that type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Node {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// Length in bytes.
        size: u64,
        /// Digest of the contents. Absent if another digest covers the whole layer, as for paths of a Nix store.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sha256: Option<Digest>,
    },
    /// A symbolic link.
    Symlink {
        /// The target as it is written in the link.
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
pub struct ListedEntry {
    /// File, directory or link, with what identifies its content.
    #[serde(flatten)]
    pub node: Node,
    /// Permission bits.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// The ingredient that it comes from, as in [`Entry::origin`](crate::tree::Entry::origin).
    pub origin: String,
}

/// All paths of a layer, sorted.
pub type Listing = BTreeMap<TreePath, ListedEntry>;

#[cfg(test)]
mod tests {
    use super::*;

    /// Stores keep listings: they must stay readable.
    #[test]
    fn the_stored_form_does_not_change() {
        let entry = |node| ListedEntry { node, mode: 0o644, uid: 1, gid: 2, origin: "package a 1".into() };
        let path = |text: &str| TreePath::new(text).unwrap();
        let listing: Listing = [
            (path("d"), entry(Node::Directory)),
            (path("f"), entry(Node::File { size: 0, sha256: Some(Digest::of(b"")) })),
            (path("g"), entry(Node::File { size: 3, sha256: None })),
            (path("h"), entry(Node::Hardlink { target: path("f") })),
            (path("s"), entry(Node::Symlink { target: "../x".into() })),
        ]
        .into();
        let lines: Vec<String> = listing.values().map(|entry| serde_json::to_string(entry).unwrap()).collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        {"kind":"directory","mode":420,"uid":1,"gid":2,"origin":"package a 1"}
        {"kind":"file","size":0,"sha256":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","mode":420,"uid":1,"gid":2,"origin":"package a 1"}
        {"kind":"file","size":3,"mode":420,"uid":1,"gid":2,"origin":"package a 1"}
        {"kind":"hardlink","target":"f","mode":420,"uid":1,"gid":2,"origin":"package a 1"}
        {"kind":"symlink","target":"../x","mode":420,"uid":1,"gid":2,"origin":"package a 1"}
        "#);
        let text = serde_json::to_string(&listing).unwrap();
        assert_eq!(serde_json::from_str::<Listing>(&text).unwrap(), listing);
    }
}
