//! Advisories in the format of OSV (OSV schema 1.7), of the ecosystems `Debian`, `PyPI` and [`CRATES`].

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use sealift_layers::ingredients::wheel::normalize;
use sealift_layers::json::Shape;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::components::{Component, Components, Release};
use super::cvss;
use super::finding::{Kind, Severity};
use super::ranges::{self, Event};
use super::snapshot::DOCUMENT;
use super::vulnerability::{ALIASES, Found, MAX_ID, line, version};

/// The ecosystem of Rust's crates. It is a name here, and no server.
pub(super) const CRATES: &str = concat!("crates", ".io");

#[derive(Deserialize)]
struct Advisory {
    id: String,
    #[serde(default, deserialize_with = "list")]
    aliases: Vec<String>,
    /// For advisories of distributions: the vulnerabilities that they are about.
    #[serde(default, deserialize_with = "list")]
    upstream: Vec<String>,
    withdrawn: Option<IgnoredAny>,
    summary: Option<String>,
    details: Option<String>,
    #[serde(default, deserialize_with = "list")]
    affected: Vec<Affected>,
    #[serde(default, deserialize_with = "list")]
    severity: Vec<Score>,
    database_specific: Option<Value>,
}

/// A severity as a vector of CVSS.
#[derive(Deserialize)]
struct Score {
    score: String,
}

#[derive(Deserialize)]
struct Affected {
    package: Option<Package>,
    #[serde(default, deserialize_with = "list")]
    ranges: Vec<Range>,
    #[serde(default, deserialize_with = "list")]
    versions: Vec<String>,
    #[serde(default, deserialize_with = "list")]
    severity: Vec<Score>,
    ecosystem_specific: Option<Value>,
    database_specific: Option<Value>,
}

#[derive(Deserialize)]
struct Package {
    ecosystem: String,
    name: String,
}

#[derive(Deserialize)]
struct Range {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, deserialize_with = "list")]
    events: Vec<Bounds>,
}

#[derive(Deserialize)]
struct Bounds {
    introduced: Option<String>,
    fixed: Option<String>,
    last_affected: Option<String>,
    limit: Option<String>,
}

/// An advisory: one of the kernel may list a hundred thousand commits and versions.
const SHAPE: Shape = Shape { values: 200_000, text: DOCUMENT };

/// A list of an advisory. Some databases write `null` for an empty one.
fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Option::<Vec<T>>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// What an advisory says of the components of a bundle. `release` is that of its Debian packages. Adds the kinds of components
/// that it is about to `covered`, whether or not the bundle has them.
///
/// # Errors
/// It is no advisory.
pub(super) fn findings<'c>(
    bytes: &[u8],
    components: &'c Components,
    release: Option<&Release>,
    covered: &mut BTreeSet<Kind>,
) -> Result<Vec<Found<'c>>> {
    SHAPE.check(bytes)?;
    let advisory: Advisory = serde_json::from_slice(bytes).context("it is not an advisory in OSV's format")?;
    ensure!((1..=MAX_ID).contains(&advisory.id.len()), "its `id` has {} bytes", advisory.id.len());
    if advisory.withdrawn.is_some() {
        return Ok(Vec::new());
    }
    let mut found: BTreeMap<(Kind, &str, &str), Found<'_>> = BTreeMap::new();
    for affected in &advisory.affected {
        let Some((kind, name)) = affected.package.as_ref().and_then(|package| package.known(release)) else { continue };
        covered.insert(kind);
        for component in components.named(kind, &name) {
            if !affected.has(component) {
                continue;
            }
            let fixed = affected.fixed(component);
            let entry = found.entry((kind, &component.name, &component.version));
            let entry = entry.or_insert_with(|| advisory.finding(component));
            entry.severity = entry.severity.known_or(affected.severity());
            entry.fixed = entry.fixed.take().or(fixed);
        }
    }
    Ok(found.into_values().collect())
}

impl Advisory {
    fn finding<'c>(&self, component: &'c Component) -> Found<'c> {
        // The advisory of a distribution may be about several vulnerabilities: none of them is another name of it then.
        let upstream = Some(&self.upstream).filter(|upstream| upstream.len() == 1).into_iter().flatten();
        let converted = self.id.strip_prefix("DEBIAN-").map(str::to_owned);
        let names = self.aliases.iter().chain(upstream).cloned().chain(converted);
        let details = self.details.iter().flat_map(|details| details.lines()).find(|line| !line.trim().is_empty());
        Found {
            component,
            id: self.id.clone(),
            aliases: names.filter(|name| (1..=MAX_ID).contains(&name.len())).take(ALIASES).collect(),
            severity: severity(self.database_specific.as_ref(), "severity").known_or(highest(&self.severity)),
            fixed: None,
            summary: line(self.summary.as_deref().or(details).unwrap_or_default()),
            source: "osv",
        }
    }
}

impl Package {
    /// The component that it would be; `None` for other ecosystems and other releases of Debian.
    fn known(&self, release: Option<&Release>) -> Option<(Kind, String)> {
        let (ecosystem, suffix) =
            self.ecosystem.split_once(':').map_or((&*self.ecosystem, None), |(e, s)| (e, Some(s)));
        match (ecosystem, suffix) {
            ("PyPI", _) => Some((Kind::Wheel, normalize(&self.name))),
            (CRATES, _) => Some((Kind::Crate, self.name.clone())),
            ("Debian", None) => Some((Kind::Package, self.name.clone())),
            ("Debian", Some(of)) => {
                let release = release?;
                let is_own = release.number.as_deref() == Some(of) || release.codename == of;
                is_own.then(|| (Kind::Package, self.name.clone()))
            }
            _ => None,
        }
    }
}

impl Affected {
    /// The ranges of versions, not those of commits.
    fn events(&self) -> impl Iterator<Item = Vec<Event<'_>>> {
        let ranges = self.ranges.iter().filter(|range| matches!(range.kind.as_str(), "ECOSYSTEM" | "SEMVER"));
        ranges.map(|range| range.events.iter().flat_map(Bounds::events).collect())
    }

    fn has(&self, component: &Component) -> bool {
        let same = |listed: &String| {
            listed == &component.version
                || ranges::compare(component.kind, listed, &component.version).is_some_and(std::cmp::Ordering::is_eq)
        };
        let in_range = |events: Vec<Event<'_>>| ranges::contains(component.kind, &component.version, &events);
        self.versions.iter().any(same) || self.events().any(in_range)
    }

    fn fixed(&self, component: &Component) -> Option<String> {
        let all: Vec<Event<'_>> = self.events().flatten().collect();
        ranges::fixed(component.kind, &component.version, &all).and_then(version)
    }

    fn severity(&self) -> Severity {
        let of = |specific: &Option<Value>, key| severity(specific.as_ref(), key);
        of(&self.ecosystem_specific, "urgency")
            .known_or(of(&self.ecosystem_specific, "severity"))
            .known_or(of(&self.database_specific, "severity"))
            .known_or(highest(&self.severity))
    }
}

impl Bounds {
    fn events(&self) -> impl Iterator<Item = Event<'_>> {
        let introduced = self.introduced.as_deref().map(Event::Introduced);
        let fixed = self.fixed.as_deref().map(Event::Fixed);
        let last = self.last_affected.as_deref().map(Event::LastAffected);
        [introduced, fixed, last, self.limit.as_deref().map(Event::Limit)].into_iter().flatten()
    }
}

fn highest(scores: &[Score]) -> Severity {
    scores.iter().map(|score| cvss::severity(&score.score)).max().unwrap_or_default()
}

/// A word in what the database adds.
fn severity(specific: Option<&Value>, key: &str) -> Severity {
    specific.and_then(|specific| specific.get(key)?.as_str()).map_or(Severity::Unknown, Severity::parse)
}
