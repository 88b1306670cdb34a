//! The distribution that images are of, as their `os-release` says (os-release(5)).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A distribution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct System {
    /// `ID`, such as `debian`.
    pub id: String,
    /// `VERSION_ID`, such as `13`; for a suite that is not released `VERSION_CODENAME`, such as `forky`.
    pub version: String,
}

impl System {
    /// Reads the text of `os-release`. `None` without `ID`, or without a version.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let lines = text.lines().filter_map(|line| line.trim().split_once('='));
        let fields: BTreeMap<&str, &str> = lines.map(|(name, value)| (name, unquoted(value))).collect();
        let get = |name: &str| fields.get(name).filter(|value| !value.is_empty()).map(|value| (*value).to_owned());
        Some(Self { id: get("ID")?, version: get("VERSION_ID").or_else(|| get("VERSION_CODENAME"))? })
    }
}

/// A value without the quotes of a shell. The values that are used have no escapes.
fn unquoted(value: &str) -> &str {
    let inner = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    inner('"').or_else(|| inner('\'')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn released_and_unreleased_suites_have_a_version() {
        let found = |text: &str| System::parse(text).map(|system| format!("{} {}", system.id, system.version));
        let trixie =
            "PRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\nVERSION_ID=\"13\"\nVERSION_CODENAME=trixie\nID=debian\n";
        assert_eq!(found(trixie).as_deref(), Some("debian 13"));
        assert_eq!(found("ID=debian\nVERSION_CODENAME=forky\n").as_deref(), Some("debian forky"));
        assert_eq!(found("# a comment\nID='x'\n VERSION_ID=1").as_deref(), Some("x 1"));
        assert_eq!(found("ID=\nVERSION_ID=1"), None);
        assert_eq!(found("\"\n=\nID=\""), None);
    }
}
