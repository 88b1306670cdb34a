//! Permission bits.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Permission bits, written as an octal string: `"0750"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode(pub u32);

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match u32::from_str_radix(&text, 8) {
            Ok(mode) if mode <= 0o7777 => Ok(Self(mode)),
            _ => Err(serde::de::Error::custom(format!("`{text}` is not a mode: write octal digits such as \"0644\""))),
        }
    }
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:04o}", self.0))
    }
}

pub(super) fn directory_mode() -> Mode {
    Mode(0o755)
}
