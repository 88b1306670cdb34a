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

use serde::Serialize;
use serde_json::Value;

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
}
