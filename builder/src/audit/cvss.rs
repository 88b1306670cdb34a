//! The severity of a CVSS vector of version 3 or 2: that of its base score (CVSS 3.1 specification, sections 5 and 7.1; CVSS 2
//! guide, section 3.2.1, with the words of the National Vulnerability Database for its scores).

use super::finding::Severity;

/// Scores round up to one digit: a score from 9.0 on is above this, before it is rounded.
const CRITICAL: f64 = 8.900_005;
const HIGH: f64 = 6.900_005;
const MEDIUM: f64 = 3.900_005;

/// Scores of version 2 are rounded to the nearest digit, and none is critical.
const OLD_HIGH: f64 = 6.949_995;
const OLD_MEDIUM: f64 = 3.949_995;

/// The severity; `Unknown` for other versions, for what is no vector, and for no impact at all.
pub(super) fn severity(vector: &str) -> Severity {
    if let Some(score) = old_score(vector) {
        return match score {
            score if score > OLD_HIGH => Severity::High,
            score if score > OLD_MEDIUM => Severity::Medium,
            score if score > 0.0 => Severity::Low,
            _ => Severity::Unknown,
        };
    }
    match score(vector) {
        Some(score) if score > CRITICAL => Severity::Critical,
        Some(score) if score > HIGH => Severity::High,
        Some(score) if score > MEDIUM => Severity::Medium,
        Some(score) if score > 0.0 => Severity::Low,
        _ => Severity::Unknown,
    }
}

/// The base score of version 2, before it is rounded. Its vectors begin with their first metric, some in brackets.
fn old_score(vector: &str) -> Option<f64> {
    let metrics = vector.trim_start_matches('(').trim_end_matches(')');
    let of = |name: &str, values: &[(&str, f64)]| weight(metrics, name, values);
    let exploitability = 20.0
        * of("AV", &[("L", 0.395), ("A", 0.646), ("N", 1.0)])?
        * of("AC", &[("H", 0.35), ("M", 0.61), ("L", 0.71)])?
        * of("Au", &[("M", 0.45), ("S", 0.56), ("N", 0.704)])?;
    let impact = |name| of(name, &[("N", 0.0), ("P", 0.275), ("C", 0.66)]);
    let impact = 10.41 * (1.0 - (1.0 - impact("C")?) * (1.0 - impact("I")?) * (1.0 - impact("A")?));
    Some(if impact > 0.0 { (0.6 * impact + 0.4 * exploitability - 1.5) * 1.176 } else { 0.0 })
}

/// The number for the value of a metric.
fn weight(metrics: &str, name: &str, values: &[(&str, f64)]) -> Option<f64> {
    let value = metrics.split('/').find_map(|metric| metric.strip_prefix(name)?.strip_prefix(':'))?;
    values.iter().find(|(word, _)| *word == value).map(|(_, weight)| *weight)
}

/// The base score of version 3, before it is rounded.
fn score(vector: &str) -> Option<f64> {
    let metrics = vector.strip_prefix("CVSS:3.1/").or_else(|| vector.strip_prefix("CVSS:3.0/"))?;
    let of = |name: &str, values: &[(&str, f64)]| weight(metrics, name, values);
    let is_changed = of("S", &[("C", 1.0), ("U", 0.0)])? > 0.0;
    let privileges =
        if is_changed { [("N", 0.85), ("L", 0.68), ("H", 0.5)] } else { [("N", 0.85), ("L", 0.62), ("H", 0.27)] };
    let exploitability = 8.22
        * of("AV", &[("N", 0.85), ("A", 0.62), ("L", 0.55), ("P", 0.2)])?
        * of("AC", &[("L", 0.77), ("H", 0.44)])?
        * of("PR", &privileges)?
        * of("UI", &[("N", 0.85), ("R", 0.62)])?;
    let impact = |name| of(name, &[("H", 0.56), ("L", 0.22), ("N", 0.0)]);
    let base = 1.0 - (1.0 - impact("C")?) * (1.0 - impact("I")?) * (1.0 - impact("A")?);
    let impact = if is_changed { 7.52 * (base - 0.029) - 3.25 * (base - 0.02).powi(15) } else { 6.42 * base };
    if impact <= 0.0 {
        return Some(0.0);
    }
    let sum = impact + exploitability;
    Some(if is_changed { 1.08 * sum } else { sum }.min(10.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_score_decides() {
        for (metrics, word) in [
            ("AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "critical"), // 9.8
            ("AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", "critical"), // 10.0
            ("AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H", "high"),     // 7.5
            ("AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H/E:P", "high"), // 7.8
            ("AV:N/AC:H/PR:N/UI:R/S:U/C:H/I:H/A:N", "medium"),   // 6.8
            ("AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", "medium"),   // 6.1
            ("AV:N/AC:H/PR:N/UI:N/S:U/C:L/I:N/A:N", "low"),      // 3.7
            ("AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", "unknown"),  // 0.0
            ("AV:N/AC:L/PR:N/UI:N/S:X/C:H/I:H/A:H", "unknown"),
            ("AV:N", "unknown"),
        ] {
            assert_eq!(severity(&format!("CVSS:3.1/{metrics}")).word(), word, "{metrics}");
        }
        assert_eq!(severity("CVSS:4.0/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"), Severity::Unknown);
        assert_eq!(severity(""), Severity::Unknown);
    }

    #[test]
    fn scores_of_version_2_have_words_of_their_own() {
        for (vector, word) in [
            ("AV:N/AC:L/Au:N/C:C/I:C/A:C", "high"),             // 10.0
            ("AV:N/AC:L/Au:N/C:N/I:N/A:C", "high"),             // 7.8
            ("(AV:N/AC:L/Au:N/C:P/I:P/A:P)", "high"),           // 7.5
            ("AV:N/AC:M/Au:N/C:P/I:P/A:P", "medium"),           // 6.8
            ("AV:N/AC:L/Au:N/C:P/I:N/A:N/E:H/RL:OF", "medium"), // 5.0
            ("AV:L/AC:L/Au:N/C:N/I:N/A:P", "low"),              // 2.1
            ("AV:L/AC:H/Au:M/C:N/I:P/A:N", "low"),              // 0.8
            ("AV:N/AC:L/Au:N/C:N/I:N/A:N", "unknown"),          // 0.0
            ("AV:N/AC:L/Au:X/C:C/I:C/A:C", "unknown"),
        ] {
            assert_eq!(severity(vector).word(), word, "{vector}");
        }
    }
}
