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

use super::scripts::Request;
use crate::tree::{Entry, Tree, TreePath};

const ORIGIN: &str = "the image's accounts";
/// The group of `/etc/shadow`, whose number Debian fixes (`base-passwd`).
const SHADOW: u32 = 42;

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

/// Whether `text` can be the name of a user or group, as Debian's packages have them: capitals (`Debian-snmp`) and `.` count,
/// which `adduser` takes from packages only.
#[must_use]
pub fn is_login(text: &str) -> bool {
    text.len() <= 32
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
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
    with_requests(accounts, &[])
}

/// As [`tree`], with the accounts that packages want and whose names are free. A number follows from the name of its
/// account, where it is free, so that it stays the same when there are more accounts.
///
/// # Errors
/// [`AccountError`].
pub fn with_requests(accounts: &[Account], requests: &[Request]) -> Result<Tree, AccountError> {
    Ok(files(&all(accounts, requests)?, requests))
}

/// Users that every Debian system has, without root and nobody: name, user and group ID, and home (base-passwd,
/// `/usr/share/base-passwd/passwd.master`).
const DEBIAN: [(&str, u32, u32, &str); 16] = [
    ("daemon", 1, 1, "/usr/sbin"),
    ("bin", 2, 2, "/bin"),
    ("sys", 3, 3, "/dev"),
    ("sync", 4, 65534, "/bin"),
    ("games", 5, 60, "/usr/games"),
    ("man", 6, 12, "/var/cache/man"),
    ("lp", 7, 7, "/var/spool/lpd"),
    ("mail", 8, 8, "/var/mail"),
    ("news", 9, 9, "/var/spool/news"),
    ("uucp", 10, 10, "/var/spool/uucp"),
    ("proxy", 13, 13, "/bin"),
    ("www-data", 33, 33, "/var/www"),
    ("backup", 34, 34, "/var/backups"),
    ("list", 38, 38, "/var/list"),
    ("irc", 39, 39, "/run/ircd"),
    ("_apt", 42, 65534, "/nonexistent"),
];

/// The account that every Debian system has under this name, for images that name it without `base-passwd`.
#[must_use]
pub fn of_debian(name: &str) -> Vec<Request> {
    let Some((name, uid, gid, home)) = DEBIAN.into_iter().find(|(known, ..)| *known == name) else { return Vec::new() };
    let group = if gid == 65534 { "nogroup" } else { name };
    let user = Request::User { name: name.into(), uid: Some(uid), group: Some(group.into()), home: home.into() };
    let own = (gid != 65534).then(|| Request::Group { name: name.into(), gid: Some(gid) });
    own.into_iter().chain([user]).collect()
}

/// Numbers of users and groups.
#[derive(Debug)]
pub struct Numbers(UsersAndGroups);

impl Numbers {
    /// Those of [`with_requests`].
    ///
    /// # Errors
    /// [`AccountError`].
    pub fn new(accounts: &[Account], requests: &[Request]) -> Result<Self, AccountError> {
        all(accounts, requests).map(Self)
    }

    /// The number of a user, by name or number.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<u32> {
        let known = self.0.0.iter().find(|account| account.name == name).map(|account| account.uid);
        known.or_else(|| name.parse().ok())
    }

    /// The number of a group, by name or number.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<u32> {
        let known = self.0.1.iter().find(|(_, known)| known == name).map(|(gid, _)| *gid);
        known.or_else(|| name.parse().ok())
    }
}

/// The users of [`with_requests`], sorted by ID.
///
/// # Errors
/// [`AccountError`].
pub fn users(accounts: &[Account], requests: &[Request]) -> Result<Vec<Account>, AccountError> {
    Ok(all(accounts, requests)?.0)
}

/// Users and groups, sorted by ID.
type UsersAndGroups = (Vec<Account>, Vec<(u32, String)>);

fn all(accounts: &[Account], requests: &[Request]) -> Result<UsersAndGroups, AccountError> {
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
    // The group of nobody is called nogroup on Debian.
    let group = |account: &Account| {
        let name = if account.gid == 65534 { "nogroup".to_owned() } else { account.name.clone() };
        (account.gid, name)
    };
    let mut groups: Vec<(u32, String)> = all.iter().map(group).collect();
    add_groups(requests, &mut groups);
    add_users(requests, &mut all, &mut groups);
    all.sort_by_key(|account| account.uid);
    groups.sort_by_key(|(gid, _)| *gid);
    Ok((all, groups))
}

fn files((users, groups): &UsersAndGroups, requests: &[Request]) -> Tree {
    let (mut passwd, mut group) = (String::new(), String::new());
    for Account { name, uid, gid, home } in users {
        let shell = if *uid == 0 { "/bin/sh" } else { "/usr/sbin/nologin" };
        passwd.push_str(&format!("{name}:x:{uid}:{gid}:{name}:{home}:{shell}\n"));
    }
    for (gid, name) in groups {
        let member = |request: &Request| match request {
            Request::Member { user, group } if group == name => Some(user.clone()),
            _ => None,
        };
        let members: BTreeSet<String> = requests.iter().filter_map(member).collect();
        let members = members.into_iter().filter(|member| users.iter().any(|user| user.name == *member));
        group.push_str(&format!("{name}:x:{gid}:{}\n", members.collect::<Vec<_>>().join(",")));
    }
    let origin: Arc<str> = ORIGIN.into();
    let mut tree = Tree::new();
    for (path, text) in [("etc/passwd", passwd), ("etc/group", group)] {
        let path = TreePath::new(path).expect("a constant path is valid");
        tree.insert(path, Entry::file(text, 0o644, &origin));
    }
    tree
}

/// `/etc/shadow` for these users (shadow(5)), all without a password: `pam_unix` takes a user who is not in it for an expired one.
///
/// # Panics
/// Never: the path is valid.
#[must_use]
pub fn shadow(users: &[Account]) -> Tree {
    let text: String = users.iter().map(|user| format!("{}:*:::::::\n", user.name)).collect();
    let path = TreePath::new("etc/shadow").expect("a constant path is valid");
    let mut tree = Tree::new();
    tree.insert(path, Entry::file(text, 0o640, &Arc::from(ORIGIN)).owned_by(0, SHADOW));
    tree
}

/// Numbers of system accounts (Debian policy 9.2.2), without the highest ones, which administrators give.
const SYSTEM: std::ops::Range<u32> = 100..900;

/// A free number that follows from `name` (FNV-1a), or the next free one.
fn number(name: &str, wanted: Option<u32>, is_free: impl Fn(u32) -> bool) -> Option<u32> {
    if let Some(wanted) = wanted.filter(|wanted| is_free(*wanted)) {
        return Some(wanted);
    }
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let count = SYSTEM.end - SYSTEM.start;
    (0..count).map(|step| SYSTEM.start + hash.wrapping_add(step) % count).find(|number| is_free(*number))
}

fn add_groups(requests: &[Request], groups: &mut Vec<(u32, String)>) {
    // Those that need a certain number first.
    let is_certain = |request: &&Request| matches!(request, Request::Group { gid: Some(_), .. });
    let (certain, others): (Vec<&Request>, Vec<&Request>) = requests.iter().partition(is_certain);
    for request in certain.into_iter().chain(others) {
        if let Request::Group { name, gid } = request {
            add_group(name, *gid, groups);
        }
    }
}

/// The number of a group, which is added if there is none of this name.
fn add_group(name: &str, wanted: Option<u32>, groups: &mut Vec<(u32, String)>) -> Option<u32> {
    if let Some((gid, _)) = groups.iter().find(|(_, known)| known == name) {
        return Some(*gid);
    }
    let gid = number(name, wanted, |gid| groups.iter().all(|(known, _)| *known != gid))?;
    groups.push((gid, name.to_owned()));
    Some(gid)
}

fn add_users(requests: &[Request], users: &mut Vec<Account>, groups: &mut Vec<(u32, String)>) {
    let is_certain = |request: &&Request| matches!(request, Request::User { uid: Some(_), .. });
    let (certain, others): (Vec<&Request>, Vec<&Request>) = requests.iter().partition(is_certain);
    for request in certain.into_iter().chain(others) {
        let Request::User { name, uid, group, home } = request else { continue };
        if users.iter().any(|user| user.name == *name) {
            continue;
        }
        let Some(uid) = number(name, *uid, |uid| users.iter().all(|user| user.uid != uid)) else { continue };
        let gid = match group.as_deref().map(|group| (group, group.parse())) {
            Some((_, Ok(gid))) => Some(gid),
            Some((group, Err(_))) => add_group(group, None, groups),
            None => add_group(name, Some(uid), groups),
        };
        let Some(gid) = gid else { continue };
        users.push(Account { name: name.clone(), uid, gid, home: home.clone() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Kind;

    #[test]
    fn accounts_of_packages_take_free_names_and_numbers() {
        let group = |name: &str, gid| Request::Group { name: name.into(), gid };
        let user = |name: &str, uid, group: Option<&str>| Request::User {
            name: name.into(),
            uid,
            group: group.map(str::to_owned),
            home: "/".into(),
        };
        let requests = [
            user("epmd", None, None),
            group("rabbitmq", None),
            user("rabbitmq", None, Some("rabbitmq")),
            user("www-data", Some(33), Some("33")),
            group("www-data", Some(33)),
            user("web", Some(5), None),
            user("none", None, Some("nogroup")),
            group("shadow", Some(1234)),
            Request::Member { user: "web".into(), group: "shadow".into() },
            Request::Member { user: "gone".into(), group: "shadow".into() },
        ];
        let tree = with_requests(&[account("web", 1234, 1234)], &requests).unwrap();
        insta::assert_snapshot!(texts(&tree), @r"
        root:x:0:
        www-data:x:33:
        epmd:x:157:
        rabbitmq:x:623:
        shadow:x:869:web
        web:x:1234:
        nogroup:x:65534:
        --
        root:x:0:0:root:/root:/bin/sh
        www-data:x:33:33:www-data:/:/usr/sbin/nologin
        epmd:x:157:157:epmd:/:/usr/sbin/nologin
        rabbitmq:x:623:623:rabbitmq:/:/usr/sbin/nologin
        none:x:799:65534:none:/:/usr/sbin/nologin
        web:x:1234:1234:web:/nonexistent:/usr/sbin/nologin
        nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
        ");
    }

    /// The files of a tree, one after the other.
    fn texts(tree: &Tree) -> String {
        let text = |entry: &Entry| match &entry.kind {
            Kind::File(content) => Some(String::from_utf8(content.read().unwrap()).unwrap()),
            _ => None,
        };
        tree.iter().filter_map(|(_, entry)| text(entry)).collect::<Vec<_>>().join("--\n")
    }

    fn account(name: &str, uid: u32, gid: u32) -> Account {
        Account { name: name.into(), uid, gid, home: "/nonexistent".into() }
    }

    #[test]
    fn files_are_sorted_by_id() {
        let tree = tree(&[account("parsec", 1234, 1234), account("postgres", 999, 998)]).unwrap();
        insta::assert_snapshot!(texts(&tree), @r"
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

    /// "Authentication failure": `su` to a user of the image.
    #[test]
    fn no_user_has_a_password() {
        let users = users(&[account("web", 1234, 1234)], &[]).unwrap();
        let tree = shadow(&users);
        assert_eq!(texts(&tree), "root:*:::::::\nweb:*:::::::\nnobody:*:::::::\n");
        let entry = tree.get(&TreePath::new("etc/shadow").unwrap()).unwrap();
        assert_eq!((entry.mode, entry.uid, entry.gid), (0o640, 0, 42));
    }

    #[test]
    fn duplicates_and_invalid_names_are_rejected() {
        assert!(matches!(tree(&[account("root", 5, 5)]), Err(AccountError::Duplicate { what: "name", .. })));
        assert!(matches!(tree(&[account("a", 0, 5)]), Err(AccountError::Duplicate { what: "uid", .. })));
        assert!(matches!(tree(&[account("a", 5, 65534)]), Err(AccountError::Duplicate { what: "gid", .. })));
        assert!(matches!(tree(&[account("a:b", 5, 5)]), Err(AccountError::Invalid(_))));
    }
}
