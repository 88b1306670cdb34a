//! Templates of the profile, rendered for one installation (Jinja syntax).
//!
//! A template reads `host` (IPv6 without brackets), `url_host` (with), `mail_host` (as the domain of a mail address),
//! `ports.NAME` (numbers), `settings.NAME` (none, or empty, when not set), `trusted.NAME` (how many certificates), `archives.NAME` (the version; undefined for optional archives that are not there), `name`, `product` and `version` of the profile and,
//! only when it is marked `secret`, `secrets.NAME` and those settings that are secret. Dashes in names are written as
//! `_`. An unknown name is an error; the last newline is kept. Nothing is escaped, except by the
//! filter `backslashed(CHARACTERS)`, which writes a backslash before each of these and before each backslash.
//!
//! What an operator sets cannot become syntax: in env files [`parse_env`] refuses it, and in other files texts with
//! characters that have a meaning in configuration files ([`SYNTAX`]) must go through that filter.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Object, Value};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, context};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sealift_layers::tree::TreePath;

use super::env::{is_env_file, parse_env};
use super::values::SiteParameters;
use crate::failure::Failure;
use crate::files;
use crate::profile::Sources;
use crate::profile::model::{Model, Template};
use crate::profile::template::{identifier, reads, reads_any};

/// Characters with a meaning in configuration files of many kinds: quotes, comments, blocks, variables, tags.
const SYNTAX: &str = "\"'`\\;{}$#<>|";

/// Whether an installation needs its public host: a certificate or a template has it. One that cannot be read may have it.
#[must_use]
pub fn uses_host(model: &Model, sources: &Sources) -> bool {
    let reads = |template: &Template| {
        let source = template.source.get_ref();
        let text = files::read_text(&sources.path(source));
        text.map_or(true, |text| reads_any(&["host", "url_host", "mail_host"], source, &text))
    };
    model.site.certificates.values().any(|certificate| certificate.host) || model.site.templates.values().any(reads)
}

/// Renders the templates without secrets: path below the site to text. Deterministic. When `parameters` are not those of
/// an installation, templates that read a required setting are left out.
///
/// # Errors
/// [`Failure::usage`] with the template's file and line when it reads an unknown or secret value, or when it is an env
/// file that [`parse_env`] refuses.
pub fn render_public(
    model: &Model,
    sources: &Sources,
    parameters: &SiteParameters,
) -> Result<BTreeMap<String, String>> {
    let unknown: Vec<String> = model
        .site
        .settings
        .keys()
        .filter(|name| parameters.settings.get(name).is_none())
        .map(|name| identifier(name))
        .collect();
    let known = |template: &Template| {
        // Errors in the file are reported when it is rendered.
        let source = template.source.get_ref();
        let text = files::read_text(&sources.path(source)).unwrap_or_default();
        reads("settings", source, &text).is_ok_and(|found| !unknown.iter().any(|name| found.names.contains(name)))
    };
    let public =
        model.site.templates.iter().filter(|(_, template)| !template.secret && (unknown.is_empty() || known(template)));
    public
        .map(|(path, template)| {
            let text = render(model, sources, path.get_ref(), template, parameters, &BTreeMap::new())?;
            Ok((path.get_ref().clone(), text))
        })
        .collect()
}

/// Renders one template; `secrets` (name to text) are visible only to a template that is marked `secret`.
pub(super) fn render(
    model: &Model,
    sources: &Sources,
    path: &str,
    template: &Template,
    parameters: &SiteParameters,
    secrets: &BTreeMap<String, String>,
) -> Result<String> {
    let source = template.source.get_ref();
    let file = TreePath::new(source).map_err(|error| {
        Failure::usage(format!("the source of the template `{path}` is not a valid path"))
            .hint("name a file of the profile, relative to its folder")
            .because(error)
    })?;
    let text = files::read_text(&sources.path(file.as_str()))
        .map_err(|error| Failure::usage(format!("cannot read the template of `{path}`")).because(error))?;

    let texts = if is_env_file(model, path) { Vec::new() } else { with_syntax(model, parameters, secrets) };
    let secrets = if template.secret {
        Value::from_pairs(secrets.iter().map(|(name, text)| (identifier(name), text.as_str())))
    } else {
        Value::from_object(Withheld)
    };
    let ports = Value::from_pairs(parameters.ports.iter().map(|(name, port)| (identifier(name), *port)));
    let trusted = Value::from_pairs(parameters.trusted.iter().map(|(name, count)| (identifier(name), *count)));
    let operator_files = Value::from_pairs(parameters.files.iter().map(|(name, paths)| {
        let paths: Value = paths.iter().map(String::as_str).collect();
        (identifier(name), paths)
    }));
    let settings = Value::from_object(Visible::new(model, parameters, template.secret));
    let archives = model.archives().into_iter().map(|(name, version)| (identifier(name), version));
    let archives = Value::from_pairs(archives);
    let values = context! {
        settings,
        trusted,
        files => operator_files,
        archives,
        host => parameters.host.as_str(),
        url_host => parameters.host.in_url(),
        mail_host => parameters.host.in_mail(),
        name => model.name.get_ref(),
        product => model.product.get_ref(),
        version => model.version.get_ref(),
        ports,
        secrets,
    };
    let rendered = environment(texts, literals(&text)).render_named_str(source, &text, values).map_err(|error| {
        let line = error.line().unwrap_or(1);
        let failure = Failure::usage(format!("{source}:{line}: {}", describe(&error, &text, line)));
        match error.kind() {
            ErrorKind::UndefinedError => failure.hint(
                "a template reads host, url_host, mail_host, ports.NAME, settings.NAME, trusted.NAME, files.NAME, archives.NAME, name, product, version and, \
                 when it is marked `secret = true`, secrets.NAME (dashes in names as `_`)",
            ),
            ErrorKind::BadEscape => failure.hint(
                "choose another value in site/settings.toml; or whoever makes the profile writes it in quotes in the template, with \
                 the filter backslashed('\"') for the characters that end it, or with tojson, toyaml or urlencode",
            ),
            _ => failure,
        }
    })?;
    if is_env_file(model, path) {
        parse_env(&rendered).map_err(|error| {
            // The line number is that of the rendered text: the template's own as long as it has no blocks.
            Failure::usage(format!("{source}, rendered as {path}")).because(error)
        })?;
    }
    Ok(rendered)
}

/// The values of operators, with their names, that have characters of [`SYNTAX`].
fn with_syntax(
    model: &Model,
    parameters: &SiteParameters,
    secrets: &BTreeMap<String, String>,
) -> Vec<(String, String)> {
    let settings = model.site.settings.keys().filter_map(|name| Some((name, parameters.settings.get(name)?)));
    let settings = settings.flat_map(|(name, value)| {
        value.texts().into_iter().map(move |text| (format!("settings.{}", identifier(name)), text.to_owned()))
    });
    let secrets = secrets.iter().map(|(name, text)| (format!("secrets.{}", identifier(name)), text.clone()));
    settings.chain(secrets).filter(|(_, text)| text.contains(|c| SYNTAX.contains(c))).collect()
}

/// The characters of the texts in quotes within the blocks of a template, such as the `;` of `join("; ")`.
fn literals(template: &str) -> String {
    let mut found = String::new();
    let mut rest = template;
    while let Some(start) = rest.find("{{").into_iter().chain(rest.find("{%")).min() {
        let block = &rest[start + 2..];
        let end = block.find("}}").into_iter().chain(block.find("%}")).min().unwrap_or(block.len());
        let mut quote = None;
        for c in block[..end].chars() {
            match quote {
                None if matches!(c, '"' | '\'') => quote = Some(c),
                Some(open) if c == open => quote = None,
                Some(_) => found.push(c),
                None => {}
            }
        }
        rest = &block[end..];
    }
    found
}

/// `texts` (name and text) may be written only by filters that write the syntax of a program, and so may what other filters make
/// of them: text with a character of [`SYNTAX`] that they have, and the template itself (`literals`) has not.
fn environment(texts: Vec<(String, String)>, literals: String) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.add_filter("backslashed", backslashed);
    environment.add_filter("tojson", tojson);
    // A text of JSON is one of YAML, too (YAML 1.2, 1.3).
    environment.add_filter("toyaml", tojson);
    environment.add_filter("urlencode", urlencode);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_formatter(move |out, state, value| {
        let written = value.as_str().filter(|_| !value.is_safe());
        let of_operator = |c: &char| SYNTAX.contains(*c) && !literals.contains(*c);
        let found = written.and_then(|written| {
            let whole = texts.iter().find(|(_, text)| written.contains(text.as_str()));
            let changed = || {
                let c = written.chars().find(|c| of_operator(c))?;
                texts.iter().find(|(_, text)| text.contains(c)).map(|(name, _)| (name, c))
            };
            let first = |text: &str| text.chars().find(|c| SYNTAX.contains(*c)).unwrap_or_default();
            whole.map(|(name, text)| (name, first(text))).or_else(changed)
        });
        match found {
            Some((name, c)) => {
                let detail = format!("the value of {name} has a `{c}`, which has a meaning in configuration files");
                Err(Error::new(ErrorKind::BadEscape, detail))
            }
            None => minijinja::escape_formatter(out, state, value),
        }
    });
    environment.set_syntax(
        SyntaxConfig::builder().keep_trailing_newline(true).build().expect("Jinja's own delimiters are valid"),
    );
    environment
}

/// `text` with a backslash before each of `characters` and before each backslash.
#[expect(clippy::needless_pass_by_value, reason = "minijinja's interface")]
fn backslashed(text: String, characters: String) -> Value {
    let escaped = |c: char| (c == '\\' || characters.contains(c)).then_some('\\').into_iter().chain([c]);
    Value::from_safe_string(text.chars().flat_map(escaped).collect())
}

/// The value as JSON (RFC 8259), in one line.
#[expect(clippy::needless_pass_by_value, reason = "minijinja's interface")]
fn tojson(value: Value) -> Result<Value, Error> {
    let text = serde_json::to_string(&value);
    let text =
        text.map_err(|error| Error::new(ErrorKind::InvalidOperation, "cannot write it as JSON").with_source(error))?;
    Ok(Value::from_safe_string(text))
}

/// Characters of a text that can stand anywhere in a URL (RFC 3986, 2.3).
const UNRESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The value for a part of a URL, such as a password or a value of a query.
#[expect(clippy::needless_pass_by_value, reason = "minijinja's interface")]
fn urlencode(value: Value) -> Value {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Value::from_safe_string(utf8_percent_encode(&text, &UNRESERVED).to_string())
}

/// The message of the error, with the line it is about.
fn describe(error: &Error, text: &str, line: usize) -> String {
    let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    match text.lines().nth(line - 1) {
        Some(code) => format!("{what}: `{}`", code.trim()),
        None => what,
    }
}

/// The value of `secrets` in a template that must not read any.
#[derive(Debug)]
struct Withheld;

impl Object for Withheld {
    fn get_value(self: &Arc<Self>, name: &Value) -> Option<Value> {
        let detail = format!("secrets.{name} is only for templates marked `secret = true`");
        Some(Value::from(Error::new(ErrorKind::InvalidOperation, detail)))
    }
}

/// The settings that one template may read.
#[derive(Debug)]
struct Visible {
    values: BTreeMap<String, Value>,
    /// Why the others must not be read.
    withheld: BTreeMap<String, &'static str>,
}

impl Visible {
    fn new(model: &Model, parameters: &SiteParameters, secret: bool) -> Self {
        let mut visible = Self { values: BTreeMap::new(), withheld: BTreeMap::new() };
        for (name, setting) in &model.site.settings {
            let written = identifier(name);
            match parameters.settings.get(name) {
                _ if setting.is_secret() && !secret => {
                    visible.withheld.insert(written, "is secret: it is only for templates marked `secret = true`");
                }
                Some(value) => {
                    visible.values.insert(written, Value::from(value));
                }
                None => {
                    visible.withheld.insert(written, "has a value only in an installation: an image cannot contain it");
                }
            }
        }
        visible
    }
}

impl Object for Visible {
    fn get_value(self: &Arc<Self>, name: &Value) -> Option<Value> {
        let name = name.as_str()?;
        if let Some(why) = self.withheld.get(name) {
            return Some(Value::from(Error::new(ErrorKind::InvalidOperation, format!("settings.{name} {why}"))));
        }
        self.values.get(name).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(source: &str) -> Result<String> {
        let directory = tempfile::tempdir().unwrap();
        fs_err::create_dir(directory.path().join("files")).unwrap();
        for (name, text) in [("shop.env", source), ("shop.conf", "listen 443;\n"), ("token.env", "")] {
            fs_err::write(directory.path().join("files").join(name), text).unwrap();
        }
        let model = crate::profile::sample();
        let mut parameters = SiteParameters::defaults(&model);
        parameters.host = "2001:db8::7".parse().unwrap();
        Ok(render_public(&model, &Sources::of(directory.path()), &parameters)?.remove("env/shop.env").unwrap())
    }

    fn refused(source: &str) -> String {
        let error = rendered(source).unwrap_err();
        assert_eq!(Failure::within(&error).unwrap().kind, crate::failure::Kind::Usage);
        crate::failure::one_line(error.as_ref())
    }

    #[test]
    fn template_reads_host_ports_and_names() {
        let source = "A=https://{{ url_host }}:{{ ports.https }}/\nB={{ host }}<&> {{ mail_host }}\n\
                      C={{ name }} {{ product }} {{ version }}\nD={{ ports.admin + 1 }}\n";
        insta::assert_snapshot!(rendered(source).unwrap(), @"
        A=https://[2001:db8::7]:443/
        B=2001:db8::7<&> [IPv6:2001:db8::7]
        C=small shop 1.2.0+b1
        D=8081
        ");
    }

    /// `upper` made another text of it, which passed.
    #[test]
    fn what_filters_make_of_a_value_is_checked_too() {
        let render = |template: &str| {
            let texts = vec![("settings.title".to_owned(), "a$5;b".to_owned())];
            let values = context! { title => "a$5;b", list => ["x", "y"], host => "h" };
            environment(texts, literals(template)).render_named_str("t", template, values)
        };
        for template in ["{{ title }}", "{{ title | upper }}", "{{ title | replace('$', 'D') | replace('D', '.') }}"] {
            assert_eq!(render(template).unwrap_err().kind(), ErrorKind::BadEscape, "{template}");
        }
        // What the template itself writes is its own.
        assert_eq!(render("{{ list | join('; ') }}").unwrap(), "x; y");
        assert_eq!(render("${{ host }};").unwrap(), "$h;");
        assert_eq!(render("{{ title | upper | tojson }}").unwrap(), r#""A$5;B""#);
    }

    #[test]
    fn filters_write_the_syntax_of_json_yaml_and_urls() {
        let source = "A={{ [host, ports.https] | tojson }}\nB=x{{ 'a\"b<' | toyaml }}\nC={{ 'a b/ü~' | urlencode }}{{ 7 | urlencode }}\n";
        insta::assert_snapshot!(rendered(source).unwrap(), @r#"
        A=["2001:db8::7",443]
        B=x"a\"b<"
        C=a%20b%2F%C3%BC~7
        "#);
    }

    #[test]
    fn errors_name_file_and_line() {
        insta::assert_snapshot!(refused("A=1\nB={{ ports.htps }}\n"), @"files/shop.env:2: `ports.htps` is undefined: `B={{ ports.htps }}`");
        insta::assert_snapshot!(refused("A=1\nB={{ hots }}\n"), @"files/shop.env:2: `hots` is undefined: `B={{ hots }}`");
        insta::assert_snapshot!(refused("A={{ secrets.token }}\n"), @"files/shop.env:1: secrets.token is only for templates marked `secret = true`: `A={{ secrets.token }}`");
        insta::assert_snapshot!(refused("A={% if secrets.token %}1{% endif %}\n"), @"files/shop.env:1: secrets.token is only for templates marked `secret = true`: `A={% if secrets.token %}1{% endif %}`");
        insta::assert_snapshot!(refused("A=1\n\nB={{ host \n"), @"files/shop.env:3: unexpected end of input, expected end of variable block: `B={{ host`");
        insta::assert_snapshot!(refused("A=1\nB='{{ host }}'\n"), @"files/shop.env, rendered as env/shop.env: line 2: the value of B starts with a quote, which some tools remove and some keep: write it without quotes");
    }

    #[test]
    fn only_templates_without_secrets_are_public() {
        let directory = tempfile::tempdir().unwrap();
        fs_err::create_dir(directory.path().join("files")).unwrap();
        for name in ["shop.env", "shop.conf"] {
            fs_err::write(directory.path().join("files").join(name), "").unwrap();
        }
        let model = crate::profile::sample();
        let rendered =
            render_public(&model, &Sources::of(directory.path()), &SiteParameters::defaults(&model)).unwrap();
        assert_eq!(rendered.into_keys().collect::<Vec<_>>(), ["env/shop.env", "nginx/shop.conf"]);
    }
}
