//! Owners by name. Those that have the same number on all Debian systems are applied at once, others as soon as the image's
//! accounts have numbers.

use std::collections::btree_map::Entry;

use serde::{Deserialize, Serialize};

use super::Files;
use crate::listing::Node;
use crate::tree::{Kind, TreePath};

/// Mode and owner of a path, whose accounts get their numbers with all accounts of the image, see
/// [`accounts`](crate::ingredients::accounts).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owned {
    /// A file or directory of this layer or one below.
    pub path: TreePath,
    /// Permission bits, at most `0o7777`. `None`: as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// Name or number. `None`: as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Name or number. `None`: as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

/// Accounts whose numbers are the same on all Debian systems (base-passwd): users and groups have the same where both exist.
const STATIC: [(&str, u32); 12] = [
    ("root", 0),
    ("daemon", 1),
    ("adm", 4),
    ("tty", 5),
    ("mail", 8),
    ("man", 12),
    ("proxy", 13),
    ("www-data", 33),
    ("shadow", 42),
    ("utmp", 43),
    ("staff", 50),
    ("nogroup", 65534),
];

/// The number of a user or group that is a number, or a name that is the same everywhere.
fn number(name: &str) -> Option<u32> {
    match STATIC.iter().find(|(known, _)| *known == name) {
        Some((_, id)) => Some(*id),
        None => name.parse().ok(),
    }
}

/// Whether the path has this mode and owner.
pub(super) fn is_done(owned: &Owned, files: &Files<'_>) -> bool {
    let entry = files.made.get(&owned.path).or_else(|| files.tree.get(&owned.path));
    let entry = entry.map(|entry| (entry.mode, entry.uid, entry.gid));
    let below = || files.below.listing.get(&owned.path).map(|listed| (listed.mode, listed.uid, listed.gid));
    let Some((mode, uid, gid)) = entry.or_else(below) else { return false };
    let is = |name: &Option<String>, id: u32| name.as_deref().is_none_or(|name| number(name) == Some(id));
    owned.mode.is_none_or(|wanted| wanted == mode) && is(&owned.user, uid) && is(&owned.group, gid)
}

/// Leaves `owned` for later, with what was left for the same path before.
fn later(owned: Owned, files: &mut Files<'_>) {
    match files.owned.entry(owned.path.clone()) {
        Entry::Vacant(entry) => drop(entry.insert(owned)),
        Entry::Occupied(mut entry) => {
            let Owned { mode, user, group, .. } = owned;
            let known = entry.get_mut();
            known.mode = mode.or(known.mode);
            known.user = user.or(known.user.take());
            known.group = group.or(known.group.take());
        }
    }
}

/// Applies `owned` to the files of the packages, or leaves it for later. `false` if no layer so far has the path.
pub(super) fn apply(owned: Owned, files: &mut Files<'_>) -> bool {
    let is_made = files.made.get(&owned.path).is_some();
    let tree = if is_made { &mut files.made } else { &mut *files.tree };
    let Some(entry) = tree.remove(&owned.path) else {
        let node = files.below.listing.get(&owned.path).map(|listed| &listed.node);
        let is_there = matches!(node, Some(Node::File { .. } | Node::Directory));
        if is_there {
            later(owned, files);
        }
        return is_there;
    };
    let (path, is_there) = (owned.path.clone(), matches!(entry.kind, Kind::File(_) | Kind::Directory));
    let (mut entry, mut is_known) = (entry, true);
    if is_there {
        entry.mode = owned.mode.unwrap_or(entry.mode);
        let id = |name: &Option<String>, id: u32| name.as_deref().map_or(Some(id), number);
        match (id(&owned.user, entry.uid), id(&owned.group, entry.gid)) {
            (Some(uid), Some(gid)) => entry = entry.owned_by(uid, gid),
            // Until then it is root's.
            _ => is_known = false,
        }
    }
    tree.insert(path, entry);
    // What is left from before must not win.
    if is_there && (!is_known || files.owned.contains_key(&owned.path)) {
        later(owned, files);
    }
    is_there
}
