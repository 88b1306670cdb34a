//! The part of CycloneDX 1.6 (ECMA-424) that a bundle needs, with the names of the specification.

use std::collections::BTreeSet;

use sealift_layers::digest::Digest;
use serde::Serialize;

/// A bill of materials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bom {
    /// `CycloneDX`.
    pub bom_format: &'static str,
    /// `1.6`.
    pub spec_version: &'static str,
    /// `urn:uuid:` and a UUID. Empty only while it is computed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub serial_number: String,
    /// Version of the bill: always 1, as a changed bill has another serial number.
    pub version: u32,
    /// Subject, time and tools of the bill.
    pub metadata: Metadata,
    /// Contents, sorted by reference.
    pub components: Vec<Component>,
    /// Contents and dependencies of components, sorted by reference.
    pub dependencies: Vec<Dependency>,
}

/// Subject, time and tools of a bill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Metadata {
    /// Time of the bill (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// The tools that created the bill.
    pub tools: Tools,
    /// The subject of the bill.
    pub component: Component,
}

/// The tools that created a bill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tools {
    /// Programs.
    pub components: Vec<Component>,
}

/// A component: the bundle, an image, a package or a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Component {
    /// Its type, such as `library`.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Its reference within the bill.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bom_ref: Option<String>,
    /// Its name.
    pub name: String,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// One line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The digests of its file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hashes: Vec<Hash>,
    /// Its package URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purl: Option<String>,
    /// Its licence, at most one expression.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub licenses: Vec<LicenseExpression>,
    /// Where the texts of its licence are.
    #[serde(rename = "externalReferences", skip_serializing_if = "Vec::is_empty")]
    pub external_references: Vec<ExternalReference>,
    /// More properties, in the order they were added.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub properties: Vec<Property>,
}

/// A licence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LicenseExpression {
    /// An SPDX license expression.
    pub expression: String,
    /// `declared`, or `concluded` from what is no statement for machines.
    pub acknowledgement: &'static str,
}

/// A document elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExternalReference {
    /// `license`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Where it is, relative to the bill in the bundle.
    pub url: String,
}

/// A kind of component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A program.
    Application,
    /// An image.
    Container,
    /// The distribution of images.
    OperatingSystem,
    /// A package. CycloneDX requires this type when no other one is known.
    Library,
}

/// A digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hash {
    /// `SHA-256`.
    pub alg: &'static str,
    /// In hex.
    pub content: String,
}

/// A name and a value. Names can repeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Property {
    /// Its name, beginning with `sealift:`; or with `aquasecurity:trivy:`, for a scanner that reads the source package from
    /// there only.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// The contents or dependencies of a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Dependency {
    /// The component.
    #[serde(rename = "ref")]
    pub from: String,
    /// References of the others. Empty: there are none. For a component without an entry, they are unknown.
    pub depends_on: BTreeSet<String>,
}

impl Component {
    pub(super) fn new(kind: Kind, name: &str) -> Self {
        Self {
            kind,
            bom_ref: None,
            name: name.to_owned(),
            version: None,
            description: None,
            hashes: Vec::new(),
            purl: None,
            licenses: Vec::new(),
            external_references: Vec::new(),
            properties: Vec::new(),
        }
    }

    pub(super) fn known_as(mut self, reference: String) -> Self {
        self.bom_ref = Some(reference);
        self
    }

    pub(super) fn version(mut self, version: &str) -> Self {
        self.version = Some(version.to_owned());
        self
    }

    pub(super) fn hash(mut self, digest: Digest) -> Self {
        self.hashes.push(Hash { alg: "SHA-256", content: digest.hex() });
        self
    }

    pub(super) fn purl(mut self, purl: String) -> Self {
        self.purl = Some(purl);
        self
    }

    pub(super) fn license(mut self, expression: &str, is_declared: bool) -> Self {
        let acknowledgement = if is_declared { "declared" } else { "concluded" };
        self.licenses.push(LicenseExpression { expression: expression.to_owned(), acknowledgement });
        self
    }

    pub(super) fn license_text(mut self, path: &str) -> Self {
        self.external_references.push(ExternalReference { kind: "license", url: path.to_owned() });
        self
    }

    pub(super) fn property(mut self, name: &str, value: impl Into<String>) -> Self {
        self.properties.push(Property { name: format!("sealift:{name}"), value: value.into() });
        self
    }

    /// A property of Trivy's (CycloneDX property taxonomy, `aquasecurity:trivy`).
    pub(super) fn trivy(mut self, name: &str, value: &str) -> Self {
        self.properties.push(Property { name: format!("aquasecurity:trivy:{name}"), value: value.to_owned() });
        self
    }
}
