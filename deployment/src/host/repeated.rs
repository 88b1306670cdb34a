//! Log lines that repeat: a program that tries again and again, or is started again and again.

/// How many last lines of a log are searched for what repeats.
pub(super) const SEARCHED: usize = 200;
/// Most lines of a block that repeats.
const BLOCK: usize = 50;

/// The end of a log, at most `most` lines: each block of lines that follows itself is written once, as it was last, and how often
/// it is there. Lines are the same that differ in their times and process numbers only.
pub(super) fn last(log: &[&str], most: usize) -> Vec<String> {
    let shown = collapsed(&log[log.len().saturating_sub(SEARCHED)..]);
    shown[shown.len().saturating_sub(most)..].to_vec()
}

fn collapsed(lines: &[&str]) -> Vec<String> {
    let keys: Vec<String> = lines.iter().map(|line| key(line)).collect();
    let (mut groups, mut end) = (Vec::new(), lines.len());
    while end > 0 {
        let sizes = (1..=BLOCK.min(end / 2)).rev().map(|size| (size, times(&keys[..end], size)));
        // That which stands for most lines; of those, the shortest.
        let repeated = sizes.filter(|(_, times)| *times > 1).max_by_key(|(size, times)| size * times);
        let (size, times) = repeated.unwrap_or((1, 1));
        let block = &lines[end - size..end];
        let mut group: Vec<String> = block.iter().map(|&line| line.to_owned()).collect();
        match (times, block) {
            (1, _) => {}
            (_, [line]) => group = vec![format!("{line} ({times} times)")],
            _ => group.push(format!("({times} times these {size} lines)")),
        }
        groups.push(group);
        let before = end - size * times;
        // The first of these blocks may be cut off.
        let is_cut_off = times > 1 && before < size && keys[..before] == keys[end - before..end];
        end = if is_cut_off { 0 } else { before };
    }
    groups.into_iter().rev().flatten().collect()
}

/// How often the last `size` lines are there one after the other.
fn times(keys: &[String], size: usize) -> usize {
    let last = &keys[keys.len() - size..];
    keys.rchunks_exact(size).take_while(|block| *block == last).count()
}

/// A line without what differs each time: times, dates and process numbers.
pub(super) fn key(line: &str) -> String {
    let (mut key, mut rest) = (String::new(), line);
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, from) = rest.split_at(at);
        let end = from.find(|c: char| !(c.is_ascii_digit() || ":.,/-+TZ".contains(c))).unwrap_or(from.len());
        let (number, after) = from.split_at(end);
        key += before;
        key += if is_time(number) || is_process(before, after) { "#" } else { number };
        rest = after;
    }
    key + rest
}

/// Whether digits, and what is between them, are a date, a time of day, or seconds since 1970.
fn is_time(number: &str) -> bool {
    let shape: String = number.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    ["00:00:00", "0000-00-00", "0000/00/00", "0000000000"].iter().any(|part| shape.contains(part))
}

/// Whether a number is that of a process: `[7]`, `pid 7`, `pid: 7`.
fn is_process(before: &str, after: &str) -> bool {
    let before = before.trim_end_matches([' ', ':', '=']).to_lowercase();
    before.ends_with('[') && after.starts_with(']') || ["pid", "process"].iter().any(|word| before.ends_with(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        last(&text.split(' ').collect::<Vec<_>>(), 20).join("\n")
    }

    /// `doctor` printed the same line fifteen times.
    #[test]
    fn a_line_or_a_block_that_repeats_is_shown_once() {
        assert_eq!(shown("a b c"), "a\nb\nc");
        assert_eq!(shown("a x x x b"), "a\nx (3 times)\nb");
        assert_eq!(shown("start no start no start no end"), "start\nno\n(3 times these 2 lines)\nend");
        assert_eq!(shown("a x x a x x"), "a\nx\nx\n(2 times these 3 lines)");
        assert_eq!(last(&[], 20), Vec::<String>::new());
    }

    /// The last twenty lines of a log begin anywhere.
    #[test]
    fn a_block_that_is_cut_off_at_the_beginning_is_left_out() {
        assert_eq!(shown("no end start no end start no end"), "start\nno\nend\n(2 times these 3 lines)");
        assert_eq!(shown("other start no end start no end"), "other\nstart\nno\nend\n(2 times these 3 lines)");
    }

    /// Each start had its own time and its own numbers of processes, and the reason was three screens above.
    #[test]
    fn times_and_numbers_of_processes_make_no_difference() {
        let log = [
            "2026-11-28 01:00:00.123 UTC [1] LOG:  starting",
            "2026-11-28 01:00:00.130 UTC [1] FATAL:  data directory has wrong ownership",
            "2026-11-28 01:00:02.456 UTC [7] LOG:  starting",
            "2026-11-28 01:00:02.460 UTC [7] FATAL:  data directory has wrong ownership",
        ];
        let expected = [log[2], log[3], "(2 times these 2 lines)"];
        assert_eq!(last(&log, 20), expected);
        let same = |one: &str, other: &str| key(one) == key(other);
        assert!(same(
            "[2026-11-28 01:00:00 +0000] [7] Booting worker with pid: 8",
            "[2026-11-29 02:00:00 +0000] [9] Booting worker with pid: 10"
        ));
        assert!(same(r#"{"ts":1795827600.12,"msg":"x"}"#, r#"{"ts":1795827601.5,"msg":"x"}"#));
        assert!(same("2026/11/28 01:00:00 [emerg] 1#1: no", "2026/11/28 01:00:07 [emerg] 1#1: no"));
        assert!(!same("line 12: wrong", "line 13: wrong"));
        assert!(!same("connect to 10.0.0.1:8080", "connect to 10.0.0.2:8080"));
    }
}
