//! What an audit finds, and how much it weighs.

use std::collections::BTreeSet;

use clap::ValueEnum;
use serde::Serialize;

/// The kinds of findings that let an audit fail, the lightest first. A kind includes all that follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum FailOn {
    /// Nothing
    None,
    /// Also newer versions of any kind, and vulnerabilities that Debian calls unimportant
    Outdated,
    /// Also security updates, and vulnerabilities of unknown severity
    Security,
    /// Vulnerabilities of low severity, and those above
    Low,
    /// Vulnerabilities of medium severity, and those above
    Medium,
    /// Vulnerabilities of high severity, and those above
    High,
    /// Critical vulnerabilities
    Critical,
}

impl FailOn {
    /// Whether a finding of this weight is one to fail on.
    #[must_use]
    pub fn includes(self, weight: Self) -> bool {
        self != Self::None && weight >= self
    }

    /// The word for it, as in `--fail-on`.
    #[must_use]
    pub fn word(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// The severity of a vulnerability, as its source states it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Debian does not consider it a security problem.
    Unimportant,
    /// Nobody states it.
    #[default]
    Unknown,
    /// Low.
    Low,
    /// Medium, or moderate.
    Medium,
    /// High.
    High,
    /// Critical.
    Critical,
}

impl Severity {
    /// The word of an advisory or of Debian's tracker.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        match word.trim_end_matches('*').trim().to_ascii_lowercase().as_str() {
            "unimportant" => Self::Unimportant,
            "low" => Self::Low,
            "medium" | "moderate" => Self::Medium,
            "high" | "important" => Self::High,
            "critical" => Self::Critical,
            _ => Self::Unknown,
        }
    }

    /// What it weighs.
    #[must_use]
    pub fn weight(self) -> FailOn {
        match self {
            Self::Unimportant => FailOn::Outdated,
            Self::Unknown => FailOn::Security,
            Self::Low => FailOn::Low,
            Self::Medium => FailOn::Medium,
            Self::High => FailOn::High,
            Self::Critical => FailOn::Critical,
        }
    }

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Unimportant => "unimportant",
            Self::Unknown => "unknown",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// A kind of component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A Debian package. Vulnerabilities are those of source packages.
    Package,
    /// A wheel.
    Wheel,
    /// A crate: one that a program in an image is built from, or one of the program `sealift` in the bundle.
    Crate,
}

/// A component of which there is a newer version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Outdated {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its source package, if that has another name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The version in the bundle.
    pub version: String,
    /// The newest version.
    pub newest: String,
    /// The archive that has it, by its name in the profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive: Option<String>,
    /// A newer version is in a security archive.
    pub security: bool,
    /// The images with it.
    pub images: BTreeSet<String>,
}

impl Outdated {
    /// What it weighs.
    #[must_use]
    pub fn weight(&self) -> FailOn {
        if self.security { FailOn::Security } else { FailOn::Outdated }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_includes_what_weighs_more() {
        assert!(FailOn::Security.includes(FailOn::Critical) && FailOn::Outdated.includes(FailOn::Security));
        assert!(!FailOn::High.includes(FailOn::Security) && !FailOn::Security.includes(FailOn::Outdated));
        assert!(!FailOn::None.includes(FailOn::Critical) && FailOn::Critical.includes(Severity::Critical.weight()));
    }

    #[test]
    fn words_of_advisories_and_of_debian_are_known() {
        let words = ["unimportant", "not yet assigned", "low**", "MODERATE", "high", "CRITICAL", "", "end-of-life"];
        let found: Vec<&str> = words.iter().map(|word| Severity::parse(word).word()).collect();
        assert_eq!(found, ["unimportant", "unknown", "low", "medium", "high", "critical", "unknown", "unknown"]);
    }
}
