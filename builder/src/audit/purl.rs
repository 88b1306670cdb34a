//! Package URLs as patterns: which components a statement is about.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

/// The parts of a package URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Purl {
    /// Type, namespace and name: `deb/debian/openssl`.
    name: String,
    version: Option<String>,
    qualifiers: BTreeMap<String, String>,
}

impl Purl {
    /// Parses a package URL; `None` for another identifier.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("pkg:")?.trim_start_matches('/');
        let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (path, version) = path.rsplit_once('@').map_or((path, None), |(path, version)| (path, Some(version)));
        let (kind, name) = path.trim_end_matches('/').split_once('/')?;
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let qualifiers = query.split('&').filter_map(|pair| pair.split_once('='));
        let name = match kind.to_ascii_lowercase().as_str() {
            "pypi" => format!("pypi/{}", sealift_layers::ingredients::wheel::normalize(&decoded(name))),
            "deb" => format!("deb/{}", decoded(name).to_ascii_lowercase()),
            kind => format!("{kind}/{}", decoded(name)),
        };
        Some(Self {
            name,
            version: version.map(decoded).filter(|version| !version.is_empty()),
            qualifiers: qualifiers.map(|(key, value)| (key.to_ascii_lowercase(), decoded(value))).collect(),
        })
    }

    /// Whether `other` is what this one names. A version or a qualifier that this one does not have may be any.
    pub(super) fn names(&self, other: &Self) -> bool {
        self.name == other.name
            && self.version.as_ref().is_none_or(|version| other.version.as_ref() == Some(version))
            && self.qualifiers.iter().all(|(key, value)| other.qualifiers.get(key) == Some(value))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(pattern: &str, purl: &str) -> bool {
        Purl::parse(pattern).unwrap().names(&Purl::parse(purl).unwrap())
    }

    #[test]
    fn what_a_pattern_leaves_out_may_be_any() {
        let own = "pkg:deb/debian/libstdc%2B%2B6@14.2.0-19?arch=amd64&distro=debian-13&upstream=gcc-14";
        for pattern in [
            own,
            "pkg:deb/debian/libstdc++6",
            "pkg:deb/debian/libstdc++6@14.2.0-19",
            "pkg:DEB/debian/libstdc%2b%2b6?distro=debian-13#a/path",
        ] {
            assert!(names(pattern, own), "{pattern}");
        }
        for pattern in [
            "pkg:deb/ubuntu/libstdc++6",
            "pkg:deb/debian/libstdc++6@14.2.0-20",
            "pkg:deb/debian/libstdc++6?arch=source",
            "pkg:generic/libstdc++6",
        ] {
            assert!(!names(pattern, own), "{pattern}");
        }
        assert!(names("pkg:pypi/Ruamel_Yaml", "pkg:pypi/ruamel-yaml@1") && !names("pkg:cargo/a_b", "pkg:cargo/a-b"));
        assert_eq!(["CVE-1", "pkg:", "pkg:deb", "https://example.org/a"].map(Purl::parse), [const { None }; 4]);
    }

    proptest! {
        #[test]
        fn every_url_names_itself(text in "pkg:[a-z/@?&=#%+.0-9-]{0,30}") {
            if let Some(purl) = Purl::parse(&text) {
                prop_assert!(purl.names(&purl));
            }
        }
    }
}
