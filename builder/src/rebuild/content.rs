//! How two files with the same name differ.

use anyhow::Result;
use sealift_deployment::bundle::Bundle;
use sealift_deployment::ui;
use sealift_layers::escape::line;
use sealift_layers::json::Shape;
use sealift_layers::limits::DOCUMENT;
use sealift_layers::tree::{Content, Kind};
use serde_json::Value;

use super::path;

/// The shape of a JSON document whose values are compared.
const SHAPE: Shape = Shape { values: 300_000, text: DOCUMENT };
/// Largest file in bytes whose lines are compared; of others, the first byte that differs is told.
const TEXT: u64 = 1 << 22;
/// How many characters of a line or value are quoted.
const QUOTED: usize = 100;
/// How many values of one document are told.
const VALUES: usize = 20;

/// The file `name` of a bundle.
pub(super) fn of<'b>(bundle: &'b Bundle, name: &str) -> Result<Option<&'b Content>> {
    Ok(bundle.files.get(&path(name)?).and_then(|entry| match &entry.kind {
        Kind::File(content) => Some(content),
        _ => None,
    }))
}

/// The JSON document `name` of a bundle; null if there is none.
pub(super) fn json(bundle: &Bundle, name: &str) -> Result<Value> {
    let document = of(bundle, name)?.map(document).transpose()?;
    Ok(document.flatten().unwrap_or_default())
}

/// A JSON document; `None` if it is none, or larger than those that bundles have.
pub(super) fn document(content: &Content) -> Result<Option<Value>> {
    if content.len() > DOCUMENT {
        return Ok(None);
    }
    let bytes = content.read()?;
    Ok(SHAPE.check(&bytes).ok().and_then(|()| serde_json::from_slice(&bytes).ok()))
}

/// What differs, as the rest of a sentence; the second is the one that was built again.
pub(super) fn difference(given: &Content, made: &Content) -> Result<String> {
    if given.len().max(made.len()) <= TEXT {
        let (given, made) = (given.read()?, made.read()?);
        return Ok(match (std::str::from_utf8(&given), std::str::from_utf8(&made)) {
            (Ok(given), Ok(made)) => of_lines(given, made),
            _ => of_bytes(&given, &made),
        });
    }
    if given.len() != made.len() {
        return Ok(format!("has {} bytes, built again {}", given.len(), made.len()));
    }
    let (mut given, mut made) = (given.reader(), made.reader());
    let (mut one, mut other) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let mut at = 0;
    loop {
        let count = read_full(&mut given, &mut one)?;
        read_full(&mut made, &mut other)?;
        if count == 0 {
            return Ok("has another content".to_owned());
        }
        if one[..count] != other[..count] {
            let first = one[..count].iter().zip(&other).take_while(|(one, other)| one == other).count();
            return Ok(format!("differs from byte {} on", at + first));
        }
        at += count;
    }
}

fn read_full(reader: &mut impl std::io::Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

fn of_lines(given: &str, made: &str) -> String {
    let mut pairs = (given.lines(), made.lines());
    for number in 1.. {
        match (pairs.0.next(), pairs.1.next()) {
            (None, None) => break,
            (one, other) if one == other => {}
            (one, other) => {
                let text = |line: Option<&str>| line.map_or("nothing".to_owned(), |line| format!("`{}`", quoted(line)));
                return format!("differs in line {number}: {}, built again {}", text(one), text(other));
            }
        }
    }
    "differs in its line ends".to_owned()
}

fn of_bytes(given: &[u8], made: &[u8]) -> String {
    let first = given.iter().zip(made).take_while(|(one, other)| one == other).count();
    if given.len() == made.len() {
        format!("differs from byte {first} on")
    } else {
        let bytes = ui::count(given.len(), "byte");
        format!("differs from byte {first} on: {bytes}, built again {}", made.len())
    }
}

fn quoted(text: &str) -> String {
    let short: String = text.chars().take(QUOTED).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("{}{more}", line(&short))
}

/// The values that differ in two documents: where, and how.
pub(super) fn values(given: &Value, made: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    compare(given, made, String::new(), &mut found);
    found.truncate(VALUES);
    found
}

fn compare(given: &Value, made: &Value, at: String, found: &mut Vec<(String, String)>) {
    match (given, made) {
        _ if given == made || found.len() > VALUES => {}
        (Value::Object(one), Value::Object(other)) => {
            for key in one.keys().chain(other.keys().filter(|key| !one.contains_key(*key))) {
                let (one, other) = (one.get(key).unwrap_or(&Value::Null), other.get(key).unwrap_or(&Value::Null));
                compare(one, other, format!("{at}.{}", line(key)), found);
            }
        }
        (Value::Array(one), Value::Array(other)) => {
            for number in 0..one.len().max(other.len()) {
                let (one, other) = (one.get(number).unwrap_or(&Value::Null), other.get(number).unwrap_or(&Value::Null));
                compare(one, other, format!("{at}[{number}]"), found);
            }
        }
        _ => {
            let how = format!("{}, built again {}", quoted(&given.to_string()), quoted(&made.to_string()));
            found.push((at.trim_start_matches('.').to_owned(), how));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(given: &[u8], made: &[u8]) -> String {
        difference(&given.to_vec().into(), &made.to_vec().into()).unwrap()
    }

    #[test]
    fn the_first_difference_is_told() {
        assert_eq!(told(b"a\nb\n", b"a\nc\n"), "differs in line 2: `b`, built again `c`");
        assert_eq!(told(b"a\n", b"a\nc\n"), "differs in line 2: nothing, built again `c`");
        assert_eq!(told(b"a\r\n", b"a\n"), "differs in its line ends");
        assert_eq!(told(b"\xff\x00", b"\xff\x01"), "differs from byte 1 on");
        assert_eq!(told(b"\xff", b"\xff\x01"), "differs from byte 1 on: 1 byte, built again 2");
        // What a hostile bundle has in a file does not reach a terminal as it is.
        assert_eq!(told(b"\x1b[2J", b"a"), r"differs in line 1: `\u{1b}[2J`, built again `a`");
    }

    #[test]
    fn what_is_no_document_of_a_bundle_is_compared_as_text() {
        let read = |text: String| document(&text.into_bytes().into()).unwrap();
        assert!(read("{}".to_owned()).is_some());
        // Each value takes forty times its size in memory.
        for text in ["{".to_owned(), format!("[{}0]", "{},".repeat(200_000)), "[".repeat(1000) + &"]".repeat(1000)] {
            assert!(read(text).is_none());
        }
    }

    #[test]
    fn large_files_are_compared_by_bytes() {
        let large = usize::try_from(TEXT).unwrap() + 10;
        let (one, mut other) = (vec![b'a'; large], vec![b'a'; large]);
        other[large - 1] = b'b';
        assert_eq!(told(&one, &other), format!("differs from byte {} on", large - 1));
        assert_eq!(told(&one, &other[1..]), format!("has {large} bytes, built again {}", large - 1));
    }

    #[test]
    fn values_are_told_with_their_place() {
        let given = serde_json::json!({"config": {"Env": ["A=1", "B=2"], "User": "1"}, "same": []});
        let made = serde_json::json!({"config": {"Env": ["A=1"]}, "same": []});
        let all: Vec<String> = values(&given, &made).into_iter().map(|(at, how)| format!("{at}: {how}")).collect();
        insta::assert_snapshot!(all.join("\n"), @r#"
        config.Env[1]: "B=2", built again null
        config.User: "1", built again null
        "#);
    }
}
