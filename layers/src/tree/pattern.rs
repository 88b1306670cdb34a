//! Patterns with which profiles select paths of an image.

/// A path pattern. `*` stands for any characters within a component; `**`, as a whole component, stands for any number of
/// components. A pattern that matches a directory matches everything below it.
///
/// ```
/// use sealift_layers::tree::{Pattern, TreePath};
///
/// let pattern = Pattern::new("/usr/share/doc/*/changelog*");
/// assert!(pattern.matches(&TreePath::new("usr/share/doc/nginx/changelog.gz")?));
/// assert!(!pattern.matches(&TreePath::new("usr/share/doc/nginx/copyright")?));
/// # Ok::<(), sealift_layers::tree::PathError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<String>);

impl Pattern {
    /// Parses a pattern. A leading `/` is optional; the empty pattern matches nothing.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.split('/').filter(|c| !c.is_empty()).map(str::to_owned).collect())
    }

    /// Whether the pattern matches `path` or a directory above it.
    #[must_use]
    pub fn matches(&self, path: &super::TreePath) -> bool {
        let components: Vec<&str> = path.as_str().split('/').collect();
        !self.0.is_empty() && matches(&self.0, &components)
    }

    /// Whether the pattern can match `directory` or anything below it.
    #[must_use]
    pub fn reaches(&self, directory: &super::TreePath) -> bool {
        let pairs = self.0.iter().zip(directory.as_str().split('/'));
        let mut pairs = pairs.take_while(|(pattern, _)| *pattern != "**");
        !self.0.is_empty() && pairs.all(|(pattern, name)| component_matches(pattern.as_bytes(), name.as_bytes()))
    }
}

fn matches(pattern: &[String], path: &[&str]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, _) => true,
        (Some((first, rest)), _) if first == "**" => (0..=path.len()).any(|skip| matches(rest, &path[skip..])),
        (Some((first, rest)), Some((component, below))) => {
            component_matches(first.as_bytes(), component.as_bytes()) && matches(rest, below)
        }
        (Some(_), None) => false,
    }
}

fn component_matches(pattern: &[u8], name: &[u8]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((b'*', rest)) => (0..=name.len()).any(|skip| component_matches(rest, &name[skip..])),
        Some((c, rest)) => name.first() == Some(c) && component_matches(rest, &name[1..]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::TreePath;

    #[test]
    fn patterns_reach_a_directory_if_they_can_match_something_in_it() {
        let directory = TreePath::new("opt/x").unwrap();
        for (pattern, expected) in [
            ("/opt", true),
            ("/opt/x/lib/**", true),
            ("/opt/*/a", true),
            ("**/tests", true),
            ("/opt/**/tests", true),
            ("/usr/**/tests", false),
            ("/opt/y", false),
            ("", false),
        ] {
            assert_eq!(Pattern::new(pattern).reaches(&directory), expected, "{pattern}");
        }
    }

    #[test]
    fn stars_stay_within_a_component_and_double_stars_do_not() {
        let cases = [
            ("/usr/share/man", "usr/share/man/man1/x.1.gz", true),
            ("/usr/share/man", "usr/share/manual", false),
            ("/usr/share/doc/*/changelog*", "usr/share/doc/nginx/changelog.Debian.gz", true),
            ("/usr/share/doc/*/changelog*", "usr/share/doc/nginx/copyright", false),
            ("/usr/share/doc/*/changelog*", "usr/share/doc/changelog", false),
            ("/usr/**/*.h", "usr/include/a/b.h", true),
            ("/usr/**/*.h", "usr/b.h", true),
            ("**/test", "usr/lib/test/x", true),
            ("", "usr", false),
        ];
        for (pattern, path, expected) in cases {
            assert_eq!(Pattern::new(pattern).matches(&TreePath::new(path).unwrap()), expected, "{pattern} {path}");
        }
    }
}
