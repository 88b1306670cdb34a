//! `settings.toml`: the values that the operator of this installation gives.
//!
//! It is written once, from the profile's `[site.settings]`, and never again: it is the operator's from then on. Every
//! run reads it and renders from it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};
use std::path::Path;

use anyhow::Result;
use minijinja::{Environment, context};
use toml::de::DeTable;

use super::faults::Faults;
use super::files::{self, Access};
use super::report::{Action, Report};
use super::templates::{identifier, is_env_file};
use crate::profile::document::Document;
use crate::profile::model::Model;
use crate::profile::setting::{Fault, Kind, Setting, Value};
use crate::profile::template::{expression_reads, reads};
use crate::profile::{Sources, suggest};

/// Its file name.
pub(super) const FILE: &str = "settings.toml";

const HEADER: &str = "\
# The settings of this installation. This file is yours: it is never written again, not by a new version either.
# After a change: `sealift up`; or by hand `sealift site new` with this folder, then compose `down` and `up`.
# What is commented out has the value shown, or none if that is empty. It may hold secrets: only its owner may read it.
";

/// The values of all settings, by name.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Settings(BTreeMap<String, Value>);

impl fmt::Debug for Settings {
    /// Leaves the values out: they may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Settings {
    /// What holds where no installation says otherwise; what each must give is not there.
    #[must_use]
    pub fn defaults(model: &Model) -> Self {
        let open = model.site.settings.iter().filter(|(_, setting)| !setting.required);
        Self(open.map(|(name, setting)| (name.clone(), setting.unset())).collect())
    }

    /// A value, if it is known.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }
}

/// Writes the file where there is none and the profile has settings; otherwise says what it lacks of the profile's that
/// is not `told` yet.
pub(super) fn offer(directory: &Path, model: &Model, told: &BTreeSet<String>, report: &mut Report) -> Result<()> {
    let settings = &model.site.settings;
    if settings.is_empty() {
        return Ok(());
    }
    let Some(text) = files::read_text(&directory.join(FILE))? else {
        files::write(directory, FILE, first_text(settings).as_bytes(), Access::mode(0o600), report)?;
        report.add(FILE, Action::Made, "");
        return Ok(());
    };
    files::settle(directory, FILE, Access::mode(0o600), report)?;
    report.add(FILE, Action::Kept, "");
    let lacking: Vec<_> = settings.iter().filter(|(name, _)| !told.contains(*name) && !mentions(&text, name)).collect();
    if !lacking.is_empty() {
        let names: Vec<&str> = lacking.iter().map(|(name, _)| name.as_str()).collect();
        let parts: String = lacking.iter().map(|(name, setting)| part(name, setting)).collect();
        report.warn(
            format!("{FILE} does not have what this version of the profile can be told: {}", names.join(", ")),
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

/// The file as operators get it first. Tables come last, as TOML has nothing of the top behind one.
fn first_text(settings: &BTreeMap<String, Setting>) -> String {
    let mut text = HEADER.to_owned();
    let order = |setting: &Setting| (setting.kind == Kind::Tables, !setting.required);
    for (tables, optional) in [(false, false), (false, true), (true, false), (true, true)] {
        let parts = settings.iter().filter(|(_, setting)| order(setting) == (tables, optional));
        let parts: Vec<String> = parts.map(|(name, setting)| part(name, setting)).collect();
        if !parts.is_empty() {
            let need = if optional { "optional" } else { "required" };
            let what = if tables { ", in blocks that may be repeated" } else { "" };
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
        lines.push(format!("Such as: {example}"));
    }
    lines.iter().map(|line| format!("# {line}").trim_end().to_owned() + "\n").collect()
}

/// What stands behind the `=`: nothing that could be taken for an answer to what is required.
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

/// Reads the file and adds to `faults` what is wrong with it. Whatever is wrong has no value then.
pub(super) fn read(
    directory: &Path,
    model: &Model,
    sources: Option<&Sources>,
    faults: &mut Faults,
) -> Result<Settings> {
    let settings = &model.site.settings;
    if settings.is_empty() {
        return Ok(Settings::default());
    }
    let text = files::read_text(&directory.join(FILE))?.unwrap_or_default();
    let line = |at: usize| text[..at.min(text.len())].matches('\n').count() + 1;
    let given = match toml::from_str::<toml::Table>(&text) {
        Ok(given) => given,
        Err(error) => {
            // Not with the line itself, which may hold a secret.
            let line = line(error.span().map_or(0, |span| span.start));
            faults
                .add(format!("{FILE}, line {line}: {}", error.message().trim()), "texts are written in double quotes");
            return Ok(Settings::default());
        }
    };
    let document = Document::new(DeTable::parse(&text).map(toml::Spanned::into_inner).unwrap_or_default());
    // In the order of the file; the beginning of the file is the place of what is not in it.
    let mut found: Vec<(usize, String, String)> = Vec::new();
    let mut tell = |path: &[&str], message: &str, hint: String| {
        let (shown, at) = (shown_path(path), document.key(path));
        let place = if at.is_empty() { String::new() } else { format!(", line {}", line(at.start)) };
        found.push((at.start, format!("{FILE}{place}: {shown} {message}"), hint));
    };

    for name in given.keys().filter(|name| !settings.contains_key(*name)) {
        tell(&[name], "is not known", suggest::hint(name, "settings", settings.keys().map(String::as_str)));
    }
    let mut values = BTreeMap::new();
    let mut wrong = BTreeSet::new();
    let in_env_files = sources.map(|sources| in_env_files(model, sources)).unwrap_or_default();
    for (name, setting) in settings {
        let mut list = Vec::new();
        let value = setting.read(given.get(name), &[name], &mut list);
        if list.is_empty() && in_env_files.contains(name) && value.texts().into_iter().any(ambiguous) {
            let hint = "choose another value; in a URL write %24 for the first and %20%23 for the second";
            list.push(Fault {
                path: vec![name.clone()],
                message: "holds `$` or ` #`, which programs read differently in env files".into(),
                hint: hint.into(),
            });
        }
        if !list.is_empty() {
            wrong.insert(name.as_str());
        }
        for fault in list {
            let path: Vec<&str> = fault.path.iter().map(String::as_str).collect();
            tell(&path, &fault.message, fault.hint);
        }
        values.insert(name.clone(), value);
    }
    found.sort_by_key(|(start, ..)| *start);
    found.into_iter().for_each(|(_, what, hint)| faults.add(what, hint));
    rules(model, &values, &wrong, faults);
    Ok(Settings(values))
}

/// `stores[2].key` for a path; people count from one.
fn shown_path(path: &[&str]) -> String {
    let steps = path.iter().enumerate().map(|(index, step)| match step.parse::<usize>() {
        Ok(number) if index > 0 => format!("[{}]", number + 1),
        _ if index > 0 => format!(".{step}"),
        _ => (*step).to_owned(),
    });
    steps.collect()
}

fn ambiguous(text: &str) -> bool {
    text.contains('$') || text.contains(" #")
}

/// The settings that env files read. What is wrong with a template is told when it is rendered.
fn in_env_files<'m>(model: &'m Model, sources: &Sources) -> BTreeSet<&'m String> {
    let mut names = BTreeSet::new();
    for (path, template) in model.site.templates.iter().filter(|(path, _)| is_env_file(model, path.get_ref())) {
        let source = template.source.get_ref();
        let Ok(text) = fs_err::read_to_string(sources.path(source)) else { continue };
        let Ok(found) = reads("settings", path.get_ref(), &text) else { continue };
        names.extend(model.site.settings.keys().filter(|name| found.names.contains(&identifier(name))));
    }
    names
}

/// Holds the values against the profile's rules; a rule about a value that is wrong anyway is left out.
fn rules(model: &Model, values: &BTreeMap<String, Value>, wrong: &BTreeSet<&str>, faults: &mut Faults) {
    let settings = minijinja::Value::from_pairs(
        values.iter().map(|(name, value)| (identifier(name), minijinja::Value::from(value))),
    );
    for (name, rule) in &model.site.rules {
        // The check of the profile has seen that it is an expression.
        let Ok(found) = expression_reads("settings", &rule.test) else { continue };
        if wrong.iter().any(|name| found.names.contains(&identifier(name))) {
            continue;
        }
        let environment = Environment::new();
        let holds = environment
            .compile_expression(&rule.test)
            .and_then(|test| test.eval(context! { settings => settings.clone() }));
        match holds {
            Ok(holds) if holds.is_true() => {}
            Ok(_) => faults.add(format!("{FILE}: {}", rule.message), rule.hint.clone()),
            Err(error) => faults.add(format!("{FILE}: the rule `{name}` cannot be tried: {error}"), ""),
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
        /// Whatever the profile, the file that is written first is TOML, gives nothing that is required, has nothing
        /// wrong, and mentions every setting; and it stays TOML when all is uncommented.
        #[test]
        fn the_first_text_is_a_start(
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
            let given: toml::Table = toml::from_str(&text).unwrap();
            for (name, setting) in &settings {
                prop_assert!(mentions(&text, name));
                let mut faults = Vec::new();
                let value = setting.read(given.get(name), &[name], &mut faults);
                prop_assert!(faults.iter().all(|fault| fault.message == "is not given"), "{:?}", faults);
                prop_assert_eq!(faults.is_empty(), !setting.required, "{}", name);
                prop_assert!(setting.required || value == setting.unset());
            }
            let open = |line: &str| line.strip_prefix('#').filter(|rest| !rest.starts_with([' ', '#'])).map(str::to_owned);
            let all: Vec<String> = text.lines().map(|line| open(line).unwrap_or_else(|| line.to_owned())).collect();
            let all: toml::Table = toml::from_str(&all.join("\n")).unwrap();
            prop_assert!(settings.keys().all(|name| all.contains_key(name)));
        }
    }
}
