//! Reading and checking the values of settings.

use std::collections::{BTreeMap, BTreeSet};

use sealift_layers::escape::is_unsafe;

use super::{InvalidValue, Kind, Setting, Value};
use crate::profile::{suggest, words};

/// Minimum number of different characters of a text that has a `min-length`.
const DIFFERENT: usize = 5;

impl Setting {
    /// Reads the value at `path`. An empty text or array counts as not set. Errors are added to `invalid`; the returned
    /// value is then meaningless.
    pub fn read(&self, value: Option<&toml::Value>, path: &[&str], invalid: &mut Vec<InvalidValue>) -> Value {
        let value = value.filter(|value| match value {
            toml::Value::String(text) => !text.is_empty(),
            toml::Value::Array(array) => !array.is_empty(),
            _ => true,
        });
        let Some(value) = value else {
            if self.required {
                let example = self.example.as_ref().map(|example| format!(", such as {example}")).unwrap_or_default();
                invalid.push(invalid_value(path, "is not set", &format!("{}{example}", self.summary())));
            }
            return self.unset();
        };
        // Examples of other kinds may be useful values.
        let placeholder = self.is_secret() || matches!(self.kind, Kind::Url | Kind::Host);
        if placeholder && self.kind != Kind::Tables && self.example.as_ref() == Some(value) {
            invalid.push(invalid_value(path, "is still the example", "set your own value"));
        }
        self.value(value, path, invalid)
    }

    /// As [`Setting::read`], for an existing value.
    pub fn value(&self, value: &toml::Value, path: &[&str], invalid: &mut Vec<InvalidValue>) -> Value {
        use toml::Value as Toml;
        match (self.kind, value) {
            (
                Kind::Text | Kind::Word | Kind::Name | Kind::Url | Kind::Host | Kind::Folder | Kind::Choice,
                Toml::String(text),
            ) => {
                if let Err((message, hint)) = self.text(text) {
                    invalid.push(invalid_value(path, &message, &hint));
                }
                Value::Text(text.clone())
            }
            (Kind::Port, Toml::Integer(number)) if (1..=65535).contains(number) => Value::Number(*number),
            (Kind::Integer, Toml::Integer(number)) if *number >= 0 => Value::Number(*number),
            (Kind::Boolean, Toml::Boolean(boolean)) => Value::Boolean(*boolean),
            (Kind::List, Toml::Array(array)) => {
                let mut list = Vec::new();
                for (index, item) in array.iter().enumerate() {
                    match item.as_str() {
                        Some(text) if !self.choices.is_empty() && !self.choices.iter().any(|choice| choice == text) => {
                            let index = index.to_string();
                            let hint = format!("use some of: {}", self.choices.join(", "));
                            let message = format!("is `{text}`, which is not one of the choices");
                            invalid.push(invalid_value(&[path, &[index.as_str()]].concat(), &message, &hint));
                        }
                        Some(text) if words::is_word(text) => list.push(text.to_owned()),
                        _ => {
                            let index = index.to_string();
                            let path = [path, &[index.as_str()]].concat();
                            invalid.push(invalid_value(
                                &path,
                                "is not a text without blanks",
                                "write an array such as [\"one\", \"two\"]",
                            ));
                        }
                    }
                }
                Value::List(list)
            }
            (Kind::Tables, Toml::Array(array)) => {
                let tables = array.iter().enumerate().map(|(index, table)| {
                    let index = index.to_string();
                    self.table(table, &[path, &[index.as_str()]].concat(), invalid)
                });
                Value::Tables(tables.collect())
            }
            _ => {
                let shown = if self.is_secret() { String::new() } else { format!("{value}, which is ") };
                invalid.push(invalid_value(path, &format!("is {shown}not {}", self.kind), self.summary()));
                Value::None
            }
        }
    }

    /// The value that an operator types as text: for kinds that are no text the number or boolean, if it is one.
    #[must_use]
    pub fn of_text(&self, text: &str) -> toml::Value {
        let as_typed = || toml::Value::String(text.to_owned());
        match self.kind {
            Kind::Port | Kind::Integer => text.parse().map_or_else(|_| as_typed(), toml::Value::Integer),
            Kind::Boolean => text.parse().map_or_else(|_| as_typed(), toml::Value::Boolean),
            _ => as_typed(),
        }
    }

    fn table(&self, value: &toml::Value, path: &[&str], invalid: &mut Vec<InvalidValue>) -> BTreeMap<String, Value> {
        let Some(table) = value.as_table() else {
            invalid.push(invalid_value(path, "is not a table", "write its keys below a line [[...]]"));
            return BTreeMap::new();
        };
        for name in table.keys().filter(|name| !self.fields.contains_key(*name)) {
            let hint = suggest::hint(name, "its keys", self.fields.keys().map(String::as_str));
            invalid.push(invalid_value(&[path, &[name]].concat(), "is not known", &hint));
        }
        let fields = self.fields.iter().map(|(name, field)| {
            // Templates write `-` as `_`.
            (name.replace('-', "_"), field.read(table.get(name), &[path, &[name]].concat(), invalid))
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
                "write it in one line, without an escape such as \\n",
            );
        }
        if let Some(c) = text.chars().find(|c| is_unsafe(*c)) {
            let what = format!("not visible as a whole: it has the character U+{:04X}", u32::from(c));
            return wrong(&what, "remove it: programs read what nobody sees");
        }
        match self.kind {
            Kind::Word if !words::is_word(text) => return wrong("not without blanks", "remove the blanks"),
            Kind::Name if !words::is_plain_name(text) => {
                return wrong(
                    "not a plain name",
                    "use letters, digits, `.`, `_` and `-`, and begin with none of `.` and `-`",
                );
            }
            Kind::Host if !words::is_host(text) => {
                return wrong("not a DNS name or an IP address", "remove scheme, port and path");
            }
            Kind::Folder if !words::is_folder(text) => {
                let hint = "begin with `/`, without `..` and without any of : , \" ' $ # \\";
                return wrong("not the absolute path of a folder", hint);
            }
            Kind::Choice if !self.choices.iter().any(|choice| choice == text) => {
                return wrong("not one of the choices", &format!("use one of: {}", self.choices.join(", ")));
            }
            Kind::Url => {
                let schemes: Vec<String> = self.schemes.iter().map(|scheme| format!("{scheme}://")).collect();
                let escape = "; percent-encode characters of user and password that are neither letters nor digits";
                let escape = if self.secret { escape } else { "" };
                let hint = format!("begin with {}, then a host and optionally :PORT{escape}", schemes.join(" or "));
                if !text.is_ascii() {
                    let hint = "write the host in its ASCII form (xn--...), and percent-encode other characters";
                    return wrong("not a URL of ASCII characters", hint);
                }
                let Ok(url) = url::Url::parse(text) else { return wrong("not a URL", &hint) };
                if !self.schemes.iter().any(|scheme| scheme == url.scheme()) {
                    return wrong("a URL with another scheme", &hint);
                }
                // Our parser takes `\\` for `/`, and any number of them before the host; other programs do not.
                let after = text.split_once("://").map_or("/", |(_, rest)| rest);
                let odd = after.starts_with('/') || text.contains('\\') || text.contains(char::is_whitespace);
                if url.host_str().unwrap_or_default().is_empty() || odd {
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
                &format!("use at least {least}: openssl rand -hex 32"),
            );
        }
        if self.min_length.is_some() && text.chars().collect::<BTreeSet<_>>().len() < DIFFERENT {
            return wrong("too weak: it repeats the same characters", "create it at random: openssl rand -hex 32");
        }
        Ok(())
    }
}

fn invalid_value(path: &[&str], message: &str, hint: &str) -> InvalidValue {
    InvalidValue {
        path: path.iter().map(|&step| step.to_owned()).collect(),
        message: message.into(),
        hint: hint.into(),
    }
}
