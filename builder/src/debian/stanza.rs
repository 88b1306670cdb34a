//! Control files: stanzas of `Field: value` lines (Debian policy 5.1).
//!
//! A value is one slice of the text. It contains the line breaks of folded and multi-line fields.

use anyhow::Result;
use sealift_deployment::failure::Failure;

/// Parses a text stanza by stanza.
#[derive(Debug)]
pub struct Stanzas<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Stanzas<'a> {
    /// Starts at the first stanza.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Replaces `fields` with name and value of each field of the next stanza; false at the end of the text.
    ///
    /// # Errors
    /// A line is neither a field nor a continuation line. The message has the first such line, `fields` the
    /// other lines of the stanza. The next call reads the stanza after it.
    #[allow(clippy::should_implement_trait, reason = "it is fallible, and the caller keeps the memory")]
    pub fn next(&mut self, fields: &mut Vec<(&'a str, &'a str)>) -> Result<bool> {
        fields.clear();
        let mut malformed = None;
        while self.at < self.text.len() {
            let start = self.at;
            let mut end = line_end(self.text, start);
            let line = &self.text[start..end];
            self.at = end + 1;
            if is_blank(line) {
                if fields.is_empty() && malformed.is_none() {
                    continue;
                }
                break;
            }
            let Some(name_end) = name_end(line) else {
                malformed.get_or_insert_with(|| not_a_field(line));
                continue;
            };
            while matches!(self.text.as_bytes().get(end + 1), Some(b' ' | b'\t')) {
                let next = line_end(self.text, end + 1);
                if is_blank(&self.text[end + 1..next]) {
                    break;
                }
                end = next;
                self.at = end + 1;
            }
            fields.push((&line[..name_end], self.text[start + name_end + 1..end].trim()));
        }
        malformed.map_or(Ok(!fields.is_empty()), |failure| Err(failure.into()))
    }
}

fn not_a_field(line: &str) -> Failure {
    let shown: String = line.chars().take(60).collect();
    Failure::failed(format!("the line `{shown}` is not a field"))
}

/// Where the name of the field that begins in `line` ends.
pub(super) fn name_end(line: &str) -> Option<usize> {
    memchr::memchr(b':', line.as_bytes()).filter(|colon| is_field_name(&line[..*colon]))
}

fn line_end(text: &str, start: usize) -> usize {
    memchr::memchr(b'\n', &text.as_bytes()[start..]).map_or(text.len(), |length| start + length)
}

pub(super) fn is_blank(line: &str) -> bool {
    line.bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'))
}

/// Policy 5.1: printable ASCII but space and colon, not beginning with `#` or `-`.
fn is_field_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with(['#', '-']) && name.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(text: &str) -> Result<Vec<Vec<(&str, &str)>>> {
        let (mut reader, mut fields, mut stanzas) = (Stanzas::new(text), Vec::new(), Vec::new());
        while reader.next(&mut fields)? {
            stanzas.push(fields.clone());
        }
        Ok(stanzas)
    }

    #[test]
    fn splits_stanzas_and_keeps_folded_values() {
        let stanzas = all("\n\nA: 1\nLong:\n x\n\ty: z\n \t\nB:2\nEmpty:\n\n").unwrap();
        assert_eq!(stanzas, [vec![("A", "1"), ("Long", "x\n\ty: z")], vec![("B", "2"), ("Empty", "")]]);
    }

    #[test]
    fn errors_name_the_malformed_line() {
        let messages: Vec<String> = ["A: 1\nno field", " x: 1", "# c: d", ": x"]
            .iter()
            .map(|text| all(text).unwrap_err().to_string())
            .collect();
        insta::assert_snapshot!(messages.join("\n"), @r"
        the line `no field` is not a field
        the line ` x: 1` is not a field
        the line `# c: d` is not a field
        the line `: x` is not a field
        ");
    }

    #[test]
    fn the_stanza_after_a_malformed_one_is_read() {
        let (mut stanzas, mut fields) = (Stanzas::new("A: 1\nodd\nB: 2\r\n\r\nC: 3\r\n"), Vec::new());
        assert!(stanzas.next(&mut fields).is_err());
        assert_eq!(fields, [("A", "1"), ("B", "2")]);
        assert!(stanzas.next(&mut fields).unwrap());
        assert_eq!(fields, [("C", "3")]);
        assert!(!stanzas.next(&mut fields).unwrap());
    }

    proptest! {
        #[test]
        fn never_returns_an_empty_stanza(text in "[A-C: \t\né#]{0,40}") {
            for stanza in all(&text).unwrap_or_default() {
                prop_assert!(!stanza.is_empty());
            }
        }
    }
}
