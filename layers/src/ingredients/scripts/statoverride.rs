//! `dpkg-statoverride --update --add USER GROUP MODE PATH`: owner and mode of a file of the package (dpkg-statoverride(1)).

use super::{Files, Said, Words, place};

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

pub(super) fn command(words: Words<'_>, files: &mut Files<'_>) -> Said {
    if !words.iter().flatten().any(|word| word == "--add") {
        return Said::Applied(None);
    }
    let words = words.iter().filter(|word| word.as_deref().is_none_or(|word| !word.starts_with("--")));
    let Some(words) = words.map(Option::as_deref).collect::<Option<Vec<&str>>>() else { return Said::Left };
    let [user, group, mode, path] = words[..] else { return Said::Left };
    let (Some(uid), Some(gid), Ok(mode)) = (number(user), number(group), u32::from_str_radix(mode, 8)) else {
        return Said::Left;
    };
    let Some(at) = place(path).filter(|_| mode <= 0o7777) else { return Said::Left };
    let Some(entry) = files.tree.remove(&at) else { return Said::Left };
    let entry = crate::tree::Entry { mode, ..entry.owned_by(uid, gid) };
    files.tree.insert(at, entry);
    Said::Applied(Some(path.to_owned()))
}

/// The number of a user or group: `#33`, or a name that is the same everywhere.
fn number(name: &str) -> Option<u32> {
    match name.strip_prefix('#') {
        Some(number) => number.parse().ok(),
        None => STATIC.iter().find(|(known, _)| *known == name).map(|(_, id)| *id),
    }
}
