//! The control stanza of a package (Debian policy 5.3).

use std::collections::BTreeMap;

/// The fields of the stanza that Sealift uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// `Package`.
    pub name: String,
    /// `Version`.
    pub version: String,
    /// `Architecture`.
    pub architecture: String,
    /// Package names in `Replaces`: this package may overwrite their files. Version constraints are dropped: they are for
    /// upgrades of an installed system, whereas an image has the versions of the lock, which fit together.
    pub replaces: Vec<String>,
    /// `Pre-Depends` and `Depends`, in one line.
    pub depends: String,
    /// `Provides`, in one line.
    pub provides: String,
    /// Name and version of the source package: `Source`, or those of the package itself (Debian policy 5.6.1).
    pub source: (String, String),
}

/// Whether `text` is a package's name as dpkg takes it, which is wider than policy 5.6.1: letters, digits and `-+._`, first a
/// letter or digit. So a name is a file name, and cannot be mistaken for a path or an option. The only rule for names:
/// profiles, indexes and locks use it, too.
#[must_use]
pub fn is_package_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-+._".contains(&byte))
}

impl Control {
    /// Parses the only stanza of a control file. As for dpkg, every line is a field or continues one, and no field occurs
    /// twice.
    ///
    /// # Errors
    /// What is wrong, as the end of a sentence.
    pub fn parse(stanza: &[u8]) -> Result<Self, String> {
        // Names of maintainers and descriptions may have any encoding. The fields that are used are ASCII.
        let text = String::from_utf8_lossy(stanza);
        let fields = fields(&text)?;
        let value = |name: &str| fields.get(name).map_or("", |value| value.trim());
        let replaces = value("replaces").split(',').filter_map(|relation| {
            relation.split(|c: char| c.is_whitespace() || c == '(' || c == ':').find(|n| !n.is_empty())
        });
        let replaces = replaces.map(str::to_owned).collect();
        let (name, version, architecture) = (value("package"), value("version"), value("architecture"));
        let plain = |text: &str, more: &[u8]| text.bytes().all(|b| b.is_ascii_alphanumeric() || more.contains(&b));
        let is_version = !version.is_empty() && plain(version, b".+-~:");
        if !is_package_name(name) || !is_version || architecture.is_empty() || !plain(architecture, b"-") {
            return Err("its control file has no valid Package, Version or Architecture".to_owned());
        }
        let source = source(value("source"), name, version);
        let in_one_line = |name: &str| value(name).split_whitespace().collect::<Vec<_>>().join(" ");
        let relations = ["pre-depends", "depends"].map(in_one_line);
        let relations: Vec<String> = relations.into_iter().filter(|field| !field.is_empty()).collect();
        let (depends, provides) = (relations.join(", "), in_one_line("provides"));
        let (name, version, architecture) = (name.to_owned(), version.to_owned(), architecture.to_owned());
        Ok(Self { name, version, architecture, replaces, depends, provides, source })
    }
}

/// The default answers of questions in a `templates` file (debconf-devel(7)), by the names of the questions. One without a
/// default has an empty answer.
pub(super) fn answers(templates: &str) -> BTreeMap<String, String> {
    let (mut answers, mut question) = (BTreeMap::new(), None);
    for line in templates.lines() {
        match line.split_once(':').map(|(name, value)| (name, value.trim().to_owned())) {
            Some(("Template", name)) => {
                answers.insert(name.clone(), String::new());
                question = Some(name);
            }
            Some(("Default", value)) => {
                if let Some(question) = question.take() {
                    answers.insert(question, value);
                }
            }
            _ => {}
        }
    }
    answers
}

/// Name in lower case, and value, of each field.
fn fields(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut fields: BTreeMap<String, String> = BTreeMap::new();
    let mut current: Option<String> = None;
    let mut is_over = false;
    for (index, line) in text.lines().enumerate() {
        let error = |what: &str| Err(format!("line {} of its control file {what}", index + 1));
        if line.trim().is_empty() {
            is_over = current.is_some();
            continue;
        }
        if is_over {
            return error("is part of a second stanza");
        }
        if line.starts_with([' ', '\t']) {
            let Some(value) = current.as_ref().and_then(|name| fields.get_mut(name)) else {
                return error("continues no field");
            };
            value.push('\n');
            value.push_str(line);
            continue;
        }
        let Some((name, value)) = line.split_once(':') else { return error("is not a field") };
        let name = name.trim_end();
        if name.is_empty() || name.starts_with(['#', '-']) || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return error("is not a field");
        }
        let name = name.to_ascii_lowercase();
        if fields.insert(name.clone(), value.to_owned()).is_some() {
            return error("has a field for the second time");
        }
        current = Some(name);
    }
    Ok(fields)
}

/// Name and version of the source package from the field `Source`: `NAME`, or `NAME (VERSION)`. What dpkg itself does not look
/// at is no reason to refuse a package: without a valid field they are those of the package.
fn source(field: &str, name: &str, version: &str) -> (String, String) {
    let (source, rest) = field.split_once(|c: char| c.is_whitespace() || c == '(').unwrap_or((field, ""));
    let given = rest.trim().trim_start_matches('(').trim_end_matches(')').trim();
    let is_version = given.bytes().all(|b| b.is_ascii_alphanumeric() || b".+-~:".contains(&b));
    let source = if is_package_name(source) { source } else { name };
    let version = if given.is_empty() || !is_version { version } else { given };
    (source.to_owned(), version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folded_fields_and_relations_with_versions_are_parsed() {
        let control = Control::parse(
            b"Package: libc6\nVersion: 2.43-1\nArchitecture: amd64\nReplaces: a (<< 2),\n b:any, c\nDescription: x\n y: z\n",
        )
        .unwrap();
        assert_eq!((control.name.as_str(), control.version.as_str()), ("libc6", "2.43-1"));
        assert_eq!(control.replaces, ["a", "b", "c"]);
    }

    #[test]
    fn a_package_of_another_source_names_it() {
        let source = |field: &str| {
            let text = format!("Package: aa\nVersion: 1:2-3+b1\nArchitecture: all\n{field}");
            let (name, version) = Control::parse(text.as_bytes()).unwrap().source;
            format!("{name} {version}")
        };
        assert_eq!(source(""), "aa 1:2-3+b1");
        assert_eq!(source("Source: gcc-14\n"), "gcc-14 1:2-3+b1");
        assert_eq!(source("Source: gcc-14 (14.2.0-19)\n"), "gcc-14 14.2.0-19");
        assert_eq!(source("Source: gcc-14(14.2.0-19)\n"), "gcc-14 14.2.0-19");
        // dpkg does not look at it.
        assert_eq!(source("Source: ../x (\"y\")\n"), "aa 1:2-3+b1");
    }

    #[test]
    fn a_file_with_two_meanings_is_rejected() {
        let good = "Package: aa\nVersion: 1\nArchitecture: all\n";
        Control::parse(format!("\n{good}\n\n").as_bytes()).unwrap();
        for (more, line) in [
            ("package: bb\n", "line 4 of its control file has a field for the second time"),
            ("\nPackage: bb\n", "line 5 of its control file is part of a second stanza"),
            ("no field\n", "line 4 of its control file is not a field"),
            ("#a: b\n", "line 4 of its control file is not a field"),
        ] {
            assert_eq!(Control::parse(format!("{good}{more}").as_bytes()).unwrap_err(), line);
        }
        assert_eq!(Control::parse(b" x\n").unwrap_err(), "line 1 of its control file continues no field");
    }

    #[test]
    fn invalid_names_are_rejected() {
        for bad in [
            "Package: ../x\nVersion: 1\nArchitecture: all\n",
            "Version: 1\n",
            "\u{fffd}",
            "Package: aa\nVersion: 1\u{1b}[2J\nArchitecture: all\n",
            "Package: aa\nVersion: 1\nArchitecture: a b\n",
        ] {
            assert!(Control::parse(bad.as_bytes()).is_err());
        }
        for good in ["mongo_exporter", "q", "0ad", "Foo", "libstdc++6", "a.b-c"] {
            assert!(is_package_name(good), "{good}");
        }
        for bad in ["", "_a", "-a", ".a", "a/b", "a:b", "a b", "\u{e9}"] {
            assert!(!is_package_name(bad), "{bad}");
        }
    }

    #[test]
    fn questions_have_default_answers() {
        let text =
            "Template: a/b\nType: boolean\nDefault: true\nDescription: A?\n Default: of a text\n\nTemplate: c/d\n";
        assert_eq!(answers(text), [("a/b".into(), "true".into()), ("c/d".into(), String::new())].into());
    }
}
