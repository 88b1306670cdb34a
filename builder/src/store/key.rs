//! Keys: the names under which results are kept.

use std::fmt::{self, Display};
use std::io::Write as _;

use sealift_layers::digest::{Digest, Hasher};

/// The SHA-256 of everything that decides a result: the recipe with its version, its parameters, the digests of its inputs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(Digest);

impl Key {
    /// Starts the key of a result of `recipe` ([`crate::recipe`]).
    pub fn builder(recipe: &str) -> Builder {
        Builder(Hasher::default()).bytes("recipe", recipe.as_bytes())
    }

    /// The hash itself.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.0
    }

    /// The 64 hex digits that name its file.
    #[must_use]
    pub fn hex(&self) -> String {
        self.0.hex()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.hex())
    }
}

/// A key that is not finished: a list of names and values, in the order in which they are added. A name may occur more
/// than once.
#[must_use]
#[derive(Clone)]
pub struct Builder(Hasher);

impl Builder {
    /// Adds a value in its displayed form.
    pub fn field(self, name: &str, value: impl Display) -> Self {
        self.bytes(name, value.to_string().as_bytes())
    }

    /// Adds a value's bytes.
    pub fn bytes(mut self, name: &str, value: &[u8]) -> Self {
        // A length before each part, so that different lists have different texts.
        for part in [name.as_bytes(), value] {
            self.put(&(part.len() as u64).to_le_bytes());
            self.put(part);
        }
        self
    }

    /// The key of everything added.
    #[must_use]
    pub fn finish(self) -> Key {
        Key(self.0.finish())
    }

    fn put(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("hashing cannot fail");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(fields: &[(String, String)]) -> Key {
        fields.iter().fold(Key::builder("test/1"), |key, (name, value)| key.field(name, value)).finish()
    }

    #[test]
    fn keys_stay_the_same() {
        // With another encoding, no store has anything under the keys of its contents.
        let key = Key::builder("deb-layer/1").field("epoch", 1_700_000_000_u64).field("codec", "gzip").finish();
        insta::assert_snapshot!(key.hex(), @"cc389ccb21533ee3c389a3513572f0598a5445739e9763c5cfa8b5e94eb9abd4");
    }

    proptest! {
        #[test]
        fn different_lists_have_different_keys(
            one in prop::collection::vec(("[ab]{0,2}", "[ab]{0,2}"), 0..4),
            other in prop::collection::vec(("[ab]{0,2}", "[ab]{0,2}"), 0..4),
        ) {
            prop_assert_eq!(key(&one) == key(&other), one == other);
        }
    }
}
