//! Positions of keys and values in a TOML file, for the parts of the model without a span.

use std::ops::Range;

use toml::Spanned;
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

    /// All texts of the file, keys and values, with their bytes.
    pub(crate) fn texts(&self) -> Vec<(Range<usize>, &str)> {
        let mut texts = Vec::new();
        of_table(&self.0, &mut texts);
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

fn of_table<'d>(table: &'d DeTable<'_>, texts: &mut Vec<(Range<usize>, &'d str)>) {
    for (key, value) in table {
        texts.push((key.span(), key.get_ref()));
        of_value(value, texts);
    }
}

fn of_value<'d>(value: &'d Spanned<DeValue<'_>>, texts: &mut Vec<(Range<usize>, &'d str)>) {
    match value.get_ref() {
        DeValue::String(text) => texts.push((value.span(), text)),
        DeValue::Array(array) => array.iter().for_each(|value| of_value(value, texts)),
        DeValue::Table(table) => of_table(table, texts),
        _ => {}
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
        let document = Document::new(DeTable::parse("a = 'b'\nc = [{ d = 'e' }, 1]\n").unwrap().into_inner());
        assert_eq!(document.texts().iter().map(|(_, text)| *text).collect::<String>(), "abcde");
    }

    #[test]
    fn missing_value_has_the_position_of_its_parent() {
        let document = Document::new(DeTable::parse(TEXT).unwrap().into_inner());
        assert_eq!(document.value(&["b", "c", "ports", "7"]), document.value(&["b", "c", "ports"]));
        assert_eq!(document.value(&["x"]), 0..0);
    }
}
