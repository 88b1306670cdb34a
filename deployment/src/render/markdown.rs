//! Texts of a profile in Markdown (CommonMark, with the tables of GitHub): they stay texts.

/// `text` without a meaning in Markdown: no link, no HTML, no end of a cell.
#[must_use]
pub(super) fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\`*_[]<>|".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// `text` as a code span in a cell of a table.
#[must_use]
pub(super) fn code(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let text = text.replace('|', "\\|");
    match longest {
        0 => format!("`{text}`"),
        // A span ends at as many backticks as it begins with.
        _ => format!("{0} {text} {0}", "`".repeat(longest + 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A title put a link and a picture into the README that operators read.
    #[test]
    fn texts_are_no_markdown() {
        assert_eq!(text("A greeting, and a clock (v1.2)"), "A greeting, and a clock (v1.2)");
        assert_eq!(text("[x](https://y.example) <img> a|b `c`"), r"\[x\](https://y.example) \<img\> a\|b \`c\`");
        assert_eq!(code("a | b"), r"`a \| b`");
        assert_eq!(code("echo `date` ``"), "``` echo `date` `` ```");
    }
}
