//! Positions of keys and values in a TOML file, for the parts of the model without a span.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// A parsed TOML file with the positions of everything in it.
#[derive(Debug)]
pub(crate) struct Document<'a>(DeTable<'a>);

impl<'a> Document<'a> {
    pub(crate) fn new(table: DeTable<'a>) -> Self {
        Self(table)
    }

    /// The bytes of the value at `path`: keys of tables, and indexes of arrays in decimal. If the value does not exist (a
    /// default), those of its nearest existing parent.
    pub(crate) fn value(&self, path: &[&str]) -> Range<usize> {
        self.walk(path).1
    }

    /// As [`Document::value`], but the bytes of the last key itself.
    pub(crate) fn key(&self, path: &[&str]) -> Range<usize> {
        self.walk(path).0
    }

    /// All keys and texts, with the bytes of each.
    pub(crate) fn texts(&self) -> Vec<(Range<usize>, String)> {
        let mut texts = Vec::new();
        let mut tables = vec![&self.0];
        let mut values: Vec<(Range<usize>, &DeValue<'_>)> = Vec::new();
        while !tables.is_empty() || !values.is_empty() {
            for table in std::mem::take(&mut tables) {
                for (key, value) in table {
                    texts.push((key.span(), key.get_ref().to_string()));
                    values.push((value.span(), value.get_ref()));
                }
            }
            for (span, value) in std::mem::take(&mut values) {
                match value {
                    DeValue::String(text) => texts.push((span, text.to_string())),
                    DeValue::Array(array) => values.extend(array.iter().map(|value| (value.span(), value.get_ref()))),
                    DeValue::Table(table) => tables.push(table),
                    _ => {}
                }
            }
        }
        texts
    }

    fn walk(&self, path: &[&str]) -> (Range<usize>, Range<usize>) {
        let mut place = (0..0, 0..0);
        let mut parent: Option<&DeValue> = None;
        for step in path {
            let table = parent.map_or(Some(&self.0), DeValue::as_table);
            let next = match (table, parent) {
                (Some(table), _) => table.get_key_value(*step).map(|(key, value)| (key.span(), value)),
                (None, Some(DeValue::Array(array))) => {
                    step.parse().ok().and_then(|index: usize| array.get(index)).map(|value| (value.span(), value))
                }
                _ => None,
            };
            let Some((key, value)) = next else { break };
            place = (key, value.span());
            parent = Some(value.get_ref());
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "a = 1\n[b.c]\nports = [80, 443]\n[[b.users]]\nuid = 7\n";

    #[test]
    fn positions_of_keys_and_values_are_found() {
        let document = Document::new(DeTable::parse(TEXT).unwrap().into_inner());
        let value = |path: &[&str]| &TEXT[document.value(path)];
        assert_eq!(value(&["a"]), "1");
        assert_eq!(value(&["b", "c", "ports", "1"]), "443");
        assert_eq!(value(&["b", "users", "0", "uid"]), "7");
        assert_eq!(&TEXT[document.key(&["b", "users", "0", "uid"])], "uid");
    }

    #[test]
    fn all_texts_are_found() {
        let document = Document::new(DeTable::parse("a = [['x'], { b = 'y' }]\n[c.d]\ne = 1\n").unwrap().into_inner());
        let mut texts: Vec<String> = document.texts().into_iter().map(|(_, text)| text).collect();
        texts.sort();
        assert_eq!(texts, ["a", "b", "c", "d", "e", "x", "y"]);
    }

    #[test]
    fn missing_value_has_the_position_of_its_parent() {
        let document = Document::new(DeTable::parse(TEXT).unwrap().into_inner());
        assert_eq!(document.value(&["b", "c", "ports", "7"]), document.value(&["b", "c", "ports"]));
        assert_eq!(document.value(&["x"]), 0..0);
    }
}
