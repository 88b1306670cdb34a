//! Clear-signed text: the Cleartext Signature Framework (RFC 9580, section 7).
//!
//! Stricter than the specification, because the signed text and the parsed text must never differ: nothing before or
//! after the signed text, no control characters in it, and every dash at the start of a line must be escaped.

use anyhow::Result;
use sealift_deployment::failure::Failure;

const BEGIN: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const BEGIN_SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const END_SIGNATURE: &str = "-----END PGP SIGNATURE-----";

/// The parts of a clear-signed text. Nothing is verified yet.
#[derive(Debug, PartialEq, Eq)]
pub struct Clearsigned<'a> {
    /// Lines of the signed text, without line ends, trailing spaces and tabs, and dash escapes.
    lines: Vec<&'a str>,
    /// Armoured signature blocks, each from its BEGIN to its END line.
    pub signatures: Vec<&'a str>,
}

impl<'a> Clearsigned<'a> {
    /// Splits `bytes` into text and signatures; `name` is for messages.
    ///
    /// # Errors
    /// A verification failure if it is not such a text.
    pub fn parse(name: &str, bytes: &'a [u8]) -> Result<Self> {
        let text = std::str::from_utf8(bytes).map_err(|error| malformed(name, "it is not UTF-8").because(error))?;
        let mut at = 0;
        let mut lines = text.split_inclusive('\n').map(|line| {
            let start = at;
            at += line.len();
            Line { start, text: without_end(line) }
        });
        skip_header(name, &mut lines)?;
        let (signed, first_signature) = signed_lines(name, &mut lines)?;
        let signatures = signatures(name, text, first_signature, &mut lines)?;
        Ok(Self { lines: signed, signatures })
    }

    /// The text in the form that is hashed for the signature: line ends are CR LF, the last one is not part of it (section 7.2).
    #[must_use]
    pub fn hashed(&self) -> String {
        self.lines.join("\r\n")
    }

    /// The text in the form that is parsed: every line ends with LF.
    #[must_use]
    pub fn text(&self) -> String {
        self.lines.iter().flat_map(|line| [line, "\n"]).collect()
    }
}

fn malformed(name: &str, what: &str) -> Failure {
    Failure::verification(format!("{name} is not a clear-signed text: {what}"))
}

/// Reads the lines before the signed text.
fn skip_header<'a>(name: &str, lines: &mut impl Iterator<Item = Line<'a>>) -> Result<()> {
    match lines.next() {
        Some(first) if trimmed(first.text) == BEGIN => {}
        first => {
            let shown: String = first.map_or("", |line| line.text).chars().take(40).collect();
            return Err(malformed(name, &format!("it begins with `{}`", shown.escape_debug()))
                .hint("the mirror may have sent an error page: check its URL")
                .into());
        }
    }
    // The `Hash` lines are not signed. They are ignored: each signature names its own hash.
    for line in lines.by_ref() {
        match trimmed(line.text) {
            "" => break,
            content if content.starts_with("Hash: ") => {}
            content => return Err(malformed(name, &format!("unknown header `{}`", content.escape_debug())).into()),
        }
    }
    Ok(())
}

/// Reads the signed text, and the first line of a signature, if there is one.
fn signed_lines<'a>(
    name: &str,
    lines: &mut impl Iterator<Item = Line<'a>>,
) -> Result<(Vec<&'a str>, Option<Line<'a>>)> {
    let mut signed = Vec::new();
    for line in lines {
        if trimmed(line.text) == BEGIN_SIGNATURE {
            return Ok((signed, Some(line)));
        }
        let content = match line.text.strip_prefix("- ") {
            Some(escaped) => trimmed(escaped),
            None if line.text.starts_with('-') => {
                return Err(malformed(name, &format!("unescaped dash in `{}`", line.text.escape_debug())).into());
            }
            None => trimmed(line.text),
        };
        if content.chars().any(|c| c.is_control() && c != '\t') {
            return Err(malformed(name, &format!("control character in `{}`", content.escape_debug())).into());
        }
        signed.push(content);
    }
    Ok((signed, None))
}

/// Reads the signatures; `begin` is the first line of the first one.
fn signatures<'a>(
    name: &str,
    text: &'a str,
    mut begin: Option<Line<'a>>,
    lines: &mut impl Iterator<Item = Line<'a>>,
) -> Result<Vec<&'a str>> {
    let mut signatures = Vec::new();
    while let Some(first) = begin.take() {
        let Some(last) = lines.by_ref().find(|line| trimmed(line.text) == END_SIGNATURE) else {
            return Err(malformed(name, "the signature has no end").into());
        };
        signatures.push(&text[first.start..last.start + END_SIGNATURE.len()]);
        begin = lines.by_ref().find(|line| !trimmed(line.text).is_empty());
        if begin.is_some_and(|line| trimmed(line.text) != BEGIN_SIGNATURE) {
            return Err(malformed(name, "text follows the signature").into());
        }
    }
    if signatures.is_empty() {
        return Err(malformed(name, "it has no signature").into());
    }
    Ok(signatures)
}

/// A line without its end.
#[derive(Clone, Copy)]
struct Line<'a> {
    /// Offset in the whole text.
    start: usize,
    text: &'a str,
}

fn without_end(line: &str) -> &str {
    let line = line.strip_suffix('\n').unwrap_or(line);
    line.strip_suffix('\r').unwrap_or(line)
}

/// Spaces and tabs at the end of a line are not signed (section 7.2).
fn trimmed(line: &str) -> &str {
    line.trim_end_matches([' ', '\t'])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn signed(body: &str) -> String {
        format!("{BEGIN}\nHash: SHA256\n\n{body}\n{BEGIN_SIGNATURE}\n\nabcd\n{END_SIGNATURE}\n")
    }

    #[test]
    fn removes_escapes_and_trailing_spaces() {
        let text = signed("A: 1 \t\r\n- - b\n- \n\n- From: c");
        let parsed = Clearsigned::parse("InRelease", text.as_bytes()).unwrap();
        assert_eq!(parsed.text(), "A: 1\n- b\n\n\nFrom: c\n");
        assert_eq!(parsed.hashed(), "A: 1\r\n- b\r\n\r\n\r\nFrom: c");
        assert_eq!(parsed.signatures, [format!("{BEGIN_SIGNATURE}\n\nabcd\n{END_SIGNATURE}")]);
    }

    #[test]
    fn accepts_several_signature_blocks() {
        let text = signed("a") + "\n" + BEGIN_SIGNATURE + "\nefgh\n" + END_SIGNATURE;
        assert_eq!(Clearsigned::parse("InRelease", text.as_bytes()).unwrap().signatures.len(), 2);
    }

    #[test]
    fn refuses_ambiguous_texts() {
        let good = signed("a");
        let cases = [
            String::new(),
            "<html>\n".into(),
            format!("b\n{good}"),
            format!("{good}b\n"),
            format!("{good}{good}"),
            good.replace("Hash: SHA256", "Hash: SHA256\nb: c"),
            good.replace("\na\n", "\na\rb\n"),
            good.replace("\na\n", "\n-a\n"),
            good.replace("\na\n", &format!("\n{BEGIN}\n")),
            good.replace(END_SIGNATURE, ""),
            good.replace(BEGIN_SIGNATURE, ""),
            format!("{BEGIN}\n\na\n"),
        ];
        let messages: Vec<String> = cases
            .iter()
            .map(|text| Clearsigned::parse("InRelease", text.as_bytes()).unwrap_err().to_string())
            .collect();
        insta::assert_snapshot!(messages.join("\n"), @r"
        InRelease is not a clear-signed text: it begins with ``
        InRelease is not a clear-signed text: it begins with `<html>`
        InRelease is not a clear-signed text: it begins with `b`
        InRelease is not a clear-signed text: text follows the signature
        InRelease is not a clear-signed text: text follows the signature
        InRelease is not a clear-signed text: unknown header `b: c`
        InRelease is not a clear-signed text: control character in `a\rb`
        InRelease is not a clear-signed text: unescaped dash in `-a`
        InRelease is not a clear-signed text: unescaped dash in `-----BEGIN PGP SIGNED MESSAGE-----`
        InRelease is not a clear-signed text: the signature has no end
        InRelease is not a clear-signed text: unescaped dash in `-----END PGP SIGNATURE-----`
        InRelease is not a clear-signed text: it has no signature
        ");
        assert!(Clearsigned::parse("InRelease", b"\xff").is_err());
    }

    proptest! {
        #[test]
        fn escaping_is_reversed(lines in prop::collection::vec("[a-c -]{0,4}[a-c-]|", 0..5)) {
            let escaped: Vec<String> = lines
                .iter()
                .map(|line| if line.starts_with('-') { format!("- {line}") } else { line.clone() })
                .collect();
            let text = signed(&escaped.join("\n"));
            let parsed = Clearsigned::parse("InRelease", text.as_bytes()).unwrap();
            prop_assert_eq!(parsed.hashed(), lines.join("\r\n"));
        }
    }
}
