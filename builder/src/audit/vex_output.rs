//! The OpenVEX document of an audit: for each finding, what the maker states of it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use sealift_deployment::bundle::Manifest;
use sealift_layers::digest::Hasher;
use sealift_layers::image::timestamp;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::vex::{self, Statement, Status};
use super::vulnerability::Vulnerability;

/// The document, with its keys in order. A statement is made when it is written: there may be tens of thousands.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "@context")]
    context: &'static str,
    #[serde(rename = "@id", skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    author: &'a str,
    statements: Statements<'a>,
    timestamp: Option<String>,
    tooling: &'static str,
    version: u32,
}

#[derive(Clone, Copy)]
struct Statements<'a> {
    found: &'a [Vulnerability],
    product: &'a str,
}

impl Serialize for Statements<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.found.iter().flat_map(|found| statements(found, self.product)))
    }
}

/// The document. `time` is in seconds since 1970. The same findings give the same bytes.
///
/// # Errors
/// It cannot be written as JSON, which does not happen.
pub(super) fn document(manifest: &Manifest, found: &[Vulnerability], author: &str, time: u64) -> Result<String> {
    let product = vex::product(manifest);
    let mut document = Document {
        context: "https://openvex.dev/ns/v0.2.0",
        id: None,
        author,
        statements: Statements { found, product: &product },
        timestamp: timestamp(time),
        tooling: "sealift",
        version: 1,
    };
    let mut hasher = Hasher::default();
    serde_json::to_writer(&mut hasher, &document)?;
    document.id = Some(format!("urn:sealift:vex:{}", hasher.finish().hex()));
    Ok(format!("{}\n", serde_json::to_string_pretty(&document)?))
}

/// The statements about a vulnerability. Where one holds for all places, it is about the bundle, else about its images.
fn statements(found: &Vulnerability, bundle: &str) -> Vec<Value> {
    let is_same = found.places.values().collect::<BTreeSet<_>>().len() == 1;
    let mut parts: BTreeMap<(Option<&Statement>, &str), BTreeSet<&str>> = BTreeMap::new();
    for (place, statement) in &found.places {
        let image = place.image.as_ref().and_then(|image| image.purl.as_deref());
        let product = image.filter(|_| !is_same).unwrap_or(bundle);
        parts.entry((statement.as_ref(), product)).or_default().insert(&place.purl);
    }
    let mut products: BTreeMap<Option<&Statement>, Vec<Value>> = BTreeMap::new();
    for ((statement, product), parts) in parts {
        let mut product = identified(product);
        product["subcomponents"] = parts.into_iter().map(identified).collect();
        products.entry(statement).or_default().push(product);
    }
    if products.is_empty() {
        products.insert(None, vec![identified(bundle)]);
    }
    products.into_iter().map(|(statement, products)| of(found, statement, &products)).collect()
}

fn identified(purl: &str) -> Value {
    json!({ "@id": purl, "identifiers": { "purl": purl } })
}

fn of(found: &Vulnerability, statement: Option<&Statement>, products: &[Value]) -> Value {
    let mut vulnerability = json!({ "name": found.id });
    if !found.aliases.is_empty() {
        vulnerability["aliases"] = json!(found.aliases);
    }
    let status = statement.map_or(Status::UnderInvestigation, |statement| statement.status);
    let mut value = json!({ "vulnerability": vulnerability, "products": products, "status": status.word() });
    let Some(statement) = statement else { return value };
    // OpenVEX requires one of what is affected.
    let fixed = found.fixed.as_ref().map(|version| format!("fixed in {version}"));
    let required = || fixed.unwrap_or_else(|| "no action is stated".to_owned());
    let action = statement.action.clone().or_else(|| (status == Status::Affected).then(required));
    for (key, text) in [
        ("justification", &statement.justification),
        ("impact_statement", &statement.impact),
        ("action_statement", &action),
        ("status_notes", &statement.notes),
    ] {
        if let Some(text) = text {
            value[key] = text.as_str().into();
        }
    }
    value
}
