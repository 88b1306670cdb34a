//! Checks of `[site.settings]`, `[site.rules]` and `[site.trusted]`, and of what templates read.

use super::super::model::Template;
use super::super::setting::{Kind, Setting};
use super::super::suggest;
use super::super::template::{Reads, expression_reads, reads};
use super::Check;

impl Check<'_> {
    pub(super) fn settings(&mut self) {
        let site = &self.model.site;
        for (name, setting) in &site.settings {
            self.setting(&["site", "settings", name], setting, true);
        }
        for (name, rule) in &site.rules {
            self.name(self.document.key(&["site", "rules", name]), name, "a rule");
            let span = self.document.value(&["site", "rules", name, "test"]);
            match expression_reads("settings", &rule.test) {
                Ok(found) => self.known(span, "the rule", &found),
                Err(error) => {
                    self.report(span, format!("not an expression: {error}"), "such as settings.a or settings.b")
                }
            }
            if rule.message.trim().is_empty() {
                let span = self.document.value(&["site", "rules", name, "message"]);
                self.report(span, "the message is empty", "say what is wrong when the test is not true");
            }
        }
        for (name, trusted) in &site.trusted {
            let key = self.document.key(&["site", "trusted", name]);
            self.name(key.clone(), name, "a file of authorities");
            if site.certificates.contains_key(name) || name == "custom-ca" {
                self.report(key, format!("`{name}` is also a certificate"), "choose another name");
            }
            self.title(&["site", "trusted", name], &trusted.title);
        }
        for (name, template) in &site.templates {
            self.reads(name.get_ref(), template);
        }
    }

    fn title(&mut self, path: &[&str], title: &str) {
        if title.trim().is_empty() || title.contains(|c: char| c.is_control() && c != '\n') {
            let span = self.document.value(&[path, &["title"]].concat());
            self.report(span, "the title is empty or holds control characters", "say what it is, for the operator");
        }
    }

    /// One setting, or a field of one.
    fn setting(&mut self, path: &[&str], setting: &Setting, top: bool) {
        let name = path.last().copied().unwrap_or_default();
        let at = |check: &Self, key: &str| check.document.value(&[path, &[key]].concat());
        self.name(self.document.key(path), name, "a setting");
        self.title(path, &setting.title);
        for (key, kind, given) in [
            ("schemes", Kind::Url, !setting.schemes.is_empty()),
            ("choices", Kind::Choice, !setting.choices.is_empty()),
            ("fields", Kind::Tables, !setting.fields.is_empty()),
        ] {
            if setting.kind == kind && !given {
                self.report(
                    self.document.key(path),
                    format!("the setting `{name}` has no `{key}`"),
                    format!("add `{key}`"),
                );
            } else if setting.kind != kind && given {
                self.report(at(self, key), format!("`{key}` is for another kind"), "remove it, or change `kind`");
            }
        }
        if setting.min_length.is_some() && !matches!(setting.kind, Kind::Text | Kind::Word) {
            self.report(at(self, "min-length"), "`min-length` is for text and word", "remove it, or change `kind`");
        }
        if setting.kind == Kind::Tables && !top {
            self.report(at(self, "kind"), "tables within tables", "use settings of the top for one of them");
        }
        if setting.default.is_some() && setting.required {
            self.report(at(self, "default"), "what must be given has no default", "remove `default` or `required`");
        }
        if setting.default.is_some() && setting.is_secret() {
            self.report(at(self, "default"), "a secret's default is known to all", "remove `default`");
        }
        for (key, value) in [("default", &setting.default), ("example", &setting.example)] {
            let mut invalid = Vec::new();
            // What an example shows need not be strong.
            let lenient = Setting { min_length: None, secret: false, ..setting.clone() };
            if let Some(value) = value {
                lenient.value(value, &[], &mut invalid);
            }
            if let Some(first) = invalid.first() {
                self.report(at(self, key), format!("the {key} {}", first.message), first.hint.clone());
            }
        }
        for (field, setting) in &setting.fields {
            self.setting(&[path, &["fields", field]].concat(), setting, false);
        }
    }

    /// A template reads what there is and what it may: secrets only when it is secret, and nothing that only an
    /// installation knows when it goes into an image.
    fn reads(&mut self, path: &str, template: &Template) {
        let source = &template.source;
        // What is wrong with the file itself is told elsewhere.
        let Ok(text) = fs_err::read_to_string(self.sources.path(source.get_ref())) else { return };
        let found = match reads("settings", source.get_ref(), &text) {
            Ok(found) => found,
            Err(error) => {
                let (line, what) = (error.line().unwrap_or(1), error.kind());
                let what = error.detail().map_or_else(|| what.to_string(), str::to_owned);
                return self.report(
                    source.span(),
                    format!("line {line} of it: {what}"),
                    "templates are written in Jinja",
                );
            }
        };
        self.known(source.span(), source.get_ref(), &found);
        let in_image =
            self.model.images.values().any(|image| {
                image.env_files.iter().chain(image.config_files.keys()).any(|used| used.get_ref() == path)
            });
        for (name, setting) in &self.model.site.settings {
            if !found.names.contains(&name.replace('-', "_")) {
                continue;
            }
            let what = format!("{} reads the setting `{name}`", source.get_ref());
            if setting.is_secret() && !template.secret {
                self.report(source.span(), format!("{what}, which is secret"), "mark the template `secret = true`");
            } else if setting.required && in_image {
                let message = format!("{what}, which only an installation knows, and goes into an image");
                self.report(source.span(), message, "give it to services only, or give the setting a default");
            }
        }
    }

    /// All settings that are read are there.
    fn known(&mut self, span: std::ops::Range<usize>, what: &str, found: &Reads) {
        let known: Vec<String> = self.model.site.settings.keys().map(|name| name.replace('-', "_")).collect();
        if found.all {
            self.report(span.clone(), format!("{what} reads `settings` itself"), "write settings.NAME");
        }
        for name in found.names.iter().filter(|name| !known.contains(name)) {
            let hint = suggest::hint(name, "settings", known.iter().map(String::as_str));
            self.report(span.clone(), format!("{what} reads settings.{name}, which there is not"), hint);
        }
    }
}
