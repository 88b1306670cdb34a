//! Control files: stanzas of `Field: value` lines (Debian policy 5.1).
//!
//! A value is one slice of the text. It contains the line breaks of folded and multi-line fields.

use anyhow::Result;
use sealift_deployment::failure::Failure;

/// Parses a text stanza by stanza.
pub(super) struct Stanzas<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Stanzas<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Replaces `fields` with name and value of each field of the next stanza; false at the end of the text.
    ///
    /// # Errors
    /// A line is neither a field nor a continuation line. The message has its number.
    pub(super) fn next(&mut self, fields: &mut Vec<(&'a str, &'a str)>) -> Result<bool> {
        fields.clear();
        while self.at < self.text.len() {
            let start = self.at;
            let mut end = line_end(self.text, start);
            let line = &self.text[start..end];
            self.at = end + 1;
            if is_blank(line) {
                if fields.is_empty() {
                    continue;
                }
                return Ok(true);
            }
            let name_end = memchr::memchr(b':', line.as_bytes()).filter(|colon| is_field_name(&line[..*colon]));
            let Some(name_end) = name_end else {
                let number = self.text[..start].matches('\n').count() + 1;
                let shown: String = line.chars().take(60).collect();
                return Err(Failure::failed(format!("line {number} is not a field: `{shown}`")).into());
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
        Ok(!fields.is_empty())
    }
}

fn line_end(text: &str, start: usize) -> usize {
    memchr::memchr(b'\n', &text.as_bytes()[start..]).map_or(text.len(), |length| start + length)
}

fn is_blank(line: &str) -> bool {
    line.bytes().all(|byte| byte == b' ' || byte == b'\t')
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
        line 2 is not a field: `no field`
        line 1 is not a field: ` x: 1`
        line 1 is not a field: `# c: d`
        line 1 is not a field: `: x`
        ");
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
