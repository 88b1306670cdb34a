//! Licences of Python distributions (Python Packaging User Guide, "Core metadata specifications").

use super::{License, expression};

/// Classifiers that stand for one licence.
const CLASSIFIERS: &[(&str, &str)] = &[
    ("Apache Software License", "Apache-2.0"),
    ("Boost Software License 1.0 (BSL-1.0)", "BSL-1.0"),
    ("CC0 1.0 Universal (CC0 1.0) Public Domain Dedication", "CC0-1.0"),
    ("Eclipse Public License 2.0 (EPL-2.0)", "EPL-2.0"),
    ("GNU Affero General Public License v3", "AGPL-3.0-only"),
    ("GNU Affero General Public License v3 or later (AGPLv3+)", "AGPL-3.0-or-later"),
    ("GNU General Public License v2 (GPLv2)", "GPL-2.0-only"),
    ("GNU General Public License v2 or later (GPLv2+)", "GPL-2.0-or-later"),
    ("GNU General Public License v3 (GPLv3)", "GPL-3.0-only"),
    ("GNU General Public License v3 or later (GPLv3+)", "GPL-3.0-or-later"),
    ("GNU Lesser General Public License v2 or later (LGPLv2+)", "LGPL-2.0-or-later"),
    ("GNU Lesser General Public License v3 (LGPLv3)", "LGPL-3.0-only"),
    ("GNU Lesser General Public License v3 or later (LGPLv3+)", "LGPL-3.0-or-later"),
    ("ISC License (ISCL)", "ISC"),
    ("MIT License", "MIT"),
    ("MIT No Attribution License (MIT-0)", "MIT-0"),
    ("Mozilla Public License 1.1 (MPL 1.1)", "MPL-1.1"),
    ("Mozilla Public License 2.0 (MPL 2.0)", "MPL-2.0"),
    ("Python Software Foundation License", "PSF-2.0"),
    ("The Unlicense (Unlicense)", "Unlicense"),
    ("Universal Permissive License (UPL)", "UPL-1.0"),
    ("Zope Public License", "ZPL-2.1"),
];

/// How often a field is read that may be there once.
const REPEATED: usize = 10;

/// What `License` often has instead of an identifier, in lower case.
const NAMES: &[(&str, &str)] = &[
    ("apache 2", "Apache-2.0"),
    ("apache 2.0", "Apache-2.0"),
    ("apache license 2.0", "Apache-2.0"),
    ("apache license, version 2.0", "Apache-2.0"),
    ("bsd 2-clause", "BSD-2-Clause"),
    ("bsd 3-clause", "BSD-3-Clause"),
    ("3-clause bsd", "BSD-3-Clause"),
    ("mit license", "MIT"),
    ("mozilla public license 2.0", "MPL-2.0"),
    ("the mit license", "MIT"),
];

/// The licence of the distribution `name`, from the headers of its `METADATA` and the texts of its licence files; `None` if
/// there is nothing of it.
#[must_use]
pub fn license(metadata: &str, name: &str, texts: &[&str]) -> Option<License> {
    // Each may be there once.
    let stated = |name| fields(metadata, name).take(REPEATED).find_map(expression);
    let declared = stated("License-Expression").or_else(|| stated("License"));
    if let Some(expression) = declared {
        return Some(License { expression, is_declared: true, ..License::default() });
    }
    let free = fields(metadata, "License").find(|text| !text.is_empty() && *text != "UNKNOWN");
    let classifiers: Vec<&str> = fields(metadata, "Classifier")
        .filter_map(|text| text.strip_prefix("License :: "))
        .map(|text| text.strip_prefix("OSI Approved :: ").unwrap_or(text))
        .filter(|text| *text != "OSI Approved")
        .collect();
    let known =
        |table: &[(&str, &'static str)], text: &str| table.iter().find(|(name, _)| *name == text).map(|(_, id)| *id);
    let by_name = free.and_then(|text| known(NAMES, &text.to_ascii_lowercase()));
    // Several classifiers may be a choice, or may all apply.
    let by_classifier = if let [only] = classifiers[..] { known(CLASSIFIERS, only) } else { None };
    if let Some(id) = by_name.or(by_classifier) {
        return Some(License { expression: id.to_owned(), ..License::default() });
    }
    let named: Vec<&str> = free.into_iter().chain(classifiers).collect();
    let text = if texts.is_empty() { named.join("\n") } else { texts.join("\n\n") };
    (!text.trim().is_empty()).then(|| License::of_text(name, &text))
}

/// Whether a file in `.dist-info`, by its path below that folder, has a licence or a notice that must be passed on.
#[must_use]
pub fn is_license_file(path: &str) -> bool {
    const STEMS: [&str; 5] = ["licen", "copying", "notice", "copyright", "authors"];
    let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
    path.starts_with("licenses/") || (!path.contains('/') && STEMS.iter().any(|stem| name.starts_with(stem)))
}

/// The values of a header: those before the first empty line, with one line each.
pub fn fields<'t>(metadata: &'t str, name: &'t str) -> impl Iterator<Item = &'t str> {
    let head = metadata.lines().take_while(|line| !line.is_empty());
    let fields = head.filter_map(|line| line.split_once(':'));
    fields.filter(move |(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_exact_field_counts() {
        let found = |metadata: &str, texts: &[&str]| {
            license(metadata, "demo", texts).map(|license| (license.expression, license.is_declared))
        };
        let some = |text: &str, declared: bool| Some((text.to_owned(), declared));
        let mit = "Classifier: License :: OSI Approved :: MIT License\n";
        assert_eq!(found("License-Expression: Apache-2.0 and MIT\n", &[]), some("Apache-2.0 AND MIT", true));
        assert_eq!(found(&format!("License: BSD-3-Clause\n{mit}"), &[]), some("BSD-3-Clause", true));
        assert_eq!(found(&format!("License: UNKNOWN\n{mit}"), &[]), some("MIT", false));
        assert_eq!(found("License: Apache License, Version 2.0\n", &[]), some("Apache-2.0", false));
        assert_eq!(found("Name: x\n\nLicense: MIT\n", &[]), None);
    }

    /// `BSD License` may be any of several, and two classifiers may be a choice or not.
    #[test]
    fn what_is_not_exact_is_a_text() {
        let bsd = "Classifier: License :: OSI Approved :: BSD License\n";
        let found = license(bsd, "demo", &["Redistribution and use"]).unwrap();
        assert!(found.expression.starts_with("LicenseRef-demo-"));
        assert_eq!(found.references.into_values().collect::<Vec<_>>(), ["Redistribution and use"]);
        let two =
            format!("License: Dual License\n{bsd}Classifier: License :: OSI Approved :: Apache Software License\n");
        let found = license(&two, "demo", &[]).unwrap();
        assert_eq!(
            found.references.into_values().collect::<Vec<_>>(),
            ["Dual License\nBSD License\nApache Software License"]
        );
        for (_, id) in CLASSIFIERS.iter().chain(NAMES) {
            assert_eq!(expression(id).as_deref(), Some(*id));
        }
    }

    #[test]
    fn files_with_licences_are_known_by_their_names() {
        for path in ["licenses/vendor/x.txt", "LICENSE", "LICENCE.md", "COPYING", "NOTICE.txt", "AUTHORS"] {
            assert!(is_license_file(path), "{path}");
        }
        for path in ["METADATA", "RECORD", "sub/LICENSE", "top_level.txt"] {
            assert!(!is_license_file(path), "{path}");
        }
    }
}
