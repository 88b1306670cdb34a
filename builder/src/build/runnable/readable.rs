//! Whether anybody can read the files that the profile gives an image.

use std::collections::BTreeSet;

use sealift_deployment::profile::model::{Image, Service};
use sealift_layers::ingredients::accounts::Account;
use sealift_layers::listing::{ListedEntry, Listing, Node};
use sealift_layers::tree::TreePath;

use super::mounts::{groups_of, uid_of};

/// The files of the profile, and who has to read one of them.
#[derive(Debug, serde::Serialize)]
pub(super) struct Readable {
    /// The users of the image's services. None: one is root, or not known, and may read all.
    readers: Vec<Reader>,
    /// Paths of `files`: of a file, or of a tree.
    paths: Vec<String>,
}

#[derive(Debug, serde::Serialize)]
struct Reader {
    uid: u32,
    groups: BTreeSet<u32>,
}

impl Readable {
    pub(super) fn new(users: &[Account], image: &Image, services: &[(&str, &Service)]) -> Self {
        let reader = |(_, service): &(&str, &Service)| {
            let uid = uid_of(service, image, users).filter(|uid| *uid != 0)?;
            Some(Reader { uid, groups: groups_of(service, image, users) })
        };
        let readers = services.iter().map(reader).collect::<Option<Vec<_>>>().unwrap_or_default();
        let paths = image.files.iter().map(|file| file.path.get_ref().trim_matches('/').to_owned()).collect();
        Self { readers, paths }
    }

    /// The warning about the files that no service can read.
    pub(super) fn warning(&self, listing: &Listing) -> Option<String> {
        if self.readers.is_empty() {
            return None;
        }
        let is_own = |path: &TreePath| {
            let own = |own: &String| path.as_str().strip_prefix(own.as_str());
            self.paths.iter().filter_map(own).any(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let files = listing.iter().filter(|(path, entry)| matches!(entry.node, Node::File { .. }) && is_own(path));
        let mut unreadable = files.filter(|(path, entry)| {
            !self.readers.iter().any(|reader| reader.may(entry, 4) && reader.may_enter(path, listing))
        });
        let (path, entry) = unreadable.next()?;
        let more = match unreadable.count() {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        let users: BTreeSet<String> = self.readers.iter().map(|reader| reader.uid.to_string()).collect();
        Some(format!(
            "files: no service can read `/{path}`{more}: it has mode {:04o} and belongs to {}:{}, the services run as {}; give it, or a \
             folder above it, another `mode` or `owner`",
            entry.mode,
            entry.uid,
            entry.gid,
            users.into_iter().collect::<Vec<_>>().join(", ")
        ))
    }
}

impl Reader {
    /// Whether it has a permission: 4 to read a file, 1 to enter a folder.
    fn may(&self, entry: &ListedEntry, bit: u32) -> bool {
        let bits = match entry {
            entry if entry.uid == self.uid => entry.mode >> 6,
            entry if self.groups.contains(&entry.gid) => entry.mode >> 3,
            entry => entry.mode,
        };
        bits & bit != 0
    }

    fn may_enter(&self, path: &TreePath, listing: &Listing) -> bool {
        let mut folder = path.parent();
        while let Some(at) = folder {
            if listing.get(&at).is_some_and(|entry| entry.node == Node::Directory && !self.may(entry, 1)) {
                return false;
            }
            folder = at.parent();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server whose settings only root could read ended without a line.
    #[test]
    fn files_of_the_profile_that_no_service_can_read_are_told() {
        let file = |mode: u32, uid: u32, gid: u32| {
            let text =
                format!(r#"{{"kind": "file", "size": 1, "mode": {mode}, "uid": {uid}, "gid": {gid}, "origin": ""}}"#);
            serde_json::from_str::<ListedEntry>(&text).unwrap()
        };
        let folder = |mode: u32| ListedEntry { node: Node::Directory, ..file(mode, 0, 0) };
        let readers = || vec![Reader { uid: 564, groups: [564].into() }];
        let warning = |entries: &[(&str, ListedEntry)]| {
            let listing: Listing =
                entries.iter().map(|(path, entry)| (TreePath::new(path).unwrap(), entry.clone())).collect();
            Readable { readers: readers(), paths: vec!["srv/x".into()] }.warning(&listing)
        };
        let told =
            warning(&[("srv/x/a", file(0o600, 0, 0)), ("srv/x/b", file(0o600, 0, 0)), ("srv/xy", file(0, 0, 0))]);
        insta::assert_snapshot!(told.unwrap(), @"files: no service can read `/srv/x/a`, and 1 more: it has mode 0600 and belongs to 0:0, the services run as 564; give it, or a folder above it, another `mode` or `owner`");
        let fine = [file(0o644, 0, 0), file(0o400, 564, 0), file(0o640, 0, 564)];
        assert!(fine.into_iter().all(|entry| warning(&[("srv", folder(0o755)), ("srv/x/a", entry)]).is_none()));
        assert!(warning(&[("srv/x", folder(0o700)), ("srv/x/a", file(0o644, 0, 0))]).is_some());
        assert!(warning(&[("srv/x/a", file(0o044, 564, 0))]).is_some());
        assert_eq!(
            Readable { readers: Vec::new(), paths: vec!["srv".into()] }
                .warning(&[(TreePath::new("srv/a").unwrap(), file(0, 0, 0))].into()),
            None
        );
    }
}
