//! The control stanza of a package (Debian policy 5.3).

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
    pub(super) fn parse(stanza: &[u8]) -> Result<Self, String> {
        // Names of maintainers and descriptions may have any encoding. The fields that are used are ASCII.
        let text = String::from_utf8_lossy(stanza);
        let mut control =
            Self { name: String::new(), version: String::new(), architecture: String::new(), replaces: Vec::new() };
        let mut field = "";
        let mut replaces = String::new();
        for line in text.lines() {
            let value = if line.starts_with([' ', '\t']) {
                line
            } else if let Some((name, value)) = line.split_once(':') {
                field = name;
                value
            } else {
                continue;
            };
            match field.to_ascii_lowercase().as_str() {
                "package" => control.name = value.trim().to_owned(),
                "version" => control.version = value.trim().to_owned(),
                "architecture" => control.architecture = value.trim().to_owned(),
                "replaces" => replaces.push_str(value),
                _ => {}
            }
        }
        control.replaces = replaces
            .split(',')
            .filter_map(|relation| {
                relation.split(|c: char| c.is_whitespace() || c == '(' || c == ':').find(|n| !n.is_empty())
            })
            .map(str::to_owned)
            .collect();
        if !is_package_name(&control.name) || control.version.is_empty() || control.architecture.is_empty() {
            return Err("its control file has no valid Package, Version or Architecture".to_owned());
        }
        Ok(control)
    }
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
    fn invalid_names_are_rejected() {
        for bad in ["Package: ../x\nVersion: 1\nArchitecture: all\n", "Version: 1\n", "\u{fffd}"] {
            assert!(Control::parse(bad.as_bytes()).is_err());
        }
        for good in ["mongo_exporter", "q", "0ad", "Foo", "libstdc++6", "a.b-c"] {
            assert!(is_package_name(good), "{good}");
        }
        for bad in ["", "_a", "-a", ".a", "a/b", "a:b", "a b", "\u{e9}"] {
            assert!(!is_package_name(bad), "{bad}");
        }
    }
}
