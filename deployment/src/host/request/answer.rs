//! The answer to a request: as a table, as JSON or as CSV.

use std::io::Write;

use anyhow::Result;
use sealift_layers::escape;
use serde_json::Value;

use super::{Values, filled};
use crate::failure::Failure;
use crate::profile::model::Request;

/// Most characters of an answer that a message shows.
const SHOWN: usize = 2000;

/// How an answer is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people: a table, or a line for each value.
    #[default]
    Text,
    /// As the service gave it.
    Json,
    /// The table as CSV (RFC 4180, with line feeds alone).
    Csv,
}

/// Shows the answer to a request.
///
/// # Errors
/// [`Failure::failed`] for a status that is not 200 to 299, and for an answer that is not what the profile describes;
/// [`Failure::usage`] for CSV where there is no table.
pub fn show(
    request: &Request,
    values: &Values,
    (status, body): (u16, &[u8]),
    format: Format,
    out: &mut dyn Write,
) -> Result<()> {
    let text = String::from_utf8_lossy(body);
    if !(200..300).contains(&status) {
        if let Some(message) = request.errors.get(&status.to_string()) {
            return Err(Failure::failed(filled(message, values, str::to_owned)).into());
        }
        let shown: String = text.trim().chars().take(SHOWN).collect();
        return Err(Failure::failed(format!("the service answered {status}: {shown}")).into());
    }
    let answer: Value = if text.trim().is_empty() { Value::Null } else { parsed(&text)? };
    match format {
        Format::Json => writeln!(out, "{}", escape::json(&serde_json::to_string_pretty(&answer)?))?,
        Format::Csv => {
            if request.columns.is_empty() {
                return Err(Failure::usage("the answer to this request is no table").hint("leave out --csv").into());
            }
            csv(request, &rows(request, &answer)?, out)?;
        }
        Format::Text if request.done.is_some() && request.columns.is_empty() => {
            let done = request.done.as_deref().unwrap_or_default();
            writeln!(out, "{}", escape::line(&filled(done, values, str::to_owned)))?;
        }
        Format::Text if request.columns.is_empty() => {
            writeln!(out, "{}", escape::json(&serde_json::to_string_pretty(&answer)?))?;
        }
        Format::Text if request.rows.is_none() && answer.is_object() => {
            for column in &request.columns {
                writeln!(out, "{}: {}", column.title, escape::line(&shown(at(&answer, &column.value), true)))?;
            }
        }
        Format::Text => table(request, &rows(request, &answer)?, out)?,
    }
    Ok(())
}

fn parsed(text: &str) -> Result<Value> {
    let wrong = |error| Failure::failed("the answer of the service is not JSON").because(error);
    Ok(serde_json::from_str(text).map_err(wrong)?)
}

/// The rows of the table.
fn rows<'a>(request: &Request, answer: &'a Value) -> Result<Vec<&'a Value>> {
    let found = request.rows.as_deref().map_or(Some(answer), |path| at(answer, path));
    match found {
        Some(Value::Array(rows)) => Ok(rows.iter().collect()),
        Some(row @ Value::Object(_)) => Ok(vec![row]),
        _ => {
            let place = request.rows.as_deref().unwrap_or("its top");
            Err(Failure::failed(format!("the answer of the service has no rows at {place}")).into())
        }
    }
}

/// The value at a path of keys, and of numbers within arrays.
fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    let within = |value: &'a Value, key: &str| value.get(key).or_else(|| value.get(key.parse::<usize>().ok()?));
    path.split('.').try_fold(value, within)
}

/// A value for people, or as it is.
fn shown(value: Option<&Value>, for_people: bool) -> String {
    match value {
        None | Some(Value::Null) if for_people => "none".to_owned(),
        None | Some(Value::Null) => String::new(),
        Some(Value::Bool(value)) if for_people => if *value { "yes" } else { "no" }.to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn table(request: &Request, rows: &[&Value], out: &mut dyn Write) -> Result<()> {
    let titles = request.columns.iter().map(|column| column.title.to_uppercase()).collect();
    let cells = |row: &&Value| {
        let cell = |value: &str| escape::line(&shown(at(row, value), true)).into_owned();
        request.columns.iter().map(|column| cell(&column.value)).collect()
    };
    let lines: Vec<Vec<String>> = std::iter::once(titles).chain(rows.iter().map(cells)).collect();
    let width = |index: usize| lines.iter().map(|line| line[index].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..request.columns.len()).map(width).collect();
    for line in &lines {
        let cells: Vec<String> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

fn csv(request: &Request, rows: &[&Value], out: &mut dyn Write) -> Result<()> {
    let field = |text: &str| match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    };
    let titles: Vec<String> = request.columns.iter().map(|column| field(&column.title)).collect();
    writeln!(out, "{}", titles.join(","))?;
    for row in rows {
        let cells: Vec<String> =
            request.columns.iter().map(|column| field(&shown(at(row, &column.value), false))).collect();
        writeln!(out, "{}", cells.join(","))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str = r#"
endpoint = "a"
method = "GET"
path = "/users"
rows = "users"
columns = [{ title = "Name", value = "name" }, { title = "Frozen", value = "is.frozen" }]
errors.404 = "there is no organization called {organization}"
"#;
    const ANSWER: &str = r#"{"users": [{"name": "A, \"B\"\u001b", "is": {"frozen": false}}, {"name": "C", "is": {}}]}"#;

    fn answer(request: &str, status: u16, body: &str, format: Format) -> String {
        let values = [("organization".to_owned(), "Org".to_owned())].into();
        let mut out = Vec::new();
        let request: Request = toml::from_str(request).unwrap();
        match show(&request, &values, (status, body.as_bytes()), format, &mut out) {
            Ok(()) => String::from_utf8(out).unwrap(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn rows_are_shown_as_a_table_and_as_csv() {
        let shown = |format| answer(REQUEST, 200, ANSWER, format);
        assert_eq!(shown(Format::Text), "NAME          FROZEN\nA, \"B\"\\u{1b}  no\nC             none\n");
        assert_eq!(shown(Format::Csv), "Name,Frozen\n\"A, \"\"B\"\"\u{1b}\",false\nC,\n");
        assert!(shown(Format::Json).starts_with("{\n  \"users\": [\n"), "{}", shown(Format::Json));
    }

    #[test]
    fn one_answer_is_a_line_for_each_value() {
        let request = REQUEST.replace("rows = \"users\"\n", "");
        assert_eq!(answer(&request, 200, "{\"name\": 5}", Format::Text), "Name: 5\nFrozen: none\n");
        let request = "endpoint = \"a\"\nmethod = \"PATCH\"\npath = \"/\"\ndone = \"{organization} changed\"";
        assert_eq!(answer(request, 200, "{}", Format::Text), "Org changed\n");
        assert_eq!(answer(request, 204, "", Format::Csv), "the answer to this request is no table");
    }

    #[test]
    fn other_statuses_have_the_message_of_the_profile_or_the_answer() {
        assert_eq!(answer(REQUEST, 404, "", Format::Text), "there is no organization called Org");
        assert_eq!(answer(REQUEST, 500, "oh\n", Format::Text), "the service answered 500: oh");
        assert_eq!(answer(REQUEST, 200, "{}", Format::Text), "the answer of the service has no rows at users");
        assert_eq!(answer(REQUEST, 200, "<html>", Format::Text), "the answer of the service is not JSON");
    }
}
