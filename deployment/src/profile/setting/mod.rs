//! Settings: values that the operator of an installation sets. The checks of values are in [`read`].

mod read;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// One value that operators set in the site's `settings.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Setting {
    /// Description for the operator: one or more lines, the first a summary.
    pub title: String,
    /// The kind of its values.
    pub kind: Kind,
    /// A site cannot be created without it.
    #[serde(default)]
    pub required: bool,
    /// Only secret templates can read it, and no message shows it.
    #[serde(default)]
    pub secret: bool,
    /// Default value.
    pub default: Option<toml::Value>,
    /// Example value.
    pub example: Option<toml::Value>,
    /// Allowed schemes of a URL, such as `https`.
    #[serde(default)]
    pub schemes: Vec<String>,
    /// Allowed values of a choice, or of each word of a list.
    #[serde(default)]
    pub choices: Vec<String>,
    /// Minimum length of a text in characters: shorter secrets can be guessed.
    pub min_length: Option<u32>,
    /// The keys of each table of `tables`.
    #[serde(default)]
    pub fields: BTreeMap<String, Setting>,
}

/// The kind of a setting's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// One line of text.
    Text,
    /// One line of text without blanks.
    Word,
    /// A name of a file, a user or the like: letters, digits, `.`, `_` and `-`, the first neither `.` nor `-`.
    Name,
    /// An absolute URL with a host.
    Url,
    /// A DNS name or an IP address.
    Host,
    /// The absolute path of a folder of the host.
    Folder,
    /// 1 to 65535.
    Port,
    /// A whole number, not negative.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// One of `choices`.
    Choice,
    /// An array of words.
    List,
    /// An array of tables with `fields`.
    Tables,
}

impl fmt::Display for Kind {
    /// A noun phrase with its article, for messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "a line of text in quotes",
            Self::Word => "a text in quotes without blanks",
            Self::Name => "a name of letters, digits, `.`, `_` and `-` in quotes",
            Self::Url => "a URL in quotes",
            Self::Host => "a DNS name or an IP address in quotes",
            Self::Folder => "the absolute path of a folder in quotes",
            Self::Port => "a port number from 1 to 65535",
            Self::Integer => "a whole number that is not negative",
            Self::Boolean => "true or false",
            Self::Choice => "one of the choices, in quotes",
            Self::List => "an array of texts without blanks: [\"...\"]",
            Self::Tables => "an array of tables: [[...]]",
        })
    }
}

/// The value of a setting for templates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Not set, without a default.
    None,
    /// A text of any kind.
    Text(String),
    /// A port or another number.
    Number(i64),
    /// True or false.
    Boolean(bool),
    /// Texts.
    List(Vec<String>),
    /// Tables, each with all fields.
    Tables(Vec<BTreeMap<String, Value>>),
}

impl Value {
    /// All texts within.
    #[must_use]
    pub fn texts(&self) -> Vec<&str> {
        match self {
            Self::Text(text) => vec![text],
            Self::List(list) => list.iter().map(String::as_str).collect(),
            Self::Tables(tables) => tables.iter().flat_map(|table| table.values().flat_map(Self::texts)).collect(),
            Self::None | Self::Number(_) | Self::Boolean(_) => Vec::new(),
        }
    }
}

/// An invalid value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidValue {
    /// Path of the value: keys, and indexes of arrays in decimal.
    pub path: Vec<String>,
    /// What is wrong: the predicate of a sentence such as "NAME is not set".
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

impl Setting {
    /// Whether it or one of its fields is secret.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.secret || self.fields.values().any(Self::is_secret)
    }

    /// The first line of the title, without a full stop.
    #[must_use]
    pub fn summary(&self) -> &str {
        self.title.lines().next().unwrap_or_default().trim_end_matches('.')
    }

    /// The value when it is not set.
    #[must_use]
    pub fn unset(&self) -> Value {
        match (&self.default, self.kind) {
            (Some(default), _) => self.value(default, &[], &mut Vec::new()),
            (None, Kind::List) => Value::List(Vec::new()),
            (None, Kind::Tables) => Value::Tables(Vec::new()),
            (None, _) => Value::None,
        }
    }
}
