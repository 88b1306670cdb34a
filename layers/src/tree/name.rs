//! Names that are not UTF-8. A file system allows any bytes but `/` and NUL, and packages use it: `caf\xe9` in Latin-1.
//!
//! Paths are texts. A byte that is not part of UTF-8 becomes a character of a private use area, and becomes the same byte
//! again when a layer is written. So that every name comes back as it was, these characters themselves are kept byte by
//! byte, too. No name that is UTF-8, apart from such characters, is changed.

use std::borrow::Cow;

/// The character for the byte 0.
const BASE: u32 = 0xF_0000;

/// The characters that stand for bytes: only bytes that are not ASCII are ever kept so.
fn stands_for_byte(c: char) -> Option<u8> {
    u32::from(c).checked_sub(BASE).and_then(|byte| u8::try_from(byte).ok()).filter(|byte| *byte >= 0x80)
}

/// The text for a name.
#[must_use]
pub fn text_of(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    let keep = |bytes: &[u8], text: &mut String| {
        text.extend(bytes.iter().map(|byte| char::from_u32(BASE + u32::from(*byte)).expect("a private use character")));
    };
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
            match stands_for_byte(c) {
                Some(_) => keep(c.encode_utf8(&mut [0; 4]).as_bytes(), &mut text),
                None => text.push(c),
            }
        }
        keep(chunk.invalid(), &mut text);
    }
    text
}

/// The name for a text of [`text_of`].
#[must_use]
pub fn bytes_of(text: &str) -> Cow<'_, [u8]> {
    if !text.chars().any(|c| stands_for_byte(c).is_some()) {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        match stands_for_byte(c) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Cow::Owned(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_that_are_utf8_stay_as_they_are() {
        for name in ["", "usr/bin", "\u{e9}t\u{e9}", "\u{f0000}\u{f007f}\u{10ffff}"] {
            assert_eq!(text_of(name.as_bytes()), name);
        }
        assert_ne!(text_of("\u{f00e9}".as_bytes()), "\u{f00e9}");
    }

    proptest! {
        #[test]
        fn every_name_comes_back(name in prop::collection::vec(prop_oneof![any::<u8>(), Just(0xf3), Just(0xb0), Just(0x83), Just(0xa9)], 0..12)) {
            let text = text_of(&name);
            prop_assert_eq!(&*bytes_of(&text), &name[..]);
        }

        #[test]
        fn slashes_stay_where_they_are(name in prop::collection::vec(any::<u8>(), 0..12)) {
            prop_assert_eq!(text_of(&name).matches('/').count(), name.iter().filter(|byte| **byte == b'/').count());
        }
    }
}
