//! The one canonical way to write JSON: keys sorted, no white space. `oci-spec` keeps labels and annotations in unordered
//! maps, so its own serialisation of one document gives many texts.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

/// `document` as canonical JSON.
///
/// # Panics
/// When a map's keys are not strings, which no document of ours has.
#[must_use]
pub fn canonical(document: &impl Serialize) -> Vec<u8> {
    let value = serde_json::to_value(document).expect("documents have string keys");
    let mut out = Vec::new();
    write(&value, &mut out);
    out
}

fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        // Sorted here: whether serde_json's own map is sorted depends on features that any dependency may turn on.
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
}
