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

/// Longest requirement that is looked at, in bytes.
const LONGEST: usize = 4096;
/// Most extras of a distribution that are asked for.
const EXTRAS: usize = 1000;
/// Nodes of the decision diagrams of all markers: the parser never forgets any. Those of real distributions have some ten each.
const DIAGRAMS: u64 = 1 << 20;

/// For each of the distributions (by normalised name) those that it requires and that are there. Extras count where a
/// distribution asks for them; those of a distribution that no other one requires, where all they need is there.
#[must_use]
pub fn edges<'a>(
    distributions: &BTreeMap<&'a str, Metadata<'a>>,
    target: &Target,
) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
    let mut left = DIAGRAMS;
    let parsed: BTreeMap<&str, Vec<Requirement<Url>>> = distributions
        .iter()
        .map(|(name, metadata)| (*name, metadata.requires.iter().filter_map(|text| parse(text, &mut left)).collect()))
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
                    let asked = asked.entry(other).or_default();
                    asked.extend(requirement.extras.iter().take(EXTRAS.saturating_sub(asked.len())).cloned());
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

/// Parses a requirement. `left` is what remains of [`DIAGRAMS`].
fn parse(text: &str, left: &mut u64) -> Option<Requirement<Url>> {
    // The parser ends the program at some other characters, and calls itself for each bracket.
    if text.len() > LONGEST || !text.is_ascii() || text.matches('(').count() > BRACKETS {
        return None;
    }
    // It makes a decision diagram of the marker, which has as many nodes as there are ways through pairs of conditions.
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c));
    let operators = words.filter(|word| ["and", "or"].contains(word)).count();
    *left = left.checked_sub(u32::try_from(operators / 2).ok().and_then(|pairs| 1_u64.checked_shl(pairs))?)?;
    Requirement::from_str(text).ok()
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

    /// A marker of 60 conditions took the memory of the machine; one with a letter that is not ASCII ended the program.
    #[test]
    fn hostile_requirements_are_skipped() {
        let pairs: Vec<String> = (0..30).map(|n| format!("extra == 'a{n}' and extra == 'b{n}'")).collect();
        let exponential = format!("b; {}", pairs.join(" or "));
        let long = format!("b[{}]", "x,".repeat(10_000) + "x");
        let list: Vec<&str> = vec![&exponential, &long, "b; python_version > '3'\u{e9}", "c"];
        assert_eq!(found(&[("a", &list, &[]), ("b", &[], &[]), ("c", &[], &[])]), "a: c\n");
        // Many of them are as bad as one.
        let many: Vec<String> =
            (0..4000).map(|n| format!("b; {}", pairs[..10].join(" or ") + &format!(" or extra == 'c{n}'"))).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(found(&[("a", &many, &[]), ("b", &[], &[])]), "");
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
