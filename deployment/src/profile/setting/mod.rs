//! Settings: values that the operator of one installation gives, and what is wrong with those given.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::check::words;

/// Fewest different characters of a text that has a `min-length`.
const DIFFERENT: usize = 5;

/// One value that operators give, in the site's `settings.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Setting {
    /// What it is, for the operator: one or more lines, the first a summary.
    pub title: String,
    /// What values it takes.
    pub kind: Kind,
    /// Nothing works without it.
    #[serde(default)]
    pub required: bool,
    /// Only templates that are secret may read it, and no message shows it.
    #[serde(default)]
    pub secret: bool,
    /// What holds when it is not given.
    pub default: Option<toml::Value>,
    /// A value as operators write it.
    pub example: Option<toml::Value>,
    /// Schemes that a URL may have.
    #[serde(default)]
    pub schemes: Vec<String>,
    /// What a choice chooses from.
    #[serde(default)]
    pub choices: Vec<String>,
    /// Fewest characters of a text: less would be guessed.
    pub min_length: Option<u32>,
    /// What each table of `tables` has.
    #[serde(default)]
    pub fields: BTreeMap<String, Setting>,
}

/// What values a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// One line of text.
    Text,
    /// The same without blanks.
    Word,
    /// An absolute URL with a host.
    Url,
    /// A DNS name or an IP address.
    Host,
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
    /// What it is, with its article.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "a line of text in quotes",
            Self::Word => "a text in quotes and without blanks",
            Self::Url => "a URL in quotes",
            Self::Host => "a DNS name or an IP address in quotes",
            Self::Port => "a port's number, 1 to 65535",
            Self::Integer => "a whole number, not negative",
            Self::Boolean => "true or false",
            Self::Choice => "one of the choices in quotes",
            Self::List => "an array of texts without blanks: [\"...\"]",
            Self::Tables => "an array of tables: [[...]]",
        })
    }
}

/// The value of a setting, as templates read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// It is not given and has no default.
    None,
    /// A text of any kind.
    Text(String),
    /// A port or another number.
    Number(i64),
    /// True or false.
    Boolean(bool),
    /// Texts.
    List(Vec<String>),
    /// Tables: each with all fields.
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

/// Something wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where: keys, and indexes of arrays in decimal.
    pub path: Vec<String>,
    /// What is wrong, as in "NAME is ...".
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl Setting {
    /// Whether it, or a field of it, is secret.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.secret || self.fields.values().any(Self::is_secret)
    }

    /// The first line of the title, without a full stop.
    #[must_use]
    pub fn summary(&self) -> &str {
        self.title.lines().next().unwrap_or_default().trim_end_matches('.')
    }

    /// What holds when nothing is given.
    #[must_use]
    pub fn unset(&self) -> Value {
        match (&self.default, self.kind) {
            (Some(default), _) => self.value(default, &[], &mut Vec::new()),
            (None, Kind::List) => Value::List(Vec::new()),
            (None, Kind::Tables) => Value::Tables(Vec::new()),
            (None, _) => Value::None,
        }
    }

    /// The value that was given at `path`; nothing, an empty text and an empty array are the same. What is wrong is
    /// added to `faults`; then the value means nothing.
    pub fn read(&self, given: Option<&toml::Value>, path: &[&str], faults: &mut Vec<Fault>) -> Value {
        let given = given.filter(|value| match value {
            toml::Value::String(text) => !text.is_empty(),
            toml::Value::Array(array) => !array.is_empty(),
            _ => true,
        });
        let Some(given) = given else {
            if self.required {
                let example = self.example.as_ref().map(|example| format!(", such as {example}")).unwrap_or_default();
                faults.push(fault(path, "is not given", &format!("{}{example}", self.summary())));
            }
            return self.unset();
        };
        // Elsewhere an example may be just right.
        let telling = self.is_secret() || matches!(self.kind, Kind::Url | Kind::Host);
        if telling && self.kind != Kind::Tables && self.example.as_ref() == Some(given) {
            faults.push(fault(path, "is still the example", "put your own value there"));
        }
        self.value(given, path, faults)
    }

    /// As [`Setting::read`], of a value that is there.
    pub fn value(&self, given: &toml::Value, path: &[&str], faults: &mut Vec<Fault>) -> Value {
        use toml::Value as Given;
        match (self.kind, given) {
            (Kind::Text | Kind::Word | Kind::Url | Kind::Host | Kind::Choice, Given::String(text)) => {
                if let Err((message, hint)) = self.text(text) {
                    faults.push(fault(path, &message, &hint));
                }
                Value::Text(text.clone())
            }
            (Kind::Port, Given::Integer(number)) if (1..=65535).contains(number) => Value::Number(*number),
            (Kind::Integer, Given::Integer(number)) if *number >= 0 => Value::Number(*number),
            (Kind::Boolean, Given::Boolean(value)) => Value::Boolean(*value),
            (Kind::List, Given::Array(array)) => {
                let mut list = Vec::new();
                for (index, item) in array.iter().enumerate() {
                    match item.as_str() {
                        Some(text) if words::is_word(text) => list.push(text.to_owned()),
                        _ => {
                            let index = index.to_string();
                            let path = [path, &[index.as_str()]].concat();
                            faults.push(fault(&path, "is not a text without blanks", "such as [\"one\", \"two\"]"));
                        }
                    }
                }
                Value::List(list)
            }
            (Kind::Tables, Given::Array(array)) => {
                let tables = array.iter().enumerate().map(|(index, table)| {
                    let index = index.to_string();
                    self.table(table, &[path, &[index.as_str()]].concat(), faults)
                });
                Value::Tables(tables.collect())
            }
            _ => {
                let shown = if self.is_secret() { String::new() } else { format!("{given}, which is ") };
                faults.push(fault(path, &format!("is {shown}not {}", self.kind), self.summary()));
                Value::None
            }
        }
    }

    fn table(&self, given: &toml::Value, path: &[&str], faults: &mut Vec<Fault>) -> BTreeMap<String, Value> {
        let Some(given) = given.as_table() else {
            faults.push(fault(path, "is not a table", "write it as a block below [[...]]"));
            return BTreeMap::new();
        };
        for name in given.keys().filter(|name| !self.fields.contains_key(*name)) {
            let hint = super::suggest::hint(name, "keys of it", self.fields.keys().map(String::as_str));
            faults.push(fault(&[path, &[name]].concat(), "is not known", &hint));
        }
        let fields = self.fields.iter().map(|(name, field)| {
            // As templates write it.
            (name.replace('-', "_"), field.read(given.get(name), &[path, &[name]].concat(), faults))
        });
        fields.collect()
    }

    /// What is wrong with a text, and a hint.
    fn text(&self, text: &str) -> Result<(), (String, String)> {
        let shown = if self.secret { String::new() } else { format!("`{text}`, which is ") };
        let wrong = |what: &str, hint: &str| Err((format!("is {shown}{what}"), hint.to_owned()));
        if text.contains(char::is_control) || text.trim() != text {
            return wrong(
                "not one line without blanks at its ends",
                "write it in one line, without an escape like \\n",
            );
        }
        match self.kind {
            Kind::Word if !words::is_word(text) => return wrong("not without blanks", "remove the blanks"),
            Kind::Host if !words::is_host(text) => {
                return wrong("not a DNS name or an IP address", "leave out scheme, port and path");
            }
            Kind::Choice if !self.choices.iter().any(|choice| choice == text) => {
                return wrong("not one of the choices", &self.choices.join(", "));
            }
            Kind::Url => {
                let schemes: Vec<String> = self.schemes.iter().map(|scheme| format!("{scheme}://")).collect();
                let escape = "; in user and password, what is neither a letter nor a digit is percent-encoded";
                let escape = if self.secret { escape } else { "" };
                let hint = format!("it begins with {}, then a host, perhaps :PORT{escape}", schemes.join(" or "));
                let Ok(url) = url::Url::parse(text) else { return wrong("not a URL", &hint) };
                if !self.schemes.iter().any(|scheme| scheme == url.scheme()) {
                    return wrong("a URL of another scheme", &hint);
                }
                if url.host_str().unwrap_or_default().is_empty() || text.contains(char::is_whitespace) {
                    return wrong("not a URL with a host", &hint);
                }
            }
            _ => {}
        }
        let length = text.chars().count();
        if self.min_length.is_some_and(|least| length < least as usize) {
            let least = self.min_length.unwrap_or_default();
            return wrong(
                &format!("too weak: {length} characters"),
                &format!("{least} at least: openssl rand -hex 32"),
            );
        }
        if self.min_length.is_some() && text.chars().collect::<BTreeSet<_>>().len() < DIFFERENT {
            return wrong("too weak: always the same characters", "let a program choose it: openssl rand -hex 32");
        }
        Ok(())
    }
}

fn fault(path: &[&str], message: &str, hint: &str) -> Fault {
    Fault { path: path.iter().map(|&step| step.to_owned()).collect(), message: message.into(), hint: hint.into() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn setting(text: &str) -> Setting {
        toml::from_str(&format!("title = \"It\"\n{text}")).unwrap()
    }

    /// What is said of a value, which is a TOML expression.
    fn said(setting: &Setting, given: &str) -> String {
        let table: toml::Table = toml::from_str(&format!("it = {given}")).unwrap();
        let mut faults = Vec::new();
        let value = setting.read(table.get("it"), &["it"], &mut faults);
        let lines = faults.iter().map(|fault| format!("{} {} ({})", fault.path.join("."), fault.message, fault.hint));
        let lines: Vec<String> = lines.collect();
        if lines.is_empty() { format!("{value:?}") } else { lines.join("\n") }
    }

    #[test]
    fn values_of_each_kind() {
        let kind = |kind| setting(&format!("kind = \"{kind}\"\nschemes = [\"https\"]\nchoices = [\"A\", \"B\"]"));
        let good = [
            ("text", "\"a b\"", r#"Text("a b")"#),
            ("text", "\"\"", "None"),
            ("word", "\"a:b\"", r#"Text("a:b")"#),
            ("url", "\"https://a.example:9000/x\"", r#"Text("https://a.example:9000/x")"#),
            ("host", "\"::1\"", r#"Text("::1")"#),
            ("port", "25", "Number(25)"),
            ("integer", "0", "Number(0)"),
            ("boolean", "true", "Boolean(true)"),
            ("choice", "\"A\"", r#"Text("A")"#),
            ("list", "[\"a\", \"b\"]", r#"List(["a", "b"])"#),
            ("list", "[]", "List([])"),
        ];
        for (name, given, expected) in good {
            assert_eq!(said(&kind(name), given), expected, "{name} {given}");
        }
        let bad = [
            ("text", "1"),
            ("text", "\"a\\nb\""),
            ("text", "\" a\""),
            ("word", "\"a b\""),
            ("url", "\"a.example\""),
            ("url", "\"http://a.example\""),
            ("url", "\"https://a.example:99999\""),
            ("url", "\"https://\""),
            ("url", "\"https:a b\""),
            ("host", "\"https://a.example\""),
            ("host", "\"a.example:25\""),
            ("port", "0"),
            ("port", "65536"),
            ("port", "\"25\""),
            ("integer", "-1"),
            ("boolean", "\"yes\""),
            ("choice", "\"C\""),
            ("list", "\"a\""),
            ("list", "[1]"),
            ("tables", "[1]"),
        ];
        let said: Vec<String> = bad.iter().map(|(name, given)| said(&kind(name), given)).collect();
        insta::assert_snapshot!(said.join("\n"), @r#"
        it is 1, which is not a line of text in quotes (It)
        it is `a
        b`, which is not one line without blanks at its ends (write it in one line, without an escape like \n)
        it is ` a`, which is not one line without blanks at its ends (write it in one line, without an escape like \n)
        it is `a b`, which is not without blanks (remove the blanks)
        it is `a.example`, which is not a URL (it begins with https://, then a host, perhaps :PORT)
        it is `http://a.example`, which is a URL of another scheme (it begins with https://, then a host, perhaps :PORT)
        it is `https://a.example:99999`, which is not a URL (it begins with https://, then a host, perhaps :PORT)
        it is `https://`, which is not a URL (it begins with https://, then a host, perhaps :PORT)
        it is `https:a b`, which is not a URL (it begins with https://, then a host, perhaps :PORT)
        it is `https://a.example`, which is not a DNS name or an IP address (leave out scheme, port and path)
        it is `a.example:25`, which is not a DNS name or an IP address (leave out scheme, port and path)
        it is 0, which is not a port's number, 1 to 65535 (It)
        it is 65536, which is not a port's number, 1 to 65535 (It)
        it is "25", which is not a port's number, 1 to 65535 (It)
        it is -1, which is not a whole number, not negative (It)
        it is "yes", which is not true or false (It)
        it is `C`, which is not one of the choices (A, B)
        it is "a", which is not an array of texts without blanks: ["..."] (It)
        it.0 is not a text without blanks (such as ["one", "two"])
        it.0 is not a table (write it as a block below [[...]])
        "#);
    }

    #[test]
    fn what_must_be_given_and_what_is_weak() {
        let secret = setting("kind = \"text\"\nrequired = true\nsecret = true\nexample = \"TOKEN\"\nmin-length = 8");
        insta::assert_snapshot!(said(&secret, "\"\""), @r#"it is not given (It, such as "TOKEN")"#);
        insta::assert_snapshot!(said(&secret, "\"TOKEN\""), @"
        it is still the example (put your own value there)
        it is too weak: 5 characters (8 at least: openssl rand -hex 32)
        ");
        insta::assert_snapshot!(said(&secret, "\"hunter2\""), @"it is too weak: 7 characters (8 at least: openssl rand -hex 32)");
        insta::assert_snapshot!(said(&secret, "\"aaaaaaaaaaaaaaaa\""), @"it is too weak: always the same characters (let a program choose it: openssl rand -hex 32)");
        insta::assert_snapshot!(said(&secret, "12345678"), @"it is not a line of text in quotes (It)");
        assert_eq!(said(&secret, "\"correct horse\""), r#"Text("correct horse")"#);
    }

    #[test]
    fn tables_have_fields() {
        let tables = setting(
            "kind = \"tables\"\n[fields.key]\ntitle = \"Key\"\nkind = \"word\"\nrequired = true\n\
             [fields.max-size]\ntitle = \"Size\"\nkind = \"integer\"\ndefault = 7\n",
        );
        assert_eq!(said(&tables, "[{ key = \"k\" }]"), r#"Tables([{"key": Text("k"), "max_size": Number(7)}])"#);
        insta::assert_snapshot!(said(&tables, "[{ key = \"k\" }, { kye = \"k\" }]"), @"
        it.1.kye is not known (did you mean `key`? keys of it: `key`, `max-size`)
        it.1.key is not given (Key)
        ");
    }

    proptest! {
        #[test]
        fn secrets_are_in_no_message(text in "[a-z]{3,12}[ \n:/]?[a-z]{3,12}", kind in "text|word|url|host|choice|port|list|tables") {
            let setting = setting(&format!("kind = \"{kind}\"\nsecret = true\nmin-length = 50"));
            let said = said(&setting, &toml::Value::String(text.clone()).to_string());
            prop_assert!(!said.contains(&text), "{}", said);
        }
    }
}
