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
                self.report(span, "the message is empty", "write what is wrong when the test is not true");
            }
        }
        for (name, trusted) in &site.trusted {
            let key = self.document.key(&["site", "trusted", name]);
            self.name(key.clone(), name, "a file of authorities");
            if site.certificates.contains_key(name) || name == "custom-ca" {
                self.report(key, format!("`{name}` is also the name of a certificate"), "choose another name");
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
            self.report(
                span,
                "the title is empty or contains control characters",
                "write a description for the operator",
            );
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
                self.report(
                    at(self, key),
                    format!("this kind of setting has no `{key}`"),
                    "remove it, or change `kind`",
                );
            }
        }
        if setting.min_length.is_some() && !matches!(setting.kind, Kind::Text | Kind::Word) {
            self.report(
                at(self, "min-length"),
                "only the kinds text and word have `min-length`",
                "remove it, or change `kind`",
            );
        }
        if setting.kind == Kind::Tables && !top {
            self.report(at(self, "kind"), "tables cannot contain tables", "make one of them a setting of its own");
        }
        if setting.default.is_some() && setting.required {
            self.report(
                at(self, "default"),
                "a required setting cannot have a default",
                "remove `default` or `required`",
            );
        }
        if setting.default.is_some() && setting.is_secret() {
            self.report(
                at(self, "default"),
                "a secret setting cannot have a default",
                "remove `default`: everyone could read it",
            );
        }
        for (key, value) in [("default", &setting.default), ("example", &setting.example)] {
            let mut invalid = Vec::new();
            // Examples may be shorter than the minimum.
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

    /// Checks which settings a template reads: existing ones; secret ones only if the template is secret; required ones
    /// only if it is not part of an image, as they have a value only in an installation.
    fn reads(&mut self, path: &str, template: &Template) {
        let source = &template.source;
        // An unreadable file is reported by another check.
        let Ok(text) = fs_err::read_to_string(self.sources.path(source.get_ref())) else { return };
        let found = match reads("settings", source.get_ref(), &text) {
            Ok(found) => found,
            Err(error) => {
                let (line, what) = (error.line().unwrap_or(1), error.kind());
                let what = error.detail().map_or_else(|| what.to_string(), str::to_owned);
                return self.report(
                    source.span(),
                    format!("line {line} of the template: {what}"),
                    "use the syntax of Jinja",
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
                let message =
                    format!("{what}, which has a value only in an installation, but an image contains the template");
                self.report(
                    source.span(),
                    message,
                    "use the template only in services, or add a default to the setting",
                );
            }
        }
    }

    /// Checks that all settings that are read exist.
    fn known(&mut self, span: std::ops::Range<usize>, what: &str, found: &Reads) {
        let known: Vec<String> = self.model.site.settings.keys().map(|name| name.replace('-', "_")).collect();
        if found.all {
            self.report(span.clone(), format!("{what} reads `settings` as a whole"), "read settings.NAME");
        }
        for name in found.names.iter().filter(|name| !known.contains(name)) {
            let hint = suggest::hint(name, "settings", known.iter().map(String::as_str));
            self.report(span.clone(), format!("{what} reads settings.{name}, which does not exist"), hint);
        }
    }
}
