//! `ucf SOURCE DESTINATION`: a configuration file that a package keeps among its own files (ucf(1)).

use std::io;

use super::{Files, Said, Words, place};
use crate::tree::Kind;

pub(super) fn command(words: Words<'_>, files: &mut Files<'_>) -> io::Result<Said> {
    let words: Vec<Option<&str>> = words.iter().map(Option::as_deref).collect();
    if words.iter().any(|word| matches!(word, Some("-p" | "--purge"))) {
        return Ok(Said::Applied(None));
    }
    let [.., Some(source), Some(destination)] = words[..] else { return Ok(Said::Left) };
    let (Some(from), Some(to)) = (place(source), place(destination)) else { return Ok(Said::Left) };
    if files.has(&to) || files.is_dropped(&from) {
        return Ok(Said::Applied(None));
    }
    let entry = match files.tree.get(&from) {
        Some(entry) => match &entry.kind {
            Kind::Hardlink(target) => files.tree.get(target),
            _ => Some(entry),
        },
        None => None,
    };
    let Some(entry) = entry.filter(|entry| matches!(entry.kind, Kind::File(_))).cloned() else { return Ok(Said::Left) };
    files.made.insert(to, entry);
    Ok(Said::Applied(Some(destination.to_owned())))
}
