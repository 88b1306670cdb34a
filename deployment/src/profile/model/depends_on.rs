//! `depends-on` of a service: what has to run, or to be healthy, before it starts.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use toml::Spanned;

/// What a service waits for: a list of services, or a table of services and conditions.
#[derive(Clone, Debug, Default)]
pub struct DependsOn(pub Vec<Dependency>);

/// Another service that a service depends on.
#[derive(Clone, Debug)]
pub struct Dependency {
    /// Its name.
    pub service: Spanned<String>,
    /// What is waited for. `None`, in a list: that it has completed if it runs once, that it is healthy if it has a health
    /// check, else that it was started.
    pub condition: Option<Condition>,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// Its health check succeeds.
    Healthy,
    /// It was started.
    Started,
    /// It has ended with exit code 0: for services that run once.
    Completed,
}

impl DependsOn {
    /// The names of the services.
    pub fn services(&self) -> impl Iterator<Item = &Spanned<String>> {
        self.0.iter().map(|dependency| &dependency.service)
    }
}

impl<'de> Deserialize<'de> for DependsOn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Dependencies;

        impl<'de> Visitor<'de> for Dependencies {
            type Value = DependsOn;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of services, or a table such as { database = \"healthy\" }")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<DependsOn, A::Error> {
                let mut all = Vec::new();
                while let Some(service) = list.next_element()? {
                    all.push(Dependency { service, condition: None });
                }
                Ok(DependsOn(all))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<DependsOn, A::Error> {
                let mut all = Vec::new();
                while let Some((service, condition)) = table.next_entry()? {
                    all.push(Dependency { service, condition: Some(condition) });
                }
                Ok(DependsOn(all))
            }
        }

        deserializer.deserialize_any(Dependencies)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Table {
        #[serde(default)]
        wanted: DependsOn,
    }

    fn read(text: &str) -> Result<Vec<(String, Option<Condition>)>, toml::de::Error> {
        let table: Table = toml::from_str(text)?;
        let pairs = table.wanted.0.into_iter();
        Ok(pairs.map(|dependency| (dependency.service.into_inner(), dependency.condition)).collect())
    }

    #[test]
    fn a_list_or_a_table_with_conditions() {
        assert_eq!(read("").unwrap(), []);
        assert_eq!(read("wanted = [\"a\", \"b\"]").unwrap(), [("a".into(), None), ("b".into(), None)]);
        let table = read("wanted = { b = \"started\", a = \"healthy\" }").unwrap();
        assert_eq!(table, [("a".into(), Some(Condition::Healthy)), ("b".into(), Some(Condition::Started))]);
        assert_eq!(read("wanted = { a = \"completed\" }").unwrap(), [("a".into(), Some(Condition::Completed))]);
        let table = read("[wanted]\na = \"healthy\"").unwrap();
        assert_eq!(table, [("a".into(), Some(Condition::Healthy))]);
        for wrong in ["wanted = \"a\"", "wanted = { a = \"ready\" }", "wanted = [1]"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
