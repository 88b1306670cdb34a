//! Copyright files of Debian packages (Debian policy 12.5), in the machine-readable form (copyright-format 1.0, DEP-5) or not.

use std::collections::{BTreeMap, BTreeSet};

use super::{License, names, reference};

/// Longest expression, and most bytes of the names that it is made of. The longest ones of real packages have some thousand.
const LONGEST: usize = 1 << 16;
/// Most paragraphs of a machine-readable file. That of Chromium has some hundred.
const PARAGRAPHS: usize = 20_000;
/// The fields that are looked at.
const FIELDS: [&str; 5] = ["format", "format-specification", "files", "license", "comment"];
/// Most names of common licences. Debian has some twenty.
const COMMON: usize = 100;

/// The licence in a copyright file. `package` names one that only the text describes: usually the source package.
#[must_use]
pub fn license(text: &str, package: &str) -> License {
    let license = structured(text, package).unwrap_or_else(|| License::of_text(package, text));
    License { common: common(text), ..license }
}

/// The names of licences in `/usr/share/common-licenses` that a text refers to.
fn common(text: &str) -> BTreeSet<String> {
    let after = text.split("common-licenses/").skip(1);
    let names = after.map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"-.+".contains(c)).unwrap_or(rest.len());
        rest[..end].trim_end_matches(['.', '-']).to_owned()
    });
    let names: BTreeSet<String> = names.filter(|name| (1..=super::LONGEST).contains(&name.len())).collect();
    names.into_iter().take(COMMON).collect()
}

/// A paragraph: its fields by name, in lower case, as far as they are looked at. Continued lines are part of the value, without their first blank.
type Paragraph = BTreeMap<&'static str, String>;

/// The licence of a machine-readable file; `None` if it is not one, or names no licence.
fn structured(text: &str, package: &str) -> Option<License> {
    let paragraphs = paragraphs(text)?;
    let head = paragraphs.first()?;
    if !head.contains_key("format") && !head.contains_key("format-specification") {
        return None;
    }
    let synopsis = |license: &str| -> String {
        license.lines().next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let body = |license: &str| license.split_once('\n').map_or("", |(_, body)| body).to_owned();
    let licensed = || paragraphs.iter().filter_map(|paragraph| Some((paragraph, paragraph.get("license")?)));
    // A text is where the licence is used, or in a paragraph of its own, or it is the comment to it. Of several, others may
    // only refer to the longest.
    let mut bodies: BTreeMap<String, String> = BTreeMap::new();
    for (paragraph, license) in licensed() {
        let text = Some(body(license)).filter(|body| !body.trim().is_empty());
        let text = text.or_else(|| paragraph.get("comment").cloned()).unwrap_or_default();
        let longest = bodies.entry(synopsis(license).to_ascii_lowercase()).or_default();
        if text.trim().len() > longest.trim().len() {
            *longest = text;
        }
    }
    bodies.retain(|_, text| !text.trim().is_empty());
    let of_files = licensed().filter(|(paragraph, _)| paragraph.contains_key("files"));
    let mut used: BTreeSet<String> = of_files.map(|(_, license)| synopsis(license)).collect();
    if used.is_empty() {
        used = licensed().map(|(_, license)| synopsis(license)).collect();
    }
    // Each of them is looked up in SPDX's list, and the expression would be as long.
    if used.iter().map(String::len).sum::<usize>() > LONGEST {
        return None;
    }
    // Not the whole file: there may be many such names.
    let elsewhere = format!("It is described in the copyright file of the package {package}.");
    let mut license = License { is_declared: true, ..License::default() };
    // A text is copied for each name in a synopsis: of all together, no more is in bills than of a file.
    let mut left = super::TEXT;
    let mut all = BTreeSet::new();
    for name in used.iter().filter(|name| !name.is_empty()) {
        let term = parse(name).render(&mut |atom| {
            names::spdx(atom).unwrap_or_else(|| {
                let own = bodies.get(&atom.to_ascii_lowercase()).or_else(|| bodies.get(&name.to_ascii_lowercase()));
                let own = own.filter(|own| own.len() <= left);
                left -= own.map_or(0, String::len);
                let (id, text) = reference(atom, own.map_or(&elsewhere, String::as_str));
                license.references.insert(id.clone(), text);
                id
            })
        });
        all.extend(term);
    }
    let terms: Vec<String> = all.into_iter().map(|term| term.text(1)).collect();
    license.expression = match &terms[..] {
        [] => return None,
        [only] => only.strip_prefix('(').and_then(|text| text.strip_suffix(')')).unwrap_or(only).to_owned(),
        several => several.join(" AND "),
    };
    (license.expression.len() <= LONGEST).then_some(license)
}

/// The paragraphs, with the fields that are looked at; `None` if there are too many.
fn paragraphs(text: &str) -> Option<Vec<Paragraph>> {
    let (mut all, mut paragraph): (Vec<Paragraph>, Paragraph) = (Vec::new(), Paragraph::new());
    let mut current: Option<&str> = None;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if line.trim().is_empty() {
            if !paragraph.is_empty() {
                all.push(std::mem::take(&mut paragraph));
            }
            if all.len() > PARAGRAPHS {
                return None;
            }
            current = None;
        } else if line.starts_with([' ', '\t']) {
            if let Some(value) = current.and_then(|name| paragraph.get_mut(name)) {
                let line = line[1..].trim_end();
                value.push('\n');
                value.push_str(if line == "." { "" } else { line });
            }
        } else if let Some((name, value)) = line.split_once(':') {
            current = FIELDS.into_iter().find(|field| field.eq_ignore_ascii_case(name.trim()));
            if let Some(name) = current {
                paragraph.entry(name).or_insert_with(|| value.trim().to_owned());
            }
        } else {
            current = None;
        }
    }
    if !paragraph.is_empty() {
        all.push(paragraph);
    }
    Some(all)
}

/// A combination of licences: alternatives, of which each is a list that applies as a whole.
struct Synopsis(Vec<Vec<Part>>);

enum Part {
    Name(String),
    Group(Synopsis),
}

/// Parses a synopsis: `A or B and C` is `A or (B and C)`, and a comma before an operator binds less than one without
/// (copyright-format 1.0, section 7.2).
fn parse(text: &str) -> Synopsis {
    let mut loose: Vec<Vec<Part>> = vec![Vec::new()];
    for segment in text.replace('|', " or ").split(',') {
        let mut words: Vec<&str> = segment.split_whitespace().collect();
        let is_or = words.first().is_some_and(|word| word.eq_ignore_ascii_case("or"));
        if is_or || words.first().is_some_and(|word| word.eq_ignore_ascii_case("and")) {
            words.remove(0);
        }
        if words.is_empty() {
            continue;
        }
        let group = split(&words, "or").into_iter().map(|part| {
            split(part, "and")
                .into_iter()
                .filter(|name| !name.is_empty())
                .map(|name| Part::Name(name.join(" ")))
                .collect()
        });
        if is_or {
            loose.push(Vec::new());
        }
        loose.last_mut().expect("there is one").push(Part::Group(Synopsis(group.collect())));
    }
    Synopsis(loose)
}

fn split<'w>(words: &'w [&'w str], operator: &str) -> Vec<&'w [&'w str]> {
    words.split(|word| word.eq_ignore_ascii_case(operator)).filter(|part| !part.is_empty()).collect()
}

/// An expression: alternatives, of which each is a set of terms that all apply.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Term {
    License(String),
    All(BTreeSet<Term>),
    Any(BTreeSet<Term>),
}

impl Synopsis {
    /// The terms that all apply.
    fn render(&self, id: &mut impl FnMut(&str) -> String) -> BTreeSet<Term> {
        let mut any: BTreeSet<Term> = BTreeSet::new();
        for all in &self.0 {
            let mut terms = BTreeSet::new();
            for part in all {
                match part {
                    // What a name stands for may be an alternative itself.
                    Part::Name(name) => terms.extend([match id(name) {
                        id if id.contains(" OR ") => {
                            Term::Any(id.split(" OR ").map(|id| Term::License(id.into())).collect())
                        }
                        id => Term::License(id),
                    }]),
                    Part::Group(group) => terms.extend(group.render(id)),
                }
            }
            match terms.len() {
                0 => {}
                1 => any.extend(terms),
                _ => drop(any.insert(Term::All(terms))),
            }
        }
        match (any.len(), any.first()) {
            (1, Some(Term::All(terms))) => terms.clone(),
            (1, Some(term)) => BTreeSet::from([term.clone()]),
            (0, _) => BTreeSet::new(),
            _ => BTreeSet::from([Term::Any(any)]),
        }
    }
}

impl Term {
    /// The expression, in brackets if it has several terms and is itself `inner`.
    fn text(&self, inner: usize) -> String {
        let (terms, operator) = match self {
            Self::License(id) => return id.clone(),
            Self::All(terms) => (terms, " AND "),
            Self::Any(terms) => (terms, " OR "),
        };
        let text = terms.iter().map(|term| term.text(inner + 1)).collect::<Vec<_>>().join(operator);
        if inner > 0 { format!("({text})") } else { text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expression(license: &str) -> String {
        let text = format!("Format: x\n\nFiles: *\nLicense: {license}\n text\n");
        super::license(&text, "source").expression
    }

    #[test]
    fn synopses_become_expressions() {
        let lines = [
            "Expat",
            "GPL-2+ or Artistic",
            "GPL-1+ | Artistic",
            "GPL-2+ or BSD-3-clause and Expat",
            "GPL-2+ or BSD-3-clause, and Expat",
            "MPL-1.1, or GPL-2+, or LGPL-2.1+",
            "Perl and ISC",
            "GPL-2+ with Autoconf exception and ISC",
            "public-domain or CC0-1.0",
            "and",
        ]
        .map(|text| format!("{text}: {}", expression(text)));
        insta::assert_snapshot!(lines.join("\n"), @r"
        Expat: MIT
        GPL-2+ or Artistic: Artistic-1.0-Perl OR GPL-2.0-or-later
        GPL-1+ | Artistic: Artistic-1.0-Perl OR GPL-1.0-or-later
        GPL-2+ or BSD-3-clause and Expat: GPL-2.0-or-later OR (BSD-3-Clause AND MIT)
        GPL-2+ or BSD-3-clause, and Expat: MIT AND (BSD-3-Clause OR GPL-2.0-or-later)
        MPL-1.1, or GPL-2+, or LGPL-2.1+: GPL-2.0-or-later OR LGPL-2.1-or-later OR MPL-1.1
        Perl and ISC: ISC AND (Artistic-1.0-Perl OR GPL-1.0-or-later)
        GPL-2+ with Autoconf exception and ISC: GPL-2.0-or-later WITH Autoconf-exception-2.0 AND ISC
        public-domain or CC0-1.0: CC0-1.0 OR LicenseRef-public-domain-982d9e3e
        and: LicenseRef-source-889055f1
        ");
    }

    #[test]
    fn paragraphs_of_files_count_and_texts_are_found() {
        let text = "\
Format: https://example.org/copyright-format/1.0/
Upstream-Name: demo

# A comment
Files: *
Copyright: 2020 Somebody
License: GPL-2+

Files: a/* b
 c
License: public-domain
 Nobody
 .
 owns it.

Files: d
License: Own
License-Extra: x

License: Own
 Do what you like.

License: GPL-2+
 See /usr/share/common-licenses/GPL-2.

License: MIT
 not used
";
        let License { expression, is_declared, references, common } = license(text, "demo");
        assert!(is_declared);
        insta::assert_snapshot!(expression, @"GPL-2.0-or-later AND LicenseRef-Own-8f775969 AND LicenseRef-public-domain-1ee33ea0");
        assert_eq!(references.into_values().collect::<Vec<_>>(), ["Do what you like.", "Nobody\n\nowns it."]);
        assert_eq!(common.into_iter().collect::<Vec<_>>(), ["GPL-2"]);
    }

    #[test]
    fn other_files_are_named_by_their_package() {
        let text = "It is free: see /usr/share/common-licenses/GPL-3, and\n/usr/share/common-licenses/LGPL-2.1.\n";
        let found = license(text, "gcc-16");
        assert!(!found.is_declared);
        insta::assert_snapshot!(found.expression, @"LicenseRef-gcc-16-e45875f9");
        assert_eq!(found.references.into_values().collect::<Vec<_>>(), [text]);
        assert_eq!(found.common.into_iter().collect::<Vec<_>>(), ["GPL-3", "LGPL-2.1"]);
        // A machine-readable file that names no licence.
        assert!(license("Format: x\n\nFiles: *\nCopyright: me\n", "p").expression.starts_with("LicenseRef-p-"));
        assert!(license("", "p").expression.starts_with("LicenseRef-p-"));
    }

    #[test]
    fn a_text_that_is_not_there_is_in_the_file() {
        let text = "Format: x\n\nFiles: *\nLicense: verbatim\n";
        let texts = license(text, "p").references.into_values();
        assert_eq!(texts.collect::<Vec<_>>(), ["It is described in the copyright file of the package p."]);
    }

    /// Each name took the memory of the whole file, and each was a part of `bundle.json`.
    #[test]
    fn a_file_with_countless_names_is_one_text() {
        let names: String = (0..10_000).map(|n| format!("Files: {n}\nLicense: own-{n}\n\n")).collect();
        let text = format!("Format: x\n\n{names}");
        let found = license(&text, "p");
        assert!(found.expression.starts_with("LicenseRef-p-") && found.references.len() == 1);
    }

    /// 150,000 paragraphs held a build for more than a minute.
    #[test]
    fn hostile_files_are_one_text() {
        let brackets = format!("{}MIT{}", "(".repeat(100_000), ")".repeat(100_000));
        let alternatives = (0..50_000).map(|n| format!("L{n} and GPL-2+ with x exception or ")).collect();
        for synopsis in [brackets, alternatives, "x".repeat(1 << 20)] {
            assert!(expression(&synopsis).starts_with("LicenseRef-source-"));
        }
        // Two million paragraphs, and as many fields, took a gigabyte.
        for file in ["a:\n\n".repeat(1 << 20), (0..1 << 20).map(|n| format!("{n}:\n")).collect()] {
            assert!(license(&format!("Format: x\n{file}"), "p").expression.starts_with("LicenseRef-p-"));
        }
        // Each of the names had the whole text.
        let names: Vec<String> = (0..1500).map(|n| format!("own{n}")).collect();
        let synopsis = names.join(" or ");
        let file = format!("Format: x\n\nFiles: *\nLicense: {synopsis}\n{}", " 0123456789\n".repeat(1000));
        let found = license(&file, "p");
        assert_eq!(found.references.len(), 1500);
        assert!(found.references.values().map(String::len).sum::<usize>() < 2 * super::super::TEXT);
        let long = license(&"x".repeat(2 << 20), "p").references.into_values();
        assert_eq!(long.collect::<Vec<_>>(), ["It is in a file of p, which has 2097152 bytes."]);
        let common: String = (0..10_000).map(|n| format!("/usr/share/common-licenses/{n} ")).collect();
        assert_eq!(license(&common, "p").common.len(), COMMON);
        assert_eq!(license(&format!("common-licenses/{}", "x".repeat(1000)), "p").common.len(), 0);
    }
}
