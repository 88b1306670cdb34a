//! Messages for a failed resolution.

use std::collections::BTreeMap;

use sealift_deployment::failure::Failure;
use sealift_layers::limits::MESSAGES;

use super::{Chosen, Conflict, Reason, Root};
use crate::debian::index::{Field, Index};
use crate::debian::relation::Group;

type ChosenMap<'i, 'a> = BTreeMap<&'i str, Chosen<'i, 'a>>;

/// Names from a requested package to `name`. There is no cycle: each reason names a package that was chosen earlier.
pub(super) fn chain<'s>(chosen: &'s ChosenMap, name: &str) -> Vec<&'s str> {
    let mut chain = Vec::new();
    let mut next = chosen.get_key_value(name);
    while let Some((name, found)) = next {
        chain.push(*name);
        next = found.reason.dependent().and_then(|name| chosen.get_key_value(name));
    }
    chain.reverse();
    chain
}

/// `the image web requests a > b > c`
fn chain_text(chosen: &ChosenMap, name: &str) -> String {
    let chain = chain(chosen, name);
    let requester = chain.first().and_then(|first| match &chosen[first].reason {
        Reason::Requested { by } => Some(format!("{by} requests ")),
        _ => None,
    });
    requester.unwrap_or_default() + &shortened(&chain, " > ")
}

/// The texts with `between` between them; of a long list, the first and the last ones. Names and versions of an index may have
/// any number and any length.
fn shortened(texts: &[&str], between: &str) -> String {
    const ENDS: usize = 6;
    let text = |text: &&str| match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => (*text).to_owned(),
    };
    let shown: Vec<String> = match texts.len().checked_sub(2 * ENDS) {
        Some(more @ 1..) => {
            let (first, rest) = texts.split_at(ENDS);
            let last = rest[more..].iter().map(text);
            first.iter().map(text).chain([format!("... {more} more ...")]).chain(last).collect()
        }
        _ => texts.iter().map(text).collect(),
    };
    shown.join(between)
}

/// The error for a requested name that is not a package.
pub(crate) fn unknown_root(index: &Index, root: Root) -> Failure {
    if let Some(reason) = malformed(index, root.name) {
        return Failure::failed(format!("{} requests the package {}: {reason}", root.by, root.name));
    }
    if let Some(package) = index.versions(root.name).first() {
        let (name, archive) = (root.name, index.archive_name(package.archive));
        let message = format!("{} requests the package {name}, which no archive with a positive priority has", root.by);
        return Failure::usage(message).hint(format!(
            "it is in {archive}: take it from there with {{ name = \"{name}\", from = \"{archive}\" }}"
        ));
    }
    let failure = Failure::usage(format!("{} requests the package {}, which is not in the index", root.by, root.name));
    let providers: Vec<&str> = index.providers(root.name).map(|provider| provider.package.name).collect();
    if !providers.is_empty() {
        return failure.hint(format!("it is a virtual package: request one that provides it, {}", listed(&providers)));
    }
    let similar = similar(index, root.name);
    if similar.is_empty() {
        return failure.hint("check the name, and `suite` and `components` in [debian] of the profile");
    }
    failure.hint(format!("did you mean {}?", listed(&similar)))
}

/// The error for a dependency that no package satisfies.
pub(super) fn unsatisfied(index: &Index, chosen: &ChosenMap, dependent: &str, group: &Group) -> Failure {
    let mut hints = Vec::new();
    for atom in group.atoms.iter().take(MESSAGES) {
        if let Some(other) = chosen.get(atom.name) {
            hints.push(format!("{} {} is already chosen ({})", atom.name, other.package.version, other.reason));
            continue;
        }
        hints.extend(malformed(index, atom.name).map(|reason| format!("{}: {reason}", atom.name)));
        let versions: Vec<&str> = index.versions(atom.name).iter().map(|package| package.version).collect();
        if !versions.is_empty() {
            hints.push(format!("the index has {} {}", atom.name, shortened(&versions, ", ")));
            hints.extend(preferred(index, atom.name));
            continue;
        }
        let similar = similar(index, atom.name);
        if !similar.is_empty() {
            hints.push(format!("names similar to {}: {}", atom.name, listed(&similar)));
        }
    }
    hints.push(format!("if the image works without it, add {} to [debian.exclude]", group.atoms[0].name));
    let chain = chain_text(chosen, dependent);
    let wanted = shortened(&group.text.split('|').map(str::trim).collect::<Vec<_>>(), " | ");
    Failure::failed(format!("no package satisfies `{wanted}`, a dependency of {dependent} ({chain})"))
        .hint(hints.join("; "))
}

/// The error for chosen packages that conflict: a line for each pair, and the number of `more` pairs.
pub(super) fn conflicts(chosen: &ChosenMap, conflicts: &[Conflict], more: usize) -> Failure {
    let mut lines: Vec<String> = conflicts
        .iter()
        .map(|conflict| {
            let verb = if conflict.field == Field::Breaks { "breaks" } else { "conflicts with" };
            format!(
                "{} {verb} `{}`, but {} {} is chosen, too ({}; {})",
                conflict.package,
                conflict.atom,
                conflict.other,
                chosen[conflict.other].package.version,
                chain_text(chosen, conflict.package),
                chain_text(chosen, conflict.other),
            )
        })
        .collect();
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    Failure::failed(lines.join("\n")).hint("exclude one of them, or request another alternative by name")
}

/// Why not every version of `name` in the index may be chosen.
fn preferred(index: &Index, name: &str) -> Option<String> {
    let may: Vec<_> = index.eligible(name).collect();
    if may.len() == index.versions(name).len() {
        return None;
    }
    let Some(first) = may.first() else { return Some("no archive with a positive priority has it".to_owned()) };
    let archive = index.archive_name(first.archive);
    Some(match index.pins().get(name) {
        Some(_) => format!("{name} is pinned to {} of {archive}", first.version),
        None => format!(
            "{archive} has the highest priority: request another version with {{ name = \"{name}\", from = \"ARCHIVE\" }}"
        ),
    })
}

/// Why the index has not every version of `name`, if it left out one.
fn malformed(index: &Index, name: &str) -> Option<String> {
    let omitted = index.omitted().iter().find(|omitted| omitted.name == name)?;
    Some(format!("its stanza is malformed in the package index ({})", omitted.reason))
}

/// At most three real packages with names like `name`, the most similar first.
fn similar<'a>(index: &Index<'a>, name: &str) -> Vec<&'a str> {
    // Up to a third of the characters may differ, and no more than three.
    let limit = (name.len() / 3).clamp(1, 3);
    let mut found: Vec<(usize, &str)> = index
        .names()
        .filter(|other| other.len().abs_diff(name.len()) <= limit)
        .map(|other| (strsim::osa_distance(name, other), other))
        .filter(|(distance, _)| *distance <= limit)
        .collect();
    found.sort_unstable();
    found.into_iter().take(3).map(|(_, name)| name).collect()
}

/// `a, b or c`, at most six.
fn listed(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [most @ .., last] if most.len() < 6 => format!("{} or {last}", most.join(", ")),
        more => format!("{} ...", more[..6].join(", ")),
    }
}
