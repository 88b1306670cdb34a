//! Checks of `[site.settings]`, `[site.rules]`, `[site.trusted]` and `[site.files]`, and of what templates read.

use sealift_layers::tree::{Pattern, TreePath};

use super::super::model::{OperatorFolder, Template};
use super::super::setting::{Kind, Setting};
use super::super::suggest;
use super::super::template::{Reads, expression_reads, identifier, reads};
use super::Check;
use crate::files;

/// Most files of a folder that a profile may allow.
const MOST_FILES: u32 = 1000;

impl Check<'_> {
    pub(super) fn settings(&mut self) {
        let site = &self.model.site;
        for (name, setting) in &site.settings {
            self.setting(&["site", "settings", name], setting);
        }
        for (name, rule) in &site.rules {
            self.name(self.document.key(&["site", "rules", name]), name, "a rule");
            let span = self.document.value(&["site", "rules", name, "test"]);
            match expression_reads("settings", &rule.test) {
                Ok(found) => self.check_reads(span, "the rule", &found),
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
        for (name, folder) in &site.files {
            self.folder(name, folder);
        }
        for (name, template) in &site.templates {
            self.reads(name.get_ref(), template);
        }
    }

    fn folder(&mut self, name: &str, folder: &OperatorFolder) {
        let at = |check: &Self, key: &str| check.document.value(&["site", "files", name, key]);
        self.name(self.document.key(&["site", "files", name]), name, "a folder");
        self.title(&["site", "files", name], &folder.title);
        if folder.size.0 > files::DOCUMENT_LIMIT {
            self.report(at(self, "size"), "files of more than 2M are not possible", "data belongs into a volume");
        }
        if !(1..=MOST_FILES).contains(&folder.count) {
            self.report(at(self, "count"), format!("{} files are not possible", folder.count), "use 1 to 1000");
        }
        let only: Vec<Pattern> = folder.only.iter().map(|pattern| Pattern::new(pattern)).collect();
        for path in &folder.complete {
            let clean = TreePath::new(path).ok().filter(|clean| clean.as_str() == path);
            let Some(clean) = clean else {
                let message = format!("`{path}` is not a path within the folder");
                self.report(at(self, "complete"), message, "use relative paths without `..`");
                continue;
            };
            if !only.is_empty() && !only.iter().any(|pattern| pattern.matches(&clean)) {
                let message = format!("no pattern of `only` matches `{path}`");
                self.report(at(self, "complete"), message, "add one");
            }
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

    /// Checks a setting and its fields.
    pub(super) fn setting(&mut self, path: &[&str], setting: &Setting) {
        self.value(path, setting);
        for (field, setting) in &setting.fields {
            let path = [path, &["fields", field]].concat();
            if setting.kind == Kind::Tables {
                let span = self.document.value(&[&path[..], &["kind"]].concat());
                self.report(span, "tables cannot contain tables", "make one of them a setting of its own");
            }
            self.setting(&path, setting);
        }
    }

    /// Checks a setting or field without its fields.
    fn value(&mut self, path: &[&str], setting: &Setting) {
        let name = path.last().copied().unwrap_or_default();
        let at = |check: &Self, key: &str| check.document.value(&[path, &[key]].concat());
        self.name(self.document.key(path), name, "a setting");
        self.title(path, &setting.title);
        for (key, kind, present) in [
            ("schemes", Kind::Url, !setting.schemes.is_empty()),
            ("choices", Kind::Choice, !setting.choices.is_empty()),
            ("fields", Kind::Tables, !setting.fields.is_empty()),
        ] {
            if setting.kind == kind && !present {
                let message = format!("the setting `{name}` has no `{key}`");
                self.report(self.document.key(path), message, format!("add `{key}`"));
            } else if setting.kind != kind && present && !(key == "choices" && setting.kind == Kind::List) {
                let message = format!("this kind of setting has no `{key}`");
                self.report(at(self, key), message, "remove it, or change `kind`");
            }
        }
        if setting.min_length.is_some() && !matches!(setting.kind, Kind::Text | Kind::Word | Kind::Name) {
            let message = "only the kinds text, word and name have `min-length`";
            self.report(at(self, "min-length"), message, "remove it, or change `kind`");
        }
        for choice in &setting.choices {
            self.one_line(&[path, &["choices"]].concat(), choice);
        }
        self.default_and_example(path, setting);
    }

    fn default_and_example(&mut self, path: &[&str], setting: &Setting) {
        let at = |check: &Self, key: &str| check.document.value(&[path, &[key]].concat());
        if setting.default.is_some() && setting.required {
            let message = "a required setting cannot have a default";
            self.report(at(self, "default"), message, "remove `default` or `required`");
        }
        if setting.default.is_some() && setting.is_secret() {
            let hint = "remove `default`: everyone could read it";
            self.report(at(self, "default"), "a secret setting cannot have a default", hint);
        }
        // Examples may be shorter than the minimum.
        let lenient = Setting { min_length: None, secret: false, ..setting.clone() };
        for (key, value) in [("default", &setting.default), ("example", &setting.example)] {
            let mut invalid = Vec::new();
            if let Some(value) = value {
                lenient.value(value, &[], &mut invalid);
            }
            if let Some(first) = invalid.into_iter().next() {
                self.report(at(self, key), format!("the {key} {}", first.message), first.hint);
            }
        }
    }

    /// Checks which settings a template reads: existing ones; secret ones only if the template is secret; required ones
    /// only if it is not part of an image, as they have a value only in an installation.
    fn reads(&mut self, path: &str, template: &Template) {
        let source = &template.source;
        // An unreadable file is reported by another check.
        let Ok(text) = files::read_text(&self.sources.path(source.get_ref())) else { return };
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
        self.check_reads(source.span(), source.get_ref(), &found);
        let in_image =
            self.model.images.values().any(|image| {
                image.env_files.iter().chain(image.config_files.keys()).any(|used| used.get_ref() == path)
            });
        for (name, setting) in &self.model.site.settings {
            if !found.names.contains(&identifier(name)) {
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
    pub(super) fn check_reads(&mut self, span: std::ops::Range<usize>, what: &str, found: &Reads) {
        let known: Vec<String> = self.model.site.settings.keys().map(|name| identifier(name)).collect();
        if found.all {
            self.report(span.clone(), format!("{what} reads `settings` as a whole"), "read settings.NAME");
        }
        for name in found.names.iter().filter(|name| !known.contains(name)) {
            let hint = suggest::hint(name, "settings", known.iter().map(String::as_str));
            self.report(span.clone(), format!("{what} reads settings.{name}, which does not exist"), hint);
        }
    }
}
