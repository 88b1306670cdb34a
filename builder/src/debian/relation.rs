//! Relations between packages: `Depends`, `Conflicts`, `Provides` and the like (Debian policy 7.1).
//!
//! Restrictions to architectures (`[amd64]`) and build profiles (`<!nocheck>`) are evaluated while parsing, for one
//! architecture and no active profile. Relations that they exclude are dropped.

use std::cmp::Ordering;
use std::fmt;

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_layers::ingredients::deb::is_package_name;

use super::version;

/// A comparison of versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `<<`
    Earlier,
    /// `<=`
    EarlierOrEqual,
    /// `=`
    Equal,
    /// `>=`
    LaterOrEqual,
    /// `>>`
    Later,
}

/// A version constraint: `(>= 2.3)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Constraint<'a> {
    /// How a version is compared with `version`.
    pub operator: Operator,
    /// The version to compare with.
    pub version: &'a str,
}

/// One package name with its restrictions: `python3:any (>= 3.13)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Atom<'a> {
    /// Name of a real or virtual package.
    pub name: &'a str,
    /// The qualifier after the colon: `any`, `native` or an architecture.
    pub qualifier: Option<&'a str>,
    /// The accepted versions; `None` accepts all.
    pub constraint: Option<Constraint<'a>>,
}

/// Alternatives, one of which must be satisfied: `locales | locales-all`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group<'a> {
    /// The text in the field, without surrounding spaces.
    pub text: &'a str,
    /// The alternatives; at least one.
    pub atoms: Vec<Atom<'a>>,
}

impl Constraint<'_> {
    /// Whether `version` meets the constraint.
    #[must_use]
    pub fn accepts(&self, version: &str) -> bool {
        let order = version::compare(version, self.version);
        match self.operator {
            Operator::Earlier => order == Ordering::Less,
            Operator::EarlierOrEqual => order != Ordering::Greater,
            Operator::Equal => order == Ordering::Equal,
            Operator::LaterOrEqual => order != Ordering::Less,
            Operator::Later => order == Ordering::Greater,
        }
    }
}

impl Atom<'_> {
    /// Whether a real package with this name and `version` satisfies the relation.
    #[must_use]
    pub fn accepts(&self, version: &str) -> bool {
        self.constraint.is_none_or(|constraint| constraint.accepts(version))
    }

    /// Whether `Provides: NAME (= version)` satisfies the relation. Without a version it satisfies no constraint
    /// (policy 7.5).
    #[must_use]
    pub fn accepts_provided(&self, version: Option<&str>) -> bool {
        match (self.constraint, version) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(constraint), Some(version)) => constraint.accepts(version),
        }
    }
}

/// Parses the value of a relation field for packages of `architecture`.
///
/// # Errors
/// A part of the field is malformed. The message quotes that part.
pub fn parse<'a>(field: &'a str, architecture: &str) -> Result<Vec<Group<'a>>> {
    let mut groups = Vec::new();
    for text in field.split(',').map(str::trim).filter(|text| !text.is_empty()) {
        let mut atoms = Vec::new();
        for alternative in text.split('|').map(str::trim) {
            if let Some(atom) = atom(alternative, architecture)? {
                atoms.push(atom);
            }
        }
        if !atoms.is_empty() {
            groups.push(Group { text, atoms });
        }
    }
    Ok(groups)
}

/// Parses one alternative; `None` if its restrictions exclude it.
fn atom<'a>(text: &'a str, architecture: &str) -> Result<Option<Atom<'a>>> {
    let wrong = |what: &str| Failure::failed(format!("`{text}` is not a relation to a package: {what}"));
    let end = text.bytes().position(|byte| b" \t\r\n([<".contains(&byte)).unwrap_or(text.len());
    let (head, mut rest) = text.split_at(end);
    let (name, qualifier) = match head.split_once(':') {
        Some((name, qualifier)) => (name, Some(qualifier)),
        None => (head, None),
    };
    if !is_package_name(name) {
        return Err(wrong("it does not start with a package name").into());
    }
    if qualifier.is_some_and(|qualifier| !is_package_name(qualifier)) {
        return Err(wrong("no architecture follows the colon").into());
    }
    let mut constraint = None;
    let mut wanted_architecture = true;
    let mut profiles: Option<bool> = None;
    loop {
        rest = rest.trim_start();
        let (close, which) = match rest.as_bytes().first() {
            None => break,
            Some(b'(') => (')', "version"),
            Some(b'[') => (']', "architectures"),
            Some(b'<') => ('>', "build profiles"),
            Some(_) => return Err(wrong("unexpected text after the name").into()),
        };
        let Some((inside, after)) = rest[1..].split_once(close) else {
            return Err(wrong(&format!("`{close}` is missing after its {which}")).into());
        };
        match close {
            ')' if constraint.is_some() => return Err(wrong("it has two versions").into()),
            ')' => constraint = Some(version_constraint(inside).ok_or_else(|| wrong("its version is malformed"))?),
            ']' => wanted_architecture &= architecture_matches(inside, architecture),
            // Several lists in `<>` are alternatives; within one list, all terms must be true.
            _ => *profiles.get_or_insert(false) |= inside.split_whitespace().all(|profile| profile.starts_with('!')),
        }
        rest = after;
    }
    Ok((wanted_architecture && profiles.unwrap_or(true)).then_some(Atom { name, qualifier, constraint }))
}

/// The characters of policy 5.6.12.
pub(super) fn is_version(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".+-~:".contains(&byte))
}

fn version_constraint(text: &str) -> Option<Constraint<'_>> {
    let text = text.trim();
    let end = text.find(|c: char| !"<=>".contains(c))?;
    let (operator, version) = text.split_at(end);
    let operator = match operator {
        "<<" => Operator::Earlier,
        // The single characters are obsolete; dpkg reads them as the operators with `=`.
        "<=" | "<" => Operator::EarlierOrEqual,
        "=" => Operator::Equal,
        ">=" | ">" => Operator::LaterOrEqual,
        ">>" => Operator::Later,
        _ => return None,
    };
    let version = version.trim_start();
    is_version(version).then_some(Constraint { operator, version })
}

/// Evaluates `amd64 arm64` or `!i386 !armhf` (policy 7.1); wildcards such as `linux-any` count.
fn architecture_matches(list: &str, architecture: &str) -> bool {
    let matches = |pattern: &str| {
        pattern == architecture
            || matches!(pattern, "any" | "linux-any" | "any-any")
            || pattern.strip_prefix("any-") == Some(architecture)
    };
    let mut negated = false;
    for pattern in list.split_whitespace() {
        match pattern.strip_prefix('!') {
            Some(pattern) if matches(pattern) => return false,
            Some(_) => negated = true,
            None if matches(pattern) => return true,
            None => {}
        }
    }
    negated
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Earlier => "<<",
            Self::EarlierOrEqual => "<=",
            Self::Equal => "=",
            Self::LaterOrEqual => ">=",
            Self::Later => ">>",
        })
    }
}

impl fmt::Display for Atom<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        if let Some(qualifier) = self.qualifier {
            write!(f, ":{qualifier}")?;
        }
        if let Some(Constraint { operator, version }) = self.constraint {
            write!(f, " ({operator} {version})")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Parses `field` for amd64 and formats the result.
    fn normal(field: &str) -> String {
        let groups = parse(field, "amd64").unwrap();
        let texts: Vec<String> = groups
            .iter()
            .map(|group| group.atoms.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | "))
            .collect();
        texts.join(", ")
    }

    #[test]
    fn parses_the_fields_of_archives() {
        insta::assert_snapshot!(
            normal("libc6(>=2.38),\n python3:any (>= 3.13~) | python3.13:native , , awk, a.b+c (= 1:2-3~x+b1)"),
            @"libc6 (>= 2.38), python3:any (>= 3.13~) | python3.13:native, awk, a.b+c (= 1:2-3~x+b1)"
        );
    }

    #[test]
    fn single_operators_include_equality() {
        assert_eq!(normal("a (> 1.0), b (<2)"), "a (>= 1.0), b (<= 2)");
    }

    #[test]
    fn applies_restrictions() {
        insta::assert_snapshot!(
            normal("a [amd64 arm64], b [i386], c [!amd64], d [!i386], e [linux-any], f <!nocheck>, g <cross>, \
                h (>> 1) [any-amd64] <cross> <!nodoc>, i [i386] | j"),
            @"a, d, e, f, h (>> 1), j"
        );
    }

    #[test]
    fn errors_name_the_malformed_part() {
        let messages: Vec<String> = ["(>= 1)", "a (>> )", "a (>= 1", "a (= )", "a b", "a | ", "a:", "a (= 1) (= 2)"]
            .iter()
            .map(|text| parse(text, "amd64").unwrap_err().to_string())
            .collect();
        insta::assert_snapshot!(messages.join("\n"), @r"
        `(>= 1)` is not a relation to a package: it does not start with a package name
        `a (>> )` is not a relation to a package: its version is malformed
        `a (>= 1` is not a relation to a package: `)` is missing after its version
        `a (= )` is not a relation to a package: its version is malformed
        `a b` is not a relation to a package: unexpected text after the name
        `` is not a relation to a package: it does not start with a package name
        `a:` is not a relation to a package: no architecture follows the colon
        `a (= 1) (= 2)` is not a relation to a package: it has two versions
        ");
    }

    #[test]
    fn unversioned_provides_satisfy_no_constraint() {
        let group = &parse("mail (>= 2)", "amd64").unwrap()[0];
        assert!(!group.atoms[0].accepts_provided(None));
        assert!(!group.atoms[0].accepts_provided(Some("1.9")));
        assert!(group.atoms[0].accepts_provided(Some("2")));
    }

    proptest! {
        #[test]
        fn formatting_and_parsing_are_inverse(
            name in "[a-z0-9][a-z0-9+.-]{1,8}",
            qualifier in prop::option::of("any|native|arm64"),
            constraint in prop::option::of(("<<|<=|=|>=|>>", "[0-9][0-9a-z.+~:-]{0,8}")),
        ) {
            let mut text = name;
            if let Some(qualifier) = qualifier {
                text = format!("{text}:{qualifier}");
            }
            if let Some((operator, version)) = constraint {
                text = format!("{text} ({operator} {version})");
            }
            prop_assert_eq!(normal(&format!("  {text} |{text},")), format!("{text} | {text}"));
        }

        #[test]
        fn never_returns_an_empty_group(text in r"[a-z0-9 ()\[\]<>=|,:!é\n]{0,40}") {
            for group in parse(&text, "amd64").unwrap_or_default() {
                prop_assert!(!group.atoms.is_empty());
            }
        }
    }
}
