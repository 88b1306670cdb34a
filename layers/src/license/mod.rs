//! Licences of packages as SPDX license expressions (SPDX specification 2.3, annex D).
//!
//! A licence without an identifier on SPDX's list gets one of its own, `LicenseRef-NAME-HASH`, where the hash is that of its
//! text: two packages have the same one only if both have the same text.

pub mod debian;
mod names;
pub mod python;

use std::collections::{BTreeMap, BTreeSet};

use spdx::{Expression, ParseMode};

use crate::digest::Digest;

/// What a package says of its licence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct License {
    /// The SPDX expression.
    pub expression: String,
    /// Whether the package itself says so, in a field for machines. If not, it was concluded from other fields.
    pub is_declared: bool,
    /// The text of each `LicenseRef-…` in the expression.
    pub references: BTreeMap<String, String>,
    /// Names of licences in `/usr/share/common-licenses` that its text refers to.
    pub common: BTreeSet<String>,
}

/// Longest expression that is parsed, in bytes. A `License` field may have a whole text instead.
const EXPRESSION: usize = 1 << 12;
/// Longest text of a licence in a bill, in bytes. Files of any size are passed on beside the bills.
const TEXT: usize = 1 << 20;
/// Longest name in an identifier, in characters.
const LONGEST: usize = 48;

impl License {
    /// A licence that only its text describes.
    fn of_text(name: &str, text: &str) -> Self {
        // Bills have the text themselves, each its own copy.
        let (id, text) = match text.len() {
            ..=TEXT => reference(name, text),
            size => reference(name, &format!("It is in a file of {name}, which has {size} bytes.")),
        };
        Self { expression: id.clone(), references: BTreeMap::from([(id, text)]), ..Self::default() }
    }
}

/// The identifier for a licence that SPDX's list does not have, and its text.
fn reference(name: &str, text: &str) -> (String, String) {
    let kept = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let name: String = name.chars().map(kept).collect();
    let words: Vec<&str> = name.split('-').filter(|word| !word.is_empty()).collect();
    let mut name = words.join("-");
    name.truncate(LONGEST);
    let name = if name.is_empty() { "unnamed" } else { name.trim_end_matches('-') };
    let text = if text.trim().is_empty() { "The package does not say more." } else { text };
    (format!("LicenseRef-{name}-{}", &Digest::of(text.as_bytes()).hex()[..8]), text.to_owned())
}

/// The SPDX expression in `text`, in its usual form; `None` if it is not one, or names licences that SPDX's list does not
/// have. Operators may be in lower case, and `/` is read as `OR`: cargo allowed it once. Longer ones than any package has are
/// none.
#[must_use]
pub fn expression(text: &str) -> Option<String> {
    if text.len() > EXPRESSION {
        return None;
    }
    let mode = ParseMode {
        allow_slash_as_or_operator: true,
        allow_postfix_plus_on_gpl: true,
        allow_deprecated: true,
        ..ParseMode::STRICT
    };
    Expression::parse_mode(text, mode).ok()?;
    let text = Expression::canonicalize(text).ok()?.unwrap_or_else(|| text.to_owned());
    // `LicenseRef-…` could be that of another package, whose text it would get in a bill.
    let names_others = text.to_ascii_lowercase().contains("ref-");
    // What was corrected is an expression in the strict sense.
    (!names_others && Expression::parse(&text).is_ok()).then_some(text)
}

/// All identifiers in an expression: licences and `LicenseRef-…`, with their exceptions.
#[must_use]
pub fn identifiers(expression: &str) -> BTreeSet<String> {
    let tokens =
        expression.split(|c: char| c.is_whitespace() || c == '(' || c == ')').filter(|token| !token.is_empty());
    let mut found = BTreeSet::new();
    // An exception belongs to a licence: a chain of them is no expression, and would be copied for each.
    let (mut last, mut is_exception): (Option<String>, bool) = (None, false);
    for token in tokens {
        match token.to_ascii_uppercase().as_str() {
            "AND" | "OR" => found.extend(last.take()),
            "WITH" => is_exception = true,
            _ => {
                let exception = std::mem::take(&mut is_exception);
                last = match last.take().filter(|license| exception && !license.contains(' ')) {
                    Some(license) => Some(format!("{license} WITH {token}")),
                    None => Some(token.to_owned()),
                };
            }
        }
    }
    found.extend(last);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_get_their_usual_form() {
        let cases = [
            ("MIT", Some("MIT")),
            ("MIT/Apache-2.0", Some("MIT OR Apache-2.0")),
            ("mit or (Apache-2.0 and BSD-3-Clause)", None),
            ("MIT or (Apache-2.0 and BSD-3-Clause)", Some("MIT OR (Apache-2.0 AND BSD-3-Clause)")),
            ("GPL-2.0+", Some("GPL-2.0-or-later")),
            ("Apache-2.0 WITH LLVM-exception", Some("Apache-2.0 WITH LLVM-exception")),
            ("LicenseRef-Own", None),
            ("BSD", None),
            ("Dual License", None),
            ("", None),
        ];
        assert_eq!(expression(&"MIT OR ".repeat(10_000)), None);
        assert_eq!(expression(&"(".repeat(100_000)), None);
        for (text, expected) in cases {
            assert_eq!(expression(text).as_deref(), expected, "{text}");
        }
    }

    /// A wheel that named the licence of another package had its text in bills.
    #[test]
    fn references_of_packages_are_no_expressions() {
        for text in ["MIT AND LicenseRef-x-982d9e3e", "DocumentRef-x:LicenseRef-y", "MIT WITH AdditionRef-x"] {
            assert_eq!(expression(text), None, "{text}");
        }
    }

    #[test]
    fn identifiers_keep_their_exceptions() {
        let found = identifiers("(MIT OR GPL-2.0-only WITH Linux-syscall-note) AND LicenseRef-x");
        assert_eq!(
            found.into_iter().collect::<Vec<_>>(),
            ["GPL-2.0-only WITH Linux-syscall-note", "LicenseRef-x", "MIT"]
        );
    }

    #[test]
    fn texts_without_an_identifier_get_one() {
        let (id, _) = reference("BSD 3 clause / \u{e9}tude", "text");
        assert_eq!(id, "LicenseRef-BSD-3-clause-tude-982d9e3e");
        assert!(Expression::parse(&id).is_ok());
        assert_ne!(reference("x", "1").0, reference("x", "2").0);
        assert!(Expression::parse(&reference("", "").0).is_ok());
        assert!(Expression::parse(&reference(&"a-".repeat(100), "").0).is_ok());
    }
}
