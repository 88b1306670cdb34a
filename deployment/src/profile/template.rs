//! Which settings a template reads, found without rendering it, and their values for templates.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::{Environment, Error};

use super::setting::Value;
use super::suggest;

/// A name as a template writes it.
pub(crate) fn identifier(name: &str) -> String {
    name.replace('-', "_")
}

/// The values of a group (`settings`, `secrets`) that a template or an expression reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reads {
    /// Names as the template writes them.
    pub(crate) names: BTreeSet<String>,
    /// Whether it uses the group as a whole, and so may read any of them.
    pub(crate) all: bool,
}

impl Reads {
    fn of(group: &str, variables: impl IntoIterator<Item = String>) -> Self {
        let mut reads = Self::default();
        for variable in variables {
            let mut parts = variable.split('.');
            if parts.next() == Some(group) {
                match parts.next() {
                    Some(name) => drop(reads.names.insert(name.to_owned())),
                    None => reads.all = true,
                }
            }
        }
        reads
    }
}

/// The values of `group` that the template `text` reads; `name` is its name in messages.
///
/// # Errors
/// It is not a valid template.
pub(crate) fn reads(group: &str, name: &str, text: &str) -> Result<Reads, Error> {
    Ok(Reads::of(group, Environment::new().template_from_named_str(name, text)?.undeclared_variables(true)))
}

/// Whether the template `text` reads one of these variables, or is no template.
pub(crate) fn reads_any(variables: &[&str], name: &str, text: &str) -> bool {
    let environment = Environment::new();
    let template = environment.template_from_named_str(name, text);
    let read = template.map(|template| template.undeclared_variables(false));
    read.map_or(true, |read| variables.iter().any(|variable| read.contains(*variable)))
}

/// The values of `group` that an expression reads.
///
/// # Errors
/// It is not a valid expression.
pub(crate) fn expression_reads(group: &str, text: &str) -> Result<Reads, Error> {
    Ok(Reads::of(group, Environment::new().compile_expression(text)?.undeclared_variables(true)))
}

/// Names that every template can read.
const GLOBALS: [&str; 6] = ["range", "dict", "debug", "namespace", "loop", "self"];

/// The names that a template reads and that do not exist, each with a hint. `names` are those at the top, `groups` have
/// names within. Names that the template asks for (`ports.mail is defined`) may be missing: profiles that extend another share
/// its templates. Templates that are not valid read nothing.
pub(crate) fn unknown_names(
    text: &str,
    names: &[&str],
    groups: &[(&str, BTreeSet<String>)],
) -> BTreeMap<String, String> {
    let mut unknown = BTreeMap::new();
    let environment = Environment::new();
    let Ok(template) = environment.template_from_str(text) else { return unknown };
    for name in template.undeclared_variables(false) {
        if !names.contains(&name.as_str()) && !GLOBALS.contains(&name.as_str()) && !is_asked_for(text, &name) {
            let hint = suggest::hint(&name, "names in templates", names.iter().copied());
            unknown.insert(name, hint);
        }
    }
    for (group, known) in groups {
        let read = Reads::of(group, template.undeclared_variables(true));
        for name in read.names.into_iter().filter(|name| !known.contains(name)) {
            let hint = suggest::hint(&name, group, known.iter().map(String::as_str));
            let name = format!("{group}.{name}");
            if !is_asked_for(text, &name) {
                unknown.insert(name, hint);
            }
        }
    }
    unknown
}

/// Whether the text of a template asks if `name` is defined, or has a default for it.
fn is_asked_for(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let rest = text[at + name.len()..].trim_start();
        let filter = rest.strip_prefix('|').map(str::trim_start);
        ["is defined", "is not defined"].iter().any(|test| rest.starts_with(test))
            || filter.is_some_and(|filter| filter.starts_with("default"))
    })
}

impl From<&Value> for minijinja::Value {
    fn from(value: &Value) -> Self {
        match value {
            Value::None => Self::from(()),
            Value::Text(text) => Self::from(text.as_str()),
            Value::Number(number) => Self::from(*number),
            Value::Boolean(value) => Self::from(*value),
            Value::List(list) => list.iter().map(String::as_str).collect(),
            Value::Tables(tables) => {
                let table = |table: &BTreeMap<String, Value>| {
                    Self::from_pairs(table.iter().map(|(name, value)| (name.as_str(), Self::from(value))))
                };
                tables.iter().map(table).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A template of a profile that another extends, without the port.
    #[test]
    fn names_that_are_asked_for_may_be_missing() {
        let found = |text: &str| {
            let groups = [("ports", BTreeSet::from(["https".to_owned()]))];
            unknown_names(text, &["ports", "host"], &groups).into_keys().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(found("{% if ports.mail is defined and host %}{{ ports.mail }}{% endif %}{{ ports.https }}"), "");
        assert_eq!(found("{{ ports.mail|default(1) }}{{ port is not defined }}"), "");
        assert_eq!(found("{{ ports.mail }}{{ ports.https is defined }}{{ port }}"), "port ports.mail");
    }

    #[test]
    fn only_values_of_the_group_are_found() {
        let text = "{{ host }}{% for s in settings.stores %}{{ s.key }}{{ settings.raid or secrets.x }}{% endfor %}\
                    {% if settings.dsn %}x{% endif %}{% set a = settings.b.c %}";
        let found = reads("settings", "x", text).unwrap();
        assert_eq!(found.names.iter().map(String::as_str).collect::<Vec<_>>(), ["b", "dsn", "raid", "stores"]);
        assert!(!found.all);
        assert!(reads("settings", "x", "{{ settings[host] }}").unwrap().all);
        assert!(reads("settings", "x", "{% if %}").is_err());
        assert!(expression_reads("settings", "settings.a or not settings.b").unwrap().names.contains("b"));
    }
}
