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
    let same = |pattern: &String, name: &&str| component_matches(pattern.as_bytes(), name.as_bytes());
    fits(pattern, path, |pattern| pattern == "**", same, true)
}

fn component_matches(pattern: &[u8], name: &[u8]) -> bool {
    fits(pattern, name, |byte| *byte == b'*', |one, other| one == other, false)
}

/// Whether a pattern fits a list, or the beginning of one. What is a star stands for any number of items. Goes back to the last
/// star only, so that the time is at most the product of both lengths.
fn fits<P, T>(
    pattern: &[P],
    list: &[T],
    is_star: impl Fn(&P) -> bool,
    same: impl Fn(&P, &T) -> bool,
    beginning: bool,
) -> bool {
    let (mut rest, mut at) = (pattern, 0);
    // What follows the last star, and how many items were tried for it.
    let mut star: Option<(&[P], usize)> = None;
    loop {
        match rest.split_first() {
            None if beginning || at == list.len() => return true,
            Some((first, after)) if is_star(first) => {
                (rest, star) = (after, Some((after, at)));
                continue;
            }
            Some((first, after)) if list.get(at).is_some_and(|item| same(first, item)) => {
                (rest, at) = (after, at + 1);
                continue;
            }
            _ => {}
        }
        match star {
            Some((after, tried)) if tried < list.len() => {
                (rest, at, star) = (after, tried + 1, Some((after, tried + 1)));
            }
            _ => return false,
        }
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

    /// Trying all ways to divide the path among the stars would take longer than the age of the universe.
    #[test]
    fn patterns_with_many_stars_take_no_time() {
        let path = TreePath::new(&"a/".repeat(200)).unwrap();
        assert!(!Pattern::new(&format!("{}b", "**/a/".repeat(30))).matches(&path));
        let path = TreePath::new(&"a".repeat(250)).unwrap();
        assert!(!Pattern::new(&format!("{}b", "*a".repeat(30))).matches(&path));
        assert!(Pattern::new(&"*a".repeat(30)).matches(&path));
    }
}
