//! All mistakes in the keys and types of a profile. serde ends at the first one: what is wrong is taken away, what is missing
//! gets a value in its place, and the profile is read again.

use std::ops::Range;

use serde::Deserialize as _;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer, Error};

use super::model::Model;
use super::syntax;
use crate::diagnostic::Diagnostic;

/// The most mistakes that are reported.
const REPORTED: usize = 20;
/// The most times that the profile is read.
const READ: usize = 200;
/// Where the whole document is, for errors: no value is there.
const DOCUMENT: Range<usize> = 0..0;
/// Where a value in place of a missing one is.
const STAND_IN: Range<usize> = usize::MAX..usize::MAX;

/// Reads a profile. `table` has the spans of its text.
///
/// # Errors
/// Its mistakes, in the order in which they are found.
pub(super) fn read(table: &DeTable<'_>) -> Result<Model, Vec<Diagnostic>> {
    let deserialize = |table: &DeTable<'_>| -> Result<Model, Error> {
        Model::deserialize(Deserializer::from(Spanned::new(DOCUMENT, table.clone())))
    };
    let mut error = match deserialize(table) {
        Ok(model) => return Ok(model),
        Err(error) => error,
    };
    let (mut list, mut mended) = (Vec::new(), Mended { table: table.clone(), removed: Vec::new(), stand_in: None });
    for _ in 0..READ {
        if !mended.is_consequence(&error) {
            list.push(syntax::diagnostic("", Some(table), &error));
        }
        if syntax::later_schema(table).is_some() || list.len() >= REPORTED || !mended.mend(&error) {
            break;
        }
        match deserialize(&mended.table) {
            Ok(_) => break,
            Err(next) => error = next,
        }
    }
    Err(list)
}

/// A profile without what was reported.
struct Mended<'a> {
    table: DeTable<'a>,
    /// Keys that were taken away, each with the place of its table.
    removed: Vec<(Range<usize>, String)>,
    /// The last value that stands in for a missing one: the place of its table, its key, and how many types were tried.
    stand_in: Option<(Range<usize>, String, usize)>,
}

impl Mended<'_> {
    /// Whether an error is about what was changed here.
    fn is_consequence(&self, error: &Error) -> bool {
        match missing(error) {
            Some((place, key)) => self.removed.contains(&(place, key)),
            None => self.is_about_stand_in(error),
        }
    }

    fn is_about_stand_in(&self, error: &Error) -> bool {
        self.stand_in.is_some() && error.span().is_none_or(|span| span == STAND_IN || span == DOCUMENT)
    }

    /// Changes the profile so that it does not have this error. Returns whether that is possible.
    fn mend(&mut self, error: &Error) -> bool {
        if let Some((place, key)) = missing(error).filter(|(place, _)| *place != STAND_IN) {
            return self.put(place, key, 0);
        }
        if self.is_about_stand_in(error)
            && let Some((place, key, tried)) = self.stand_in.take()
        {
            // Whatever is in a table that cannot be completed is not looked at.
            return self.put(place.clone(), key, tried + 1) || self.remove(&place);
        }
        error.span().is_some_and(|span| self.remove(&span))
    }

    fn put(&mut self, place: Range<usize>, key: String, tried: usize) -> bool {
        let values =
            [DeValue::String("x".into()), DeValue::Array([].into_iter().collect()), DeValue::Table(DeTable::new())];
        let numbers = [DeValue::Integer(toml::de::DeInteger::default()), DeValue::Boolean(true)];
        let Some(value) = values.into_iter().chain(numbers).nth(tried) else { return false };
        let table = if place == DOCUMENT { Some(&mut self.table) } else { table_at(&mut self.table, &place) };
        let Some(table) = table else { return false };
        table.insert(Spanned::new(STAND_IN, key.clone().into()), Spanned::new(STAND_IN, value));
        self.stand_in = Some((place, key, tried));
        true
    }

    fn remove(&mut self, span: &Range<usize>) -> bool {
        let removed = remove_at(&mut self.table, &DOCUMENT, span);
        self.stand_in = None;
        removed.map(|removed| self.removed.push(removed)).is_some()
    }
}

/// The place of the table that lacks a key, and the key.
fn missing(error: &Error) -> Option<(Range<usize>, String)> {
    let key = error.message().strip_prefix("missing field `")?.strip_suffix('`')?;
    Some((error.span().unwrap_or(DOCUMENT), key.to_owned()))
}

fn table_at<'t, 'a>(table: &'t mut DeTable<'a>, place: &Range<usize>) -> Option<&'t mut DeTable<'a>> {
    table.iter_mut().find_map(|(_, value)| in_value(value, place))
}

fn in_value<'t, 'a>(value: &'t mut Spanned<DeValue<'a>>, place: &Range<usize>) -> Option<&'t mut DeTable<'a>> {
    let is_it = value.span() == *place;
    match value.get_mut() {
        DeValue::Table(table) => {
            if is_it {
                Some(table)
            } else {
                table_at(table, place)
            }
        }
        DeValue::Array(array) => array.iter_mut().find_map(|value| in_value(value, place)),
        _ => None,
    }
}

/// Takes the innermost entry away whose key or value is at `span`, or has it within. Returns the place of its table, and its key.
fn remove_at(table: &mut DeTable<'_>, place: &Range<usize>, span: &Range<usize>) -> Option<(Range<usize>, String)> {
    let is_within = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    let mut found = None;
    for (key, value) in table.iter_mut() {
        let at = value.span();
        let inner = match value.get_mut() {
            DeValue::Table(table) => remove_at(table, &at, span),
            DeValue::Array(array) => array.iter_mut().find_map(|value| {
                let at = value.span();
                match value.get_mut() {
                    DeValue::Table(table) => remove_at(table, &at, span),
                    _ => None,
                }
            }),
            _ => None,
        };
        if inner.is_some() {
            return inner;
        }
        if key.span() == *span || is_within(at) {
            found.get_or_insert_with(|| key.get_ref().to_string());
        }
    }
    let key = found?;
    table.remove(key.as_str());
    Some((place.clone(), key))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "schema = 1
name = 'x'
[debian]
suit = 'trixie'
[images.a]
packages = 'busybox'
entrypoint = ['x']
[images.b]
title = 3
users = [{ name = 'u', uid = -1 }]
[services.a]
image = 'a'
restart = 'allways'
[services.b]
foo = 1
";

    #[test]
    fn all_mistakes_are_found_at_once() {
        let list = read(&DeTable::parse(TEXT).unwrap().into_inner()).unwrap_err();
        let found: Vec<String> = list
            .iter()
            .map(|diagnostic| {
                format!("{}: {}", diagnostic.message, TEXT.get(diagnostic.span.clone()).unwrap_or_default())
            })
            .collect();
        insta::assert_snapshot!(found.join("\n"));
    }

    #[test]
    fn a_later_schema_is_the_only_mistake() {
        let list = read(&DeTable::parse("schema = 2\nfoo = 1\nbar = 1\n").unwrap().into_inner()).unwrap_err();
        assert_eq!(list.len(), 1);
    }
}
