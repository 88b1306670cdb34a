//! `/etc/ld.so.conf`, which names the directories of libraries, as `ldconfig` reads it (ldconfig(8)).
//!
//! A line names a directory, or `include`s files by glob patterns; a `#` starts a comment. Lines with `hwcap` are obsolete
//! and skipped, as by `ldconfig` itself.

use std::collections::{BTreeMap, BTreeSet};

use crate::limits;
use crate::tree::TreePath;

/// Path of the first configuration file in an image.
pub const PATH: &str = "etc/ld.so.conf";

/// How many symbolic links a path may go through, and how many files may include each other. Linux has the limit for
/// links.
const DEPTH: usize = 40;

/// Most files that are read, patterns that are looked up, and directories that are found. What comes later is left out: files
/// that include each other twice would never end.
const TOTAL: usize = 1000;

/// The directories that the configuration of an image names, in its order, each once. Paths go through the symbolic links
/// of the image: `/lib/x86_64-linux-gnu` is `usr/lib/x86_64-linux-gnu` where `/lib` is a link to `/usr/lib`.
///
/// `paths` are all paths of the image, each with its target if it is a symbolic link; `read` returns the contents of one of
/// them that is a file.
///
/// # Errors
/// The first error of `read`.
pub fn directories<E>(
    paths: &BTreeMap<&TreePath, Option<&str>>,
    mut read: impl FnMut(&TreePath) -> Result<Vec<u8>, E>,
) -> Result<Vec<TreePath>, E> {
    let mut found = Vec::new();
    read_file(paths, PATH, &mut read, &mut found, &mut 0, DEPTH)?;
    let mut seen = BTreeSet::new();
    found.retain(|directory| seen.insert(directory.clone()));
    Ok(found)
}

fn read_file<E>(
    paths: &BTreeMap<&TreePath, Option<&str>>,
    name: &str,
    read: &mut impl FnMut(&TreePath) -> Result<Vec<u8>, E>,
    found: &mut Vec<TreePath>,
    looked_up: &mut usize,
    depth: usize,
) -> Result<(), E> {
    let Some(path) = resolve(paths, name).filter(|path| paths.get(path) == Some(&None)) else { return Ok(()) };
    let Some(depth) = depth.checked_sub(1) else { return Ok(()) };
    let bytes = read(&path)?;
    for line in String::from_utf8_lossy(&bytes).lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let mut words = line.split_whitespace();
        match words.next() {
            None | Some("hwcap") => {}
            Some("include") => {
                for pattern in words {
                    *looked_up += 1;
                    if *looked_up > TOTAL {
                        return Ok(());
                    }
                    for included in matching(paths, name, pattern) {
                        *looked_up += 1;
                        if *looked_up <= TOTAL {
                            read_file(paths, &included, read, found, looked_up, depth)?;
                        }
                    }
                }
            }
            // The rest of the line is the directory, blanks and all.
            Some(_) if line.starts_with('/') && found.len() < TOTAL => found.extend(resolve(paths, line)),
            Some(_) => {}
        }
    }
    Ok(())
}

/// The paths that a glob pattern of the file `name` matches, sorted. A relative one starts at the file's directory.
fn matching(paths: &BTreeMap<&TreePath, Option<&str>>, name: &str, pattern: &str) -> Vec<String> {
    let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
    let pattern = if pattern.starts_with('/') { pattern.to_owned() } else { format!("{folder}/{pattern}") };
    // A directory with a link above it is listed where the link leads to.
    let (parent, last) = pattern.rsplit_once('/').unwrap_or(("", &pattern));
    let parent = resolve(paths, parent).map_or_else(|| parent.to_owned(), |path| path.as_str().to_owned());
    let pattern = format!("{parent}/{last}");
    let components: Vec<&str> = pattern.split('/').filter(|component| !component.is_empty()).collect();
    let fits = |path: &TreePath| {
        let names: Vec<&str> = path.as_str().split('/').collect();
        names.len() == components.len()
            && components.iter().zip(names).all(|(glob, name)| component_matches(glob.as_bytes(), name.as_bytes()))
    };
    paths.keys().filter(|path| fits(path)).map(|path| path.as_str().to_owned()).collect()
}

/// Whether a component of a glob pattern (glob(7)) matches a name. Names that start with a dot need a dot in the pattern.
fn component_matches(glob: &[u8], name: &[u8]) -> bool {
    (name.first() != Some(&b'.') || glob.first() == Some(&b'.')) && glob_matches(glob, name)
}

/// Goes back to the last `*` only, so that the time is at most the product of both lengths.
fn glob_matches(glob: &[u8], name: &[u8]) -> bool {
    let (mut pattern, mut at) = (glob, 0);
    // What follows the last `*`, and where in the name that was tried.
    let mut star: Option<(&[u8], usize)> = None;
    while let Some(byte) = name.get(at) {
        if let Some((b'*', rest)) = pattern.split_first() {
            (pattern, star) = (rest, Some((rest, at)));
        } else if let Some(rest) = after_one(pattern, *byte) {
            (pattern, at) = (rest, at + 1);
        } else if let Some((rest, tried)) = star {
            (pattern, at, star) = (rest, tried + 1, Some((rest, tried + 1)));
        } else {
            return false;
        }
    }
    pattern.iter().all(|byte| *byte == b'*')
}

/// What follows the first element of a pattern, if that is not `*` and matches `byte`.
fn after_one(glob: &[u8], byte: u8) -> Option<&[u8]> {
    let (first, rest) = glob.split_first()?;
    let (is_match, rest) = match first {
        b'?' => (true, rest),
        // Without its end the bracket is an ordinary character.
        b'[' => class(rest, byte).unwrap_or((byte == b'[', rest)),
        b'\\' if !rest.is_empty() => (rest[0] == byte, &rest[1..]),
        other => (*other == byte, rest),
    };
    is_match.then_some(rest)
}

/// Whether `byte` is in the class that `glob` starts with, after its `[`; and what follows the class.
fn class(glob: &[u8], byte: u8) -> Option<(bool, &[u8])> {
    let is_negated = matches!(glob.first(), Some(b'!' | b'^'));
    let glob = &glob[usize::from(is_negated)..];
    // A `]` in the first place is a member.
    let end = 1 + glob.get(1..)?.iter().position(|byte| *byte == b']')?;
    let (mut members, mut is_member) = (&glob[..end], false);
    while let Some((&first, rest)) = members.split_first() {
        members = match rest {
            [b'-', last, after @ ..] => {
                is_member |= (first..=*last).contains(&byte);
                after
            }
            _ => {
                is_member |= first == byte;
                rest
            }
        };
    }
    Some((is_member != is_negated, &glob[end + 1..]))
}

/// The path that `name` leads to through symbolic links. `None` for the root, a loop, and a path out of the image.
fn resolve(paths: &BTreeMap<&TreePath, Option<&str>>, name: &str) -> Option<TreePath> {
    if name.len() > limits::PATH {
        return None;
    }
    let mut pending: Vec<String> = name.split('/').rev().map(str::to_owned).collect();
    let (mut done, mut links): (Vec<String>, usize) = (Vec::new(), 0);
    while let Some(component) = pending.pop() {
        match component.as_str() {
            "" | "." => continue,
            ".." => {
                done.pop();
                continue;
            }
            _ => done.push(component),
        }
        let at = TreePath::new(&done.join("/")).ok()?;
        if let Some(Some(target)) = paths.get(&at) {
            links += 1;
            if links > DEPTH || target.len() > limits::PATH {
                return None;
            }
            done.pop();
            if target.starts_with('/') {
                done.clear();
            }
            pending.extend(target.split('/').rev().map(str::to_owned));
        }
    }
    TreePath::new(&done.join("/")).ok()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// The directories of an image with these files; a text `-> TARGET` is a link.
    fn read(files: &[(&str, &str)]) -> String {
        let files: BTreeMap<TreePath, &str> =
            files.iter().map(|(path, text)| (TreePath::new(path).unwrap(), *text)).collect();
        let paths = files.iter().map(|(path, text)| (path, text.strip_prefix("-> "))).collect();
        let found = directories(&paths, |path| Ok::<_, Infallible>(files[path].as_bytes().to_vec())).unwrap();
        found.iter().map(TreePath::as_str).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn directories_are_in_the_order_of_the_configuration() {
        let found = read(&[
            (
                "etc/ld.so.conf",
                "/first\n  include /etc/ld.so.conf.d/*.conf other/[b-c]?  # both\nhwcap 1 x\n/first/\n/a b \n",
            ),
            ("etc/ld.so.conf.d/b.conf", "# comment\n/b#c\nrelative\n"),
            ("etc/ld.so.conf.d/a.conf", "/lib/x\n/usr/lib/x\n"),
            ("etc/ld.so.conf.d/.hidden.conf", "/hidden\n"),
            ("etc/ld.so.conf.d/x.disabled", "/disabled\n"),
            ("etc/other/b1", "/b1"),
            ("etc/other/d1", "/d1"),
            ("lib", "-> usr/lib"),
        ]);
        assert_eq!(found, "first usr/lib/x b b1 a b");
    }

    #[test]
    fn files_are_read_through_links_and_loops_end() {
        let conf = ("etc/ld.so.conf", "include ld.so.conf.d/*\n");
        assert_eq!(read(&[conf, ("etc/ld.so.conf.d", "-> ../opt/d"), ("opt/d/x", "-> /opt/y"), ("opt/y", "/z")]), "z");
        assert_eq!(read(&[("etc/ld.so.conf", "include /etc/ld.so.conf\n/x\n")]), "x");
        assert_eq!(read(&[conf, ("etc/ld.so.conf.d/x", "-> x"), ("etc/ld.so.conf.d/y", "-> none")]), "");
        assert_eq!(read(&[]), "");
    }

    /// Two files that include all files twice were read 2^40 times, and each `*` multiplied the time.
    #[test]
    fn hostile_configurations_end() {
        let conf = ("etc/ld.so.conf", "include ld.so.conf.d/*\n/x\n");
        let all = "include /etc/ld.so.conf.d/* /etc/ld.so.conf.d/*\n/y\n";
        assert!(read(&[conf, ("etc/ld.so.conf.d/a", all), ("etc/ld.so.conf.d/b", all)]).starts_with('y'));
        let stars = "*a".repeat(40) + "b";
        assert!(!component_matches(stars.as_bytes(), "a".repeat(200).as_bytes()));
        assert!(component_matches(b"*a*b*", b"xaayb"));
        assert_eq!(read(&[("etc/ld.so.conf", &format!("/{}\n/z\n", "a/".repeat(500_000)))]), "z");
    }

    #[test]
    fn classes_of_globs_have_ranges_and_negations() {
        for (glob, name, expected) in [
            ("[a-c]", "b", true),
            ("[!a-c]", "b", false),
            ("[^a]x", "bx", true),
            ("[]]", "]", true),
            ("[a", "[a", true),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("*.co?f", "x.conf", true),
            ("*", ".x", false),
        ] {
            assert_eq!(component_matches(glob.as_bytes(), name.as_bytes()), expected, "{glob} {name}");
        }
    }
}
