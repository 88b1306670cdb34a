//! `/etc/ld.so.cache` as `ldconfig` makes it, for the dynamic loader and for Python's `ctypes.util`.
//!
//! The format is version 1.1 of glibc's (elf/dl-cache.h: `cache_file_new`): a header, entries in descending order of name,
//! names and paths. `ldconfig` reads the SONAME from each library; this module takes the name of the symbolic link instead.
//! Both are the same, since Debian policy 8.1 requires every package to ship a link with the SONAME of its library.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use crate::platform::Architecture;
use crate::tree::TreePath;

/// Path of the cache in an image.
pub const PATH: &str = "etc/ld.so.cache";

/// The type of a path that may be a library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library<'a> {
    /// A file.
    File,
    /// A symbolic link and its target.
    Link(&'a str),
}

/// Makes the cache of the libraries among `paths`, which are all paths of an image for `architecture`. The libraries are
/// those in `configured`, the directories that `/etc/ld.so.conf` names ([`ldconf`](super::ldconf)), and then those in the
/// loader's own directories. Of libraries with the same name the first one is listed.
///
/// ```
/// use sealift_layers::ingredients::ldcache::{self, Library};
/// use sealift_layers::platform::Architecture;
/// use sealift_layers::tree::TreePath;
///
/// let library = TreePath::new("usr/lib/x86_64-linux-gnu/libc.so.6")?;
/// let cache = ldcache::make([(&library, Library::File)].into_iter(), &[], Architecture::Amd64);
/// assert!(cache.starts_with(b"glibc-ld.so.cache1.1"));
/// # Ok::<(), sealift_layers::tree::PathError>(())
/// ```
#[must_use]
pub fn make<'a>(
    paths: impl Iterator<Item = (&'a TreePath, Library<'a>)>,
    configured: &[TreePath],
    architecture: Architecture,
) -> Vec<u8> {
    // elf/dl-cache.h: FLAG_ELF_LIBC6 with FLAG_X8664_LIB64 or FLAG_AARCH64_LIB64.
    let flags: u32 = match architecture {
        Architecture::Amd64 => 0x0303,
        Architecture::Arm64 => 0x0a03,
    };
    // In the order of the loader: the first directory with a name is used.
    let mut folders: Vec<&str> = configured.iter().map(TreePath::as_str).collect();
    folders.extend([architecture.lib_directory(), "usr/lib64", "usr/lib"]);
    let mut found: BTreeMap<(usize, &str), Library<'a>> = BTreeMap::new();
    for (path, library) in paths {
        let Some((folder, name)) = path.as_str().rsplit_once('/') else { continue };
        let is_library = (name.starts_with("lib") || name.starts_with("ld-")) && name.contains(".so");
        if let Some(rank) = folders.iter().position(|known| *known == folder)
            && is_library
        {
            found.insert((rank, name), library);
        }
    }
    let linked: BTreeSet<(usize, &str)> = found
        .iter()
        .filter_map(|((rank, name), library)| match library {
            Library::Link(target) if target != name => Some((*rank, *target)),
            _ => None,
        })
        .collect();
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    for (rank, name) in found.keys() {
        // libz.so.1.3.1 is listed under the name of the link to it: libz.so.1.
        if !linked.contains(&(*rank, *name)) {
            names.entry(name).or_insert(*rank);
        }
    }
    let mut names: Vec<(&str, String)> =
        names.into_iter().map(|(name, rank)| (name, format!("/{}/{name}", folders[rank]))).collect();
    names.sort_by(|one, two| compare(two.0.as_bytes(), one.0.as_bytes()));
    encode(&names, flags)
}

const HEADER: usize = 48;
const ENTRY: usize = 24;

fn encode(names: &[(&str, String)], flags: u32) -> Vec<u8> {
    let start = HEADER + ENTRY * names.len();
    let mut strings = Vec::new();
    let mut entries = Vec::new();
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes();
    for (name, path) in names {
        // The name is the end of the path, so one string serves both.
        let path_at = start + strings.len();
        let name_at = path_at + path.len() - name.len();
        strings.extend_from_slice(path.as_bytes());
        strings.push(0);
        entries.extend_from_slice(&flags.to_le_bytes());
        entries.extend_from_slice(&number(name_at));
        entries.extend_from_slice(&number(path_at));
        // OS version (unused) and hardware capabilities: none.
        entries.extend_from_slice(&[0; 12]);
    }
    let mut cache = b"glibc-ld.so.cache1.1".to_vec();
    cache.extend_from_slice(&number(names.len()));
    cache.extend_from_slice(&number(strings.len()));
    // Little-endian; no extensions.
    cache.extend_from_slice(&[2, 0, 0, 0]);
    cache.extend_from_slice(&[0; 16]);
    cache.extend_from_slice(&entries);
    cache.extend_from_slice(&strings);
    cache
}

/// The libraries in a cache of this format: names and paths. Entries that are damaged are left out, as the loader ignores
/// them.
#[must_use]
pub fn read(cache: &[u8]) -> BTreeMap<String, String> {
    let number = |at: usize| Some(u32::from_le_bytes(cache.get(at..at.checked_add(4)?)?.try_into().ok()?) as usize);
    let text = |at: usize| {
        let text = cache.get(number(at)?..)?.split(|byte| *byte == 0).next()?;
        std::str::from_utf8(text).ok().map(str::to_owned)
    };
    let count = if cache.starts_with(b"glibc-ld.so.cache1.1") { number(20).unwrap_or(0) } else { 0 };
    // An entry: flags, the offset of the name, the offset of the path. No more than there is room for.
    let entry = |index: usize| Some((text(HEADER + index * ENTRY + 4)?, text(HEADER + index * ENTRY + 8)?));
    (0..count.min(cache.len() / ENTRY)).filter_map(entry).collect()
}

/// The order of glibc's `_dl_cache_libcmp`: bytewise, but runs of digits compare as numbers, and a digit comes after any
/// other character.
fn compare(mut one: &[u8], mut two: &[u8]) -> Ordering {
    let digits = |text: &[u8]| text.iter().take_while(|b| b.is_ascii_digit()).count();
    loop {
        match (digits(one), digits(two)) {
            (0, 0) => match (one.split_first(), two.split_first()) {
                (Some((a, rest)), Some((b, other))) if a == b => (one, two) = (rest, other),
                (a, b) => return a.map(|(byte, _)| byte).cmp(&b.map(|(byte, _)| byte)),
            },
            // The end of a text compares like a NUL character.
            (0, _) => return Ordering::Less,
            (_, 0) => return Ordering::Greater,
            (a, b) => {
                let significant = |text: &'_ [u8], length: usize| {
                    let zeros = text[..length].iter().take_while(|b| **b == b'0').count();
                    text[zeros..length].to_vec()
                };
                let (x, y) = (significant(one, a), significant(two, b));
                let order = x.len().cmp(&y.len()).then_with(|| x.cmp(&y));
                if order != Ordering::Equal {
                    return order;
                }
                (one, two) = (&one[a..], &two[b..]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::digest::Digest;

    fn sample() -> Vec<(TreePath, Library<'static>)> {
        let lib = |name: &str| TreePath::new(&format!("usr/lib/x86_64-linux-gnu/{name}")).unwrap();
        vec![
            (lib("libz.so.1"), Library::Link("libz.so.1.3.1")),
            (lib("libz.so.1.3.1"), Library::File),
            (lib("libc.so.6"), Library::File),
            (lib("libicudata.so.78"), Library::Link("libicudata.so.78.1")),
            (lib("libicudata.so.78.1"), Library::File),
            (lib("engines-3/libx.so"), Library::File),
            (lib("README"), Library::File),
            (TreePath::new("usr/lib/libz.so.1").unwrap(), Library::File),
        ]
    }

    /// `ldconfig -p -C` of glibc 2.36 printed the three names for exactly these bytes, each with its path in
    /// /usr/lib/x86_64-linux-gnu, as (libc6,x86-64).
    #[test]
    fn a_cache_is_read_as_it_was_written() {
        let sample = sample();
        let cache = make(sample.iter().map(|(path, library)| (path, *library)), &[], Architecture::Amd64);
        let read = read(&cache);
        assert_eq!(read["libz.so.1"], "/usr/lib/x86_64-linux-gnu/libz.so.1");
        assert!(super::read(&cache[..cache.len() / 2]).len() < read.len());
    }

    #[test]
    fn ldconfig_can_read_the_cache() {
        let sample = sample();
        let cache = make(sample.iter().map(|(path, library)| (path, *library)), &[], Architecture::Amd64);
        let strings = String::from_utf8_lossy(&cache[HEADER + 3 * ENTRY..]).replace('\0', "\n");
        insta::assert_snapshot!(strings, @r"
        /usr/lib/x86_64-linux-gnu/libz.so.1
        /usr/lib/x86_64-linux-gnu/libicudata.so.78
        /usr/lib/x86_64-linux-gnu/libc.so.6
        ");
        insta::assert_snapshot!(Digest::of(&cache), @"sha256:66087bf0912aee2649bc6f89d16b3c8dd765287757d3bd7d9c61a05954757bec");
    }

    #[test]
    fn configured_directories_come_before_the_loaders_own() {
        let paths = ["usr/lib/libz.so.1", "opt/x/libz.so.1", "opt/x/liby.so.2", "opt/y/liby.so.2", "opt/z/liba.so"];
        let paths = paths.map(|path| TreePath::new(path).unwrap());
        let configured = ["opt/y", "opt/x"].map(|path| TreePath::new(path).unwrap());
        let cache = make(paths.iter().map(|path| (path, Library::File)), &configured, Architecture::Amd64);
        let strings = String::from_utf8_lossy(&cache[HEADER + 2 * ENTRY..]).replace('\0', " ");
        assert_eq!(strings, "/opt/x/libz.so.1 /opt/y/liby.so.2 ");
    }

    #[test]
    fn digits_compare_as_numbers() {
        for (less, more) in
            [("libx.so.9", "libx.so.10"), ("liba.so", "libb.so"), ("lib-x", "lib1"), ("lib", "lib1"), ("lib", "liba")]
        {
            assert_eq!(compare(less.as_bytes(), more.as_bytes()), Ordering::Less, "{less} {more}");
        }
        assert_eq!(compare(b"lib01", b"lib1"), Ordering::Equal);
    }

    proptest! {
        /// The loader uses a binary search, which needs a total order.
        #[test]
        fn the_order_is_total(mut names in prop::collection::vec("[a1-3.]{0,5}", 3)) {
            names.sort_by(|a, b| compare(a.as_bytes(), b.as_bytes()));
            for pair in names.windows(2) {
                prop_assert_ne!(compare(pair[0].as_bytes(), pair[1].as_bytes()), Ordering::Greater);
                prop_assert_eq!(
                    compare(pair[0].as_bytes(), pair[1].as_bytes()),
                    compare(pair[1].as_bytes(), pair[0].as_bytes()).reverse()
                );
            }
            prop_assert_ne!(compare(names[0].as_bytes(), names[2].as_bytes()), Ordering::Greater);
        }
    }
}
