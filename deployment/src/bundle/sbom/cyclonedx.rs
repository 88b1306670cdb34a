//! As much of CycloneDX 1.6 (ECMA-424) as a bundle needs, with the specification's names.

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
    /// `urn:uuid:` and a UUID. Empty only while the rest is made.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub serial_number: String,
    /// How often this bill has been changed: 1, as another one has another serial number.
    pub version: u32,
    /// Of what it is.
    pub metadata: Metadata,
    /// What is within, sorted by reference.
    pub components: Vec<Component>,
    /// What holds or needs what, sorted by reference.
    pub dependencies: Vec<Dependency>,
}

/// Of what, when and by what the bill was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Metadata {
    /// A date and time (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// By what.
    pub tools: Tools,
    /// Of what.
    pub component: Component,
}

/// Tools.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tools {
    /// Programs.
    pub components: Vec<Component>,
}

/// A thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Component {
    /// What kind of thing.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// What the rest of the bill calls it.
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
    /// Its digests.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hashes: Vec<Hash>,
    /// Its package URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purl: Option<String>,
    /// What else there is to say.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub properties: Vec<Property>,
}

/// A kind of component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Something that is run.
    Application,
    /// An image.
    Container,
    /// Any package; what CycloneDX asks for where nothing else is known.
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

/// A name and a value. A name may come more than once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Property {
    /// Its name, whose first part is `sealift`.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// What a component holds or needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Dependency {
    /// The component.
    #[serde(rename = "ref")]
    pub from: String,
    /// The others. None: it is known that there are none. A component without an entry: that is not known.
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

    pub(super) fn property(mut self, name: &str, value: impl Into<String>) -> Self {
        self.properties.push(Property { name: format!("sealift:{name}"), value: value.into() });
        self
    }
}
