//! The same bill in SPDX 2.3, with the names of that specification.

use std::collections::BTreeMap;

use sealift_layers::digest::Digest;
use sealift_layers::license;
use serde::Serialize;

use super::cyclonedx::{Bom, Component, Dependency, Kind};

/// Nothing is said about it.
const NO_ASSERTION: &str = "NOASSERTION";
/// The document itself.
const DOCUMENT: &str = "SPDXRef-DOCUMENT";

/// A document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// `SPDX-2.3`.
    pub spdx_version: &'static str,
    /// `CC0-1.0`: the licence of the document, which the specification requires.
    pub data_license: &'static str,
    /// `SPDXRef-DOCUMENT`.
    #[serde(rename = "SPDXID")]
    pub spdx_id: &'static str,
    /// Its name.
    pub name: String,
    /// A URI of its own: equal documents have the same one.
    pub document_namespace: String,
    /// When it was made, and by what.
    pub creation_info: CreationInfo,
    /// Its subject and its contents.
    pub packages: Vec<Package>,
    /// What describes, contains and needs what.
    pub relationships: Vec<Relationship>,
    /// Licences that SPDX's list does not have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub has_extracted_licensing_infos: Vec<ExtractedLicense>,
}

/// When a document was made, and by what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CreationInfo {
    /// The time of the bill, not that of the clock (RFC 3339).
    pub created: String,
    /// `Tool: sealift-VERSION`.
    pub creators: Vec<String>,
}

/// Anything that a bill lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Package {
    /// Its identifier in the document.
    #[serde(rename = "SPDXID")]
    pub spdx_id: String,
    /// Its name.
    pub name: String,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_info: Option<String>,
    /// `NOASSERTION`: a bundle names no servers.
    pub download_location: &'static str,
    /// `false`: the document lists no files.
    pub files_analyzed: bool,
    /// The licence, where it follows from what is no statement for machines.
    pub license_concluded: String,
    /// The licence that the package states.
    pub license_declared: String,
    /// Where its texts are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license_comments: Option<String>,
    /// `NOASSERTION`: it is in the texts.
    pub copyright_text: &'static str,
    /// What else is known of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// The digests of its file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checksums: Vec<Checksum>,
    /// Its package URL.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub external_refs: Vec<ExternalRef>,
    /// What it is.
    pub primary_package_purpose: &'static str,
}

/// A digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Checksum {
    /// `SHA256`.
    pub algorithm: &'static str,
    /// In hex.
    pub checksum_value: String,
}

/// A name of a package elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalRef {
    /// `PACKAGE-MANAGER`.
    pub reference_category: &'static str,
    /// `purl`.
    pub reference_type: &'static str,
    /// The package URL.
    pub reference_locator: String,
}

/// What one element is to another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Relationship {
    /// The one.
    pub spdx_element_id: String,
    /// `DESCRIBES`, `CONTAINS` or `DEPENDS_ON`.
    pub relationship_type: &'static str,
    /// The other.
    pub related_spdx_element: String,
}

/// A licence that SPDX's list does not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExtractedLicense {
    /// `LicenseRef-…`.
    pub license_id: String,
    /// Its text.
    pub extracted_text: String,
}

/// The bill `bom` as a document. `texts` has the text of each `LicenseRef-…`.
#[must_use]
pub fn of(bom: &Bom, texts: &BTreeMap<String, String>) -> Document {
    let subject = &bom.metadata.component;
    let all = || std::iter::once(subject).chain(&bom.components);
    let identifiers = all().filter_map(|component| component.licenses.first());
    let mut references: Vec<String> =
        identifiers.flat_map(|license| license::identifiers(&license.expression)).collect();
    references.retain(|id| id.starts_with("LicenseRef-"));
    references.sort_unstable();
    references.dedup();
    let extracted = |license_id: String| {
        let missing = || "The text is in the package.".to_owned();
        let extracted_text = texts.get(&license_id).cloned().unwrap_or_else(missing);
        ExtractedLicense { license_id, extracted_text }
    };
    let version = subject.version.as_deref().map_or(String::new(), |version| format!("-{version}"));
    let tools = bom.metadata.tools.components.iter();
    Document {
        spdx_version: "SPDX-2.3",
        data_license: "CC0-1.0",
        spdx_id: DOCUMENT,
        name: format!("{}{version}", subject.name),
        document_namespace: bom.serial_number.clone(),
        creation_info: CreationInfo {
            created: bom.metadata.timestamp.clone().unwrap_or_else(|| "1970-01-01T00:00:00Z".to_owned()),
            creators: tools
                .map(|tool| format!("Tool: {}-{}", tool.name, tool.version.as_deref().unwrap_or_default()))
                .collect(),
        },
        packages: all().map(package).collect(),
        relationships: relationships(bom),
        has_extracted_licensing_infos: references.into_iter().map(extracted).collect(),
    }
}

fn package(component: &Component) -> Package {
    let license = component.licenses.first();
    let stated = |acknowledgement: &str| {
        let found = license.filter(|license| license.acknowledgement == acknowledgement);
        found.map_or_else(|| NO_ASSERTION.to_owned(), |license| license.expression.clone())
    };
    let mut comments: Vec<String> =
        component.external_references.iter().map(|text| format!("Its text is in {}.", text.url)).collect();
    let lines = component.properties.iter().filter(|property| property.name.starts_with("sealift:"));
    let lines: Vec<String> = component
        .description
        .iter()
        .cloned()
        .chain(lines.map(|property| format!("{}: {}", &property.name["sealift:".len()..], property.value)))
        .collect();
    comments.dedup();
    let joined = |lines: Vec<String>| (!lines.is_empty()).then(|| lines.join("\n"));
    Package {
        spdx_id: id(component.bom_ref.as_deref().unwrap_or_default()),
        name: component.name.clone(),
        version_info: component.version.clone(),
        download_location: NO_ASSERTION,
        files_analyzed: false,
        license_concluded: stated("concluded"),
        license_declared: stated("declared"),
        license_comments: joined(comments),
        copyright_text: NO_ASSERTION,
        comment: joined(lines),
        checksums: component
            .hashes
            .iter()
            .map(|hash| Checksum { algorithm: "SHA256", checksum_value: hash.content.clone() })
            .collect(),
        external_refs: component
            .purl
            .iter()
            .map(|purl| ExternalRef {
                reference_category: "PACKAGE-MANAGER",
                reference_type: "purl",
                reference_locator: purl.clone(),
            })
            .collect(),
        primary_package_purpose: match component.kind {
            Kind::Application => "APPLICATION",
            Kind::Container => "CONTAINER",
            Kind::OperatingSystem => "OPERATING-SYSTEM",
            Kind::Library => "LIBRARY",
        },
    }
}

fn relationships(bom: &Bom) -> Vec<Relationship> {
    let subject = bom.metadata.component.bom_ref.as_deref().unwrap_or_default();
    let relation = |from: String, kind: &'static str, to: String| Relationship {
        spdx_element_id: from,
        relationship_type: kind,
        related_spdx_element: to,
    };
    let mut all = vec![relation(DOCUMENT.to_owned(), "DESCRIBES", id(subject))];
    for Dependency { from, depends_on } in &bom.dependencies {
        // Bundles and images have parts, all others have dependencies.
        let kind = if from == subject || from.starts_with("image:") { "CONTAINS" } else { "DEPENDS_ON" };
        all.extend(depends_on.iter().map(|to| relation(id(from), kind, id(to))));
    }
    all
}

/// The identifier for a reference. It may only have letters, digits, dots and dashes: where others are replaced, a hash keeps
/// it unique.
fn id(reference: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    let mut text: String = reference.chars().map(|c| if is_plain(c) { c } else { '-' }).collect();
    if reference.chars().any(|c| !is_plain(c) && c != ':') {
        text.push_str(&format!("-{}", &Digest::of(reference.as_bytes()).hex()[..8]));
    }
    format!("SPDXRef-{text}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn bom() -> Bom {
        let manifest = serde_json::from_str(include_str!("sample.json")).unwrap();
        super::super::of(&manifest, Some(Digest::of(b"program")))
    }

    #[test]
    fn one_of_everything() {
        let texts = BTreeMap::from([("LicenseRef-own-01234567".to_owned(), "Do what you like.".to_owned())]);
        insta::assert_snapshot!(serde_json::to_string_pretty(&of(&bom(), &texts)).unwrap());
    }

    #[test]
    fn identifiers_are_unique_and_every_relationship_has_both_ends() {
        let document = of(&bom(), &BTreeMap::new());
        let known: BTreeSet<&str> = document.packages.iter().map(|package| package.spdx_id.as_str()).collect();
        assert_eq!(known.len(), document.packages.len());
        for relationship in &document.relationships {
            let Relationship { spdx_element_id: from, related_spdx_element: to, .. } = relationship;
            assert!(from == DOCUMENT || known.contains(from.as_str()), "{from}");
            assert!(known.contains(to.as_str()), "{to}");
        }
        let contained = |from: &str| document.relationships.iter().filter(|one| one.spdx_element_id == from).count();
        assert_eq!(contained("SPDXRef-image-clock"), 3);
        assert_ne!(id("wheel:a_b"), id("wheel:a-b"));
    }
}
