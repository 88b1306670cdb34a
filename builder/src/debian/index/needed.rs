//! The part of a `Packages` file that is kept in memory.

use std::io::{self, BufRead, Read};

use sealift_layers::limits::{Exceeded, INDEX_LINE};

use super::read::is_needed;
use crate::debian::stanza::{is_blank, name_end};

/// Reads a `Packages` file without the fields that an [`Index`](super::Index) does not need, such as descriptions: they are
/// half of it. The first field of each stanza is kept, and every line that is not a field.
///
/// # Errors
/// It cannot be read, a line is longer than [`INDEX_LINE`], or more than `most` bytes are needed.
pub fn needed(mut from: impl BufRead, most: usize) -> io::Result<String> {
    let (mut text, mut line) = (String::new(), Vec::new());
    let (mut is_first, mut keeps) = (true, true);
    loop {
        line.clear();
        if Read::take(&mut from, INDEX_LINE + 1).read_until(b'\n', &mut line)? == 0 {
            text.shrink_to_fit();
            return Ok(text);
        }
        if line.len() as u64 > INDEX_LINE {
            return Err(Exceeded::Size { what: "a line of it", limit: INDEX_LINE }.into());
        }
        // Names of maintainers and descriptions may have any encoding. The fields that are used must be ASCII.
        let line = String::from_utf8_lossy(&line);
        let plain = line.trim_end_matches('\n');
        if is_blank(plain) {
            (is_first, keeps) = (true, true);
        } else if is_first || !plain.starts_with([' ', '\t']) {
            keeps = is_first || name_end(plain).is_none_or(|end| is_needed(&plain[..end]));
            is_first = false;
        }
        if keeps {
            if text.len() + line.len() > most {
                return Err(Exceeded::Size { what: "what is needed of it", limit: most as u64 }.into());
            }
            text.push_str(&line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debian::index::tests::{index, packages};

    fn read(text: &[u8]) -> String {
        needed(text, 1000).unwrap()
    }

    #[test]
    fn fields_that_are_not_used_are_left_out_with_their_further_lines() {
        let text = b"Package: a\nDescription: x\n y\n\tz\nDepends: b,\n c\nTag: t\n\nTag: first\n more\nVersion: 1\n";
        assert_eq!(read(text), "Package: a\nDepends: b,\n c\n\nTag: first\n more\nVersion: 1\n");
        // A line of blanks ends a stanza, and what follows it is no further line.
        assert_eq!(read(b"Package: a\nTag: x\n  \r\n y\nTag: z\n"), "Package: a\n  \r\n y\n");
        assert_eq!(read(b"odd\nTag: x\n# c: d\nSize: 3"), "odd\n# c: d\nSize: 3");
        assert_eq!(read(b"Tag: a\nFilename: J\xf6rg"), "Tag: a\nFilename: J\u{fffd}rg");
        assert_eq!(read(b""), "");
    }

    /// A line of 100 MB, and 250 MB of small packages, were in memory as a whole.
    #[test]
    fn long_lines_and_large_indexes_are_refused() {
        let long = format!("Tag: {}", "x".repeat(usize::try_from(INDEX_LINE).unwrap()));
        assert_eq!(needed(long.as_bytes(), 1000).unwrap_err().to_string(), "a line of it is larger than 1 MiB");
        let error = needed("Size: 1\n".repeat(129).as_bytes(), 1024).unwrap_err();
        assert_eq!(error.to_string(), "what is needed of it is larger than 1 KiB");
        assert!(needed("Tag: 1\n".repeat(1000).as_bytes(), 1024).is_ok());
    }

    #[test]
    fn an_index_of_what_is_needed_is_that_of_the_whole() {
        let text =
            packages(&["a 1\nTag: x\n y\nDepends: b\nDescription: d\n .\n e", "b\nno field", "c\nProvides: b\nX: y"]);
        let part = read(text.as_bytes());
        assert!(part.len() < text.len());
        let (whole, part) = (index("P", &text), index("P", &part));
        assert_eq!(part.omitted(), whole.omitted());
        assert_eq!(format!("{part:?}"), format!("{whole:?}"));
    }
}
