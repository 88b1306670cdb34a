//! Which wheels of a virtual environment require which (core metadata, `Requires-Dist`; PEP 508).

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr as _;

use pep508_rs::{ExtraName, Requirement};
use sealift_layers::ingredients::wheel::normalize;
use url::Url;

use super::pylock::BRACKETS;
use super::tags::Target;

/// What the metadata of a distribution says.
#[derive(Clone, Copy, Debug)]
pub struct Metadata<'a> {
    /// `Requires-Dist`, one line each. Lines that cannot be parsed are skipped: installers have not followed them either.
    pub requires: &'a [String],
    /// `Provides-Extra`.
    pub extras: &'a [String],
}

/// How often extras may ask for further ones. Real ones do so twice.
const ROUNDS: usize = 16;

/// For each of the distributions (by normalised name) those that it requires and that are there. Extras count where a
/// distribution asks for them; those of a distribution that no other one requires, where all they need is there.
#[must_use]
pub fn edges<'a>(
    distributions: &BTreeMap<&'a str, Metadata<'a>>,
    target: &Target,
) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
    let parsed: BTreeMap<&str, Vec<Requirement<Url>>> = distributions
        .iter()
        .map(|(name, metadata)| (*name, metadata.requires.iter().filter_map(|text| parse(text)).collect()))
        .collect();
    let environment = target.markers();
    let there = |requirement: &Requirement<Url>| {
        let name = normalize(requirement.name.as_ref());
        distributions.get_key_value(name.as_str()).map(|(name, _)| *name)
    };
    let required: BTreeSet<&str> = parsed.values().flatten().filter_map(there).collect();
    let mut extras: BTreeMap<&str, BTreeSet<ExtraName>> = BTreeMap::new();
    for (name, metadata) in distributions.iter().filter(|(name, _)| !required.contains(*name)) {
        let provided = metadata.extras.iter().filter_map(|extra| ExtraName::from_str(extra).ok());
        let is_complete = |extra: &ExtraName| {
            let of = |extras: &[ExtraName]| {
                parsed[name].iter().filter(|one| one.marker.evaluate(&environment, extras)).collect::<Vec<_>>()
            };
            of(std::slice::from_ref(extra)).into_iter().all(|requirement| there(requirement).is_some())
        };
        extras.insert(name, provided.filter(is_complete).collect());
    }
    let mut edges: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for _ in 0..ROUNDS {
        let mut asked = extras.clone();
        for (name, requirements) in &parsed {
            let own: Vec<ExtraName> = extras.get(name).into_iter().flatten().cloned().collect();
            for requirement in requirements.iter().filter(|one| one.marker.evaluate(&environment, &own)) {
                if let Some(other) = there(requirement).filter(|other| other != name) {
                    edges.entry(name).or_default().insert(other);
                    asked.entry(other).or_default().extend(requirement.extras.iter().cloned());
                }
            }
        }
        // Extras ask for further ones, until there are no more.
        if asked == extras {
            break;
        }
        extras = asked;
    }
    edges
}

fn parse(text: &str) -> Option<Requirement<Url>> {
    (text.matches('(').count() <= BRACKETS).then(|| Requirement::from_str(text).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(list: &[(&'static str, &[&str], &[&str])]) -> String {
        let owned: Vec<_> = list
            .iter()
            .map(|(name, requires, extras)| {
                let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
                (*name, texts(requires), texts(extras))
            })
            .collect();
        let distributions =
            owned.iter().map(|(name, requires, extras)| (*name, Metadata { requires, extras })).collect();
        let target = Target::new("3.14", "linux/amd64".parse().unwrap(), "2.43").unwrap();
        let edges = edges(&distributions, &target);
        edges
            .iter()
            .map(|(from, to)| format!("{from}: {}\n", to.iter().copied().collect::<Vec<_>>().join(" ")))
            .collect()
    }

    #[test]
    fn requirements_that_apply_are_edges() {
        let text = found(&[
            ("a", &["B.c>=1", "d; python_version < '3.0'", "absent", "not a requirement ("], &[]),
            ("b-c", &["d ; sys_platform == 'linux'", "b_c[all]"], &[]),
            ("d", &[], &[]),
        ]);
        insta::assert_snapshot!(text, @r"
        a: b-c
        b-c: d
        ");
    }

    #[test]
    fn extras_count_where_they_are_asked_for() {
        let text = found(&[
            (
                "app",
                &["lib[fast]", "tool; extra == 'dev'", "more; extra == 'all'", "tool; extra == 'all'"],
                &["dev", "all"],
            ),
            ("lib", &["speed; extra == 'fast'", "tool; extra == 'slow'"], &["fast", "slow"]),
            ("speed", &[], &[]),
            ("tool", &[], &[]),
        ]);
        insta::assert_snapshot!(text, @r"
        app: lib tool
        lib: speed
        ");
    }

    /// Two distributions whose extras ask for each other's, one by one, took hours.
    #[test]
    fn countless_rounds_of_extras_end() {
        let one: Vec<String> =
            (0..2000).map(|n| format!("b[x{n}]; extra == 'x{n}'")).chain(["b[x0]".to_owned()]).collect();
        let other: Vec<String> = (0..2000).map(|n| format!("a[x{}]; extra == 'x{n}'", n + 1)).collect();
        let distributions = BTreeMap::from([
            ("a", Metadata { requires: &one, extras: &[] }),
            ("b", Metadata { requires: &other, extras: &[] }),
        ]);
        let target = Target::new("3.14", "linux/amd64".parse().unwrap(), "2.43").unwrap();
        assert_eq!(edges(&distributions, &target), BTreeMap::from([("a", ["b"].into()), ("b", ["a"].into())]));
    }
}
