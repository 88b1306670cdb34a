//! Log lines that repeat: a program that tries again and again, or is started again and again.

/// Most lines of a block that repeats.
const BLOCK: usize = 10;

/// The lines, with each block of lines that follows itself written once, and how often it is there.
pub(super) fn collapsed(lines: &[String]) -> Vec<String> {
    let (mut shown, mut rest) = (Vec::new(), lines);
    while !rest.is_empty() {
        let sizes = 1..=BLOCK.min(rest.len() / 2);
        let repeated = sizes.map(|size| (size, times(rest, size))).find(|(_, times)| *times > 1);
        let (size, times) = repeated.unwrap_or((1, 1));
        match (times, &rest[..size]) {
            (2.., [line]) => shown.push(format!("{line} ({times} times)")),
            (1, block) => shown.extend_from_slice(block),
            (_, block) => {
                shown.extend_from_slice(block);
                shown.push(format!("({times} times these {size} lines)"));
            }
        }
        rest = &rest[size * times..];
    }
    shown
}

/// How often the first `size` lines are there one after the other.
fn times(lines: &[String], size: usize) -> usize {
    lines.chunks_exact(size).take_while(|block| *block == &lines[..size]).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `doctor` printed the same line fifteen times.
    #[test]
    fn a_line_or_a_block_that_repeats_is_shown_once() {
        let shown = |text: &str| collapsed(&text.split(' ').map(str::to_owned).collect::<Vec<_>>()).join("\n");
        assert_eq!(shown("a b c"), "a\nb\nc");
        assert_eq!(shown("a x x x b"), "a\nx (3 times)\nb");
        assert_eq!(shown("start no start no start no end"), "start\nno\n(3 times these 2 lines)\nend");
        assert_eq!(collapsed(&[]), Vec::<String>::new());
    }
}
