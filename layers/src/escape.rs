//! Texts of outside origin, so that they can be shown: names of files, titles, log lines, errors of other programs.
//!
//! A terminal acts on control characters, and so do programs that show logs. Characters that change the direction of
//! text make a line read otherwise than it is, and some are not seen at all: two names that differ look the same. All of
//! these are shown as escapes: `\u{1b}`. Everything else stays, so that ordinary texts are unchanged; so do the joiners
//! (U+200C, U+200D), which several scripts need.

use std::borrow::Cow;
use std::fmt::Write;

/// Whether `c` has to be escaped: control characters (Unicode category Cc), line and paragraph separators, the characters
/// of the bidirectional algorithm (UAX #9, section 2), and format characters that are never seen: blanks without a width,
/// the byte order mark, annotations, and tags (U+E0000 to U+E007F).
#[must_use]
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A text of several lines: line feeds and tabs stay.
#[must_use]
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| is_unsafe(c) && !matches!(c, '\n' | '\t'))
}

/// A text within a line, such as a name: line feeds and tabs are escaped, too.
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, is_unsafe)
}

/// A JSON document: characters within its strings that JSON does not require to be escaped. Line feeds between its
/// elements stay.
#[must_use]
pub fn json(document: &str) -> Cow<'_, str> {
    let found = |c: char| is_unsafe(c) && !c.is_ascii_control() || c == '\x7f';
    // Characters above U+FFFF are two units (RFC 8259, section 7).
    replaced(document, found, |c, out| {
        c.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(out, "\\u{unit:04x}"))
    })
}

fn escaped(text: &str, found: impl Fn(char) -> bool) -> Cow<'_, str> {
    replaced(text, found, |c, out| write!(out, "{}", c.escape_default()))
}

/// `text` with every character that is `found` written by `write`.
fn replaced(
    text: &str,
    found: impl Fn(char) -> bool,
    write: impl Fn(char, &mut String) -> std::fmt::Result,
) -> Cow<'_, str> {
    if !text.contains(&found) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if found(c) {
            write(c, &mut out).expect("text takes all writes");
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_acts_on_is_shown_as_an_escape() {
        assert_eq!(
            line("a\x1b]0;x\x07\n\u{9b}2J\u{202e}gpj.exe\x7f"),
            r"a\u{1b}]0;x\u{7}\n\u{9b}2J\u{202e}gpj.exe\u{7f}"
        );
        assert_eq!(line("a\u{200b}\u{e0041}b"), r"a\u{200b}\u{e0041}b");
        assert_eq!(lines("a\tb\nc\rd"), "a\tb\nc\\rd");
        assert!(matches!(line("café ✓ \u{1f600} שלום क\u{200d}ष"), Cow::Borrowed(_)));
    }

    #[test]
    fn escaped_json_has_the_same_meaning() {
        let value = serde_json::json!({ "title": "\u{1b}\u{7f}\u{9b}2J \u{2028}\u{202e}\u{e0041}\n" });
        let text = serde_json::to_string_pretty(&value).unwrap();
        let escaped = json(&text);
        assert!(escaped.chars().all(|c| c == '\n' || !is_unsafe(c)), "{escaped}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).unwrap(), value);
    }
}
