//! The times at which a scheduled service runs: a subset of the calendar events that `OnCalendar=` of a systemd timer takes
//! (systemd.time(7), "Calendar events").
//!
//! ```text
//! event    = (name | [weekdays " "] [date " "] [time]) [" UTC"]        at least one part before UTC
//! name     = minutely | hourly | daily | weekly | monthly | quarterly | semiannually | yearly | annually
//! weekdays = day {"," day} | day ".." day      Mon or Monday, of any case
//! date     = [year "-"] month ("-" | "~") day        ~ counts days from the end of the month
//! time     = hour ":" minute [":" second]
//! year, month, day, hour, minute, second = "*" | part {"," part}
//! part     = number [".." number] ["/" step]
//! ```

/// Names of events.
const NAMES: [&str; 9] =
    ["minutely", "hourly", "daily", "weekly", "monthly", "quarterly", "semiannually", "yearly", "annually"];

/// Names of days, the first one the first of a week.
const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// The numbers that a component takes.
type Bounds = (u32, u32);
const YEAR: Bounds = (1970, 2199);
const MONTH: Bounds = (1, 12);
const DAY: Bounds = (1, 31);
/// Months without 29 days have no more days from their end.
const DAY_FROM_END: Bounds = (1, 28);
const HOUR: Bounds = (0, 23);
const MINUTE: Bounds = (0, 59);

/// Checks that `text` is a calendar event.
///
/// # Errors
/// What is wrong with it, as a sentence without a full stop.
pub(super) fn check(text: &str) -> Result<(), String> {
    let mut words: Vec<&str> = text.split(' ').collect();
    if words.len() > 1 && words.last().is_some_and(|last| last.eq_ignore_ascii_case("UTC")) {
        words.pop();
    }
    if matches!(words[..], [word] if NAMES.iter().any(|name| name.eq_ignore_ascii_case(word))) {
        return Ok(());
    }
    let mut words = words.into_iter().peekable();
    if let Some(days) = words.next_if(|word| word.starts_with(|c: char| c.is_ascii_alphabetic())) {
        weekdays(days)?;
    }
    if let Some(date) = words.next_if(|word| word.contains(['-', '~'])) {
        self::date(date)?;
    }
    if let Some(time) = words.next_if(|word| word.contains(':')) {
        self::time(time)?;
    }
    match words.next() {
        None => Ok(()),
        Some("") => Err("its parts have single blanks between them".into()),
        Some(word) => Err(format!("`{word}` is no weekday, date (2030-12-31) or time (03:00) at its place")),
    }
}

fn weekdays(text: &str) -> Result<(), String> {
    for part in text.split(',') {
        let days: Vec<usize> = part.split("..").map(weekday).collect::<Result<_, _>>()?;
        if !matches!(days[..], [_]) && !matches!(days[..], [first, last] if first < last) {
            return Err(format!("`{part}` is no range of weekdays, from Monday to Sunday"));
        }
    }
    Ok(())
}

fn weekday(word: &str) -> Result<usize, String> {
    let lower = word.to_ascii_lowercase();
    let found = DAYS.iter().position(|day| *day == lower || day[..3] == lower);
    found.ok_or_else(|| format!("`{word}` is neither a weekday, such as Mon, nor one of {}", NAMES.join(", ")))
}

fn date(text: &str) -> Result<(), String> {
    let (before, day, bounds) = match text.rsplit_once(['-', '~']) {
        Some((before, day)) if text.as_bytes()[before.len()] == b'~' => (before, day, DAY_FROM_END),
        Some((before, day)) => (before, day, DAY),
        None => return Err(format!("`{text}` is no date")),
    };
    let (years, month) = match before.split_once('-') {
        Some((year, month)) => (component("year", year, YEAR, false)?, month),
        None => ((YEAR.0..=YEAR.1).collect(), before),
    };
    let months = component("month", month, MONTH, false)?;
    if bounds == DAY_FROM_END {
        // systemd 252 takes 28 for the first part of a list, 25 for the second, and so on, after it has sorted them.
        let more = u32::try_from(day.matches(',').count()).unwrap_or(u32::MAX);
        return component("day", day, (1, DAY_FROM_END.1.saturating_sub(more.saturating_mul(3))), true).map(drop);
    }
    let first = component("day", day, bounds, false)?.into_iter().min().unwrap_or_default();
    let longest = |month: &u32| match month {
        2 => 28 + u32::from(years.iter().any(|year| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0))),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    match months.iter().any(|month| first <= longest(month)) {
        true => Ok(()),
        false => Err(format!("`{text}` never comes: no such month has a day {first}")),
    }
}

fn time(text: &str) -> Result<(), String> {
    let mut parts = text.splitn(3, ':');
    component("hour", parts.next().unwrap_or_default(), HOUR, false)?;
    component("minute", parts.next().unwrap_or_default(), MINUTE, false)?;
    parts.next().map_or(Ok(()), |second| component("second", second, MINUTE, false).map(drop))
}

/// The numbers of a component: a list of numbers, ranges and steps. `backwards`: steps lead to lower numbers.
fn component(what: &str, text: &str, (least, most): Bounds, backwards: bool) -> Result<Vec<u32>, String> {
    if text == "*" {
        return Ok((least..=most).collect());
    }
    let mut numbers = Vec::new();
    for part in text.split(',') {
        let wrong = || format!("`{part}` is no {what}: use * or {least} to {most}, ranges (1..5) and steps (0/2)");
        let number = |digits: &str| -> Option<u32> {
            let plain = (1..=4).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
            plain.then(|| digits.parse().ok()).flatten()
        };
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, number(step).filter(|step| *step > 0).ok_or_else(wrong)?),
            None => (part, 0),
        };
        let (first, last) = match range.split_once("..") {
            Some((first, last)) => (number(first).ok_or_else(wrong)?, Some(number(last).ok_or_else(wrong)?)),
            None => (number(range).ok_or_else(wrong)?, None),
        };
        let inside = |number: u32| (least..=most).contains(&number);
        // A step that leads nowhere is a mistake, also for systemd.
        let steps = match last {
            Some(last) => first < last && first + step <= last,
            None if step == 0 => true,
            None if backwards => first >= least + step,
            None => first + step <= most,
        };
        if !inside(first) || last.is_some_and(|last| !inside(last)) || !steps {
            return Err(wrong());
        }
        let each = step.max(1) as usize;
        match last {
            Some(last) => numbers.extend((first..=last).step_by(each)),
            None if step == 0 => numbers.push(first),
            None if backwards => numbers.extend((least..=first).rev().step_by(each)),
            None => numbers.extend((first..=most).step_by(each)),
        }
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn events_as_the_manual_of_systemd_has_them() {
        for event in [
            "daily",
            "Weekly",
            "Mon",
            "03:00",
            "Mon *-*-* 03:00",
            "Mon..Fri 22:30",
            "Sat,Sun 10:00",
            "*-*-01 04:00:00",
            "*-*~1",
            "*-02~03",
            "Mon *-05~07/1",
            "*:0/15",
            "*-*-* *:*:0/10",
            "2030-01-01",
            "10-15",
            "01..05-01,15 3:5 UTC",
            "monday,Wednesday 2030..2032/2-*-*",
            "*-1/3-1",
            "daily UTC",
            "*-*~5/2",
            "*-*~1..3/2",
            "*-*~25,1",
            "*-*~2,22,1",
        ] {
            assert_eq!(check(event), Ok(()), "{event}");
        }
        for event in [
            "",
            " ",
            "UTC",
            "fortnightly",
            "Mon  03:00",
            "03:00 Mon",
            "24:00",
            "3:60",
            "*-13-01",
            "*-*-32",
            "*-*~29",
            "*-*~26,1",
            "*-*~7..16,24..26",
            "Fri..Mon",
            "Mon..Mon",
            "Mo",
            "*:0/60",
            "*:*/0",
            "5..3:00",
            "3",
            "3:00:00.5",
            "* * * * *",
            "0 3 * * *",
            "2030-01-01T00:00",
            "@0",
            "daily Mon",
            "*-*~1/1",
            "3:*,5",
            "*-*~*/2",
            "03:00 Europe/Paris",
            "*-*-*\n",
            "1000-1-1",
            "3:00 %i",
        ] {
            assert!(check(event).is_err(), "{event}");
        }
        assert_eq!(
            check("tomorrow").unwrap_err(),
            format!("`tomorrow` is neither a weekday, such as Mon, nor one of {}", NAMES.join(", "))
        );
        assert_eq!(check("Mon 3").unwrap_err(), "`3` is no weekday, date (2030-12-31) or time (03:00) at its place");
        assert_eq!(check("25:00").unwrap_err(), "`25` is no hour: use * or 0 to 23, ranges (1..5) and steps (0/2)");
    }

    /// A backup was scheduled for the 30th of February.
    #[test]
    fn a_day_that_never_comes_is_refused() {
        for event in ["*-02-30 03:30", "2-30", "*-4,6,9/2-31", "2027-02-29", "2025..2027-2-29..31"] {
            assert!(check(event).unwrap_err().contains("never comes"), "{event}");
        }
        for event in ["*-02-29", "2024..2030-2-29", "*-2-30,1", "*-1,2-31", "*-1/1-30..31", "*-02~1"] {
            assert_eq!(check(event), Ok(()), "{event}");
        }
    }

    /// A component within `bounds`, or sometimes one outside of them.
    fn numbers((least, most): Bounds) -> impl Strategy<Value = String> {
        let number = least..=most + 1;
        let part = prop_oneof![
            4 => Just("*".to_owned()),
            4 => number.clone().prop_map(|number| number.to_string()),
            2 => (number.clone(), number.clone()).prop_map(|(first, last)| format!("{first}..{last}")),
            2 => (number.clone(), 0..70_u32).prop_map(|(first, step)| format!("{first}/{step}")),
            1 => (0..70_u32).prop_map(|step| format!("*/{step}")),
            1 => (number.clone(), number, 0..40_u32).prop_map(|(a, b, step)| format!("{a}..{b}/{step}")),
        ];
        proptest::collection::vec(part, 1..3).prop_map(|parts| parts.join(","))
    }

    fn events() -> impl Strategy<Value = String> {
        let day = proptest::sample::select(vec!["", "Mon ", "Mon..Fri ", "Sat,Sunday ", "Sun..Mon "]);
        let dash = proptest::sample::select(vec!["-", "~"]);
        let zone = proptest::sample::select(vec!["", " UTC"]);
        let date = (numbers(YEAR), numbers(MONTH), dash, numbers(DAY_FROM_END));
        let time = (numbers(HOUR), numbers(MINUTE), numbers(MINUTE));
        (day, date, time, zone).prop_map(|(day, (year, month, dash, date), (hour, minute, second), zone)| {
            format!("{day}{year}-{month}{dash}{date} {hour}:{minute}:{second}{zone}")
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() })]
        /// What is accepted here, the timer on the host has to accept.
        #[test]
        fn systemd_takes_what_is_accepted(events in proptest::collection::vec(events(), 25)) {
            let accepted: Vec<&String> = events.iter().filter(|event| check(event).is_ok()).collect();
            if let (false, Ok(output)) =
                (accepted.is_empty(), Command::new("systemd-analyze").arg("calendar").args(&accepted).output())
            {
                prop_assert!(output.status.success(), "{accepted:?}: {}", String::from_utf8_lossy(&output.stderr));
            }
        }

        #[test]
        fn any_text_is_judged(text in "[0-9*.,:/~a-zA-Z -]{0,40}") {
            let _ = check(&text);
        }
    }
}
