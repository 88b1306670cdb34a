//! The order of Debian versions: `[epoch:]upstream[-revision]` (Debian policy 5.6.12).

use std::cmp::Ordering;

/// Compares two versions. The order is total, also for texts that policy does not allow as versions. Different texts may
/// be equal (`1.0` and `0:1.00-0`).
#[must_use]
pub fn compare(left: &str, right: &str) -> Ordering {
    let (left, right) = (Parts::of(left), Parts::of(right));
    compare_part(left.epoch, right.epoch)
        .then_with(|| compare_part(left.upstream, right.upstream))
        .then_with(|| compare_part(left.revision, right.revision))
}

struct Parts<'a> {
    epoch: &'a str,
    upstream: &'a str,
    revision: &'a str,
}

impl<'a> Parts<'a> {
    /// A missing epoch or revision is empty, which compares like zero.
    fn of(version: &'a str) -> Self {
        let (epoch, rest) = version.split_once(':').unwrap_or(("", version));
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
        Self { epoch, upstream, revision }
    }
}

/// Compares, from the left, alternately a run without digits and a run of digits.
fn compare_part(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left.as_bytes(), right.as_bytes());
    while !left.is_empty() || !right.is_empty() {
        let (left_run, right_run) = (take_run(&mut left, false), take_run(&mut right, false));
        for at in 0..left_run.len().max(right_run.len()) {
            match weight(left_run.get(at)).cmp(&weight(right_run.get(at))) {
                Ordering::Equal => {}
                unequal => return unequal,
            }
        }
        let (left_run, right_run) = (take_run(&mut left, true), take_run(&mut right, true));
        let (left_run, right_run) = (without_zeros(left_run), without_zeros(right_run));
        // Without leading zeros the longer number is the larger one. An integer type would limit the length.
        match left_run.len().cmp(&right_run.len()).then_with(|| left_run.cmp(right_run)) {
            Ordering::Equal => {}
            unequal => return unequal,
        }
    }
    Ordering::Equal
}

/// Removes the longest prefix of digits, or of other characters, from `text` and returns it.
fn take_run<'a>(text: &mut &'a [u8], digits: bool) -> &'a [u8] {
    let end = text.iter().position(|byte| byte.is_ascii_digit() != digits).unwrap_or(text.len());
    let (run, rest) = text.split_at(end);
    *text = rest;
    run
}

fn without_zeros(digits: &[u8]) -> &[u8] {
    let start = digits.iter().position(|digit| *digit != b'0').unwrap_or(digits.len());
    &digits[start..]
}

/// `~` sorts before the end of a run, the end before letters, letters before everything else.
fn weight(byte: Option<&u8>) -> i32 {
    match byte {
        None => 0,
        Some(b'~') => -1,
        Some(letter) if letter.is_ascii_alphabetic() => i32::from(*letter),
        Some(other) => i32::from(*other) + 256,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sorts_as_policy_requires() {
        let ascending = [
            "~~",
            "~~a",
            "~",
            "0",
            "1.0~rc1-1",
            "1.0~rc1-1+b1",
            "1.0-1~bpo13+1",
            "1.0-1",
            "1.0-1+b1",
            "1.0-1.1",
            "1.0a-1",
            "1.0+dfsg-1",
            "1.0-1-1",
            "1.0.0-1",
            "1.2-1",
            "1.10-1",
            "18446744073709551616",
            "18446744073709551617",
            "1:0.1",
        ];
        for (place, left) in ascending.iter().enumerate() {
            for (other, right) in ascending.iter().enumerate() {
                assert_eq!(compare(left, right), place.cmp(&other), "{left} against {right}");
            }
        }
    }

    #[test]
    fn missing_parts_are_zero() {
        for (left, right) in [("1.0", "0:1.0"), ("1.0", "1.0-0"), ("1.0", "1.00"), ("1.0-a", "1.0-a0"), ("1.", "1.0")] {
            assert_eq!(compare(left, right), Ordering::Equal, "{left} against {right}");
        }
    }

    fn version() -> impl Strategy<Value = String> {
        // Few characters, so that equal beginnings are common.
        prop_oneof!["([01]:)?[0-2.a+~]{0,6}(-[01a~]{0,3})?", any::<String>()]
    }

    proptest! {
        #[test]
        fn order_is_antisymmetric(left in version(), right in version()) {
            prop_assert_eq!(compare(&left, &right), compare(&right, &left).reverse());
            prop_assert_eq!(compare(&left, &left), Ordering::Equal);
        }

        #[test]
        fn order_is_transitive(mut versions in prop::array::uniform3(version())) {
            versions.sort_by(|left, right| compare(left, right));
            prop_assert_ne!(compare(&versions[0], &versions[2]), Ordering::Greater);
            if compare(&versions[0], &versions[1]).is_lt() || compare(&versions[1], &versions[2]).is_lt() {
                prop_assert_eq!(compare(&versions[0], &versions[2]), Ordering::Less);
            }
        }

        #[test]
        fn a_tilde_sorts_before_the_end(stem in "[0-9][0-9a-z.+]{0,6}", rest in "[0-9a-z.+~]{0,4}") {
            prop_assert_eq!(compare(&format!("{stem}~{rest}"), &stem), Ordering::Less);
        }
    }
}
