//! OpenVEX documents (OpenVEX specification 0.2.0): what the maker of a product states of vulnerabilities.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use sealift_deployment::bundle::Manifest;
use sealift_deployment::failure::Failure;
use sealift_layers::json::Shape;
use serde::{Deserialize, Serialize};

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

    /// Its bytes in memory.
    fn size(&self) -> usize {
        let texts = [&self.justification, &self.impact, &self.action, &self.notes];
        size_of::<Self>() + self.document.len() + texts.into_iter().flatten().map(String::len).sum::<usize>()
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
        purls([self.identifiers.purl.as_deref(), self.id.as_deref()])
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

    /// Whether it means a component by one of the names `itself`, in a bundle or an image with one of the names `whole`: it
    /// names the component; or the bundle or the image, and the component among its parts.
    fn covers(&self, itself: &[Purl], whole: &[Purl]) -> bool {
        let any = |patterns: &[Purl], of: &[Purl]| patterns.iter().any(|one| of.iter().any(|other| one.names(other)));
        any(&self.product, itself)
            || (any(&self.product, whole) && self.parts.as_ref().is_none_or(|parts| any(parts, itself)))
    }

    /// How many names are compared.
    fn size(&self) -> usize {
        1 + self.product.len() + self.parts.as_ref().map_or(0, Vec::len)
    }
}

fn purls(texts: [Option<&str>; 2]) -> Vec<Purl> {
    texts.into_iter().flatten().filter_map(Purl::parse).collect()
}

/// What a document may have. One with a statement on each vulnerability of a distribution has a tenth of that.
const SHAPE: Shape = Shape { values: 200_000, text: 64 << 10 };
/// Most bytes of what is stated of all findings together: each has its own copy.
const STATED: usize = 32 << 20;
/// How many subjects of statements are compared with places of findings.
const COMPARED: usize = 100_000_000;

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
#[derive(Default)]
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
        let (mut statements, mut all_used) = (Self::default(), Vec::new());
        for pinned in documents {
            let (bytes, mut used) = pinned.file("openvex")?;
            used.entries = statements.add(&bytes, &used.path)?;
            all_used.push(used);
        }
        Ok((statements, all_used))
    }

    /// Adds those of a document, whose path is `path`. Returns their number.
    ///
    /// # Errors
    /// As [`Statements::read`].
    pub(super) fn add(&mut self, bytes: &[u8], path: &str) -> Result<usize> {
        let context = || format!("{path} is not an OpenVEX document");
        let document: Document = SHAPE
            .check(bytes)
            .map_err(|error| error.to_string())
            .and_then(|()| serde_json::from_slice(bytes).map_err(|error| error.to_string()))
            .map_err(Failure::usage)
            .with_context(context)?;
        if !document.context.starts_with(CONTEXT) {
            return Err(Failure::usage(format!("its @context is `{}`", document.context))).with_context(context);
        }
        let (own, count) = (document.timestamp.as_deref(), document.statements.len());
        for (at, stated) in document.statements.into_iter().enumerate() {
            let rule = Rule::of(stated, own, path);
            self.0.push(rule.with_context(|| format!("{path}: statement {}", at + 1))?);
        }
        // Stable: of the same time, the last one given counts.
        self.0.sort_by_key(|rule| rule.time);
        Ok(count)
    }

    /// Adds what is stated of vulnerabilities. `product` is the package URL of the bundle.
    ///
    /// # Errors
    /// More is stated than of any bundle.
    pub(super) fn apply(&mut self, found: &mut [Vulnerability], product: &str) -> Result<()> {
        let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, rule) in self.0.iter().enumerate() {
            for name in &rule.names {
                by_name.entry(name.clone()).or_default().push(at);
            }
        }
        let (mut stated, mut compared) = (0, 0);
        let too_many = |what: String| Err(Failure::failed(format!("the OpenVEX documents {what}")).into());
        for vulnerability in found {
            let names = vulnerability.aliases.iter().chain([&vulnerability.id]);
            let rules: BTreeSet<usize> = names.filter_map(|name| by_name.get(name)).flatten().copied().collect();
            for (place, statement) in &mut vulnerability.places {
                let itself = purls([Some(place.purl.as_str()), place.source.as_deref()]);
                let image = place.image.as_ref().and_then(|image| image.purl.as_deref());
                let whole = purls([Some(product), image]);
                let mut last = None;
                for at in &rules {
                    let rule = &mut self.0[*at];
                    compared += rule.subjects.iter().map(Subject::size).sum::<usize>();
                    if rule.subjects.iter().any(|subject| subject.covers(&itself, &whole)) {
                        rule.is_used = true;
                        last = Some(*at);
                    }
                    if compared > COMPARED {
                        return too_many("name too many products for so many findings".to_owned());
                    }
                }
                let last = last.map(|at| &self.0[at].statement);
                stated += last.map_or(0, Statement::size);
                if stated > STATED {
                    return too_many(format!("state more than {} MiB of what is found", STATED >> 20));
                }
                *statement = last.cloned();
            }
            vulnerability.statement = common(vulnerability);
        }
        Ok(())
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
