//! `cp SOURCE DESTINATION`: a file that a package keeps among its own, for a system that does not have it yet (cp(1)).
//!
//! What scripts copy besides, such as what they have generated or want to save, is none of the packages' files.

use super::{Files, Said, Words, place};
use crate::tree::{Kind, TreePath};

/// `asks`: the script has questions, whose answers may decide.
pub(super) fn command(words: Words<'_>, asks: bool, files: &mut Files<'_>) -> Said {
    let known = words.iter().map(Option::as_deref);
    let paths: Vec<Option<&str>> = known.filter(|word| !word.is_some_and(|word| word.starts_with('-'))).collect();
    let [Some(source), Some(destination)] = paths[..] else { return Said::Applied(None) };
    let (Some(from), Some(to)) = (place(source), place(destination)) else { return Said::Applied(None) };
    let Some(to) = in_folder(&from, to, destination.ends_with('/'), files) else { return Said::Applied(None) };
    let entry = match files.tree.get(&from).map(|entry| &entry.kind) {
        Some(Kind::Hardlink(target)) => files.tree.get(target),
        Some(Kind::File(_)) => files.tree.get(&from),
        _ => None,
    };
    let Some(entry) = entry.filter(|_| !files.has(&to) && !files.is_dropped(&from)).cloned() else {
        return Said::Applied(None);
    };
    if asks {
        return Said::Left;
    }
    let shown = format!("/{to}");
    files.made.insert(to, entry);
    Said::Applied(Some(shown))
}

/// Where a file gets to: a folder keeps its name.
fn in_folder(from: &TreePath, to: TreePath, is_folder: bool, files: &Files<'_>) -> Option<TreePath> {
    if is_folder || files.mode(&to).is_some_and(|(_, is_folder)| is_folder) {
        return to.join(from.file_name()).ok();
    }
    Some(to)
}
