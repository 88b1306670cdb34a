//! What a service may use of its host, and how its container behaves there: sizes, limits, logs, restarts.

use std::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// A number of bytes, written with a unit: `"512M"`. `K`, `M`, `G` and `T` are powers of 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

const UNITS: [(char, u64); 4] = [('T', 1 << 40), ('G', 1 << 30), ('M', 1 << 20), ('K', 1 << 10)];

impl Size {
    fn parse(text: &str) -> Option<Self> {
        let unit = UNITS.iter().find(|(letter, _)| text.ends_with(*letter));
        let (number, bytes) = match unit {
            Some((_, bytes)) => (&text[..text.len() - 1], *bytes),
            None => (text, 1),
        };
        let digits = number.bytes().all(|b| b.is_ascii_digit());
        let count: u64 = number.parse().ok().filter(|count| digits && *count > 0)?;
        count.checked_mul(bytes).map(Self)
    }
}

/// As engines, compose and (in upper case) systemd read it: the largest unit that gives a whole number.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.iter().find(|(_, bytes)| self.0.is_multiple_of(*bytes)) {
            Some((letter, bytes)) => write!(f, "{}{}", self.0 / bytes, letter.to_ascii_lowercase()),
            None => write!(f, "{}b", self.0),
        }
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| D::Error::custom(format!("`{text}` is not a size: write a number and a unit, \"512M\"")))
    }
}

/// The limits of one resource (setrlimit(2)), `-1` for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ulimit {
    /// The limit that the program starts with.
    pub soft: i64,
    /// The limit up to which it may raise it.
    pub hard: i64,
}

/// The form of a [`Ulimit`] as a table.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct UlimitTable {
    soft: i64,
    hard: i64,
}

impl<'de> Deserialize<'de> for Ulimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrTable;

        impl<'de> Visitor<'de> for NumberOrTable {
            type Value = Ulimit;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or a table with `soft` and `hard`")
            }

            fn visit_i64<E: Error>(self, limit: i64) -> Result<Ulimit, E> {
                Ok(Ulimit { soft: limit, hard: limit })
            }

            fn visit_u64<E: Error>(self, limit: u64) -> Result<Ulimit, E> {
                let limit = i64::try_from(limit).map_err(|_| E::invalid_value(Unexpected::Unsigned(limit), &self))?;
                self.visit_i64(limit)
            }

            fn visit_map<M: serde::de::MapAccess<'de>>(self, map: M) -> Result<Ulimit, M::Error> {
                let table = serde::de::value::MapAccessDeserializer::new(map);
                let UlimitTable { soft, hard } = Deserialize::deserialize(table)?;
                Ok(Ulimit { soft, hard })
            }
        }

        deserializer.deserialize_any(NumberOrTable)
    }
}

/// How much of a service's output the engine keeps.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Log {
    /// Size at which a new file is begun.
    #[serde(default = "log_size")]
    pub size: Size,
    /// Number of files: the oldest is deleted.
    #[serde(default = "log_files")]
    pub files: u32,
}

impl Default for Log {
    fn default() -> Self {
        Self { size: log_size(), files: log_files() }
    }
}

/// With [`log_files`], days of output of a talkative service.
fn log_size() -> Size {
    Size(10 << 20)
}

fn log_files() -> u32 {
    3
}

/// When a service that has ended is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Always, until it is stopped.
    #[default]
    UnlessStopped,
    /// Always; after a restart of the engine even if it was stopped.
    Always,
    /// If it failed.
    OnFailure,
    /// Never.
    No,
}

impl Restart {
    /// As engines and compose write it.
    #[must_use]
    pub fn policy(self) -> &'static str {
        match self {
            Self::UnlessStopped => "unless-stopped",
            Self::Always => "always",
            Self::OnFailure => "on-failure",
            Self::No => "no",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit() {
        let shown = |text: &str| Size::parse(text).map(|size| size.to_string());
        for (text, expected) in [("512M", "512m"), ("2048K", "2m"), ("1G", "1g"), ("1000", "1000b"), ("3T", "3t")] {
            assert_eq!(shown(text).as_deref(), Some(expected), "{text}");
        }
        for wrong in ["", "M", "0M", "-1M", "+1M", "1.5G", "1 G", "1GB", "1m", "99999999999T"] {
            assert_eq!(shown(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_ulimit_is_a_number_or_two() {
        #[derive(Deserialize)]
        struct Table {
            limit: Ulimit,
        }
        let read = |text: &str| toml::from_str::<Table>(text).map(|table| (table.limit.soft, table.limit.hard)).ok();
        assert_eq!(read("limit = 65536"), Some((65536, 65536)));
        assert_eq!(read("limit = { soft = 1024, hard = -1 }"), Some((1024, -1)));
        assert_eq!(read("limit = \"many\""), None);
    }
}
