//! `dpkg-statoverride --update --add USER GROUP MODE PATH`: owner and mode of a file of the package (dpkg-statoverride(1)).

use super::owners::{self, Owned};
use super::{Files, Said, Words, place};

/// `asks`: the script asks a question, which may decide this.
pub(super) fn command(words: Words<'_>, asks: bool, files: &mut Files<'_>) -> Said {
    if !words.iter().flatten().any(|word| word == "--add") {
        return Said::Applied(None);
    }
    let words = words.iter().filter(|word| word.as_deref().is_none_or(|word| !word.starts_with("--")));
    let Some(words) = words.map(Option::as_deref).collect::<Option<Vec<&str>>>() else { return Said::Left };
    let [user, group, mode, path] = words[..] else { return Said::Left };
    let Some(mode) = u32::from_str_radix(mode, 8).ok().filter(|mode| *mode <= 0o7777) else { return Said::Left };
    let Some(at) = place(path) else { return Said::Left };
    if files.is_dropped(&at) {
        return Said::Applied(None);
    }
    let name = |name: &str| Some(name.trim_start_matches('#').to_owned());
    let owned = Owned { path: at, mode: Some(mode), user: name(user), group: name(group) };
    if asks || !owners::apply(owned, files) { Said::Left } else { Said::Applied(Some(path.to_owned())) }
}
