//! The OpenVEX document of an audit: for each finding, what the maker states of it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use sealift_deployment::bundle::Manifest;
use sealift_layers::digest::Digest;
use sealift_layers::image::timestamp;
use serde_json::{Map, Value, json};

use super::vex::{self, Statement, Status};
use super::vulnerability::Vulnerability;

/// The document. `time` is in seconds since 1970. The same findings give the same bytes.
///
/// # Errors
/// It cannot be written as JSON, which does not happen.
pub(super) fn document(manifest: &Manifest, found: &[Vulnerability], author: &str, time: u64) -> Result<String> {
    let product = vex::product(manifest);
    let statements: Vec<Value> = found.iter().flat_map(|found| statements(found, &product)).collect();
    let mut document = json!({
        "@context": "https://openvex.dev/ns/v0.2.0",
        "author": author,
        "timestamp": timestamp(time),
        "version": 1,
        "tooling": "sealift",
        "statements": statements,
    });
    let digest = Digest::of(serde_json::to_string(&document)?.as_bytes());
    document["@id"] = format!("urn:sealift:vex:{}", digest.hex()).into();
    Ok(format!("{}\n", serde_json::to_string_pretty(&document)?))
}

/// The statements about a vulnerability: one for each status of its places.
fn statements(found: &Vulnerability, product: &str) -> Vec<Value> {
    let mut by_statement: BTreeMap<Option<&Statement>, BTreeSet<&str>> = BTreeMap::new();
    for (place, statement) in &found.places {
        by_statement.entry(statement.as_ref()).or_default().insert(&place.purl);
    }
    let statement = |(statement, purls): (Option<&Statement>, BTreeSet<&str>)| {
        let parts: Vec<Value> =
            purls.iter().map(|purl| json!({ "@id": purl, "identifiers": { "purl": purl } })).collect();
        let mut value = Map::new();
        let mut vulnerability = json!({ "name": found.id });
        if !found.aliases.is_empty() {
            vulnerability["aliases"] = json!(found.aliases);
        }
        value.insert("vulnerability".to_owned(), vulnerability);
        value.insert(
            "products".to_owned(),
            json!([{
                "@id": product,
                "identifiers": { "purl": product },
                "subcomponents": parts,
            }]),
        );
        let status = statement.map_or(Status::UnderInvestigation, |statement| statement.status);
        value.insert("status".to_owned(), status.word().into());
        let texts = statement.map(|statement| {
            let action = statement.action.clone().or_else(|| {
                // OpenVEX requires one.
                let fixed = found.fixed.as_ref().map(|version| format!("fixed in {version}"));
                (status == Status::Affected).then(|| fixed.unwrap_or_else(|| "no action is stated".to_owned()))
            });
            [
                ("justification", statement.justification.clone()),
                ("impact_statement", statement.impact.clone()),
                ("action_statement", action),
                ("status_notes", statement.notes.clone()),
            ]
        });
        for (key, text) in texts.into_iter().flatten() {
            if let Some(text) = text {
                value.insert(key.to_owned(), text.into());
            }
        }
        Value::Object(value)
    };
    by_statement.into_iter().map(statement).collect()
}
