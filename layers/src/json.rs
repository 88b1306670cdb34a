//! Canonical JSON: keys are sorted and there is no white space. `oci-spec` keeps labels and annotations in unordered maps, so
//! its own serialization of the same document is different each time.
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use sealift_layers::json::canonical;
//!
//! assert_eq!(canonical(&BTreeMap::from([("b", 1), ("a", 2)])), br#"{"a":2,"b":1}"#);
//! ```

use std::collections::BTreeMap;

use memchr::memchr2;
use serde::Serialize;
use serde_json::Value;

use crate::limits::Exceeded;

/// Serializes `document` as canonical JSON.
///
/// # Panics
/// If the keys of a map are not strings.
#[must_use]
pub fn canonical(document: &impl Serialize) -> Vec<u8> {
    let value = serde_json::to_value(document).expect("documents have string keys");
    let mut out = Vec::new();
    write(&value, &mut out);
    out
}

fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        // serde_json's own map may not be sorted: that depends on features that any dependency can enable.
        Value::Object(map) => {
            let sorted: BTreeMap<_, _> = map.iter().collect();
            sequence(b"{}", sorted.into_iter(), out, |(key, value), out| {
                scalar(&Value::String(key.clone()), out);
                out.push(b':');
                write(value, out);
            });
        }
        Value::Array(items) => sequence(b"[]", items.iter(), out, write),
        other => scalar(other, out),
    }
}

fn sequence<T>(ends: &[u8; 2], items: impl Iterator<Item = T>, out: &mut Vec<u8>, each: impl Fn(T, &mut Vec<u8>)) {
    out.push(ends[0]);
    for (at, item) in items.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        each(item, out);
    }
    out.push(ends[1]);
}

fn scalar(value: &Value, out: &mut Vec<u8>) {
    out.extend_from_slice(value.to_string().as_bytes());
}

/// How large the parts of a JSON document from outside may be. A document takes up to 200 times its size in memory once it is
/// read, for each bracket and comma in it; strings are copied.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Most values: brackets that open, and commas.
    pub values: u64,
    /// Longest string in bytes, as it is written.
    pub text: u64,
}

/// Most brackets within each other. Readers that skip a value remember each of them.
const LEVELS: u64 = 128;

impl Shape {
    /// Checks the shape of a document. Whether it is valid JSON is not looked at.
    ///
    /// # Errors
    /// It exceeds a limit.
    pub fn check(self, document: &[u8]) -> Result<(), Exceeded> {
        let (mut values, mut levels, mut at) = (0, 0_u64, 0);
        while let Some(byte) = document.get(at) {
            at += 1;
            match byte {
                b'"' => at += self.string(&document[at..])?,
                b',' => values += 1,
                b'[' | b'{' => (values, levels) = (values + 1, levels + 1),
                b']' | b'}' => levels = levels.saturating_sub(1),
                _ => {}
            }
            if values > self.values {
                return Err(Exceeded::Count(self.values, "values"));
            }
            if levels > LEVELS {
                return Err(Exceeded::Count(LEVELS, "levels of brackets"));
            }
        }
        Ok(())
    }

    /// The length of a string behind its first quote, with its last one.
    fn string(self, rest: &[u8]) -> Result<usize, Exceeded> {
        let mut at = 0;
        loop {
            at += memchr2(b'"', b'\\', &rest[at..]).unwrap_or(rest.len() - at);
            if at as u64 > self.text {
                return Err(Exceeded::Size { what: "a text in it", limit: self.text });
            }
            match rest.get(at) {
                Some(b'"') => return Ok(at + 1),
                Some(_) if at + 2 <= rest.len() => at += 2,
                _ => return Ok(rest.len()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sorted_at_every_depth() {
        let value: Value = serde_json::from_str(r#"{"b":[{"z":1,"a":"\n"}],"a":null}"#).unwrap();
        assert_eq!(String::from_utf8(canonical(&value)).unwrap(), r#"{"a":null,"b":[{"a":"\n","z":1}]}"#);
    }

    #[test]
    fn empty_containers_and_scalars_have_one_form() {
        let value: Value = serde_json::from_str(r#"[ {} , [ ], 0, -1.5, true, null, "\u00e9\u0001" ]"#).unwrap();
        assert_eq!(String::from_utf8(canonical(&value)).unwrap(), "[{},[],0,-1.5,true,null,\"\u{e9}\\u0001\"]");
    }

    #[test]
    fn canonical_json_is_stable() {
        let text = canonical(&serde_json::json!({ "x": [1, { "b": "\"", "a": {} }], "": 1 }));
        let back: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(canonical(&back), text);
    }

    #[test]
    fn documents_are_within_their_shape() {
        let shape = Shape { values: 3, text: 4 };
        let told = |text: &str| shape.check(text.as_bytes()).err().map(|error| error.to_string()).unwrap_or_default();
        for text in ["", "[1,2,3]", "\"[[[[\"", r#"{"a":"\"\\"}"#, "\"abc", "\"\\", "]]]", "\"a\\"] {
            assert_eq!(told(text), "", "{text}");
        }
        assert_eq!(told("[1,2,3,4]"), "it has more than 3 values");
        assert_eq!(told("[[[{"), "it has more than 3 values");
        assert_eq!(told("[\"12345\"]"), "a text in it is larger than 4 bytes");
        assert_eq!(told(r#"["\"\"\""]"#), "a text in it is larger than 4 bytes");
        let deep = Shape { values: 1000, text: 4 }.check("[".repeat(129).as_bytes()).unwrap_err();
        assert_eq!(deep.to_string(), "it has more than 128 levels of brackets");
    }
}
