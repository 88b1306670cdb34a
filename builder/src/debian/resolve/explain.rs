//! Messages of a resolution that failed.

use std::collections::BTreeMap;

use sealift_deployment::failure::Failure;

use super::{Because, Chosen, Clash, Root};
use crate::debian::index::{Field, Index};
use crate::debian::relation::Group;

type ChosenMap<'i, 'a> = BTreeMap<&'i str, Chosen<'i, 'a>>;

/// Names from what was asked for to `name`. Reasons cannot run in a circle: each names a package chosen before.
pub(super) fn chain<'s>(chosen: &'s ChosenMap, name: &str) -> Vec<&'s str> {
    let mut chain = Vec::new();
    let mut next = chosen.get_key_value(name);
    while let Some((name, found)) = next {
        chain.push(*name);
        next = found.because.by().and_then(|by| chosen.get_key_value(by));
    }
    chain.reverse();
    chain
}

/// `the image web asked for a > b > c`
fn chain_text(chosen: &ChosenMap, name: &str) -> String {
    let chain = chain(chosen, name);
    let asker = chain.first().and_then(|first| match &chosen[first].because {
        Because::Asked(by) => Some(format!("{by} asked for ")),
        _ => None,
    });
    asker.unwrap_or_default() + &chain.join(" > ")
}

/// What to say of a name that is no package.
pub(crate) fn unknown_root(index: &Index, root: Root) -> Failure {
    let failure = Failure::usage(format!("package {}, asked for by {}, is not in the index", root.name, root.by));
    let providers: Vec<&str> = index.providers(root.name).map(|provider| provider.package.name).collect();
    if !providers.is_empty() {
        return failure.hint(format!("it is a virtual package; ask for one that provides it: {}", listed(&providers)));
    }
    let near = near(index, root.name);
    if near.is_empty() {
        return failure.hint("it may be in another component or suite; see [debian] in the profile");
    }
    failure.hint(format!("did you mean {}?", listed(&near)))
}

pub(super) fn unsatisfied(index: &Index, chosen: &ChosenMap, by: &str, group: &Group) -> Failure {
    let mut hints = Vec::new();
    for atom in &group.atoms {
        if let Some(other) = chosen.get(atom.name) {
            hints.push(format!("{} {} is chosen already ({})", atom.name, other.package.version, other.because));
            continue;
        }
        let versions: Vec<&str> = index.versions(atom.name).iter().map(|package| package.version).collect();
        if !versions.is_empty() {
            hints.push(format!("the index has {} {}", atom.name, versions.join(", ")));
            continue;
        }
        let near = near(index, atom.name);
        if !near.is_empty() {
            hints.push(format!("names near {}: {}", atom.name, listed(&near)));
        }
    }
    hints.push(format!("if the image works without it, put {} under [debian.exclude]", group.atoms[0].name));
    Failure::failed(format!("{by} needs `{}`, which cannot be had ({})", group.text, chain_text(chosen, by)))
        .hint(hints.join("; "))
}

pub(super) fn clash(chosen: &ChosenMap, clashes: &[Clash]) -> Failure {
    let lines: Vec<String> = clashes
        .iter()
        .map(|clash| {
            let verb = if clash.field == Field::Breaks { "breaks" } else { "conflicts with" };
            format!(
                "{} {verb} `{}`, and {} {} is chosen too ({}; {})",
                clash.package,
                clash.atom,
                clash.other,
                chosen[clash.other].package.version,
                chain_text(chosen, clash.package),
                chain_text(chosen, clash.other),
            )
        })
        .collect();
    Failure::failed(lines.join("\n")).hint("exclude one of them, or ask for another alternative by name")
}

/// At most three real packages with names like `name`, the nearest first.
fn near<'a>(index: &Index<'a>, name: &str) -> Vec<&'a str> {
    // A third of a name may differ, but no more than three characters.
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
