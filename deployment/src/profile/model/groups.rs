//! The groups that read a file of the site.

use serde::{Deserialize, Deserializer};

/// Numeric groups: a number, or an array of numbers. None: only the file's owner reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Groups(pub Vec<u32>);

impl Groups {
    /// The group of the file itself.
    #[must_use]
    pub fn first(&self) -> Option<u32> {
        self.0.first().copied()
    }

    /// The groups that have a copy of their own, since a file has one group only.
    #[must_use]
    pub fn others(&self) -> &[u32] {
        self.0.get(1..).unwrap_or_default()
    }
}

impl<'de> Deserialize<'de> for Groups {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(
            untagged,
            expecting = "the number of a group, or an array of such numbers, not names: `gid` in `users`"
        )]
        enum OneOrMore {
            One(u32),
            More(Vec<u32>),
        }
        Ok(Self(match OneOrMore::deserialize(deserializer)? {
            OneOrMore::One(group) => vec![group],
            OneOrMore::More(groups) => groups,
        }))
    }
}
