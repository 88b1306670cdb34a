//! Diagnostics for errors of the TOML parser and of the model's types.

use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, Deserializer};

use super::suggest;
use crate::diagnostic::Diagnostic;

/// The hint when there is no better one.
const REFERENCE: &str = "profiles/README.md explains every key";

/// The diagnostic for `error`, about `text` or about the `document` that was read from it.
pub(super) fn diagnostic(text: &str, document: Option<&DeTable<'_>>, error: &toml::de::Error) -> Diagnostic {
    if let Some(diagnostic) = document.and_then(later_schema) {
        return diagnostic;
    }
    let span = error.span().unwrap_or(0..0);
    let message = error.message();
    let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let (summary, hint) = match (message.split_once(" `").map_or(message, |(start, _)| start), &names[..]) {
        ("unknown field", [name, known @ ..]) => {
            (format!("unknown key `{name}`"), suggest::hint(name, "keys here", known.iter().copied()))
        }
        ("unknown variant", [name, known @ ..]) => {
            (format!("unknown value `{name}`"), suggest::hint(name, "values", known.iter().copied()))
        }
        ("missing field", [name, ..]) => {
            let add = format!("add `{name} = ...`");
            let hint =
                document.and_then(|document| misspelt(document, &span)).map(|near| format!("{near}? If not, {add}"));
            (format!("the key `{name}` is missing"), hint.unwrap_or(add))
        }
        ("duplicate key", _) => {
            let key = text.get(span.clone()).unwrap_or_default();
            (format!("the key `{key}` is defined twice"), "merge the two, or rename one".into())
        }
        _ => match message.split_once(", expected ") {
            Some((found, expected)) => (format!("{found}, expected {}", plain(expected)), hint_for(expected)),
            None => (message.to_owned(), REFERENCE.to_owned()),
        },
    };
    Diagnostic::new(span, summary, hint)
}

/// Whether the name of the table at `span` is like that of another one beside it: `[services.wroker.health]` makes a service.
fn misspelt(table: &DeTable<'_>, span: &Range<usize>) -> Option<String> {
    table.iter().find_map(|(key, value)| {
        let inner = value.get_ref().as_table()?;
        if value.span() != *span {
            return misspelt(inner, span);
        }
        let name = key.get_ref().as_ref();
        let others = table.iter().filter(|(other, value)| *other != key && value.get_ref().is_table());
        let near = suggest::nearest(name, others.map(|(other, _)| other.get_ref().as_ref()))?;
        Some(format!("did you mean `{near}` in the place of `{name}`"))
    })
}

/// The diagnostic for a later schema, which has other keys: only the schema is reported.
pub(super) fn later_schema(document: &DeTable<'_>) -> Option<Diagnostic> {
    let head = Head::deserialize(Deserializer::from(Spanned::new(0..0, document.clone()))).ok()?;
    schema_diagnostic(&head.schema)
}

/// The key that every schema has.
#[derive(Deserialize)]
struct Head {
    schema: Spanned<u32>,
}

/// The diagnostic for a schema that this version does not support.
pub(super) fn schema_diagnostic(schema: &Spanned<u32>) -> Option<Diagnostic> {
    let message = format!("schema {} is not supported", schema.get_ref());
    (*schema.get_ref() != 1)
        .then(|| Diagnostic::new(schema.span(), message, "use schema 1, or a newer version of sealift"))
}

/// A type named by serde, in the terms of TOML.
fn plain(expected: &str) -> String {
    match expected {
        "f64" => "a number without quotes".into(),
        "u16" => "a whole number up to 65535".into(),
        "u32" => "a whole number up to 4294967295".into(),
        "a sequence" => "an array".into(),
        "a map" => "a table".into(),
        other if other.starts_with("struct ") => "a table".into(),
        other => other.into(),
    }
}

fn hint_for(expected: &str) -> String {
    match expected {
        "a string" => "write it in double quotes".into(),
        "a sequence" => "write it in brackets: [\"...\"]".into(),
        _ => REFERENCE.into(),
    }
}
