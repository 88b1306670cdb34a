//! Checks of texts that become part of other files: `compose.yaml`, units, scripts, certificates. What these would read as
//! something else than text is refused here, for all of them.

use std::ops::Range;

use sealift_layers::escape;

use super::Check;

/// How an expression begins that only templates can have.
const LIKE_TEMPLATES: [&str; 8] =
    ["secrets.", "settings.", "ports.", "trusted.", "files.", "host", "url_host", "mail_host"];

impl Check<'_> {
    /// Checks the characters of all keys and texts. Terminals act on control characters, YAML 1.1 and systemd end lines at
    /// some of them, and characters that change the direction of text make a reviewer see another text than the engine.
    pub(super) fn characters(&mut self) {
        let found = |text: &str| {
            text.replace("\r\n", "\n").chars().find(|c| escape::is_unsafe(*c) && !matches!(c, '\n' | '\t'))
        };
        let texts = self.document.texts().into_iter();
        let texts: Vec<_> = texts.filter_map(|(span, text)| found(text).map(|c| (span, c))).collect();
        for (span, c) in texts {
            let message = format!("the text has the character U+{:04X}", u32::from(c));
            self.report(span, message, "remove it: it is invisible, and terminals and other programs act on it");
        }
    }

    /// Checks that texts which are passed on as they are do not look like templates.
    pub(super) fn literals(&mut self) {
        let model = self.model;
        let reads = |text: &str| {
            text.split("{{").skip(1).any(|rest| {
                let rest = rest.trim_start_matches(['-', ' ']);
                LIKE_TEMPLATES.iter().any(|name| rest.starts_with(name))
            })
        };
        let mut found = Vec::new();
        for (name, image) in &model.images {
            let names = image.env.iter().filter(|(_, text)| reads(text)).map(|(variable, _)| variable);
            found.extend(names.map(|variable| vec!["images", name.get_ref(), "env", variable]));
            for (key, list) in [("entrypoint", &image.entrypoint), ("command", &image.command)] {
                found.extend(list.iter().any(|text| reads(text)).then(|| vec!["images", name.get_ref(), key]));
            }
        }
        for (name, service) in &model.services {
            let names = service.environment.iter().filter(|(_, text)| reads(text)).map(|(variable, _)| variable);
            found.extend(names.map(|variable| vec!["services", name.get_ref(), "environment", variable]));
            let health = service.health.as_ref().map(|health| &health.command);
            let lists = [("command", Some(&service.command)), ("entrypoint", service.entrypoint.as_ref())];
            for (key, list) in lists {
                let is_read = list.into_iter().flatten().any(|text| reads(text));
                found.extend(is_read.then(|| vec!["services", name.get_ref(), key]));
            }
            let is_read = health.into_iter().flatten().any(|text| reads(text));
            found.extend(is_read.then(|| vec!["services", name.get_ref(), "health", "command"]));
        }
        for path in found {
            let hint = "write `NAME={{ ... }}` into a file of [site.templates], with `secret = true` if it reads secrets, \
                        and name that in `env-files` of the service";
            self.report(
                self.document.value(&path),
                "this text is passed on as it is: only templates are rendered",
                hint,
            );
        }
    }

    /// Checks texts that are shown or written in one line.
    pub(super) fn lines(&mut self) {
        let model = self.model;
        self.one_line(&["title"], &model.title);
        model.next.iter().for_each(|next| self.one_line(&["next"], next));
        for (name, image) in &model.images {
            self.one_line(&["images", name.get_ref(), "title"], &image.title);
        }
        for (name, service) in &model.services {
            self.one_line(&["services", name.get_ref(), "title"], &service.title);
        }
        for (name, task) in &model.tasks {
            self.one_line(&["tasks", name.get_ref(), "title"], &task.title);
        }
        if let Some(authority) = &model.site.authority {
            self.one_line(&["site", "authority", "name"], &authority.name);
        }
    }

    pub(super) fn one_line(&mut self, path: &[&str], text: &str) {
        if text.contains(['\n', '\t']) {
            let span = self.document.value(path);
            self.report(span, "the text has more than one line, or a tab", "write it in one line");
        }
    }

    /// Checks a path that scripts, units and `compose.yaml` contain without quotes. Returns whether it can be one.
    pub(super) fn plain_path(&mut self, span: Range<usize>, path: &str) -> bool {
        let plain = path.chars().all(|c| c.is_ascii_alphanumeric() || "/._+-".contains(c));
        if !plain {
            let message = format!("`{path}` has characters that scripts and units read as something else");
            self.report(span, message, "use letters, digits, `/`, `.`, `_`, `+` and `-` only");
        }
        plain
    }
}
