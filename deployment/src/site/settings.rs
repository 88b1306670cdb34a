//! `settings.toml`: the values that the operator of this installation sets.
//!
//! It is created once, from the profile's `[site.settings]`, and never changed again: from then on only the operator
//! edits it. Every run reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use anyhow::Result;
use minijinja::{Environment, context};
use toml::de::DeTable;

use super::env::is_env_file;
use super::files::{self, Access};
use super::report::{Action, SiteReport};
use super::values::SettingValues;
use crate::finding::Findings;
use crate::profile::document::Document;
use crate::profile::model::Model;
use crate::profile::setting::{InvalidValue, Kind, Setting, Value};
use crate::profile::template::{expression_reads, identifier, reads};
use crate::profile::{Sources, suggest};

/// Its file name.
pub(super) const FILE: &str = "settings.toml";

const HEADER: &str = "\
# The settings of this installation. Only you edit this file: sealift never changes it, not even with a new version.
# After a change, run `sealift up`; or, by hand, `sealift site new` with this folder, then compose `down` and `up`.
# Lines that are commented out show the default of the version that made this file (empty: none). Keep it private.
";

/// Creates the file if it is missing and the profile has settings. Otherwise warns about settings of the profile that it
/// lacks, except `known` ones, which an earlier run wrote or warned about.
pub(super) fn offer(directory: &Path, model: &Model, known: &BTreeSet<String>, report: &mut SiteReport) -> Result<()> {
    let settings = &model.site.settings;
    if settings.is_empty() {
        return Ok(());
    }
    let Some(text) = files::read_text(directory, FILE)? else {
        files::write(directory, FILE, first_text(settings).as_bytes(), Access::mode(0o600), &mut report.warnings)?;
        report.add(FILE, Action::Created, "");
        return Ok(());
    };
    let corrected = files::settle(directory, FILE, Access::mode(0o600), &mut report.warnings)?;
    report.keep(FILE, corrected);
    let lacking: Vec<_> =
        settings.iter().filter(|(name, _)| !known.contains(*name) && !mentions(&text, name)).collect();
    if !lacking.is_empty() {
        let names: Vec<&str> = lacking.iter().map(|(name, _)| name.as_str()).collect();
        let parts: String = lacking.iter().map(|(name, setting)| part(name, setting)).collect();
        report.warnings.warn(
            FILE,
            format!("this version of the profile has new settings: {}", names.join(", ")),
            format!("to set one of them, add it to {FILE}, before any [[...]]:\n{}", parts.trim_end()),
        );
    }
    Ok(())
}

/// Whether the file sets `name` or has it commented out.
fn mentions(text: &str, name: &str) -> bool {
    text.lines().any(|line| {
        let line = line.trim_start_matches(['#', ' ', '\t', '[']);
        line.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with(['=', ']']))
    })
}

/// The first text of the file. Tables come last: in TOML, no key of the top level can follow one.
fn first_text(settings: &BTreeMap<String, Setting>) -> String {
    let mut text = HEADER.to_owned();
    let order = |setting: &Setting| (setting.kind == Kind::Tables, !setting.required);
    for (tables, optional) in [(false, false), (false, true), (true, false), (true, true)] {
        let parts = settings.iter().filter(|(_, setting)| order(setting) == (tables, optional));
        let parts: Vec<String> = parts.map(|(name, setting)| part(name, setting)).collect();
        if !parts.is_empty() {
            let need = if optional { "optional" } else { "required" };
            let what = if tables { ", in blocks that can be repeated" } else { "" };
            let rule = "-".repeat(60);
            write!(text, "\n# --- {need}{what} {rule}\n{}", parts.concat()).expect("text takes all writes");
        }
    }
    text
}

/// A setting's comment and line, or lines.
fn part(name: &str, setting: &Setting) -> String {
    let mark = if setting.required { "" } else { "#" };
    let mut text = format!("\n{}", comment(setting));
    if setting.kind == Kind::Tables {
        writeln!(text, "{mark}[[{name}]]").expect("text takes all writes");
        for (field, setting) in &setting.fields {
            // A comment within what is commented out has one mark more.
            let comment = comment(setting).replace("# ", &format!("{mark}# "));
            let mark = if setting.required { mark } else { "#" };
            writeln!(text, "{comment}{mark}{field} = {}", shown(setting)).expect("text takes all writes");
        }
    } else {
        writeln!(text, "{mark}{name} = {}", shown(setting)).expect("text takes all writes");
    }
    text
}

fn comment(setting: &Setting) -> String {
    let mut lines: Vec<String> = setting.title.trim().lines().map(str::to_owned).collect();
    if !setting.choices.is_empty() {
        lines.push(format!("One of: {}.", setting.choices.join(", ")));
    }
    if let Some(example) = &setting.example {
        lines.push(format!("Example: {example}"));
    }
    lines.iter().map(|line| format!("# {line}").trim_end().to_owned() + "\n").collect()
}

/// The value after the `=`: the default, or an empty one. Required settings are always empty.
fn shown(setting: &Setting) -> String {
    if setting.required {
        return "\"\"".into();
    }
    let empty = match setting.kind {
        Kind::List => "[]",
        Kind::Boolean => "false",
        _ => "\"\"",
    };
    setting.default.as_ref().map_or_else(|| empty.into(), ToString::to_string)
}

/// Reads the file and adds errors about it to `findings`, see [`parse`].
pub(super) fn read(
    directory: &Path,
    model: &Model,
    sources: Option<&Sources>,
    findings: &mut Findings,
) -> Result<SettingValues> {
    if model.site.settings.is_empty() {
        return Ok(SettingValues::default());
    }
    let text = files::read_text(directory, FILE)?.unwrap_or_default();
    Ok(parse(&text, model, sources, findings))
}

/// As [`read`]; `None` where the file does not exist yet, in which the operator could have set something.
pub(super) fn read_written(
    directory: &Path,
    model: &Model,
    sources: Option<&Sources>,
    findings: &mut Findings,
) -> Result<Option<SettingValues>> {
    if model.site.settings.is_empty() || !directory.is_dir() {
        return Ok(None);
    }
    let text = files::read_text(directory, FILE)?;
    Ok(text.map(|text| parse(&text, model, sources, findings)))
}

/// Parses the text of the file for the settings of `model`, and adds errors about it to `findings`. A wrong value is
/// [`Value::None`]. With `sources`, values that go into env files are checked for characters that programs read differently
/// there.
pub fn parse(text: &str, model: &Model, sources: Option<&Sources>, findings: &mut Findings) -> SettingValues {
    let settings = &model.site.settings;
    let table = match toml::from_str::<toml::Table>(text) {
        Ok(table) => table,
        Err(error) => {
            // Without the line itself, which may contain a secret.
            let topic = format!("{FILE}, line {}", line_at(text, error.span().map_or(0, |span| span.start)));
            findings.error(topic, error.message().trim(), "write texts in double quotes");
            return SettingValues::default();
        }
    };
    let mut invalid = Vec::new();
    for name in table.keys().filter(|name| !settings.contains_key(*name)) {
        let hint = suggest::hint(name, "settings", settings.keys().map(String::as_str));
        invalid.push(InvalidValue { path: vec![name.clone()], message: "is not known".into(), hint });
    }
    let mut values = BTreeMap::new();
    let in_env_files = sources.map(|sources| in_env_files(model, sources)).unwrap_or_default();
    for (name, setting) in settings {
        let before = invalid.len();
        let value = setting.read(table.get(name), &[name], &mut invalid);
        if invalid.len() == before && in_env_files.contains(name) && value.texts().into_iter().any(ambiguous) {
            let hint = "choose another value; in a URL write %24 for the first and %20%23 for the second";
            invalid.push(InvalidValue {
                path: vec![name.clone()],
                message: "contains `$` or ` #`, which programs read differently in env files".into(),
                hint: hint.into(),
            });
        }
        values.insert(name.clone(), value);
    }
    let wrong = invalid.iter().filter_map(|invalid| invalid.path.first().cloned()).collect();
    report(text, invalid, findings);
    check_rules(model, &values, &wrong, findings);
    SettingValues::new(values)
}

/// Reports invalid values in the order of the file; a missing one has the place of what contains it.
fn report(text: &str, invalid: Vec<InvalidValue>, findings: &mut Findings) {
    let document = Document::new(DeTable::parse(text).map(toml::Spanned::into_inner).unwrap_or_default());
    let mut found: Vec<(std::ops::Range<usize>, InvalidValue)> = Vec::new();
    for invalid in invalid {
        let path: Vec<&str> = invalid.path.iter().map(String::as_str).collect();
        found.push((document.key(&path), invalid));
    }
    found.sort_by_key(|(span, _)| span.start);
    for (span, InvalidValue { path, message, hint }) in found {
        let place = if span.is_empty() { String::new() } else { format!(", line {}", line_at(text, span.start)) };
        findings.error(format!("{FILE}{place}"), format!("{} {message}", shown_path(&path)), hint);
    }
}

/// The line, counted from 1, of the byte `at`.
fn line_at(text: &str, at: usize) -> usize {
    text[..at.min(text.len())].matches('\n').count() + 1
}

/// `stores[2].key` for a path. Indexes are counted from 1.
fn shown_path(path: &[String]) -> String {
    let steps = path.iter().enumerate().map(|(index, step)| match step.parse::<usize>() {
        Ok(number) if index > 0 => format!("[{}]", number.saturating_add(1)),
        _ if index > 0 => format!(".{step}"),
        _ => step.clone(),
    });
    steps.collect()
}

fn ambiguous(text: &str) -> bool {
    text.contains('$') || text.contains(" #")
}

/// The settings that env files read. Errors in a template are reported when it is rendered.
fn in_env_files<'m>(model: &'m Model, sources: &Sources) -> BTreeSet<&'m String> {
    let mut names = BTreeSet::new();
    for (path, template) in model.site.templates.iter().filter(|(path, _)| is_env_file(model, path.get_ref())) {
        let source = template.source.get_ref();
        let Ok(text) = crate::files::read_text(&sources.path(source)) else { continue };
        let Ok(found) = reads("settings", path.get_ref(), &text) else { continue };
        names.extend(model.site.settings.keys().filter(|name| found.names.contains(&identifier(name))));
    }
    names
}

/// Checks the profile's rules, except those about a value that is `wrong` anyway.
fn check_rules(model: &Model, values: &BTreeMap<String, Value>, wrong: &BTreeSet<String>, findings: &mut Findings) {
    let settings = minijinja::Value::from_pairs(
        values.iter().map(|(name, value)| (identifier(name), minijinja::Value::from(value))),
    );
    for (name, rule) in &model.site.rules {
        // The check of the profile has parsed it before.
        let Ok(found) = expression_reads("settings", &rule.test) else { continue };
        if wrong.iter().any(|name| found.names.contains(&identifier(name))) {
            continue;
        }
        let environment = Environment::new();
        let result = environment
            .compile_expression(&rule.test)
            .and_then(|test| test.eval(context! { settings => settings.clone() }));
        match result {
            Ok(value) if value.is_true() => {}
            Ok(_) => findings.error(FILE, rule.message.as_str(), rule.hint.as_str()),
            Err(error) => findings.error(FILE, format!("the rule `{name}` cannot be evaluated: {error}"), ""),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A setting of any kind.
    fn setting(kind: &str, title: &str, required: bool, default: bool) -> Setting {
        let value = match kind {
            "port" | "integer" => "17",
            "boolean" => "true",
            "list" => "['a', 'b\"c']",
            "url" => "'https://x.example/\"'",
            "tables" => "[{ one = 1 }]",
            _ => "'a\"b'",
        };
        let key = if default && !required { "default" } else { "example" };
        let mut table: toml::Table =
            toml::from_str(&format!("{key} = {value}\nschemes = ['https']\nchoices = ['a\"b', 'c']\n")).unwrap();
        table.insert("title".into(), title.into());
        table.insert("kind".into(), kind.into());
        table.insert("required".into(), required.into());
        if kind == "tables" {
            let field = toml::from_str("one = { title = 'One', kind = 'integer', required = true, example = 1 }");
            table.insert("fields".into(), toml::Value::Table(field.unwrap()));
            table.remove("default");
        }
        table.try_into().unwrap()
    }

    proptest! {
        /// For any profile, the first text is valid TOML that mentions every setting and sets no required one; it is
        /// still valid TOML when everything is uncommented.
        #[test]
        fn first_text_is_valid_and_lacks_only_required_settings(
            settings in proptest::collection::btree_map(
                "[a-z]{1,3}(-[a-z0-9]{1,3})?",
                ("text|word|url|host|port|integer|boolean|choice|list|tables", "[ -~]{1,20}(\n[ -~]{0,20})?",
                 any::<bool>(), any::<bool>()),
                0..6,
            )
        ) {
            let settings: BTreeMap<String, Setting> = settings
                .into_iter()
                .map(|(name, (kind, title, required, default))| (name, setting(&kind, &title, required, default)))
                .collect();
            let text = first_text(&settings);
            let table: toml::Table = toml::from_str(&text).unwrap();
            for (name, setting) in &settings {
                prop_assert!(mentions(&text, name));
                let mut invalid = Vec::new();
                let value = setting.read(table.get(name), &[name], &mut invalid);
                prop_assert!(invalid.iter().all(|invalid| invalid.message == "is not set"), "{:?}", invalid);
                prop_assert_eq!(invalid.is_empty(), !setting.required, "{}", name);
                prop_assert!(setting.required || value == setting.unset());
            }
            let open = |line: &str| line.strip_prefix('#').filter(|rest| !rest.starts_with([' ', '#'])).map(str::to_owned);
            let all: Vec<String> = text.lines().map(|line| open(line).unwrap_or_else(|| line.to_owned())).collect();
            let all: toml::Table = toml::from_str(&all.join("\n")).unwrap();
            prop_assert!(settings.keys().all(|name| all.contains_key(name)));
        }
    }
}
