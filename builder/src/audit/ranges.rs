//! Which versions an advisory is about (OSV schema, "Evaluation").

use std::cmp::Ordering;
use std::str::FromStr as _;

use pep440_rs::Version;

use super::finding::Kind;
use crate::debian::version as debian;

/// Compares two versions in the order of their ecosystem; `None` if one of them is none of it.
pub(super) fn compare(kind: Kind, left: &str, right: &str) -> Option<Ordering> {
    match kind {
        Kind::Package => Some(debian::compare(left, right)),
        Kind::Wheel => Some(Version::from_str(left).ok()?.cmp(&Version::from_str(right).ok()?)),
        Kind::Crate => semantic(left, right),
    }
}

/// The order of Semantic Versioning 2.0.0 (section 11). Numbers may have any length, and missing ones are zero.
fn semantic(left: &str, right: &str) -> Option<Ordering> {
    let (left, right) = (Semantic::parse(left)?, Semantic::parse(right)?);
    let numbers = left.numbers.iter().zip(&right.numbers).map(|(l, r)| number(l, r));
    let numbers = numbers.fold(Ordering::Equal, Ordering::then);
    Some(numbers.then_with(|| match (left.before, right.before) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(left), Some(right)) => identifiers(left, right),
    }))
}

struct Semantic<'a> {
    numbers: [&'a str; 3],
    /// What marks a version before the release.
    before: Option<&'a str>,
}

impl<'a> Semantic<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (text, _build) = text.split_once('+').unwrap_or((text, ""));
        let (release, before) = text.split_once('-').map_or((text, None), |(release, before)| (release, Some(before)));
        let mut numbers = ["0"; 3];
        for (at, part) in release.split('.').enumerate() {
            *numbers.get_mut(at)? = part;
        }
        let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        numbers.iter().all(is_number).then_some(Self { numbers, before })
    }
}

fn number(left: &str, right: &str) -> Ordering {
    let (left, right) = (left.trim_start_matches('0'), right.trim_start_matches('0'));
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

fn identifiers(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left.split('.'), right.split('.'));
    loop {
        let (l, r) = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(l), Some(r)) => (l, r),
        };
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let order = match (is_number(l), is_number(r)) {
            (true, true) => number(l, r),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => l.cmp(r),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Where a range of versions begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event<'a> {
    /// The first version with the fault; `0` is before all versions.
    Introduced(&'a str),
    /// The first one without it.
    Fixed(&'a str),
    /// The last one with it.
    LastAffected(&'a str),
    /// Versions from here on are not looked at.
    Limit(&'a str),
}

impl<'a> Event<'a> {
    fn version(self) -> &'a str {
        match self {
            Self::Introduced(version) | Self::Fixed(version) | Self::LastAffected(version) | Self::Limit(version) => {
                version
            }
        }
    }
}

/// Whether a range has the version. What cannot be compared is taken as it is safe: a beginning as one before all versions,
/// an end as none.
pub(super) fn contains(kind: Kind, version: &str, events: &[Event<'_>]) -> bool {
    let order = |event: &Event<'_>| compare(kind, event.version(), version);
    let begins = |event: &Event<'_>| matches!(event, Event::Introduced(_));
    let is_first = |event: &Event<'_>| begins(event) && (event.version() == "0" || order(event).is_none());
    let limits = || events.iter().filter(|event| matches!(event, Event::Limit(limit) if *limit != "*"));
    if limits().next().is_some() && limits().all(|limit| order(limit).is_some_and(Ordering::is_le)) {
        return false;
    }
    let mut affected = !events.is_empty() && (events.iter().any(is_first) || !events.iter().any(begins));
    // The events up to the version, in the order of versions: the last one decides.
    let mut passed: Vec<Event<'_>> = events
        .iter()
        .copied()
        .filter(|event| !is_first(event))
        .filter(|event| match event {
            Event::Introduced(_) | Event::Fixed(_) => order(event).is_some_and(Ordering::is_le),
            Event::LastAffected(_) => order(event).is_some_and(Ordering::is_lt),
            Event::Limit(_) => false,
        })
        .collect();
    passed.sort_by(|one, other| compare(kind, one.version(), other.version()).unwrap_or(Ordering::Equal));
    if let Some(last) = passed.last() {
        affected = begins(last);
    }
    affected
}

/// The lowest version above `version` in which the fault is fixed.
pub(super) fn fixed<'a>(kind: Kind, version: &str, events: &[Event<'a>]) -> Option<&'a str> {
    let fixes = events.iter().filter_map(|event| match event {
        Event::Fixed(fixed) => compare(kind, fixed, version).is_some_and(Ordering::is_gt).then_some(*fixed),
        _ => None,
    });
    fixes.min_by(|one, other| compare(kind, one, other).unwrap_or(Ordering::Equal))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Event::{Fixed, Introduced, LastAffected, Limit};
    use super::*;

    #[test]
    fn each_ecosystem_has_its_order() {
        let less = |kind, left, right| assert_eq!(compare(kind, left, right), Some(Ordering::Less), "{left} {right}");
        less(Kind::Package, "1.0~rc1-1", "1.0-1");
        less(Kind::Package, "9", "1:0");
        less(Kind::Wheel, "1.0rc1", "1.0");
        less(Kind::Wheel, "1.9", "1!0.1");
        less(Kind::Wheel, "1.0", "1.0.post1");
        let ascending =
            ["0.0.0-0", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta.2", "1.0.0-beta.11"];
        for pair in ascending.windows(2) {
            less(Kind::Crate, pair[0], pair[1]);
        }
        less(Kind::Crate, "1.0.0-rc.1", "1.0.0+build");
        less(Kind::Crate, "1.9.0", "1.18446744073709551616.0");
        assert_eq!(compare(Kind::Crate, "1.0.0+a", "1.0+b"), Some(Ordering::Equal));
        for (kind, text) in [(Kind::Crate, "1.x"), (Kind::Crate, "1.2.3.4"), (Kind::Crate, ""), (Kind::Wheel, "?")] {
            assert_eq!(compare(kind, text, "1.0.0"), None, "{text}");
        }
    }

    #[test]
    fn ranges_begin_and_end_at_their_events() {
        let of = |version: &str, events: &[Event<'_>]| contains(Kind::Crate, version, events);
        let twice = [Introduced("0"), Fixed("1.2.0"), Introduced("2.0.0"), Fixed("2.1.0")];
        let found =
            ["0.1.0", "1.2.0-rc.1", "1.2.0", "1.9.0", "2.0.0", "2.1.0", "3.0.0"].map(|version| of(version, &twice));
        assert_eq!(found, [true, true, false, false, true, false, false]);
        // In any order.
        let turned: Vec<_> = twice.iter().rev().copied().collect();
        assert!(of("2.0.5", &turned) && !of("1.5.0", &turned));
        let last = [Introduced("1.0.0"), LastAffected("1.4.0")];
        assert_eq!(["0.9.0", "1.0.0", "1.4.0", "1.4.1"].map(|v| of(v, &last)), [false, true, true, false]);
        let limited = [Introduced("0"), Limit("2.0.0")];
        assert!(of("1.0.0", &limited) && !of("2.0.0", &limited) && of("9.0.0", &[Introduced("0"), Limit("*")]));
        assert!(!of("1.0.0", &[]));
        assert_eq!(fixed(Kind::Crate, "0.1.0", &twice), Some("1.2.0"));
        assert_eq!(fixed(Kind::Crate, "2.0.0", &twice), Some("2.1.0"));
        assert_eq!(fixed(Kind::Crate, "2.1.0", &twice), None);
    }

    /// A missed finding is worse than one too many.
    #[test]
    fn what_cannot_be_compared_does_not_hide_a_finding() {
        assert!(contains(Kind::Wheel, "1.0", &[Introduced("first")]));
        assert!(contains(Kind::Wheel, "1.0", &[Introduced("0"), Fixed("later")]));
        assert!(contains(Kind::Wheel, "1.0", &[Fixed("2.0")]) && !contains(Kind::Wheel, "2.0", &[Fixed("2.0")]));
        assert!(contains(Kind::Wheel, "no version", &[Introduced("0"), Fixed("2.0")]));
    }

    fn event() -> impl Strategy<Value = (u8, String)> {
        (0..4_u8, "[0-9.a~+*-]{0,5}")
    }

    proptest! {
        #[test]
        fn no_range_panics(version in "[0-9.a~+-]{0,5}", list in prop::collection::vec(event(), 0..6)) {
            for kind in [Kind::Package, Kind::Wheel, Kind::Crate] {
                let events: Vec<Event<'_>> = list.iter().map(|(which, text)| match which {
                    0 => Introduced(text),
                    1 => Fixed(text),
                    2 => LastAffected(text),
                    _ => Limit(text),
                }).collect();
                contains(kind, &version, &events);
                fixed(kind, &version, &events);
            }
        }

        #[test]
        fn the_order_of_events_does_not_matter_where_versions_differ(version in 0..6_u8, cut in 1..5_u8) {
            let (low, high, version) = (cut.to_string(), (cut + 1).to_string(), version.to_string());
            let events = [Introduced(&low), Fixed(&high)];
            let turned = [events[1], events[0]];
            let [own, other] = [&events, &turned].map(|events| contains(Kind::Wheel, &version, events));
            prop_assert_eq!(own, other);
            prop_assert_eq!(own, version == low);
        }
    }
}
