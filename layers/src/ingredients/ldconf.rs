//! `/etc/ld.so.conf`, which names the directories of libraries, as `ldconfig` reads it (ldconfig(8)).
//!
//! A line names a directory, or `include`s files by glob patterns; a `#` starts a comment. Lines with `hwcap` are obsolete
//! and skipped, as by `ldconfig` itself.

use std::collections::{BTreeMap, BTreeSet};

use crate::tree::TreePath;

/// Path of the first configuration file in an image.
pub const PATH: &str = "etc/ld.so.conf";

/// How many symbolic links a path may go through, and how many files may include each other. Linux has the limit for
/// links.
const DEPTH: usize = 40;

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
    read_file(paths, PATH, &mut read, &mut found, DEPTH)?;
    let mut seen = BTreeSet::new();
    found.retain(|directory| seen.insert(directory.clone()));
    Ok(found)
}

fn read_file<E>(
    paths: &BTreeMap<&TreePath, Option<&str>>,
    name: &str,
    read: &mut impl FnMut(&TreePath) -> Result<Vec<u8>, E>,
    found: &mut Vec<TreePath>,
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
                    for included in matching(paths, name, pattern) {
                        read_file(paths, &included, read, found, depth)?;
                    }
                }
            }
            // The rest of the line is the directory, blanks and all.
            Some(_) if line.starts_with('/') => found.extend(resolve(paths, line)),
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

fn glob_matches(glob: &[u8], name: &[u8]) -> bool {
    match glob.split_first() {
        None => name.is_empty(),
        Some((b'*', rest)) => (0..=name.len()).any(|skip| glob_matches(rest, &name[skip..])),
        Some((b'?', rest)) => !name.is_empty() && glob_matches(rest, &name[1..]),
        Some((b'[', rest)) => {
            let Some((&first, below)) = name.split_first() else { return false };
            match class(rest, first) {
                Some((is_member, rest)) => is_member && glob_matches(rest, below),
                // Without its end the bracket is an ordinary character.
                None => first == b'[' && glob_matches(rest, below),
            }
        }
        Some((b'\\', rest)) if !rest.is_empty() => name.first() == rest.first() && glob_matches(&rest[1..], &name[1..]),
        Some((byte, rest)) => name.first() == Some(byte) && glob_matches(rest, &name[1..]),
    }
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
            if links > DEPTH {
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
