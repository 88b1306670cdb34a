//! The JSON of Debian's security tracker: source package, vulnerability, release, status.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::components::{Component, Components, Release};
use super::finding::{Kind, Severity};
use super::ranges;
use super::vulnerability::{Found, MAX_ID};

/// Vulnerabilities of one source package. The kernel has 15,000.
const ISSUES: usize = 100_000;
/// Releases that the tracker knows at a time.
const RELEASES: usize = 40;

#[derive(Deserialize)]
struct Issue {
    description: Option<String>,
    #[serde(default)]
    releases: Bounded<InRelease, RELEASES>,
}

#[derive(Deserialize)]
struct InRelease {
    /// `open`, `resolved` or `undetermined`.
    status: String,
    fixed_version: Option<String>,
    urgency: Option<String>,
}

/// What the tracker says.
pub(super) struct Tracked<'c> {
    pub(super) found: Vec<Found<'c>>,
    /// Number of source packages in the file.
    pub(super) sources: usize,
    /// Vulnerabilities of which nobody has found out whether Debian's version has them.
    pub(super) undetermined: usize,
}

/// What a tracker's file says of the packages of a bundle.
///
/// # Errors
/// It is no such file, or exceeds a limit.
pub(super) fn findings<'c>(bytes: &[u8], components: &'c Components, release: &Release) -> Result<Tracked<'c>> {
    let mut tracked = Tracked { found: Vec::new(), sources: 0, undetermined: 0 };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let sources = Sources { components, release, tracked: &mut tracked };
    let read = sources.deserialize(&mut deserializer).and_then(|()| deserializer.end());
    read.context("it is not the JSON of Debian's security tracker")?;
    ensure!(tracked.sources > 0, "it has no source packages");
    Ok(tracked)
}

/// Reads the whole file. Only the source packages of the bundle are kept in memory, one at a time.
struct Sources<'a, 'c> {
    components: &'c Components,
    release: &'a Release,
    tracked: &'a mut Tracked<'c>,
}

impl<'de> DeserializeSeed<'de> for Sources<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Sources<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with source packages")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(source) = map.next_key::<String>()? {
            self.tracked.sources += 1;
            let components = self.components.named(Kind::Package, &source);
            if components.is_empty() {
                map.next_value::<Other>()?;
                continue;
            }
            let issues: Bounded<Issue, ISSUES> = map.next_value()?;
            for (id, issue) in &issues.0 {
                if id.len() > MAX_ID {
                    return Err(A::Error::custom(format!("the name of a vulnerability has {} bytes", id.len())));
                }
                let Some(found) = issue.releases.0.get(&self.release.codename) else { continue };
                for component in components {
                    self.tracked.add(component, id, issue, found);
                }
            }
        }
        Ok(())
    }
}

impl<'c> Tracked<'c> {
    fn add(&mut self, component: &'c Component, id: &str, issue: &Issue, found: &InRelease) {
        let fixed = found.fixed_version.as_deref();
        let is_affected = match found.status.as_str() {
            // `0`: the release never had it.
            "resolved" => {
                let order = fixed.and_then(|fixed| ranges::compare(Kind::Package, &component.version, fixed));
                order.is_some_and(std::cmp::Ordering::is_lt)
            }
            "undetermined" => {
                self.undetermined += 1;
                false
            }
            // `open`; a status that is not known is no reason to be silent.
            _ => true,
        };
        if !is_affected {
            return;
        }
        self.found.push(Found {
            component,
            id: id.to_owned(),
            aliases: Default::default(),
            severity: found.urgency.as_deref().map_or(Severity::Unknown, Severity::parse),
            fixed: fixed.filter(|_| found.status == "resolved").map(str::to_owned),
            summary: issue.description.clone().unwrap_or_default(),
            source: "debian-tracker",
        });
    }
}

/// A source package that the bundle does not have. It is an object, too: another file in the place of a tracker is noticed.
struct Other;

impl<'de> Deserialize<'de> for Other {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Other;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with vulnerabilities")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Other, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Other)
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// An object with at most `N` members.
struct Bounded<T, const N: usize>(BTreeMap<String, T>);

impl<T, const N: usize> Default for Bounded<T, N> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for Bounded<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T, const N: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for Members<T, N> {
            type Value = Bounded<T, N>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an object with at most {N} members")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((name, value)) = map.next_entry()? {
                    members.insert(name, value);
                    if members.len() > N {
                        return Err(A::Error::custom(format!("an object has more than {N} members")));
                    }
                }
                Ok(Bounded(members))
            }
        }
        deserializer.deserialize_map(Members(PhantomData))
    }
}
