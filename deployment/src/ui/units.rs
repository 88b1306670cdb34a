//! Sizes and durations for people.

use std::time::Duration;

/// The sum of sizes, or the largest number if it is larger: sizes that somebody made up need not have a sum.
#[must_use]
pub fn total(sizes: impl IntoIterator<Item = u64>) -> u64 {
    sizes.into_iter().fold(0, u64::saturating_add)
}

/// A number of bytes in powers of ten: `999 B`, `1.2 kB`, `112.3 MB`.
#[must_use]
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if n < 1000 {
        return format!("{n} B");
    }
    // Tenths of the unit, rounded half up in whole numbers: exact for every u64.
    let mut unit = 0;
    let mut one: u128 = 1000;
    let tenths = loop {
        let tenths = (u128::from(n) * 10 + one / 2) / one;
        if tenths < 10_000 || unit + 1 == UNITS.len() {
            break tenths;
        }
        unit += 1;
        one *= 1000;
    };
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// A number of things: `1 file`, `2 files`.
#[must_use]
pub fn count(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

/// A duration: `0.4 s`, `12.3 s`, `2 min 5 s`, `1 h 2 min`.
#[must_use]
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{}.{} s", seconds, time.subsec_millis() / 100),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_in_powers_of_ten() {
        let shown = [0, 999, 1000, 1049, 1050, 999_949, 999_950, 112_345_678, u64::MAX].map(bytes).join(", ");
        insta::assert_snapshot!(shown, @"0 B, 999 B, 1.0 kB, 1.0 kB, 1.1 kB, 999.9 kB, 1.0 MB, 112.3 MB, 18.4 EB");
    }

    #[test]
    fn durations() {
        let shown = [0, 449, 59_999, 60_000, 3_599_000, 3_725_000].map(|ms| duration(Duration::from_millis(ms)));
        insta::assert_snapshot!(shown.join(", "), @"0.0 s, 0.4 s, 59.9 s, 1 min 0 s, 59 min 59 s, 1 h 2 min");
    }
}
