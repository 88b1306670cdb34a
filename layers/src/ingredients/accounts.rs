//! `/etc/passwd` and `/etc/group` (passwd(5), group(5)).
//!
//! ```
//! use sealift_layers::ingredients::accounts::{self, Account};
//! use sealift_layers::tree::{Kind, TreePath};
//!
//! let web = Account { name: "web".into(), uid: 1000, gid: 1000, home: "/srv".into() };
//! let tree = accounts::tree(&[web])?;
//! let Kind::File(group) = &tree.get(&TreePath::new("etc/group")?).unwrap().kind else { panic!("not a file") };
//! assert_eq!(group.read()?, b"root:x:0:\nweb:x:1000:\nnogroup:x:65534:\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::tree::{Entry, Tree, TreePath};

/// A user, and the group with the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Name of the user and the group.
    pub name: String,
    /// User ID.
    pub uid: u32,
    /// Group ID.
    pub gid: u32,
    /// Absolute path of the home directory.
    pub home: String,
}

/// Why the two files cannot be made.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AccountError {
    /// Two accounts have the same name or ID.
    #[error("two accounts have the {what} {value}")]
    Duplicate {
        /// `name`, `uid` or `gid`.
        what: &'static str,
        /// The name or ID.
        value: String,
    },
    /// A name or home directory is empty or has a character that the format does not allow.
    #[error("`{0}` is not allowed in /etc/passwd")]
    Invalid(String),
}

/// The files `/etc/passwd` and `/etc/group` for root, nobody and `accounts`, sorted by ID. There are no passwords, so no
/// account can log in.
///
/// # Errors
/// [`AccountError`].
pub fn tree(accounts: &[Account]) -> Result<Tree, AccountError> {
    let account = |name: &str, id, home: &str| Account { name: name.into(), uid: id, gid: id, home: home.into() };
    let mut all = vec![account("root", 0, "/root"), account("nobody", 65534, "/nonexistent")];
    all.extend_from_slice(accounts);
    all.sort_by_key(|account| account.uid);
    let mut seen = BTreeSet::new();
    for account in &all {
        for (what, value) in
            [("name", account.name.clone()), ("uid", account.uid.to_string()), ("gid", account.gid.to_string())]
        {
            if !seen.insert((what, value.clone())) {
                return Err(AccountError::Duplicate { what, value });
            }
        }
        for text in [&account.name, &account.home] {
            if text.is_empty() || text.contains([':', '\n', '\0']) {
                return Err(AccountError::Invalid(text.clone()));
            }
        }
    }
    let (mut passwd, mut group) = (String::new(), String::new());
    for Account { name, uid, gid, home } in &all {
        let shell = if *uid == 0 { "/bin/sh" } else { "/usr/sbin/nologin" };
        passwd.push_str(&format!("{name}:x:{uid}:{gid}:{name}:{home}:{shell}\n"));
    }
    all.sort_by_key(|account| account.gid);
    for Account { name, gid, .. } in &all {
        // The group of nobody is called nogroup on Debian.
        let name = if *gid == 65534 { "nogroup" } else { name };
        group.push_str(&format!("{name}:x:{gid}:\n"));
    }
    let origin: Arc<str> = "the image's accounts".into();
    let mut tree = Tree::new();
    for (path, text) in [("etc/passwd", passwd), ("etc/group", group)] {
        let path = TreePath::new(path).expect("a constant path is valid");
        tree.insert(path, Entry::file(text, 0o644, &origin));
    }
    Ok(tree)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Kind;

    fn account(name: &str, uid: u32, gid: u32) -> Account {
        Account { name: name.into(), uid, gid, home: "/nonexistent".into() }
    }

    #[test]
    fn files_are_sorted_by_id() {
        let tree = tree(&[account("parsec", 1234, 1234), account("postgres", 999, 998)]).unwrap();
        let text: Vec<String> = tree
            .iter()
            .filter_map(|(_, entry)| match &entry.kind {
                Kind::File(content) => Some(String::from_utf8(content.read().unwrap()).unwrap()),
                _ => None,
            })
            .collect();
        insta::assert_snapshot!(text.join("--\n"), @r"
        root:x:0:
        postgres:x:998:
        parsec:x:1234:
        nogroup:x:65534:
        --
        root:x:0:0:root:/root:/bin/sh
        postgres:x:999:998:postgres:/nonexistent:/usr/sbin/nologin
        parsec:x:1234:1234:parsec:/nonexistent:/usr/sbin/nologin
        nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
        ");
    }

    #[test]
    fn duplicates_and_invalid_names_are_rejected() {
        assert!(matches!(tree(&[account("root", 5, 5)]), Err(AccountError::Duplicate { what: "name", .. })));
        assert!(matches!(tree(&[account("a", 0, 5)]), Err(AccountError::Duplicate { what: "uid", .. })));
        assert!(matches!(tree(&[account("a", 5, 65534)]), Err(AccountError::Duplicate { what: "gid", .. })));
        assert!(matches!(tree(&[account("a:b", 5, 5)]), Err(AccountError::Invalid(_))));
    }
}
