//! Dates: parsed from archives, formatted for messages.

use jiff::Timestamp;
use jiff::fmt::rfc2822;

/// Seconds since 1970 of `Fri, 30 Oct 2026 08:08:01 UTC`. The format is that of mail (RFC 5322): UTC is written in several
/// ways, other zones as an offset (`+0200`). Names of other zones are not accepted. As for apt, the day of the week does
/// not count.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let (time, zone) = text.trim().rsplit_once(char::is_whitespace)?;
    let offset = match zone {
        "UTC" | "UT" | "GMT" | "Z" => "+0000",
        offset if offset.starts_with(['+', '-']) => offset,
        _ => return None,
    };
    let parser = rfc2822::DateTimeParser::new().relaxed_weekday(true);
    let timestamp = parser.parse_timestamp(format!("{time} {offset}")).ok()?;
    u64::try_from(timestamp.as_second()).ok()
}

/// The day in UTC: `2026-11-06`.
pub(super) fn day(seconds: u64) -> String {
    let timestamp = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    timestamp.map_or_else(|| format!("second {seconds}"), |timestamp| timestamp.strftime("%Y-%m-%d").to_string())
}

/// The time as archives of past times write it: `20261106T080801Z`.
pub(crate) fn compact(seconds: u64) -> String {
    let timestamp = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    timestamp.unwrap_or(Timestamp::MAX).strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// Seconds since 1970 of a time that a user writes: `2026-11-06` (its beginning in UTC), `20261106T080801Z`, or as in
/// RFC 3339.
pub(crate) fn moment(text: &str) -> Option<u64> {
    let is_day = text.len() == "2026-11-06".len() && !text.contains(['T', 't', ' ']);
    let full = if is_day { format!("{text}T00:00:00Z") } else { text.to_owned() };
    let timestamp: Timestamp = full.parse().ok()?;
    u64::try_from(timestamp.as_second()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_the_dates_of_archives() {
        assert_eq!(parse("Fri, 30 Oct 2026 08:08:01 UTC"), Some(1_793_347_681));
        assert_eq!(parse("Fri, 30 Oct 2026 08:08:01 +0000"), Some(1_793_347_681));
        assert_eq!(parse("Fri, 30 Oct 2026 10:08:01 +0200"), Some(1_793_347_681));
        assert_eq!(parse("Fri, 30 Oct 2026 02:38:01 -0530"), Some(1_793_347_681));
        assert_eq!(parse("Mon, 30 Oct 2026 08:08:01 -0000"), Some(1_793_347_681));
        assert_eq!(parse("30 Oct 2026 08:08:01 UTC"), Some(1_793_347_681));
        assert_eq!(parse("Thu, 1 Jan 1970 00:00:00 GMT"), Some(0));
        for text in [
            "",
            "today",
            "Fri, 30 Oct 2026 08:08:01",
            "Fri, 30 Oct 2026 08:08:01 CET",
            "Fri, 30 Oct 2026 08:08:01 +200",
            "30 Oct 1926 08:08:01 UTC",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(day(1_793_347_681), "2026-10-30");
        assert_eq!(compact(1_793_347_681), "20261030T080801Z");
        for text in ["20261030T080801Z", "2026-10-30T08:08:01Z", "2026-10-30T10:08:01+02:00"] {
            assert_eq!(moment(text), Some(1_793_347_681), "{text}");
        }
        assert_eq!(moment("2026-10-30").map(compact).as_deref(), Some("20261030T000000Z"));
        assert!(moment("yesterday").is_none() && moment("2026-10").is_none() && moment("1960-01-01").is_none());
    }
}
