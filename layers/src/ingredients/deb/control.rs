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

impl Control {
    pub(super) fn parse(stanza: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(stanza).map_err(|_| "its control file is not UTF-8".to_owned())?;
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
        let well_formed = |text: &str| {
            text.len() > 1 && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b))
        };
        if !well_formed(&control.name) || control.version.is_empty() || control.architecture.is_empty() {
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
    }
}
