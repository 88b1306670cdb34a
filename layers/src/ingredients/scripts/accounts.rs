//! System users and groups: `adduser --system`, `addgroup --system`, `useradd`, `groupadd`, `usermod`, `gpasswd`, and the files
//! of sysusers.d(5).
//!
//! Only what an image's `passwd` and `group` need is read. Numbers are chosen when these are written, see
//! [`accounts`](crate::ingredients::accounts).

use std::io;

use serde::{Deserialize, Serialize};

use super::{Said, Words, fields};
use crate::ingredients::accounts::is_login;
use crate::tree::{Kind, Tree, TreePath};

/// An account that a package wants.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Request {
    /// A group.
    Group {
        /// Its name.
        name: String,
        /// Its number, if it must have one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gid: Option<u32>,
    },
    /// A user.
    User {
        /// Its name.
        name: String,
        /// Its number, if it must have one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uid: Option<u32>,
        /// Its group, by name or number. `None`: a group of its own name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<String>,
        /// Its home directory.
        home: String,
    },
    /// A user in a further group.
    Member {
        /// Name of the user.
        user: String,
        /// Name of the group.
        group: String,
    },
}

/// Options of the four programs that have a value.
const WITH_VALUE: [&str; 20] = [
    "--home",
    "--shell",
    "--ingroup",
    "--uid",
    "--gid",
    "--gecos",
    "--firstuid",
    "--lastuid",
    "--conf",
    "--comment",
    "--home-dir",
    "-d",
    "-s",
    "-g",
    "-u",
    "-c",
    "-G",
    "--groups",
    "-K",
    "--key",
];

/// A call of `program`.
pub(super) fn command(program: &str, words: Words<'_>, requests: &mut Vec<Request>) -> Said {
    let (mut names, mut uid, mut gid, mut group, mut home) = (Vec::new(), None, None, None, "/nonexistent".to_owned());
    if matches!(program, "usermod" | "gpasswd") {
        return further_groups(words, requests);
    }
    let (mut is_system, mut is_group) = (false, program.ends_with("group") || program == "groupadd");
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let Some(word) = word.as_deref() else { return Said::Left };
        let (option, mut value) = match word.split_once('=') {
            Some((option, value)) if word.starts_with("--") => (option, Some(value.to_owned())),
            _ => (word, None),
        };
        if WITH_VALUE.contains(&option) && value.is_none() {
            value = words.next().cloned().flatten();
        }
        match option {
            "--system" | "-r" => is_system = true,
            "--uid" | "-u" => uid = value.and_then(|text| text.parse().ok()),
            "--gid" | "-g" if is_group => gid = value.and_then(|text| text.parse().ok()),
            "--ingroup" | "--gid" | "-g" => group = value,
            "--home" | "--home-dir" | "-d" => home = value.unwrap_or(home),
            // Of adduser: a group of the user's own name, which `None` stands for.
            "--group" if program == "adduser" => is_group = false,
            option if option.starts_with('-') => {}
            name => names.push(name.to_owned()),
        }
    }
    let name = match &names[..] {
        [name] => name,
        [user, group] if program.starts_with("add") => return member(user, group, requests),
        _ => return Said::Left,
    };
    if !is_system && uid.is_none() && gid.is_none() || !is_login(name) || home.contains([':', '\n']) {
        return Said::Left;
    }
    let name = name.clone();
    requests.push(match is_group {
        true => Request::Group { name: name.clone(), gid },
        // Without a group of its own, Debian's adduser takes nogroup.
        false => Request::User { name: name.clone(), uid, group, home },
    });
    Said::Applied(Some(name))
}

/// `usermod --append --groups GROUP,... USER`, `gpasswd --add USER GROUP`. Other changes of accounts are none of an image's.
fn further_groups(words: Words<'_>, requests: &mut Vec<Request>) -> Said {
    let known: Vec<&str> = words.iter().flatten().map(String::as_str).collect();
    match known[..] {
        [option, ..] if known.len() != words.len() && option.contains("-a") => Said::Left,
        ["-aG" | "-Ga", groups, user] | ["-a" | "--append", "-G" | "--groups", groups, user] => {
            let all = groups.split(',').map(|group| member(user, group, requests));
            if all.collect::<Vec<_>>().iter().any(|said| matches!(said, Said::Left)) {
                return Said::Left;
            }
            Said::Applied(Some(format!("{user} in {groups}")))
        }
        ["-a" | "--add", user, group] => member(user, group, requests),
        _ => Said::Applied(None),
    }
}

/// `adduser USER GROUP`.
fn member(user: &str, group: &str, requests: &mut Vec<Request>) -> Said {
    if !is_login(user) || !is_login(group) {
        return Said::Left;
    }
    // The group of its own name is there without a word.
    if user == group {
        return Said::Applied(None);
    }
    requests.push(Request::Member { user: user.to_owned(), group: group.to_owned() });
    Said::Applied(Some(format!("{user} in {group}")))
}

/// What the files of sysusers.d(5) in `tree` declare, and the accounts that every Debian system has (`base-passwd`).
///
/// # Errors
/// A file cannot be read.
pub(super) fn declared(tree: &Tree) -> io::Result<Vec<Request>> {
    let folder = TreePath::new("usr/lib/sysusers.d").map_err(io::Error::other)?;
    let mut requests = masters(tree)?;
    for (path, entry) in tree.below(&folder) {
        if let Kind::File(content) = &entry.kind
            && path.as_str().ends_with(".conf")
        {
            let text = content.read()?;
            requests.extend(String::from_utf8_lossy(&text).lines().filter_map(declaration));
        }
    }
    Ok(requests)
}

/// The accounts in the files that the script of `base-passwd` copies (passwd(5), group(5)).
fn masters(tree: &Tree) -> io::Result<Vec<Request>> {
    let mut requests = Vec::new();
    for name in ["group", "passwd"] {
        let path = TreePath::new(&format!("usr/share/base-passwd/{name}.master")).map_err(io::Error::other)?;
        let Some(Kind::File(content)) = tree.get(&path).map(|entry| &entry.kind) else { continue };
        let text = content.read()?;
        for line in String::from_utf8_lossy(&text).lines() {
            let fields: Vec<&str> = line.split(':').collect();
            match fields[..] {
                [name, _, gid, _] if is_login(name) => {
                    requests.push(Request::Group { name: name.to_owned(), gid: gid.parse().ok() });
                }
                [name, _, uid, gid, _, home, _] if is_login(name) => requests.push(Request::User {
                    name: name.to_owned(),
                    uid: uid.parse().ok(),
                    group: Some(gid.to_owned()),
                    home: home.to_owned(),
                }),
                _ => {}
            }
        }
    }
    Ok(requests)
}

/// A line: type, name, number, description, home, shell.
fn declaration(line: &str) -> Option<Request> {
    let fields = fields(line);
    let field = |index: usize| fields.get(index).map(String::as_str).filter(|text| *text != "-");
    let name = field(1).filter(|name| is_login(name))?.to_owned();
    let id = field(2).unwrap_or_default();
    let (first, second) = id.split_once(':').map_or((id, None), |(first, second)| (first, Some(second)));
    match field(0)?.trim_end_matches(['!', '-']) {
        "m" => {
            let group = field(2).filter(|group| is_login(group))?.to_owned();
            Some(Request::Member { user: name, group })
        }
        "g" => Some(Request::Group { name, gid: first.parse().ok() }),
        "u" => Some(Request::User {
            name,
            uid: first.parse().ok(),
            group: second.map(str::to_owned),
            home: field(4).filter(|home| !home.contains([':', '%'])).unwrap_or("/").to_owned(),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_the_four_programs_are_read() {
        let mut requests = Vec::new();
        for line in [
            "adduser --quiet --system --group --no-create-home --home /run/epmd epmd",
            "addgroup --system rabbitmq",
            "adduser --system --ingroup rabbitmq --home=/var/lib/rabbitmq --gecos x --disabled-login rabbitmq",
            "groupadd -g 42 shadow",
            "useradd -r -d /srv -g nogroup web",
            "adduser --quiet web audio",
            "adduser web web",
            "adduser --system ?",
            "usermod -aG video,render web",
            "usermod -a -G ssl-cert web",
            "gpasswd -a ftp ftp",
            "gpasswd -a ftp web",
            "usermod -L web",
            "usermod -aG ? web",
        ] {
            let words: Vec<_> = line.split(' ').map(|word| (word != "?").then(|| word.to_owned())).collect();
            command(words[0].as_deref().unwrap(), &words[1..], &mut requests);
        }
        let text: Vec<String> = requests.iter().map(|request| serde_json::to_string(request).unwrap()).collect();
        insta::assert_snapshot!(text.join("\n"), @r#"
        {"kind":"user","name":"epmd","home":"/run/epmd"}
        {"kind":"group","name":"rabbitmq"}
        {"kind":"user","name":"rabbitmq","group":"rabbitmq","home":"/var/lib/rabbitmq"}
        {"kind":"group","name":"shadow","gid":42}
        {"kind":"user","name":"web","group":"nogroup","home":"/srv"}
        {"kind":"member","user":"web","group":"audio"}
        {"kind":"member","user":"web","group":"video"}
        {"kind":"member","user":"web","group":"render"}
        {"kind":"member","user":"web","group":"ssl-cert"}
        {"kind":"member","user":"ftp","group":"web"}
        "#);
    }

    #[test]
    fn lines_of_sysusers_are_read() {
        assert_eq!(
            declaration("u! redis 105:107 \"Redis server\" /var/lib/redis"),
            Some(Request::User {
                name: "redis".into(),
                uid: Some(105),
                group: Some("107".into()),
                home: "/var/lib/redis".into()
            })
        );
        assert_eq!(declaration("g input - -"), Some(Request::Group { name: "input".into(), gid: None }));
        let member = Request::Member { user: "a".into(), group: "b".into() };
        assert_eq!(declaration("m a b"), Some(member));
        assert!(declaration("# g a").is_none() && declaration("m a").is_none() && declaration("r - 1-9").is_none());
    }
}
