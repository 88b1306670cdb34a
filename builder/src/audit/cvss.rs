//! The severity of a CVSS vector of version 3 (CVSS 3.1 specification, sections 5 and 7.1): that of its base score.

use super::finding::Severity;

/// Scores round up to one digit: a score from 9.0 on is above this, before it is rounded.
const CRITICAL: f64 = 8.900_005;
const HIGH: f64 = 6.900_005;
const MEDIUM: f64 = 3.900_005;

/// The severity; `Unknown` for other versions, for what is no vector, and for no impact at all.
pub(super) fn severity(vector: &str) -> Severity {
    match score(vector) {
        Some(score) if score > CRITICAL => Severity::Critical,
        Some(score) if score > HIGH => Severity::High,
        Some(score) if score > MEDIUM => Severity::Medium,
        Some(score) if score > 0.0 => Severity::Low,
        _ => Severity::Unknown,
    }
}

/// The base score, before it is rounded.
fn score(vector: &str) -> Option<f64> {
    let metrics = vector.strip_prefix("CVSS:3.1/").or_else(|| vector.strip_prefix("CVSS:3.0/"))?;
    let get = |name: &str| metrics.split('/').find_map(|metric| metric.strip_prefix(name)?.strip_prefix(':'));
    let of = |name: &str, values: &[(&str, f64)]| {
        let value = get(name)?;
        values.iter().find(|(word, _)| *word == value).map(|(_, weight)| *weight)
    };
    let is_changed = match get("S")? {
        "C" => true,
        "U" => false,
        _ => return None,
    };
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
}
