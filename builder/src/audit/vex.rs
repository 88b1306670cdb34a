//! OpenVEX documents (OpenVEX specification 0.2.0): what the maker of a product states of vulnerabilities.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use sealift_deployment::bundle::Manifest;
use sealift_deployment::failure::Failure;
use serde::{Deserialize, Serialize};

use super::components::Place;
use super::purl::Purl;
use super::snapshot::{Pinned, Used};
use super::vulnerability::Vulnerability;
use crate::debian::date;

/// The begin of the context of a document, before its version.
const CONTEXT: &str = "https://openvex.dev/ns";

/// A status of OpenVEX.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Nothing has to be done.
    NotAffected,
    /// Something has to be done.
    Affected,
    /// This version has a fix.
    Fixed,
    /// It is not known yet.
    UnderInvestigation,
}

impl Status {
    /// Whether a finding with this status is silenced.
    #[must_use]
    pub fn silences(self) -> bool {
        matches!(self, Self::NotAffected | Self::Fixed)
    }

    /// As OpenVEX writes it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::NotAffected => "not_affected",
            Self::Affected => "affected",
            Self::Fixed => "fixed",
            Self::UnderInvestigation => "under_investigation",
        }
    }
}

/// What is stated of a vulnerability.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Statement {
    /// The status.
    pub status: Status,
    /// Why it is not affected: `vulnerable_code_not_in_execute_path`, or another word of OpenVEX.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub justification: Option<String>,
    /// Why it is not affected, as a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub impact: Option<String>,
    /// What to do where it is affected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Notes about the status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// The document that states it, by the path that the user gave.
    pub document: String,
}

impl Statement {
    /// The reason for its status, in a line.
    #[must_use]
    pub fn reason(&self) -> String {
        let parts = [&self.justification, &self.impact, &self.action, &self.notes];
        parts.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(": ")
    }
}

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "@context")]
    context: String,
    timestamp: Option<String>,
    #[serde(default)]
    statements: Vec<Stated>,
}

#[derive(Deserialize)]
struct Stated {
    vulnerability: Named,
    #[serde(default)]
    products: Vec<Product>,
    status: Status,
    timestamp: Option<String>,
    justification: Option<String>,
    impact_statement: Option<String>,
    action_statement: Option<String>,
    status_notes: Option<String>,
}

/// A vulnerability. Documents of version 0.0.1 have only its name.
#[derive(Deserialize)]
#[serde(untagged)]
enum Named {
    Name(String),
    Full {
        name: String,
        #[serde(default)]
        aliases: Vec<String>,
    },
}

impl Named {
    fn all(&self) -> impl Iterator<Item = &String> {
        let (name, aliases) = match self {
            Self::Name(name) => (name, &[][..]),
            Self::Full { name, aliases } => (name, aliases.as_slice()),
        };
        std::iter::once(name).chain(aliases)
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Product {
    Id(String),
    Full {
        #[serde(flatten)]
        itself: Identified,
        #[serde(default)]
        subcomponents: Vec<Subcomponent>,
    },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Subcomponent {
    Id(String),
    Full(Identified),
}

#[derive(Deserialize)]
struct Identified {
    #[serde(rename = "@id")]
    id: Option<String>,
    #[serde(default)]
    identifiers: Identifiers,
}

#[derive(Default, Deserialize)]
struct Identifiers {
    purl: Option<String>,
}

impl Identified {
    fn purls(&self) -> Vec<Purl> {
        [&self.identifiers.purl, &self.id].into_iter().flatten().filter_map(|text| Purl::parse(text)).collect()
    }
}

/// A product of a statement: its package URLs, and those of its subcomponents. Without subcomponents, all of it is meant.
struct Subject {
    product: Vec<Purl>,
    parts: Option<Vec<Purl>>,
}

impl Subject {
    fn of(product: &Product) -> Self {
        match product {
            Product::Id(id) => Self { product: Purl::parse(id).into_iter().collect(), parts: None },
            Product::Full { itself, subcomponents } => {
                let parts = subcomponents.iter().flat_map(|part| match part {
                    Subcomponent::Id(id) => Purl::parse(id).into_iter().collect(),
                    Subcomponent::Full(part) => part.purls(),
                });
                let parts: Vec<Purl> = parts.collect();
                Self { product: itself.purls(), parts: (!subcomponents.is_empty()).then_some(parts) }
            }
        }
    }

    /// Whether it means a component at a place: it names the component; or the bundle or the image that it is in, and the
    /// component among its parts.
    fn covers(&self, place: &Place, whole: &[Purl]) -> bool {
        let itself: Vec<Purl> = [Some(&place.purl), place.source.as_ref()]
            .into_iter()
            .flatten()
            .filter_map(|text| Purl::parse(text))
            .collect();
        let any = |patterns: &[Purl], of: &[Purl]| patterns.iter().any(|one| of.iter().any(|other| one.names(other)));
        any(&self.product, &itself)
            || (any(&self.product, whole) && self.parts.as_ref().is_none_or(|parts| any(parts, &itself)))
    }
}

/// A statement of a document.
struct Rule {
    names: BTreeSet<String>,
    subjects: Vec<Subject>,
    statement: Statement,
    /// When it was made, in seconds since 1970; 0 if nothing says so.
    time: u64,
    is_used: bool,
}

/// All statements, the earliest first. Of those about one thing, the last one counts.
pub(super) struct Statements(Vec<Rule>);

/// The package URL that statements about the whole bundle name.
pub(super) fn product(manifest: &Manifest) -> String {
    let Manifest { product, profile, version, .. } = manifest;
    format!("pkg:generic/{product}-{profile}@{version}")
}

impl Statements {
    /// Reads documents.
    ///
    /// # Errors
    /// One cannot be read, is none of OpenVEX, or has a statement without what OpenVEX requires.
    pub(super) fn read(documents: &[Pinned]) -> Result<(Self, Vec<Used>)> {
        let (mut rules, mut all_used) = (Vec::new(), Vec::new());
        for pinned in documents {
            let (bytes, mut used) = pinned.file("openvex")?;
            let context = || format!("{} is not an OpenVEX document", pinned.path.display());
            let document: Document = serde_json::from_slice(&bytes)
                .map_err(|error| Failure::usage(error.to_string()))
                .with_context(context)?;
            if !document.context.starts_with(CONTEXT) {
                return Err(Failure::usage(format!("its @context is `{}`", document.context))).with_context(context);
            }
            used.entries = document.statements.len();
            let own = document.timestamp.as_deref();
            for (at, stated) in document.statements.into_iter().enumerate() {
                let rule = Rule::of(stated, own, &used.path);
                rules.push(rule.with_context(|| format!("{}: statement {}", pinned.path.display(), at + 1))?);
            }
            all_used.push(used);
        }
        // Stable: of the same time, the last one given counts.
        rules.sort_by_key(|rule| rule.time);
        Ok((Self(rules), all_used))
    }

    /// Adds what is stated of vulnerabilities. `product` is the package URL of the bundle.
    pub(super) fn apply(&mut self, found: &mut [Vulnerability], product: &str) {
        for vulnerability in found {
            let names: BTreeSet<&String> = vulnerability.aliases.iter().chain([&vulnerability.id]).collect();
            let mut rules: Vec<&mut Rule> =
                self.0.iter_mut().filter(|rule| rule.names.iter().any(|name| names.contains(name))).collect();
            for (place, statement) in &mut vulnerability.places {
                let image = place.image.as_ref().and_then(|image| image.purl.clone());
                let whole: Vec<Purl> = [Some(product.to_owned()), image]
                    .into_iter()
                    .flatten()
                    .filter_map(|text| Purl::parse(&text))
                    .collect();
                for rule in &mut rules {
                    if rule.subjects.iter().any(|subject| subject.covers(place, &whole)) {
                        rule.is_used = true;
                        *statement = Some(rule.statement.clone());
                    }
                }
            }
            vulnerability.statement = common(vulnerability);
        }
    }

    /// What was stated of nothing in the bundle, each as a line.
    pub(super) fn unused(&self) -> Vec<String> {
        let unused = self.0.iter().filter(|rule| !rule.is_used);
        let line = |rule: &Rule| {
            let name = rule.names.first().map(String::as_str).unwrap_or_default();
            let why = if rule.subjects.is_empty() { "it names no product" } else { "no finding is of what it names" };
            format!("{}: the statement about {name} has no effect: {why}", rule.statement.document)
        };
        unused.map(line).collect()
    }
}

/// What is stated of all places; where they differ, what does not silence.
fn common(vulnerability: &Vulnerability) -> Option<Statement> {
    let all: Vec<&Statement> = vulnerability.places.values().map(Option::as_ref).collect::<Option<_>>()?;
    all.iter().find(|statement| !statement.status.silences()).or(all.first()).map(|statement| (*statement).clone())
}

impl Rule {
    fn of(stated: Stated, own: Option<&str>, document: &str) -> Result<Self> {
        let Stated { status, justification, impact_statement, action_statement, status_notes, .. } = stated;
        if status == Status::NotAffected && justification.is_none() && impact_statement.is_none() {
            let message = "it says not_affected without a justification or an impact_statement";
            return Err(Failure::usage(message).hint("OpenVEX requires one of them: say why").into());
        }
        let time = stated.timestamp.as_deref().or(own);
        let time = time.map(|time| date::moment(time).ok_or_else(|| format!("`{time}` is not a time of RFC 3339")));
        Ok(Self {
            names: stated.vulnerability.all().cloned().collect(),
            subjects: stated.products.iter().map(Subject::of).collect(),
            statement: Statement {
                status,
                justification,
                impact: impact_statement,
                action: action_statement,
                notes: status_notes,
                document: document.to_owned(),
            },
            time: time.transpose().map_err(Failure::usage)?.unwrap_or(0),
            is_used: false,
        })
    }
}
