//! Names of distributions (PEP 503) and of wheel files (PEP 427, "File name convention").

use std::str::FromStr;

use pep440_rs::Version;

/// The normalized name of a distribution (PEP 503): lower case, and one `-` for each run of `-`, `_` and `.`.
///
/// ```
/// use sealift_layers::ingredients::wheel::normalize;
///
/// assert_eq!(normalize("Zope.Interface"), "zope-interface");
/// ```
#[must_use]
pub fn normalize(name: &str) -> String {
    let mut normal = String::with_capacity(name.len());
    for part in name.split(['-', '_', '.']).filter(|part| !part.is_empty()) {
        if !normal.is_empty() {
            normal.push('-');
        }
        normal.push_str(&part.to_ascii_lowercase());
    }
    normal
}

/// A build tag: it orders wheels of the same version. No tag is `BuildTag::default()`, which comes first.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct BuildTag {
    /// The digits at its start.
    pub number: u64,
    /// The rest.
    pub suffix: String,
}

/// The parts of a wheel's file name.
///
/// ```
/// use sealift_layers::ingredients::wheel::WheelFileName;
///
/// let name: WheelFileName = "Demo_Pkg-1.0-py3-none-any.whl".parse()?;
/// assert_eq!((name.name.as_str(), name.version.to_string().as_str()), ("demo-pkg", "1.0"));
/// assert_eq!(name.platform, ["any"]);
/// # Ok::<(), sealift_layers::ingredients::wheel::WheelFileNameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WheelFileName {
    /// The normalized name of the distribution.
    pub name: String,
    /// The version.
    pub version: Version,
    /// The build tag.
    pub build: BuildTag,
    /// Python tags, such as `cp314` or `py2`, `py3`.
    pub python: Vec<String>,
    /// ABI tags, such as `abi3` or `none`.
    pub abi: Vec<String>,
    /// Platform tags, such as `manylinux_2_28_x86_64` or `any`.
    pub platform: Vec<String>,
}

/// The text is not the file name of a wheel.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not the file name of a wheel (NAME-VERSION[-BUILD]-PYTHON-ABI-PLATFORM.whl)")]
pub struct WheelFileNameError(String);

impl FromStr for WheelFileName {
    type Err = WheelFileNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || WheelFileNameError(text.to_owned());
        let parts: Vec<&str> = text.strip_suffix(".whl").ok_or_else(error)?.split('-').collect();
        let (name, version, build, tags) = match parts.as_slice() {
            [name, version, tags @ ..] if tags.len() == 3 => (name, version, None, tags),
            [name, version, build, tags @ ..] if tags.len() == 3 => (name, version, Some(build), tags),
            _ => return Err(error()),
        };
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+!".contains(&b));
        if normalize(name).is_empty() || !parts.iter().all(|part| plain(part)) {
            return Err(error());
        }
        let build = match build {
            None => BuildTag::default(),
            Some(build) => {
                let digits = build.bytes().take_while(u8::is_ascii_digit).count();
                let (number, suffix) = build.split_at(digits);
                BuildTag { number: number.parse().map_err(|_| error())?, suffix: suffix.to_owned() }
            }
        };
        let set = |tag: &str| tag.split('.').map(str::to_owned).collect();
        Ok(Self {
            name: normalize(name),
            version: version.replace('_', "-").parse().map_err(|_| error())?,
            build,
            python: set(tags[0]),
            abi: set(tags[1]),
            platform: set(tags[2]),
        })
    }
}

impl WheelFileName {
    /// Whether `NAME-VERSION`, with which the names of the wheel's own directories begin, is the same distribution.
    pub(super) fn is_stem(&self, stem: &str) -> bool {
        stem.split_once('-').is_some_and(|(name, version)| {
            normalize(name) == self.name && version.replace('_', "-").parse() == Ok(self.version.clone())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalized() {
        assert_eq!(normalize("Zope.Interface"), "zope-interface");
        assert_eq!(normalize("a_-.b"), "a-b");
    }

    #[test]
    fn file_names_are_split_into_their_parts() {
        let name: WheelFileName = "Foo_Bar-1.0+local.1-2b-py2.py3-none-any.whl".parse().unwrap();
        assert_eq!((name.name.as_str(), name.version.to_string()), ("foo-bar", "1.0+local.1".into()));
        let build = BuildTag { number: 2, suffix: "b".into() };
        assert_eq!((name.build, name.python), (build, vec!["py2".into(), "py3".into()]));
        assert_eq!((name.abi, name.platform), (vec!["none".to_owned()], vec!["any".to_owned()]));
    }

    #[test]
    fn other_texts_are_rejected() {
        for text in [
            "",
            "a.whl",
            "a-1-py3-none-any.zip",
            "a-1-b-py3-none-any.whl",
            "a-x-py3-none-any.whl",
            "a/b-1-py3-none-any.whl",
            "_-1-py3-none-any.whl",
            "a-1-1-1-py3-none-any.whl",
        ] {
            assert!(text.parse::<WheelFileName>().is_err(), "{text}");
        }
    }
}
