//! The JSON of Debian's security tracker: source package, vulnerability, release, status.

use std::fmt;

use anyhow::{Context as _, Result, ensure};
use sealift_layers::json::Shape;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::components::{Component, Components, Release};
use super::finding::{Kind, Severity};
use super::ranges;
use super::vulnerability::{FINDINGS, Found, MAX_ID, line, version};

/// The strings of a tracker: no description has a thousandth of this. Everything else is read one by one.
const SHAPE: Shape = Shape { values: u64::MAX, text: 1 << 20 };

/// A vulnerability of a source package, as far as it is about one release.
#[derive(Default)]
struct Issue {
    description: Option<String>,
    found: Option<InRelease>,
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
    SHAPE.check(bytes)?;
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let sources = Sources { components, release, tracked: &mut tracked };
    let read = sources.deserialize(&mut deserializer).and_then(|()| deserializer.end());
    read.context("it is not the JSON of Debian's security tracker")?;
    ensure!(tracked.sources > 0, "it has no source packages");
    Ok(tracked)
}

/// Reads the whole file. Only what is found of the bundle is kept in memory.
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

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(source) = map.next_key::<String>()? {
            self.tracked.sources += 1;
            let components = self.components.named(Kind::Package, &source);
            if components.is_empty() {
                map.next_value::<Other>()?;
                continue;
            }
            map.next_value_seed(Issues { components, sources: &mut self })?;
        }
        Ok(())
    }
}

/// The vulnerabilities of a source package.
struct Issues<'s, 'a, 'c> {
    components: &'c [Component],
    sources: &'s mut Sources<'a, 'c>,
}

impl<'de> DeserializeSeed<'de> for Issues<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Issues<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with vulnerabilities")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Sources { release, tracked, .. } = self.sources;
        while let Some(id) = map.next_key::<String>()? {
            if !(1..=MAX_ID).contains(&id.len()) {
                return Err(A::Error::custom(format!("the name of a vulnerability has {} bytes", id.len())));
            }
            let Issue { description, found } = map.next_value_seed(OfRelease(&release.codename))?;
            let Some(found) = found else { continue };
            for component in self.components {
                tracked.add(component, &id, description.as_deref(), &found);
            }
            if tracked.found.len() > FINDINGS {
                return Err(A::Error::custom(format!("more than {FINDINGS} are of this bundle")));
            }
        }
        Ok(())
    }
}

/// Reads a vulnerability as far as it is about the release with this code name.
struct OfRelease<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for OfRelease<'_> {
    type Value = Issue;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Issue, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for OfRelease<'_> {
    type Value = Issue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object about a vulnerability")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Issue, A::Error> {
        let mut issue = Issue::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "description" => issue.description = map.next_value()?,
                "releases" if issue.found.is_some() => return Err(A::Error::duplicate_field("releases")),
                "releases" => issue.found = map.next_value_seed(Releases(self.0))?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(issue)
    }
}

/// What is said of the release with this code name.
struct Releases<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Releases<'_> {
    type Value = Option<InRelease>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Releases<'_> {
    type Value = Option<InRelease>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with releases")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(release) = map.next_key::<String>()? {
            let said: InRelease = map.next_value()?;
            if release == self.0 && found.replace(said).is_some() {
                return Err(A::Error::custom(format!("it names {} twice", self.0)));
            }
        }
        Ok(found)
    }
}

impl<'c> Tracked<'c> {
    fn add(&mut self, component: &'c Component, id: &str, description: Option<&str>, found: &InRelease) {
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
            fixed: fixed.filter(|_| found.status == "resolved").and_then(version),
            summary: line(description.unwrap_or_default()),
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
